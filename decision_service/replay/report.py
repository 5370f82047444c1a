"""The result of a replay, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decision_service.replay.result import Estimate, ReplayResult

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(result: ReplayResult) -> RenderableType:
    """Values, models and soundness."""
    from rich.console import Group
    from rich.table import Table

    table = Table(title=f"{result.dataset}: mean {result.reward} per customer (95 % interval)", title_justify="left")
    table.add_column("policy")
    for column in ("value", "rows", "effective"):
        table.add_column(column, justify="right")
    table.add_row("served, exploration included", *_cells(result.served_value))
    table.add_row("final champion, second half", *_cells(result.champion_value))
    table.add_row("champion at half time, second half", *_cells(result.midway_value))
    table.add_section()
    table.add_row("uniform", *_cells(result.uniform_value))
    for action, value in result.fixed_values.items():
        table.add_row(f"always {action}", *_cells(value))
    models = Table(title="Models", title_justify="left")
    for column in ("after rows", "version", "verdict", "why"):
        models.add_column(column, overflow="fold")
    for step in result.steps:
        models.add_row(f"{step.after_rows:,}", step.version, step.verdict, "; ".join(step.reasons))
    return Group(
        table,
        "",
        models,
        "",
        f"rows {result.rows:,} · presented {result.presented:,} · decisions {result.decisions:,} · matched "
        f"{result.matched:,} · missing {result.missing} · duplicated {result.duplicates} · drawn against logged "
        f"probabilities p = {result.chi_square_p:.2f} · {result.seconds:.0f} s",
    )


def _cells(value: Estimate | None) -> tuple[str, str, str]:
    if value is None:
        return "–", "", ""
    from rich.markup import escape

    of = value.interval
    shown = value.refusal if of is None else escape(of.text(".4f"))
    return shown, f"{value.matched:,}", f"{value.effective_rows:,.0f}"
