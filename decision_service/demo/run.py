"""`nba demo`: a retailer's simulated weeks through the whole product, and an audit of what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from decision_service.core.guardrails.caps import DAY_MS
from decision_service.demo import audit
from decision_service.demo.guardrails import at_work, worth_explaining
from decision_service.demo.journeys import Journeys
from decision_service.demo.report import DemoResult, GroupTable, ModelOutcome
from decision_service.demo.retailer import Retailer, RetailerConfig
from decision_service.demo.runner import JourneyRunner
from decision_service.demo.source_tables import SourceTables
from decision_service.operation.sandbox import Progress, Sandbox, silent
from decision_service.operation.settings import Settings

PROGRAMS = Path(__file__).parent / "programs"
POLICY = "contact_policy.yaml"
NIGHT_JOBS_EVERY_DAYS = 7
LEARN_FROM_DAY = 14
LEARNED_DAYS = 21
"""Tastes change halfway: older decisions would teach what is no longer so."""
SIMULATED_DAYS = 21
REWARD_WINDOW_DAYS = 3
AUTHOR = "nba demo"


def start_for(days: int, now_ms: int) -> int:
    """When to start so that everything is over by now: UTC midnight, epoch milliseconds.

    What the demo leaves behind then goes on where it ended.
    """
    return now_ms // DAY_MS * DAY_MS - (days + REWARD_WINDOW_DAYS + 1) * DAY_MS


def run_demo(
    settings: Settings,
    progress: Progress = silent,
    config: RetailerConfig | None = None,
    home: Path | None = None,
) -> DemoResult:
    """Simulate, learn, and audit from the warehouse. Everything it starts has ended when it returns.

    Args:
        config: size, length and seed of the simulation.
        home: an empty folder, or one of an earlier demo, which is emptied; `home/demo` of the settings by default.

    Raises:
        InvalidRequest: `home` holds other things.
        Unavailable: a part did not come up.
    """
    started = time.monotonic()
    config = config or RetailerConfig()
    progress("starting", 0, 2)
    retailer = Retailer(config)
    with Sandbox(settings, home or settings.home / "demo", config.at(0)) as sandbox:
        tables = SourceTables(sandbox.warehouse)
        tables.write(retailer, 0, config.at(0))
        sandbox.build_features()
        progress("starting", 1, 2)
        sandbox.start()
        _publish(sandbox)
        progress("starting", 2, 2)
        runner = JourneyRunner(sandbox.client, sandbox.clock, retailer, Journeys())
        try:
            for day in range(config.days):
                _before_a_day(sandbox, tables, retailer, day)
                runner.live_day(day)
                progress("days", day + 1, config.days)
            runner.pass_until(config.at(config.days + REWARD_WINDOW_DAYS + 1))
        finally:
            runner.close()
        progress("audit", 0, 1)
        sandbox.drain()
        tables.write(retailer, config.days, sandbox.clock.now_ms())
        sandbox.build_features()
        sandbox.join()
        result = _audit(sandbox, runner, config, started)
        progress("audit", 1, 1)
    return result


def _publish(sandbox: Sandbox) -> None:
    sandbox.client.apply_contact_policy((PROGRAMS / POLICY).read_text(), AUTHOR)
    names = [
        sandbox.client.apply_program(path.read_text(), AUTHOR)[0]
        for path in sorted(PROGRAMS.glob("*.yaml"))
        if path.name != POLICY
    ]
    sandbox.await_programs(names)


def _before_a_day(sandbox: Sandbox, tables: SourceTables, retailer: Retailer, day: int) -> None:
    """What the warehouse's jobs do at night, once a week: sources, features, and models once there is enough."""
    from training.pipeline import Plan

    if day == 0 or day % NIGHT_JOBS_EVERY_DAYS:
        return
    sandbox.drain()
    tables.write(retailer, day, sandbox.clock.now_ms())
    sandbox.build_features()
    if day >= LEARN_FROM_DAY:
        sandbox.learn(Plan(window_s=LEARNED_DAYS * 86_400))


def _audit(sandbox: Sandbox, runner: JourneyRunner, config: RetailerConfig, started: float) -> DemoResult:
    published = sandbox.published()
    actions = {name: {a.id: a for a in program.all_actions} for name, program in published.programs.items()}
    decisions = audit.earned(sandbox.warehouse, actions, runner.truths)
    weeks = -(-config.days // 7)
    an_id, a_customer = worth_explaining(sandbox.warehouse)
    return DemoResult(
        whole=audit.brought(sandbox.warehouse, decisions),
        recent=audit.brought(sandbox.warehouse, decisions, round(config.at(config.days * 0.75))),
        weeks=[
            _table(str(week + 1), [d for d in decisions if (d.decided_at_ms - config.start_ms) // (7 * DAY_MS) == week])
            for week in range(weeks)
        ],
        guardrails=at_work(sandbox.warehouse, published),
        audit=sandbox.audit(runner.acknowledged),
        models=[
            ModelOutcome((run.at_ms - config.start_ms) // (7 * DAY_MS), run.program, run.version, run.verdict, run.note)
            for run in sandbox.training_runs()
        ],
        seconds=time.monotonic() - started,
        home=str(sandbox.home),
        tracking_uri=sandbox.settings.tracking_uri,
        an_id=an_id,
        a_customer=a_customer,
        simulate_from=_day(config.at(max(config.days - SIMULATED_DAYS, 0))),
    )


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _table(title: str, decisions: Sequence[audit.Earned]) -> GroupTable:
    return GroupTable(title, audit.group_values(decisions), audit.oracle_value(decisions))
