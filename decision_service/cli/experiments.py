"""The two main jobs: a simulated retailer, and logged experiments replayed through the whole product."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from decision_service.cli.terminal import AsJson, Home, print_json, progress_bar, settings
from decision_service.core.model.errors import InvalidRequest


def demo(
    home: Home = None,
    customers: Annotated[int, typer.Option(min=20, help="Customers by the end of the simulation.")] = 2_200,
    weeks: Annotated[int, typer.Option(min=1, max=26, help="Simulated weeks; tastes change halfway.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of the simulated customers.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Simulate a retailer for several weeks, until today, and report lift and guardrails.

    It goes through the whole product, in a folder of its own, `demo` below the home, which is emptied first.
    """
    from decision_service.adapters.clocks import SystemClock
    from decision_service.demo.report import render
    from decision_service.demo.retailer import RetailerConfig
    from decision_service.demo.run import run_demo, start_for

    config = RetailerConfig(customers, weeks * 7, seed, start_for(weeks * 7, SystemClock().now_ms()))
    with progress_bar() as progress:
        result = run_demo(settings(home), progress, config)
    if as_json:
        print_json(result.to_json())
    else:
        _print(render(result))


def replay(
    dataset: Annotated[str, typer.Argument(help="`hillstrom`, `open_bandit`, or a CSV file with --mapping.")],
    data_dir: Annotated[Path, typer.Option(help="Folder of a built-in dataset.")] = Path(),
    mapping: Annotated[Path | None, typer.Option(help="YAML that says what the CSV's columns mean.")] = None,
    reward: Annotated[str | None, typer.Option(help="Outcome to optimise; the dataset's first by default.")] = None,
    policy: Annotated[str, typer.Option(help="open_bandit: whose log, `random` or `bts`.")] = "random",
    campaign: Annotated[str, typer.Option(help="open_bandit: `men`, `women` or `all`.")] = "men",
    rows: Annotated[int | None, typer.Option(min=1, help="Only so many rows, drawn at random.")] = None,
    checkpoints: Annotated[int, typer.Option(min=0, max=50, help="How often models are trained on the way.")] = 8,
    margin: Annotated[
        float | None,
        typer.Option(min=0, help="How much worse than the champion a challenger may be, in units of the reward."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the order of rows, and of which of them become decisions.")
    ] = 1,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run a logged experiment through the whole product: every decision is a real Decide (docs/replay.md).

    Everything runs in a folder of its own, `replay` below the home, which is emptied first.
    """
    from decision_service.replay import datasets
    from decision_service.replay.report import render
    from decision_service.replay.run import run_replay

    match dataset:
        case "hillstrom":
            experiment = datasets.hillstrom(data_dir, reward or "visit")
        case "open_bandit" | "obd":
            experiment = datasets.open_bandit(data_dir, policy, campaign, reward or "click")
        case _ if mapping is not None:
            experiment = datasets.from_csv(Path(dataset), mapping, reward)
        case _:
            raise InvalidRequest.of("dataset", f"{dataset!r} is not hillstrom or open_bandit; for a CSV give --mapping")
    if margin is not None:
        experiment = replace(experiment, reward=replace(experiment.reward, margin=margin))
    with progress_bar() as progress:
        result = run_replay(settings(home), experiment.sample(rows, seed), progress, checkpoints, seed=seed)
    if as_json:
        print_json(result.to_json())
    else:
        _print(render(result))


def _print(renderable: object) -> None:
    from rich.console import Console

    Console().print(renderable)
