"""What the demo ends with, as JSON for programs and as tables for people."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from decision_service.core.estimation.intervals import Interval
from decision_service.warehouse.comparison import GROUPS, QUESTIONS

if TYPE_CHECKING:
    from rich.console import RenderableType

    from decision_service.audit import Report
    from decision_service.demo.audit import Brought
    from decision_service.demo.guardrails import AtWork

PROPOSALS = Path(__file__).parent / "proposals"
"""Documents that change what the demo published, for simulating and publishing them."""


@dataclass(frozen=True, slots=True)
class GroupTable:
    """Mean reward per decision by group, over some decisions, and what an oracle had earned on TREATMENT's.

    It tells how learning goes. A decision is booked on the program that made it, so this compares no groups.
    """

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

    whole: what each program's customers brought, over the whole period. recent: in its last quarter.
    weeks: week by week, per decision, the mean reward of TREATMENT and RANDOM_CONTROL and the oracle's.
    guardrails: what they did. audit: of the whole warehouse. an_id, a_customer: a decision worth explaining, and whose
    it is; empty without one. simulate_from: a day from which on a simulation has enough to say.
    """

    whole: Sequence[Brought]
    recent: Sequence[Brought]
    weeks: Sequence[GroupTable]
    guardrails: AtWork
    audit: Report
    models: Sequence[ModelOutcome]
    seconds: float
    home: str
    tracking_uri: str
    an_id: str
    a_customer: str
    simulate_from: str

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
            "programs": _brought_json(self.whole),
            "recent": _brought_json(self.recent),
            "weeks": [{"groups": _groups_json(t), "oracle": _number(t.oracle)} for t in self.weeks],
            "guardrails": asdict(self.guardrails),
            "audit": {s.name: {"checked": s.checked, "violations": s.violations} for s in self.audit.sections},
            "violations": self.audit.violations,
            "missing": self.missing,
            "duplicates": self.duplicates,
            "promoted": [_model_json(model) for model in self.promoted],
            "held": [_model_json(model) for model in self.held],
            "seconds": round(self.seconds, 1),
            "home": self.home,
            "explain": self.an_id,
            "customer": self.a_customer,
        }


def render(result: DemoResult) -> RenderableType:
    """The result for people."""
    from rich.console import Group

    from decision_service.audit import render as audited

    return Group(
        _brought_table("Reward per customer, whole period (95 % interval)", result.whole),
        "",
        _brought_table("The same in the last quarter", result.recent),
        "",
        _weeks_table(result.weeks),
        "",
        _models_table(result.models),
        "",
        _kept_back_table(result.guardrails),
        "",
        _spent_table(result.guardrails),
        *_competed(result.guardrails),
        "",
        audited(result.audit),
        "",
        f"decisions {result.decisions:,} · missing {result.missing} · duplicated {result.duplicates} · "
        f"violations of any guardrail {result.audit.violations:,} · {result.seconds:.0f} s",
        "",
        *next_commands(result),
    )


def next_commands(result: DemoResult) -> list[str]:
    """What to type next, on the home that the demo leaves behind; none breaks where a terminal is narrow."""
    home = shlex.quote(_beside(result.home))
    proposal = shlex.quote(_beside(str(PROPOSALS / "win_back.yaml")))
    lines = [
        "Where to look next",
        f"  nba results --home {home}",
        f"  nba simulate -f {proposal} --home {home} --from {result.simulate_from}",
        f"  nba audit --home {home}",
        f"  mlflow ui --backend-store-uri {result.tracking_uri}",
        f"  nba up --home {home}",
    ]
    if result.an_id:
        customer = result.a_customer
        lines[1:1] = [f"  nba explain {result.an_id} --home {home}", f"  nba timeline {customer} --home {home}"]
        lines += [
            "and, while that runs, in another terminal",
            f"  nba customer {customer} --home {home}",
            f"  nba decide --customer {customer} --all --dry-run --home {home}",
        ]
    return [*lines, "docs/tour.md goes on from there."]


def _beside(path: str) -> str:
    """As seen from the working directory, if it is below it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _kept_back_table(guardrails: AtWork) -> RenderableType:
    from rich.table import Table

    table = Table(title="What guardrails kept back", title_justify="left", header_style="bold")
    for column in ("reason", "guardrail"):
        table.add_column(column, overflow="fold")
    for column in ("actions", "customers"):
        table.add_column(column, justify="right")
    before = ""
    for kept in guardrails.kept_back:
        reason = "" if kept.reason == before else kept.reason
        table.add_row(reason, kept.guardrail, f"{kept.actions:,}", f"{kept.customers:,}")
        before = kept.reason
    return table


def _spent_table(guardrails: AtWork) -> RenderableType:
    from rich.table import Table

    table = Table(title="Budgets", title_justify="left", header_style="bold")
    for column in ("budget", "of"):
        table.add_column(column, overflow="fold")
    for column in ("limit", "most in one", "in all"):
        table.add_column(column, justify="right")
    for spent in guardrails.spent:
        digits = 2 if spent.in_money else 0
        limit, fullest, total = (f"{amount:,.{digits}f}" for amount in (spent.limit, spent.fullest, spent.total))
        table.add_row(spent.budget, spent.owner, f"{limit} a {spent.per}", fullest, total)
    return table


def _competed(guardrails: AtWork) -> list[str]:
    if not guardrails.competed:
        return []
    total = sum(guardrails.competed.values())
    won = ", ".join(f"{program} {count}" for program, count in guardrails.competed.items())
    return ["", f"Programs competed in {total:,} requests that named several. The winners: {won}."]


def _brought_table(title: str, programs: Sequence[Brought]) -> RenderableType:
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("group")
    compared = [brought.comparison for brought in programs]
    for comparison in compared:
        table.add_column(comparison.program, justify="right")
    for name in GROUPS:
        of_each = [comparison.group(name) for comparison in compared]
        if any(of_each):
            table.add_row(name, *(_interval(group.reward if group else None) for group in of_each))
    table.add_section()
    for pair in QUESTIONS:
        differences = [c.difference(*pair) for c in compared]
        if any(differences):
            table.add_row(f"{pair[0]} − {pair[1]}", *(_interval(d.reward if d else None) for d in differences))
    table.add_section()
    table.add_row("oracle, for TREATMENT", *(f"{brought.oracle:.3f}" for brought in programs))
    return table


def _weeks_table(weeks: Sequence[GroupTable]) -> RenderableType:
    from rich.table import Table

    table = Table(
        title="Week by week, per decision: how learning goes, no comparison of groups",
        title_justify="left",
        header_style="bold",
    )
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
    from rich.markup import escape

    return "–" if value is None else escape(value.text(".3f"))


def _brought_json(programs: Sequence[Brought]) -> dict[str, object]:
    return {b.comparison.program: {**b.comparison.to_json(), "oracle": _number(b.oracle)} for b in programs}


def _groups_json(table: GroupTable) -> dict[str, object]:
    return {
        name: {"mean": _number(i.mean), "low": _number(i.low), "high": _number(i.high), "n": i.n}
        | ({"withheld": i.withheld} if i.withheld else {})
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
