"""Programs and contact policies as people write them, YAML or JSON, to the core's frozen types.

Every mistake of a document is told at once, with its path, line and fix; a document with mistakes gives nothing.

Imports the core and the ports; used by the application, adapters, simulation, audit, `operation` and `cli`. Begin with
`schema`, then `build`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from decision_service.core.model.errors import InvalidRequest
from decision_service.core.model.program import BucketRange, ContactPolicy, Program, ProgramState
from decision_service.documents import bounds, build, checks, violations
from decision_service.documents.json_schemas import contact_policy_json_schema, program_json_schema
from decision_service.documents.schema import ContactPolicyDocument, ProgramDocument
from decision_service.documents.source import Data, read
from decision_service.documents.surroundings import Surroundings

__all__ = [
    "Surroundings",
    "contact_policy_json_schema",
    "is_contact_policy",
    "keeping_pause",
    "normalise",
    "parse_contact_policy",
    "parse_program",
    "program_json_schema",
    "stored_program",
    "with_state",
]

_Model = TypeVar("_Model", bound=BaseModel)


def parse_program(text: str, version: int = 0, beside: Surroundings | None = None) -> Program:
    """The program that YAML or JSON text describes; checked against its surroundings too, where they are given.

    Its groups are dealt as those of a first version: which buckets they have after others is decided when it is
    published (`core.guardrails.groups.following`).

    Raises:
        InvalidRequest: with every mistake; `field` is a path and line, such as `actions[2].channel (line 14)`.
    """

    def check(data: Data) -> Iterator[checks.Mistake]:
        yield from checks.program_mistakes(data)
        yield from bounds.mistakes(data)
        if beside is not None:
            yield from beside.mistakes(data)

    return build.program(_parse(text, ProgramDocument, check), version)


def stored_program(text: str, version: int, ranges: tuple[BucketRange, ...] = ()) -> Program:
    """A program as it was published, with the buckets that its groups were given; `bounds` no longer matter.

    Raises:
        InvalidRequest: as `parse_program`.
    """
    program = build.program(_parse(text, ProgramDocument, checks.program_mistakes), version)
    return replace(program, groups=replace(program.groups, ranges=ranges))


def parse_contact_policy(text: str, version: int = 0) -> ContactPolicy:
    """The contact policy that YAML or JSON text describes.

    Raises:
        InvalidRequest: with every mistake; `field` is a path and line, such as `caps[2].limit (line 14)`.
    """
    return build.contact_policy(_parse(text, ContactPolicyDocument, checks.contact_policy_mistakes), version)


def is_contact_policy(text: str) -> bool:
    """Whether a document is a contact policy and not a program: it has none of the keys that only programs need.

    Raises:
        InvalidRequest: it is not YAML or JSON.
    """
    required = {name for name, field in ProgramDocument.model_fields.items() if field.is_required()}
    return not required & set(read(text).data)


def normalise(text: str) -> str:
    """Canonical JSON of a document: the same for the same content, whatever its layout, comments and key order.

    Raises:
        InvalidRequest: it is not YAML or JSON.
    """
    return json.dumps(read(text).data, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def with_state(text: str, state: ProgramState) -> str:
    """A program's document in another state; LIVE, the default, is not written.

    Raises:
        InvalidRequest: it is not YAML or JSON.
    """
    data = {name: value for name, value in read(text).data.items() if name != "state"}
    if state is not ProgramState.LIVE:
        data["state"] = state.value
    return json.dumps(data, ensure_ascii=False)


def keeping_pause(text: str, latest: str | None) -> str:
    """A program's document as it follows the latest one: paused if that is, unless the text itself names a state. So a
    new text, or an old one, lifts no pause by the way.

    Raises:
        InvalidRequest: it is not YAML or JSON.
    """
    if latest is None or "state" in read(text).data or read(latest).data.get("state") != ProgramState.PAUSED:
        return text
    return with_state(text, ProgramState.PAUSED)


def _parse(text: str, model: type[_Model], check: Callable[[Data], Iterable[checks.Mistake]]) -> _Model:
    source = read(text)
    data = dict(source.data)
    document, mistakes = None, list(check(data))
    try:
        document = model.model_validate(data)
    except ValidationError as error:
        mistakes += violations.mistakes(error, model)
    if document is None or mistakes:
        raise InvalidRequest(source.violations(mistakes))
    return document
