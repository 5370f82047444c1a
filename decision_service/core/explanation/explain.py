"""Why a decision was made, from its record, versions and model: the funnel as values, and readable text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap

from decision_service.core.choice.contributions import Contribution
from decision_service.core.explanation import wording
from decision_service.core.explanation.what_would_change import Objections
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.model.program import ContactPolicy, Program
from decision_service.core.model.reasons import Reason
from decision_service.core.model.record import (
    Candidate,
    DecisionRecord,
    FeatureStatus,
    Option,
    PolicyKind,
    is_unread,
)
from decision_service.core.model.values import NO_ACTION
from decision_service.core.replay import inputs_of

_WIDTH = 110

MOST_CONTRIBUTIONS_TOLD = 8
"""In the text; the values have all."""


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One action of one program: kept, with its probability, or excluded, with the reason and a remedy.

    detail: the guardrail that objected, in words. change: when, or by what, the action would have been kept; empty
    where only the remedy can tell.
    probability: P(action), given that its program decides; base_probability: before levers, slot prices, shares and
    floor.
    score: what was compared, in the workspace's currency; see `record.Option`.
    """

    action: str
    kept: bool
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    probability: float | None = None
    predicted_reward: float | None = None
    chosen: bool = False
    program: str = ""
    change: str = ""
    base_probability: float | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """What spoke for the action drawn rather than the runner-up, the best other one by predicted reward.

    contributions: largest first; they sum to the difference in predicted reward. missing: why there are none.
    """

    runner_up: str = ""
    contributions: tuple[Contribution, ...] = ()
    missing: str = ""


NO_ATTRIBUTION = Attribution()


@dataclass(frozen=True, slots=True)
class Explanation:
    """For people (`text`) and for programs (the rest). The program that decided comes first in the funnel.

    is_exploration: something else was more probable, another action of the program that decided or another program.
    group_because: program → where the customer's group in it comes from; see `Objections.group_because`.
    """

    text: str
    funnel: tuple[FunnelStep, ...]
    record: DecisionRecord
    attribution: Attribution = NO_ATTRIBUTION
    is_exploration: bool = False
    group_because: Mapping[str, str] = field(default_factory=dict)


def explain(
    record: DecisionRecord,
    programs: Mapping[str, Program],
    policy: ContactPolicy,
    rules: Rules,
    attribution: Attribution = NO_ATTRIBUTION,
) -> Explanation:
    """Explain a record. programs: name → the version that took part; policy: the version it was decided under."""
    inputs = inputs_of(record, programs, policy)
    parts = [
        _Part(entrant.program, candidate, Objections(inputs, entrant, candidate, rules))
        for entrant, candidate in zip(inputs.entrants, record.candidates, strict=True)
    ]
    parts.sort(key=lambda part: (part.program.name != record.program, -part.candidate.probability))
    funnels = {part.program.name: part.funnel(record) for part in parts}
    text = "\n".join(_lines(record, parts, funnels, attribution))
    funnel = tuple(step for steps in funnels.values() for step in steps)
    because = {part.program.name: part.objections.group_because for part in parts}
    return Explanation(text, funnel, record, attribution, _explores_program(record) or _explores(record), because)


@dataclass(frozen=True, slots=True)
class _Part:
    """One program's part in the decision."""

    program: Program
    candidate: Candidate
    objections: Objections

    def funnel(self, record: DecisionRecord) -> tuple[FunnelStep, ...]:
        decided = self.program.name == record.program
        kept = sorted(self.candidate.options, key=lambda option: -option.probability)
        return (
            *(self._kept(option, decided and option.action == record.chosen) for option in kept),
            *(
                FunnelStep(
                    excluded.action,
                    kept=False,
                    reason=excluded.reason,
                    detail=self.objections.describe(excluded),
                    remedy=excluded.reason.remedy,
                    program=self.program.name,
                    change=self.objections.change(excluded),
                )
                for excluded in self.candidate.exclusions
            ),
        )

    def _kept(self, option: Option, chosen: bool) -> FunnelStep:
        return FunnelStep(
            option.action,
            kept=True,
            probability=option.probability,
            predicted_reward=option.predicted_reward,
            chosen=chosen,
            program=self.program.name,
            base_probability=option.base_probability,
            score=option.score,
        )


# ── Text ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _lines(
    record: DecisionRecord,
    parts: Sequence[_Part],
    funnels: Mapping[str, Sequence[FunnelStep]],
    attribution: Attribution,
) -> list[str]:
    decided = parts[0]
    lines = _head(record, decided.objections)
    if len(parts) > 1:
        lines.append("Programs")
        lines.extend(_competing(part, part is decided) for part in parts)
        if _explores_program(record):
            lines.append(f"   {record.program} decided as exploration (draw {record.draw:.6f})")
    for part in parts:
        lines.extend(_program_lines(record, part, funnels[part.program.name], alone=len(parts) == 1))
    lines.extend(_attribution_lines(record, attribution))
    for i, part in enumerate(parts):
        same = next((p for p in parts[:i] if p.candidate.features == part.candidate.features), None)
        lines.extend(_feature_lines(record, part, shared_with=same.program.name if same else ""))
    lines.extend(_values("context.", record.request.context))
    return lines


def _head(record: DecisionRecord, objections: Objections) -> list[str]:
    zone_name = objections.zone_name
    request, at = record.request, wording.moment(record.decided_at_ms, zone_name)
    lines = [f"{record.chosen} for customer {request.customer_id}, decided {at}"]
    if record.decision_id:
        lines.append(f"  decision     {record.decision_id} (request {request.request_id})")
    else:
        lines.append("  decision     a dry run: nothing was reserved or logged")
    lines.append(
        f"  program      {record.program} version {record.program_version}, contact policy {record.policy_version}"
    )
    lines.append(f"  probability  {_probability(record)}")
    if record.reservation is not None:
        lease = wording.moment(record.reservation.lease_expires_at_ms, zone_name)
        if record.reservation.send_at_ms is not None:
            send = wording.moment(record.reservation.send_at_ms, zone_name)
            lines.append(f"  send at      {send}, when quiet hours end")
        holds, takes = ("reserved", "takes") if record.decision_id else ("would hold", "would take")
        lines.append(f"  {holds:<11}  until {lease}")
        lines.extend(f"  {takes:<11}  {objections.taken(token)}" for token in record.reservation.tokens)
    lines.extend(f"  note         {reason}: {reason.meaning} {reason.remedy}" for reason in record.degradations)
    return lines


def _probability(record: DecisionRecord) -> str:
    if record.chosen != record.drawn:
        return f"1: {record.drawn} was drawn, but could not be reserved any more"
    if record.program_probability == 1:
        return f"{record.probability:.4f}"
    given = next((o.probability for o in record.options if o.action == record.chosen), 1.0)
    return f"{record.probability:.4f} = {record.program_probability:.4f} that {record.program} decides × {given:.4f}"


def _competing(part: _Part, decided: bool) -> str:
    candidate = part.candidate
    score = "no score" if candidate.score is None else f"score {candidate.score:.4g}"
    return (
        f" {'→' if decided else ' '} {part.program.name:<24} decides with probability {candidate.probability:.4f}, "
        f"{score}, priority {part.program.priority}"
    )


def _program_lines(record: DecisionRecord, part: _Part, funnel: Sequence[FunnelStep], *, alone: bool) -> list[str]:
    candidate = part.candidate
    lines = [
        "Actions" if alone else f"Actions of {part.program.name} version {part.program.version}",
        f"  group        {candidate.group} ({part.objections.group_because})",
        f"  learning     {candidate.learning_mode}",
        f"  chosen by    {_chosen_by(record, candidate)}",
    ]
    if candidate.program != record.program:
        lines.extend(f"  note         {reason}: {reason.meaning} {reason.remedy}" for reason in candidate.degradations)
    for step in funnel:
        if step.kept:
            lines.append(f" {'→' if step.chosen else ' '} {step.action:<24} {_told(step)}")
    # What removed several actions in the same way is told once.
    removed = [step for step in funnel if not step.kept]
    for removal in dict.fromkeys(map(_removal, removed)):
        reason, detail, change, remedy = removal
        names = [step.action for step in removed if _removal(step) == removal]
        if len(names) > 1:
            lines.extend(f"   {line}" for line in wrap(", ".join(names), _WIDTH))
        lines.append(f"   {names[0] if len(names) == 1 else '':<24} excluded  {reason}: {detail}")
        lines.extend(f"{'':38}{said}" for said in (f"kept {change}" if change else "", remedy) if said)
    return lines


def _removal(step: FunnelStep) -> tuple[str, str, str, str]:
    return str(step.reason), step.detail, step.change, step.remedy


def _told(step: FunnelStep) -> str:
    said = f"kept      probability {step.probability:.4f}"
    if step.base_probability is not None and step.base_probability != step.probability:
        said += f" (before levers, prices, shares and floor {step.base_probability:.4f})"
    if step.predicted_reward is not None:
        said += f", predicted reward {step.predicted_reward:.4g}"
    if step.score is not None and step.action != NO_ACTION:
        said += f", score {step.score:.4g}"
    return said


def _chosen_by(record: DecisionRecord, candidate: Candidate) -> str:
    by = {
        PolicyKind.MODEL: "the model",
        PolicyKind.UNIFORM: "a uniform draw",
        PolicyKind.BASELINE: "the baseline",
        PolicyKind.HOLDOUT: "the holdout",
    }[candidate.policy]
    if candidate.model is not None:
        if candidate.policy is not PolicyKind.MODEL:
            scored = any(option.predicted_reward is not None for option in candidate.options)
            by += "; scored by" if scored else "; asked was"
        by += f" {candidate.model.name} version {candidate.model.version}"
    if candidate.program != record.program:
        return by
    if candidate.policy is PolicyKind.MODEL:
        by += ", as exploration" if _explores(record) else ", the most probable one"
    if candidate.policy in (PolicyKind.MODEL, PolicyKind.UNIFORM) or record.others:
        by += f" (draw {record.draw:.6f})"
    return by


def _explores(record: DecisionRecord) -> bool:
    """Whether the program that decided would more probably have chosen another action."""
    probabilities = {option.action: option.probability for option in record.options}
    return probabilities.get(record.drawn, 1.0) < max(probabilities.values())


def _explores_program(record: DecisionRecord) -> bool:
    return record.program_probability < max((c.probability for c in record.others), default=0.0)


def _attribution_lines(record: DecisionRecord, attribution: Attribution) -> list[str]:
    if attribution.missing:
        return [f"What speaks for {record.drawn} cannot be said: {attribution.missing}"]
    if not attribution.runner_up:
        return []
    parts = attribution.contributions
    told, rest = parts[:MOST_CONTRIBUTIONS_TOLD], parts[MOST_CONTRIBUTIONS_TOLD:]
    total = sum(part.amount for part in parts)
    lines = [
        f"What speaks for {record.drawn} rather than {attribution.runner_up}: predicted reward {total:+.4g}",
        *(f"  {part.amount:+.4g}  {part.input}{f' = {part.value}' if part.value else ''}" for part in told),
    ]
    if rest:
        lines.append(f"  {sum(part.amount for part in rest):+.4g}  {len(rest)} others")
    return lines


def _feature_lines(record: DecisionRecord, part: _Part, shared_with: str) -> list[str]:
    features = part.candidate.features
    title = f"Features of {part.program.name}" if record.others else "Features"
    if shared_with:
        return [f"{title}: those of {shared_with}", *_values("live.", part.candidate.live)]
    lines = [f"{title}: {wording.FEATURES[features.status]}"]
    if features.status is FeatureStatus.SERVED:
        ages = ", ".join(
            f"{view} {wording.age(record.decided_at_ms - at)}" for view, at in sorted(features.event_times_ms.items())
        )
        lines[0] += f" ({ages})" if ages else ""
    if features.stale_views:
        lines.append(f"  stale, so not known any more: {', '.join(features.stale_views)}")
    known = {name: of for name, of in features.values.items() if not is_unread(features.unread, name)}
    lines += _values("", known)
    if unread := ", ".join(sorted(features.values.keys() - known.keys())):
        lines.append(f"  {wording.NOT_READ}: {unread}")
    return [*lines, *_values("live.", part.candidate.live)]


def _values(prefix: str, values: Mapping[str, object]) -> list[str]:
    lines = [f"  {prefix}{name} = {wording.value(of)}" for name, of in sorted(values.items()) if of is not None]
    if missing := ", ".join(f"{prefix}{name}" for name, of in sorted(values.items()) if of is None):
        lines.append(f"  missing: {missing}")
    return lines
