"""What marketers declare: programs, actions and guardrails, frozen once published.

Times are UTC epoch milliseconds (`*_ms`), durations are seconds (`*_s`). `documents` reads these
from YAML or JSON; nothing here parses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from decision_service.core.values import NO_ACTION, Value, ValueType


class Group(StrEnum):
    """Which policy a customer's decisions come from; see `core.groups`."""

    TREATMENT = "TREATMENT"
    RANDOM_CONTROL = "RANDOM_CONTROL"
    BUSINESS_AS_USUAL = "BUSINESS_AS_USUAL"
    HOLDOUT = "HOLDOUT"


class LearningMode(StrEnum):
    """What TREATMENT is served: the model (ONLINE) or the baseline (APPRENTICE, LOGGING_ONLY)."""

    ONLINE = "ONLINE"
    APPRENTICE = "APPRENTICE"
    LOGGING_ONLY = "LOGGING_ONLY"


class CalendarUnit(StrEnum):
    """Calendar windows, in the customer's time zone; a week starts on Monday."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ExplorationKind(StrEnum):
    """How predicted rewards become a distribution; see `core.exploration`."""

    EPSILON_GREEDY = "epsilon_greedy"
    SOFTMAX = "softmax"
    SQUARECB = "squarecb"


class Aggregation(StrEnum):
    """How the outcomes within a decision's reward window become one number."""

    SUM = "sum"
    MAX = "max"
    EARLIEST = "earliest"
    LATEST = "latest"
    ANY = "any"  # 1 if there is at least one outcome


class WhenQuiet(StrEnum):
    """What quiet hours do to an action: send it when they end, or exclude it."""

    QUEUE = "queue"
    DISCARD = "discard"


class WhenFeaturesMissing(StrEnum):
    """What a program does when its features cannot be read."""

    DECIDE_ON_CONTEXT = "decide_on_context"
    NO_ACTION = "no_action"


@dataclass(frozen=True, slots=True)
class Action:
    """A message × channel. `payload_json` is handed to the runner untouched."""

    id: str
    channel: str
    message: str
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, Value] = field(default_factory=dict)
    payload_json: str = "{}"
    eligible: str | None = None
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None


NO_ACTION_ACTION = Action(id=NO_ACTION, channel="", message=NO_ACTION)


@dataclass(frozen=True, slots=True)
class CapScope:
    """Which contacts a cap counts: all given fields must match; none given means every contact."""

    channel: str | None = None
    program: str | None = None
    message: str | None = None
    tag: str | None = None


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """At most `limit` contacts in scope per window: rolling `window_s` seconds, or one `calendar` unit.

    Exactly one of `window_s` and `calendar` is set.
    """

    id: str
    limit: int
    window_s: int | None = None
    calendar: CalendarUnit | None = None
    scope: CapScope = CapScope()


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start_minute` to `end_minute` of the customer's local day (0–1439), across midnight if start > end.

    `channels` empty means every channel.
    """

    id: str
    start_minute: int
    end_minute: int
    channels: frozenset[str] = frozenset()
    when_quiet: WhenQuiet = WhenQuiet.DISCARD


@dataclass(frozen=True, slots=True)
class Consent:
    """Consent per channel: the boolean feature that grants it, and what a missing value means."""

    features: Mapping[str, str] = field(default_factory=dict)  # channel → feature name
    default_allow: bool = True


@dataclass(frozen=True, slots=True)
class SuppressOn:
    """An outcome that suppresses at once: on its own channel, or on all channels; `for_s` None is for good."""

    outcome: str
    all_channels: bool = False
    for_s: int | None = None


@dataclass(frozen=True, slots=True)
class GlobalHoldout:
    """Buckets [0, `buckets`) of the salted hash are never contacted by any program (of 10,000)."""

    buckets: int = 0
    salt: str = "global"


@dataclass(frozen=True, slots=True)
class ContactPolicy:
    """The workspace-wide guardrails above all programs; the most restrictive wins."""

    version: int = 0
    caps: tuple[FrequencyCap, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    consent: Consent = Consent()
    suppress_on: tuple[SuppressOn, ...] = ()
    holdout: GlobalHoldout = GlobalHoldout()
    timezone_feature: str = "timezone"
    unknown_timezone: str | None = None  # an IANA zone to assume; None excludes with TIMEZONE_UNKNOWN


@dataclass(frozen=True, slots=True)
class GroupShares:
    """Sizes in buckets of 10,000, in this order from bucket 0; they sum to 10,000."""

    salt: str
    treatment: int = 10_000
    random_control: int = 0
    business_as_usual: int = 0
    holdout: int = 0


@dataclass(frozen=True, slots=True)
class Exploration:
    """How TREATMENT explores.

    epsilon: share of uniform exploration, in [0, 1] (epsilon_greedy).
    temperature: > 0, in units of reward (softmax).
    gamma: > 0 (squarecb, Foster & Rakhlin 2020).
    floor: least probability of each feasible action, in [0, 1/K]; larger values are cut to 1/K.
    """

    kind: ExplorationKind = ExplorationKind.EPSILON_GREEDY
    epsilon: float = 0.1
    temperature: float = 0.1
    gamma: float = 100.0
    floor: float = 0.0


@dataclass(frozen=True, slots=True)
class BaselineRule:
    """Business as usual: the first rule that holds and whose action is feasible is served. `when` None always holds."""

    action: str
    when: str | None = None


@dataclass(frozen=True, slots=True)
class RewardDefinition:
    """How outcomes become the scalar that the bandit optimises.

    outcomes: outcome name → weight. The weight multiplies the outcome's value (`use_value`) or counts 1 each.
    window_s: outcomes count if they occur in [decided_at - early_tolerance_s, decided_at + window_s].
    default: the reward of a matured decision without outcomes.
    low, high: a-priori bounds; the aggregated reward is clipped to them.
    version: changes when the definition does; part of the key of `rewards`.
    """

    outcomes: Mapping[str, float]
    window_s: int
    use_value: bool = False
    default: float = 0.0
    aggregation: Aggregation = Aggregation.SUM
    low: float = 0.0
    high: float = 1.0
    early_tolerance_s: int = 120
    version: str = "1"


@dataclass(frozen=True, slots=True)
class Program:
    """One decisioning unit. `actions` does not contain NO_ACTION: it is always there, last."""

    name: str
    version: int
    feature_service: str
    actions: tuple[Action, ...]
    reward: RewardDefinition
    groups: GroupShares
    description: str = ""
    audience: str | None = None
    baseline: tuple[BaselineRule, ...] = ()
    caps: tuple[FrequencyCap, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    exploration: Exploration = Exploration()
    learning_mode: LearningMode = LearningMode.ONLINE
    context: Mapping[str, ValueType] = field(default_factory=dict)
    live_events: tuple[str, ...] = ()
    model_excludes: frozenset[str] = frozenset()  # features that rules may use but the model must not see
    features_missing: WhenFeaturesMissing = WhenFeaturesMissing.DECIDE_ON_CONTEXT
    require_fresh: bool = False
    lease_s: int = 900
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None

    @property
    def all_actions(self) -> tuple[Action, ...]:
        """The program's actions, then NO_ACTION."""
        return (*self.actions, NO_ACTION_ACTION)
