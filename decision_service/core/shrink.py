"""Shrinking the action set: every action is kept, or excluded with exactly one closed reason, before the draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from decision_service.core.caps import Span, applies, exhausted, holding
from decision_service.core.customer import ALL_CHANNELS, CustomerState, Suppression
from decision_service.core.eligibility import RuleFailure, Rules, RuleVariables
from decision_service.core.program import Action, CapScope, ContactPolicy, FrequencyCap, Program, QuietHours
from decision_service.core.quiet_hours import applicable, send_time, zone_named
from decision_service.core.reasons import Reason
from decision_service.core.record import Exclusion
from decision_service.core.values import Values


@dataclass(frozen=True, slots=True)
class Feasible:
    """An action that may be drawn, and the span in which it would be sent."""

    action: Action
    span: Span
    queued: bool


class Guardrails:
    """Everything that the contact policy and program say of one customer at one moment; the pure core of step 4.

    The retry of a commit asks the same object kind, built on the fresh state, about the drawn action alone.
    """

    def __init__(
        self,
        program: Program,
        policy: ContactPolicy,
        customer: Values,
        state: CustomerState,
        now_ms: int,
    ) -> None:
        self._program, self._policy, self._customer = program, policy, customer
        self._now_ms = now_ms
        self._contacts = holding(state.contacts, now_ms)
        self._suppressed: dict[str, Suppression] = {s.channel: s for s in state.suppressions if s.live_at(now_ms)}
        self._caps: tuple[FrequencyCap, ...] = (*policy.caps, *program.caps)
        self._quiet: tuple[QuietHours, ...] = (*policy.quiet_hours, *program.quiet_hours)
        self._zone = _zone(policy, customer)
        self._exhausted: dict[tuple[str, CapScope, Span], bool] = {}
        self._sendable: dict[str, tuple[int | None, str]] = {}

    def check(self, action: Action) -> Feasible | Exclusion:
        """Consent, suppression, quiet hours, caps, in this order; the first that objects names the reason."""
        channel = action.channel
        consent = self._policy.consent.features.get(channel)
        if consent is not None:
            given = self._customer.get(consent)
            if not (self._policy.consent.default_allow if given is None else given is True):
                return Exclusion(action.id, Reason.NO_CONSENT, consent)
        suppression = self._suppressed.get(channel) or self._suppressed.get(ALL_CHANNELS)
        if suppression is not None:
            return Exclusion(action.id, suppression.reason, suppression.note or suppression.channel)

        quiet = applicable(self._quiet, channel)
        caps = [cap for cap in self._caps if applies(cap.scope, self._program.name, action)]
        if self._zone is None:
            if quiet:
                return Exclusion(action.id, Reason.TIMEZONE_UNKNOWN, quiet[0].id)
            if calendar := next((cap for cap in caps if cap.calendar is not None), None):
                return Exclusion(action.id, Reason.TIMEZONE_UNKNOWN, calendar.id)
        send_at_ms = self._now_ms
        if quiet and self._zone is not None:
            if channel not in self._sendable:
                self._sendable[channel] = send_time(quiet, self._now_ms, self._zone)
            moment, by = self._sendable[channel]
            if moment is None:
                return Exclusion(action.id, Reason.QUIET_HOURS, by)
            send_at_ms = moment

        span = Span(send_at_ms, send_at_ms + self._program.lease_s * 1000)
        for cap in caps:
            if self._is_exhausted(cap, span):
                return Exclusion(action.id, Reason.FREQUENCY_CAP, cap.id)
        return Feasible(action, span, queued=send_at_ms > self._now_ms)

    def _is_exhausted(self, cap: FrequencyCap, span: Span) -> bool:
        # A cap counts the same contacts whichever action asks, so it is worked out once per span.
        key = (cap.id, cap.scope, span)
        known = self._exhausted.get(key)
        if known is None:
            known = self._exhausted[key] = exhausted(cap, self._contacts, span, self._zone or UTC)
        return known


def shrink(
    program: Program,
    channels: Sequence[str],
    rules: Rules,
    variables: RuleVariables,
    guardrails: Guardrails,
    now_ms: int,
) -> tuple[list[Feasible], list[Exclusion]]:
    """Split the program's actions; NO_ACTION is not among them: it is always feasible."""
    if blocked := _program_wide(program, rules, variables, now_ms):
        return [], [Exclusion(a.id, *blocked) for a in program.actions]
    verdicts = _eligibility(program, rules, variables)
    kept: list[Feasible] = []
    excluded: list[Exclusion] = []
    for action in program.actions:
        verdict = _unsuitable(action, channels, verdicts, now_ms) or guardrails.check(action)
        if isinstance(verdict, Exclusion):
            excluded.append(verdict)
        else:
            kept.append(verdict)
    return kept, excluded


def _program_wide(program: Program, rules: Rules, variables: RuleVariables, now_ms: int) -> tuple[Reason, str] | None:
    if program.starts_at_ms is not None and now_ms < program.starts_at_ms:
        return Reason.NOT_STARTED, "program"
    if program.ends_at_ms is not None and now_ms >= program.ends_at_ms:
        return Reason.EXPIRED, "program"
    if program.audience is not None:
        verdict = rules.evaluate([program.audience], variables)[0]
        if isinstance(verdict, RuleFailure):
            return Reason.RULE_ERROR, f"audience: {verdict.message}"
        if not verdict:
            return Reason.NOT_IN_AUDIENCE, program.audience
    return None


def _eligibility(program: Program, rules: Rules, variables: RuleVariables) -> Mapping[str, bool | RuleFailure]:
    expressions = list(dict.fromkeys(a.eligible for a in program.actions if a.eligible is not None))
    return dict(zip(expressions, rules.evaluate(expressions, variables), strict=True)) if expressions else {}


def _unsuitable(
    action: Action, channels: Sequence[str], verdicts: Mapping[str, bool | RuleFailure], now_ms: int
) -> Exclusion | None:
    if channels and action.channel not in channels:
        return Exclusion(action.id, Reason.CHANNEL_NOT_REQUESTED, action.channel)
    if action.starts_at_ms is not None and now_ms < action.starts_at_ms:
        return Exclusion(action.id, Reason.NOT_STARTED, "action")
    if action.ends_at_ms is not None and now_ms >= action.ends_at_ms:
        return Exclusion(action.id, Reason.EXPIRED, "action")
    if action.eligible is not None:
        verdict = verdicts[action.eligible]
        if isinstance(verdict, RuleFailure):
            return Exclusion(action.id, Reason.RULE_ERROR, verdict.message)
        if not verdict:
            return Exclusion(action.id, Reason.INELIGIBLE, action.eligible)
    return None


def _zone(policy: ContactPolicy, customer: Values) -> tzinfo | None:
    named = customer.get(policy.timezone_feature)
    zone = zone_named(named) if isinstance(named, str) and named else None
    if zone is None and policy.unknown_timezone is not None:
        return zone_named(policy.unknown_timezone)
    return zone
