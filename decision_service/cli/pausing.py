"""Commands that stop a program, and what it has queued, without changing anything else of it."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from decision_service.cli.terminal import AsJson, Home, Target, address, print_json
from decision_service.core.model.program import ProgramState

_NOTES = {ProgramState.PAUSED: "paused", ProgramState.LIVE: "resumed", ProgramState.UNPUBLISHED: "unpublished"}

Name = Annotated[str, typer.Argument(metavar="PROGRAM", help="Name of the program.")]
Author = Annotated[str, typer.Option(help="Who does it; you, by default.")]
Note = Annotated[str, typer.Option(help="Why, for the history.")]


def pause(
    name: Name, author: Author = "", note: Note = "", target: Target = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Pause a program on every worker within a second: it decides on nothing, and what it has queued is stopped when it
    is confirmed.

    Requests still may name it, and are answered NO_ACTION. `nba resume` goes on.
    """
    _set(
        name,
        ProgramState.PAUSED,
        "is paused; what it has queued is stopped when it is confirmed",
        author,
        note,
        target,
        home,
        as_json,
    )


def resume(
    name: Name, author: Author = "", note: Note = "", target: Target = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Let a paused or unpublished program decide again."""
    _set(name, ProgramState.LIVE, "decides again", author, note, target, home, as_json)


def unpublish(
    name: Name, author: Author = "", note: Note = "", target: Target = "", home: Home = None, as_json: AsJson = False
) -> None:
    """Take a program out: requests cannot name it any more, and what it has queued is stopped when it is confirmed.

    Its versions stay for audit; `nba resume` or `nba apply` publish it again.
    """
    _set(name, ProgramState.UNPUBLISHED, "takes no part any more", author, note, target, home, as_json)


def _set(
    name: str,
    state: ProgramState,
    said: str,
    author: str,
    note: str,
    target: str,
    home: Home,
    as_json: bool,
) -> None:
    from decision_service.client import DecisionClient

    with DecisionClient([target or address(home)], deadline_ms=10_000) as client:
        version = client.set_program_state(name, state, author or getpass.getuser(), note or _NOTES[state])
    if as_json:
        print_json({"name": name, "state": state.value, "version": version})
    else:
        print(f"Program {name} {said}; version {version}.")
