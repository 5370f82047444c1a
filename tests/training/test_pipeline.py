"""One training run after another: a better model is promoted, an equal one is not, and nothing happens twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from decision_service.adapters.cel_rules import CelRules
from decision_service.adapters.mlflow.catalogue import MlflowCatalogue
from decision_service.adapters.mlflow.store import CHALLENGER, CHAMPION, DIGEST_TAG
from decision_service.adapters.vw import VwScorer
from decision_service.core.choice.encoding import encode, known_values, model_inputs
from decision_service.core.guardrails.live import live_names
from decision_service.core.model.program import NO_ACTION_ACTION, BaselineRule, GroupShares, LearningMode
from decision_service.core.model.record import PolicyKind
from decision_service.core.model.values import NO_ACTION
from tests.support.lived import PROGRAM, SCHEMA, Shop, Taste, indifferent
from training import promote
from training.fit import Candidate, examples
from training.pipeline import HOLDOUT, SKIPPED, Plan, TrainReport, encoding_mismatches, train_program
from training.track import Tracking

PLAN = Plan(candidates=(Candidate("-q UA -l 0.05", 4), Candidate("-q UA -l 0.5", 1)))


class Bench:
    """A shop, its registry, and what workers were told."""

    def __init__(self, tracking_uri: str, folder: Path) -> None:
        self.shop = Shop()
        self.tracking = Tracking(tracking_uri, folder / "artifacts")
        self.catalogue = MlflowCatalogue(tracking_uri, VwScorer, lambda service: service == "customer_v1")
        self.notices = 0

    def notify(self) -> None:
        """Count a notice."""
        self.notices += 1

    def live(self, count: int, taste: Taste | None = None) -> None:
        """Let workers decide with what they serve."""
        self.catalogue.refresh(["spring"])
        arguments = {} if taste is None else {"taste": taste}
        self.shop.live(count, self.catalogue.champion("spring"), **arguments)

    def train(self, plan: Plan = PLAN) -> TrainReport:
        """One run."""
        return train_program(
            self.shop.warehouse,
            self.shop.program,
            SCHEMA,
            self.shop.program_at,
            self.tracking,
            self.catalogue,
            self.shop.now_ms,
            self.notify,
            CelRules(),
            plan,
        )


@pytest.fixture
def bench(tracking_uri: str, tmp_path: Path) -> Bench:
    """Nothing decided yet."""
    return Bench(tracking_uri, tmp_path)


def test_the_loop_closes(bench: Bench) -> None:
    """Uniform decisions train a model that is proven better, promoted, served, logged and trained on again."""
    bench.live(2000)
    report = bench.train()
    assert report.verdict == "PROMOTE", report.reason
    assert report.version == report.champion == bench.tracking.aliased("spring", CHAMPION) == "1"
    assert bench.notices == 1
    (entry,) = promote.history(bench.shop.warehouse, "spring")
    assert (entry.verdict, entry.from_version, entry.to_version) == ("PROMOTE", None, "1")
    assert entry.digest == bench.tracking.tags("spring", "1")[DIGEST_TAG]
    assert Path(str(entry.report["report_uri"]).removeprefix("file://")).read_text().startswith("<!")

    learned_from = bench.shop.dataset().split(HOLDOUT)[0].action_rows
    bench.live(1000)
    champion = bench.catalogue.champion("spring")
    assert champion is not None
    assert champion.examples == learned_from
    served = bench.shop.records[-1000:]
    assert {record.policy for record in served} == {PolicyKind.MODEL}
    rows = bench.shop.dataset().rows
    before, after = (sum(row.reward for row in part) / len(part) for part in (rows[:2000], rows[2000:]))
    assert before == pytest.approx(0.37, abs=0.04)
    assert after == pytest.approx(0.9 * 0.8 + 0.1 * 0.37, abs=0.06)

    again = bench.train()
    assert again.version == "2"
    assert (again.verdict == "PROMOTE") == (bench.tracking.aliased("spring", CHAMPION) == "2")
    assert bench.tracking.aliased("spring", CHALLENGER) == "2"
    assert len(promote.history(bench.shop.warehouse, "spring")) == 2


def test_training_encodes_what_serving_encoded(bench: Bench) -> None:
    """Law 7: after Decide, protobuf, log and warehouse, the text to learn from is the text served, byte for byte."""
    bench.live(600)
    bench.train(replace(PLAN, least_rows=100))
    version = bench.tracking.aliased("spring", CHALLENGER)
    assert version is not None
    bench.tracking.set_alias("spring", CHAMPION, version)
    bench.live(300)
    bench.catalogue.refresh(["spring"])
    scorer = bench.catalogue.champion("spring")
    assert scorer is not None
    dataset = bench.shop.dataset()
    recent = dataset.between(dataset.rows[-300].decided_at_ms, 2**62)
    assert all(row.model_version == version and row.encoding_digest for row in recent.rows)
    assert encoding_mismatches(recent, scorer) == 0

    inputs = model_inputs(PROGRAM, SCHEMA, live_names(PROGRAM))
    served = {}
    for record in bench.shop.records[-300:]:
        known = known_values(record.features.values, record.live, record.request.context)
        actions = {action.id: action for action in (*PROGRAM.actions, NO_ACTION_ACTION)}
        served[record.decision_id] = encode(inputs, known, [actions[option.action] for option in record.options])
    for row, text in zip(recent.rows, examples(recent, inputs), strict=True):
        lines = [line.partition(" ")[2] if line.startswith("0:") else line for line in text.split("\n")]
        assert "\n".join(lines) == served[row.decision_id]

    tampered = replace(recent, rows=(replace(recent.rows[0], known={**recent.rows[0].known, "age": 1}),))
    assert encoding_mismatches(tampered, scorer) == 1


def test_a_model_that_is_no_better_is_not_promoted(bench: Bench) -> None:
    """Where nothing makes a difference, the candidate is registered for inspection and the champion stays none."""
    bench.live(1500, indifferent)
    report = bench.train()
    assert report.verdict in ("HOLD", "INSUFFICIENT")
    assert report.champion is None
    assert bench.tracking.aliased("spring", CHAMPION) is None
    assert bench.tracking.aliased("spring", CHALLENGER) == report.version == "1"
    assert bench.notices == 0
    assert [entry.verdict for entry in promote.history(bench.shop.warehouse, "spring")] == [report.verdict]


def test_nothing_new_is_nothing_to_do(bench: Bench) -> None:
    """Running again without new decisions, or with few, or before there are enough, changes nothing."""
    assert bench.train().verdict == SKIPPED
    bench.live(100)
    assert "100 learnable decisions; training starts at 300" in bench.train().reason
    bench.live(400)
    assert bench.train().verdict != SKIPPED
    assert bench.train().verdict == SKIPPED
    bench.live(20)
    report = bench.train()
    assert (report.verdict, report.reason) == (
        SKIPPED,
        "20 new learnable decisions since the last run; the next starts at 50",
    )
    assert len(promote.history(bench.shop.warehouse, "spring")) == 1
    # Other inputs are another matter: the marketer took a feature from the model.
    bench.shop.program = replace(PROGRAM, model_excludes=frozenset({"timezone", "age"}))
    assert bench.train().verdict != SKIPPED


def test_where_the_baseline_serves_it_is_what_a_model_has_to_beat(bench: Bench) -> None:
    """An apprentice that is better than uniform draws and no better than business as usual stays one; the rows are
    those of RANDOM_CONTROL."""
    bench.shop.program = replace(
        PROGRAM,
        learning_mode=LearningMode.APPRENTICE,
        groups=GroupShares("salt", treatment=0, random_control=10_000),
        baseline=(BaselineRule("email_a", "customer.segment == 'x'"), BaselineRule("push_b")),
    )
    bench.live(2000)
    report = bench.train()
    assert report.verdict != "PROMOTE"
    assert "the baseline that serves now" in report.reason
    assert report.difference is not None
    assert report.difference[0] < 0.05
    bench.shop.program = replace(bench.shop.program, baseline=(BaselineRule(NO_ACTION),))
    report = bench.train()
    assert (report.verdict, "the baseline that serves now" in report.reason) == ("PROMOTE", True)
    # The next beats that baseline as well, and not the model that has been proven already.
    bench.live(1000)
    report = bench.train()
    assert report.verdict != "PROMOTE"
    assert "the model that serves now" in report.reason


def test_a_rolled_back_model_does_not_come_back_by_itself(bench: Bench) -> None:
    """The same rows do not promote the same model again after a rollback."""
    bench.live(2000)
    assert bench.train().promoted
    now_ms = bench.shop.now_ms
    entry = promote.Entry("spring", now_ms + 5, "ROLLBACK", "1", "1", "", "ops", "", {})
    promote.apply(bench.shop.warehouse, bench.tracking, entry, bench.notify)
    assert bench.train().verdict == SKIPPED


def test_a_champion_that_no_longer_loads_is_judged_as_what_serves_instead(bench: Bench) -> None:
    """Workers refuse it and draw uniformly, so the challenger has to beat uniform draws."""
    bench.live(2000)
    assert bench.train().promoted
    bench.tracking.tag("spring", "1", DIGEST_TAG, "0" * 64)
    bench.catalogue = MlflowCatalogue(bench.tracking.uri, VwScorer, lambda _: True)
    bench.live(200)
    report = bench.train()
    assert report.verdict == "PROMOTE"
    assert "uniform" in report.reason
