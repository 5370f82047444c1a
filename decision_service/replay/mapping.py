"""What the columns of an experiment's CSV mean, as a strict YAML document; docs/replay.md describes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.core.model.values import NO_ACTION, Value, ValueType

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Probability = Annotated[float, Field(gt=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ArmMapping(_Strict):
    """What one value of the arm column was: an action id, its channel and what the model may know of it."""

    action: Name
    channel: Name = "any"
    message: str = ""
    attributes: dict[Name, bool | int | float | str] = {}


class RewardMapping(_Strict):
    """An outcome column as a reward, clipped to [low, high]; fix the bounds from what is possible, not from data.

    margin: how much worse than the champion, in units of this reward, a challenger may turn out to be.
    """

    outcome: str
    low: float = 0.0
    high: float = 1.0
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    @model_validator(mode="after")
    def _ordered(self) -> RewardMapping:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError("`low` must be below `high`, both finite")
        return self


class ExperimentMapping(_Strict):
    """How to read one CSV.

    arm: the column that names the arm given. arms: its values → action, or NO_ACTION for the control arm; left
    out, every value found is an action named after it.
    probability: `uniform` (1/number of arms), a column, one number, or one per arm value. Known by design of the
    experiment, never estimated from the file.
    least_probability: with a column, what no arm had less of in any row; by default the least that the file has.
    """

    name: Name
    arm: str
    arms: dict[str, ArmMapping | Literal["NO_ACTION"]] = {}
    probability: Probability | dict[str, Probability] | str
    features: dict[Name, ValueType] = Field(min_length=1)
    outcomes: list[str] = Field(min_length=1)
    rewards: dict[Name, RewardMapping] = Field(min_length=1)
    customer_id: str | None = None
    least_probability: Probability | None = None
    no_action_value: float | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ExperimentMapping:
        problems = [
            f"rewards.{name}.outcome {reward.outcome!r} is not listed in `outcomes`"
            for name, reward in self.rewards.items()
            if reward.outcome not in self.outcomes
        ]
        if isinstance(self.probability, dict) and self.arms.keys() != self.probability.keys():
            problems.append("`probability` and `arms` must name the same arm values")
        actions = [arm if isinstance(arm, str) else arm.action for arm in self.arms.values()]
        if len(set(actions)) < len(actions):
            problems.append("two arms have the same action; give each its own")
        if self.no_action_value is not None and NO_ACTION in actions:
            problems.append("`no_action_value` is for experiments without a NO_ACTION arm; remove one of the two")
        if self.least_probability is not None and self.probability_column is None:
            problems.append("`least_probability` is for a `probability` that is a column; remove it")
        leaking = sorted({self.arm, *self.outcomes} & self.features.keys())
        if leaking:
            problems.append(f"{', '.join(leaking)}: an arm or outcome cannot be a feature; remove it from `features`")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def columns(self) -> list[str]:
        """Every column that the CSV must have."""
        wanted = [self.customer_id, self.arm, *self.features, *self.outcomes, self.probability_column]
        return list(dict.fromkeys(column for column in wanted if column is not None))

    @property
    def probability_column(self) -> str | None:
        """The column of logged probabilities, if there is one."""
        return self.probability if isinstance(self.probability, str) and self.probability != "uniform" else None

    def shares(self, arms: Sequence[str]) -> dict[str, float]:
        """Arm value → its designed probability, for all of `arms`; empty where a column tells it row by row."""
        match self.probability:
            case "uniform":
                return dict.fromkeys(arms, 1 / len(arms))
            case str():
                return {}
            case dict() as given:
                return {arm: given[arm] for arm in arms}
            case one:
                return dict.fromkeys(arms, one)

    def reward(self, name: str | None) -> RewardMapping:
        """The named reward, or the first.

        Raises:
            InvalidRequest: no such reward.
        """
        if name is None:
            return next(iter(self.rewards.values()))
        if name not in self.rewards:
            raise InvalidRequest.of("reward", f"unknown reward {name!r}; choose one of {', '.join(self.rewards)}")
        return self.rewards[name]


def load_mapping(path: Path) -> ExperimentMapping:
    """A mapping file.

    Raises:
        InvalidRequest: unreadable, or everything that is wrong with it at once.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidRequest.of(str(path), f"cannot be read ({error.strerror}); give the path of a mapping") from error
    except yaml.YAMLError as error:
        raise InvalidRequest.of(str(path), f"is not YAML: {error}") from error
    if not isinstance(document, dict):
        raise InvalidRequest.of(str(path), "must be a YAML mapping with `name`, `arm`, `probability`, `features`, …")
    try:
        return ExperimentMapping.model_validate(document)
    except ValidationError as error:
        raise InvalidRequest(
            Violation(".".join(str(part) for part in e["loc"]) or path.name, _advice(e["type"], e["msg"]))
            for e in error.errors()
        ) from error


def _advice(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "unknown key; remove it or correct its spelling (docs/replay.md lists the keys)"
    if kind == "missing":
        return "is required; add it (docs/replay.md describes it)"
    return message


_TRUE, _FALSE = frozenset({"1", "true", "yes", "t", "y"}), frozenset({"0", "false", "no", "f", "n"})


def parse_value(text: str, kind: ValueType) -> Value | None:
    """One CSV cell as a feature value; None if it is empty. Lists are separated by `|`.

    Raises:
        ValueError: it is not of that type, or not finite.
    """
    text = text.strip()
    if not text:
        return None
    match kind:
        case ValueType.BOOL:
            if text.lower() not in _TRUE | _FALSE:
                raise ValueError(f"{text!r} is not a bool (0/1, true/false, yes/no)")
            return text.lower() in _TRUE
        case ValueType.INT:
            return int(text)
        case ValueType.FLOAT:
            return parse_number(text)
        case ValueType.STRING:
            return text
        case ValueType.STRINGS:
            return tuple(part for part in text.split("|") if part)


def parse_number(text: str) -> float:
    """One CSV cell as a finite number; 0 if it is empty.

    Raises:
        ValueError: not a number, or not finite.
    """
    value = float(text) if text.strip() else 0.0
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a finite number")
    return value
