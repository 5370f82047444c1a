"""One training run of one program: dataset → fit → evaluate → gate → track → promote or hold.

It can be run again at any time. Rows are split by time: the earlier ones fit the challenger (settings included), the
later ones, which neither challenger nor champion learned from, judge it. The model that was judged is the model that
is promoted, byte for byte; it is not refitted to the rows that judged it, since nobody would have judged that model.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from decision_service.adapters.mlflow.store import CHAMPION
from decision_service.adapters.vw import VwScorer
from decision_service.application.ports import Warehouse
from decision_service.contract.model_artifact import GoldenContext, Manifest, registered_name, write_artifact
from decision_service.core.choice import encoding
from decision_service.core.decide import Scorer
from decision_service.core.guardrails.eligibility import Rules
from decision_service.core.guardrails.live import live_names
from decision_service.core.model.errors import ModelRejected
from decision_service.core.model.program import Program
from decision_service.core.model.record import ModelVersion
from decision_service.core.model.values import ValueType
from training import evaluate as ev
from training import promote
from training.dataset import LoggedDataset, ProgramAt, read_dataset
from training.evaluate import Evaluation
from training.fit import CANDIDATES, Candidate, Fitted, fit
from training.gate import GateRules, Judgement, Verdict, judge
from training.report import render_gate_report
from training.reward_model import predict_from
from training.track import Lineage, RunRecord, Tracking

HOLDOUT = 0.3
"""Share of rows, the latest, that judge."""

GOLDEN_CONTEXTS = 8
MOST_FIXED_POLICIES = 10
REPORT_FILE = "gate_report.html"
TRAINED_UNTIL_TAG = "trained_until_ms"
SKIPPED = "SKIPPED"
AUTHOR = "trainer"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train and judge.

    least_rows: fewer decisions than this are not trained on.
    least_new_rows: fewer new ones since the last run are not worth another.
    window_s: only decisions of so many last seconds fit and judge, where tastes change; None is all of them.
    """

    rules: GateRules = field(default_factory=GateRules)
    candidates: tuple[Candidate, ...] = CANDIDATES
    seed: int = 1
    least_rows: int = 300
    least_new_rows: int = 50
    window_s: int | None = None


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What became of a run. `verdict` is the gate's, or SKIPPED; the versions are None where there are none."""

    program: str
    verdict: str
    reason: str
    rows: int
    version: str | None = None
    champion: str | None = None
    settings: str | None = None
    difference: tuple[float, float, float] | None = None  # mean, low, high
    report_uri: str | None = None

    @property
    def promoted(self) -> bool:
        """Whether the champion changed."""
        return self.verdict == Verdict.PROMOTE

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Champion:
    """The champion: a version that loads, or none."""

    version: str | None = None
    scorer: Scorer | None = None
    trained_until_ms: int = 0


def _reference(program: Program, champion: _Champion) -> str:
    """The policy that serves TREATMENT now."""
    if program.serves_baseline:
        return ev.BASELINE
    return ev.UNIFORM if champion.scorer is None else ev.CHAMPION


def train_program(
    warehouse: Warehouse,
    program: Program,
    schema: Mapping[str, ValueType],
    program_at: ProgramAt,
    tracking: Tracking,
    catalogue: promote.Loads,
    now_ms: int,
    notify: promote.Notify,
    rules: Rules,
    plan: Plan | None = None,
) -> TrainReport:
    """Train a challenger, judge it, and promote it if the gate says so.

    Args:
        schema: the features of the program's FeatureService (`FeatureSource.schema`).
        program_at: earlier versions of the program, which decisions were logged under.
        catalogue: loads the champion, with all its checks.
        notify: tells the workers of a new champion.
        rules: evaluates the program's baseline, where that is what serves.

    Raises:
        NotFound: a program version that decisions were logged under is not known.
        InvalidRequest: the log contradicts itself, naming what.
    """
    plan = plan or Plan()
    promote.resume(warehouse, tracking, program.name, notify)
    dataset = read_dataset(warehouse, program, program_at, baseline_rules=rules if program.serves_baseline else None)
    inputs = encoding.model_inputs(program, schema, live_names(program))
    past = promote.history(warehouse, program.name)
    fingerprint = _fingerprint(program, inputs, plan)
    champion = _champion(program, tracking, catalogue)
    if why := _nothing_to_do(dataset, past, fingerprint, plan):
        return TrainReport(program.name, SKIPPED, why, len(dataset), champion=champion.version)
    recent = dataset if plan.window_s is None else dataset.between(now_ms - plan.window_s * 1000, now_ms + 1)
    history, later = recent.split(HOLDOUT)
    unseen = later.between(champion.trained_until_ms, 2**62)
    if not len(history) or not len(unseen):
        why = "no decisions are left that neither the champion nor a challenger would have learned from"
        return TrainReport(program.name, SKIPPED, why, len(dataset), champion=champion.version)

    fitted = fit(history, inputs, program.exploration, plan.seed, plan.candidates, program.actions)
    unregistered = ModelVersion(registered_name(program.name), "", encoding.ENCODER_VERSION)
    challenger = VwScorer.of(fitted.serving, unregistered, program.feature_service, inputs, history.action_rows)
    evaluation = _evaluate(program, history, unseen, challenger, champion, plan.seed)
    judgement = judge(evaluation, plan.rules)
    if program.serves_baseline and champion.scorer is not None and judgement.verdict is Verdict.PROMOTE:
        # Beating what serves is not enough where a model waits that has been proven already.
        beside = _evaluate(program, history, unseen, challenger, champion, plan.seed, ev.CHAMPION)
        evaluation, judgement = beside, judge(beside, plan.rules)
    mismatches = encoding_mismatches(unseen, champion.scorer) if champion.scorer else 0
    if mismatches:
        _log.error("%s: %d decisions do not encode as they did when served", program.name, mismatches)

    manifest = _manifest(program, inputs, fitted, history, now_ms)
    at_ms = max(now_ms, past[-1].at_ms + 1) if past else now_ms
    with tempfile.TemporaryDirectory(prefix="nba-train-") as name:
        folder = Path(name)
        golden = _golden(history, inputs)
        digest = write_artifact(folder, manifest, fitted.model, fitted.serving, golden, VwScorer)
        record = _run_record(program, manifest, fitted, history, unseen, evaluation, judgement, champion, mismatches)
        registered = tracking.register(record, folder, digest, now_ms)
    report_uri = f"{registered.documents_uri}/{REPORT_FILE}"
    entry = promote.Entry(
        program=program.name,
        at_ms=at_ms,
        verdict=judgement.verdict.value,
        from_version=champion.version,
        to_version=registered.version,
        digest=digest,
        author=AUTHOR,
        note=judgement.sentence,
        report={
            "fingerprint": fingerprint,
            "dataset_digest": dataset.digest,
            "rows": len(dataset),
            "report_uri": report_uri,
            "run_id": registered.run_id,
            **_judgement_document(judgement),
        },
    )
    promote.apply(warehouse, tracking, entry, notify)
    return TrainReport(
        program.name,
        judgement.verdict.value,
        judgement.sentence,
        len(dataset),
        registered.version,
        registered.version if entry.moves else champion.version,
        str(fitted.candidate),
        (judgement.difference.mean, judgement.difference.low, judgement.difference.high),
        report_uri,
    )


def encoding_mismatches(dataset: LoggedDataset, scorer: Scorer) -> int:
    """How many of the decisions that this model scored do not encode to the text it was served (law 7): always 0."""
    return sum(
        encoding.digest(scorer.encode(row.known, row.actions)) != row.encoding_digest
        for row in dataset.rows
        if row.model_version == scorer.version.version and row.encoding_digest
    )


def _champion(program: Program, tracking: Tracking, catalogue: promote.Loads) -> _Champion:
    version = tracking.aliased(program.name, CHAMPION)
    if version is None:
        return _Champion()
    model = ModelVersion(registered_name(program.name), version, encoding.ENCODER_VERSION)
    try:
        scorer = catalogue.scorer(model)
    except ModelRejected as error:  # nor do workers serve it: they draw uniformly
        _log.warning("%s: champion version %s does not load: %s", program.name, version, error)
        return _Champion(version)
    if scorer.feature_service != program.feature_service:
        return _Champion(version)
    return _Champion(version, scorer, int(tracking.tags(program.name, version).get(TRAINED_UNTIL_TAG, "0")))


def _nothing_to_do(dataset: LoggedDataset, past: Sequence[promote.Entry], fingerprint: str, plan: Plan) -> str:
    """Why there is nothing to train on, empty if there is."""
    if len(dataset) < plan.least_rows:
        return f"{len(dataset)} learnable decisions; training starts at {plan.least_rows}"
    runs = [entry.report for entry in past if "fingerprint" in entry.report]
    if runs and runs[-1]["fingerprint"] == fingerprint:
        new = len(dataset) - int(str(runs[-1]["rows"]))
        if runs[-1]["dataset_digest"] == dataset.digest or 0 <= new < plan.least_new_rows:
            return f"{new} new learnable decisions since the last run; the next starts at {plan.least_new_rows}"
    return ""


def _fingerprint(program: Program, inputs: Sequence[str], plan: Plan) -> str:
    """Of everything but the rows that a run depends on."""
    levers = [(action.id, action.lever, action.min_share, action.max_share) for action in program.actions]
    usual = [asdict(rule) for rule in program.baseline] if program.serves_baseline else None
    shaping = [asdict(program.exploration), levers, usual, asdict(program.learn_from)]
    parts = [encoding.ENCODER_VERSION, list(inputs), shaping, asdict(program.reward), asdict(plan)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _evaluate(
    program: Program,
    history: LoggedDataset,
    unseen: LoggedDataset,
    challenger: Scorer,
    champion: _Champion,
    seed: int,
    reference: str = "",
) -> Evaluation:
    """reference: what to compare with; what serves by default."""
    often = Counter(row.actions[row.chosen].id for row in unseen.rows).most_common(MOST_FIXED_POLICIES)
    policies: dict[str, ev.Policy] = {
        ev.CHALLENGER: ev.scored_policy(challenger, program.exploration, program.actions),
        ev.UNIFORM: ev.uniform_policy,
        **{f"always {action}": ev.first_feasible(action) for action, _ in often},
    }
    if champion.scorer is not None:
        policies[ev.CHAMPION] = ev.scored_policy(champion.scorer, program.exploration, program.actions)
    reference = reference or _reference(program, champion)
    if program.serves_baseline:
        policies[ev.BASELINE] = ev.baseline_policy
    predicted = predict_from(history, unseen, seed)
    return ev.evaluate(unseen, policies, predicted, reference=reference)


def _golden(history: LoggedDataset, inputs: Sequence[str]) -> list[GoldenContext]:
    """A few decisions of the training rows, spread over their time; without any id of a customer."""
    step = max(1, len(history) // GOLDEN_CONTEXTS)
    rows = history.rows[::step][:GOLDEN_CONTEXTS]
    return [({name: row.known.get(name) for name in inputs}, row.actions) for row in rows]


def _manifest(
    program: Program,
    inputs: tuple[str, ...],
    fitted: Fitted,
    history: LoggedDataset,
    now_ms: int,
) -> Manifest:
    return Manifest(
        program=program.name,
        program_version=program.version,
        feature_service=program.feature_service,
        inputs=inputs,
        actions=history.actions,
        action_rows=history.action_rows,
        reward=program.reward,
        exploration=program.exploration,
        vw_options=fitted.candidate.options,
        passes=fitted.candidate.passes,
        seed=fitted.seed,
        rows=len(history),
        trained_from_ms=history.rows[0].decided_at_ms,
        trained_until_ms=history.rows[-1].decided_at_ms + 1,
        dataset_digest=history.digest,
        created_at_ms=now_ms,
    )


def _run_record(
    program: Program,
    manifest: Manifest,
    fitted: Fitted,
    history: LoggedDataset,
    unseen: LoggedDataset,
    evaluation: Evaluation,
    judgement: Judgement,
    champion: _Champion,
    mismatches: int,
) -> RunRecord:
    metrics = {
        "rows_trained": float(len(history)),
        "rows_judged": float(len(unseen)),
        "encoding_mismatches": float(mismatches),
        "difference.mean": judgement.difference.mean,
        "difference.low": judgement.difference.low,
        "difference.high": judgement.difference.high,
    }
    for value in evaluation.values:
        name = re.sub(r"[^\w. /-]", "_", value.name)
        metrics[f"{name}.dr"] = value.dr.mean
        metrics[f"{name}.dr_low"] = value.dr.low
        metrics[f"{name}.dr_high"] = value.dr.high
        metrics[f"{name}.snips"] = value.snips.mean
        metrics[f"{name}.effective_sample_size"] = value.effective_sample_size
    sweep = [
        {"options": each.candidate.options, "passes": each.candidate.passes, "value": each.value}
        for each in fitted.sweep
    ]
    serves = {
        ev.CHAMPION: f"version {champion.version}",
        ev.BASELINE: "the baseline",
        ev.UNIFORM: "uniform draws",
    }[evaluation.difference.reference]
    source = f"decisions ⨝ rewards, program {program.name}, reward version {program.reward.version}"
    return RunRecord(
        program=program.name,
        parameters={
            "vw_options": manifest.vw_options,
            "passes": str(manifest.passes),
            "seed": str(manifest.seed),
            "program_version": str(program.version),
            "feature_service": program.feature_service,
            "encoder_version": manifest.encoder_version,
            "inputs": str(len(manifest.inputs)),
            "exploration": program.exploration.kind.value,
            "reward_version": program.reward.version,
            "compared_with": serves,
        },
        metrics=metrics,
        documents={
            REPORT_FILE: render_gate_report(evaluation, judgement, champion=serves),
            "sweep.json": json.dumps(sweep, indent=1),
            "gate.json": json.dumps(_judgement_document(judgement), indent=1),
        },
        lineage=(
            Lineage("training", program.name, history.digest, len(history), source),
            Lineage("evaluation", program.name, unseen.digest, len(unseen), source),
        ),
        tags={
            "verdict": judgement.verdict.value,
            "encoder_version": manifest.encoder_version,
            "feature_service": manifest.feature_service,
            "program_version": str(program.version),
            "dataset_digest": manifest.dataset_digest,
            TRAINED_UNTIL_TAG: str(manifest.trained_until_ms),
        },
    )


def _judgement_document(judgement: Judgement) -> dict[str, object]:
    return {
        "verdict": judgement.verdict.value,
        "sentence": judgement.sentence,
        "reasons": list(judgement.reasons),
        "difference": _finite(asdict(judgement.difference)),
        "needed": judgement.needed,
        "checks": [asdict(check) for check in judgement.checks],
        "rules": _finite(asdict(judgement.rules)),
    }


def _finite(document: Mapping[str, object]) -> dict[str, object]:
    """JSON has no infinity; null says that there is no such bound."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in document.items()
    }
