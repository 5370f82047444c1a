"""What happened with one customer, across programs and channels, as lines in the order of time.

The warehouse has what was loaded: decisions, confirmations, reports, outcomes, suppressions and liftings, events. The
ledger adds what is still open, or has not been loaded yet: contacts, suppressions and pauses in force.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from decision_service.application.ports import Warehouse
from decision_service.core.explanation import wording
from decision_service.core.explanation.customer_summary import Standing
from decision_service.core.model.customer import ALL_CHANNELS

FOREVER_MS = 2**53


class Kind(StrEnum):
    """What a line tells of. CONTACT, OPEN, SUPPRESSION and PAUSE come from the ledger, the rest from the warehouse."""

    DECISION = "decision"
    CONFIRMATION = "confirmation"
    REPORT = "report"
    OUTCOME = "outcome"
    PREFERENCE = "preference"
    EVENT = "event"
    CONTACT = "contact"
    OPEN = "open"
    SUPPRESSION = "suppression"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened, or is in force. `at_ms`: UTC epoch milliseconds; empty names where there is none."""

    at_ms: int
    kind: Kind
    text: str
    program: str = ""
    channel: str = ""
    decision_id: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Lines, newest last. `more`: earlier ones of the period were left out."""

    lines: tuple[Line, ...]
    more: bool = False


_PERIOD = "customer_id = $customer AND {at} >= $from_ms AND {at} < $until_ms ORDER BY {at} DESC LIMIT $most"
_DECISIONS = f"""
SELECT decision_id, decided_at_ms AS at_ms, program, program_version, action, channel, drawn, probability, "group",
       policy, n_feasible, degradations, exclusions,
       CASE WHEN send_at IS NOT NULL THEN epoch_ms(send_at) END AS send_ms
FROM decisions WHERE {_PERIOD.format(at="decided_at_ms")}
"""
_REPORTS = f"""
SELECT a.decision_id, a.at_ms, a.status, a.detail, a.late, d.program, d.action, d.channel
FROM (SELECT * FROM activations WHERE {_PERIOD.format(at="at_ms")}) AS a
LEFT JOIN (SELECT decision_id, program, action, channel FROM decisions WHERE customer_id = $customer) AS d
    ON d.decision_id = a.decision_id
"""
_OUTCOMES = f"""
SELECT decision_id, occurred_at_ms AS at_ms, name, value, channel
FROM outcomes WHERE {_PERIOD.format(at="occurred_at_ms")}
"""
_CONFIRMATIONS = f"""
SELECT decision_id, at_ms, verdict, reason, detail, asked FROM confirmations WHERE {_PERIOD.format(at="at_ms")}
"""
_PREFERENCES = f"""
SELECT at_ms, kind, channel, reason, until_ms, author, note
FROM contact_preferences WHERE {_PERIOD.format(at="at_ms")}
"""
_EVENTS = f"SELECT occurred_at_ms AS at_ms, name FROM events WHERE {_PERIOD.format(at='occurred_at_ms')}"
_KNOWN = "SELECT decision_id FROM decisions WHERE customer_id = $customer AND list_contains($ids, decision_id)"


def timeline(
    warehouse: Warehouse,
    standing: Standing | None,
    customer_id: str,
    from_ms: int = 0,
    until_ms: int = FOREVER_MS,
    limit: int = 100,
) -> Timeline:
    """The latest `limit` lines of [from_ms, until_ms).

    standing: what the service knows of the customer this moment; None if it does not answer.
    """
    asked: dict[str, object] = {"customer": customer_id, "from_ms": from_ms, "until_ms": until_ms, "most": limit + 1}
    lines = [
        tell(row)
        for sql, tell in (
            (_DECISIONS, _decision),
            (_CONFIRMATIONS, _confirmation),
            (_REPORTS, _report),
            (_OUTCOMES, _outcome),
            (_PREFERENCES, _preference),
            (_EVENTS, _event),
        )
        for row in warehouse.query(sql, asked).to_pylist()
    ]
    if standing is not None:
        beyond = _beyond(standing, _loaded(warehouse, customer_id, standing))
        told = {(line.at_ms, line.channel) for line in lines if line.kind is Kind.PREFERENCE}
        lines += [
            line
            for line in beyond
            if from_ms <= line.at_ms < until_ms
            and not (line.kind is Kind.SUPPRESSION and (line.at_ms, line.channel) in told)
        ]
    order = {kind: place for place, kind in enumerate(Kind)}
    lines.sort(key=lambda line: (line.at_ms, order[line.kind]))
    return Timeline(tuple(lines[-limit:]), more=len(lines) > limit)


def _decision(row: Mapping[str, Any]) -> Line:
    program = f"{row['program']} version {row['program_version']}"
    said = f"{program} chose {row['action']}" + (f" on {row['channel']}" if row["channel"] else "")
    if row["send_ms"] is not None:
        said += f", to be sent {wording.moment(row['send_ms'])}"
    if row["action"] != row["drawn"]:
        said += f" in place of {row['drawn']}"
    because = list(row["degradations"])
    if row["n_feasible"] == 1:
        counted = Counter(exclusion["reason"] for exclusion in row["exclusions"])
        because += [f"{reason} × {count}" if count > 1 else reason for reason, count in counted.items()]
    said += f" (probability {row['probability']:.4f}, {row['group']}, {row['policy'].lower()})"
    if because:
        said += f": {', '.join(because)}"
    return Line(row["at_ms"], Kind.DECISION, said, row["program"], row["channel"] or "", row["decision_id"])


def _report(row: Mapping[str, Any]) -> Line:
    of = f" of {row['program']}" if row["program"] else ""
    said = f"{row['action'] or 'a decision'}{of} was reported {row['status']}"
    said += ", after its lease" if row["late"] else ""
    said += f": {row['detail']}" if row["detail"] else ""
    return Line(row["at_ms"], Kind.REPORT, said, row["program"] or "", row["channel"] or "", row["decision_id"])


def _confirmation(row: Mapping[str, Any]) -> Line:
    said = f"{row['verdict']} before sending" if row["asked"] else "its reservation was revoked"
    said += f": {row['reason']} {row['detail']}".rstrip() if row["reason"] else ""
    return Line(row["at_ms"], Kind.CONFIRMATION, said, "", "", row["decision_id"])


def _preference(row: Mapping[str, Any]) -> Line:
    where = "every channel" if row["channel"] == ALL_CHANNELS else row["channel"]
    until = "for good" if row["until_ms"] is None else f"until {wording.moment(row['until_ms'])}"
    said = {
        "SUPPRESS": f"no contact on {where}, {until}",
        "LIFT": f"suppressions of {where} were lifted",
        "PAUSE": f"paused: {where}, {until}",
    }[row["kind"]]
    said += f", by {row['author']}" if row["author"] else ""
    said += f": {row['note']}" if row["note"] else ""
    channel = "" if row["kind"] == "PAUSE" else row["channel"]
    return Line(row["at_ms"], Kind.PREFERENCE, said, "", channel)


def _outcome(row: Mapping[str, Any]) -> Line:
    said = row["name"] + (f", value {row['value']:g}" if row["value"] != 1 else "")
    said += f" on {row['channel']}" if row["channel"] else ""
    return Line(row["at_ms"], Kind.OUTCOME, said, "", row["channel"] or "", row["decision_id"] or "")


def _event(row: Mapping[str, Any]) -> Line:
    return Line(row["at_ms"], Kind.EVENT, row["name"])


def _loaded(warehouse: Warehouse, customer_id: str, standing: Standing) -> set[str]:
    """Which of the ledger's contacts the warehouse has the decisions of."""
    ids = [contact.decision_id for contact in standing.state.contacts]
    found = warehouse.query(_KNOWN, {"customer": customer_id, "ids": ids}).to_pylist() if ids else []
    return {row["decision_id"] for row in found}


def _beyond(standing: Standing, loaded: set[str]) -> Sequence[Line]:
    """What the warehouse does not tell: contacts that are open or not loaded yet, and what holds contact back."""
    state, now_ms = standing.state, standing.at_ms
    lines = []
    for contact in state.contacts:
        what = f"{contact.action} of {contact.program} on {contact.channel}"
        if contact.is_pending(now_ms):
            kind, said = Kind.OPEN, f"{what} may still be sent, until {wording.moment(contact.until_ms)}"
        elif contact.decision_id not in loaded:
            kind, said = Kind.CONTACT, f"{what} is {contact.status} in the ledger, not in the warehouse yet"
        else:
            continue
        lines.append(Line(contact.from_ms, kind, said, contact.program, contact.channel, contact.decision_id))
    for suppression in state.suppressions:
        if suppression.live_at(now_ms):
            said = f"{wording.suppression(suppression, '')} ({suppression.reason})"
            lines.append(Line(suppression.since_ms, Kind.SUPPRESSION, said, channel=suppression.channel))
    for pause in standing.pauses:
        until = wording.moment(pause.until_ms)
        said = f"{', '.join(pause.actions)} of {pause.program} paused until {until} by {pause.rule!r}"
        lines.append(Line(now_ms, Kind.PAUSE, said, pause.program))
    return lines
