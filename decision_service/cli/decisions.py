"""Commands around single decisions: make one, explain one, see the state of things, publish programs."""

from __future__ import annotations

import getpass
import json
import time
import uuid
from pathlib import Path
from typing import Annotated

import typer

from decision_service.cli.terminal import AsJson, Home, Target, print_json, print_pairs, print_table, settings
from decision_service.core.errors import InvalidRequest, NotFound, Unavailable, Violation
from decision_service.core.values import Value


def decide(
    program: Annotated[str, typer.Option(help="Program to decide for.")],
    customer: Annotated[str, typer.Option(help="Customer id.")],
    context: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, several times; VALUE as JSON, or else text.")
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(help="A channel you can serve; several times.")] = None,
    request_id: Annotated[str, typer.Option(help="To repeat a request; a fresh one by default.")] = "",
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Decide for one customer, for real: the slot is reserved and the decision logged."""
    from decision_service.client import DecisionClient
    from decision_service.core.record import DecideRequest

    request = DecideRequest(
        request_id or f"cli-{uuid.uuid4().hex}",
        customer,
        (program,),
        context=parse_context(context or []),
        channels=tuple(channel or ()),
    )
    with DecisionClient([target or _address(home)]) as client:
        answer = client.decide(request)
    document = {
        "decision_id": answer.decision_id,
        "action": answer.action,
        "channel": answer.channel,
        "message": answer.message,
        "payload": json.loads(answer.payload_json or "{}"),
        "probability": answer.probability,
        "predicted_reward": answer.predicted_reward,
        "group": answer.group,
        "reasons": ", ".join(answer.reasons),
        "program_version": answer.program_version,
        "lease_expires_at_ms": answer.lease_expires_at_ms,
        "send_at_ms": answer.send_at_ms,
    }
    if as_json:
        print_json(document)
    else:
        print_pairs(f"{answer.action} for {customer}", document)
        print(f"Why: nba explain {answer.decision_id}")


def explain(decision_id: str, target: Target = "", home: Home = None, as_json: AsJson = False) -> None:
    """Why a decision was made: the funnel, probabilities, features. Asks the ledger, then the warehouse."""
    explanation = _explained(decision_id, target, home)
    if as_json:
        from dataclasses import asdict

        print_json({"text": explanation.text, "funnel": [asdict(step) for step in explanation.funnel]})
    else:
        print(explanation.text)


def _explained(decision_id: str, target: str, home: Path | None):  # type: ignore[no-untyped-def]
    from decision_service.client import DecisionClient

    chosen = settings(home)
    try:
        with DecisionClient([target or f"{chosen.host}:{chosen.port}"], retries=0) as client:
            return client.explain(decision_id)
    except (NotFound, Unavailable) as asked:
        from decision_service.jobs import explain_from_warehouse

        explanation = explain_from_warehouse(chosen, decision_id)
        if explanation is None:
            raise NotFound(
                "decision", decision_id, f"neither the service ({asked}) nor the warehouse has it"
            ) from asked
        return explanation


def status(home: Home = None, as_json: AsJson = False) -> None:
    """Which programs and models the workers serve, what was refused and why, and how far the loader is."""
    from decision_service import bootstrap

    chosen = settings(home)
    signals, decision_log = bootstrap.open_signals(chosen), bootstrap.open_log(chosen)
    processes = signals.processes(time.time_ns() // 1_000_000)
    backlog = decision_log.backlog()
    programs = bootstrap.open_policies(chosen).current().programs
    if as_json:
        print_json(
            {"processes": processes, "backlog": backlog, "programs": {n: p.version for n, p in programs.items()}}
        )
        return
    print_table(
        "Programs",
        ("program", "version", "learning mode", "actions", "description"),
        [(n, p.version, p.learning_mode, len(p.actions), p.description) for n, p in sorted(programs.items())],
    )
    print_table(
        "Workers",
        ("worker", "programs", "models", "errors"),
        [
            (
                name,
                ", ".join(f"{n} v{v}" for n, v in sorted(s["programs"].items())),
                "\n".join(f"{n}: {m}" for n, m in sorted(s["models"].items())),
                "\n".join(f"{part}: {error}" for part, error in s["errors"].items()) or "none",
            )
            for name, s in sorted(processes.items())
        ],
    )
    print(f"{backlog} log entries are not in the warehouse yet.")


def apply(
    files: Annotated[list[Path], typer.Argument(help="Program files, or a contact policy (`contact_policy.yaml`).")],
    author: Annotated[str, typer.Option(help="Who publishes, for the audit.")] = "",
    note: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Publish programs and the contact policy: live on every worker within a second, no restart."""
    from decision_service.client import DecisionClient
    from decision_service.documents import is_contact_policy

    documents = {file: _read(file) for file in files}
    author = author or getpass.getuser()
    published: list[tuple[str, str, int]] = []
    with DecisionClient([target or _address(home)]) as client:
        for file, document in documents.items():
            try:
                if is_contact_policy(document):
                    published.append((str(file), "contact policy", client.apply_contact_policy(document, author, note)))
                else:
                    name, version = client.apply_program(document, author, note)
                    published.append((str(file), f"program {name}", version))
            except InvalidRequest as error:
                raise InvalidRequest(Violation(f"{file}: {v.field}", v.message) for v in error.violations) from error
    if as_json:
        print_json([{"file": file, "published": what, "version": version} for file, what, version in published])
    else:
        print_table("Published", ("file", "what", "version"), published)


def parse_context(pairs: list[str]) -> dict[str, Value | None]:
    """NAME=VALUE pairs; VALUE is JSON where it parses, text otherwise.

    Raises:
        InvalidRequest: naming every pair that is not one.
    """
    values: dict[str, Value | None] = {}
    violations = []
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            violations.append(Violation("--context", f"{pair!r} is not NAME=VALUE"))
            continue
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        if isinstance(value, list) and all(isinstance(v, str) for v in value):
            value = tuple(value)
        if isinstance(value, (list, dict)):
            violations.append(Violation("--context", f"{name} is neither a scalar nor a list of strings"))
        else:
            values[name] = value
    if violations:
        raise InvalidRequest(violations)
    return values


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest.of(str(file), f"cannot be read: {error}") from error


def _address(home: Path | None) -> str:
    chosen = settings(home)
    return f"{chosen.host}:{chosen.port}"
