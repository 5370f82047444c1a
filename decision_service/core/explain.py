"""Why a decision was made, from its record alone: readable text, and the funnel as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from decision_service.core.program import ContactPolicy, Program
from decision_service.core.reasons import Reason
from decision_service.core.record import DecisionRecord, FeatureStatus, PolicyKind
from decision_service.core.values import Value


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """One action: kept, with its probability, or excluded, with the reason and what can be done about it."""

    action: str
    kept: bool
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    probability: float | None = None
    predicted_reward: float | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """For people (`text`) and for programs (`funnel`, `record`)."""

    text: str
    funnel: tuple[FunnelStep, ...]
    record: DecisionRecord


def explain(record: DecisionRecord, program: Program, policy: ContactPolicy) -> Explanation:
    """Explain a record with the program and policy versions it was decided under."""
    kept = sorted(
        (
            FunnelStep(
                o.action,
                kept=True,
                probability=o.probability,
                predicted_reward=o.predicted_reward,
                chosen=o.action == record.chosen,
            )
            for o in record.options
        ),
        key=lambda step: -(step.probability or 0.0),
    )
    excluded = [
        FunnelStep(
            e.action,
            kept=False,
            reason=e.reason,
            detail=_named(e.reason, e.detail, program, policy),
            remedy=e.reason.remedy,
        )
        for e in record.exclusions
    ]
    funnel = (*kept, *excluded)
    return Explanation("\n".join(_lines(record, funnel)), funnel, record)


def _lines(record: DecisionRecord, funnel: tuple[FunnelStep, ...]) -> list[str]:
    request = record.request
    lines = [
        f"{record.chosen} for customer {request.customer_id}, decided {_time(record.decided_at_ms)}",
        f"  decision     {record.decision_id} (request {request.request_id})",
        f"  program      {record.program} version {record.program_version}, contact policy {record.policy_version}",
        f"  group        {record.group} ({'pinned by the caller' if request.pinned_group else 'by salted hash'})",
        f"  learning     {record.learning_mode}",
        f"  chosen by    {_chosen_by(record)}",
    ]
    if record.reservation is not None:
        lines.append(f"  reservation  until {_time(record.reservation.lease_expires_at_ms)}")
        if record.reservation.send_at_ms is not None:
            lines.append(f"  send at      {_time(record.reservation.send_at_ms)}, when quiet hours end")
    lines.extend(f"  note         {reason}: {reason.meaning} {reason.remedy}" for reason in record.degradations)
    lines.append("Actions")
    for step in funnel:
        mark = "→" if step.chosen else " "
        if step.kept:
            reward = "" if step.predicted_reward is None else f", predicted reward {step.predicted_reward:.4g}"
            lines.append(f" {mark} {step.action:<24} kept      probability {step.probability:.4f}{reward}")
        else:
            detail = f" ({step.detail})" if step.detail else ""
            lines.append(f" {mark} {step.action:<24} excluded  {step.reason}{detail}. {step.remedy}")
    lines.extend(_feature_lines(record))
    return lines


def _chosen_by(record: DecisionRecord) -> str:
    by = {
        PolicyKind.MODEL: "the model",
        PolicyKind.UNIFORM: "a uniform draw",
        PolicyKind.BASELINE: "the baseline",
        PolicyKind.HOLDOUT: "the holdout",
    }[record.policy]
    if record.model is not None:
        by += f" {record.model.name} version {record.model.version}"
    if record.policy is PolicyKind.MODEL:
        top = max(record.options, key=lambda o: o.probability)
        by += ", its best" if top.action == record.drawn else ", as exploration"
    if record.policy in (PolicyKind.MODEL, PolicyKind.UNIFORM):
        by += f" (draw {record.draw:.6f})"
    return by


def _feature_lines(record: DecisionRecord) -> list[str]:
    lines = [f"Features served: {record.features.status}"]
    if record.features.status is FeatureStatus.SERVED:
        ages = ", ".join(
            f"{view} {(record.decided_at_ms - at) / 3_600_000:.1f} h old"
            for view, at in sorted(record.features.event_times_ms.items())
        )
        lines[0] += f" ({ages})" if ages else ""
    if record.features.stale_views:
        lines.append(f"  stale, treated as missing: {', '.join(record.features.stale_views)}")
    for title, values in (
        ("", record.features.values),
        ("live.", record.live),
        ("context.", record.request.context),
    ):
        lines.extend(f"  {title}{name} = {_shown(v)}" for name, v in sorted(values.items()) if v is not None)
        if missing := ", ".join(f"{title}{name}" for name, v in sorted(values.items()) if v is None):
            lines.append(f"  missing: {missing}")
    return lines


def _named(reason: Reason, detail: str, program: Program, policy: ContactPolicy) -> str:
    if reason is Reason.FREQUENCY_CAP:
        for owner, caps in (("contact policy", policy.caps), (f"program {program.name}", program.caps)):
            for cap in caps:
                if cap.id == detail:
                    window = f"rolling {cap.window_s} s" if cap.window_s else f"calendar {cap.calendar}"
                    return f"cap {cap.id!r} of the {owner}: {cap.limit} per {window}"
    return detail


def _shown(value: Value) -> str:
    return ", ".join(value) if isinstance(value, tuple) else f"{value:.6g}" if isinstance(value, float) else str(value)


def _time(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
