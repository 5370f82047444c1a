"""The schema of guardrails as people write them, of programs and of the contact policy."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from decision_service.core.model import program as core
from decision_service.core.model.customer import MAX_RECENT_EVENTS
from decision_service.documents.fields import CapId, Channel, Document, Id, Money, Name, Share, wrong
from decision_service.documents.times import (
    END_OF_DAY,
    WEEKDAYS,
    HolidayCalendar,
    TimeOfDay,
    Until,
    Weekday,
    Window,
    Zone,
)

THIS_PROGRAM = "this"
MAX_RULES = 200
"""Most caps, quiet hours, baseline rules and the like in one list."""

MAX_LIMIT = 10_000
MAX_BUDGET = 1_000_000_000

_CAP = core.FrequencyCap("", 1)
_BUDGET = core.Budget("", 1)
_PAUSE = core.PauseRule("", "", 1, 1, 1)
_HOLDOUT = core.GlobalHoldout()


def _one_of(*keys: str) -> dict[str, Any]:
    """JSON Schema: exactly one of these keys."""
    return {"oneOf": [{"required": [key]} for key in keys]}


_WINDOWS = {
    **_one_of("rolling", "calendar", "gap"),
    "dependentRequired": {"rolling": ["limit"], "calendar": ["limit"]},
    "dependentSchemas": {"gap": {"not": {"required": ["limit"]}}},
}


class ScopeDocument(Document):
    """Which contacts are meant: all given keys must match."""

    channel: Channel | None = Field(None, description="Contacts on this channel.")
    message: Id | None = Field(None, description="Contacts with this message.")
    tag: Id | None = Field(None, description="Contacts with this tag.")


class ProgramScopeDocument(ScopeDocument):
    """Scope within a program."""

    action: Id | None = Field(None, description="Contacts by this action of the program.")
    program: Literal["this"] | None = Field(None, description="`this`: contacts by this program only.")


class PolicyScopeDocument(ScopeDocument):
    """Scope within the contact policy."""

    program: Name | None = Field(None, description="Contacts by the program of this name.")

    @field_validator("program")
    @classmethod
    def _a_name(cls, value: str | None) -> str | None:
        if value == THIS_PROGRAM:
            raise wrong("a contact policy belongs to no program; write a program's name instead of `this`")
        return value


class CapDocument(Document):
    """At most `limit` contacts in a window."""

    model_config = ConfigDict(json_schema_extra=_WINDOWS)

    id: CapId = Field(description="Unique among the caps here; explanations name it.")
    limit: int | None = Field(
        None, ge=1, le=MAX_LIMIT, description="Most contacts in one window; at least 1. A `gap` has none."
    )
    rolling: Window | None = Field(None, description="Window: the last `7d`, `12h` …")
    calendar: Literal["hour", "day", "week", "month"] | None = Field(
        None, description="Window: the customer's calendar unit."
    )
    gap: Window | None = Field(None, description="Instead of a window: least time between two contacts, such as `4h`.")
    week_starts: Weekday = Field(
        WEEKDAYS[_CAP.week_starts], validate_default=True, description="First day of `calendar: week`."
    )
    counts: Literal["reserved", "activated", "delivered"] = Field(
        _CAP.counts.value,
        description="`reserved`: every attempt. `activated`: what was sent. `delivered`: what did not bounce.",
    )

    @model_validator(mode="after")
    def _one_window(self) -> CapDocument:
        if sum(window is not None for window in (self.rolling, self.calendar, self.gap)) != 1:
            raise wrong(
                "needs one window: either `rolling`, such as 7d, or `calendar`: hour, day, week or month, "
                "or `gap`, such as 4h"
            )
        if self.gap is not None and self.limit is not None:
            raise wrong("a `gap` lets one contact through at a time; remove `limit`, or write `rolling` for `gap`")
        if self.gap is None and self.limit is None:
            raise wrong("needs a `limit`: most contacts in one window")
        if "week_starts" in self.model_fields_set and self.calendar != "week":
            raise wrong("`week_starts` has no effect without `calendar: week`; remove it")
        return self


class ProgramCapDocument(CapDocument):
    """A cap of a program."""

    scope: ProgramScopeDocument = Field(ProgramScopeDocument(), description="What it counts; every contact by default.")


class PolicyCapDocument(CapDocument):
    """A cap of the contact policy."""

    scope: PolicyScopeDocument = Field(PolicyScopeDocument(), description="What it counts; every contact by default.")


class BudgetDocument(Document):
    """A volume constraint over all customers."""

    model_config = ConfigDict(json_schema_extra=_one_of("limit", "money"))

    id: Id = Field(description="Unique among the budgets here; explanations name it.")
    limit: int | None = Field(None, ge=1, le=MAX_BUDGET, description="Most contacts in one period.")
    money: Money | None = Field(None, description="Instead of `limit`: most money in one period, by actions' `cost`.")
    per: Literal["total", "hour", "day", "week", "month"] = Field(
        _BUDGET.period.value, description="The period; `total` never starts anew."
    )
    timezone: Zone = Field(_BUDGET.timezone, description="IANA zone whose hours, days, weeks and months these are.")
    week_starts: Weekday = Field(
        WEEKDAYS[_BUDGET.week_starts], validate_default=True, description="First day of `per: week`."
    )
    pace: Literal["even"] | None = Field(
        None, description="`even`: at any time only the share of the period that has passed may be used up."
    )

    @model_validator(mode="after")
    def _consistent(self) -> BudgetDocument:
        if (self.limit is None) == (self.money is None):
            raise wrong("needs either `limit`: most contacts, or `money`: most money")
        if self.money == 0:
            raise wrong("`money` must be more than 0")
        if self.per == "total":
            for name in ("timezone", "pace"):
                if name in self.model_fields_set:
                    raise wrong(
                        f"`{name}` has no effect on a total; remove it, or set `per` to hour, day, week or month"
                    )
        if "week_starts" in self.model_fields_set and self.per != "week":
            raise wrong("`week_starts` has no effect without `per: week`; remove it")
        return self


class ProgramBudgetDocument(BudgetDocument):
    """A budget of a program."""

    scope: ProgramScopeDocument = Field(
        ProgramScopeDocument(), description="What it counts; every contact by this program by default."
    )


class PolicyBudgetDocument(BudgetDocument):
    """A budget of the contact policy."""

    scope: PolicyScopeDocument = Field(PolicyScopeDocument(), description="What it counts; every contact by default.")


class QuietHoursDocument(Document):
    """A daily time without contact, in the customer's time zone."""

    id: Id = Field(description="Unique among the quiet hours here; explanations name it.")
    from_: TimeOfDay = Field(alias="from", description="When they begin, such as `22:00`.")
    to: Until = Field(
        description="When they end, such as `08:00`, or `24:00` for midnight; before `from` means the next day."
    )
    days: list[Weekday] = Field(
        [], max_length=7, description="Days on which they begin, such as `sat`; every day by default."
    )
    holidays: HolidayCalendar | None = Field(
        None, description="Public holidays on which they begin as well: `US`, `DE`, or a part of it, `DE-BY`."
    )
    channels: list[Channel] = Field([], max_length=MAX_RULES, description="Channels that rest; all by default.")
    when_quiet: Literal["queue", "discard"] = Field(
        "discard", description="`queue` sends when they end, `discard` excludes the action."
    )

    @model_validator(mode="after")
    def _some_time(self) -> QuietHoursDocument:
        if self.from_ == self.to:
            raise wrong("`from` and `to` are the same time; make one of them earlier")
        every_day = len(set(self.days)) == len(WEEKDAYS) or not (self.days or self.holidays)
        if (self.from_, self.to) == (0, END_OF_DAY) and every_day:
            raise wrong("rest all day, every day, so that nothing is ever sent; add `days` or `holidays`")
        return self


class ConsentDocument(Document):
    """Consent per channel."""

    features: dict[Channel, Id] = Field({}, description="Channel → boolean feature that grants it by being true.")
    default: Literal["allow", "deny"] = Field(
        "allow",
        description="What a value that is known to be missing means; one that could not be read denies. Channels not "
        "named need no consent.",
    )


class SuppressOnDocument(Document):
    """An outcome that suppresses at once."""

    outcome: Id = Field(description="Name of the outcome, such as unsubscribe.")
    channels: Literal["own", "all"] = Field("own", description="`own`: the outcome's channel. `all`: every channel.")
    for_: Window | None = Field(None, alias="for", description="How long; for good by default.")


class PauseOnDocument(Document):
    """Outcomes of one customer that pause contact for a while."""

    id: Id = Field(description="Unique among the pauses here; explanations name it.")
    outcome: Id = Field(description="Name of the outcome, such as dismiss.")
    count: int = Field(ge=1, le=MAX_RECENT_EVENTS, description="How many of them pause.")
    within: Window = Field(description="In how long a time, such as `7d`.")
    for_: Window = Field(alias="for", description="How long the pause is, from the last of them.")
    pauses: Literal["action", "channel", "tag", "all"] = Field(
        _PAUSE.pauses.value,
        description="What they are counted of, and what rests: the action, its channel, each of its tags, all contact.",
    )


class GlobalHoldoutDocument(Document):
    """Customers whom no program contacts."""

    share: Share = Field(description="Percent of customers.")
    salt: Id = Field(_HOLDOUT.salt, description="Seed of the assignment. A new one chooses anew.")
