"""Lists of customers not to contact, as CSV from wherever: every mistake of a file is told at once, with its line."""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from decision_service.application.administration import CustomerSuppression
from decision_service.cli.moments import moment_ms
from decision_service.core.model.errors import InvalidRequest, Violation
from decision_service.rpc.checks import Checks

REQUIRED = ("customer_id", "channel")
OPTIONAL = ("until", "note")
COLUMNS = (*REQUIRED, *OPTIONAL)
MAX_MISTAKES = 200
"""Most mistakes that are told; a file with more has one that explains them."""


@dataclass(frozen=True, slots=True)
class Row:
    """A suppression, and the line of the file where it stands; the header is line 1."""

    line: int
    suppression: CustomerSuppression


@dataclass(frozen=True, slots=True)
class SuppressionList:
    """What a file says.

    rows: those to put in force, each customer and channel once.
    over: lines whose time is over, so that there is nothing to do.
    repeated: lines that say again what an earlier one says.
    """

    rows: tuple[Row, ...]
    over: tuple[int, ...]
    repeated: tuple[int, ...]


def read(data: bytes, now_ms: int) -> SuppressionList:
    """The list that a file holds. Columns, in any order: `customer_id`, `channel` (`*` for every one), and optionally
    `until` (a time with zone; for good if empty) and `note`. Separated by commas, semicolons or tabs.

    Raises:
        InvalidRequest: listing every mistake, at `line N`; nothing of such a file may be applied.
    """
    violations: list[Violation] = []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidRequest.of(f"line {line}", "is not UTF-8; save the file as `CSV UTF-8`") from None
    rows: dict[tuple[str, str], Row] = {}
    over, repeated = [], []
    for line, cells in _records(text, violations):
        suppression = _suppression(line, cells, violations)
        if suppression is None:
            continue
        key = suppression.customer_id, suppression.channel
        if suppression.until_ms is not None and suppression.until_ms <= now_ms:
            over.append(line)
        elif (earlier := rows.setdefault(key, Row(line, suppression))).line != line:
            if earlier.suppression == suppression:
                repeated.append(line)
            else:
                message = f"says something else of the same customer and channel than line {earlier.line}; keep one"
                violations.append(Violation(f"line {line}", message))
    if not (rows or over or violations):
        violations.append(Violation("line 2", "is missing: there are no rows after the header"))
    if len(violations) > MAX_MISTAKES:
        more = Violation("", f"and {len(violations) - MAX_MISTAKES} more; correct these first")
        violations = [*violations[:MAX_MISTAKES], more]
    if violations:
        raise InvalidRequest(violations)
    return SuppressionList(tuple(rows.values()), tuple(over), tuple(repeated))


def _records(text: str, violations: list[Violation]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line and cells by column of every row that is not blank, after a header without mistakes."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    header: Sequence[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as error:
            message = f"cannot be read, nor what follows it: {error}; close every quote, and double those inside"
            violations.append(Violation(f"line {line}", message))
            return
        if not any(cells):
            continue
        while not cells[-1] and (header is None or len(cells) > len(header)):
            cells.pop()  # spreadsheets write separators for columns that once held something
        if header is None:
            header = [cell.lower() for cell in cells]
            if mistakes := list(_header_mistakes(header)):
                violations += [Violation(f"line {line}", mistake) for mistake in mistakes]
                return
        elif len(cells) != len(header):
            message = f"has {len(cells)} cells, the header {len(header)}; put quotes around a cell with a separator"
            violations.append(Violation(f"line {line}", message))
        else:
            yield line, dict(zip(header, cells, strict=True))
    if header is None:
        violations.append(Violation("line 1", f"is missing: begin with a header of {', '.join(COLUMNS)}"))


def _header_mistakes(header: Sequence[str]) -> Iterator[str]:
    for column in dict.fromkeys(header):
        if column not in COLUMNS:
            close = difflib.get_close_matches(column, COLUMNS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(COLUMNS)}"
            yield f"column {column!r} is not known; {hint}"
        elif header.count(column) > 1:
            yield f"column {column!r} is there {header.count(column)} times; keep one"
    for column in REQUIRED:
        if column not in header:
            yield f"column {column!r} is missing; the header needs {' and '.join(REQUIRED)}"


def _suppression(line: int, cells: Mapping[str, str], violations: list[Violation]) -> CustomerSuppression | None:
    checks = Checks()
    customer_id = checks.id(f"line {line}, customer_id", cells["customer_id"])
    if not cells["channel"]:
        checks.fail(f"line {line}, channel", "is empty; name a channel, or * for every one")
    channel = checks.optional_id(f"line {line}, channel", cells["channel"])
    note = checks.text(f"line {line}, note", cells.get("note", ""))
    until_ms = None
    if until := cells.get("until", ""):
        try:
            until_ms = checks.time(f"line {line}, until", moment_ms(f"line {line}, until", until))
        except InvalidRequest as error:
            checks.violations += error.violations
    violations += checks.violations
    return None if checks.violations else CustomerSuppression(customer_id, channel, until_ms, note)
