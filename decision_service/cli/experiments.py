"""The two main jobs: a simulated retailer, and logged experiments replayed through the whole product."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from decision_service.cli.terminal import AsJson, Home


def demo(home: Home = None, as_json: AsJson = False) -> None:
    """Simulate a retailer for several weeks through the whole product, and report lift against every group."""
    raise NotImplementedError(home, as_json)


def replay(
    dataset: Annotated[str, typer.Argument(help="hillstrom, obd, or a CSV file with --mapping.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run a logged experiment through the whole product: every row is a real Decide."""
    raise NotImplementedError(dataset, home, as_json, Path, typer)
