"""Promotion and rollback: moving the alias `champion`, with a ledger in the warehouse that says who, when and why.

The order is intent → effect → completion → notice:

1. append the row to `promotions`,
2. point the alias `champion` to the version,
3. tag the version with the row's time: done,
4. tell the workers.

The ledger comes first because a champion that no row accounts for could not be explained afterwards, whereas a row
whose alias was not moved can be finished by anyone: `resume` looks at the last row and, if its tag is missing, repeats
steps 2 to 4, each of which may be done twice without harm. A notice that was lost costs little, since workers look
for themselves as well. Somebody who moves the alias by hand is left alone: only an unfinished row is ever finished.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from decision_service.adapters.mlflow.store import CHAMPION, DIGEST_TAG
from decision_service.application.ports import Warehouse
from decision_service.contract.model_artifact import registered_name
from decision_service.core.choice.encoding import ENCODER_VERSION
from decision_service.core.decide import Scorer
from decision_service.core.model.errors import Conflict, NotFound
from decision_service.core.model.record import ModelVersion
from decision_service.warehouse.tables import PROMOTIONS
from training.track import Tracking

PROMOTE, ROLLBACK = "PROMOTE", "ROLLBACK"
"""Verdicts of the ledger that move the champion; HOLD and INSUFFICIENT do not."""

COMPLETED_TAG = "promoted_at_ms"

_log = logging.getLogger(__name__)

Notify = Callable[[], object]
"""Tells the workers that models changed."""


class Loads(Protocol):
    """What is asked of a catalogue here: does this version pass its checks?"""

    def scorer(self, model: ModelVersion) -> Scorer:
        """Load it; raises NotFound or ModelRejected."""
        ...


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger. `from_version` is None where there was no champion; `report` is JSON-able."""

    program: str
    at_ms: int
    verdict: str
    from_version: str | None
    to_version: str
    digest: str
    author: str
    note: str
    report: Mapping[str, object]

    @property
    def moves(self) -> bool:
        """Whether it makes `to_version` the champion."""
        return self.verdict in (PROMOTE, ROLLBACK)


def history(warehouse: Warehouse, program: str) -> tuple[Entry, ...]:
    """The program's ledger, oldest first."""
    if PROMOTIONS.name not in warehouse.tables():
        return ()
    found = warehouse.query(
        "SELECT epoch_us(promoted_at) // 1000 AS at_ms, verdict, from_version, to_version, digest, author, note, "
        "report_json FROM promotions WHERE program = $program ORDER BY promoted_at",
        {"program": program},
    )
    return tuple(
        Entry(
            program,
            row["at_ms"],
            row["verdict"],
            row["from_version"],
            row["to_version"],
            row["digest"],
            row["author"],
            row["note"],
            json.loads(row["report_json"]),
        )
        for row in found.to_pylist()
    )


def apply(warehouse: Warehouse, tracking: Tracking, entry: Entry, notify: Notify) -> None:
    """Record the entry and, if it moves the champion, carry it out; in the order above."""
    _append(warehouse, entry)
    if entry.moves:
        _carry_out(tracking, entry, notify)


def resume(warehouse: Warehouse, tracking: Tracking, program: str, notify: Notify) -> bool:
    """Finish the last promotion or rollback if a crash left it unfinished; whether there was one."""
    moves = [entry for entry in history(warehouse, program) if entry.moves]
    if not moves:
        return False
    try:
        completed = tracking.tags(program, moves[-1].to_version).get(COMPLETED_TAG)
    except NotFound:
        # The registry was lost: there is nothing left to finish, and nothing to keep a new model back for.
        _log.warning("%s: version %s of the promotion ledger is not in the registry", program, moves[-1].to_version)
        return False
    if completed == str(moves[-1].at_ms):
        return False
    _carry_out(tracking, moves[-1], notify)
    return True


def promote(
    warehouse: Warehouse,
    tracking: Tracking,
    catalogue: Loads,
    program: str,
    version: str,
    author: str,
    now_ms: int,
    notify: Notify,
    note: str = "promoted by hand",
) -> Entry | None:
    """Make a registered version the champion by hand, after its checks; None if it already is.

    Raises:
        NotFound: no such version.
        ModelRejected: it fails its checks, and nothing was changed.
    """
    resume(warehouse, tracking, program, notify)
    champion = tracking.aliased(program, CHAMPION)
    if champion == version:
        return None
    return _move(warehouse, tracking, catalogue, program, PROMOTE, version, author, now_ms, notify, note)


def rollback(
    warehouse: Warehouse,
    tracking: Tracking,
    catalogue: Loads,
    program: str,
    author: str,
    now_ms: int,
    notify: Notify,
    to_version: str | None = None,
) -> Entry | None:
    """Return to an earlier version, by default to the champion that the present one replaced when it was promoted, so
    that repeated rollbacks go further back. None if that version already is the champion.

    Raises:
        NotFound: there is no champion, none before it, or no such version.
        ModelRejected: it fails its checks, and nothing was changed.
    """
    resume(warehouse, tracking, program, notify)
    champion = tracking.aliased(program, CHAMPION)
    if to_version is None:
        to_version = _before(history(warehouse, program), program, champion)
    if champion == to_version:
        return None
    note = f"back from version {champion}" if champion else "back to an earlier version"
    return _move(warehouse, tracking, catalogue, program, ROLLBACK, to_version, author, now_ms, notify, note)


def _move(
    warehouse: Warehouse,
    tracking: Tracking,
    catalogue: Loads,
    program: str,
    verdict: str,
    version: str,
    author: str,
    now_ms: int,
    notify: Notify,
    note: str,
) -> Entry:
    tags = tracking.tags(program, version)
    catalogue.scorer(ModelVersion(registered_name(program), version, ENCODER_VERSION))
    entry = Entry(
        program,
        _after(history(warehouse, program), now_ms),
        verdict,
        tracking.aliased(program, CHAMPION),
        version,
        tags.get(DIGEST_TAG, ""),
        author,
        note,
        {},
    )
    apply(warehouse, tracking, entry, notify)
    return entry


def _after(past: tuple[Entry, ...], now_ms: int) -> int:
    """Now; a millisecond after the last entry where a simulated clock stands still. Rows are told apart by time."""
    return max(now_ms, past[-1].at_ms + 1) if past else now_ms


def _before(past: tuple[Entry, ...], program: str, champion: str | None) -> str:
    if champion is None:
        raise NotFound("champion", program, "train first, or name a version to return to")
    promotions = [entry for entry in past if entry.verdict == PROMOTE and entry.to_version == champion]
    if not promotions or promotions[-1].from_version is None:
        raise NotFound("champion before version", champion, f"{program} had none; name a version to return to")
    return promotions[-1].from_version


def _carry_out(tracking: Tracking, entry: Entry, notify: Notify) -> None:
    tracking.set_alias(entry.program, CHAMPION, entry.to_version)
    tracking.tag(entry.program, entry.to_version, COMPLETED_TAG, str(entry.at_ms))
    notify()


def _append(warehouse: Warehouse, entry: Entry) -> None:
    row = {
        "promoted_at": entry.at_ms * 1000,
        "program": entry.program,
        "verdict": entry.verdict,
        "model_name": registered_name(entry.program),
        "from_version": entry.from_version,
        "to_version": entry.to_version,
        "digest": entry.digest,
        "report_json": json.dumps(entry.report, sort_keys=True, allow_nan=False),
        "author": entry.author,
        "note": entry.note,
    }
    past = history(warehouse, entry.program)
    if past and past[-1].at_ms >= entry.at_ms:
        raise Conflict(f"the ledger of {entry.program} has an entry at {past[-1].at_ms}, not before {entry.at_ms}")
    warehouse.append(PROMOTIONS.name, pa.Table.from_pylist([row], PROMOTIONS.schema))
