"""What an audit found, as JSON for programs and as a table and sentences for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

SHOWN = 20
"""Violations of one section that are put into words, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Section:
    """One law, checked.

    checked: how many `unit` were judged. violations: how many broke it; `first` says the first of them in words.
    to_check: what the warehouse alone cannot tell right from wrong. notes: what helps to read the numbers.
    """

    name: str
    unit: str
    checked: int
    violations: int = 0
    first: tuple[str, ...] = ()
    to_check: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As a JSON object."""
        return {
            "checked": self.checked,
            "unit": self.unit,
            "violations": self.violations,
            "first": list(self.first),
            "to_check": list(self.to_check),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """All sections, in the order of the table."""

    sections: tuple[Section, ...]

    @property
    def violations(self) -> int:
        """Of all sections."""
        return sum(section.violations for section in self.sections)

    @property
    def first(self) -> list[str]:
        """The first violations of every section, in words."""
        return [f"{section.name}: {words}" for section in self.sections for words in section.first]

    def section(self, name: str) -> Section:
        """The section of a name."""
        return next(section for section in self.sections if section.name == name)

    def to_json(self) -> dict[str, object]:
        """The JSON object that `nba audit --json` prints."""
        return {"violations": self.violations, "sections": {s.name: s.to_json() for s in self.sections}}


def render(report: Report) -> RenderableType:
    """The report for people."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Audit of the warehouse", title_justify="left", header_style="bold")
    table.add_column("law")
    for column in ("checked", "violations", "to be checked"):
        table.add_column(column, justify="right")
    for section in report.sections:
        table.add_row(
            section.name, f"{section.checked:,} {section.unit}", f"{section.violations:,}", f"{len(section.to_check):,}"
        )
    lines: list[str] = []
    for section in report.sections:
        lines += _listed(f"{section.name}: {section.violations:,} violations", section.first, section.violations)
        lines += _listed(f"{section.name}: to be checked", section.to_check[:SHOWN], len(section.to_check))
        lines += [f"{section.name}: {note}" for note in section.notes]
    return Group(table, *(escape(line) for line in lines))


def _listed(title: str, shown: Sequence[str], total: int) -> list[str]:
    if not total:
        return []
    more = [f"  … and {total - len(shown):,} more"] if total > len(shown) else []
    return [title, *(f"  {words}" for words in shown), *more]
