"""The audit: did the guardrails hold, and is every decision there?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from decision_service.cli.moments import EXAMPLES, moment_ms
from decision_service.cli.terminal import FAILED, AsJson, Home, print_json, settings
from decision_service.core.model.errors import InvalidRequest


def audit(
    from_: Annotated[str, typer.Option("--from", help=f"Decided at this time or later: {EXAMPLES}.")] = "",
    until: Annotated[str, typer.Option(help="Decided before this time.")] = "",
    program: Annotated[str, typer.Option(help="Decided by this program; by any of them by default.")] = "",
    acknowledged: Annotated[
        Path | None, typer.Option(help="File of decision ids that runners were given, one a line.")
    ] = None,
    shown: Annotated[int, typer.Option(min=0, help="Violations to put into words, of each law.")] = 20,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Check, from the warehouse alone, that guardrails and groups held and no decision is lost; exit code 1 if not."""
    from decision_service.audit import Asked, render
    from decision_service.audit.facts import FOREVER_MS
    from decision_service.operation import jobs

    asked = Asked(
        from_ms=moment_ms("--from", from_) if from_ else 0,
        until_ms=moment_ms("--until", until) if until else FOREVER_MS,
        program=program,
        shown=shown,
    )
    report = jobs.audit(settings(home), asked, None if acknowledged is None else _ids(acknowledged))
    if as_json:
        print_json(report.to_json())
    else:
        from rich.console import Console

        Console().print(render(report))
    if report.violations:
        raise typer.Exit(FAILED)


def _ids(file: Path) -> list[str]:
    try:
        return [line.strip() for line in file.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest.of("--acknowledged", f"{file} cannot be read: {error}") from error
