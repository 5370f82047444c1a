"""Shrinking the action set: every action is kept, or excluded with exactly one closed reason, before the draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from types import MappingProxyType
from typing import NamedTuple

from decision_service.core.guardrails.audience import not_offered
from decision_service.core.guardrails.budgets import exhausted, kinds_of, tokens
from decision_service.core.guardrails.caps import Span, binds, remaining
from decision_service.core.guardrails.eligibility import RuleFailure, Rules, RuleVariables, verdicts
from decision_service.core.guardrails.pauses import counting, paused
from decision_service.core.guardrails.quiet_hours import applicable, next_quiet_ms, send_time, zone_named
from decision_service.core.model.customer import ALL_CHANNELS, CustomerState, Suppression
from decision_service.core.model.program import Action, ContactPolicy, FrequencyCap, Program, QuietHours
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import Exclusion, Token, is_unread
from decision_service.core.model.values import Values


@dataclass(frozen=True, slots=True)
class Feasible:
    """An action that may be drawn, the span in which it would be sent, and what it would take.

    tokens: of budgets. last_slots: the caps that have no slot left after it.
    """

    action: Action
    span: Span
    queued: bool
    tokens: tuple[Token, ...] = ()
    last_slots: tuple[FrequencyCap, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Kind:
    """Actions on one channel, under the same caps, that take the same of budgets: only pauses tell them apart.

    example: one of them. Hashed by identity.
    """

    example: Action
    caps: tuple[FrequencyCap, ...]
    quiet: tuple[QuietHours, ...]


@dataclass(frozen=True, slots=True)
class _Bindings:
    """Which caps, budgets and quiet hours concern which action: the same for every customer, so worked out once."""

    program: Program
    policy: ContactPolicy
    kind_of: Mapping[str, _Kind]  # by action id

    @classmethod
    def of(cls, program: Program, policy: ContactPolicy) -> _Bindings:
        """Remembered by identity: versions are immutable, but hold mappings and so do not hash."""
        key = (id(program), id(policy))
        known = _bindings.get(key)
        if known is not None:
            return known
        caps = (*policy.caps, *program.caps)
        quiet = (*policy.quiet_hours, *program.quiet_hours)
        taking = kinds_of(policy, program)
        kinds: dict[tuple[str, tuple[FrequencyCap, ...], int], _Kind] = {}
        kind_of = {}
        for action in program.actions:
            bound = tuple(cap for cap in caps if binds(cap, program.name, action))
            made = _Kind(action, bound, tuple(applicable(quiet, action.channel)))
            kind_of[action.id] = kinds.setdefault((action.channel, bound, taking[action.id]), made)
        bindings = cls(program, policy, kind_of)
        if len(_bindings) >= _MOST_BINDINGS:
            _bindings.clear()
        _bindings[key] = bindings
        return bindings


_MOST_BINDINGS = 1024
_bindings: dict[tuple[int, int], _Bindings] = {}


class _Objection(NamedTuple):
    reason: Reason
    detail: str


class _Slot(NamedTuple):
    span: Span
    last_slots: tuple[FrequencyCap, ...]
    tokens: tuple[Token, ...]


class _Verdict(NamedTuple):
    """barred: by consent or suppression, which come before pauses."""

    barred: _Objection | None
    rest: _Objection | _Slot | None


class Guardrails:
    """Everything that the contact policy and program say of one customer at one moment; the pure core of step 4.

    The retry of a commit asks the same object kind, built on the fresh state, about the drawn action alone.

    budget_levels: `Token.key` → what is taken of it; absent is 0.
    held_until_ms: of a contact that is decided: until when its slot and its tokens are held, so that budgets are not
        asked again; None for one that is not.
    unread: the features that could not be read, see `ServedFeatures`. What is not known stands for no consent and no
        time zone; what is known to be missing, for what the contact policy says of that.
    zone_name: the IANA zone in which caps and quiet hours are taken; empty if it is unknown.
    """

    def __init__(
        self,
        program: Program,
        policy: ContactPolicy,
        features: Values,
        context: Values,
        state: CustomerState,
        now_ms: int,
        budget_levels: Mapping[str, int] = MappingProxyType({}),
        held_until_ms: int | None = None,
        unread: frozenset[str] = frozenset(),
    ) -> None:
        self._program, self._policy = program, policy
        self._bindings = _Bindings.of(program, policy)
        self._features, self._context, self._unread = features, context, unread
        self._state, self._now_ms, self._lease_ms = state, now_ms, program.lease_s * 1000
        self._held_until_ms = held_until_ms
        self._suppressed: dict[str, Suppression] = {s.channel: s for s in state.suppressions if s.live_at(now_ms)}
        self._pauses = counting(policy.pauses, state.events)
        self._budget_levels = budget_levels
        self.zone_name = _zone_name(policy, features, context, unread)
        self._zone = zone_named(self.zone_name)
        # What several actions share is worked out once: per kind of action, and for several kinds per channel and cap.
        self._verdicts: dict[_Kind, _Verdict] = {}
        self._spans: dict[str, Span | _Objection] = {}
        self._left: dict[Span, dict[int, int]] = {}

    def check(self, action: Action) -> Feasible | Exclusion:
        """Consent, suppression, pauses, quiet hours, caps, budgets, in this order; the first that objects names the
        reason."""
        kind = self._bindings.kind_of[action.id]
        verdict = self._verdicts.get(kind)
        if verdict is None:
            verdict = self._verdicts[kind] = self._judge(kind)
        barred, rest = verdict
        if barred is not None:
            return Exclusion(action.id, *barred)
        if self._pauses:
            pause = paused(self._pauses, self._program.name, action, self._state.events, self._now_ms)
            if pause is not None:
                return Exclusion(action.id, Reason.SUPPRESSED_BY_OUTCOME, pause[0].id)
        if not isinstance(rest, _Slot):
            assert rest is not None
            return Exclusion(action.id, *rest)
        span, last_slots, taken = rest
        if span.from_ms > self._now_ms:  # what is queued may be over by then
            for owner, name in ((self._program, "program"), (action, "action")):
                if owner.ends_at_ms is not None and span.from_ms >= owner.ends_at_ms:
                    return Exclusion(action.id, Reason.EXPIRED, name)
        return Feasible(
            action, span, span.from_ms > self._now_ms, taken, last_slots if action.counts_toward_caps else ()
        )

    def _judge(self, kind: _Kind) -> _Verdict:
        channel = kind.example.channel
        barred = self._check_consent(channel) or self._check_suppression(channel)
        if barred is not None:
            return _Verdict(barred, None)
        span = self._spans.get(channel)
        if span is None:
            span = self._spans[channel] = self._span(kind.quiet)
        if isinstance(span, _Objection):
            return _Verdict(None, span)
        return _Verdict(None, self._check_caps(kind.caps, span) or self._slot(kind, span))

    def _check_consent(self, channel: str) -> _Objection | None:
        consent = self._policy.consent.features.get(channel)
        if consent is None:
            return None
        # The caller may know of a refusal, or of consent where none is stored; a stored refusal stands, seen or not.
        # Only the boolean grants: 1.0 equals it, and NaN counts as true in many a conversion.
        given = [v for v in (self._features.get(consent), self._context.get(consent)) if v is not None]
        if any(value is not True for value in given):
            return _Objection(Reason.NO_CONSENT, consent)
        if is_unread(self._unread, consent):
            return _Objection(Reason.NO_CONSENT, f"{consent} could not be read")
        return None if given or self._policy.consent.default_allow else _Objection(Reason.NO_CONSENT, consent)

    def _check_suppression(self, channel: str) -> _Objection | None:
        suppression = self._suppressed.get(channel) or self._suppressed.get(ALL_CHANNELS)
        if suppression is None:
            return None
        return _Objection(suppression.reason, suppression.note or suppression.channel)

    def _span(self, quiet: Sequence[QuietHours]) -> Span | _Objection:
        """When a message would be sent: from now or the end of quiet hours, until its lease ends or the next quiet
        hours begin."""
        if not quiet:
            return Span(self._now_ms, self._until(self._now_ms))
        if self._zone is None:
            return _Objection(Reason.TIMEZONE_UNKNOWN, quiet[0].id)
        from_ms, by = send_time(quiet, self._now_ms, self._zone)
        if from_ms is None:
            return _Objection(Reason.QUIET_HOURS, by)
        until_ms = self._until(from_ms)
        if from_ms > until_ms:
            return _Objection(Reason.QUIET_HOURS, by)
        begins_ms = next_quiet_ms(quiet, from_ms, until_ms, self._zone)
        return Span(from_ms, until_ms if begins_ms is None else begins_ms - 1)

    def _until(self, from_ms: int) -> int:
        return from_ms + self._lease_ms if self._held_until_ms is None else self._held_until_ms

    def _check_caps(self, caps: Sequence[FrequencyCap], span: Span) -> _Objection | None:
        """Why one more contact within the span would exceed a cap."""
        if self._zone is None:
            for cap in caps:
                if cap.calendar is not None:
                    return _Objection(Reason.TIMEZONE_UNKNOWN, cap.id)
        left = self._left.setdefault(span, {})
        for cap in caps:
            if id(cap) not in left:
                left[id(cap)] = remaining(cap, self._state.contacts, span, self._zone or UTC, self._now_ms)
            if left[id(cap)] <= 0:
                return _Objection(Reason.FREQUENCY_CAP, cap.id)
        return None

    def _slot(self, kind: _Kind, span: Span) -> _Objection | _Slot:
        """What a contact that no cap objects to would take, or why a budget does not have it."""
        taken = tokens(self._policy, self._program, kind.example, span.from_ms)
        if self._held_until_ms is not None:
            return _Slot(span, (), taken)
        budget = exhausted(self._policy, self._program, taken, self._budget_levels, span.from_ms)
        if budget is not None:
            return _Objection(Reason.VOLUME_LIMIT, budget.id)
        left = self._left[span]
        return _Slot(span, tuple(cap for cap in kind.caps if left[id(cap)] == 1), taken)


def shrink(
    program: Program,
    channels: Sequence[str],
    rules: Rules,
    variables: RuleVariables,
    guardrails: Guardrails,
    now_ms: int,
) -> tuple[list[Feasible], list[Exclusion]]:
    """Split the program's actions; NO_ACTION is not among them: it is always feasible."""
    if blocked := not_offered(program, rules, variables, now_ms):
        return [], [Exclusion(a.id, *blocked) for a in program.actions]
    return split(program.actions, channels, rules, variables, guardrails, now_ms)


def shrink_to(
    program: Program, action: Action, rules: Rules, variables: RuleVariables, guardrails: Guardrails, now_ms: int
) -> Feasible | Exclusion:
    """The same judgement of one action alone, on whatever channel it is."""
    if blocked := not_offered(program, rules, variables, now_ms):
        return Exclusion(action.id, *blocked)
    kept, excluded = split([action], (), rules, variables, guardrails, now_ms)
    return kept[0] if kept else excluded[0]


def split(
    actions: Sequence[Action],
    channels: Sequence[str],
    rules: Rules,
    variables: RuleVariables,
    guardrails: Guardrails,
    now_ms: int,
) -> tuple[list[Feasible], list[Exclusion]]:
    """The same of actions whose program is for the customer: see `not_offered`."""
    eligibility = _eligibility(actions, rules, variables)
    kept: list[Feasible] = []
    excluded: list[Exclusion] = []
    for action in actions:
        verdict = _unsuitable(action, channels, eligibility, now_ms) or guardrails.check(action)
        if isinstance(verdict, Exclusion):
            excluded.append(verdict)
        else:
            kept.append(verdict)
    return kept, excluded


def _eligibility(actions: Sequence[Action], rules: Rules, variables: RuleVariables) -> Mapping[str, bool | RuleFailure]:
    expressions = list(dict.fromkeys(a.eligible for a in actions if a.eligible is not None))
    return dict(zip(expressions, verdicts(rules, expressions, variables), strict=True)) if expressions else {}


def _unsuitable(
    action: Action, channels: Sequence[str], eligibility: Mapping[str, bool | RuleFailure], now_ms: int
) -> Exclusion | None:
    if channels and action.channel not in channels:
        return Exclusion(action.id, Reason.CHANNEL_NOT_REQUESTED, action.channel)
    if action.starts_at_ms is not None and now_ms < action.starts_at_ms:
        return Exclusion(action.id, Reason.NOT_STARTED, "action")
    if action.ends_at_ms is not None and now_ms >= action.ends_at_ms:
        return Exclusion(action.id, Reason.EXPIRED, "action")
    if action.eligible is not None:
        verdict = eligibility[action.eligible]
        if isinstance(verdict, RuleFailure):
            return Exclusion(action.id, Reason.RULE_ERROR, verdict.message)
        if not verdict:
            return Exclusion(action.id, Reason.INELIGIBLE, action.eligible)
    return None


def _zone_name(policy: ContactPolicy, features: Values, context: Values, unread: frozenset[str]) -> str:
    named = context.get(policy.timezone_feature)
    if named is None:  # nothing was sent: what is stored stands
        named = features.get(policy.timezone_feature)
    if isinstance(named, str) and named and zone_named(named) is not None:
        return named
    # What is assumed of customers without a zone is not assumed of one whose zone nobody could look up.
    return "" if is_unread(unread, policy.timezone_feature) else policy.unknown_timezone or ""
