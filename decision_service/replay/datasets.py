"""Readers of logged experiments: Hillstrom's e-mail experiment, the Open Bandit Dataset, and any CSV with a mapping."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.values import NO_ACTION
from decision_service.replay.design import column_problem, ratio_problem, shares_problem
from decision_service.replay.experiment import Arm, LoggedExperiment, LoggedRow, RewardChoice
from decision_service.replay.mapping import (
    ArmMapping,
    ExperimentMapping,
    RewardMapping,
    load_mapping,
    parse_number,
    parse_value,
)

MAPPINGS = Path(__file__).parent / "mappings"
MAX_REPORTED_CELLS = 10
"""Unreadable cells named in one error; a wrong column would otherwise name every line."""

T = TypeVar("T")
Cells = Mapping[str, str]


def hillstrom(data_dir: Path, reward: str = "visit") -> LoggedExperiment:
    """Hillstrom's MineThatData e-mail experiment (2008): 64,000 customers, three arms at random.

    Args:
        data_dir: folder with `hillstrom.csv`.
        reward: `visit`, `conversion` or `spend` (dollars, at most 500).

    Raises:
        InvalidRequest: no such file, missing columns, unreadable cells, or an unknown reward.
    """
    return read_experiment(data_dir / "hillstrom.csv", load_mapping(MAPPINGS / "hillstrom.yaml"), reward)


def open_bandit(
    data_dir: Path, policy: str = "random", campaign: str = "men", reward: str = "click"
) -> LoggedExperiment:
    """The Open Bandit Dataset: impressions of fashion items with logged probabilities (Saito et al. 2020).

    Args:
        data_dir: folder with `<policy>/<campaign>/<campaign>.csv` and `item_context.csv`, as published.
        policy: whose log to read: `random` or `bts`.
        campaign: `men`, `women` or `all`.
        reward: `click`.

    Raises:
        InvalidRequest: no such file, missing columns, unreadable cells, or an unknown reward.
    """
    folder = data_dir / policy / campaign
    items, traits = _read_csv(folder / "item_context.csv", ["item_id", "item_feature_1", "item_feature_2"])
    arms: dict[str, ArmMapping] = {
        item["item_id"]: ArmMapping(
            action=f"item_{item['item_id']}",
            channel="site",
            attributes={name: item[name] for name in traits if name.startswith("item_feature_") and name[-1] != "0"},
        )
        for item in items
    }
    mapping = load_mapping(MAPPINGS / "open_bandit.yaml").model_copy(
        update={"arms": arms, "name": f"open_bandit_{campaign}_{policy}"}
    )
    return read_experiment(folder / f"{campaign}.csv", mapping, reward)


def from_csv(path: Path, mapping: Path, reward: str | None = None) -> LoggedExperiment:
    """A CSV of one's own, read as its mapping file says; docs/replay.md describes both.

    Raises:
        InvalidRequest: anything wrong with the mapping, or with the CSV, all of it at once.
    """
    return read_experiment(path, load_mapping(mapping), reward)


def read_experiment(path: Path, mapping: ExperimentMapping, reward: str | None = None) -> LoggedExperiment:
    """A CSV with a header, read as its mapping says; `reward` is one of the mapping's, by default its first.

    Raises:
        InvalidRequest: every missing column at once; or the first unreadable cells with their lines; or an
            unknown reward.
    """
    chosen = mapping.reward(reward)
    lines, _ = _read_csv(path, mapping.columns())
    if not lines:
        raise InvalidRequest.of(str(path), "has a header but no rows; export the experiment's rows")
    arms = mapping.arms or {value: ArmMapping(action=_identifier(value)) for value in _distinct(lines, mapping.arm)}
    actions = {value: arm if isinstance(arm, str) else arm.action for value, arm in arms.items()}
    shares = mapping.shares(tuple(actions))
    violations: list[Violation] = []
    seen: set[str] = set()
    rows = [
        _row(cells, line, path, mapping, actions, shares, seen, violations)
        for line, cells in enumerate(lines, start=2)
        if len(violations) < MAX_REPORTED_CELLS
    ]
    least = mapping.least_probability or min([*shares.values()] or [row.probability for row in rows], default=1.0)
    idle = chosen.low if mapping.no_action_value is None else mapping.no_action_value
    # What is wrong with the whole is asked only where every row can be read.
    violations = violations or [
        *_design_problems(rows, mapping, actions, shares, least),
        *_idle_problems(idle, chosen),
    ]
    if violations:
        raise InvalidRequest(violations)
    return LoggedExperiment(
        name=mapping.name,
        feature_types=mapping.features,
        arms=tuple(
            Arm(NO_ACTION) if isinstance(arm, str) else Arm(arm.action, arm.channel, arm.message, arm.attributes)
            for arm in arms.values()
        ),
        reward=RewardChoice(chosen.outcome, chosen.low, chosen.high, chosen.margin),
        rows=tuple(rows),
        least_probability=least,
        no_action_value=None if NO_ACTION in actions.values() else idle,
    )


def _design_problems(
    rows: Sequence[LoggedRow],
    mapping: ExperimentMapping,
    actions: Mapping[str, str],
    shares: Mapping[str, float],
    least: float,
) -> list[Violation]:
    """What shows that arms were not given as the mapping says. shares: empty where a column tells it row by row."""
    column = mapping.probability_column
    if column is None:
        counts = Counter(row.arm for row in rows)
        found = shares_problem(shares) or ratio_problem(shares, {v: counts[action] for v, action in actions.items()})
    else:
        inverse = {v: math.fsum(1 / row.probability for row in rows if row.arm == a) for v, a in actions.items()}
        found = column_problem(column, inverse, len(rows), least)
    return [found] if found else []


def _idle_problems(value: float, reward: RewardMapping) -> list[Violation]:
    if reward.low <= value <= reward.high:
        return []
    return [Violation("no_action_value", f"{value:g} is outside the reward's bounds [{reward.low:g}, {reward.high:g}]")]


def _row(
    cells: Cells,
    line: int,
    path: Path,
    mapping: ExperimentMapping,
    actions: Mapping[str, str],
    shares: Mapping[str, float],
    seen: set[str],
    violations: list[Violation],
) -> LoggedRow:
    """One row; what is wrong with it goes to `violations`, with its place."""

    def read(column: str, parse: Callable[[str], T], otherwise: T) -> T:
        try:
            return parse(cells[column])
        except ValueError as error:
            violations.append(Violation(f"{path.name}:{line}:{column}", f"{error}; correct the cell or the mapping"))
            return otherwise

    def customer(text: str) -> str:
        if not text or text in seen:
            raise ValueError(f"customer {text!r} is empty or listed before (or number the rows: no `customer_id`)")
        seen.add(text)
        return text

    def action(text: str) -> str:
        if text not in actions:
            raise ValueError(f"{text!r} is not one of the arms {', '.join(sorted(actions))}")
        return actions[text]

    def probability(text: str) -> float:
        if not 0 < (value := parse_number(text)) <= 1:
            raise ValueError(f"{text!r} is not a probability in (0, 1]")
        if mapping.least_probability is not None and value < mapping.least_probability:
            raise ValueError(f"{text!r} is below `least_probability`, {mapping.least_probability:g}")
        return value

    arm = read(mapping.arm, action, "")
    if mapping.probability_column is not None:
        p = read(mapping.probability_column, probability, 1.0)
    else:
        p = shares.get(cells[mapping.arm], 1.0)
    return LoggedRow(
        customer_id=read(mapping.customer_id, customer, "") if mapping.customer_id else f"{mapping.name}-{line - 1}",
        features={
            name: read(name, lambda text, kind=kind: parse_value(text, kind), None)  # type: ignore[misc]
            for name, kind in mapping.features.items()
        },
        arm=arm,
        probability=p,
        outcomes={name: read(name, parse_number, 0.0) for name in mapping.outcomes},
    )


def _read_csv(path: Path, required: Sequence[str]) -> tuple[list[dict[str, str]], Sequence[str]]:
    """Rows by column name, and the header.

    Raises:
        InvalidRequest: unreadable, or lacking required columns: all of them are named.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            header = list(reader.fieldnames or ())
            if missing := [column for column in required if column not in header]:
                raise InvalidRequest(
                    Violation(
                        f"{path.name}:{column}",
                        f"column missing; add it or correct the mapping (present: {', '.join(islice(header, 30))})",
                    )
                    for column in missing
                )
            return list(reader), header
    except OSError as error:
        raise InvalidRequest.of(str(path), f"cannot be read ({error.strerror}); check the data folder") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidRequest.of(str(path), f"is not a UTF-8 CSV file: {error}") from error


def _distinct(lines: Iterable[Cells], column: str) -> list[str]:
    return sorted({cells[column] for cells in lines})


def _identifier(value: str) -> str:
    """An action id for an arm value: letters, digits and underscores, starting with a letter."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", value).strip("_")[:60]
    return name if name[:1].isalpha() else f"arm_{name}"
