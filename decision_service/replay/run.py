"""`nba replay`: a logged experiment through the whole product, row by row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import numpy as np

from decision_service.client import Answer
from decision_service.contract.model_artifact import registered_name
from decision_service.core.choice import encoding
from decision_service.core.guardrails.live import live_values
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.record import ModelVersion
from decision_service.operation import bootstrap
from decision_service.operation.sandbox import Progress, Sandbox, silent
from decision_service.operation.settings import Settings
from decision_service.replay import result as values
from decision_service.replay.experiment import LoggedExperiment
from decision_service.replay.presentation import Presented, present
from decision_service.replay.program import (
    REWARD_WINDOW_S,
    checkpoint_rows,
    default_reward,
    feature_table,
    largest_probability,
    program_document,
)
from decision_service.replay.result import ModelStep, ReplayResult
from decision_service.replay.runner import Kept, Runner
from training.gate import GateRules, Look
from training.pipeline import Plan

BATCH = 32
ASKING_THREADS, REPORTING_THREADS = 8, 4
START_MS = 1_767_571_200_000
AUTHOR = "nba replay"
LOGGED = "SELECT decision_id, action, actions, probabilities FROM decisions ORDER BY decided_at_ms"


def run_replay(
    settings: Settings,
    experiment: LoggedExperiment,
    progress: Progress = silent,
    checkpoints: int = 8,
    home: Path | None = None,
    seed: int = 1,
) -> ReplayResult:
    """Present every row, decide where the row tells what comes of it, train at checkpoints, and value what was served.

    Args:
        experiment: its rows in the order in which they come.
        checkpoints: how often models are trained; the last time after the last row. 0: uniform throughout.
        home: an empty folder, or one of an earlier replay, which is emptied; `home/replay` of the settings by default.
        seed: of which rows become decisions; ≥ 0. The same rows in the same order give the same result.

    Raises:
        InvalidRequest: `home` holds other things.
        Unavailable: a part did not come up.
    """
    started = time.monotonic()
    progress("starting", 0, 3)
    with Sandbox(settings, home or settings.home / "replay", START_MS) as sandbox:
        _publish_features(sandbox, experiment, progress)
        progress("starting", 1, 3)
        sandbox.start()
        progress("starting", 2, 3)
        sandbox.client.apply_program(program_document(experiment), AUTHOR)
        sandbox.await_programs([experiment.name])
        progress("starting", 3, 3)
        replay = _Replay.of(sandbox, experiment, seed)
        total, half = len(experiment.rows), len(experiment.rows) // 2
        trained_after = checkpoint_rows(total, checkpoints)
        midway: str | None = None
        for first, last in _stretches(total, {*trained_after, half}):
            if first == half:
                midway = replay.champion
            replay.serve(first, last, progress)
            if last in trained_after:
                replay.learn(last)
        progress("audit", 0, 1)
        sandbox.drain()
        result = replay.result(midway, half, started)
        progress("audit", 1, 1)
        return result


def _publish_features(sandbox: Sandbox, experiment: LoggedExperiment, progress: Progress) -> None:
    """Features to the warehouse, from there to Feast, and by it to Redis."""
    from feature_repo.tables import apply_table

    table = f"{experiment.name}_customers"
    sandbox.warehouse.replace(table, feature_table(experiment))
    apply_table(
        sandbox.settings.feature_repo,
        sandbox.settings.features_path,
        sandbox.settings.features_address,
        experiment.name,
        sandbox.warehouse.query(f"SELECT * FROM {table}"),
        experiment.feature_types,
        ttl_s=0,
        now_ms=START_MS,
        progress=progress,
    )


def _stretches(total: int, cuts: set[int]) -> list[tuple[int, int]]:
    """[0, total) cut at the given places."""
    ends = sorted({cut for cut in cuts if 0 < cut < total} | {total})
    return list(zip([0, *ends[:-1]], ends, strict=True))


@dataclass(frozen=True, slots=True)
class _Made:
    """A decision that was acknowledged; the share of rows that became decisions then was in proportion to 1/most."""

    row: Presented
    most: float


@dataclass(slots=True)
class _Replay:
    """A replay under way.

    presented: each row as the service is asked about it, None where it is rejected. made: by decision id.
    """

    sandbox: Sandbox
    experiment: LoggedExperiment
    presented: Sequence[Presented | None]
    runner: Runner
    made: dict[str, _Made] = field(default_factory=dict)
    champion: str | None = None
    steps: list[ModelStep] = field(default_factory=list)

    @classmethod
    def of(cls, sandbox: Sandbox, experiment: LoggedExperiment, seed: int) -> _Replay:
        """Before the first row."""
        runner = Runner(
            client=sandbox.client,
            program=experiment.name,
            outcome=experiment.reward.outcome,
            default_reward=default_reward(experiment),
            draw=sandbox.draw,
        )
        return cls(sandbox, experiment, present(experiment, seed), runner)

    def serve(self, first: int, last: int, progress: Progress) -> None:
        """Make those of rows [first, last) that are kept into decisions, and report what came of them.

        Batches are asked about in parallel, but decisions are made one by one, each in a millisecond of its own: models
        learn in the order of decisions, which must not depend on which thread was faster.
        """
        most = largest_probability(len(self.experiment.contact_arms) + 1, self.champion is not None)
        batches = [
            [row for row in self.presented[i : min(i + BATCH, last)] if row is not None]
            for i in range(first, last, BATCH)
        ]
        reports: list[Future[None]] = []
        with (
            ThreadPoolExecutor(ASKING_THREADS, "asking") as asking,
            ThreadPoolExecutor(REPORTING_THREADS, "reporting") as reporting,
        ):
            asked = asking.map(self.runner.kept, batches, repeat(most))
            for i, kept in enumerate(asked, start=1):
                reports.append(reporting.submit(self.runner.report, [self._decide(each, most) for each in kept]))
                progress("rows", min(first + i * BATCH, last), len(self.presented))
        for report in reports:
            report.result()

    def _decide(self, kept: Kept, most: float) -> tuple[Presented, Answer]:
        self.sandbox.clock.set(self.sandbox.clock.now_ms() + 1)
        answer = self.sandbox.client.decide(kept.request)
        self.made[answer.decision_id] = _Made(kept.row, most)
        return kept.row, answer

    def learn(self, after_rows: int) -> None:
        """Let rewards mature, train, and wait until a promoted model serves."""
        self.sandbox.mature(REWARD_WINDOW_S)
        for run in self.sandbox.learn(Plan(rules=self._rules())):
            self.steps.append(ModelStep(after_rows, run.version, run.verdict, (run.note,)))
            if run.verdict == "PROMOTE":
                self.champion = run.version

    def _rules(self) -> GateRules:
        """Each challenger is judged once, on rows that it has not seen: one look. It has learned from more rows than
        the champion, and replaces it unless it may be worse by more than a margin."""
        return GateRules(look=Look.ONE_SHOT, margin=self.experiment.reward.margin)

    def result(self, midway: str | None, half: int, started: float) -> ReplayResult:
        """Everything valued, from what the warehouse holds."""
        experiment, warehouse = self.experiment, self.sandbox.warehouse
        audited = self.sandbox.audit(self.made)
        logged = warehouse.query(LOGGED).to_pylist()
        options = [dict(zip(row["actions"], row["probabilities"], strict=True)) for row in logged]
        known = [(self.made[row["decision_id"]], row["action"]) for row in logged if row["decision_id"] in self.made]
        matched = [made for made, action in known if made.row.action == action]
        served = [made for made in matched if made.row.action in experiment.arm_actions]
        best = {version: self._best_arms(version, half) for version in {self.champion, midway} - {None} if version}
        valued = {version: values.policy_value(experiment, actions, first=half) for version, actions in best.items()}
        return ReplayResult(
            dataset=experiment.name,
            reward=experiment.reward.outcome,
            margin=experiment.reward.margin,
            rows=len(experiment.rows),
            presented=sum(row is not None for row in self.presented),
            decisions=audited.section("duplicates").checked,
            matched=len(matched),
            missing=audited.section("missing").violations,
            duplicates=audited.section("duplicates").violations,
            served_value=values.served_value(
                experiment, [made.most for made in served], [made.row.reward for made in served]
            ),
            uniform_value=values.uniform_value(experiment),
            fixed_values=values.fixed_values(experiment),
            champion_value=valued.get(self.champion or ""),
            midway_value=valued.get(midway or ""),
            chi_square_p=values.draws_p_value(options, [row["action"] for row in logged]),
            steps=tuple(self.steps),
            seconds=time.monotonic() - started,
        )

    def _best_arms(self, version: str, first: int) -> list[str]:
        """Which arm a model version would choose without exploration for the rows from `first` on."""
        settings = self.sandbox.settings
        program = self.sandbox.published().programs[self.experiment.name]
        model = ModelVersion(registered_name(program.name), version, encoding.ENCODER_VERSION)
        scorer = bootstrap.open_catalogue(settings, bootstrap.open_features(settings)).scorer(model)
        arms = [action for action in program.all_actions if action.id in self.experiment.arm_actions]
        live = live_values(program, CustomerState(), self.sandbox.clock.now_ms())
        chosen = []
        for row in self.experiment.rows[first:]:
            known = encoding.known_values(row.features, live, {})
            predicted = scorer.predict(scorer.encode(known, arms), len(arms))
            chosen.append(arms[int(np.argmax(predicted))].id)
        return chosen
