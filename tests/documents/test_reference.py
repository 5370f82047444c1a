"""The pages that explain documents keep in step with the code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from decision_service.core.model.program import ContactPolicy
from decision_service.core.model.reasons import Reason
from decision_service.documents import build, parse_contact_policy, parse_program
from decision_service.documents.reference import keys, programs_page, reasons_page, schema_files
from decision_service.documents.rule_language import check_rule
from decision_service.documents.schema import ContactPolicyDocument, ProgramDocument
from decision_service.documents.source import read
from decision_service.documents.violations import model_of

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = (DOCS / "programs.md").read_text()
AROUND = {
    "name": "around",
    "features": {"service": "customer_v1"},
    "actions": [
        {"id": channel, "channel": channel, "message": channel, "tags": ["promotion"]}
        for channel in ("email", "sms", "push")
    ],
    "reward": {"outcomes": {"visit": 1}, "window": "1d"},
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PROGRAMS, re.DOTALL)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_yaml_example_is_valid(block: str) -> None:
    """Contact policies and whole programs as they are; parts of programs within one around them."""
    if block.startswith("# contact policy\n"):
        assert parse_contact_policy(block) != ContactPolicy()
        return
    part = yaml.load(block, yaml.BaseLoader)
    whole = block if "name" in part else yaml.safe_dump({k: v for k, v in AROUND.items() if k not in part}) + block
    assert parse_program(whole).actions


@pytest.mark.parametrize("rule", [line for block in blocks("cel") for line in block.splitlines()])
def test_every_rule_example_is_valid(rule: str) -> None:
    """The rules that people copy compile."""
    check_rule(rule)


@pytest.mark.parametrize(
    ("example", "model"), [("program.yaml", ProgramDocument), ("contact_policy.yaml", ContactPolicyDocument)]
)
def test_the_example_documents_show_every_key(example: str, model: type[ProgramDocument]) -> None:
    """Each key of the schema stands in the example, in the commented choices at least, and the example is valid."""
    text = (DOCS / "examples" / example).read_text()
    (parse_program if model is ProgramDocument else parse_contact_policy)(text)
    names = {path.rpartition(".")[2] for path, _ in keys(model)}
    assert {name for name in names if not re.search(rf"\b{name}\b", text)} == set()


@pytest.mark.parametrize("model", [ProgramDocument, ContactPolicyDocument])
def test_something_is_built_from_every_key(model: type[BaseModel]) -> None:
    """A key that is checked and documented, and then forgotten, would be a promise without effect."""
    source = Path(build.__file__).read_text()
    assert {name for name in fields_of(model) if not re.search(rf"\.{name}\b", source)} == set()


def fields_of(model: type[BaseModel]) -> Iterator[str]:
    """The attributes of a document and its parts."""
    for name, field in model.model_fields.items():
        yield name
        if inner := model_of(field.annotation):
            yield from fields_of(inner)


def test_the_published_schemas_follow_the_code() -> None:
    """The files are as generated."""
    published = {path.name: path.read_text() for path in (DOCS / "schemas").iterdir()}
    assert published == schema_files()


@pytest.mark.parametrize("name", ["program", "contact_policy"])
def test_the_examples_satisfy_the_schema_that_they_name(name: str) -> None:
    """Editors find it by the comment on the first line, and complain of nothing in the example."""
    example = DOCS / "examples" / f"{name}.yaml"
    text = example.read_text()
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert found
    validator = schema_of((example.parent / found[1]).resolve())
    assert [error.message for error in validator.iter_errors(read(text).data)] == []


@pytest.mark.parametrize(
    "part",
    [
        {"lease": "15 minutes"},
        {"cap": []},
        {"caps": [{"id": "c", "limit": 1}]},
        {"caps": [{"id": "c", "gap": "4h", "rolling": "7d"}]},
        {"budgets": [{"id": "b", "limit": 1, "money": 1}]},
        {"quiet_hours": [{"id": "q", "from": "22:00", "to": "24:30"}]},
        {"quiet_hours": [{"id": "q", "from": "22:00", "to": "08:00", "days": ["samstag"]}]},
        {"actions": [{"id": "a", "channel": "email", "message": "m", "ignores_caps": "some"}]},
        {"actions": [{"id": "a", "channel": "email", "message": "m", "cost": -1}]},
    ],
    ids=str,
)
def test_the_schema_finds_what_is_wrong_with_one_value(part: dict[str, object]) -> None:
    """Unknown keys, forms of values, and which keys exclude each other show while typing."""
    assert not schema_of(DOCS / "schemas" / "program.schema.json").is_valid({**AROUND, **part})


def schema_of(path: Path) -> jsonschema.Draft202012Validator:
    schema = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_tables_of_keys_follow_the_schema() -> None:
    """`python -m decision_service.documents.reference` would change nothing."""
    assert programs_page(PROGRAMS) == PROGRAMS
    assert all(field.description for model in (ProgramDocument, ContactPolicyDocument) for _, field in keys(model))


def test_the_page_of_reasons_follows_the_code() -> None:
    """It is as generated, and every reason says what can be done."""
    assert (DOCS / "reasons.md").read_text() == reasons_page()
    assert all(reason.meaning.endswith(".") and reason.remedy.endswith(".") for reason in Reason)


def test_the_glossary_has_the_words_of_the_code() -> None:
    """Every group, and the central nouns."""
    glossary = (DOCS / "glossary.md").read_text()
    for word in ("TREATMENT", "HOLDOUT", "probability", "predicted reward", "guardrail", "lease", "matured"):
        assert word in glossary
