"""From a decision to its record and back, and comparing a logged decision with its recomputation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from decision_service.core.decide import Decision, Entrant, Inputs
from decision_service.core.model.program import ContactPolicy, Program
from decision_service.core.model.record import Candidate, DecisionRecord


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Whether recomputing gave the logged decision; each difference as `field: logged → recomputed`."""

    identical: bool
    differences: tuple[str, ...] = ()


def record_of(
    inputs: Inputs,
    decision: Decision,
    body_digest: str = "",
    timings_us: Mapping[str, int] | None = None,
    decision_id: str = "",
    ledger_id: str = "",
) -> DecisionRecord:
    """What is logged of a decision; `inputs_of` gets its inputs back."""
    decided = decision.decided
    program = inputs.entrants[decision.winner].program
    return DecisionRecord(
        decision_id=decision_id,
        request=inputs.request,
        body_digest=body_digest,
        decided_at_ms=inputs.now_ms,
        program=decided.program,
        program_version=decided.program_version,
        policy_version=inputs.policy.version,
        model=decided.model,
        features=decided.features,
        live=decided.live,
        state=inputs.state,
        group=decided.group,
        learning_mode=decided.learning_mode,
        policy=decided.policy,
        options=decided.options,
        exclusions=decided.exclusions,
        draw=decision.draw,
        drawn=decision.drawn,
        chosen=decision.drawn,
        channel=program.action(decision.drawn).channel,
        reservation=decision.reservation,
        degradations=decided.degradations,
        trainable=decision.trainable,
        encoding_digest=decided.encoding_digest,
        timings_us=timings_us or {},
        program_probability=decided.probability,
        program_score=decided.score,
        others=tuple(c for i, c in enumerate(decision.candidates) if i != decision.winner),
        timezone=decision.timezone,
        budget_levels=inputs.budget_levels,
        ledger_id=ledger_id,
        in_audience=decided.in_audience,
        global_holdout=decision.global_holdout,
    )


def inputs_of(record: DecisionRecord, programs: Mapping[str, Program], policy: ContactPolicy) -> Inputs:
    """What the decision was made of. programs: name → the version that took part."""
    return Inputs(
        request=record.request,
        entrants=tuple(Entrant(programs[c.program], c.features) for c in record.candidates),
        policy=policy,
        state=record.state,
        now_ms=record.decided_at_ms,
        budget_levels=record.budget_levels,
    )


def compare(record: DecisionRecord, again: Decision) -> ReplayResult:
    """Field by field, without tolerance. A lost race is compared up to its draw: what came after is not replayable.
    What a record of an earlier release does not have is not compared."""
    logged_whole = {"program": record.program, "drawn": record.drawn, "global_holdout": record.global_holdout}
    recomputed_whole = {"program": again.decided.program, "drawn": again.drawn, "global_holdout": again.global_holdout}
    differences = _differences("", _logged(logged_whole), recomputed_whole)
    for logged, recomputed in zip(record.candidates, again.candidates, strict=True):
        prefix = f"{logged.program}." if record.others else ""
        differences += _differences(prefix, _logged(_outputs(logged)), _outputs(recomputed))
    if record.chosen == record.drawn:
        differences += _differences("", {"reservation": record.reservation}, {"reservation": again.reservation})
    return ReplayResult(not differences, tuple(differences))


def _outputs(candidate: Candidate) -> dict[str, object]:
    values = {field.name: getattr(candidate, field.name) for field in fields(candidate)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


_NOT_ALWAYS_LOGGED = frozenset({"in_audience", "global_holdout"})
"""None in records of an earlier release."""


def _logged(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not None or name not in _NOT_ALWAYS_LOGGED}


def _differences(prefix: str, logged: Mapping[str, object], recomputed: Mapping[str, object]) -> list[str]:
    return [
        f"{prefix}{name}: {logged[name]} → {recomputed[name]}" for name in logged if logged[name] != recomputed[name]
    ]
