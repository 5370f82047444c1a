"""What must be true of the messages that customers got, whatever anybody decided, reserved or reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tests.state.calendars import label, quiet_times
from tests.state.model import holds
from tests.state.sendings import Document, Key, Sending, duration_ms, in_scope


def violations(sendings: Sequence[Sending]) -> Iterator[str]:
    """Caps and quiet hours that one customer's messages broke, and were sent in time.

    A message breaks a cap if some window holds it and as many as the limit of those decided before it. What was sent
    out of its time is the runner's doing: it counts once it was reported, and is not judged itself.
    """
    for sending in sendings:
        if sending.in_time:
            yield from _quiet_hours_broken(sending)
            for owner, cap in _caps_of(sending):
                most = cap.get("limit", 1)
                together = _together(cap, owner, sending, sendings)
                if together > most:
                    yield f"{sending} is number {together} of {most} under {cap}"


def _caps_of(sending: Sending) -> Iterator[tuple[str, Document]]:
    ignores = sending.action.get("ignores_caps", [])
    for owner, document in (("", sending.policy_document), (sending.program, sending.program_document)):
        for cap in document["caps"]:
            if ignores == "all" or cap["id"] in ignores:
                continue
            if in_scope(cap.get("scope", {}), owner, sending.program, sending.action):
                yield owner, cap


def _together(cap: Document, owner: str, sending: Sending, sendings: Sequence[Sending]) -> int:
    at_ms, times = _time(sending), []
    for other in sendings:
        is_before = other.decided < sending.decided
        if is_before and other.counted and in_scope(cap.get("scope", {}), owner, other.program, other.action):
            was_told = other.reported is not None and other.reported < sending.decided
            if other.in_time or was_told:
                if holds(cap, other):
                    times.append(_time(other))
            elif cap.get("counts") == "reserved":
                times.append(other.fits.from_ms)
    if "calendar" in cap:
        zone, unit, first = sending.customer.timezone or "", cap["calendar"], cap.get("week_starts", "mon")
        named = label(unit, at_ms, zone, first)
        return 1 + sum(label(unit, time, zone, first) == named for time in times)
    length = duration_ms(cap.get("rolling") or cap["gap"])
    starts = [start for start in (*times, at_ms) if start <= at_ms < start + length]
    return 1 + max(sum(start <= time < start + length for time in times) for start in starts)


def _time(sending: Sending) -> int:
    assert sending.sent_ms is not None
    return sending.sent_ms


def _quiet_hours_broken(sending: Sending) -> Iterator[str]:
    channel, zone, sent_ms = sending.action["channel"], sending.customer.timezone, _time(sending)
    for document in (sending.policy_document, sending.program_document):
        for quiet in document["quiet_hours"]:
            if channel in quiet.get("channels", [channel]):
                assert zone is not None
                for start, end in quiet_times(quiet, zone, sent_ms, sent_ms):
                    if start <= sent_ms < end:
                        yield f"{sending} was sent in {quiet}"


def overspent(sendings: Sequence[Sending]) -> Iterator[str]:
    """Budgets of which more was sent in time than the largest limit that any of these messages was decided under."""
    spent: Counter[Key] = Counter()
    most: Counter[Key] = Counter()
    for sending in sendings:
        if sending.in_time:
            for key, amount in sending.fits.takes.items():
                spent[key] += amount
                most[key] = max(most[key], _limit(sending, key))
    yield from (f"{key}: {spent[key]} of {most[key]}" for key in spent if spent[key] > most[key])


def _limit(sending: Sending, key: Key) -> int:
    owner, _, budget_id = key[0].partition("/")
    document = sending.program_document if owner else sending.policy_document
    [budget] = [budget for budget in document["budgets"] if budget["id"] == budget_id]
    return round(budget["money"] * 1_000_000) if "money" in budget else int(budget["limit"])
