"""Live features: what the ledger knows of the customer this second, beside what the warehouse knew last night."""

from __future__ import annotations

from decision_service.core.guardrails.caps import DAY_MS
from decision_service.core.model.customer import CustomerState
from decision_service.core.model.program import CapCounts, Program
from decision_service.core.model.values import Value

WINDOWS_DAYS = (1, 7, 30)
HOUR_MS = 3_600_000


def live_names(program: Program) -> tuple[str, ...]:
    """The live features of a program: of contacts, and of each event or outcome in `live_events`."""
    names = [f"contacts_{days}d" for days in WINDOWS_DAYS]
    names.append("hours_since_contact")
    for event in program.live_events:
        names.extend(f"{event}_count_{days}d" for days in WINDOWS_DAYS)
        names.append(f"{event}_hours_since")
    return tuple(names)


def live_values(program: Program, state: CustomerState, now_ms: int) -> dict[str, Value | None]:
    """Values for `live_names`. Counts are within the latest MAX_RECENT_EVENTS; hours are None if it never happened."""
    values: dict[str, Value | None] = {}
    contacts = [c.from_ms for c in state.contacts if c.counts(CapCounts.ACTIVATED, now_ms)]
    _describe(values, "contacts_{}d", "hours_since_contact", contacts, now_ms)
    for event in program.live_events:
        counter = state.events.get(event)
        times = counter.recent_ms if counter else ()
        _describe(values, event + "_count_{}d", f"{event}_hours_since", times, now_ms)
    return values


def _describe(
    values: dict[str, Value | None], count: str, since: str, times_ms: list[int] | tuple[int, ...], now_ms: int
) -> None:
    for days in WINDOWS_DAYS:
        oldest = now_ms - days * DAY_MS
        values[count.format(days)] = sum(oldest < t <= now_ms for t in times_ms)
    latest = max((t for t in times_ms if t <= now_ms), default=None)
    values[since] = None if latest is None else (now_ms - latest) / HOUR_MS
