"""A LightGBM model of reward given context and action, for doubly robust evaluation.

It never chooses an action: it only lowers the variance of an estimate that is right without it. So it is small, and
deterministic: same rows, same predictions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import lightgbm
import numpy as np
import numpy.typing as npt

from decision_service.core.estimation.ope import FloatArray
from decision_service.core.model.program import Action
from decision_service.core.model.values import Value, Values
from training.dataset import LoggedDataset, LoggedRow

FOLDS = 3
_TREES = 40
_PARAMETERS: Mapping[str, object] = {
    "objective": "l2",
    "learning_rate": 0.15,
    "num_leaves": 8,
    "min_data_in_leaf": 60,
    "max_cat_to_onehot": 64,
    "lambda_l2": 5.0,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_MOST_LEVELS = 63
_MOST_MEMBERS = 30

Matrix = npt.NDArray[np.float32]


def cross_fit(dataset: LoggedDataset, folds: int = FOLDS, seed: int = 0) -> FloatArray:
    """Predicted rewards of every feasible action, shape (n, A), 0 elsewhere, within the reward's bounds.

    Each row is predicted by a model that saw no decision of its customer (Chernozhukov et al. 2018): customers are
    dealt to folds by a hash.
    """
    predicted = np.zeros((len(dataset), len(dataset.actions)))
    fold = np.array([_fold(row.customer_id, folds, seed) for row in dataset.rows], dtype=np.int64)
    table = _Table.of(dataset.rows)
    for k in range(folds):
        apart, within = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if len(within):
            predicted[within] = _predict(table, dataset, apart, dataset, within, seed)
    return predicted


def predict_from(history: LoggedDataset, dataset: LoggedDataset, seed: int = 0) -> FloatArray:
    """The same for `dataset`, by one model of `history`, which must share no decision with it.

    Predictions are then fixed before the rows that they help to judge, which anytime-valid bounds ask for.
    """
    return _predict(_Table.of(history.rows), history, np.arange(len(history)), dataset, np.arange(len(dataset)), seed)


def _fold(customer_id: str, folds: int, seed: int) -> int:
    return int.from_bytes(blake2b(f"{seed}:{customer_id}".encode(), digest_size=8).digest(), "big") % folds


def _predict(
    table: _Table,
    source: LoggedDataset,
    source_rows: npt.NDArray[np.int64],
    target: LoggedDataset,
    target_rows: npt.NDArray[np.int64],
    seed: int,
) -> FloatArray:
    """Fit on rows of `source`, predict rows of `target`, shape (len(target_rows), A)."""
    low, high = source.reward.low, source.reward.high
    predicted = np.zeros((len(target_rows), len(target.actions)))
    feasible = target.feasible[target_rows]
    rewards = source.rewards[source_rows]
    constant = float(np.clip(rewards.mean(), low, high)) if len(rewards) else (low + high) / 2
    if len(rewards) < 200 or np.ptp(rewards) == 0:  # too little to split a tree on
        return np.where(feasible, constant, 0.0)

    rows = [source.rows[i] for i in source_rows]
    picked = [table.action(row.actions[row.chosen]) for row in rows]
    x = np.hstack([table.context(rows), np.array(picked, dtype=np.float32)])
    model = lightgbm.train(
        {**_PARAMETERS, "seed": seed},
        lightgbm.Dataset(x, rewards, categorical_feature=table.categorical, free_raw_data=True),
        num_boost_round=_TREES,
    )
    targets = [target.rows[i] for i in target_rows]
    context = table.context(targets)
    variants: dict[tuple[int, int], Action] = {}  # an action's attributes may differ between program versions
    where: dict[tuple[int, int], list[int]] = {}
    for i, row in enumerate(targets):
        for action in row.actions:
            key = (target.column[action.id], id(action))
            variants[key] = action
            where.setdefault(key, []).append(i)
    for key, action in variants.items():
        at = np.array(where[key])
        shown = np.broadcast_to(np.array(table.action(action), dtype=np.float32), (len(at), table.action_width))
        predicted[at, key[0]] = model.predict(np.hstack([context[at], shown]), num_threads=1)
    return np.where(feasible, np.clip(predicted, low, high), 0.0)


@dataclass(frozen=True)
class _Table:
    """How values become columns: numbers as they are, words as levels by frequency, sets as one flag per member."""

    numbers: tuple[str, ...]
    words: Mapping[str, Mapping[str, int]]
    sets: Mapping[str, tuple[str, ...]]
    action_words: tuple[Mapping[str, int], ...]  # id, channel, message
    action_tags: tuple[str, ...]
    action_numbers: tuple[str, ...]

    @classmethod
    def of(cls, rows: Sequence[LoggedRow]) -> _Table:
        """Columns for the values and actions that occur in the rows."""
        numbers, words, sets = set[str](), dict[str, Counter[str]](), dict[str, Counter[str]]()
        for row in rows:
            for name, value in row.known.items():
                if isinstance(value, str):
                    words.setdefault(name, Counter())[value] += 1
                elif isinstance(value, tuple):
                    sets.setdefault(name, Counter()).update(value)
                elif value is not None:
                    numbers.add(name)
        actions = {id(action): action for row in rows for action in row.actions}.values()
        return cls(
            tuple(sorted(numbers)),
            {name: _levels(words[name]) for name in sorted(words)},
            {name: tuple(_levels(sets[name], _MOST_MEMBERS)) for name in sorted(sets)},
            (
                _levels(Counter(a.id for a in actions)),
                _levels(Counter(a.channel for a in actions)),
                _levels(Counter(a.message for a in actions)),
            ),
            tuple(sorted({tag for a in actions for tag in a.tags}))[:_MOST_MEMBERS],
            tuple(sorted({n for a in actions for n, v in a.attributes.items() if isinstance(v, (bool, int, float))})),
        )

    @property
    def context_width(self) -> int:
        """Columns of a context."""
        return len(self.numbers) + len(self.words) + sum(map(len, self.sets.values()))

    @property
    def action_width(self) -> int:
        """Columns of an action."""
        return len(self.action_words) + len(self.action_tags) + len(self.action_numbers)

    @property
    def categorical(self) -> list[int]:
        """Which columns hold levels."""
        first, width = len(self.numbers), self.context_width
        return [*range(first, first + len(self.words)), *range(width, width + len(self.action_words))]

    def context(self, rows: Sequence[LoggedRow]) -> Matrix:
        """Shape (len(rows), context_width)."""
        return np.array([self._context(row.known) for row in rows], dtype=np.float32).reshape(
            len(rows), self.context_width
        )

    def _context(self, known: Values) -> list[float]:
        line = [_number(known.get(name)) for name in self.numbers]
        line += [_level(known.get(name), levels) for name, levels in self.words.items()]
        for name, members in self.sets.items():
            value = known.get(name)
            held = value if isinstance(value, tuple) else ()
            line += [float(member in held) for member in members]
        return line

    def action(self, action: Action) -> list[float]:
        """Length action_width."""
        words = zip((action.id, action.channel, action.message), self.action_words, strict=True)
        return [
            *(_level(word, levels) for word, levels in words),
            *(float(tag in action.tags) for tag in self.action_tags),
            *(_number(action.attributes.get(name)) for name in self.action_numbers),
        ]


def _levels(counts: Counter[str], most: int = _MOST_LEVELS) -> dict[str, int]:
    ordered = sorted(counts, key=lambda level: (-counts[level], level))
    return {level: i for i, level in enumerate(ordered[:most])}


def _number(value: Value | None) -> float:
    return float(value) if isinstance(value, (bool, int, float)) else np.nan


def _level(value: Value | None, levels: Mapping[str, int]) -> float:
    # An unseen or rare level is missing to LightGBM, which then goes the way of most rows.
    return float(levels[value]) if isinstance(value, str) and value in levels else np.nan
