"""Audits decisions from the warehouse alone, without the code that decided: caps held, nothing lost or doubled."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from decision_service.core.program import Action, CalendarUnit, FrequencyCap, Scope
from decision_service.ports import Warehouse

CONTACTS = """
SELECT d.customer_id, d.program, d.action, min(a.at_ms) AS at_ms, any_value(c.timezone) AS timezone
FROM activations a JOIN decisions d USING (decision_id) JOIN customers c ON c.customer_id = d.customer_id
WHERE a.status = 'SENT' AND d.action <> 'NO_ACTION'
GROUP BY d.decision_id, d.customer_id, d.program, d.action
ORDER BY d.customer_id, at_ms
"""


@dataclass(frozen=True, slots=True)
class SentContact:
    """A message that was really sent, as the warehouse tells it."""

    customer_id: str
    program: str
    action: Action
    at_ms: int
    timezone: str


def sent_contacts(warehouse: Warehouse, actions: Mapping[str, Mapping[str, Action]]) -> list[SentContact]:
    """Every message sent, by customer and time. actions: program → action id → action."""
    return [
        SentContact(
            row["customer_id"], row["program"], actions[row["program"]][row["action"]], row["at_ms"], row["timezone"]
        )
        for row in warehouse.query(CONTACTS).to_pylist()
    ]


def cap_violations(contacts: Iterable[SentContact], caps: Sequence[FrequencyCap]) -> list[str]:
    """Each contact that went beyond a cap at the time it was sent, in words.

    The caps must bind every program whose contacts they count. A rolling window is (t - window, t]; a calendar one is
    what the wall clock shows where the customer is.
    """
    by_customer: dict[str, list[SentContact]] = defaultdict(list)
    for contact in contacts:
        by_customer[contact.customer_id].append(contact)
    found = []
    for customer, theirs in by_customer.items():
        theirs.sort(key=lambda contact: contact.at_ms)
        for cap in caps:
            times = [contact.at_ms for contact in theirs if _counts(cap.scope, contact)]
            excess = (
                _beyond_rolling(times, cap.window_s * 1000, cap.limit)
                if cap.window_s is not None
                else _beyond_calendar(times, cap.calendar or CalendarUnit.DAY, theirs[0].timezone, cap.limit)
            )
            found += [f"{customer}: {cap.id} exceeded at {at_ms}" for at_ms in excess]
    return found


def _counts(scope: Scope, contact: SentContact) -> bool:
    wanted = (
        (scope.channel, contact.action.channel),
        (scope.program, contact.program),
        (scope.message, contact.action.message),
    )
    return all(want in (None, have) for want, have in wanted) and (scope.tag in {None, *contact.action.tags})


def _beyond_rolling(times: Sequence[int], window_ms: int, limit: int) -> list[int]:
    return [t for i, t in enumerate(times) if i + 1 - bisect_right(times, t - window_ms) > limit]


_WINDOW = {
    CalendarUnit.HOUR: "%F %H %z",
    CalendarUnit.DAY: "%F",
    CalendarUnit.WEEK: "%G-%V",
    CalendarUnit.MONTH: "%Y-%m",
}


def _beyond_calendar(times: Iterable[int], unit: CalendarUnit, timezone: str, limit: int) -> list[int]:
    zone, counted, excess = ZoneInfo(timezone), Counter[str](), []
    for at_ms in times:
        window = datetime.fromtimestamp(at_ms / 1000, zone).strftime(_WINDOW[unit])
        counted[window] += 1
        if counted[window] > limit:
            excess.append(at_ms)
    return excess


@dataclass(frozen=True, slots=True)
class Completeness:
    """Acknowledged decisions against the warehouse's rows."""

    rows: int
    missing: int
    duplicates: int


def completeness(warehouse: Warehouse, acknowledged: Iterable[str]) -> Completeness:
    """How many acknowledged decisions the warehouse lacks, and how many rows are there more than once."""
    counts = Counter(warehouse.query("SELECT decision_id FROM decisions").column("decision_id").to_pylist())
    return Completeness(
        rows=counts.total(),
        missing=len(set(acknowledged) - counts.keys()),
        duplicates=counts.total() - len(counts),
    )
