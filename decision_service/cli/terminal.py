"""What people see: tables, progress and errors on a terminal; one JSON document where a program asks for it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from decision_service.core.model.errors import InvalidRequest, NbaError

if TYPE_CHECKING:
    from decision_service.operation.settings import Settings

DONE, FAILED, INVALID, UNAVAILABLE = 0, 1, 2, 3  # docs/operations.md lists them

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Home: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder of everything embedded.  [default: NBA_HOME or .nba]", show_default=False)
]
Target: TypeAlias = Annotated[
    str, typer.Option(help="gRPC address of the workers.  [default: NBA_HOST:NBA_PORT]", show_default=False)
]


def settings(home: Path | None = None, **overrides: Any) -> Settings:
    """The settings of the environment, with what the command line says over them.

    Raises:
        InvalidRequest: naming every setting that is wrong.
    """
    from pydantic import ValidationError

    from decision_service.core.model.errors import Violation
    from decision_service.operation.settings import Settings

    given = {name: value for name, value in {"home": home, **overrides}.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise InvalidRequest(
            Violation(f"NBA_{str(e['loc'][0] if e['loc'] else '').upper()}", f"{e['msg']} (got {e['input']!r})")
            for e in error.errors()
        ) from error


def address(home: Path | None = None) -> str:
    """Where the workers of a home answer."""
    chosen = settings(home)
    return f"{chosen.host}:{chosen.port}"


def complain(headline: str, error: NbaError) -> None:
    """One error, every violation on a line of its own, on standard error."""
    from decision_service.operation.bootstrap import describe_error

    print(f"{headline}:\n{describe_error(error)}", file=sys.stderr)


def print_json(document: object) -> None:
    """One JSON document on standard output."""
    print(json.dumps(document, indent=2, default=str))


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table for people; numbers are right-aligned."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold", show_header=any(columns))
    listed = [list(row) for row in rows]
    for index, column in enumerate(columns):
        numeric = all(isinstance(row[index], (int, float)) for row in listed) and bool(listed)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in listed:
        table.add_row(*(escape(f"{v:.4g}" if isinstance(v, float) else str(v)) for v in row))
    Console().print(table)


def print_pairs(title: str, pairs: Mapping[str, object]) -> None:
    """Names and values for people."""
    print_table(title, ("", ""), pairs.items())


@contextmanager
def progress_bar(quiet: bool = False) -> Iterator[Any]:
    """A callable (what, done, total) that moves one bar per `what`, on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as progress:
        tasks: dict[str, Any] = {}

        def advance(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        yield advance
