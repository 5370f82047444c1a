"""JSON Schema of documents, for editors to complete and check. It says less than parsing checks."""

from __future__ import annotations

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from decision_service.documents.schema import ContactPolicyDocument, ProgramDocument


class _Readable(GenerateJsonSchema):
    """Without what editors would only show as noise: titles made of names, and defaults that people do not write."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  pydantic's signature
        """Never."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults of single values; those of whole parts are the defaults of their keys."""
        if isinstance(schema.get("default"), (BaseModel, frozenset)) or schema.get("default") == "{}":
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def program_json_schema() -> dict[str, object]:
    """JSON Schema of programs."""
    return _schema(ProgramDocument, "Program")


def contact_policy_json_schema() -> dict[str, object]:
    """JSON Schema of contact policies."""
    return _schema(ContactPolicyDocument, "Contact policy")


def _schema(model: type[BaseModel], title: str) -> dict[str, object]:
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(schema_generator=_Readable),
        "title": title,
    }
