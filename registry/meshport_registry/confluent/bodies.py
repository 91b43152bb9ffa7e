"""Request bodies, parameters and responses of Confluent's API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import unquote

import orjson
from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from meshport_registry.errors import InvalidRuleSet, InvalidSchema
from meshport_registry.middleware import CONFLUENT_JSON
from meshport_registry.response_cache import SchemaResponseCache
from meshport_registry.schemas import CandidateSchema, Reference, StoredSchema, read_candidate, read_plain
from meshport_registry.store import RegistryStore
from meshport_registry.subjects import SubjectVersion, parse_subject

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
    version: int


class SchemaBody(BaseModel):
    """A schema in Confluent's format. A field that is `null` counts as absent."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore")

    text: str = Field(alias="schema")
    kind: str | None = Field(default=None, alias="schemaType")
    references: list[SchemaReference] | None = None
    id: int | None = None
    version: int | None = None
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
        return tuple(Reference(each.name, parse_subject(each.subject), each.version) for each in self.references or ())


class LevelBody(BaseModel):
    """The body of `PUT /config`."""

    compatibility: str | None = None


class ModeBody(BaseModel):
    """The body of `PUT /mode`."""

    mode: str


@dataclass(frozen=True, slots=True)
class Page:
    """The requested page of a list. Confluent's clients send `limit=-1` for the whole list."""

    offset: Annotated[int, Query(ge=0)] = 0
    limit: Annotated[int, Query(ge=-1)] = -1

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
    if references:
        return await store.read(lambda connection: read_candidate(connection, body.text, references))
    return await read_text(store, body.text)


async def read_text(store: RegistryStore, text: str) -> CandidateSchema:
    """Parse a schema that has no references; a large one in a thread, because it would delay other requests.

    Raises:
        SchemaError: the text is not valid Avro.
    """
    return read_plain(text) if len(text) < _SMALL_SCHEMA else await store.compute(lambda: read_plain(text))


def version_facts(subject: str, version: SubjectVersion, schema: StoredSchema) -> dict[str, Any]:
    """Return the fields of a response about one version of a subject."""
    return {"subject": subject, "id": schema.id, "version": version.number} | schema.facts
