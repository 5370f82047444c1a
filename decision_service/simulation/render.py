"""A simulation's report for people at a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from decision_service.core.intervals import Interval
from decision_service.simulation.report import ABSENT, FEASIBLE, Estimate, Row, SimulationReport

MOST_REASONS, MOST_CHANGES, MOST_ROWS = 20, 10, 15


def render(report: SimulationReport) -> RenderableType:
    """Tables of today beside the proposal, what changes, and the estimate in words."""
    parts: list[RenderableType] = [_headline(report)]
    parts.append(_rows("By action", "action", report.actions))
    if len(report.programs) > 1:
        parts.append(_rows("By program", "program", report.programs))
    if len(report.channels) > 1:
        parts.append(_rows("By channel", "channel", report.channels))
    if len(report.segments) > 1:
        parts.append(_rows("By segment (a customer may be in several)", "segment", report.segments))
    parts += [_rows(f"By {name}", name, rows) for name, rows in report.features.items()]
    parts.append(_reasons(report.total))
    if report.changes:
        parts.append(_changes(report))
    parts.append(_estimate(report.estimate))
    parts += [f"Note: {escape(note)}." for note in report.notes]
    return Group(*(part for part in parts))


def _headline(report: SimulationReport) -> str:
    policy = " and the proposed contact policy" if report.contact_policy_proposed else ""
    other = report.total.proposed.contacts - report.total.today.contacts
    contacts = f"{report.total.today.contacts:,} → {report.total.proposed.contacts:,} ({other:+,})"
    reach = f"{report.total.today.customers:,} → {report.total.proposed.customers:,}"
    lines = [
        f"[bold]{report.decisions:,} decisions of {_moment(report.from_ms)} to {_moment(report.until_ms)}, through the "
        f"proposed {escape(report.program)}{policy}[/bold]",
        f"Contacts {contacts}, customers reached {reach}. {report.other_choice:,} decisions would have chosen "
        f"otherwise, {report.other_history:,} would have met a customer with another history.",
    ]
    if report.lost_races:
        lines.append(
            f"{report.lost_races:,} lost their last slot to a decision made at the same time; that is left as it was."
        )
    return "\n".join((*lines, ""))


def _rows(title: str, what: str, rows: Sequence[Row]) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column(what, overflow="fold")
    sides = [f"{counted} {side}" for counted in ("contacts", "customers", "excluded") for side in ("today", "proposed")]
    for column in ("decisions", *sides):
        table.add_column(column, justify="right")
    for row in rows[:MOST_ROWS]:
        today, proposed = row.today, row.proposed
        table.add_row(
            escape(row.name),
            f"{max(today.decisions, proposed.decisions):,}",
            f"{today.contacts:,}",
            _beside(today.contacts, proposed.contacts),
            f"{today.customers:,}",
            _beside(today.customers, proposed.customers),
            f"{today.excluded:,}",
            _beside(today.excluded, proposed.excluded),
        )
    if len(rows) > MOST_ROWS:
        table.add_row(f"… {len(rows) - MOST_ROWS} more with --json", *[""] * 7)
    return table


def _beside(today: int, proposed: int) -> str:
    """The proposed number, with the difference where there is one."""
    return f"{proposed:,}" if today == proposed else f"{proposed:,} ({proposed - today:+,})"


def _reasons(total: Row) -> Table:
    table = Table(
        title="Excluded, by reason (docs/reasons.md says what to do)",
        title_justify="left",
        header_style="bold",
    )
    for column in ("reason", "guardrail"):
        table.add_column(column, overflow="fold")
    for column in ("today", "proposed"):
        table.add_column(column, justify="right")
    for excluded in total.exclusions[:MOST_REASONS]:
        table.add_row(
            excluded.reason,
            escape(excluded.guardrail),
            f"{excluded.today:,}",
            _beside(excluded.today, excluded.proposed),
        )
    if len(total.exclusions) > MOST_REASONS:
        table.add_row(f"… {len(total.exclusions) - MOST_REASONS} more with --json", "", "", "")
    return table


def _changes(report: SimulationReport) -> Table:
    table = Table(title="What changes most", title_justify="left", header_style="bold")
    for column in ("action", "today", "proposed"):
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
        reasons = "\n".join(f"  – {escape(reason)}." for reason in estimate.refused)
        today = f" Today it is {_within(estimate.today)}." if estimate.today else ""
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
    return rf"{interval.mean:{sign}.4g} \[{interval.low:{sign}.4g}, {interval.high:{sign}.4g}]"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
