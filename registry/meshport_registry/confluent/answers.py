"""Responses of Confluent's API: their media types, and their bodies for the OpenAPI document.

A handler makes its body itself, without the framework's validation. That a body is what its model says is tested by
requests that are generated from the document.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from meshport.product import Compatibility
from meshport_registry.negotiation import CONFLUENT_JSON
from meshport_registry.schemas import StoredSchema
from meshport_registry.subjects import Mode, SubjectVersion


class ConfluentJSON(JSONResponse):
    """A JSON response of Confluent's API. The middleware replaces its media type by the one that the client prefers."""

    media_type = CONFLUENT_JSON

    def render(self, content: Any) -> bytes:
        """Return the content as JSON."""
        return orjson.dumps(content)


class SchemaText(Response):
    """A response that is the text of a schema itself."""

    media_type = CONFLUENT_JSON


class ConfluentError(BaseModel):
    """The body of an error response.

    Attributes:
        error_code: Confluent's error code; the HTTP status of errors that have none.
        message: what was found, and what would be right.
    """

    error_code: int
    message: str


class ReferenceFacts(BaseModel):
    """A reference of a schema to a type that a version of another subject defines."""

    name: str
    subject: str
    version: int


class SchemaFacts(BaseModel):
    """A schema.

    Attributes:
        text: the author's own text, or with `format=resolved` the canonical form with references inlined.
        guid: the first 128 bits of the schema's fingerprint.
        references: what it refers to; left out if there is nothing.
    """

    text: str = Field(alias="schema")
    guid: str
    references: list[ReferenceFacts] = []


class SchemaById(SchemaFacts):
    """A schema, with the highest id of all schemas if `fetchMaxId` asked for it."""

    max_id: int | None = Field(default=None, alias="maxId")


class RegisteredSchemaFacts(SchemaFacts):
    """A schema with its id, and its version in the subject."""

    id: int
    version: int


class VersionFacts(RegisteredSchemaFacts):
    """A version of a subject."""

    subject: str


class SubjectVersionName(BaseModel):
    """A subject with the number of one of its versions."""

    subject: str
    version: int


class ContextSchemaId(BaseModel):
    """The id of a schema in a context."""

    context: Literal["."]
    id: int


class CompatibilityFacts(BaseModel):
    """Whether a schema is compatible, and with `verbose` why it is not."""

    is_compatible: bool
    messages: list[str] = []


class LevelFacts(BaseModel):
    """A compatibility level that is set."""

    level: Compatibility = Field(alias="compatibilityLevel")


class LevelSet(BaseModel):
    """A compatibility level as it was set; empty if none is."""

    level: Compatibility | None = Field(default=None, alias="compatibility")


class ModeFacts(BaseModel):
    """A mode that is set."""

    mode: Mode


class ModeSet(BaseModel):
    """The mode of the request as the client wrote it, or null if the request removed the mode."""

    mode: str | None = None


class ScopeClusters(BaseModel):
    """The clusters of a registry's scope."""

    kafka: str = Field(alias="kafka-cluster")
    registry: str = Field(alias="schema-registry-cluster")


class RegistryScope(BaseModel):
    """The scope of a registry's id."""

    path: list[str]
    clusters: ScopeClusters


class RegistryId(BaseModel):
    """The id of a registry."""

    id: str
    scope: RegistryScope


class RegistryVersion(BaseModel):
    """The version of a registry."""

    version: str
    commit: str = Field(alias="commitId")


def schema_facts(schema: StoredSchema, form: str = "") -> dict[str, Any]:
    """Return the fields of every answer about a schema.

    Args:
        schema: the schema.
        form: `resolved` for the canonical form with references inlined; any other format is the author's text, as in
            Confluent's registry.
    """
    return schema.facts | {"schema": schema_text(schema, form)}


def schema_text(schema: StoredSchema, form: str) -> str:
    """Return the text of a schema in a format; see `schema_facts`."""
    return schema.schema.text if form.strip().lower() == "resolved" else schema.text


def version_facts(subject: str, version: SubjectVersion, schema: StoredSchema, form: str = "") -> dict[str, Any]:
    """Return the fields of a response about one version of a subject."""
    return {"subject": subject, "id": schema.id, "version": version.number} | schema_facts(schema, form)


_DESCRIPTIONS: Final = {
    400: "The body cannot be read as JSON, or the path is not well encoded.",
    404: "A subject (40401), version (40402) or schema (40403) does not exist, or the path, or a number in it, is not valid.",
    406: "The client accepts none of the media types of this API.",
    409: "The schema is incompatible with an earlier one.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "The schema (42201), version (42202), level (42203), mode (42204), subject (42208) or rule set (42210) is invalid, "
    "the operation is not permitted (42205), or a reference exists (42206).",
    500: "The database did not answer (50001).",
    503: "Too many writes are waiting (50002).",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error responses of a route for the OpenAPI document: those of every route, and the given ones."""
    every = {400, 404, 406, 422, 500, 503, *statuses}
    return {status: {"model": ConfluentError, "description": _DESCRIPTIONS[status]} for status in sorted(every)}


READS: Final = error_responses()
"""The errors of a route that takes no body."""
TAKES_BODY: Final = error_responses(409, 413, 415)
"""The errors of a route that takes a body."""
