"""Guardrails, values and times as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from decision_service.core.guardrails.quiet_hours import zone_named
from decision_service.core.model.customer import ALL_CHANNELS, Contact, ContactStatus, Suppression
from decision_service.core.model.program import (
    MICROS,
    Budget,
    BudgetPeriod,
    CalendarUnit,
    CapCounts,
    FrequencyCap,
    PauseOf,
    PauseRule,
    QuietHours,
    Scope,
    WhenQuiet,
)
from decision_service.core.model.record import FeatureStatus

_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNITS = ((7 * 86_400, "week"), (86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
_COUNTS: Mapping[CapCounts, str] = {
    CapCounts.RESERVED: "every attempt",
    CapCounts.ACTIVATED: "what was sent or still may be",
    CapCounts.DELIVERED: "what was sent and did not bounce, or still may be sent",
}
_PAUSES: Mapping[PauseOf, str] = {
    PauseOf.ACTION: "the action",
    PauseOf.CHANNEL: "its channel",
    PauseOf.TAG: "its tags",
    PauseOf.ALL: "all contact",
}
FEATURES: Mapping[FeatureStatus, str] = {
    FeatureStatus.SERVED: "served",
    FeatureStatus.UNKNOWN_CUSTOMER: "not there: the feature store has no row for the customer",
    FeatureStatus.UNAVAILABLE: "not read in time",
}

NOT_READ = "could not be read"
"""Of what nobody knows whether it is missing."""


def moment(ms: int, zone_name: str = "") -> str:
    """A time in UTC, and on the customer's clock where its zone is known."""
    utc = datetime.fromtimestamp(ms / 1000, UTC)
    said = utc.strftime("%Y-%m-%d %H:%M:%S UTC")
    zone = zone_named(zone_name) if zone_name and zone_name != "UTC" else None
    if zone is None:
        return said
    local = utc.astimezone(zone)
    day = "" if local.date() == utc.date() else "%a "
    return f"{said} ({local.strftime(day + '%H:%M')} in {zone_name})"


def duration(seconds: float) -> str:
    """In the largest unit that it is a whole number of: `2 days`, `90 minutes`."""
    whole = round(seconds)
    size, unit = next(((size, unit) for size, unit in _UNITS if whole % size == 0 and whole >= size), (1, "second"))
    return f"{whole // size} {unit}{'' if whole // size == 1 else 's'}"


def age(ms: int) -> str:
    """About how old, in one unit: `45 s old`, `3.5 h old`; what is newer than the moment asked about is `newer`."""
    seconds = ms / 1000
    if seconds < 0:
        return "newer"
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} old"
    return f"{seconds:.0f} s old"


def value(of: object) -> str:
    """A feature's value; texts as they are."""
    if of is True or of is False:
        return str(of).lower()
    if isinstance(of, tuple):
        return ", ".join(map(str, of)) or "an empty list"
    return f"{of:.6g}" if isinstance(of, float) else str(of)


def consent(of: object) -> str:
    """What stands where consent should."""
    return value(of) if isinstance(of, bool) else f"{value(of)}, neither true nor false,"


def held(of: object) -> str:
    """`= VALUE`, or that it is missing."""
    return "is missing" if of is None else f"= {value(of)}"


def scope(of: Scope) -> str:
    """Which contacts, to follow `contacts`; empty for all."""
    given = [
        f"{kind} {name!r}"
        for kind, name in (
            ("channel", of.channel),
            ("program", of.program),
            ("message", of.message),
            ("tag", of.tag),
            ("action", of.action),
        )
        if name is not None
    ]
    return f" of {' and '.join(given)}" if given else ""


def cap(of: FrequencyCap, zone_name: str) -> str:
    """Limit, window, scope and what counts."""
    if of.window_s is not None:
        window = f"in any {duration(of.window_s)}"
    else:
        first = f" from {_WEEKDAYS[of.week_starts]}" if of.calendar is CalendarUnit.WEEK else ""
        window = f"per calendar {of.calendar}{first}" + (f" in {zone_name}" if zone_name else "")
    return f"at most {_contacts(of.limit)}{scope(of.scope)} {window}, counting {_COUNTS[of.counts]}"


def _contacts(count: int) -> str:
    return f"{count} contact{'' if count == 1 else 's'}"


def contacts(of: Sequence[Contact], zone_name: str) -> str:
    """The slots taken, latest first."""
    return ", ".join(
        f"{c.action} of {c.program} "
        + (
            f"{c.status.lower()} {moment(c.from_ms, zone_name)}"
            if c.status is not ContactStatus.RESERVED
            else f"reserved until {moment(c.until_ms, zone_name)}"
        )
        for c in of
    )


def quiet_hours(of: QuietHours) -> str:
    """When, where and what becomes of messages."""
    channels = f" on {', '.join(sorted(of.channels))}" if of.channels else ""
    named = [_WEEKDAYS[day] for day in sorted(of.weekdays)]
    if of.holiday_calendar:
        named.append(f"holidays of {of.holiday_calendar}")
    days = f" beginning on {', '.join(named)}" if named else ""
    fate = "messages wait" if of.when_quiet is WhenQuiet.QUEUE else "messages are discarded"
    return f"{_clock(of.start_minute)} to {_clock(of.end_minute)}{channels}{days}, {fate}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def suppression(of: Suppression, zone_name: str) -> str:
    """What is stopped, since and until when, and why."""
    channel = "all channels" if of.channel == ALL_CHANNELS else f"channel {of.channel!r}"
    until = "for good" if of.until_ms is None else f"until {moment(of.until_ms, zone_name)}"
    return f"{channel} suppressed since {moment(of.since_ms, zone_name)} {until}" + (f": {of.note}" if of.note else "")


def pause(of: PauseRule) -> str:
    """What it counts and pauses."""
    counted = f"{of.count} × {of.outcome!r} within {duration(of.within_s)}"
    return f"{counted} pause {_PAUSES[of.pauses]} for {duration(of.for_s)}"


def budget(of: Budget) -> str:
    """Limit, period, scope and pacing."""
    period = "in total" if of.period is BudgetPeriod.TOTAL else f"per {of.period} in {of.timezone}"
    if of.in_money:
        limit = f"at most {amount(of.limit, in_money=True)} of money spent on contacts"
    else:
        limit = f"at most {_contacts(of.limit)}"
    return f"{limit}{scope(of.scope)} {period}{', paced' if of.paced else ''}"


def amount(of: int, *, in_money: bool) -> str:
    """What a counter of a budget says: contacts, or units of money."""
    if not in_money:
        return str(of)
    return f"{of / MICROS:,.2f}" if of % (MICROS // 100) == 0 else f"{of / MICROS:,.6f}".rstrip("0")
