"""`nba simulate`: what a program would have changed, before it is published."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from decision_service.cli.moments import moment_ms
from decision_service.cli.terminal import AsJson, Home, print_json, progress_bar, settings
from decision_service.core.model.errors import InvalidRequest


def simulate(
    file: Annotated[Path, typer.Option("--file", "-f", help="The proposed program, YAML or JSON.")],
    contact_policy: Annotated[
        Path | None, typer.Option(help="A proposed contact policy; by default each decision keeps its own.")
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--from", help="Start: 2026-12-31 (UTC), or a time with its zone. A day before the end, if left out."
        ),
    ] = "",
    until: Annotated[
        str, typer.Option("--until", help="End, not included. The last decision in the warehouse, if left out.")
    ] = "",
    by: Annotated[
        list[str] | None, typer.Option(help="A feature or context value to report by; several times.")
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Replay logged decisions through a proposed program, and compare: nothing is published, nobody is contacted."""
    from decision_service.operation import jobs

    chosen = settings(home)
    document = _read(file)
    policy = _read(contact_policy) if contact_policy is not None else ""
    if until:
        until_ms = _moment("--until", until)
        from_ms = until_ms - DAY_MS
    else:
        from_ms, until_ms = jobs.last_day(chosen)
    if since:
        from_ms = _moment("--from", since)
    with progress_bar(quiet=as_json) as progress:
        report = jobs.simulate(chosen, document, policy, from_ms, until_ms, tuple(by or ()), progress)
    if as_json:
        print_json(report.to_json())
        return
    from rich.console import Console

    from decision_service.simulation.render import render

    Console().print(render(report))


DAY_MS = 86_400_000


def _moment(option: str, text: str) -> int:
    """A time with its zone, or a UTC day."""
    return moment_ms(option, f"{text}T00:00Z" if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else text)


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest.of(str(file), f"cannot be read: {error}") from error
