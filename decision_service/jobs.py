"""The arrows of the learning cycle, wired: each can be run again at any time and changes nothing that is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from decision_service import bootstrap
from decision_service.adapters.clocks import clock_from
from decision_service.core.errors import InvalidRequest, NotFound
from decision_service.core.program import Program
from decision_service.settings import Settings

if TYPE_CHECKING:
    from decision_service.core.explain import Explanation

Progress = Callable[[str, int, int], None]


def build_features(settings: Settings, progress: Progress | None = None) -> dict[str, Any]:
    """SQL over the warehouse → feature tables → Feast → online store."""
    from feature_repo.build import build_features as build

    report = build(
        bootstrap.open_warehouse(settings),
        settings.feature_repo,
        settings.features_path,
        settings.features_address,
        clock_from(settings.clock).now_ms(),
        progress=progress,
    )
    return asdict(report)


def load(settings: Settings) -> dict[str, int]:
    """Log → warehouse, until the log is drained; rows by table."""
    from decision_service.loader import drain

    return {kind.value: rows for kind, rows in drain(
        bootstrap.open_log(settings), bootstrap.open_warehouse(settings), settings.load_batch
    ).items()}


def join(settings: Settings) -> dict[str, Any]:
    """Outcomes → rewards."""
    from training.join import join_outcomes

    programs = bootstrap.open_policies(settings).current().programs
    return asdict(join_outcomes(bootstrap.open_warehouse(settings), programs, clock_from(settings.clock).now_ms()))


def train(settings: Settings, program: str = "") -> dict[str, dict[str, Any]]:
    """Rewards → challenger → evaluation → gate → registry; a report per program.

    Raises:
        NotFound: no such program.
    """
    from training.pipeline import train_program

    signals = bootstrap.open_signals(settings)
    warehouse = bootstrap.open_warehouse(settings)
    features = bootstrap.open_features(settings)
    now_ms = clock_from(settings.clock).now_ms()
    policies = bootstrap.open_policies(settings)
    return {
        name: train_program(
            warehouse,
            chosen,
            features.schema(chosen.feature_service),
            policies.program_at,
            settings.tracking_uri,
            now_ms=now_ms,
            notify=signals.models_changed,
        ).to_json()
        for name, chosen in _chosen(settings, program).items()
    }


def promote(settings: Settings, program: str, version: int, author: str) -> dict[str, Any]:
    """Registered version → champion, by hand."""
    raise NotImplementedError(program, version, author)


def rollback(settings: Settings, program: str, to_version: int | None, author: str) -> dict[str, Any]:
    """Champion → an earlier one."""
    raise NotImplementedError(program, to_version, author)


def learn(settings: Settings, progress: Progress | None = None) -> dict[str, dict[str, Any]]:
    """One turn of the whole cycle but the load, which the loader does all the time."""
    build_features(settings, progress)
    join(settings)
    return train(settings)


def explain_from_warehouse(settings: Settings, decision_id: str) -> Explanation | None:
    """The explanation of a decision that the ledger no longer retains; None if the warehouse has none either."""
    from decision_service.codec import decode_record
    from decision_service.core.explain import explain

    warehouse = bootstrap.open_warehouse(settings)
    rows = warehouse.query("SELECT record FROM decisions WHERE decision_id = $id", {"id": decision_id}).to_pylist()
    if not rows:
        return None
    record = decode_record(rows[0]["record"])
    policies = bootstrap.open_policies(settings)
    program = policies.program_at(record.request.program, record.program_version)
    return explain(record, program, policies.policy_at(record.policy_version))


def _chosen(settings: Settings, program: str) -> Mapping[str, Program]:
    programs = bootstrap.open_policies(settings).current().programs
    if not programs:
        raise InvalidRequest.of("program", "none is published; use `nba apply FILE`")
    if not program:
        return programs
    if program not in programs:
        raise NotFound("program", program, f"published are {', '.join(sorted(programs))}")
    return {program: programs[program]}
