"""Commands that start processes, and `doctor`, which says what is wrong with them."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

from decision_service.cli.terminal import FAILED, AsJson, Home, print_json, print_table, settings

Supervised = Annotated[bool, typer.Option(hidden=True, help="End when the parent process is gone.")]


def up(home: Home = None, workers: Annotated[int | None, typer.Option(help="Decide workers.")] = None) -> None:
    """Start everything on this machine, supervised, until Ctrl-C.

    Redis, the Decide workers, the loader, the trainer and the simulator; what dies is started again.
    """
    from decision_service.operation.processes import supervise

    chosen = settings(home, workers=workers)
    print(f"starting; logs are in {chosen.home / 'logs'}", file=sys.stderr)

    def announce(target: str) -> None:
        print(
            f"serving on {target}, {chosen.workers} workers\n"
            f"  try:     nba decide --program NAME --customer ID\n"
            f"  status:  nba status\n"
            f"  models:  mlflow ui --backend-store-uri {chosen.tracking_uri}\n"
            "Ctrl-C stops everything.",
            file=sys.stderr,
        )

    supervise(chosen, announce)


def worker(supervised: Supervised = False) -> None:
    """One Decide worker. Several share the port."""
    from decision_service.operation.processes import run_worker

    run_worker(settings(), supervised)


def loader(supervised: Supervised = False) -> None:
    """The loader: moves the decision log into the warehouse. Exactly one per ledger."""
    from decision_service.operation.processes import run_loader

    run_loader(settings(), supervised)


def trainer(supervised: Supervised = False) -> None:
    """The trainer: builds features, joins, trains, gates and promotes, over and over."""
    from decision_service.operation.processes import run_trainer

    run_trainer(settings(), supervised)


def simulator(supervised: Supervised = False) -> None:
    """The simulator: answers SimulateProgram, one simulation at a time. One per ledger."""
    from decision_service.operation.processes import run_simulator

    run_simulator(settings(), supervised)


def doctor(home: Home = None, as_json: AsJson = False) -> None:
    """Check every part: settings, Redis, features, warehouse, MLflow, workers. Exit code 1 if one is not well."""
    from decision_service.operation.diagnosis import examine

    started = time.monotonic()
    findings = examine(settings(home))
    if as_json:
        print_json([{"part": f.part, "ok": f.ok, "detail": f.detail, "fix": f.fix} for f in findings])
    else:
        rows = [("ok" if f.ok else "WRONG", f.part, f.detail, f.fix) for f in findings]
        print_table(f"{len(findings)} checks in {time.monotonic() - started:.1f} s", ("", "part", "", "fix"), rows)
    if not all(f.ok for f in findings):
        raise typer.Exit(FAILED)
