"""Commands around single decisions: make one, explain one, see the state of things."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from decision_service.cli.moments import moment_ms, shown
from decision_service.cli.terminal import (
    FAILED,
    AsJson,
    Home,
    Target,
    address,
    print_json,
    print_pairs,
    print_table,
    settings,
)
from decision_service.core.model.errors import InvalidRequest, NotFound, Unavailable, Violation
from decision_service.core.model.values import Value

if TYPE_CHECKING:
    from decision_service.client import Answer


def decide(
    customer: Annotated[str, typer.Option(help="Customer id.")],
    program: Annotated[list[str] | None, typer.Option(help="A program to choose among; several times.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Choose among all published programs.")] = False,
    context: Annotated[
        list[str] | None, typer.Option(help="NAME=VALUE, several times; VALUE as JSON, or else text.")
    ] = None,
    channel: Annotated[list[str] | None, typer.Option(help="A channel you can serve; several times.")] = None,
    request_id: Annotated[str, typer.Option(help="To repeat a request; a fresh one by default.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Reserve and log nothing, and say why at once.")] = False,
    at: Annotated[str, typer.Option(help="With --dry-run: as of a time with zone, such as 2026-12-31T18:00Z.")] = "",
    target: Target = "",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Decide for one customer: for real, so that the slot is reserved and the decision logged, or as a dry run."""
    from decision_service.client import DecisionClient
    from decision_service.core.model.record import ALL_PROGRAMS, DecideRequest

    if bool(program) == every:
        raise InvalidRequest.of("--program", "name one or several, or give --all, not both")
    if at and not dry_run:
        raise InvalidRequest.of("--at", "is for dry runs: a decision that counts is made now; add --dry-run")
    request = DecideRequest(
        request_id or f"cli-{uuid.uuid4().hex}",
        customer,
        tuple(program or (ALL_PROGRAMS,)),
        context=parse_context(context or []),
        channels=tuple(channel or ()),
        dry_run=dry_run,
        at_ms=moment_ms("--at", at) if at else None,
    )
    with DecisionClient([target or address(home)]) as client:
        answer = client.decide(request)
    if as_json:
        print_json(_document(answer))
    elif answer.explanation is not None:
        print(answer.explanation.text)
    else:
        print_pairs(f"{answer.action} for {customer}", _shown(answer))
        print(f"Why: nba explain {answer.decision_id}")


def _document(answer: Answer) -> dict[str, object]:
    return {
        "decision_id": answer.decision_id,
        "program": answer.program,
        "action": answer.action,
        "channel": answer.channel,
        "message": answer.message,
        "payload": json.loads(answer.payload_json or "{}"),
        "probability": answer.probability,
        "program_probability": answer.program_probability,
        "predicted_reward": answer.predicted_reward,
        "group": answer.group,
        "reasons": list(answer.reasons),
        "exclusions": [asdict(exclusion) for exclusion in answer.exclusions],
        "program_version": answer.program_version,
        "policy_version": answer.policy_version,
        "decided_at_ms": answer.decided_at_ms,
        "lease_expires_at_ms": answer.lease_expires_at_ms,
        "send_at_ms": answer.send_at_ms,
        "unlogged": answer.unlogged,
        "explanation": answer.explanation.text if answer.explanation else None,
    }


def _shown(answer: Answer) -> dict[str, object]:
    """What a person needs of an answer, in their words."""
    pairs: dict[str, object] = {"program": f"{answer.program} version {answer.program_version}"}
    if answer.is_contact:
        pairs |= {"channel": answer.channel, "message": answer.message, "payload": answer.payload_json}
    pairs["probability"] = answer.probability
    if answer.program_probability < 1:
        pairs["the program's"] = answer.program_probability
    if answer.predicted_reward is not None:
        pairs["predicted reward"] = answer.predicted_reward
    pairs["group"] = answer.group.value
    if answer.reasons:
        pairs["reasons"] = ", ".join(answer.reasons)
    if answer.send_at_ms is not None:
        pairs["send at"] = f"{shown(answer.send_at_ms)}, when quiet hours end"
    if answer.lease_expires_at_ms is not None:
        pairs["send and report before"] = shown(answer.lease_expires_at_ms)
    return pairs


def explain(decision_id: str, target: Target = "", home: Home = None, as_json: AsJson = False) -> None:
    """Why a decision was made: the funnel and what would change it, probabilities, contributions, features.

    Asks the service, then the warehouse.
    """
    explanation = _explained(decision_id, target, home)
    if as_json:
        record = explanation.record
        print_json(
            {
                "decision_id": record.decision_id,
                "program": record.program,
                "action": record.chosen,
                "probability": record.probability,
                "text": explanation.text,
                "funnel": [asdict(step) for step in explanation.funnel],
                "is_exploration": explanation.is_exploration,
                "group_because": explanation.group_because,
                **asdict(explanation.attribution),
            }
        )
    else:
        print(explanation.text)


def confirm(decision_id: str, target: Target = "", home: Home = None, as_json: AsJson = False) -> None:
    """May a decided message be sent, now? What a runner asks just before it sends. Exit code 1 unless it may.

    A STOP frees the slot and stays; a GO holds for a minute at most.
    """
    from decision_service.client import DecisionClient

    with DecisionClient([target or address(home)]) as client:
        said = client.confirm_send(decision_id)
    if as_json:
        print_json({**asdict(said)})
    else:
        until = f" until {shown(said.until_ms)}" if said.until_ms is not None else ""
        why = f": {said.reason} {said.detail}".rstrip() if said.reason is not None else ""
        print(f"{said.verdict}{until}{why}")
    if not said.is_go:
        raise typer.Exit(FAILED)


def _explained(decision_id: str, target: str, home: Path | None):  # type: ignore[no-untyped-def]
    from decision_service.client import DecisionClient

    chosen = settings(home)
    try:
        with DecisionClient([target or f"{chosen.host}:{chosen.port}"], retries=0) as client:
            return client.explain(decision_id)
    except (NotFound, Unavailable) as asked:
        from decision_service.operation.past_decisions import explain_from_warehouse

        explanation = explain_from_warehouse(chosen, decision_id)
        if explanation is None:
            raise NotFound(
                "decision", decision_id, f"neither the service ({asked}) nor the warehouse has it"
            ) from asked
        return explanation


def status(home: Home = None, as_json: AsJson = False) -> None:
    """Which programs and models the workers serve, what was refused and why, and how far the loader is."""
    from decision_service.operation import bootstrap

    chosen = settings(home)
    signals, decision_log = bootstrap.open_signals(chosen), bootstrap.open_log(chosen)
    processes = signals.processes(time.time_ns() // 1_000_000)
    backlog = decision_log.backlog()
    programs = bootstrap.open_policies(chosen).current().programs
    if as_json:
        print_json(
            {
                "processes": processes,
                "backlog": backlog,
                "programs": {n: p.version for n, p in programs.items()},
                "states": {n: p.state for n, p in programs.items()},
            }
        )
        return
    print_table(
        "Programs",
        ("program", "version", "state", "learning mode", "actions", "description"),
        [(n, p.version, p.state, p.learning_mode, len(p.actions), p.description) for n, p in sorted(programs.items())],
    )
    print_table(
        "Workers",
        ("worker", "programs", "models", "without features", "clock", "errors"),
        [
            (
                name,
                ", ".join(f"{n} v{v}" for n, v in sorted(s["programs"].items())),
                "\n".join(f"{n}: {m}" for n, m in sorted(s["models"].items())),
                without_features(s),
                _skew(s["clock_skew_ms"]),
                "\n".join(f"{part}: {error}" for part, error in s["errors"].items()) or "none",
            )
            for name, s in sorted(processes.items())
        ],
    )
    print(f"{backlog} log entries are not in the warehouse yet.")


def without_features(worker: Mapping[str, Any]) -> str:
    """The share of the last minute's decisions; of a worker of a release that did not count, nothing is known."""
    if "decisions_60s" not in worker:
        return "unknown"
    decisions, without = worker["decisions_60s"], worker["without_features_60s"]
    return f"{without / decisions:.1%} of {decisions:,} in a minute" if decisions else "no decisions in a minute"


def _skew(skew_ms: int | None) -> str:
    return "simulated" if skew_ms is None else f"{skew_ms / 1000:+.3f} s"


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
