"""`nba replay`: a logged experiment through the whole product, row by row."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from decision_service.contract.model_artifact import registered_name
from decision_service.core.choice import encoding
from decision_service.core.guardrails.live import live_values
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.errors import NbaError
from decision_service.core.model.record import ActivationStatus, DecideRequest, ModelVersion, Outcome
from decision_service.core.model.values import NO_ACTION
from decision_service.operation import bootstrap
from decision_service.operation.sandbox import Progress, Sandbox, silent
from decision_service.operation.settings import Settings
from decision_service.replay import result as values
from decision_service.replay.experiment import LoggedExperiment, LoggedRow
from decision_service.replay.program import (
    MARGIN_SHARE,
    REWARD_WINDOW_S,
    checkpoint_rows,
    default_reward,
    feature_table,
    program_document,
)
from decision_service.replay.result import ModelStep, ReplayResult
from training.gate import GateRules, Look
from training.pipeline import Plan

BATCH = 32
THREADS = 12
START_MS = 1_767_571_200_000
AUTHOR = "nba replay"


def run_replay(
    settings: Settings,
    experiment: LoggedExperiment,
    progress: Progress = silent,
    checkpoints: int = 8,
    home: Path | None = None,
) -> ReplayResult:
    """Decide for every row, reveal the outcomes of matched rows, train at checkpoints, and value what was served.

    Args:
        experiment: its rows in the order in which they come.
        checkpoints: how often models are trained; the last time after the last row. 0: uniform throughout.
        home: an empty folder, or one of an earlier replay, which is emptied; `home/replay` of the settings by default.

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
        replay = _Replay(sandbox, experiment)
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


@dataclass(slots=True)
class _Replay:
    """A replay under way. Time moves by a second for each wave of batches."""

    sandbox: Sandbox
    experiment: LoggedExperiment
    acknowledged: list[str] = field(default_factory=list)
    champion: str | None = None
    steps: list[ModelStep] = field(default_factory=list)

    def serve(self, first: int, last: int, progress: Progress) -> None:
        """Decide for rows [first, last), and report what the experiment reveals."""
        rows, clock = self.experiment.rows, self.sandbox.clock
        with ThreadPoolExecutor(THREADS, "replay") as pool:
            for wave in range(first, last, THREADS * BATCH):
                clock.set(clock.now_ms() + 1_000)
                batches = [
                    rows[i : min(i + BATCH, last)] for i in range(wave, min(wave + THREADS * BATCH, last), BATCH)
                ]
                for ids in pool.map(self._serve_batch, batches):
                    self.acknowledged += ids
                progress("rows", len(self.acknowledged), len(rows))

    def _serve_batch(self, rows: Sequence[LoggedRow]) -> list[str]:
        client, now_ms = self.sandbox.client, self.sandbox.clock.now_ms()
        answers = client.decide_batch(DecideRequest("row", row.customer_id, (self.experiment.name,)) for row in rows)
        outcomes, ids = [], []
        for row, answer in zip(rows, answers, strict=True):
            if isinstance(answer, NbaError):
                raise answer
            ids.append(answer.decision_id)
            reward = self._revealed(row, answer.action)
            if reward is None:
                client.report_activation(answer.decision_id, ActivationStatus.SKIPPED, now_ms)
                continue
            if answer.action != NO_ACTION:
                client.report_activation(answer.decision_id, ActivationStatus.SENT, now_ms)
            if reward != default_reward(self.experiment):
                name = self.experiment.reward.outcome
                outcomes.append(
                    Outcome(
                        "outcome", row.customer_id, name, now_ms, now_ms, reward, answer.decision_id, answer.channel
                    )
                )
        if outcomes:
            client.record_outcomes(outcomes)
        return ids

    def _revealed(self, row: LoggedRow, action: str) -> float | None:
        """The reward of an action if the experiment tells it: where the arm was given, or doing nothing is known."""
        if action == row.arm:
            raw = row.outcomes.get(self.experiment.reward.outcome, 0.0)
            return min(max(raw, self.experiment.reward.low), self.experiment.reward.high)
        return self.experiment.no_action_value if action == NO_ACTION else None

    def learn(self, after_rows: int) -> None:
        """Let rewards mature, train, and wait until a promoted model serves."""
        clock = self.sandbox.clock
        clock.set(clock.now_ms() + (REWARD_WINDOW_S + 1) * 1_000)
        self.sandbox.drain()
        for run in self.sandbox.learn(Plan(rules=self._rules())):
            self.steps.append(ModelStep(after_rows, run.version, run.verdict, (run.note,)))
            if run.verdict == "PROMOTE":
                self.champion = run.version

    def _rules(self) -> GateRules:
        """Each challenger is judged once, on rows that it has not seen: one look. It has learned from more rows than
        the champion, and replaces it unless it may be worse by more than a margin."""
        mean = float(np.mean(self.experiment.rewards()))
        return GateRules(look=Look.ONE_SHOT, margin=MARGIN_SHARE * abs(mean))

    def result(self, midway: str | None, half: int, started: float) -> ReplayResult:
        """Everything valued, from what the warehouse holds."""
        experiment, warehouse = self.experiment, self.sandbox.warehouse
        audited = self.sandbox.audit(self.acknowledged)
        logged = warehouse.query("SELECT customer_id, action, actions, probabilities FROM decisions").to_pylist()
        choices = {row["customer_id"]: row["action"] for row in logged}
        served = [choices.get(row.customer_id, "") for row in experiment.rows]
        options = [dict(zip(row["actions"], row["probabilities"], strict=True)) for row in logged]
        best = {version: self._best_actions(version, half) for version in {self.champion, midway} - {None} if version}
        valued = {version: values.policy_value(experiment, actions, first=half) for version, actions in best.items()}
        return ReplayResult(
            dataset=experiment.name,
            reward=experiment.reward.outcome,
            decisions=audited.section("duplicates").checked,
            missing=audited.section("missing").violations,
            duplicates=audited.section("duplicates").violations,
            matched=sum(
                self._revealed(row, action) is not None for row, action in zip(experiment.rows, served, strict=True)
            ),
            served_value=values.policy_value(experiment, served),
            uniform_value=values.uniform_value(experiment),
            fixed_values=values.fixed_values(experiment),
            champion_value=valued.get(self.champion or ""),
            midway_value=valued.get(midway or ""),
            chi_square_p=values.draws_p_value(options, [row["action"] for row in logged]),
            steps=tuple(self.steps),
            seconds=time.monotonic() - started,
        )

    def _best_actions(self, version: str, first: int) -> list[str]:
        """What a model version would choose without exploration for the rows from `first` on."""
        settings = self.sandbox.settings
        program = self.sandbox.published().programs[self.experiment.name]
        model = ModelVersion(registered_name(program.name), version, encoding.ENCODER_VERSION)
        scorer = bootstrap.open_catalogue(settings, bootstrap.open_features(settings)).scorer(model)
        actions = program.all_actions
        live = live_values(program, CustomerState(), self.sandbox.clock.now_ms())
        chosen = []
        for row in self.experiment.rows[first:]:
            known = encoding.known_values(row.features, live, {})
            predicted = scorer.predict(scorer.encode(known, actions), len(actions))
            chosen.append(actions[int(np.argmax(predicted))].id)
        return chosen
