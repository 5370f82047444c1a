"""Commands around single customers: what is known of one, whom not to contact."""

from __future__ import annotations

import getpass
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from decision_service.cli.moments import moment_ms, shown
from decision_service.cli.terminal import (
    AsJson,
    Home,
    Target,
    address,
    print_json,
    print_pairs,
    print_table,
    progress_bar,
)
from decision_service.core.model.customer import ALL_CHANNELS, Contact, ContactStatus, Suppression
from decision_service.core.model.errors import InvalidRequest, Unavailable, Violation

if TYPE_CHECKING:
    from decision_service.cli.suppression_csv import Row, SuppressionList
    from decision_service.client import DecisionClient
    from decision_service.core.explanation.customer_summary import Standing

BATCH = 1_000
BATCH_DEADLINE_MS = 60_000
MAX_LINES_NAMED = 10
OPTIONS = {"customer_id": "CUSTOMER", "channel": "--channel", "until_ms": "--until", "note": "--note"}
"""What the command line calls the fields of a suppression."""

CustomerId = Annotated[str, typer.Argument(help="Customer id.", metavar="CUSTOMER")]
Channel = Annotated[str, typer.Option(help="One channel; * for every one.")]


def customer(customer_id: CustomerId, target: Target = "", home: Home = None, as_json: AsJson = False) -> None:
    """What is known of a customer: contacts, suppressions, pauses, groups, live counters."""
    from decision_service.client import DecisionClient

    with DecisionClient([target or address(home)]) as client:
        standing = client.get_customer(customer_id)
    if as_json:
        print_json(_document(customer_id, standing))
        return
    print(f"Customer {customer_id}, {shown(standing.at_ms)}")
    contacts = sorted(standing.state.contacts, key=lambda c: c.from_ms, reverse=True)
    print("\nContacts" if contacts else "\nContacts: none")
    for contact in contacts:
        print(f"  {contact.action} on {contact.channel}, by {contact.program}: {_fate(contact, standing.at_ms)}")
        print(f"      nba explain {contact.decision_id}")
    in_force = [s for s in standing.state.suppressions if s.live_at(standing.at_ms)]
    _section(
        "Suppressions: no contact on",
        ("channel", "until", "because", "since", "note"),
        [(_channel(s.channel), _until(s.until_ms), s.reason, shown(s.since_ms), s.note) for s in in_force],
    )
    _section(
        "Pauses: outcomes keep these actions back",
        ("program", "actions", "until", "rule"),
        [(p.program, ", ".join(p.actions), shown(p.until_ms), p.rule) for p in standing.pauses],
    )
    _section(
        "Groups", ("program", "group", "because"), [(g.program, g.group.value, g.because) for g in standing.groups]
    )
    _section(
        "Live counters",
        ("event or outcome", "total", "latest"),
        [(name, total, _latest(times)) for name, total, times in _counters(standing)],
    )


def suppress(
    customer_id: CustomerId,
    channel: Channel = ALL_CHANNELS,
    until: Annotated[str, typer.Option(help="A time with zone, such as 2026-12-31T18:00Z; for good by default.")] = "",
    note: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Stop contacts of a customer, at once. It takes the place of an earlier suppression of the channel by hand."""
    from decision_service.client import DecisionClient

    until_ms = moment_ms("--until", until) if until else None
    with DecisionClient([target or address(home)]) as client:
        try:
            client.suppress(customer_id, channel, until_ms, note, getpass.getuser())
        except InvalidRequest as error:
            raise InvalidRequest(
                Violation(OPTIONS.get(v.field, v.field), v.message) for v in error.violations
            ) from error
        unknown = _unknown_channels(client, {channel})
    if as_json:
        print_json({"customer_id": customer_id, "channel": channel, "until_ms": until_ms, "note": note})
        return
    where = "any channel" if channel == ALL_CHANNELS else channel
    print(f"{customer_id} is not contacted on {where}, {_until(until_ms)}.")
    for name in sorted(unknown):
        print(f"No published program has a message on {name!r}: is it spelled right?")


def unsuppress(
    customer_id: CustomerId,
    channel: Channel = ALL_CHANNELS,
    note: Annotated[str, typer.Option(help="Why, for whoever asks later.")] = "",
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Lift what suppresses a customer on a channel, unsubscribes included: only where they agreed to contact again.

    `--channel '*'`, the default, lifts what holds for every channel, and leaves what holds for single ones.
    """
    from decision_service.client import DecisionClient

    with DecisionClient([target or address(home)]) as client:
        before = client.get_customer(customer_id)
        lifted = client.unsuppress(customer_id, channel, getpass.getuser(), note)
        after = client.get_customer(customer_id)
    if as_json:
        print_json({"customer_id": customer_id, "channel": channel, "lifted": lifted})
        return
    if lifted:
        print(f"Lifted for {customer_id}:")
        for suppression in before.state.suppressions:
            if suppression.channel == channel:
                print(f"  {_told(suppression)}")
    else:
        print(f"No suppression of {customer_id} holds for {_channel(channel)}; nothing changed.")
    if left := [s for s in after.state.suppressions if s.live_at(after.at_ms)]:
        print("Still in force, and lifted by `nba unsuppress --channel`:")
        for suppression in left:
            print(f"  {_told(suppression)}")


def suppress_import(
    file: Annotated[Path, typer.Argument(help="CSV with columns customer_id, channel, until, note.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what it would do.")] = False,
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Suppress a whole list of customers. Nothing is applied if a row is wrong; to import it again changes nothing.

    `channel` is `*` for every one; `until`, a time with zone such as 2026-12-31T18:00Z, is empty for good; `note` is
    free text. The last two columns may be left out.
    """
    from decision_service.cli.suppression_csv import read
    from decision_service.client import DecisionClient

    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidRequest.of(str(file), f"cannot be read: {error.strerror}") from error
    try:
        listed = read(data, time.time_ns() // 1_000_000)
    except InvalidRequest as error:
        raise InvalidRequest(_in_file(file, error.violations)) from error
    notes: list[str] = []
    with DecisionClient([target or address(home)]) as client:
        try:
            unknown = _unknown_channels(client, {row.suppression.channel for row in listed.rows})
            notes += [_doubt(name, listed.rows) for name in sorted(unknown)]
        except Unavailable:
            if not dry_run:
                raise
            notes.append("The service does not answer, so the names of channels were not checked.")
        applied = 0 if dry_run else _apply(client, file, listed.rows, as_json)
    _print_import(file, listed, applied, dry_run, notes, as_json)


def _apply(client: DecisionClient, file: Path, rows: Sequence[Row], quiet: bool) -> int:
    applied, author = 0, getpass.getuser()
    with progress_bar(quiet=quiet) as progress:
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            try:
                applied += client.suppress_batch(
                    [replace(row.suppression, author=author) for row in batch], deadline_ms=BATCH_DEADLINE_MS
                )
            except InvalidRequest as error:
                raise InvalidRequest(_in_file(file, _at_lines(error.violations, batch))) from error
            except Unavailable as error:
                raise Unavailable(
                    error.part,
                    f"{applied} of {len(rows)} suppressions are in force ({error}); import the file again, "
                    "those that were applied stay as they are",
                ) from error
            progress("suppressing", applied, len(rows))
    return applied


def _print_import(
    file: Path, listed: SuppressionList, applied: int, dry_run: bool, notes: Sequence[str], as_json: bool
) -> None:
    suppressions = [row.suppression for row in listed.rows]
    report: dict[str, object] = {
        "customers": len({s.customer_id for s in suppressions}),
        "channels": sorted({s.channel for s in suppressions}),
        "for_good": sum(s.until_ms is None for s in suppressions),
        "until_a_time": sum(s.until_ms is not None for s in suppressions),
        "already_over": list(listed.over),
        "repeated": list(listed.repeated),
        "applied": applied,
        "dry_run": dry_run,
        "notes": list(notes),
    }
    if as_json:
        print_json(report)
        return
    pairs = {
        "customers": report["customers"],
        "channels": ", ".join(map(_channel, sorted({s.channel for s in suppressions}))),
        "for good": report["for_good"],
        "until a time": report["until_a_time"],
        "already over, left out": _lines(listed.over),
        "repeated, left out": _lines(listed.repeated),
        "would be applied" if dry_run else "applied": len(suppressions) if dry_run else applied,
    }
    print_pairs(f"Suppressions of {file.name}" + (", checked only" if dry_run else ""), pairs)
    for note in notes:
        print(note)


def _unknown_channels(client: DecisionClient, channels: set[str]) -> set[str]:
    """Those on which no published program has an action; none is unknown while nothing is published."""
    from decision_service.documents import parse_program

    named = channels - {ALL_CHANNELS}
    if not named:
        return set()
    known: set[str] = set()
    for summary in client.list_programs():
        known |= {action.channel for action in parse_program(client.get_program(summary.name)[0].document).actions}
    return named - known if known else set()


def _doubt(channel: str, rows: Sequence[Row]) -> str:
    lines = [row.line for row in rows if row.suppression.channel == channel]
    return f"No published program has a message on {channel!r} ({_lines(lines, 'line ')}): is it spelled right?"


def _lines(lines: Sequence[int], title: str = "") -> str:
    if not lines:
        return "0"
    named = ", ".join(map(str, lines[:MAX_LINES_NAMED])) + (", …" if len(lines) > MAX_LINES_NAMED else "")
    if title:
        return f"{title}{named}"
    return f"{len(lines)} (line {named})"


def _in_file(file: Path, violations: Sequence[Violation]) -> list[Violation]:
    return [Violation(f"{file.name}, {v.field}" if v.field else "", v.message) for v in violations]


def _at_lines(violations: Sequence[Violation], batch: Sequence[Row]) -> list[Violation]:
    """What the service says of `suppressions[i].until_ms`, said of the line where it stands."""
    told = []
    for violation in violations:
        found = re.match(r"suppressions\[(\d+)\]\.?(\w*)", violation.field)
        field = f"line {batch[int(found[1])].line}, {found[2].removesuffix('_ms')}" if found else violation.field
        told.append(Violation(field, violation.message))
    return told


def _document(customer_id: str, standing: Standing) -> dict[str, object]:
    from dataclasses import asdict

    return {
        "customer_id": customer_id,
        "at_ms": standing.at_ms,
        "contacts": [{**asdict(c), "tags": sorted(c.tags)} for c in standing.state.contacts],
        "suppressions": [{**asdict(s), "in_force": s.live_at(standing.at_ms)} for s in standing.state.suppressions],
        "pauses": [asdict(p) for p in standing.pauses],
        "groups": [asdict(g) for g in standing.groups],
        "counters": {name: {"total": total, "recent_ms": times} for name, total, times in _counters(standing)},
    }


def _section(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    print()
    if rows:
        print_table(title, columns, rows)
    else:
        print(f"{title.partition(':')[0]}: none")


_NOT_SENT = {
    ContactStatus.RELEASED: "not sent",
    ContactStatus.REVOKED: "stopped by a guardrail",
}


def _fate(contact: Contact, now_ms: int) -> str:
    """A contact's status, and when a reservation lapses."""
    sent, lapses = shown(contact.from_ms), shown(contact.until_ms)
    counted = "" if contact.counted else "; counts toward no cap"
    if contact.status in _NOT_SENT:
        return f"{_NOT_SENT[contact.status]}; reserved for {sent}{counted}"
    if contact.status in (ContactStatus.RESERVED, ContactStatus.LAPSED):
        if now_ms > contact.until_ms or contact.status is ContactStatus.LAPSED:
            return f"never reported; its reservation lapsed {lapses}{counted}"
        waits = f"to be sent {sent}, " if contact.from_ms > now_ms else ""
        return f"{waits}reserved, lapses {lapses}{counted}"
    word = {ContactStatus.DELIVERED: "delivered, ", ContactStatus.BOUNCED: "bounced, "}.get(contact.status, "")
    return f"{word}sent {sent}{counted}"


def _channel(channel: str) -> str:
    return "every channel" if channel == ALL_CHANNELS else channel


def _until(until_ms: int | None) -> str:
    return "for good" if until_ms is None else f"until {shown(until_ms)}"


def _told(suppression: Suppression) -> str:
    note = f" ({suppression.note})" if suppression.note else ""
    return f"{_channel(suppression.channel)}, {_until(suppression.until_ms)}: {suppression.reason}{note}"


def _counters(standing: Standing) -> list[tuple[str, int, tuple[int, ...]]]:
    """Name, total and latest times of what came from outside: what pause rules count has names of its own."""
    return [
        (name, counter.total, counter.recent_ms)
        for name, counter in sorted(standing.state.events.items())
        if name.isprintable()
    ]


def _latest(recent_ms: Sequence[int]) -> str:
    return shown(recent_ms[0]) if recent_ms else ""
