"""What load tests run against: the product's own processes, with Feast features, a model and a program in place."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from decision_service.adapters import vw
from decision_service.adapters.mlflow.store import CHAMPION
from decision_service.adapters.redis.embedded import free_port
from decision_service.client import DecisionClient
from decision_service.contract.model_artifact import Manifest, write_artifact
from decision_service.core.choice import encoding
from decision_service.core.guardrails.caps import DAY_MS
from decision_service.core.guardrails.live import live_names
from decision_service.core.model.errors import Unavailable
from decision_service.core.model.program import Action
from decision_service.core.model.values import Value, ValueType
from decision_service.demo.retailer import Retailer, RetailerConfig
from decision_service.demo.source_tables import SourceTables
from decision_service.operation import bootstrap, jobs
from decision_service.operation.settings import Settings
from decision_service.operation.supervisor import Stack
from loadtests.traffic import PROGRAM
from training.track import RunRecord, Tracking

HERE = Path(__file__).parent
CUSTOMERS = 2_000
VW_OPTIONS = "-q UA -l 0.5"
ROWS = 1_000


@dataclass(frozen=True, slots=True)
class Environment:
    """A serving stack, and the customers that its features know."""

    stack: Stack
    customers: Sequence[str]


def settings_in(home: Path, workers: int) -> Settings:
    """Embedded everything in a folder of its own, on free ports."""
    return Settings(home=home, port=free_port(), embedded_redis_port=free_port(), workers=workers)


class Prepared:
    """A context manager: features built, program published, model promoted, workers serving it. No loader runs."""

    def __init__(self, home: Path, workers: int = 1) -> None:
        self._settings = settings_in(home, workers)
        self._stack = Stack(self._settings, loader=False)

    def __enter__(self) -> Environment:
        self._stack.start_redis()
        try:
            customers = self._features()
            self._stack.start(timeout_s=180)
            with DecisionClient(self._stack.target, deadline_ms=30_000) as client:
                client.wait_ready(60)
                client.apply_contact_policy((HERE / "contact_policy.yaml").read_text(), "load test")
                client.apply_program((HERE / "program.yaml").read_text(), "load test")
                self._model(client)
        except BaseException:
            self._stack.stop()
            raise
        return Environment(self._stack, customers)

    def __exit__(self, *_: object) -> None:
        self._stack.stop()

    def _features(self) -> list[str]:
        now_ms = time.time_ns() // 1_000_000
        retailer = Retailer(RetailerConfig(customers=CUSTOMERS, start_ms=now_ms - now_ms % DAY_MS))
        SourceTables(bootstrap.open_warehouse(self._settings)).write(retailer, 0, now_ms)
        jobs.build_features(self._settings)
        return [retailer.customer_id(i) for i in range(CUSTOMERS) if retailer.signup_day[i] < 0]

    def _model(self, client: DecisionClient) -> None:
        """Promote a model of the size that the trainer would make, and wait until it serves."""
        program = bootstrap.open_policies(self._settings).current().programs[PROGRAM]
        features = bootstrap.open_features(self._settings)
        schema = features.schema(program.feature_service)
        features.close()
        inputs = encoding.model_inputs(program, schema, live_names(program))
        rows = list(_rows({**schema, **program.context}, inputs, program.all_actions))
        texts = [
            encoding.label(encoding.encode(inputs, shared, actions), chosen, cost, 1 / len(actions))
            for shared, actions, chosen, cost in rows
        ]
        model = vw.fit(texts, VW_OPTIONS, seed=1)
        now_ms = time.time_ns() // 1_000_000
        manifest = Manifest(
            program=PROGRAM,
            program_version=program.version,
            feature_service=program.feature_service,
            inputs=tuple(inputs),
            actions=tuple(action.id for action in program.all_actions),
            reward=program.reward,
            exploration=program.exploration,
            vw_options=VW_OPTIONS,
            passes=1,
            seed=1,
            rows=len(rows),
            trained_from_ms=0,
            trained_until_ms=now_ms,
            dataset_digest="",
            created_at_ms=now_ms,
        )
        folder = self._settings.home / "model"
        golden = [(shared, actions) for shared, actions, _, _ in rows[:3]]
        digest = write_artifact(folder, manifest, model, vw.serving_copy(model), golden, vw.VwScorer)
        tracking = Tracking(self._settings.tracking_uri, self._settings.artifacts_path)
        version = tracking.register(RunRecord(PROGRAM, {}, {}, {}, (), {}), folder, digest, now_ms).version
        tracking.set_alias(PROGRAM, CHAMPION, version)
        signals = bootstrap.open_signals(self._settings)
        signals.models_changed()
        signals.close()
        wanted = f"version {version}"
        deadline = time.monotonic() + 60
        while any(summary.model != wanted for summary in client.list_programs()):
            if time.monotonic() > deadline:
                raise Unavailable("model", f"not serving: {client.list_programs()}")
            time.sleep(0.1)


def _rows(
    schema: Mapping[str, ValueType], inputs: Sequence[str], actions: Sequence[Action]
) -> Iterator[tuple[dict[str, Value | None], Sequence[Action], int, float]]:
    """Shared values, actions, the index chosen, and its cost; all of it random, so what is learned is noise."""
    source = random.Random(1)
    draw: Mapping[ValueType, Callable[[], Value]] = {
        ValueType.BOOL: lambda: source.random() < 0.5,
        ValueType.INT: lambda: source.randrange(30),
        ValueType.FLOAT: lambda: source.uniform(0, 200),
        ValueType.STRING: lambda: source.choice("abcdefgh"),
        ValueType.STRINGS: lambda: tuple(source.sample("abcdefgh", 2)),
    }
    for _ in range(ROWS):
        shared = {name: draw[schema.get(name, ValueType.INT)]() for name in inputs}
        yield shared, actions, source.randrange(len(actions)), -float(source.random() < 0.1)
