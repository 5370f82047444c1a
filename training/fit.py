"""Fitting: which of a few Vowpal Wabbit settings suits this program, by what they would have earned; then that one
on every row.

The best learning rate differs by an order of magnitude between problems, and the wrong one can cost more than the
bandit gains, so it is chosen per program and per training: candidates learn from the earlier rows and are valued on
the later ones, off-policy and doubly robust, under the exploration that would serve them. The rows that the gate will
judge on must not be given here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from decision_service.adapters.vw import TrainingText, VwScorer, serving_copy
from decision_service.core.choice.encoding import ENCODER_VERSION, encode, label
from decision_service.core.estimation import ope
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Action, Exploration
from decision_service.core.model.record import ModelVersion
from training.dataset import LoggedDataset
from training.evaluate import scored_policy
from training.reward_model import predict_from

SWEEP_ROWS = 40_000
"""The sweep looks at the latest rows only, so that its time is bounded."""

SWEEP_HOLDOUT = 0.3


@dataclass(frozen=True, slots=True)
class Candidate:
    """VW options beyond the base ones, and passes over the rows."""

    options: str
    passes: int

    def __str__(self) -> str:
        return f"{self.options} × {self.passes}"


CANDIDATES = (
    Candidate("-q UA -l 0.05", 4),
    Candidate("-q UA --coin", 2),
    Candidate("-q UA -l 0.5", 1),
    Candidate("-q UA -l 0.005", 4),
)
"""The first wins where nothing tells them apart: slow learning over several passes never lost much anywhere."""


@dataclass(frozen=True, slots=True)
class Swept:
    """A candidate and what it would have earned per decision on rows that it had not seen, as an estimate: the best of
    several looks better than it is, so no interval is given."""

    candidate: Candidate
    value: float


@dataclass(frozen=True, slots=True)
class Fitted:
    """A model of every row given, with how its settings were found. `sweep` is empty where there was no choice."""

    model: bytes
    serving: bytes
    candidate: Candidate
    seed: int
    sweep: tuple[Swept, ...]


def examples(dataset: LoggedDataset, inputs: Sequence[str]) -> list[str]:
    """Labelled text, in time order: what serving encoded, with the cost -reward and the logged probability."""
    return [
        label(encode(inputs, row.known, row.actions), row.chosen, -row.reward, row.probability) for row in dataset.rows
    ]


def fit(
    dataset: LoggedDataset,
    inputs: Sequence[str],
    exploration: Exploration,
    seed: int,
    candidates: Sequence[Candidate] = CANDIDATES,
    actions: Sequence[Action] = (),
) -> Fitted:
    """Sweep, choose, and fit the choice to all rows. Deterministic in its arguments.

    actions: as they would be served; see `evaluate.scored_policy`.

    Raises:
        InvalidRequest: there are no rows or no candidates, or a value cannot be encoded.
    """
    if not candidates:
        raise InvalidRequest.of("candidates", "give at least one")
    texts = examples(dataset, inputs)
    swept = sweep(dataset, texts, inputs, exploration, seed, candidates, actions) if len(candidates) > 1 else ()
    chosen = max(swept, key=lambda each: each.value).candidate if swept else candidates[0]
    with TrainingText(texts) as text:
        model = text.fit(chosen.options, chosen.passes, seed)
    return Fitted(model, serving_copy(model), chosen, seed, swept)


def sweep(
    dataset: LoggedDataset,
    texts: Sequence[str],
    inputs: Sequence[str],
    exploration: Exploration,
    seed: int,
    candidates: Sequence[Candidate],
    actions: Sequence[Action] = (),
) -> tuple[Swept, ...]:
    """The value of each candidate, in their order; none if the rows are too few to split.

    texts: `examples` of the dataset.
    """
    latest = replace(dataset, rows=dataset.rows[-SWEEP_ROWS:])
    earlier, later = latest.split(SWEEP_HOLDOUT)
    if not len(earlier) or not len(later):
        return ()
    predicted = predict_from(earlier, later, seed)
    first = len(dataset) - len(latest)
    unregistered = ModelVersion(f"nba-{dataset.program}", "", ENCODER_VERSION)
    swept = []
    with TrainingText(texts[first : first + len(earlier)]) as text:
        for candidate in candidates:
            model = text.fit(candidate.options, candidate.passes, seed)
            scorer = VwScorer.of(model, unregistered, "", inputs, earlier.action_rows)
            policy = scored_policy(scorer, exploration, actions)
            moments = ope.dr(policy(later), later.logged, later.chosen, later.rewards, predicted)
            swept.append(Swept(candidate, moments.mean))
    return tuple(swept)
