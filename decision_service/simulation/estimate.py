"""What the proposed program would earn, by the rewards of what was done: off-policy, with what speaks against it.

Rows are the program's own decisions that were drawn at random, as they were drawn, and probabilities those given that
it decides. So it says what the proposed distribution over actions earns per decision, where the program decides; not
what comes of deciding more or less often, nor what a group earned (`nba results` compares groups, per customer).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from decision_service.application.ports import Warehouse
from decision_service.core.estimation import ope
from decision_service.core.estimation.ope import DEFAULT_ALPHA, FloatArray, Interval
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Program
from decision_service.core.what_if.simulate import Simulated
from decision_service.simulation.report import ABSENT, Estimate
from training.dataset import LoggedDataset, ProgramAt, read_dataset
from training.gate import GateRules
from training.reward_model import cross_fit

RULES = GateRules()
"""The gate's limits on what a log can support are those of a simulation."""

LEAST_SHARE = 0.05
"""Actions with less of the mass without support are not worth a word."""

MOST_DISAGREEMENT = 3.0
"""Standard errors between the two estimators beyond which neither is to be believed without a look."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A distribution of the proposed program, and whether the simulation came to it by another history."""

    actions: tuple[str, ...]
    probabilities: tuple[float, ...]
    other_history: bool


@dataclass(slots=True)
class Targets:
    """What the proposed program would have drawn from, for every decision of it that can be learned from.

    missing: per action, how much proposed probability lies on it where it could not have been chosen, by why not.
    """

    program: str
    _targets: dict[str, _Target] = field(default_factory=dict)
    missing: dict[str, dict[tuple[str, str], float]] = field(default_factory=dict)

    def add(self, simulated: Simulated) -> None:
        """Note a decision, if it is one of the program's that was drawn."""
        logged = simulated.logged
        if logged.program != self.program or not logged.is_learned_from:
            return
        proposed = next(c for c in simulated.proposed.candidates if c.program == self.program)
        actions = tuple(option.action for option in proposed.options)
        probabilities = tuple(option.probability for option in proposed.options)
        self._targets[logged.decision_id] = _Target(actions, probabilities, simulated.other_history)
        supported = {option.action for option in logged.options if option.probability > 0}
        reasons = {e.action: (e.reason.value, e.detail) for e in logged.exclusions}
        for action, probability in zip(actions, probabilities, strict=True):
            if action not in supported and probability > 0:
                of_action, why = self.missing.setdefault(action, {}), reasons.get(action, (ABSENT, ""))
                of_action[why] = of_action.get(why, 0.0) + probability

    def __len__(self) -> int:
        """How many decisions."""
        return len(self._targets)

    def of(self, decision_id: str) -> _Target | None:
        """The target of a decision; None if it is not one of them."""
        return self._targets.get(decision_id)


def estimate(
    warehouse: Warehouse,
    program: Program,
    program_at: ProgramAt,
    targets: Targets,
    from_ms: int,
    until_ms: int,
    alpha: float = DEFAULT_ALPHA,
) -> Estimate:
    """The mean reward of the proposed distributions, beside today's, over the matured decisions of the period.

    program: whose reward definition counts; decisions were logged under any version of it.
    """
    dataset = read_dataset(warehouse, program, program_at, from_ms, until_ms)
    known = {row.decision_id for row in dataset.rows if targets.of(row.decision_id) is not None}
    dataset = replace(dataset, rows=tuple(row for row in dataset.rows if row.decision_id in known))
    nothing = Estimate((), program.reward.version, len(dataset), 1 - alpha)
    if not len(dataset):
        return replace(nothing, refused=(_no_rows(program, len(targets)),))
    measured, snips_error = _measured(dataset, targets, alpha, nothing)
    return _judged(measured, targets, dataset, snips_error)


def _measured(dataset: LoggedDataset, targets: Targets, alpha: float, nothing: Estimate) -> tuple[Estimate, float]:
    """What the log says, whether it supports it or not, and the standard error of the self-normalised estimate."""
    target, outside = _spread(dataset, targets)
    supported = 1 - outside
    # Of a row that is supported in part, the part that is; the interval then makes room for the rest.
    held = np.divide(target, supported[:, None], out=np.zeros_like(target), where=supported[:, None] > 1e-9)
    weights = ope.importance_weights(target, dataset.logged, dataset.chosen)
    summary, of_choices = ope.Weights.of(weights), ope.Weights.of(weights[dataset.has_choice])
    predicted = cross_fit(dataset)
    arguments = (dataset.logged, dataset.chosen, dataset.rewards, predicted)
    change = ope.dr_terms(held, *arguments) - ope.dr_terms(dataset.logged, *arguments)
    low, high = dataset.reward.low, dataset.reward.high
    design = ope.DesignTerms.of(held - dataset.logged, dataset.logged, predicted, low, high)
    least, most = float(design.least.min()), float(design.most.max())
    heaviest = float(np.divide(held, dataset.logged, out=np.zeros_like(held), where=dataset.logged > 0).max())
    room = float(outside.mean()) * (high - low)

    def interval(
        values: FloatArray, least: float, most: float, weights: FloatArray | None = None, heaviest: float = 0.0
    ) -> Interval:
        return ope.mean_interval(
            values, alpha, dataset.customers, low=least, high=most, weights=weights, heaviest=heaviest
        )

    measured = replace(
        nothing,
        today=interval(dataset.rewards, low, high).clamped(low, high),
        # What was earned plus what is estimated to change: so that nothing proposed is nothing changed, to the digit.
        proposed=interval(dataset.rewards + change, low + least, high + most).widened(room).clamped(low, high),
        difference=interval(change, least, most).widened(room).clamped(low - high, high - low),
        snips=interval(dataset.rewards, low, high, weights, heaviest).widened(room).clamped(low, high),
        effective_sample_size=of_choices.effective_sample_size,
        mean_weight=summary.mean,
        mean_weight_z=_mean_weight_z(target, dataset.logged, weights, supported),
        largest_weight=summary.largest,
        unsupported=float(outside.mean()),
        other_history=float(np.mean([_target(targets, row.decision_id).other_history for row in dataset.rows])),
    )
    return measured, ope.Snips.of(weights, dataset.rewards).standard_error


def _target(targets: Targets, decision_id: str) -> _Target:
    found = targets.of(decision_id)
    assert found is not None
    return found


def _spread(dataset: LoggedDataset, targets: Targets) -> tuple[FloatArray, FloatArray]:
    """Proposed probabilities on what could be chosen, shape (n, A), and how much lies elsewhere, shape (n,)."""
    target, outside = np.zeros(dataset.logged.shape), np.zeros(len(dataset))
    for i, row in enumerate(dataset.rows):
        of_row = _target(targets, row.decision_id)
        for action, probability in zip(of_row.actions, of_row.probabilities, strict=True):
            column = dataset.column.get(action)
            if column is not None and dataset.logged[i, column] > 0:
                target[i, column] = probability
            else:
                outside[i] += probability
    return target, outside


def _mean_weight_z(target: FloatArray, logged: FloatArray, weights: FloatArray, expected: FloatArray) -> float:
    """By the spread that the probabilities give weights: that of the sample is small exactly when the heavy ones
    failed to come up."""
    squares = np.divide(np.square(target), logged, out=np.zeros_like(target), where=logged > 0).sum(axis=1)
    variance = float(np.maximum(squares - np.square(expected), 0).sum())
    return float((weights - expected).sum()) / float(np.sqrt(variance)) if variance > 1e-9 else 0.0


def _judged(measured: Estimate, targets: Targets, dataset: LoggedDataset, snips_error: float) -> Estimate:
    """The estimate if the log supports it, otherwise what is missing; the measures stay either way."""
    assert measured.unsupported is not None
    assert measured.effective_sample_size is not None
    assert measured.mean_weight_z is not None
    refused = []
    # What was drawn exactly as proposed tells what it earned, however little that is.
    is_same = measured.difference == Interval(0.0, 0.0, 0.0, measured.rows)
    if measured.unsupported > RULES.most_unsupported:
        refused.append(
            f"{measured.unsupported:.1%} of the proposed probability lies on actions that the logged decisions could "
            f"not choose, and at most {RULES.most_unsupported:.0%} is tolerated: {_missing(targets)}"
        )
    if not is_same and measured.effective_sample_size < RULES.least_effective_rows:
        refused.append(
            f"the {measured.rows} matured decisions are worth {measured.effective_sample_size:.0f} that had a choice "
            f"and were drawn as proposed, and {RULES.least_effective_rows:.0f} are needed: simulate a longer period, "
            "or propose less at once"
        )
    if abs(measured.mean_weight_z) > ope.z_value(RULES.check_alpha / 2):
        refused.append(
            f"the importance weights average {measured.mean_weight:.3f} where 1 is expected, "
            f"{measured.mean_weight_z:+.1f} standard errors away: the logged probabilities "
            "cannot be those that the actions were drawn with"
        )
    if refused:
        return replace(measured, refused=tuple(refused), proposed=None, difference=None, snips=None)
    return replace(measured, cautions=tuple(_cautions(measured, dataset, snips_error)))


def _missing(targets: Targets) -> str:
    """The actions without support that matter, most mass first, with why, and what would give support."""
    mass = {action: sum(why.values()) for action, why in targets.missing.items()}
    parts = []
    for action in sorted(mass, key=lambda action: (-mass[action], action))[:5]:
        share = mass[action] / sum(mass.values())
        why = targets.missing[action]
        reason, guardrail = max(why, key=lambda one: why[one])
        cause = "the program did not have it" if reason == ABSENT else f"mostly {reason} {guardrail}".strip()
        if share >= LEAST_SHARE:
            parts.append(f"{action} has {share:.0%} of it, {cause}")
    return (
        f"{'; '.join(parts)}. Publish the change to a small share of customers first, of whom RANDOM_CONTROL draws "
        "every feasible action alike, and simulate again when those decisions have matured"
    )


def _cautions(measured: Estimate, dataset: LoggedDataset, snips_error: float) -> list[str]:
    cautions = []
    proposed, snips = measured.proposed, measured.snips
    assert proposed is not None
    assert snips is not None
    if abs(proposed.mean - snips.mean) > MOST_DISAGREEMENT * max(snips_error, 1e-12):
        cautions.append(
            f"the self-normalised estimate, {snips.mean:.4g}, is far from the doubly robust one, {proposed.mean:.4g}"
        )
    if measured.other_history:
        cautions.append(
            f"{measured.other_history:.1%} of these decisions would have met a customer with another contact "
            "history; how that customer would have answered is not in the log, and not in the estimate"
        )
    groups = Counter(row.group.value for row in dataset.rows)
    cautions.append(
        "it is about decisions that were drawn at random, whatever became of them: "
        + ", ".join(f"{count} of {group}" for group, count in sorted(groups.items()))
    )
    return cautions


def _no_rows(program: Program, drawn: int) -> str:
    if not drawn:
        return (
            f"{program.name!r} drew no decision in this period that could be learned from: only draws of TREATMENT and "
            "RANDOM_CONTROL say what another choice would have earned"
        )
    return (
        f"none of the {drawn} decisions that {program.name!r} drew has matured under reward version "
        f"{program.reward.version}: its reward window is {program.reward.window_s} s; run `nba join` after that, or "
        "simulate an earlier period"
    )


def rewarded(warehouse: Warehouse, *programs: Program) -> Program:
    """The first of these versions of a program whose reward definition has rewards; the first if none has."""
    if not programs:
        raise InvalidRequest.of("programs", "give at least one version")
    known: set[str] = set()
    if "rewards" in warehouse.tables():
        found = warehouse.query(
            "SELECT DISTINCT reward_version FROM rewards WHERE program = $program", {"program": programs[0].name}
        )
        known = set(found.column(0).to_pylist())
    return next((program for program in programs if program.reward.version in known), programs[0])
