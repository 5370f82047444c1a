"""What the demo ends with, as JSON for programs and as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from decision_service.core.intervals import Interval

if TYPE_CHECKING:
    from rich.console import RenderableType

    from decision_service.audit import Report


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Mean reward per decision by group, over some decisions, and what an oracle had earned on TREATMENT's."""

    title: str
    groups: Mapping[str, Interval]
    oracle: float


@dataclass(frozen=True, slots=True)
class ModelOutcome:
    """A candidate model: in which week, of which program, and what the gate said."""

    week: int
    program: str
    version: str
    verdict: str
    why: str


@dataclass(frozen=True, slots=True)
class DemoResult:
    """The end of a demo.

    whole: all matured decisions. recent: those of the last quarter of the period. programs: each program's.
    weeks: week by week, the mean reward of TREATMENT and RANDOM_CONTROL and the oracle's.
    audit: of the whole warehouse. an_id: a decision worth explaining.
    """

    whole: GroupTable
    recent: GroupTable
    programs: Sequence[GroupTable]
    weeks: Sequence[GroupTable]
    audit: Report
    models: Sequence[ModelOutcome]
    seconds: float
    home: str
    tracking_uri: str
    an_id: str

    @property
    def decisions(self) -> int:
        """Rows of `decisions` in the warehouse."""
        return self.audit.section("duplicates").checked

    @property
    def missing(self) -> int:
        """Acknowledged decisions that are not among them."""
        return self.audit.section("missing").violations

    @property
    def duplicates(self) -> int:
        """Decisions that are there more than once."""
        return self.audit.section("duplicates").violations

    @property
    def promoted(self) -> list[ModelOutcome]:
        """Candidates that became champion."""
        return [model for model in self.models if model.verdict == "PROMOTE"]

    @property
    def held(self) -> list[ModelOutcome]:
        """Candidates that did not."""
        return [model for model in self.models if model.verdict != "PROMOTE"]

    def to_json(self) -> dict[str, object]:
        """The JSON object that `nba demo --json` ends with."""
        return {
            "decisions": self.decisions,
            "groups": _groups_json(self.whole),
            "oracle": _number(self.whole.oracle),
            "recent": {"groups": _groups_json(self.recent), "oracle": _number(self.recent.oracle)},
            "programs": {t.title: {"groups": _groups_json(t), "oracle": _number(t.oracle)} for t in self.programs},
            "weeks": [{"groups": _groups_json(t), "oracle": _number(t.oracle)} for t in self.weeks],
            "violations": self.audit.violations,
            "missing": self.missing,
            "duplicates": self.duplicates,
            "promoted": [_model_json(model) for model in self.promoted],
            "held": [_model_json(model) for model in self.held],
            "seconds": round(self.seconds, 1),
            "home": self.home,
            "explain": self.an_id,
        }


def render(result: DemoResult) -> RenderableType:
    """The result for people."""
    from rich.console import Group

    found = result.audit.violations
    return Group(
        _groups_table(result),
        "",
        _weeks_table(result.weeks),
        "",
        _models_table(result.models),
        "",
        f"decisions {result.decisions:,} · missing {result.missing} · duplicated {result.duplicates} · "
        f"violations of any guardrail {found:,} · {result.seconds:.0f} s",
        *result.audit.first,
        "",
        "where to look next",
        f"  the models      mlflow ui --backend-store-uri {result.tracking_uri}",
        f"  keep it running nba up --home {result.home}",
        f"  the guardrails  nba audit --home {result.home}",
        f"  then, why?      nba explain {result.an_id} --home {result.home}",
    )


def _groups_table(result: DemoResult) -> RenderableType:
    from rich.table import Table

    table = Table(title="Mean reward per decision (95 % interval)", title_justify="left", header_style="bold")
    table.add_column("group")
    shown = [("whole period", result.whole), ("last quarter", result.recent), *((t.title, t) for t in result.programs)]
    for title, _ in shown:
        table.add_column(title, justify="right")
    for name in result.whole.groups:
        table.add_row(name, *(_interval(part.groups.get(name)) for _, part in shown))
    table.add_section()
    table.add_row("oracle, on TREATMENT's", *(f"{part.oracle:.3f}" for _, part in shown))
    return table


def _weeks_table(weeks: Sequence[GroupTable]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Week by week", title_justify="left", header_style="bold")
    table.add_column("")
    for week in weeks:
        table.add_column(week.title, justify="right")
    for name in ("TREATMENT", "RANDOM_CONTROL"):
        table.add_row(name, *(f"{i.mean:.3f}" if (i := week.groups.get(name)) else "–" for week in weeks))
    table.add_row("oracle", *(f"{week.oracle:.3f}" for week in weeks))
    return table


def _models_table(models: Iterable[ModelOutcome]) -> RenderableType:
    from rich.table import Table

    table = Table(title="Models", title_justify="left", header_style="bold")
    for column in ("week", "program", "version", "verdict", "why"):
        table.add_column(column, overflow="fold")
    for model in models:
        table.add_row(str(model.week), model.program, model.version, model.verdict, model.why)
    return table


def _interval(value: Interval | None) -> str:
    return "–" if value is None else f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _groups_json(table: GroupTable) -> dict[str, object]:
    return {
        name: {"mean": _number(i.mean), "low": _number(i.low), "high": _number(i.high), "n": i.n}
        for name, i in table.groups.items()
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _model_json(model: ModelOutcome) -> dict[str, object]:
    return {
        "week": model.week,
        "program": model.program,
        "version": model.version,
        "verdict": model.verdict,
        "why": model.why,
    }
