"""`nba ledger`: what is done to a ledger as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from decision_service.cli.terminal import AsJson, Home, print_json, print_pairs, progress_bar, settings

ledger = typer.Typer(
    help="The ledger as a whole: bring a lost one back, or start anew beside its history.", no_args_is_help=True
)


@ledger.command("new")
def declare_new(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, home: Home = None, as_json: AsJson = False
) -> None:
    """Put a new ledger in service beside a warehouse that has the history of another.

    Its contacts, suppressions and budgets are then forgotten. Versions of programs go on after the highest one known.
    """
    from decision_service.operation.recognition import declare_new as declare

    chosen = settings(home)
    if not yes:
        typer.confirm(
            f"What the warehouse in {chosen.warehouse_path} tells of contacts, suppressions and budgets will not count "
            "for this ledger: customers may be contacted who asked not to be. Go on?",
            abort=True,
            err=True,
        )
    declared = declare(chosen)
    if as_json:
        print_json({"declared": declared is not None, "ledger_id": declared.ledger_id if declared else None})
    elif declared is None:
        print("The ledger is in service already; nothing was changed.")
    else:
        print(f"The ledger {declared.ledger_id} is in service. Publish programs and the contact policy: nba apply FILE")


@ledger.command("rebuild")
def rebuild(
    of: Annotated[str, typer.Option("--of", help="Id of the ledger that was lost; by default the newest known.")] = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a lost ledger again from the warehouse: contacts, suppressions, counters, budgets, what is published, and
    what makes retries safe.

    Redis must be up and empty; the home's own is started if `nba up` is not running. What workers have taken meanwhile
    is kept. No contact is decided on until it is done. Run it again if it was stopped.
    """
    from decision_service.operation.rebuild import rebuild_here

    chosen = settings(home)
    with progress_bar(quiet=as_json) as progress:
        report = rebuild_here(chosen, of, progress)
    if as_json:
        print_json(report.to_json())
        return
    print_pairs(
        f"Ledger {report.ledger_id} is in service again",
        {
            name.replace("_", " "): value
            for name, value in report.to_json().items()
            if name not in ("ledger_id", "notes")
        },
    )
    for note in report.notes:
        print(f"Note: {note}.")
