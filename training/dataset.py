"""Logged decisions with their rewards, as the learning side sees them.

Everything a row holds was logged by Decide at the moment of the decision; nothing is read again from the feature
store, so a model is trained and judged on exactly what was served. Only decisions whose probability is true are
kept: drawn by the model or uniformly, for TREATMENT or RANDOM_CONTROL, and learnable (see `rewards.learnable`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypedDict

import numpy as np

from decision_service.application.ports import Warehouse
from decision_service.core.choice.encoding import known_values
from decision_service.core.estimation.ope import Calibration, FloatArray, IntArray, probability_matrix
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Action, Group, Program, RewardDefinition
from decision_service.core.model.record import PolicyKind
from decision_service.core.model.values import NO_ACTION, Values
from decision_service.warehouse.columns import values_from_json

LEARNING_GROUPS = (Group.TREATMENT, Group.RANDOM_CONTROL)
TRUE_POLICIES = (PolicyKind.MODEL, PolicyKind.UNIFORM)

ProgramAt = Callable[[str, int, str], Program]
"""A program version as it was published: (name, version, ledger id); `VersionsByLedger.program_at` is one."""


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """One learnable decision.

    known: features, live counters and context as served, context overriding; what `Scorer.encode` takes.
    actions: the feasible actions in logged order; probabilities: theirs, shape (len(actions),), sum to 1. Where
        programs competed, given that this one decided.
    chosen: index into `actions`. model_version: what scored, empty without a model.
    """

    decision_id: str
    customer_id: str
    decided_at_ms: int
    program_version: int
    group: Group
    policy: PolicyKind
    model_version: str
    known: Values
    actions: tuple[Action, ...]
    probabilities: tuple[float, ...]
    chosen: int
    reward: float
    encoding_digest: str = ""

    @property
    def probability(self) -> float:
        """The logged probability of the chosen action given the program, in (0, 1]."""
        return self.probabilities[self.chosen]


@dataclass(frozen=True, slots=True)
class JoinRate:
    """Of `matured` trainable decisions for an action, how many became `learnable`: sent, and reported so."""

    action: str
    matured: int
    learnable: int

    @property
    def rate(self) -> float:
        """In [0, 1]; 1 without decisions."""
        return self.learnable / self.matured if self.matured else 1.0


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What is known of the log that rows were taken from, learnable or not; splits carry it along unchanged.

    by_action, by_probability: were actions drawn as often as logged? None where nothing was drawn.
    """

    decisions: int = 0
    by_action: Calibration | None = None
    by_probability: Calibration | None = None
    joined: tuple[JoinRate, ...] = ()


@dataclass(frozen=True)
class LoggedDataset:
    """Rows in order of (decided_at_ms, decision_id), of one program and reward version.

    `actions` are the columns of every (n, A) array here: the ids that occur in the rows, sorted, NO_ACTION last.
    """

    program: str
    reward: RewardDefinition
    rows: tuple[LoggedRow, ...]
    facts: LogFacts = field(default_factory=LogFacts)

    @classmethod
    def of(
        cls, program: str, reward: RewardDefinition, rows: Iterable[LoggedRow], facts: LogFacts | None = None
    ) -> LoggedDataset:
        """The dataset of these rows, in any order.

        Raises:
            InvalidRequest: naming every row whose probability or reward cannot be true.
        """
        ordered = tuple(sorted(rows, key=lambda row: (row.decided_at_ms, row.decision_id)))
        wrong = [row.decision_id for row in ordered if not _plausible(row, reward)]
        if wrong:
            shown = ", ".join(wrong[:5])
            raise InvalidRequest.of(
                "rows",
                f"{len(wrong)} decisions have a probability outside (0, 1] or a reward outside "
                f"[{reward.low}, {reward.high}], such as {shown}; run `nba join` again",
            )
        return cls(program, reward, ordered, facts or LogFacts())

    def __len__(self) -> int:
        """How many rows."""
        return len(self.rows)

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """Columns of the arrays below."""
        ids = {action.id for row in self.rows for action in row.actions}
        return tuple(sorted(ids, key=lambda action: (action == NO_ACTION, action)))

    @cached_property
    def column(self) -> Mapping[str, int]:
        """Action id → column."""
        return {action: i for i, action in enumerate(self.actions)}

    @cached_property
    def logged(self) -> FloatArray:
        """Logged probabilities, shape (n, A); 0 where not feasible."""
        return self.spread(row.probabilities for row in self.rows)

    @cached_property
    def feasible(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether an action was feasible, shape (n, A)."""
        return self.spread((1.0,) * len(row.actions) for row in self.rows) > 0

    @cached_property
    def customers(self) -> tuple[str, ...]:
        """Each row's customer, length n."""
        return tuple(row.customer_id for row in self.rows)

    @cached_property
    def chosen(self) -> IntArray:
        """Column of each row's chosen action, shape (n,)."""
        return np.array([self.column[row.actions[row.chosen].id] for row in self.rows], dtype=np.int64)

    @cached_property
    def action_rows(self) -> Mapping[str, int]:
        """Action id → rows that chose it, 0 where it was only feasible."""
        counts = np.bincount(self.chosen, minlength=len(self.actions)).tolist()
        return dict(zip(self.actions, counts, strict=True))

    @cached_property
    def rewards(self) -> FloatArray:
        """Shape (n,), within the reward definition's bounds."""
        return np.array([row.reward for row in self.rows], dtype=np.float64)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over decision ids, chosen actions and rewards: the lineage of what is trained or judged on it."""
        sha = hashlib.sha256(f"{self.program}\n{self.reward.version}\n".encode())
        for row in self.rows:
            sha.update(f"{row.decision_id}\t{row.actions[row.chosen].id}\t{row.reward!r}\n".encode())
        return sha.hexdigest()

    def spread(self, values: Iterable[Sequence[float] | FloatArray]) -> FloatArray:
        """Per-row values over feasible actions in logged order → shape (n, A), 0 elsewhere."""
        matrix = np.zeros((len(self.rows), len(self.actions)))
        for i, (row, of_row) in enumerate(zip(self.rows, values, strict=True)):
            matrix[i, [self.column[action.id] for action in row.actions]] = of_row
        return matrix

    def between(self, since_ms: int, until_ms: int) -> LoggedDataset:
        """The rows decided in [`since_ms`, `until_ms`)."""
        return replace(self, rows=tuple(row for row in self.rows if since_ms <= row.decided_at_ms < until_ms))

    def split(self, holdout: float) -> tuple[LoggedDataset, LoggedDataset]:
        """Earlier and later rows; the later ones are about the share `holdout` of all, and decisions of the same
        millisecond stay together. Depends on nothing but the rows.

        Raises:
            InvalidRequest: the share is not within (0, 1).
        """
        if not 0 < holdout < 1:
            raise InvalidRequest.of("holdout", f"{holdout} is not between 0 and 1; use about 0.3")
        if not self.rows:
            return self, self
        at_ms = self.rows[min(len(self.rows) - 1, round(len(self.rows) * (1 - holdout)))].decided_at_ms
        return self.between(0, at_ms), self.between(at_ms, self.rows[-1].decided_at_ms + 1)


def _plausible(row: LoggedRow, reward: RewardDefinition) -> bool:
    return (
        0 < row.probability <= 1
        and abs(sum(row.probabilities) - 1) < 1e-6
        and min(row.probabilities) >= 0
        and reward.low <= row.reward <= reward.high
    )


_SELECT = """
SELECT d.decision_id, d.customer_id, d.decided_at_ms, coalesce(d.ledger_id, '') AS ledger_id, d.program_version,
       d."group", d.policy, coalesce(d.model_version, '') AS model_version, d.features_json, d.live_json,
       d.context_json, d.actions, d.probabilities, d.drawn, d.encoding_digest, r.reward, r.trainable, r.learnable
FROM decisions d JOIN rewards r ON r.decision_id = d.decision_id
WHERE d.program = $program AND r.reward_version = $reward_version AND r.matured
  AND d.decided_at_ms >= $since_ms AND d.decided_at_ms < $until_ms
  AND d."group" IN ('TREATMENT', 'RANDOM_CONTROL') AND d.policy IN ('MODEL', 'UNIFORM')
ORDER BY d.decided_at_ms, d.decision_id
"""
_FOREVER_MS = 2**62


class _Logged(TypedDict):
    """One result row of `_SELECT`."""

    decision_id: str
    customer_id: str
    decided_at_ms: int
    ledger_id: str
    program_version: int
    group: str
    policy: str
    model_version: str
    features_json: str
    live_json: str
    context_json: str
    actions: list[str]
    probabilities: list[float]
    drawn: str
    encoding_digest: str | None
    reward: float
    trainable: bool
    learnable: bool


def read_dataset(
    warehouse: Warehouse, program: Program, program_at: ProgramAt, since_ms: int = 0, until_ms: int = _FOREVER_MS
) -> LoggedDataset:
    """The program's learnable decisions under its current reward version, decided in [`since_ms`, `until_ms`).

    Raises:
        NotFound: a program version that decisions were logged under is not known.
        InvalidRequest: the log contradicts itself, naming what.
    """
    if "rewards" not in warehouse.tables():
        return LoggedDataset.of(program.name, program.reward, ())
    found: list[_Logged] = warehouse.query(
        _SELECT,
        {
            "program": program.name,
            "reward_version": program.reward.version,
            "since_ms": since_ms,
            "until_ms": until_ms,
        },
    ).to_pylist()
    catalogue = _Actions(program.name, program_at)
    rows = [_row(record, catalogue) for record in found if record["learnable"]]
    return LoggedDataset.of(program.name, program.reward, rows, _facts(found))


class _Actions:
    """Actions by program version and id, looked up once per version."""

    def __init__(self, program: str, program_at: ProgramAt) -> None:
        self._program, self._program_at = program, program_at
        self._versions: dict[tuple[int, str], Mapping[str, Action]] = {}

    def of(self, version: int, ledger_id: str, ids: Sequence[str]) -> tuple[Action, ...]:
        if (version, ledger_id) not in self._versions:
            published = self._program_at(self._program, version, ledger_id)
            self._versions[version, ledger_id] = {action.id: action for action in published.all_actions}
        known = self._versions[version, ledger_id]
        missing = [action for action in ids if action not in known]
        if missing:
            raise InvalidRequest.of(
                "actions", f"logged actions {missing} are not in version {version} of program {self._program!r}"
            )
        return tuple(known[action] for action in ids)


def _row(logged: _Logged, actions: _Actions) -> LoggedRow:
    return LoggedRow(
        decision_id=logged["decision_id"],
        customer_id=logged["customer_id"],
        decided_at_ms=logged["decided_at_ms"],
        program_version=logged["program_version"],
        group=Group(logged["group"]),
        policy=PolicyKind(logged["policy"]),
        model_version=logged["model_version"],
        known=known_values(
            values_from_json(logged["features_json"]),
            values_from_json(logged["live_json"]),
            values_from_json(logged["context_json"]),
        ),
        actions=actions.of(logged["program_version"], logged["ledger_id"], logged["actions"]),
        probabilities=tuple(logged["probabilities"]),
        chosen=logged["actions"].index(logged["drawn"]),
        reward=logged["reward"],
        encoding_digest=logged["encoding_digest"] or "",
    )


def _facts(found: Sequence[_Logged]) -> LogFacts:
    """Facts of every matured decision that was drawn from its options, whatever became of it."""
    options, drawn, matured, learnable = [], [], dict[str, int](), dict[str, int]()
    for record in found:
        pick = record["drawn"]
        if pick not in record["actions"]:  # a degradation forced NO_ACTION; nothing was drawn
            continue
        options.append(dict(zip(record["actions"], record["probabilities"], strict=True)))
        drawn.append(pick)
        if record["trainable"]:
            matured[pick] = matured.get(pick, 0) + 1
            learnable[pick] = learnable.get(pick, 0) + bool(record["learnable"])
    if not options:
        return LogFacts()
    actions, logged, chosen = probability_matrix(options, drawn)
    return LogFacts(
        decisions=len(options),
        by_action=Calibration.by_action(actions, logged, chosen),
        by_probability=Calibration.by_probability(logged, chosen),
        joined=tuple(JoinRate(action, n, learnable[action]) for action, n in sorted(matured.items())),
    )
