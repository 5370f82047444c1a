"""What kept an action out, in words: the guardrail as its program or contact policy declares it, what it went by for
this customer, and when or by what the action would have been kept.

Everything is computed again by the functions that decided, from the record alone. A time is only promised where every
guardrail would let the action pass then, as far as was known when it was decided.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC

from decision_service.core.decide import Entrant, Inputs
from decision_service.core.explanation import wording
from decision_service.core.guardrails.budgets import budget_of, limit_of, period_bounds, tokens
from decision_service.core.guardrails.caps import Span, binds, counts, frees_at_ms, remaining
from decision_service.core.guardrails.eligibility import Rules, RuleVariables, could_not_read
from decision_service.core.guardrails.groups import assign
from decision_service.core.guardrails.live import live_values
from decision_service.core.guardrails.pauses import paused
from decision_service.core.guardrails.quiet_hours import applicable, ends_at_ms, send_time, zone_named
from decision_service.core.guardrails.shrink import shrink
from decision_service.core.model.customer import ALL_CHANNELS, Suppression
from decision_service.core.model.program import (
    Action,
    BudgetPeriod,
    FrequencyCap,
    Group,
    LearningMode,
    Program,
    ProgramState,
    QuietHours,
)
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Candidate, Exclusion, Token, is_unread

_MOST_STEPS = 16
"""Guardrails that are waited for, one after the other, before no time is given."""


class Objections:
    """The exclusions of one program in one decision."""

    def __init__(self, inputs: Inputs, entrant: Entrant, candidate: Candidate, rules: Rules) -> None:
        self._inputs, self._entrant, self._candidate, self._rules = inputs, entrant, candidate, rules
        self._program: Program = entrant.program
        self._policy, self._state, self._now_ms = inputs.policy, inputs.state, inputs.now_ms
        self._variables = self._variables_at(self._now_ms)
        self.zone_name = inputs.guardrails(entrant).zone_name
        self._zone = zone_named(self.zone_name) if self.zone_name else None
        self._verdicts: dict[int, Mapping[str, Exclusion]] = {}

    def describe(self, exclusion: Exclusion) -> str:
        """What objected, in words; the exclusion's detail where there is nothing to add."""
        action = self._program.action(exclusion.action)
        match exclusion.reason:
            case Reason.NOT_IN_AUDIENCE | Reason.INELIGIBLE:
                return f"rule `{exclusion.detail}`"
            case Reason.RULE_ERROR:
                return f"rule `{self._broken_rule(exclusion, action)}`: {exclusion.detail.removeprefix('audience: ')}"
            case Reason.WITHDRAWN:
                return f"the program is {exclusion.detail}"
            case Reason.NOT_STARTED:
                starts_ms = (self._program if exclusion.detail == "program" else action).starts_at_ms or 0
                return f"the {exclusion.detail} starts {self._time(starts_ms)}"
            case Reason.EXPIRED:
                return f"the {exclusion.detail} ended {self._time(self._ended_ms(exclusion, action))}"
            case Reason.CHANNEL_NOT_REQUESTED:
                return f"channel {exclusion.detail!r}; the request asked for {', '.join(self._inputs.request.channels)}"
            case Reason.NO_CONSENT:
                return self._consent_given(action)
            case Reason.SUPPRESSED | Reason.SUPPRESSED_BY_OUTCOME:
                return self._stopped_by(exclusion, action)
            case Reason.QUIET_HOURS:
                return self._quiet_named(exclusion.detail)
            case Reason.TIMEZONE_UNKNOWN:
                feature = self._policy.timezone_feature
                return f"needed by {exclusion.detail!r}; feature {feature!r} {self._timezone_held(feature)}"
            case Reason.FREQUENCY_CAP:
                return self._cap_named(exclusion, action)
            case Reason.VOLUME_LIMIT:
                return self._budget_named(exclusion, action)
            case Reason.HOLDOUT:
                return self.group_because
            case Reason.BASELINE_ONLY:
                if self._candidate.group is Group.TREATMENT:
                    return f"learning mode {self._candidate.learning_mode} serves the baseline {exclusion.detail}"
                return f"group {self._candidate.group} ({self.group_because}) is served the baseline {exclusion.detail}"
            case Reason.FEATURES_MISSING:
                return f"the features were {wording.FEATURES[self._candidate.features.status]}"
            case Reason.FEATURES_STALE:
                return f"views {', '.join(self._candidate.features.stale_views)}"
        return exclusion.detail

    def change(self, exclusion: Exclusion) -> str:
        """When, or by what, the action would have been kept; empty where only the remedy can tell."""
        action = self._program.action(exclusion.action)
        match exclusion.reason:
            case Reason.NOT_IN_AUDIENCE | Reason.INELIGIBLE:
                return f"if the rule held; {self._read_by(exclusion.detail)}"
            case Reason.RULE_ERROR:
                return f"if the rule gave true; {self._read_by(self._broken_rule(exclusion, action))}"
            case Reason.WITHDRAWN:
                return f"if the program were {ProgramState.LIVE}"
            case Reason.EXPIRED:
                return f"before {self._time(self._ended_ms(exclusion, action))}"
            case Reason.CHANNEL_NOT_REQUESTED:
                return f"if the request named channel {exclusion.detail!r}, or none"
            case Reason.NO_CONSENT:
                feature = self._policy.consent.features[action.channel]
                if is_unread(self._entrant.features.unread, feature):
                    return f"if {feature!r} could be read, and were true wherever it is given"
                return f"if {feature!r} were true wherever it is given"
            case Reason.TIMEZONE_UNKNOWN:
                return f"if {self._policy.timezone_feature!r} named an IANA zone"
            case Reason.BASELINE_ONLY:
                online = self._candidate.group is Group.TREATMENT
                return f"if the learning mode were {LearningMode.ONLINE}" if online else ""
            case Reason.FEATURES_MISSING:
                return "if the features could be read"
            case Reason.FEATURES_STALE:
                return "if these views were fresh"
        return self._by_waiting(exclusion, action)

    @property
    def group_because(self) -> str:
        """Where the customer's group comes from: `bucket N`, `pinned by the caller` or `global holdout`."""
        request = self._inputs.request
        _, because = assign(request.customer_id, self._program.groups, self._policy.holdout, request.pinned_group)
        return "pinned by the caller" if because == "pinned" else because

    # ── Waiting ───────────────────────────────────────────────────────────────────────────────────────────

    def _by_waiting(self, exclusion: Exclusion, action: Action) -> str:
        """From when on everything known would let the action pass, waiting for one guardrail after the other."""
        at_ms, held = self._now_ms, exclusion
        for _ in range(_MOST_STEPS):
            passes_ms = self._passes_ms(held, action, at_ms)
            if passes_ms is None or passes_ms <= at_ms:
                break
            at_ms = -(-passes_ms // 1000) * 1000  # as it is shown, so that what is shown holds
            next_held = self._excluded_at(at_ms).get(action.id)
            if next_held is None:
                return f"from {self._time(at_ms)} on, if nothing else changes"
            held = next_held
        if held is exclusion and at_ms == self._now_ms:
            return ""
        return f"not by waiting alone: from {self._time(at_ms)} on, {held.reason} would exclude it"

    def _excluded_at(self, at_ms: int) -> Mapping[str, Exclusion]:
        if at_ms not in self._verdicts:
            guardrails = self._inputs.guardrails(self._entrant, at_ms)
            variables = self._variables_at(at_ms)
            channels = self._inputs.request.channels
            _, excluded = shrink(self._program, channels, self._rules, variables, guardrails, at_ms)
            self._verdicts[at_ms] = {e.action: e for e in excluded}
        return self._verdicts[at_ms]

    def _passes_ms(self, exclusion: Exclusion, action: Action, at_ms: int) -> int | None:
        """When what objects at `at_ms` ends by itself; None if it does not."""
        match exclusion.reason:
            case Reason.NOT_STARTED:
                return self._starts_ms(action)
            case Reason.SUPPRESSED | Reason.SUPPRESSED_BY_OUTCOME:
                if suppressions := self._suppressions(action, at_ms):
                    ends = [s.until_ms for s in suppressions]
                    return None if None in ends else max(end for end in ends if end is not None)
                pause = paused(self._policy.pauses, self._program.name, action, self._state.events, at_ms)
                return pause[1] if pause else None
            case Reason.QUIET_HOURS if self._zone is not None:
                zone = self._zone
                ends = [ends_at_ms(q, at_ms, zone) for q in applicable(self._quiet_hours, action.channel)]
                return max((end for end in ends if end is not None), default=None)
            case Reason.FREQUENCY_CAP:
                span = self._span(action, at_ms)
                cap = self._cap(exclusion.detail, action, span)
                return frees_at_ms(cap, self._state.contacts, span, self._zone or UTC, self._now_ms)
            case Reason.VOLUME_LIMIT:
                return self._budget_passes_ms(action, at_ms)
        return None

    def _span(self, action: Action, at_ms: int) -> Span:
        """When the action would be sent, decided at `at_ms`."""
        quiet = applicable(self._quiet_hours, action.channel)
        moment = send_time(quiet, at_ms, self._zone)[0] if quiet and self._zone is not None else at_ms
        from_ms = at_ms if moment is None else moment
        return Span(from_ms, from_ms + self._program.lease_s * 1000)

    # ── The guardrails by name ────────────────────────────────────────────────────────────────────────────

    def _starts_ms(self, action: Action) -> int:
        return max(self._program.starts_at_ms or 0, action.starts_at_ms or 0)

    def _ended_ms(self, exclusion: Exclusion, action: Action) -> int:
        return (self._program if exclusion.detail == "program" else action).ends_at_ms or 0

    def _broken_rule(self, exclusion: Exclusion, action: Action) -> str:
        rule = self._program.audience if exclusion.detail.startswith("audience: ") else action.eligible
        return rule or ""

    def _read_by(self, rule: str) -> str:
        """The customer's values of the names that a rule reads."""
        read = [f"{name} {self._held(name)}" for name in self._rules.reads(rule)]
        return ", ".join(read) if read else "it reads nothing of the customer"

    def _held(self, name: str) -> str:
        if could_not_read(name, self._variables):
            return wording.NOT_READ
        variable, _, member = name.partition(".")
        values = getattr(self._variables, variable)
        if member:
            return wording.held(values.get(member))
        return "as a whole" if isinstance(values, Mapping) else wording.held(values)

    def _variables_at(self, at_ms: int) -> RuleVariables:
        live = live_values(self._program, self._state, at_ms)
        features = self._entrant.features
        return RuleVariables.of(features.values, live, self._inputs.request.context, features.unread)

    def _timezone_held(self, feature: str) -> str:
        sent = self._variables.context.get(feature)
        if sent is None and is_unread(self._entrant.features.unread, feature):
            return wording.NOT_READ
        return wording.held(self._variables.customer.get(feature) if sent is None else sent)

    def _consent_given(self, action: Action) -> str:
        feature = self._policy.consent.features[action.channel]
        given = {
            where: values[feature]
            for where, values in (
                ("stored", self._entrant.features.values),
                ("in the context", self._inputs.request.context),
            )
            if values.get(feature) is not None
        }
        said = [f"is {wording.consent(value)} {where}" for where, value in given.items()]
        if is_unread(self._entrant.features.unread, feature):
            said = [wording.NOT_READ, *said]
        elif not given:
            default = "allows" if self._policy.consent.default_allow else "denies"
            said = [f"is missing, and the contact policy {default}"]
        return f"consent feature {feature!r} {' and '.join(said)}"

    def _suppressions(self, action: Action, at_ms: int) -> list[Suppression]:
        channels = (action.channel, ALL_CHANNELS)
        return [s for s in self._state.suppressions if s.channel in channels and s.live_at(at_ms)]

    def _stopped_by(self, exclusion: Exclusion, action: Action) -> str:
        if suppressions := self._suppressions(action, self._now_ms):
            return "; ".join(wording.suppression(s, self.zone_name) for s in suppressions)
        pause = paused(self._policy.pauses, self._program.name, action, self._state.events, self._now_ms)
        if pause is None:
            return exclusion.detail
        rule, until_ms = pause
        return f"pause {rule.id!r} of the contact policy: {wording.pause(rule)}; it holds until {self._time(until_ms)}"

    @property
    def _quiet_hours(self) -> tuple[QuietHours, ...]:
        return (*self._policy.quiet_hours, *self._program.quiet_hours)

    def _quiet_named(self, quiet_id: str) -> str:
        quiet = next(q for q in self._quiet_hours if q.id == quiet_id)
        owner = self._owner(quiet in self._policy.quiet_hours)
        said = f"quiet hours {quiet_id!r} of {owner}: {wording.quiet_hours(quiet)}"
        return f"{said}; it was {self._time(self._now_ms)}"

    def _cap(self, cap_id: str, action: Action, span: Span) -> FrequencyCap:
        """The cap of that id, which a program and the contact policy may share, that objects."""
        named = [c for c in (*self._policy.caps, *self._program.caps) if c.id == cap_id]
        for cap in named:
            if binds(cap, self._program.name, action) and self._left(cap, span) <= 0:
                return cap
        return named[0]

    def _left(self, cap: FrequencyCap, span: Span) -> int:
        return remaining(cap, self._state.contacts, span, self._zone or UTC, self._now_ms)

    def _cap_named(self, exclusion: Exclusion, action: Action) -> str:
        cap = self._cap(exclusion.detail, action, self._span(action, self._now_ms))
        counted = [c for c in self._state.contacts if counts(cap.scope, c) and c.counts(cap.counts, self._now_ms)]
        latest = sorted(counted, key=lambda contact: -contact.until_ms)[: max(cap.limit, 1)]
        return (
            f"cap {cap.id!r} of {self._owner(cap in self._policy.caps)}: {wording.cap(cap, self.zone_name)}"
            f"{f'; counted {wording.contacts(latest, self.zone_name)}' if latest else ''}"
        )

    def _budget_objecting(self, action: Action, at_ms: int) -> tuple[Token, int] | None:
        """The token that a budget has too little left for, and what must be allowed for it."""
        send_ms = self._span(action, at_ms).from_ms
        for token in tokens(self._policy, self._program, action, send_ms):
            needed = self._inputs.budget_levels.get(token.key, 0) + token.amount
            if needed > limit_of(self._policy, self._program, token, send_ms):
                return token, needed
        return None

    def taken(self, token: Token) -> str:
        """What a contact takes of a budget, in words."""
        budget = budget_of(self._policy, self._program, token)
        amount = wording.amount(token.amount, in_money=budget.in_money)
        return f"{amount} of budget {budget.id!r} of {self._owner(token.budget.startswith('/'))}"

    def _budget_named(self, exclusion: Exclusion, action: Action) -> str:
        objecting = self._budget_objecting(action, self._now_ms)
        if objecting is None:
            return exclusion.detail
        token, needed = objecting
        budget = budget_of(self._policy, self._program, token)
        send_ms = self._span(action, self._now_ms).from_ms
        allowed = limit_of(self._policy, self._program, token, send_ms)
        taken, by_then = (wording.amount(level, in_money=budget.in_money) for level in (needed - token.amount, allowed))
        return (
            f"budget {budget.id!r} of {self._owner(token.budget.startswith('/'))}: {wording.budget(budget)}; "
            f"{taken} taken, {by_then} allowed by {self._time(send_ms)}"
        )

    def _budget_passes_ms(self, action: Action, at_ms: int) -> int | None:
        objecting = self._budget_objecting(action, at_ms)
        if objecting is None:
            return None
        token, needed = objecting
        budget = budget_of(self._policy, self._program, token)
        if budget.period is BudgetPeriod.TOTAL:
            return None
        send_ms = self._span(action, at_ms).from_ms
        _, _, end_ms = period_bounds(budget, send_ms)
        # What is allowed grows with time: the first moment that it is enough, if that lies in this period.
        later = range(send_ms, end_ms)
        enough = bisect_left(later, needed, key=lambda ms: limit_of(self._policy, self._program, token, ms))
        return send_ms + enough

    def _owner(self, is_policy: bool) -> str:
        return "the contact policy" if is_policy else f"program {self._program.name!r}"

    def _time(self, ms: int) -> str:
        return wording.moment(ms, self.zone_name)
