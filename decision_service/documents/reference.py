"""The pages of `docs/` that follow from the code: `python -m decision_service.documents.reference` rewrites them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from decision_service.core.model.reasons import Reason
from decision_service.documents import contact_policy_json_schema, program_json_schema
from decision_service.documents.schema import ContactPolicyDocument, ProgramDocument
from decision_service.documents.violations import keys_of, model_of

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BEGIN, _END = "<!-- generated: {} -->\n", "<!-- end -->"


def reasons_page() -> str:
    """`docs/reasons.md`, from `core.model.reasons`."""
    rows = "\n".join(f"| `{reason.value}` | {reason.meaning} | {reason.remedy} |" for reason in Reason)
    return (
        "# Reasons\n\n"
        "Why an action was excluded, or what was particular about an answer. The same names stand in the API, the\n"
        "decision log, metrics and the console. `nba explain <decision id>` shows those of one decision.\n\n"
        "This page is generated from `decision_service/core/model/reasons.py`.\n\n"
        f"| reason | meaning | what to do |\n|---|---|---|\n{rows}\n"
    )


def programs_page(page: str) -> str:
    """`docs/programs.md` with its tables of keys brought into step with the schema."""
    for title, model in (("program", ProgramDocument), ("contact policy", ContactPolicyDocument)):
        begin = _BEGIN.format(title)
        before, found, rest = page.partition(begin)
        _, ended, after = rest.partition(_END)
        if not found or not ended:
            raise ValueError(f"docs/programs.md lacks {begin.strip()} or {_END}")
        page = f"{before}{begin}\n{_table(model)}\n{_END}{after}"
    return page


def schema_files() -> dict[str, str]:
    """The JSON Schemas that are published below `docs/schemas`, by file name."""
    schemas = {"program": program_json_schema(), "contact_policy": contact_policy_json_schema()}
    return {
        f"{name}.schema.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas.items()
    }


def keys(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every key of a document, by its path: `actions[].channel`."""
    for name, field in keys_of(model).items():
        yield prefix + name, field
        if inner := model_of(field.annotation):
            is_list = "list[" in str(field.annotation)
            yield from keys(inner, f"{prefix}{name}{'[]' if is_list else ''}.")


def _table(model: type[BaseModel]) -> str:
    rows = "\n".join(f"| `{path}` | {_default(field)} | {field.description} |" for path, field in keys(model))
    return f"| key | default | meaning |\n|---|---|---|\n{rows}\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default in (None, [], {}, frozenset(), "", "{}") or isinstance(field.default, BaseModel):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def main() -> None:
    """Rewrite the pages that are not as they should be, and say which."""
    programs = DOCS / "programs.md"
    pages = {DOCS / "reasons.md": reasons_page(), programs: programs_page(programs.read_text())}
    pages |= {DOCS / "schemas" / name: text for name, text in schema_files().items()}
    changed = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    for path in changed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(pages[path])
        print(f"rewrote {path.relative_to(DOCS.parent)}")


if __name__ == "__main__":
    main()
