"""The schema of programs and contact policies as people write them. `docs/programs.md` explains every key.

Defaults that the core also has are taken from there, so that there is one of each.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from decision_service.core import program as core
from decision_service.core.customer import ALL_CHANNELS
from decision_service.core.values import NO_ACTION
from decision_service.documents.fields import (
    AttributeValue,
    Duration,
    Id,
    Name,
    Number,
    Payload,
    Rule,
    Share,
    TimeOfDay,
    Timestamp,
    Variable,
    Window,
    Zone,
    wrong,
)

THIS_PROGRAM = "this"
MAX_ACTIONS = 1_000
MAX_RULES = 200
"""Most caps, quiet hours, baseline rules and the like in one list."""

MAX_LIMIT = 10_000

_EXPLORATION = core.Exploration()
_POLICY = core.ContactPolicy()


class Document(BaseModel):
    """What every part of a document has in common: unknown keys and loose types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


def _channel(value: str) -> str:
    if value == ALL_CHANNELS:
        raise wrong(f"{ALL_CHANNELS!r} stands for every channel and cannot be the name of one")
    return value


Channel: TypeAlias = Annotated[Id, AfterValidator(_channel)]


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


class ScopeDocument(Document):
    """Which contacts a cap counts: all given keys must match."""

    channel: Channel | None = Field(None, description="Contacts on this channel.")
    message: Id | None = Field(None, description="Contacts with this message.")
    tag: Id | None = Field(None, description="Contacts with this tag.")


class ProgramScopeDocument(ScopeDocument):
    """Scope of a program's cap."""

    program: Literal["this"] | None = Field(None, description="`this`: contacts by this program only.")


class PolicyScopeDocument(ScopeDocument):
    """Scope of a contact policy's cap."""

    program: Name | None = Field(None, description="Contacts by the program of this name.")

    @field_validator("program")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        if value == THIS_PROGRAM:
            raise wrong("a contact policy belongs to no program; write a program's name instead of `this`")
        return value


class CapDocument(Document):
    """At most `limit` contacts in a window."""

    id: Id = Field(description="Unique among the caps here; explanations name it.")
    limit: int = Field(ge=1, le=MAX_LIMIT, description="Most contacts in one window; at least 1.")
    rolling: Window | None = Field(None, description="Window: the last `7d`, `12h` …")
    calendar: Literal["hour", "day", "week", "month"] | None = Field(
        None, description="Window: the customer's calendar unit; a week starts on Monday."
    )

    @model_validator(mode="after")
    def _one_window(self) -> CapDocument:
        if (self.rolling is None) == (self.calendar is None):
            raise wrong("needs one window: either `rolling`, such as 7d, or `calendar`: hour, day, week or month")
        return self


class ProgramCapDocument(CapDocument):
    """A cap of a program."""

    scope: ProgramScopeDocument = Field(ProgramScopeDocument(), description="What it counts; every contact by default.")


class PolicyCapDocument(CapDocument):
    """A cap of the contact policy."""

    scope: PolicyScopeDocument = Field(PolicyScopeDocument(), description="What it counts; every contact by default.")


class QuietHoursDocument(Document):
    """A daily time without contact, in the customer's time zone."""

    id: Id = Field(description="Unique among the quiet hours here; explanations name it.")
    from_: TimeOfDay = Field(alias="from", description="When they begin, such as `22:00`.")
    to: TimeOfDay = Field(description="When they end, such as `08:00`; before `from` means the next day.")
    channels: list[Channel] = Field([], max_length=MAX_RULES, description="Channels that rest; all by default.")
    when_quiet: Literal["queue", "discard"] = Field(
        "discard", description="`queue` sends when they end, `discard` excludes the action."
    )

    @model_validator(mode="after")
    def _some_time(self) -> QuietHoursDocument:
        if self.from_ == self.to:
            raise wrong("`from` and `to` are the same time; make one of them earlier")
        return self


class GroupsDocument(Document):
    """Shares of customers in percent; they sum to 100%."""

    salt: Id | None = Field(
        None, description="Seed of the assignment; the program's name by default. A new one assigns everyone anew."
    )
    treatment: Share = Field("0%", validate_default=True, description="Served by the model.")
    random_control: Share = Field("0%", validate_default=True, description="Served uniformly at random.")
    business_as_usual: Share = Field("0%", validate_default=True, description="Served the baseline.")
    holdout: Share = Field("0%", validate_default=True, description="Never contacted by this program.")


class ExplorationDocument(Document):
    """How TREATMENT explores."""

    kind: Literal["epsilon_greedy", "softmax", "squarecb"] = Field(
        _EXPLORATION.kind.value, description="How predicted rewards become probabilities."
    )
    epsilon: Number = Field(
        _EXPLORATION.epsilon, ge=0, le=1, description="epsilon_greedy: share of decisions spread evenly."
    )
    temperature: Number = Field(
        _EXPLORATION.temperature, gt=0, description="softmax: in units of reward; smaller is greedier."
    )
    gamma: Number = Field(_EXPLORATION.gamma, gt=0, description="squarecb: larger is greedier.")
    floor: Number = Field(
        _EXPLORATION.floor, ge=0, le=0.5, description="Least probability of every feasible action; at most 1/actions."
    )

    @model_validator(mode="after")
    def _used(self) -> ExplorationDocument:
        belongs = {"epsilon": "epsilon_greedy", "temperature": "softmax", "gamma": "squarecb"}
        for name, kind in belongs.items():
            if name in self.model_fields_set and self.kind != kind:
                raise wrong(f"`{name}` has no effect on {self.kind}; remove it, or set `kind` to {kind}")
        return self


class RewardDocument(Document):
    """How outcomes become the number that is optimised."""

    outcomes: dict[Id, Number] = Field(min_length=1, max_length=MAX_RULES, description="Outcome name → weight.")
    value: Literal["count", "value"] = Field(
        "count", description="`count`: an outcome is worth its weight. `value`: its weight times its value."
    )
    window: Window = Field(description="Outcomes count until this long after the decision.")
    default: Number = Field(0.0, description="Reward of a decision without outcomes.")
    aggregation: Literal["sum", "max", "earliest", "latest", "any"] = Field(
        "sum", description="How several outcomes become one number; `any` gives 1 for one or more."
    )
    bounds: list[Number] = Field(
        [0.0, 1.0], min_length=2, max_length=2, description="[least, most]; rewards are clipped to them."
    )
    early_tolerance: Duration = Field(
        "2m", validate_default=True, description="Outcomes may precede the decision by this long."
    )

    @model_validator(mode="after")
    def _learnable(self) -> RewardDocument:
        low, high = self.bounds
        if low >= high:
            raise wrong("`bounds` must be [least, most] with least below most")
        if not low <= self.default <= high:
            raise wrong(f"`default` {self.default:g} lies outside `bounds` [{low:g}, {high:g}]")
        if self.value == "value":
            if "bounds" not in self.model_fields_set:
                raise wrong("`value: value` needs `bounds`: [least, most] reward, fixed before any data is seen")
            if not any(self.outcomes.values()):
                raise wrong("every weight in `outcomes` is 0: there is nothing to learn")
            return self
        single = [1.0] if self.aggregation == "any" else list(self.outcomes.values())
        if all(min(max(reward, low), high) == self.default for reward in single):
            raise wrong("an outcome gives the same reward as none: change the weights, `default` or `bounds`")
        return self


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
    quiet_hours: list[QuietHoursDocument] = Field([], max_length=MAX_RULES, description="Beside the contact policy's.")
    groups: GroupsDocument | None = Field(None, description="Shares of customers; all in TREATMENT by default.")
    exploration: ExplorationDocument = Field(ExplorationDocument(), description="How TREATMENT explores.")
    reward: RewardDocument = Field(description="What to optimise.")
    lease: Window = Field("15m", validate_default=True, description="How long a decision holds its slot in the caps.")


class ConsentDocument(Document):
    """Consent per channel."""

    features: dict[Channel, Id] = Field({}, description="Channel → boolean feature that grants it.")
    default: Literal["allow", "deny"] = Field(
        "allow", description="What a missing value means; channels not named need no consent."
    )


class SuppressOnDocument(Document):
    """An outcome that suppresses at once."""

    outcome: Id = Field(description="Name of the outcome, such as unsubscribe.")
    channels: Literal["own", "all"] = Field("own", description="`own`: the outcome's channel. `all`: every channel.")
    for_: Window | None = Field(None, alias="for", description="How long; for good by default.")


class GlobalHoldoutDocument(Document):
    """Customers whom no program contacts."""

    share: Share = Field(description="Percent of customers.")
    salt: Id = Field(_POLICY.holdout.salt, description="Seed of the assignment. A new one chooses anew.")


class ContactPolicyDocument(Document):
    """The guardrails above all programs; the most restrictive wins."""

    caps: list[PolicyCapDocument] = Field([], max_length=MAX_RULES, description="Frequency caps; all must hold.")
    quiet_hours: list[QuietHoursDocument] = Field([], max_length=MAX_RULES, description="For every program.")
    consent: ConsentDocument = Field(ConsentDocument(), description="Which feature grants contact on a channel.")
    suppress_on: list[SuppressOnDocument] = Field([], max_length=MAX_RULES, description="Outcomes that stop contact.")
    holdout: GlobalHoldoutDocument | None = Field(None, description="Customers whom no program contacts.")
    timezone_feature: Id = Field(_POLICY.timezone_feature, description="Feature that holds an IANA time zone.")
    unknown_timezone: Zone | None = Field(
        _POLICY.unknown_timezone, description="Zone to assume where unknown; excludes with TIMEZONE_UNKNOWN by default."
    )
