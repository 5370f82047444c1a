"""The arrows of the learning cycle, wired: each can be run again at any time and changes nothing that is done."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from decision_service.adapters.clocks import clock_from
from decision_service.core.model.errors import InvalidRequest, NbaError, NotFound, Unavailable
from decision_service.core.model.program import ContactPolicy, Program
from decision_service.core.model.values import ValueType
from decision_service.operation import bootstrap
from decision_service.operation.settings import Settings

if TYPE_CHECKING:
    from decision_service.adapters.feast.features import RefreshableSource
    from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
    from decision_service.adapters.redis.policies import RedisPolicies
    from decision_service.adapters.redis.signals import RedisSignals
    from decision_service.application.ports import Warehouse
    from decision_service.audit import Asked, Report
    from decision_service.simulation.report import SimulationReport
    from decision_service.simulation.versions import VersionsByLedger
    from training.pipeline import Plan
    from training.promote import Entry
    from training.track import Tracking

log = logging.getLogger(__name__)

FAILED = "FAILED"

Progress = Callable[[str, int, int], None]


def build_features(
    settings: Settings, progress: Progress | None = None, *, allow_removals: bool = False
) -> dict[str, Any]:
    """SQL over the warehouse → feature tables → Feast → online store.

    Raises:
        InvalidRequest: every mistake in the SQL.
        Conflict: too much would be taken from the online store, and `allow_removals` is not given; nothing is written.
    """
    from feature_repo.build import build_features as build
    from feature_repo.removals import Allowed

    allowed = Allowed(1.0) if allow_removals else Allowed(settings.feature_removals_share, _guarded(settings))
    report = build(
        bootstrap.open_warehouse(settings),
        settings.feature_repo,
        settings.features_path,
        settings.features_address,
        clock_from(settings.clock).now_ms(),
        progress=progress,
        allowed=allowed,
    )
    return asdict(report)


def _guarded(settings: Settings) -> frozenset[str]:
    """Features that the contact policy in force reads; of the empty one, where the ledger does not answer."""
    try:
        policy = bootstrap.open_policies(settings).current().policy
    except Unavailable:
        policy = ContactPolicy()
    return frozenset({*policy.consent.features.values(), policy.timezone_feature})


def load(settings: Settings) -> dict[str, int]:
    """Log → warehouse, until the log is drained; rows by table. As the loader does, it first recognises the ledger."""
    from decision_service.operation.recognition import recognise
    from decision_service.warehouse.loader import drain

    reader, warehouse = bootstrap.open_log(settings), bootstrap.open_warehouse(settings)
    recognise(settings, bootstrap.open_installation(settings), warehouse)
    now_ms = clock_from(settings.clock).now_ms
    return {kind.value: rows for kind, rows in drain(reader, warehouse, now_ms, settings.load_batch).items()}


def join(settings: Settings) -> dict[str, Any]:
    """Outcomes → rewards, and customers → assignments, under the programs published; these go to the warehouse too, for
    those who ask it."""
    from decision_service.warehouse.versions import copy_versions
    from training.assignments import record_assignments, record_reward_weights
    from training.join import join_outcomes

    policies, warehouse = bootstrap.open_policies(settings), bootstrap.open_warehouse(settings)
    programs = policies.current().programs
    copy_versions(policies, bootstrap.open_installation(settings).claim(), warehouse)
    with _alone(settings, "join"):
        joined = join_outcomes(warehouse, programs, clock_from(settings.clock).now_ms())
        record_reward_weights(warehouse, programs)
        return {**asdict(joined), **asdict(record_assignments(warehouse))}


@dataclass(frozen=True, slots=True)
class _Learning:
    """What training and promotion work with."""

    warehouse: Warehouse
    tracking: Tracking
    catalogue: MlflowCatalogue
    features: RefreshableSource
    policies: RedisPolicies
    signals: RedisSignals
    now_ms: int


def _learning(settings: Settings) -> _Learning:
    from training.track import Tracking

    features = bootstrap.open_features(settings)
    return _Learning(
        bootstrap.open_warehouse(settings),
        Tracking(settings.tracking_uri, None if settings.mlflow_uri else settings.artifacts_path),
        bootstrap.open_catalogue(settings, features),
        features,
        bootstrap.open_policies(settings),
        bootstrap.open_signals(settings),
        clock_from(settings.clock).now_ms(),
    )


def train(settings: Settings, program: str = "", plan: Plan | None = None) -> dict[str, dict[str, object]]:
    """Rewards → challenger → evaluation → gate → registry; a report per program.

    Raises:
        NotFound: no such program.
    """
    from decision_service.adapters.cel_rules import CelRules
    from training.pipeline import train_program

    chosen = _chosen(settings, program)
    reports: dict[str, dict[str, object]] = {}
    with _alone(settings, "promotion"):
        parts = _learning(settings)
        versions = _versions(settings, parts.warehouse, parts.policies)
        for name, one in chosen.items():
            try:
                reports[name] = train_program(
                    parts.warehouse,
                    one,
                    _schema(parts.features, one),
                    versions.program_at,
                    parts.tracking,
                    parts.catalogue,
                    parts.now_ms,
                    parts.signals.models_changed,
                    CelRules(),
                    plan,
                ).to_json()
            except NbaError as error:  # one program's trouble is not the others'
                log.warning("%s could not be trained: %s", name, error)
                reports[name] = {"program": name, "verdict": FAILED, "version": None, "reason": str(error)}
    return reports


def _schema(features: RefreshableSource, program: Program) -> Mapping[str, ValueType]:
    """The features a model may learn from; none where they were not built yet: decisions were made on context."""
    try:
        return features.schema(program.feature_service)
    except NotFound:
        return {}


@contextmanager
def _alone(settings: Settings, job: str) -> Iterator[None]:
    """One at a time does the job in this home; the system frees the lock however its holder ends."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / f"{job}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def promote(settings: Settings, program: str, version: int, author: str) -> dict[str, object]:
    """Registered version → champion, by hand."""
    from training import promote as ledger

    _chosen(settings, program)
    with _alone(settings, "promotion"):
        parts = _learning(settings)
        entry = ledger.promote(
            parts.warehouse,
            parts.tracking,
            parts.catalogue,
            program,
            str(version),
            author,
            parts.now_ms,
            parts.signals.models_changed,
        )
    return _moved(entry)


def rollback(settings: Settings, program: str, to_version: int | None, author: str) -> dict[str, object]:
    """Champion → an earlier one."""
    from training import promote as ledger

    _chosen(settings, program)
    with _alone(settings, "promotion"):
        parts = _learning(settings)
        entry = ledger.rollback(
            parts.warehouse,
            parts.tracking,
            parts.catalogue,
            program,
            author,
            parts.now_ms,
            parts.signals.models_changed,
            None if to_version is None else str(to_version),
        )
    return _moved(entry)


def _moved(entry: Entry | None) -> dict[str, object]:
    if entry is None:
        return {"changed": False}
    return {"changed": True, "from": entry.from_version, "to": entry.to_version, "digest": entry.digest}


def learn(settings: Settings, progress: Progress | None = None) -> dict[str, dict[str, object]]:
    """One turn of the whole cycle but the load, which the loader does all the time.

    Features that cannot be built keep nobody from learning: decisions are made, and learned from, without them.
    """
    try:
        build_features(settings, progress)
    except NbaError as error:
        log.warning("features were not built: %s", error)
    join(settings)
    return train(settings)


def audit(settings: Settings, asked: Asked | None = None, acknowledged: Iterable[str] | None = None) -> Report:
    """Whether the guardrails held, by the warehouse; the ledger is asked only for versions that are not there yet."""
    from decision_service.audit import audit as audit_warehouse

    try:
        policies, own_ids = bootstrap.open_policies(settings), _own_ids(settings)
    except Unavailable:
        policies, own_ids = None, frozenset()
    return audit_warehouse(bootstrap.open_warehouse(settings), policies, asked, acknowledged, own_ids)


def _own_ids(settings: Settings) -> frozenset[str]:
    """The ids that records of the ledger bear which answers now."""
    installation = bootstrap.open_installation(settings).look()
    return installation.known_as if installation is not None else frozenset()


def _versions(settings: Settings, warehouse: Warehouse, policies: RedisPolicies | None) -> VersionsByLedger:
    """What was published, also in ledgers of before. policies: None if the ledger does not answer."""
    from decision_service.simulation.versions import VersionsByLedger

    return VersionsByLedger(warehouse, policies, _own_ids(settings) if policies is not None else ())


def _chosen(settings: Settings, program: str) -> Mapping[str, Program]:
    programs = bootstrap.open_policies(settings).current().programs
    if not programs:
        raise InvalidRequest.of("program", "none is published; use `nba apply FILE`")
    if not program:
        return programs
    if program not in programs:
        raise NotFound("program", program, f"published are {', '.join(sorted(programs))}")
    return {program: programs[program]}


def simulate(
    settings: Settings,
    document: str,
    contact_policy_document: str,
    from_ms: int,
    until_ms: int,
    features: tuple[str, ...] = (),
    progress: Progress | None = None,
) -> SimulationReport:
    """Logged decisions of [from_ms, until_ms) replayed through a proposed program, and contact policy if one is given.

    Raises:
        InvalidRequest: every mistake of both documents and of the period.
        NotFound, ModelRejected: what decisions were made with is no longer there.
    """
    from decision_service.adapters.cel_rules import CelRules
    from decision_service.documents import Surroundings
    from decision_service.simulation.proposal import check
    from decision_service.simulation.run import simulate as run
    from decision_service.simulation.versions import latest_program

    warehouse = bootstrap.open_warehouse(settings)
    try:
        policies = bootstrap.open_policies(settings)
    except Unavailable:  # a home can be studied when nothing runs in it
        versions, beside, in_force = _versions(settings, warehouse, None), None, None
    else:
        versions = _versions(settings, warehouse, policies)
        beside = Surroundings(policies.current().policy, lambda _: None)
        in_force = policies.current().programs
    proposal = check(document, contact_policy_document, from_ms, until_ms, features, beside)
    name = proposal.program.name
    proposal = proposal.after(latest_program(warehouse, name) if in_force is None else in_force.get(name))
    models = bootstrap.open_registry(settings)
    return run(proposal, warehouse, versions.of, CelRules(), models.scorer, progress or (lambda *_: None))


def last_day(settings: Settings) -> tuple[int, int]:
    """The 24 hours up to the last decision in the warehouse, as [from_ms, until_ms).

    Raises:
        InvalidRequest: it has none.
    """
    rows = bootstrap.open_warehouse(settings).query("SELECT max(decided_at_ms) AS last_ms FROM decisions").to_pylist()
    if rows[0]["last_ms"] is None:
        raise InvalidRequest.of("period", "the warehouse has no decisions yet; run `nba load` or wait for the loader")
    until_ms = rows[0]["last_ms"] + 1
    return until_ms - 86_400_000, until_ms
