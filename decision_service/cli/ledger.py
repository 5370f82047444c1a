"""`nba ledger`: what is done to a ledger as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from decision_service.cli.terminal import AsJson, Home, print_json, settings

ledger = typer.Typer(help="The ledger as a whole: start anew beside a history.", no_args_is_help=True)


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
