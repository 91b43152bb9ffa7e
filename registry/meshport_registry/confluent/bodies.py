"""What goes in and out of Confluent's API: bodies, parameters, answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import unquote

import orjson
from fastapi import Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from meshport_registry.answers import SchemaAnswers
from meshport_registry.contracts import Candidate, Contract, Reference, read_candidate, read_plain
from meshport_registry.errors import InvalidRuleSet, InvalidSchema
from meshport_registry.front import CONFLUENT_JSON
from meshport_registry.store import Store
from meshport_registry.subjects import Version, subject_of

_T = TypeVar("_T")
# Some 100 microseconds; a thread costs as much to ask.
_SMALL: Final = 4096


class ConfluentJSON(Response):
    """An answer in Confluent's media type, whatever `Accept` asks for: every client takes it, none takes a 406."""

    media_type = CONFLUENT_JSON

    def render(self, content: Any) -> bytes:
        """JSON."""
        return orjson.dumps(content)


class SchemaReference(BaseModel):
    """A reference as Confluent writes it."""

    name: str
    subject: str
    version: int


class SchemaBody(BaseModel):
    """A schema as a client sends it; `null` is as good as absent."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore")

    text: str = Field(alias="schema")
    kind: str | None = Field(default=None, alias="schemaType")
    references: list[SchemaReference] | None = None
    id: int | None = None
    version: int | None = None
    metadata: dict[str, Any] | None = None
    rules: dict[str, Any] | None = Field(default=None, alias="ruleSet")

    def check(self) -> tuple[Reference, ...]:
        """The references, once it is sure that nothing else was sent which this registry would lose.

        Raises:
            InvalidSchema: it is not Avro, or carries metadata.
            InvalidRuleSet: it carries rules.
        """
        if (self.kind or "AVRO").upper() != "AVRO":
            raise InvalidSchema(f"schemas of type {self.kind} are not taken", hint="data products have Avro contracts")
        if self.rules and any(self.rules.values()):
            raise InvalidRuleSet("a rule set would not be applied by this registry", hint="send no ruleSet")
        if self.metadata and any(self.metadata.values()):
            raise InvalidSchema("metadata is not kept by this registry", hint="send no metadata")
        return tuple(Reference(each.name, subject_of(each.subject), each.version) for each in self.references or ())


class LevelBody(BaseModel):
    """A level as `PUT /config` takes it."""

    compatibility: str | None = None


class ModeBody(BaseModel):
    """A mode as `PUT /mode` takes it."""

    mode: str


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that is asked for; Confluent's clients send `limit=-1` for all of it."""

    offset: Annotated[int, Query(ge=0)] = 0
    limit: Annotated[int, Query(ge=-1)] = -1

    def of(self, items: list[_T]) -> list[_T]:
        """That part."""
        return items[self.offset :] if self.limit < 0 else items[self.offset : self.offset + self.limit]


# Coroutines, though they wait for nothing: the framework runs plain functions in a thread each.
async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


async def _schemas(request: Request) -> SchemaAnswers:
    schemas: SchemaAnswers = request.app.state.schemas
    return schemas


Database = Annotated[Store, Depends(_store)]
# Paths are matched as they were sent, so that a subject may hold a slash (`%2F`).
Name = Annotated[str, Path(), AfterValidator(lambda text: subject_of(unquote(text)))]
Number = Annotated[str, Path(description="a version number, `latest` or `-1`")]
Flag = Annotated[bool, Query()]
Deleted = Annotated[bool, Query(description="count what is soft deleted")]
Paged = Annotated[Page, Depends()]
Kept = Annotated[SchemaAnswers, Depends(_schemas)]


async def candidate_of(store: Store, body: SchemaBody) -> Candidate:
    """The schema that a client sent.

    Raises:
        SchemaError: it is no valid Avro.
        InvalidSchema: it is not Avro at all, or a reference leads nowhere.
    """
    references = body.check()
    if references:
        return await store.read(lambda connection: read_candidate(connection, body.text, references))
    return await read_text(store, body.text)


async def read_text(store: Store, text: str) -> Candidate:
    """A schema without references; a small one is read at once, a large one would hold up other requests.

    Raises:
        SchemaError: it is no valid Avro.
    """
    return read_plain(text) if len(text) < _SMALL else await store.compute(lambda: read_plain(text))


def version_facts(subject: str, version: Version, contract: Contract) -> dict[str, Any]:
    """What an answer says about one version of a subject."""
    return {"subject": subject, "id": contract.id, "version": version.number} | contract.facts
