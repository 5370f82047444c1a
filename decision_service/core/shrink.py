"""Shrinking the action set: every action is kept, or excluded with exactly one closed reason, before the draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from decision_service.core.caps import Span, applies, exhausted, holding
from decision_service.core.customer import ALL_CHANNELS, CustomerState, Suppression
from decision_service.core.eligibility import RuleFailure, Rules, RuleVariables
from decision_service.core.program import Action, ContactPolicy, FrequencyCap, Program, QuietHours
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


@dataclass(frozen=True, slots=True)
class _Bindings:
    """Which caps and quiet hours concern which action: the same for every customer, so worked out once."""

    program: Program
    policy: ContactPolicy
    caps: tuple[FrequencyCap, ...]
    caps_of: Mapping[str, tuple[int, ...]]  # action id → positions in `caps`
    quiet_of: Mapping[str, tuple[QuietHours, ...]]  # channel → quiet hours

    @classmethod
    def of(cls, program: Program, policy: ContactPolicy) -> _Bindings:
        """Remembered by identity: versions are immutable, but hold mappings and so do not hash."""
        key = (id(program), id(policy))
        known = _bindings.get(key)
        if known is not None:
            return known
        caps = (*policy.caps, *program.caps)
        quiet = (*policy.quiet_hours, *program.quiet_hours)
        made = cls(
            program,
            policy,
            caps,
            {
                action.id: tuple(i for i, cap in enumerate(caps) if applies(cap.scope, program.name, action))
                for action in program.actions
            },
            {action.channel: tuple(applicable(quiet, action.channel)) for action in program.actions},
        )
        if len(_bindings) >= _MOST_BINDINGS:
            _bindings.clear()
        _bindings[key] = made
        return made


_MOST_BINDINGS = 1024
_bindings: dict[tuple[int, int], _Bindings] = {}


class Guardrails:
    """Everything that the contact policy and program say of one customer at one moment; the pure core of step 4.

    The retry of a commit asks the same object kind, built on the fresh state, about the drawn action alone.
    """

    def __init__(
        self,
        program: Program,
        policy: ContactPolicy,
        features: Values,
        context: Values,
        state: CustomerState,
        now_ms: int,
    ) -> None:
        self._bindings = _Bindings.of(program, policy)
        self._consent, self._features, self._context = policy.consent, features, context
        self._now_ms, self._lease_ms = now_ms, program.lease_s * 1000
        self._contacts = holding(state.contacts, now_ms)
        self._suppressed: dict[str, Suppression] = {s.channel: s for s in state.suppressions if s.live_at(now_ms)}
        self._zone = _zone(policy, {**features, **context})
        # What does not depend on the action is worked out once per channel, and per cap and time of sending.
        self._channels: dict[str, tuple[Reason, str] | int] = {}
        self._exhausted: dict[tuple[int, int], bool] = {}

    def check(self, action: Action) -> Feasible | Exclusion:
        """Consent, suppression, quiet hours, caps, in this order; the first that objects names the reason."""
        channel = self._channels.get(action.channel)
        if channel is None:
            channel = self._channels[action.channel] = self._check_channel(action.channel)
        if not isinstance(channel, int):
            return Exclusion(action.id, *channel)
        caps, positions = self._bindings.caps, self._bindings.caps_of[action.id]
        span = Span(channel, channel + self._lease_ms)
        for position in positions:
            if self._zone is None and caps[position].calendar is not None:
                return Exclusion(action.id, Reason.TIMEZONE_UNKNOWN, caps[position].id)
        for position in positions:
            known = self._exhausted.get((position, channel))
            if known is None:
                known = exhausted(caps[position], self._contacts, span, self._zone or UTC)
                self._exhausted[position, channel] = known
            if known:
                return Exclusion(action.id, Reason.FREQUENCY_CAP, caps[position].id)
        return Feasible(action, span, queued=channel > self._now_ms)

    def _check_channel(self, channel: str) -> tuple[Reason, str] | int:
        """Why nothing may go out on the channel, or when it may."""
        consent = self._consent.features.get(channel)
        if consent is not None:
            # The caller may know of a refusal, or of consent where none is stored; a stored refusal stands.
            given = {self._features.get(consent), self._context.get(consent)} - {None}
            if not (given == {True} if given else self._consent.default_allow):
                return Reason.NO_CONSENT, consent
        suppression = self._suppressed.get(channel) or self._suppressed.get(ALL_CHANNELS)
        if suppression is not None:
            return suppression.reason, suppression.note or suppression.channel
        quiet = self._bindings.quiet_of[channel]
        if not quiet:
            return self._now_ms
        if self._zone is None:
            return Reason.TIMEZONE_UNKNOWN, quiet[0].id
        moment, by = send_time(quiet, self._now_ms, self._zone)
        return (Reason.QUIET_HOURS, by) if moment is None else moment


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
