"""The arrows of the learning cycle, each a command that can be run again at any time."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from decision_service.cli.moments import shown
from decision_service.cli.terminal import (
    FAILED,
    AsJson,
    Home,
    print_json,
    print_pairs,
    print_table,
    progress_bar,
    settings,
)

Program = Annotated[str, typer.Option(help="One program; all of them by default.")]


def build_features(
    allow_removals: Annotated[
        bool, typer.Option("--allow-removals", help="Also if many customers lose their values, or change consent.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """SQL over the warehouse → feature tables → Feast → online store; only what changed.

    If many customers would lose their values, or change what guardrails read, nothing is written: exit code 1.
    """
    from decision_service.operation import jobs

    with progress_bar(quiet=as_json) as progress:
        report = jobs.build_features(settings(home), progress, allow_removals=allow_removals)
    if as_json:
        print_json(report)
    else:
        told = [{name: of for name, of in view.items() if name != "unknown"} for view in report["views"]]
        print_table("Features", tuple(told[0]) if told else (), [tuple(view.values()) for view in told])
        for view in report["views"]:
            for name, count in view["unknown"].items():
                print(f"{view['view']}.{name}: {count} values are neither true nor false; they count as missing.")


def load(home: Home = None, as_json: AsJson = False) -> None:
    """Move the decision log into the warehouse, once, until it is drained. Do not run it beside a loader."""
    from decision_service.operation import jobs

    report = jobs.load(settings(home))
    print_json(report) if as_json else print_pairs("Loaded", report)


def join(home: Home = None, as_json: AsJson = False) -> None:
    """Join outcomes to decisions: one reward per decision, matured or not."""
    from decision_service.operation import jobs

    report = jobs.join(settings(home))
    if as_json:
        print_json(report)
        return
    until_ms = report.pop("loaded_until_ms")
    print_pairs("Joined", report)
    if until_ms is None:
        print("Nobody knows yet how far the log is loaded, so no reward is final; run `nba load`, or `nba up`.")
    else:
        print(
            f"The log is loaded up to {shown(until_ms)}. Final are the rewards whose window, and an hour after it for"
        )
        print("what is received late, had passed by then.")


def train(program: Program = "", home: Home = None, as_json: AsJson = False) -> None:
    """Train a challenger, evaluate it off-policy against the champion, and promote it if the gate says so."""
    from decision_service.operation import jobs

    reports = jobs.train(settings(home), program)
    if as_json:
        print_json(reports)
    else:
        print_table(
            "Training",
            ("program", "verdict", "version", "why"),
            [(name, r["verdict"], r["version"] or "", r["reason"]) for name, r in reports.items()],
        )
    if any(report["verdict"] == jobs.FAILED for report in reports.values()):
        raise typer.Exit(FAILED)


def promote(
    program: str,
    version: Annotated[int, typer.Argument(help="Registered model version.")],
    author: Annotated[str, typer.Option(help="Who promotes, for the ledger.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a registered model version the champion by hand; the promotion ledger records who did."""
    from decision_service.operation import jobs

    report = jobs.promote(settings(home), program, version, author or getpass.getuser())
    print_json(report) if as_json else print_pairs("Promoted", report)


def demote(
    program: str,
    to_version: Annotated[int | None, typer.Option(help="Model version; the champion before by default.")] = None,
    author: Annotated[str, typer.Option(help="Who demotes, for the ledger.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take the champion model back to an earlier one; workers swap within seconds."""
    from decision_service.operation import jobs

    report = jobs.rollback(settings(home), program, to_version, author or getpass.getuser())
    print_json(report) if as_json else print_pairs("Demoted", report)
