"""Logged decisions with their rewards, as the learning side sees them.

Everything a row holds was logged by Decide at the moment of the decision; nothing is read again from the feature
store, so a model is trained and judged on exactly what was served. The rows are the decisions that were drawn at
random, as they were drawn, whatever became of them (`rewards.learnable`): the reward is that of deciding. Nothing is
selected on what came after the draw, unless the program learns from activated decisions only.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypedDict

import numpy as np

from decision_service.application.ports import Warehouse
from decision_service.core.choice.baseline import baseline_action
from decision_service.core.choice.encoding import known_values
from decision_service.core.estimation.ope import Calibration, FloatArray, IntArray
from decision_service.core.guardrails.eligibility import Rules, RuleVariables
from decision_service.core.guardrails.reports import SENT
from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import Action, Group, Program
from decision_service.core.model.record import PolicyKind
from decision_service.core.model.reward import Period, RewardDefinition
from decision_service.core.model.values import NO_ACTION, Values
from decision_service.warehouse.columns import values_from_json

ProgramAt = Callable[[str, int, str], Program]
"""A program version as it was published: (name, version, ledger id); `VersionsByLedger.program_at` is one."""


@dataclass(frozen=True, slots=True)
class LoggedRow:
    """One learnable decision.

    known: features, live counters and context as served, context overriding; what `Scorer.encode` takes.
    actions: the feasible actions in logged order; probabilities: theirs, shape (len(actions),), sum to 1. Where
        programs competed, given that this one decided.
    chosen: index into `actions` of what was drawn. model_version: what scored, empty without a model.
    baseline: what the program's baseline rules would have served; empty where it was not asked for.
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
    baseline: str = ""

    @property
    def probability(self) -> float:
        """The logged probability of the chosen action given the program, in (0, 1]."""
        return self.probabilities[self.chosen]


@dataclass(frozen=True, slots=True)
class ActivationRate:
    """Of the decisions drawn for an action, how many were carried out, as far as anybody reported."""

    action: str
    drawn: int
    activated: int

    @property
    def rate(self) -> float:
        """In [0, 1]; 1 without decisions."""
        return self.activated / self.drawn if self.drawn else 1.0


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What the rows of a dataset say of the log that they were taken from.

    by_action, by_probability: were actions drawn as often as logged? None without rows.
    activated: by action, where the program learns from activated decisions only; empty otherwise.
    """

    by_action: Calibration | None = None
    by_probability: Calibration | None = None
    activated: tuple[ActivationRate, ...] = ()


@dataclass(frozen=True)
class LoggedDataset:
    """Rows in order of (decided_at_ms, decision_id), of one program and reward version.

    `actions` are the columns of every (n, A) array here: the ids that occur in the rows, sorted, NO_ACTION last.
    idle: (decided_at_ms, action drawn) of the decisions that are not among the rows because they were not activated.
    """

    program: str
    reward: RewardDefinition
    rows: tuple[LoggedRow, ...]
    idle: tuple[tuple[int, str], ...] = ()

    @classmethod
    def of(
        cls,
        program: str,
        reward: RewardDefinition,
        rows: Iterable[LoggedRow],
        idle: Iterable[tuple[int, str]] = (),
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
        return cls(program, reward, ordered, tuple(idle))

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
    def has_choice(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether there was anything to choose, shape (n,): rows without say nothing about any policy."""
        choice: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = self.feasible.sum(axis=1) > 1
        return choice

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
    def facts(self) -> LogFacts:
        """Of these rows, and of what was left out beside them."""
        if not self.rows:
            return LogFacts()
        drawn = Counter(action for _, action in self.idle)
        for action, n in self.action_rows.items():
            drawn[action] += n
        return LogFacts(
            by_action=Calibration.by_action(self.actions, self.logged, self.chosen),
            by_probability=Calibration.by_probability(self.logged, self.chosen),
            activated=tuple(
                ActivationRate(action, n, self.action_rows.get(action, 0)) for action, n in sorted(drawn.items()) if n
            )
            if self.idle
            else (),
        )

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
        return replace(
            self,
            rows=tuple(row for row in self.rows if since_ms <= row.decided_at_ms < until_ms),
            idle=tuple(left for left in self.idle if since_ms <= left[0] < until_ms),
        )

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
       d.context_json, d.features_unread, d.actions, d.probabilities, d.drawn, d.encoding_digest, r.reward,
       coalesce(r.activated, '') AS activated
FROM decisions d JOIN rewards r ON r.decision_id = d.decision_id
WHERE d.program = $program AND r.reward_version = $reward_version AND r.learnable
  AND d.decided_at_ms >= $since_ms AND d.decided_at_ms < $until_ms
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
    features_unread: list[str] | None
    actions: list[str]
    probabilities: list[float]
    drawn: str
    encoding_digest: str | None
    reward: float
    activated: str


def read_dataset(
    warehouse: Warehouse,
    program: Program,
    program_at: ProgramAt,
    since_ms: int = 0,
    until_ms: int = _FOREVER_MS,
    baseline_rules: Rules | None = None,
) -> LoggedDataset:
    """The program's randomised decisions under its current reward version, decided in [`since_ms`, `until_ms`), less
    what its `learn_from` leaves out.

    baseline_rules: evaluates what the program's baseline would have served; it is not asked for without.

    Raises:
        NotFound: a program version that decisions were logged under is not known.
        InvalidRequest: the log contradicts itself, naming what.
    """
    if "rewards" not in warehouse.tables():
        return LoggedDataset.of(program.name, program.reward, ())
    read: list[_Logged] = warehouse.query(
        _SELECT,
        {
            "program": program.name,
            "reward_version": program.reward.version,
            "since_ms": since_ms,
            "until_ms": until_ms,
        },
    ).to_pylist()
    learn_from = program.learn_from
    found = [record for record in read if not _left_out(record["decided_at_ms"], learn_from.leave_out)]
    kept = [record for record in found if not learn_from.activated_only or _carried_out(record)]
    idle = [(record["decided_at_ms"], record["drawn"]) for record in found if not _carried_out(record)]
    catalogue = _Actions(program.name, program_at)
    return LoggedDataset.of(
        program.name,
        program.reward,
        [_row(record, catalogue, program, baseline_rules) for record in kept],
        idle if learn_from.activated_only else (),
    )


def _left_out(at_ms: int, periods: Sequence[Period]) -> bool:
    return any(period.from_ms <= at_ms < period.until_ms for period in periods)


def _carried_out(logged: _Logged) -> bool:
    """As far as anybody reported: the latest report is that it was sent, whatever became of it; of NO_ACTION, that
    there is no report that it was skipped."""
    return logged["activated"] in SENT or (logged["drawn"] == NO_ACTION and not logged["activated"])


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


def _row(logged: _Logged, actions: _Actions, program: Program, baseline_rules: Rules | None) -> LoggedRow:
    features = values_from_json(logged["features_json"])
    live, context = values_from_json(logged["live_json"]), values_from_json(logged["context_json"])
    baseline = ""
    if baseline_rules is not None:
        variables = RuleVariables.of(features, live, context, frozenset(logged["features_unread"] or ()))
        baseline = baseline_action(program, set(logged["actions"]), baseline_rules, variables)
    return LoggedRow(
        decision_id=logged["decision_id"],
        customer_id=logged["customer_id"],
        decided_at_ms=logged["decided_at_ms"],
        program_version=logged["program_version"],
        group=Group(logged["group"]),
        policy=PolicyKind(logged["policy"]),
        model_version=logged["model_version"],
        known=known_values(features, live, context),
        actions=actions.of(logged["program_version"], logged["ledger_id"], logged["actions"]),
        probabilities=tuple(logged["probabilities"]),
        chosen=logged["actions"].index(logged["drawn"]),
        reward=logged["reward"],
        encoding_digest=logged["encoding_digest"] or "",
        baseline=baseline,
    )
