"""Request bodies, parameters and responses of Confluent's API."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import unquote

import orjson
from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from meshport.compat.judgement import SchemaReading
from meshport_registry.errors import InvalidRuleSet, InvalidSchema
from meshport_registry.middleware import CONFLUENT_JSON
from meshport_registry.response_cache import SchemaResponseCache
from meshport_registry.schemas import (
    CandidateSchema,
    Reference,
    StoredSchema,
    find_references,
    plain,
    read_plain,
    referenced_types,
)
from meshport_registry.store import RegistryStore
from meshport_registry.subjects import SubjectVersion, parse_subject
from meshport_registry.values import MAX_REFERENCES, Int, JavaCount, JavaLimit

_T = TypeVar("_T")
# Parsing 4 kB takes about 100 microseconds, as much as a call of a thread.
_SMALL_SCHEMA: Final = 4096


class ConfluentJSON(Response):
    """A JSON response in Confluent's media type. It ignores `Accept`: every client reads this type, none expects a 406."""

    media_type = CONFLUENT_JSON

    def render(self, content: Any) -> bytes:
        """Return the content as JSON."""
        return orjson.dumps(content)


class SchemaReference(BaseModel):
    """A reference in Confluent's format."""

    name: str
    subject: str
    version: Int


class SchemaBody(BaseModel):
    """A schema in Confluent's format. A field that is `null` counts as absent."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore")

    text: str = Field(alias="schema")
    kind: str | None = Field(default=None, alias="schemaType")
    references: Annotated[list[SchemaReference], Field(max_length=MAX_REFERENCES)] | None = None
    id: Int | None = None
    version: Int | None = None
    metadata: dict[str, Any] | None = None
    rules: dict[str, Any] | None = Field(default=None, alias="ruleSet")

    def check(self) -> tuple[Reference, ...]:
        """Return the references, after refusing everything that this registry would not keep.

        Raises:
            InvalidSchema: the schema is not Avro, or comes with metadata.
            InvalidRuleSet: the schema comes with a rule set.
        """
        if (self.kind or "AVRO").upper() != "AVRO":
            raise InvalidSchema(f"schemas of type {self.kind} are not taken", hint="data products have Avro contracts")
        if self.rules and any(self.rules.values()):
            raise InvalidRuleSet("a rule set would not be applied by this registry", hint="send no ruleSet")
        if self.metadata and any(self.metadata.values()):
            raise InvalidSchema("metadata is not kept by this registry", hint="send no metadata")
        given = (Reference(each.name, parse_subject(each.subject), each.version) for each in self.references or ())
        references = tuple(dict.fromkeys(given))  # one that is given twice is one
        names = [each.name for each in references]
        if doubled := next((each for each in names if names.count(each) > 1), None):
            raise InvalidSchema(f"the references lead from {doubled!r} to two versions", hint="one reference a name")
        return references


class LevelBody(BaseModel):
    """The body of `PUT /config`."""

    compatibility: str | None = None


class ModeBody(BaseModel):
    """The body of `PUT /mode`."""

    mode: str


@dataclass(frozen=True, slots=True)
class Page:
    """The requested page of a list. Confluent's clients send `limit=-1` for the whole list."""

    offset: JavaCount = 0
    limit: JavaLimit = -1

    def of(self, items: list[_T]) -> list[_T]:
        """Return the page of a list."""
        return items[self.offset :] if self.limit < 0 else items[self.offset : self.offset + self.limit]


# Coroutines, although they await nothing: the framework runs a plain function in a thread.
async def _store(request: Request) -> RegistryStore:
    store: RegistryStore = request.app.state.store
    return store


async def _schemas(request: Request) -> SchemaResponseCache:
    schemas: SchemaResponseCache = request.app.state.schemas
    return schemas


Database = Annotated[RegistryStore, Depends(_store)]
# Routes match the path as the client sent it, so that a subject may contain a slash (`%2F`).
SubjectName = Annotated[str, Path(), AfterValidator(lambda text: parse_subject(unquote(text)))]
VersionNumber = Annotated[str, Path(description="a version number, `latest` or `-1`")]
Flag = Annotated[bool, Query()]
Deleted = Annotated[bool, Query(description="include what is soft deleted")]
Paged = Annotated[Page, Depends()]
Schemas = Annotated[SchemaResponseCache, Depends(_schemas)]


async def candidate_of(store: RegistryStore, body: SchemaBody) -> CandidateSchema:
    """Parse the schema of a request.

    Raises:
        SchemaError: the text is not valid Avro.
        InvalidSchema: the schema is of another type than Avro, or a reference cannot be resolved.
        InvalidRuleSet: the schema comes with a rule set.
    """
    references = body.check()
    if not references:
        return (
            read_plain(body.text)
            if len(body.text) < _SMALL_SCHEMA
            else plain(await store.judge(SchemaReading(body.text)))
        )

    def find(connection: Connection) -> tuple[tuple[int, ...], SchemaReading]:
        ids = find_references(connection, references)
        return ids, SchemaReading(body.text, *referenced_types(connection, ids))

    ids, reading = await store.read(find)
    schema = await store.judge(reading)
    compact = json.dumps(json.loads(body.text), ensure_ascii=False, separators=(",", ":"))
    return CandidateSchema(compact, schema, references, ids)


def version_facts(subject: str, version: SubjectVersion, schema: StoredSchema) -> dict[str, Any]:
    """Return the fields of a response about one version of a subject."""
    return {"subject": subject, "id": schema.id, "version": version.number} | schema.facts
