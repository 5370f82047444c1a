"""The schema of programs and contact policies as people write them. `docs/programs.md` explains every key.

Defaults that the core also has are taken from there, so that there is one of each.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from decision_service.core.model import program as core
from decision_service.core.model.reward import RewardDefinition
from decision_service.core.model.values import NO_ACTION
from decision_service.documents.fields import (
    MAX_MONEY,
    AttributeValue,
    Channel,
    Document,
    Id,
    IgnoredCaps,
    Money,
    Name,
    Number,
    Payload,
    Rule,
    Share,
    Variable,
    wrong,
)
from decision_service.documents.guardrails import (
    MAX_RULES,
    ConsentDocument,
    GlobalHoldoutDocument,
    PauseOnDocument,
    PolicyBudgetDocument,
    PolicyCapDocument,
    ProgramBudgetDocument,
    ProgramCapDocument,
    QuietHoursDocument,
    SuppressOnDocument,
)
from decision_service.documents.times import Duration, Timestamp, Window, Zone

CONTACT_POLICY = "contact-policy"
"""What commands call it, where they take the name of a program as well."""

MAX_ACTIONS = 1_000
MAX_PRIORITY = 1_000

_ACTION = core.Action("", "", "")
_EXPLORATION = core.Exploration()
_ARBITRATION = core.Arbitration()
_POLICY = core.ContactPolicy()
_REWARD = RewardDefinition({}, 1)


class Active(Document):
    """When something is active; always, by default."""

    starts_at: Timestamp | None = Field(None, description="Not before this time. ISO 8601 with zone.")
    ends_at: Timestamp | None = Field(None, description="Not from this time on. ISO 8601 with zone.")

    @model_validator(mode="after")
    def _in_order(self) -> Active:
        if self.starts_at is not None and self.ends_at is not None and self.starts_at >= self.ends_at:
            raise wrong("`ends_at` must be later than `starts_at`")
        return self


class ActionDocument(Active):
    """A message × channel."""

    id: Id = Field(description="Unique within the program; logged with every decision.")
    channel: Channel = Field(description="Where it is sent: email, sms, push …")
    message: Id = Field(description="What is sent; several actions may send one message on different channels.")
    tags: list[Id] = Field([], max_length=MAX_RULES, description="Labels that caps can count.")
    attributes: dict[Id, AttributeValue] = Field({}, description="What the model may know of the action.")
    payload: Payload = Field("{}", description="Handed to the journey runner untouched.")
    eligible: Rule | None = Field(None, description="CEL rule: who may get it. Everyone, by default.")
    ignores_caps: IgnoredCaps = Field(
        _ACTION.ignores_caps, description="`all`, or ids of caps, here or in the contact policy, that do not stop it."
    )
    counts_toward_caps: bool = Field(
        _ACTION.counts_toward_caps, description="Whether its contacts use up caps; `false` for receipts and the like."
    )
    cost: Money = Field(_ACTION.cost_micros, description="What one contact costs; budgets in money count it.")
    lever: Number = Field(
        _ACTION.lever, ge=0, le=100, description="Factor on its predicted reward: above 1 shows it more, below 1 less."
    )
    min_share: Share = Field(
        "0%", validate_default=True, description="Least probability where it is feasible and the model serves."
    )
    max_share: Share = Field("100%", validate_default=True, description="Largest probability where the model serves.")

    @model_validator(mode="after")
    def _shares_in_order(self) -> ActionDocument:
        if self.min_share > self.max_share:
            raise wrong("`min_share` is more than `max_share`; lower it, or raise `max_share`")
        return self

    @field_validator("id")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if value == NO_ACTION:
            raise wrong(f"{NO_ACTION} is reserved: it is always there; remove this action or choose another id")
        return value


class BaselineDocument(Document):
    """One rule of the baseline."""

    action: Id = Field(description="Id of the action to serve, or NO_ACTION.")
    when: Rule | None = Field(None, description="CEL rule; it always holds by default.")


class GroupsDocument(Document):
    """Shares of customers in percent; they sum to 100%."""

    salt: Id | None = Field(
        None, description="Seed of the assignment; the program's name by default. A new one assigns everyone anew."
    )
    treatment: Share = Field("0%", validate_default=True, description="Served by the model.")
    random_control: Share = Field("0%", validate_default=True, description="Served uniformly at random.")
    business_as_usual: Share = Field("0%", validate_default=True, description="Served the baseline.")
    holdout: Share = Field("0%", validate_default=True, description="Never contacted by this program.")


class LowDataDocument(Document):
    """What an action gets while the model knows little of it."""

    below: int = Field(
        ge=1, le=10_000_000, description="Little data: the model learned from fewer decisions than this."
    )
    max_share: Share = Field(description="Largest probability of such an action, such as `10%`.")

    @field_validator("max_share")
    @classmethod
    def _learnable(cls, value: int) -> int:
        if value == 0:
            raise wrong("must be more than 0%: what is never served is never learned of")
        return value


class SpreadDocument(Document):
    """How predictions become probabilities."""

    kind: Literal["epsilon_greedy", "softmax", "squarecb"] = Field(
        _EXPLORATION.kind.value, description="How predictions become probabilities."
    )
    epsilon: Number = Field(
        _EXPLORATION.epsilon, ge=0, le=1, description="epsilon_greedy: what is spread evenly, from 0 to 1."
    )
    temperature: Number = Field(
        _EXPLORATION.temperature, gt=0, description="softmax: in units of reward; smaller is greedier."
    )
    gamma: Number = Field(_EXPLORATION.gamma, gt=0, description="squarecb: larger is greedier.")
    floor: Number = Field(
        _EXPLORATION.floor, ge=0, le=0.5, description="Least probability of every one that is feasible."
    )

    @model_validator(mode="after")
    def _used(self) -> SpreadDocument:
        belongs = {"epsilon": "epsilon_greedy", "temperature": "softmax", "gamma": "squarecb"}
        for name, kind in belongs.items():
            if name in self.model_fields_set and self.kind != kind:
                raise wrong(f"`{name}` has no effect on {self.kind}; remove it, or set `kind` to {kind}")
        return self


class ExplorationDocument(SpreadDocument):
    """How TREATMENT explores."""

    low_data: LowDataDocument | None = Field(None, description="Limits actions that the model knows little of.")


class RewardDocument(Document):
    """How outcomes become the number that is optimised."""

    outcomes: dict[Id, Number] = Field(min_length=1, max_length=MAX_RULES, description="Outcome name → weight.")
    value: Literal["count", "value"] = Field(
        "count", description="`count`: an outcome is worth its weight. `value`: its weight times its value."
    )
    window: Window = Field(description="Outcomes count until this long after the decision, or its planned sending.")
    default: Number = Field(0.0, description="Reward of a decision without outcomes.")
    aggregation: Literal["sum", "max", "earliest", "latest", "any"] = Field(
        "sum", description="How several outcomes become one number; `any` gives 1 for one or more."
    )
    bounds: list[Number] | None = Field(
        None,
        min_length=2,
        max_length=2,
        description="[least, most]; rewards are clipped to them. From the weights by default, each outcome once; "
        "`value: value` needs them.",
    )
    early_tolerance: Duration = Field(
        "2m", validate_default=True, description="Outcomes may precede the decision by this long."
    )
    attribution: Literal["every_decision", "last_touch"] = Field(
        _REWARD.attribution.value,
        description="Which decisions an outcome counts for: each whose window holds it, or the last contact alone.",
    )
    named_outcomes: Literal["shared", "exclusive"] = Field(
        "shared", description="Whether an outcome that names a decision counts for others too."
    )

    @property
    def reach(self) -> list[float]:
        """[least, most] that the weights come to where each outcome comes once; what `bounds` are by default."""
        weights = list(self.outcomes.values())
        match self.aggregation:
            case "any":
                reached = [1.0]
            case "sum":
                reached = [sum(w for w in weights if w < 0), sum(w for w in weights if w > 0)]
            case _:
                reached = weights
        return [min(self.default, *reached), max(self.default, *reached)]

    @model_validator(mode="after")
    def _learnable(self) -> RewardDocument:
        if self.value == "value" and not self.bounds:
            raise wrong("`value: value` needs `bounds`: [least, most] reward, fixed before any data is seen")
        low, high = self.bounds or self.reach
        if self.bounds and low >= high:
            raise wrong("`bounds` must be [least, most] with least below most")
        if not low <= self.default <= high:
            raise wrong(f"`default` {self.default:g} lies outside `bounds` [{low:g}, {high:g}]")
        if self.value == "value":
            if not any(self.outcomes.values()):
                raise wrong("every weight in `outcomes` is 0: there is nothing to learn")
            return self
        single = [1.0] if self.aggregation == "any" else list(self.outcomes.values())
        if all(min(max(reward, low), high) == self.default for reward in single):
            raise wrong("an outcome gives the same reward as none: change the weights, `default` or `bounds`")
        return self


class PeriodDocument(Document):
    """A period whose decisions are not learned from."""

    from_: Timestamp = Field(alias="from", description="From this time on. ISO 8601 with zone.")
    until: Timestamp = Field(description="Before this time. ISO 8601 with zone.")

    @model_validator(mode="after")
    def _in_order(self) -> PeriodDocument:
        if self.from_ >= self.until:
            raise wrong("`until` must be later than `from`")
        return self


class LearnFromDocument(Document):
    """Which decisions the model learns from, and is judged on."""

    decisions: Literal["as_drawn", "activated"] = Field(
        "as_drawn",
        description="`as_drawn`: every randomised decision, whatever became of it. `activated`: only those that the "
        "runner reports as carried out, for runners that ask speculatively.",
    )
    leave_out: list[PeriodDocument] = Field(
        [], max_length=MAX_RULES, description="Periods in which nothing could be sent; their decisions are left out."
    )


class FeaturesDocument(Document):
    """Which features, and what if they are not there."""

    service: Id = Field(description="Name of the Feast FeatureService.")
    on_missing: Literal["decide_on_context", "no_action"] = Field(
        "decide_on_context", description="What to do when the features cannot be read."
    )
    require_fresh: bool = Field(False, description="Treat stale features as if none could be read.")
    exclude_from_model: list[Id] = Field([], description="Features that rules may use and the model must not see.")


class ProgramDocument(Active):
    """One decisioning unit: audience, actions, guardrails, goal."""

    name: Name = Field(description="Letters, digits, `_`, `-` and `.`; what `Decide` names.")
    description: str = Field("", max_length=10_000, description="For people.")
    features: FeaturesDocument = Field(description="Where the customer's features come from.")
    audience: Rule | None = Field(None, description="CEL rule: who is in the program. Everyone, by default.")
    context: dict[Variable, Literal["bool", "int", "float", "string", "strings"]] = Field(
        {}, max_length=MAX_RULES, description="What callers may send: name → type."
    )
    live_events: list[Id] = Field(
        [], max_length=MAX_RULES, description="Events and outcomes counted live, read as `live.<event>_count_7d`."
    )
    learning_mode: Literal["online", "apprentice", "logging_only"] = Field(
        "online", description="Whether TREATMENT is served by the model (online) or the baseline."
    )
    actions: list[ActionDocument] = Field(
        min_length=1, max_length=MAX_ACTIONS, description="What may be sent. NO_ACTION is always there as well."
    )
    baseline: list[BaselineDocument] = Field(
        [], max_length=MAX_RULES, description="Business as usual: the first rule that holds and is feasible."
    )
    caps: list[ProgramCapDocument] = Field([], max_length=MAX_RULES, description="Frequency caps; all must hold.")
    budgets: list[ProgramBudgetDocument] = Field(
        [], max_length=MAX_RULES, description="Volume constraints over all customers; all must hold."
    )
    quiet_hours: list[QuietHoursDocument] = Field([], max_length=MAX_RULES, description="Beside the contact policy's.")
    groups: GroupsDocument | None = Field(None, description="Shares of customers; all in TREATMENT by default.")
    exploration: ExplorationDocument = Field(ExplorationDocument(), description="How TREATMENT explores.")
    reward: RewardDocument = Field(description="What to optimise.")
    learn_from: LearnFromDocument = Field(LearnFromDocument(), description="Which decisions the model learns from.")
    value: Number = Field(
        1.0,
        ge=1 / core.MICROS,
        le=MAX_MONEY,
        description="What one unit of reward is worth in money; programs compete by it.",
    )
    priority: int = Field(
        0,
        ge=-MAX_PRIORITY,
        le=MAX_PRIORITY,
        description="Programs with a lower one come up only where those with a higher one have nothing to offer.",
    )
    lease: Window = Field(
        "15m", validate_default=True, description="How long a decision holds its slot in the caps; at most 7d."
    )
    state: Literal["live", "paused", "unpublished"] = Field(
        "live", description="`paused` sends nothing; `unpublished` takes no part. Both stop what is queued."
    )

    @field_validator("name")
    @classmethod
    def _not_the_contact_policy(cls, value: str) -> str:
        if value == CONTACT_POLICY:
            raise wrong(f"`{CONTACT_POLICY}` is what commands call the contact policy; choose another name")
        return value


class ArbitrationDocument(Document):
    """How programs compete where a request names several."""

    exploration: SpreadDocument = Field(SpreadDocument(), description="How the programs' scores become probabilities.")
    due_within: Duration = Field(
        "0s",
        validate_default=True,
        description="How far ahead an action counts as due; a last slot in a cap then goes to the better one.",
    )
    due_discount: Number = Field(
        _ARBITRATION.due_discount,
        ge=0,
        le=1,
        description="Factor on the score of what is due, as it may not come to be.",
    )


class ContactPolicyDocument(Document):
    """The guardrails above all programs; the most restrictive wins."""

    caps: list[PolicyCapDocument] = Field([], max_length=MAX_RULES, description="Frequency caps; all must hold.")
    budgets: list[PolicyBudgetDocument] = Field(
        [], max_length=MAX_RULES, description="Volume constraints over all customers; all must hold."
    )
    quiet_hours: list[QuietHoursDocument] = Field([], max_length=MAX_RULES, description="For every program.")
    consent: ConsentDocument = Field(ConsentDocument(), description="Which feature grants contact on a channel.")
    suppress_on: list[SuppressOnDocument] = Field([], max_length=MAX_RULES, description="Outcomes that stop contact.")
    pause_on: list[PauseOnDocument] = Field([], max_length=MAX_RULES, description="Outcomes that pause contact.")
    arbitration: ArbitrationDocument = Field(ArbitrationDocument(), description="How programs compete.")
    holdout: GlobalHoldoutDocument | None = Field(None, description="Customers whom no program contacts.")
    timezone_feature: Id = Field(_POLICY.timezone_feature, description="Feature that holds an IANA time zone.")
    unknown_timezone: Zone | None = Field(
        _POLICY.unknown_timezone,
        description="Zone to assume of customers without one, not where it could not be read; excludes with "
        "TIMEZONE_UNKNOWN by default.",
    )
