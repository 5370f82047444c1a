"""A simulation's report for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from decision_service.core.estimation.intervals import Interval
from decision_service.simulation.report import ABSENT, FEASIBLE, Estimate, Row, SimulationReport

MOST_REASONS, MOST_CHANGES, MOST_ROWS = 20, 10, 20


def render(report: SimulationReport) -> RenderableType:
    """Tables of today beside the proposal, what changes, and the estimate in words."""
    parts: list[RenderableType] = [_headline(report), *_actions(report)]
    for what, rows in (("program", report.programs), ("channel", report.channels), ("segment", report.segments)):
        if len(rows) > 1:
            parts.append(_rows(f"By {what}", what, rows))
    parts += [_rows(f"By {name}", name, rows) for name, rows in report.features.items()]
    parts += _reasons(report)
    if report.changes:
        parts.append(_changes(report))
    parts.append(_estimate(report.estimate))
    parts += [f"Note: {escape(note)}." for note in report.notes]
    return Group(*parts)


def _headline(report: SimulationReport) -> str:
    policy = " and the proposed contact policy" if report.contact_policy_proposed else ""
    total = report.total
    lines = [
        f"[bold]{report.decisions:,} decisions of {_moment(report.from_ms)} to {_moment(report.until_ms)}, replayed "
        f"through the proposed {escape(report.program)}{policy}[/bold]",
        f"Contacts {_beside(total.today.contacts, total.proposed.contacts)}, customers reached "
        f"{_beside(total.today.customers, total.proposed.customers)}. {report.other_choice:,} decisions would have "
        f"chosen otherwise; {report.other_history:,} would have met a customer with another history.",
    ]
    if report.lost_races:
        lines.append(
            f"{report.lost_races:,} lost their last slot to a decision made at the same time; that is left as it was."
        )
    lines.append("Where something changes: today → proposed.\n")
    return "\n".join(lines)


def _actions(report: SimulationReport) -> list[RenderableType]:
    """The program's own actions, and those of other programs that its contacts, slots and budgets touch."""
    own = [row for row in report.actions if row.name.startswith(f"{report.program}/")]
    others = [row for row in report.actions if row not in own]
    touched = [row for row in others if row.today != row.proposed]
    parts: list[RenderableType] = [_rows("By action", "action", [*own, *touched])] if own or touched else []
    if untouched := len(others) - len(touched):
        parts.append(f"{untouched} actions of other programs are as today.\n")
    return parts


def _rows(title: str, what: str, rows: Sequence[Row]) -> Table:
    table = _table(title)
    table.add_column(what, no_wrap=True)
    for column in ("decisions", "contacts", "customers reached", "excluded"):
        table.add_column(column, justify="right")
    for row in rows[:MOST_ROWS]:
        today, proposed = row.today, row.proposed
        table.add_row(
            escape(row.name),
            _beside(today.decisions, proposed.decisions),
            _beside(today.contacts, proposed.contacts),
            _beside(today.customers, proposed.customers),
            _beside(today.excluded, proposed.excluded),
        )
    if len(rows) > MOST_ROWS:
        table.add_row(f"… {len(rows) - MOST_ROWS} more with --json", "", "", "", "")
    return table


def _reasons(report: SimulationReport) -> list[RenderableType]:
    """Of the program, every reason; of the others, those that change."""
    tables: list[RenderableType] = []
    others = _table("Excluded from other programs, where it changes")
    for column in ("program", "reason", "guardrail"):
        others.add_column(column, overflow="fold")
    others.add_column("times", justify="right")
    for row in report.programs:
        if row.name != report.program:
            for excluded in [e for e in row.exclusions if e.today != e.proposed][:MOST_REASONS]:
                times = _beside(excluded.today, excluded.proposed)
                others.add_row(escape(row.name), excluded.reason, escape(excluded.guardrail), times)
            continue
        table = _table(f"Excluded from {escape(row.name)}, by reason")
        for column in ("reason", "guardrail"):
            table.add_column(column, overflow="fold")
        table.add_column("times", justify="right")
        for excluded in row.exclusions[:MOST_REASONS]:
            times = _beside(excluded.today, excluded.proposed)
            table.add_row(excluded.reason, escape(excluded.guardrail), times)
        if len(row.exclusions) > MOST_REASONS:
            table.add_row(f"… {len(row.exclusions) - MOST_REASONS} more with --json", "", "")
        tables.append(table)
    return [*tables, others] if others.row_count else tables


def _changes(report: SimulationReport) -> Table:
    table = _table("What changes most")
    table.add_column("action", no_wrap=True)
    for column in ("today", "proposed"):
        table.add_column(column, overflow="fold")
    table.add_column("decisions", justify="right")
    for change in report.changes[:MOST_CHANGES]:
        table.add_row(
            escape(f"{change.program}/{change.action}"),
            _fate(change.today, change.today_guardrail),
            _fate(change.proposed, change.proposed_guardrail),
            f"{change.decisions:,}",
        )
    return table


def _fate(reason: str, guardrail: str) -> str:
    if reason == FEASIBLE:
        return "could be chosen"
    if reason == ABSENT:
        return "not in the program"
    return escape(f"{reason} {guardrail}".strip())


def _estimate(estimate: Estimate) -> str:
    if estimate.refused:
        today = f" Today it is {_within(estimate.today)}." if estimate.today else ""
        reasons = "\n".join(f"  – {escape(reason)}." for reason in estimate.refused)
        return f"[bold]Reward per decision: no estimate.[/bold]{today}\n{reasons}"
    assert estimate.today is not None
    assert estimate.proposed is not None
    assert estimate.difference is not None
    assert estimate.effective_sample_size is not None
    lines = [
        f"[bold]Reward per decision: today {_within(estimate.today)}, proposed {_within(estimate.proposed)}.[/bold]",
        f"Difference {_within(estimate.difference, '+')}: {_verdict(estimate.difference)}. {estimate.confidence:.0%} "
        f"intervals, from {estimate.rows:,} matured decisions, worth {estimate.effective_sample_size:,.0f} that were "
        "drawn as proposed.",
        *(f"  – {escape(caution)}." for caution in estimate.cautions),
    ]
    return "\n".join(lines)


def _verdict(difference: Interval) -> str:
    if difference.low > 0:
        return "the proposal earns more"
    if difference.high < 0:
        return "the proposal earns less"
    if difference.low == difference.high == 0:
        return "nothing changes"
    return "the log cannot tell them apart"


def _within(interval: Interval, sign: str = "") -> str:
    return escape(interval.text(f"{sign}.4g"))


def _beside(today: int, proposed: int) -> str:
    return f"{today:,}" if today == proposed else f"{today:,} → {proposed:,}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="bold")


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
