"""The table of settings in docs/operations.md, made from the code: `python -m tests.architecture.settings_table`."""

from __future__ import annotations

import re
from pathlib import Path

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from decision_service.operation.settings import REPOSITORY, Settings

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN, END = "<!-- generated: settings -->\n", "<!-- end -->"


def page(text: str) -> str:
    """The page with the table as it should be."""
    return re.sub(f"(?<={BEGIN}).*?(?={END})", lambda _: f"\n{table()}\n", text, flags=re.DOTALL)


def table() -> str:
    """One row per setting, in their order."""
    rows = ["| setting | variable | default | range, unit | meaning |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        cells = (f"`{name}`", f"`NBA_{name.upper()}`", _default(field), _range(name, field), field.description or "")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    value = field.default
    assert value is not PydanticUndefined
    if isinstance(value, Path) and value.is_absolute():
        value = value.relative_to(REPOSITORY)
    if value is None or value == "":
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _range(name: str, field: FieldInfo) -> str:
    parts = []
    for bound in field.metadata:
        match bound:
            case annotated_types.Ge(ge=limit):
                parts.append(f"≥ {limit}")
            case annotated_types.Gt(gt=limit):
                parts.append(f"> {limit}")
            case annotated_types.Le(le=limit):
                parts.append(f"≤ {limit}")
    unit = {"s": "seconds", "ms": "milliseconds"}.get(name.rpartition("_")[2], "")
    return ", ".join([*parts, unit] if unit else parts)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
