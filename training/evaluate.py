"""What would each policy have earned? Values, the paired difference that the gate judges, and the data checks' inputs.

The rows must be decisions that no judged model was trained on: a holdout that is later than the training rows. Rows
of RANDOM_CONTROL and TREATMENT are balanced once, by the precision that each gives the comparison of challenger and
reference (`core.estimation.ope.group_balance`), and the same balance is used for every policy, so differences of values
in one evaluation are values of differences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decision_service.core.choice.exploration import shape, uniform
from decision_service.core.decide import Scorer
from decision_service.core.estimation import ope
from decision_service.core.estimation.ope import DEFAULT_ALPHA, FloatArray, Interval, Moments
from decision_service.core.model.errors import InvalidDistribution, InvalidRequest
from decision_service.core.model.program import Action, Exploration
from decision_service.core.model.values import NO_ACTION
from training.dataset import LogFacts, LoggedDataset, LoggedRow

Policy = Callable[[LoggedDataset], FloatArray]
"""The distribution over actions that a policy would have drawn from, shape (n, A); 0 where not feasible."""

CHALLENGER, CHAMPION, BASELINE, UNIFORM = "challenger", "champion", "baseline", "uniform"
PLANNED_ROWS = 4_000


def uniform_policy(dataset: LoggedDataset) -> FloatArray:
    """Every feasible action alike: what is served without a model."""
    counts = dataset.feasible.sum(axis=1, keepdims=True)
    target: FloatArray = dataset.feasible / counts
    return target


def logging_policy(dataset: LoggedDataset) -> FloatArray:
    """What was served."""
    return dataset.logged


def first_feasible(*actions: str) -> Policy:
    """The first of these actions that is feasible, else NO_ACTION: a fixed action, or a plain baseline."""

    def policy(dataset: LoggedDataset) -> FloatArray:
        target = np.zeros(dataset.logged.shape)
        open_rows = np.ones(len(dataset), dtype=bool)
        for action in (*actions, NO_ACTION):
            if action in dataset.column:
                column = dataset.column[action]
                taken = open_rows & dataset.feasible[:, column]
                target[taken, column] = 1.0
                open_rows &= ~taken
        return target

    return policy


def baseline_policy(dataset: LoggedDataset) -> FloatArray:
    """Business as usual; of rows that were read with the rules of the program's baseline."""
    return dataset.spread([float(action.id == row.baseline) for action in row.actions] for row in dataset.rows)


def fixed_policies(dataset: LoggedDataset) -> dict[str, Policy]:
    """Each action on its own, named `always <action>`."""
    return {f"always {action}": first_feasible(action) for action in dataset.actions}


def scored_policy(scorer: Scorer, exploration: Exploration, actions: Sequence[Action] = ()) -> Policy:
    """What the service would draw from with this model; uniform where the model fails, as in serving.

    actions: as they are served now, with their levers and shares; one that is not among them counts as it was logged.
        What the model sees of an action is as logged. Slot prices are left out: they depend on other programs.
    """
    now = {action.id: action for action in actions}

    def distribution(row: LoggedRow) -> FloatArray:
        n = len(row.actions)
        predicted = scorer.predict(scorer.encode(row.known, row.actions), n)
        if predicted.shape != (n,) or not np.isfinite(predicted).all():
            return uniform(n)
        try:
            served = [now.get(action.id, action) for action in row.actions]
            return shape(predicted, served, exploration, scorer.examples).final
        except InvalidDistribution:
            return uniform(n)

    def policy(dataset: LoggedDataset) -> FloatArray:
        return dataset.spread(distribution(row) for row in dataset.rows)

    return policy


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """What a policy would have earned per decision, by three estimators, and how far the log supports the answer.

    Intervals are two-sided, by customer, for one look (`core.estimation.intervals.mean_interval`). `dr` is the
    headline; the others must not contradict it.
    effective_sample_size: of the rows that had more than one feasible action; the others weigh 1 under every policy.
    mean_weight_z: standard errors, known from the design, between the mean weight and what it should be.
    unsupported: share of the policy's probability on actions that could not have been drawn.
    """

    name: str
    dr: Interval
    snips: Interval
    ips: Interval
    effective_sample_size: float
    mean_weight: float
    mean_weight_z: float
    largest_weight: float
    unsupported: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Challenger minus reference, row by row, doubly robust.

    terms: moments of the per-row differences. row_terms: the differences, shape (n,).
    least, most: what a term can be, known from the design.
    planned_squares: expected sum of squares at PLANNED_ROWS, where anytime-valid bounds are tuned to be tightest.
    unsupported: how far the mean may be off because of actions without support, in reward.
    same: share of rows on which both policies give the same distribution.
    snips: the self-normalised difference. disagreement_z: standard errors between it and the doubly robust one.
    """

    challenger: str
    reference: str
    terms: Moments
    row_terms: FloatArray
    least: float
    most: float
    planned_squares: float
    unsupported: float
    same: float
    snips: float
    disagreement_z: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that the gate and its report need, as plain values."""

    program: str
    reward_version: str
    low: float
    high: float
    dataset_digest: str
    n: int
    since_ms: int
    until_ms: int
    groups: Mapping[str, int]
    alpha: float
    logged_value: Interval
    values: tuple[PolicyValue, ...]
    difference: Difference
    facts: LogFacts
    challenger_weights: FloatArray

    def value(self, name: str) -> PolicyValue:
        """The value of the policy of this name; KeyError if it was not evaluated."""
        return {value.name: value for value in self.values}[name]


def evaluate(
    dataset: LoggedDataset,
    policies: Mapping[str, Policy],
    predicted: FloatArray,
    challenger: str = CHALLENGER,
    reference: str = CHAMPION,
    alpha: float = DEFAULT_ALPHA,
) -> Evaluation:
    """Evaluate policies on rows that none of them was trained on.

    policies: name → policy; `challenger` and `reference` among them.
    predicted: shape (n, A), from `reward_model.predict_from` earlier rows, or `cross_fit`; zeros reduce DR to IPS.

    Raises:
        InvalidRequest: no rows, a name missing, or a policy that gives no distribution over feasible actions.
    """
    if not len(dataset):
        raise InvalidRequest.of("dataset", "no decisions to learn from; wait until some have matured and been joined")
    for name in (challenger, reference):
        if name not in policies:
            raise InvalidRequest.of("policies", f"{name!r} is not among {sorted(policies)}")
    targets = {name: _checked(name, policy(dataset), dataset) for name, policy in policies.items()}
    low, high = dataset.reward.low, dataset.reward.high
    contrast = targets[challenger] - targets[reference]
    design = ope.DesignTerms.of(contrast, dataset.logged, predicted, low, high)
    groups = [row.group.value for row in dataset.rows]
    balance = ope.group_balance(groups, design.variance)
    rows = _Rows(dataset, predicted, balance, alpha)
    return Evaluation(
        program=dataset.program,
        reward_version=dataset.reward.version,
        low=low,
        high=high,
        dataset_digest=dataset.digest,
        n=len(dataset),
        since_ms=dataset.rows[0].decided_at_ms,
        until_ms=dataset.rows[-1].decided_at_ms,
        groups={group: groups.count(group) for group in sorted(set(groups))},
        alpha=alpha,
        logged_value=ope.mean_interval(dataset.rewards, alpha, dataset.customers, low=low, high=high).clamped(
            low, high
        ),
        values=tuple(rows.value(name, target) for name, target in targets.items()),
        difference=rows.difference(challenger, targets[challenger], reference, targets[reference], design),
        facts=dataset.facts,
        challenger_weights=rows.weights(targets[challenger]),
    )


def _checked(name: str, target: FloatArray, dataset: LoggedDataset) -> FloatArray:
    if target.shape != dataset.logged.shape or not np.isfinite(target).all() or (target < -1e-12).any():
        raise InvalidRequest.of(f"policies[{name}]", f"needs finite probabilities ≥ 0 of shape {dataset.logged.shape}")
    if np.abs(np.where(dataset.feasible, target, 0.0).sum(axis=1) - 1).max() > 1e-6:
        raise InvalidRequest.of(f"policies[{name}]", "must sum to 1 over the feasible actions of every row")
    return target


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows to evaluate on, with their balance, shape (n,)."""

    dataset: LoggedDataset
    predicted: FloatArray
    balance: FloatArray
    alpha: float

    def weights(self, target: FloatArray) -> FloatArray:
        return ope.importance_weights(target, self.dataset.logged, self.dataset.chosen)

    def terms(self, target: FloatArray) -> FloatArray:
        data = self.dataset
        return self.balance * ope.dr_terms(target, data.logged, data.chosen, data.rewards, self.predicted)

    def value(self, name: str, target: FloatArray) -> PolicyValue:
        data, weights = self.dataset, self.weights(target)
        balanced = self.balance * weights
        summary, of_choices = ope.Weights.of(balanced), ope.Weights.of(balanced[data.has_choice])
        missing = ope.unsupported_mass(target, data.logged)
        low, high = data.reward.low, data.reward.high

        design = ope.DesignTerms.of(target, data.logged, self.predicted, low, high)
        possible = np.divide(target, data.logged, out=np.zeros_like(target), where=data.logged > 0).max(axis=1)
        heaviest = float((self.balance * possible).max())

        def interval(
            values: FloatArray, least: float, most: float, weights: FloatArray | None = None, heaviest: float = 0.0
        ) -> Interval:
            found = ope.mean_interval(
                values, self.alpha, data.customers, low=least, high=most, weights=weights, heaviest=heaviest
            )
            return found.clamped(low, high)

        return PolicyValue(
            name,
            dr=interval(
                self.terms(target),
                float((self.balance * design.least).min()),
                float((self.balance * design.most).max()),
            ),
            snips=interval(data.rewards, low, high, balanced, heaviest),
            ips=interval(balanced * data.rewards, heaviest * min(low, 0.0), heaviest * max(high, 0.0)),
            effective_sample_size=of_choices.effective_sample_size,
            mean_weight=summary.mean,
            mean_weight_z=self._mean_weight_z(target, balanced, missing),
            largest_weight=float(weights.max()),
            unsupported=float((self.balance * missing).mean()),
        )

    def _mean_weight_z(self, target: FloatArray, balanced: FloatArray, missing: FloatArray) -> float:
        """The sample's own spread is no judge: it is small exactly when the heavy weights failed to come up."""
        logged = self.dataset.logged
        squares = np.divide(np.square(target), logged, out=np.zeros_like(target), where=logged > 0).sum(axis=1)
        expected = 1 - missing
        variance = float((np.square(self.balance) * np.maximum(squares - np.square(expected), 0)).sum())
        surplus = float((balanced - self.balance * expected).sum())
        return surplus / float(np.sqrt(variance)) if variance > 1e-9 else 0.0

    def difference(
        self, challenger: str, ours: FloatArray, reference: str, theirs: FloatArray, design: ope.DesignTerms
    ) -> Difference:
        data, contrast = self.dataset, ours - theirs
        terms = self.terms(contrast)
        influence = self._snips_influence(ours) - self._snips_influence(theirs)
        snips = float(influence.mean())
        gap = Moments.of(terms - influence)
        width = data.reward.high - data.reward.low
        return Difference(
            challenger,
            reference,
            Moments.of(terms),
            terms,
            least=float((self.balance * design.least).min()),
            most=float((self.balance * design.most).max()),
            planned_squares=PLANNED_ROWS * float((np.square(self.balance) * design.variance).mean()),
            unsupported=width * float((self.balance * ope.unsupported_mass(contrast, data.logged)).mean()),
            same=float((np.abs(contrast).max(axis=1) < 1e-9).mean()),
            snips=snips,
            disagreement_z=gap.mean / gap.standard_error if len(data) > 1 and gap.standard_error > 1e-12 else 0.0,
        )

    def _snips_influence(self, target: FloatArray) -> FloatArray:
        """Per-row terms whose mean is the SNIPS value and whose spread is its error (delta method)."""
        balanced = self.balance * self.weights(target)
        total = balanced.mean()
        if total <= 0:
            return np.zeros(len(self.dataset))
        value = float((balanced * self.dataset.rewards).mean() / total)
        influence: FloatArray = value + balanced * (self.dataset.rewards - value) / total
        return influence


def headline(values: Sequence[PolicyValue]) -> list[tuple[str, Interval]]:
    """Policies with their doubly robust value, best first."""
    return sorted(((value.name, value.dr) for value in values), key=lambda pair: -pair[1].mean)
