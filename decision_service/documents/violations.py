"""What pydantic found wrong, in the words of people who write documents."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from decision_service.documents.fields import nearest, shown
from decision_service.documents.source import Location

_EXPECTED = {
    "string_type": "text; put quotes around it",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
}


def mistakes(error: ValidationError, model: type[BaseModel]) -> list[tuple[Location, str]]:
    """Location and message of each error."""
    return [_mistake(details, model) for details in error.errors(include_url=False)]


def _mistake(details: ErrorDetails, model: type[BaseModel]) -> tuple[Location, str]:
    location: Location = tuple(part for part in details["loc"] if part != "[key]")
    kind, limits, given = details["type"], details.get("ctx", {}), details["input"]
    match kind:
        case "extra_forbidden":
            return location, _unknown_key(str(location[-1]), known_keys(model, location[:-1]))
        case "missing":
            return location, f"is required: {_description(model, location)}"
        case "literal_error":
            return location, _unknown_choice(given, str(limits["expected"]))
        case "greater_than_equal":
            return location, f"{given} is too small; the least is {limits['ge']:g}"
        case "less_than_equal":
            return location, f"{given} is too large; the most is {limits['le']:g}"
        case "greater_than":
            return location, f"{given} is too small; it must be more than {limits['gt']:g}"
        case "too_short":
            return location, f"has {limits['actual_length']} items; the least is {limits['min_length']}"
        case "too_long":
            return location, f"has more items than the most, {limits['max_length']}"
    if kind in _EXPECTED:
        return location, f"{shown(given)} is not {_EXPECTED[kind]}"
    return location, details["msg"]


def _unknown_key(name: str, known: Mapping[str, FieldInfo]) -> str:
    return "unknown key" + (nearest(name, known) or "; known here: " + ", ".join(sorted(known)))


def _unknown_choice(given: object, expected: str) -> str:
    choices = [choice for choice in expected.replace(" or ", ", ").replace("'", "").split(", ") if choice]
    if len(choices) == 1:
        return f"{shown(given)} is not `{choices[0]}`, which is all that can be here"
    close = nearest(given.lower(), choices) if isinstance(given, str) else ""
    return f"{shown(given)} is none of {', '.join(choices)}{close}"


def _description(model: type[BaseModel], location: Location) -> str:
    return known_keys(model, location[:-1])[str(location[-1])].description or ""


def known_keys(model: type[BaseModel], location: Location) -> dict[str, FieldInfo]:
    """The keys, as written, of the part of a document at a location."""
    for part in location:
        if isinstance(part, str) and (field := keys_of(model).get(part)):
            model = model_of(field.annotation) or model
    return keys_of(model)


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of a part of a document, as written."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside a list, an optional or an annotated type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType, Annotated):
        return next((found for inner in get_args(annotation) if (found := model_of(inner))), None)
    return None
