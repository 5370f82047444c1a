"""What marketers declare: programs, actions and guardrails, frozen once published.

Times are UTC epoch milliseconds (`*_ms`), durations are seconds (`*_s`). `documents` reads these
from YAML or JSON; nothing here parses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from decision_service.core.model.reward import LearnFrom, RewardDefinition
from decision_service.core.model.values import NO_ACTION, Value, ValueType

ALL_CAPS = "*"
"""In `Action.ignores_caps`: every cap."""

MICROS = 1_000_000
"""Money is counted in millionths of the workspace's currency, so that sums are exact."""


class Group(StrEnum):
    """Which policy a customer's decisions come from; see `core.guardrails.groups`."""

    TREATMENT = "TREATMENT"
    RANDOM_CONTROL = "RANDOM_CONTROL"
    BUSINESS_AS_USUAL = "BUSINESS_AS_USUAL"
    HOLDOUT = "HOLDOUT"


class LearningMode(StrEnum):
    """What TREATMENT is served: the model (ONLINE) or the baseline (APPRENTICE, LOGGING_ONLY)."""

    ONLINE = "ONLINE"
    APPRENTICE = "APPRENTICE"
    LOGGING_ONLY = "LOGGING_ONLY"


class ProgramState(StrEnum):
    """Whether a program decides: LIVE does; PAUSED answers NO_ACTION and stops what it has queued; UNPUBLISHED does
    not take part, and stops what it has queued."""

    LIVE = "live"
    PAUSED = "paused"
    UNPUBLISHED = "unpublished"


class CalendarUnit(StrEnum):
    """Calendar windows: of caps in the customer's time zone, of budgets in the budget's."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class ExplorationKind(StrEnum):
    """How predicted rewards become a distribution; see `core.choice.exploration`."""

    EPSILON_GREEDY = "epsilon_greedy"
    SOFTMAX = "softmax"
    SQUARECB = "squarecb"


class WhenQuiet(StrEnum):
    """What quiet hours do to an action: send it when they end, or exclude it."""

    QUEUE = "queue"
    DISCARD = "discard"


class WhenFeaturesMissing(StrEnum):
    """What a program does when its features cannot be read."""

    DECIDE_ON_CONTEXT = "decide_on_context"
    NO_ACTION = "no_action"


class CapCounts(StrEnum):
    """Which contacts count toward a cap once their lease is over; a reservation with a live lease always does.

    RESERVED: every decision to contact, sent or not. ACTIVATED: what was sent. DELIVERED: what was sent, unless its
    delivery failed (BOUNCED).
    """

    RESERVED = "reserved"
    ACTIVATED = "activated"
    DELIVERED = "delivered"


class PauseOf(StrEnum):
    """What a pause rule counts outcomes of and pauses: the action, its channel, each of its tags, or all contact."""

    ACTION = "action"
    CHANNEL = "channel"
    TAG = "tag"
    ALL = "all"


class BudgetPeriod(StrEnum):
    """How often a budget starts anew, in its own time zone."""

    TOTAL = "total"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Action:
    """A message × channel. `payload_json` is handed to the runner untouched.

    ignores_caps: ids of caps that do not stop it (ALL_CAPS: none does), as for transactional messages.
    counts_toward_caps: whether its contacts count for the caps of others.
    cost_micros: what one contact costs, in millionths of the currency; budgets in money count it.
    lever: the marketer's factor on its predicted reward, ≥ 0; 1 leaves it alone.
    min_share, max_share: bounds of its probability where the model serves it, in [0, 1].
    """

    id: str
    channel: str
    message: str
    tags: frozenset[str] = frozenset()
    attributes: Mapping[str, Value] = field(default_factory=dict)
    payload_json: str = "{}"
    eligible: str | None = None
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None
    ignores_caps: frozenset[str] = frozenset()
    counts_toward_caps: bool = True
    cost_micros: int = 0
    lever: float = 1.0
    min_share: float = 0.0
    max_share: float = 1.0


NO_ACTION_ACTION = Action(id=NO_ACTION, channel="", message=NO_ACTION)


@dataclass(frozen=True, slots=True)
class Scope:
    """Which contacts a cap or budget concerns: all given fields must match; none given means every contact."""

    channel: str | None = None
    program: str | None = None
    message: str | None = None
    tag: str | None = None
    action: str | None = None


@dataclass(frozen=True, slots=True)
class FrequencyCap:
    """At most `limit` contacts in scope per window: rolling `window_s` seconds, or one `calendar` unit.

    Exactly one of `window_s` and `calendar` is set. A minimum gap between contacts is a rolling window with limit 1.
    week_starts: first day of calendar weeks, 0 for Monday to 6 for Sunday.
    """

    id: str
    limit: int
    window_s: int | None = None
    calendar: CalendarUnit | None = None
    scope: Scope = Scope()
    counts: CapCounts = CapCounts.ACTIVATED
    week_starts: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """A volume constraint over all customers: at most `limit` contacts in scope per period, or that much money.

    limit: contacts; with `in_money`, millionths of the currency, counted by `Action.cost_micros`.
    timezone: IANA zone whose calendar the periods follow. A contact belongs to the period it is to be sent in.
    paced: allow only the share of `limit` that corresponds to the share of the period that has passed.
    """

    id: str
    limit: int
    in_money: bool = False
    period: BudgetPeriod = BudgetPeriod.TOTAL
    scope: Scope = Scope()
    timezone: str = "UTC"
    week_starts: int = 0
    paced: bool = False


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `start_minute` to `end_minute` of the customer's local day (0–1440), across midnight if start > end.

    channels: empty means every channel.
    weekdays: local days on which they begin, 0 for Monday to 6 for Sunday.
    holidays: further local days on which they begin, from the calendar named `holiday_calendar`.
    With neither weekdays nor a calendar they begin every day.
    """

    id: str
    start_minute: int
    end_minute: int
    channels: frozenset[str] = frozenset()
    when_quiet: WhenQuiet = WhenQuiet.DISCARD
    weekdays: frozenset[int] = frozenset()
    holidays: frozenset[date] = frozenset()
    holiday_calendar: str = ""


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
class PauseRule:
    """`count` outcomes of a kind within `within_s`, of one customer, pause what they were outcomes of for `for_s`."""

    id: str
    outcome: str
    count: int
    within_s: int
    for_s: int
    pauses: PauseOf = PauseOf.CHANNEL


@dataclass(frozen=True, slots=True)
class GlobalHoldout:
    """Buckets [0, `buckets`) of the salted hash are never contacted by any program (of 10,000)."""

    buckets: int = 0
    salt: str = "global"


@dataclass(frozen=True, slots=True)
class Exploration:
    """How TREATMENT explores.

    epsilon: share of uniform exploration, in [0, 1] (epsilon_greedy).
    temperature: > 0, in units of reward (softmax).
    gamma: > 0 (squarecb, Foster & Rakhlin 2020).
    floor: least probability of each feasible action, in [0, 1/K]; larger values are cut to 1/K.
    low_data_below, low_data_max_share: an action that the model has learned from fewer decisions than this gets at
        most this probability.
    """

    kind: ExplorationKind = ExplorationKind.EPSILON_GREEDY
    epsilon: float = 0.1
    temperature: float = 0.1
    gamma: float = 100.0
    floor: float = 0.0
    low_data_below: int = 0
    low_data_max_share: float = 1.0


@dataclass(frozen=True, slots=True)
class Arbitration:
    """How programs compete for a customer, where a request names several.

    exploration: how the programs' scores become probabilities.
    due_within_s: how far ahead an action that is not allowed yet counts as due; it then puts a price on the last slot
        of the caps it shares. 0: last slots have no price.
    due_discount: what the value of a due action is multiplied by, in [0, 1], as it may not come to pass.
    """

    exploration: Exploration = Exploration()
    due_within_s: int = 0
    due_discount: float = 1.0


@dataclass(frozen=True, slots=True)
class ContactPolicy:
    """The workspace-wide guardrails above all programs; the most restrictive wins."""

    version: int = 0
    caps: tuple[FrequencyCap, ...] = ()
    budgets: tuple[Budget, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    consent: Consent = Consent()
    suppress_on: tuple[SuppressOn, ...] = ()
    pauses: tuple[PauseRule, ...] = ()
    arbitration: Arbitration = Arbitration()
    holdout: GlobalHoldout = GlobalHoldout()
    timezone_feature: str = "timezone"
    unknown_timezone: str | None = None  # an IANA zone to assume; None excludes with TIMEZONE_UNKNOWN


@dataclass(frozen=True, slots=True)
class BucketRange:
    """Buckets [first, end) of 10,000, and the group that has them."""

    group: Group
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class GroupShares:
    """Sizes in buckets of 10,000; they sum to 10,000.

    ranges: the buckets of every group, in the order in which it got them. Empty where they follow from the sizes: in
    this order, from bucket 0 (`core.guardrails.groups`).
    """

    salt: str
    treatment: int = 10_000
    random_control: int = 0
    business_as_usual: int = 0
    holdout: int = 0
    ranges: tuple[BucketRange, ...] = ()

    @property
    def sizes(self) -> tuple[tuple[Group, int], ...]:
        """Buckets of each group, in the order in which they are dealt."""
        return (
            (Group.TREATMENT, self.treatment),
            (Group.RANDOM_CONTROL, self.random_control),
            (Group.BUSINESS_AS_USUAL, self.business_as_usual),
            (Group.HOLDOUT, self.holdout),
        )


@dataclass(frozen=True, slots=True)
class BaselineRule:
    """Business as usual: the first rule that holds and whose action is feasible is served. `when` None always holds."""

    action: str
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Program:
    """One decisioning unit. `actions` does not contain NO_ACTION: it is always there, last.

    value: what one unit of its reward is worth, in the workspace's currency; arbitration compares programs by it.
    priority: only the programs of the highest priority that have anything to offer compete.
    """

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
    budgets: tuple[Budget, ...] = ()
    quiet_hours: tuple[QuietHours, ...] = ()
    value: float = 1.0
    priority: int = 0
    exploration: Exploration = Exploration()
    learning_mode: LearningMode = LearningMode.ONLINE
    learn_from: LearnFrom = field(default_factory=LearnFrom)
    context: Mapping[str, ValueType] = field(default_factory=dict)
    live_events: tuple[str, ...] = ()
    model_excludes: frozenset[str] = frozenset()  # features that rules may use but the model must not see
    features_missing: WhenFeaturesMissing = WhenFeaturesMissing.DECIDE_ON_CONTEXT
    require_fresh: bool = False
    lease_s: int = 900
    starts_at_ms: int | None = None
    ends_at_ms: int | None = None
    state: ProgramState = ProgramState.LIVE

    @property
    def serves_baseline(self) -> bool:
        """Whether TREATMENT is served the baseline, not the model."""
        return self.learning_mode is not LearningMode.ONLINE

    @property
    def all_actions(self) -> tuple[Action, ...]:
        """The program's actions, then NO_ACTION."""
        return (*self.actions, NO_ACTION_ACTION)

    def action(self, action_id: str) -> Action:
        """The action of that id, or NO_ACTION.

        Raises:
            KeyError: the program has no such action.
        """
        for action in self.all_actions:
            if action.id == action_id:
                return action
        raise KeyError(action_id)
