"""The result of a replay, as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from decision_service.core.estimation.intervals import Interval
from decision_service.replay.result import ReplayResult

if TYPE_CHECKING:
    from rich.console import RenderableType


def render(result: ReplayResult) -> RenderableType:
    """Values, models and soundness."""
    from rich.console import Group
    from rich.table import Table

    table = Table(title=f"{result.dataset}: mean {result.reward} per customer (95 % interval)", title_justify="left")
    table.add_column("policy")
    table.add_column("value", justify="right")
    table.add_row("served, exploration included", _interval(result.served_value))
    table.add_row("final champion, second half", _interval(result.champion_value))
    table.add_row("champion at half time, second half", _interval(result.midway_value))
    table.add_section()
    table.add_row("uniform", _interval(result.uniform_value))
    for action, value in result.fixed_values.items():
        table.add_row(f"always {action}", _interval(value))
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
        f"decisions {result.decisions:,} · matched {result.matched:,} · missing {result.missing} · "
        f"duplicated {result.duplicates} · drawn against logged probabilities p = {result.chi_square_p:.2f} · "
        f"{result.seconds:.0f} s",
    )


def _interval(value: Interval | None) -> str:
    from rich.markup import escape

    return "–" if value is None else escape(value.text(".4f"))
