"""Routes of subjects and their versions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from meshport_registry import schema_registration
from meshport_registry.confluent.answers import (
    READS,
    TAKES_BODY,
    ConfluentJSON,
    RegisteredSchemaFacts,
    SchemaText,
    VersionFacts,
    schema_facts,
    schema_text,
    version_facts,
)
from meshport_registry.confluent.bodies import SchemaBody, candidate_of, references_of
from meshport_registry.confluent.parameters import (
    Deleted,
    DeletedOnly,
    Flag,
    Format,
    NewSubjectName,
    Paged,
    Prefix,
    SubjectName,
    VersionNumber,
)
from meshport_registry.errors import InvalidSchema, SchemaNotFound
from meshport_registry.judging import Judged, write_judged
from meshport_registry.negotiation import CONFLUENT_CHECKS, CONFLUENT_JSON
from meshport_registry.schemas import StoredSchema, load
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.subject_deletion import delete_subject, delete_version
from meshport_registry.subject_names import LATEST
from meshport_registry.subjects import (
    find_history,
    find_registered,
    find_version,
    list_subjects,
    list_versions,
    referenced_by,
)
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, default_response_class=ConfluentJSON, dependencies=CONFLUENT_CHECKS, tags=["Confluent"]
)
MOST_SUBJECTS: Final = 20_000
"""Names of one list: the default and the maximum of Confluent's (`subject.search.default.limit`, `subject.search.max.limit`)."""
# Names that are in memory at once; each has up to 500 characters.
_AT_ONCE: Final = 1_000
Normalize = Annotated[Flag, Query(description="store the canonical form in place of the author's text")]
Permanent = Annotated[Flag, Query(description="delete permanently what is soft deleted")]


@router.get("/subjects", response_model=list[str], responses=READS)
async def subjects(
    store: Database, page: Paged, prefix: Prefix = "", deleted: Deleted = False, deleted_only: DeletedOnly = False
) -> Any:
    """Names of the subjects, 20,000 at most."""
    limit = page.size(MOST_SUBJECTS)
    read = partial(list_subjects, prefix=prefix, deleted=deleted, deleted_only=deleted_only)
    found = await store.read(partial(read, offset=page.offset, limit=min(limit, _AT_ONCE)))
    if len(found) < _AT_ONCE:
        return ConfluentJSON(found)
    return StreamingResponse(_in_parts(store, found, read, limit), media_type=CONFLUENT_JSON)


async def _in_parts(
    store: RegistryStore, names: list[str], read: Callable[..., list[str]], limit: int
) -> AsyncIterator[bytes]:
    """Yield the JSON list of names part by part; one is read once the client has taken the one before."""
    opening = b"["
    while names:
        yield opening + orjson.dumps(names)[1:-1]
        opening = b","
        limit -= len(names)
        names = await store.read(partial(read, after=names[-1], limit=min(limit, _AT_ONCE))) if limit else []
    yield b"]"


@router.post("/subjects/{subject}", response_model=VersionFacts, responses=TAKES_BODY)
async def look_up(
    store: Database,
    subject: SubjectName,
    body: SchemaBody,
    *,
    deleted: Deleted = False,
    form: Format = "",
    normalize: Flag = False,  # noqa: ARG001 - documented: a schema is found by its canonical form
) -> Any:
    """The version under which a schema is registered."""
    if body.is_empty:
        body.check()
        await store.read(lambda c: list_versions(c, subject, deleted=deleted))
        raise SchemaNotFound("Schema not found", hint="the request has none")
    candidate = await candidate_of(store, body)
    found = await store.read(lambda c: find_registered(c, subject, candidate, deleted=deleted))
    return ConfluentJSON(version_facts(subject, *found, form))


@router.delete("/subjects/{subject}", response_model=list[int], responses=READS)
async def remove_subject(store: Database, subject: SubjectName, permanent: Permanent = False) -> Any:
    """Delete a subject: softly, or with `permanent` one that is soft deleted."""
    return ConfluentJSON(await store.write(lambda c: delete_subject(c, subject, permanent=permanent)))


@router.get("/subjects/{subject}/versions", response_model=list[int], responses=READS)
async def subject_versions(
    store: Database,
    subject: SubjectName,
    page: Paged,
    *,
    deleted: Deleted = False,
    deleted_only: DeletedOnly = False,
    negative: Annotated[Flag, Query(alias="deletedAsNegative", description="with a minus before deleted ones")] = False,
) -> Any:
    """The version numbers of a subject."""

    def work(connection: Connection) -> list[int]:
        found = list_versions(connection, subject, deleted=deleted, deleted_only=deleted_only)
        if not negative:
            return found
        return [-each.number if each.deleted else each.number for each in find_history(connection, subject).versions]

    return ConfluentJSON(page.of(await store.read(work)))


@router.post("/subjects/{subject}/versions", response_model=RegisteredSchemaFacts, responses=TAKES_BODY)
async def register_schema(
    store: Database, subject: NewSubjectName, body: SchemaBody, normalize: Normalize = False, form: Format = ""
) -> Any:
    """Register a schema. Registering the same schema again returns the id that it has.

    A body without a schema registers the newest one again.
    """
    if body.is_empty:
        body.check()
        newest = await store.read(lambda c: _newest(c, subject))
        body = body.model_copy(update={"text": newest.text, "references": references_of(newest)})
    candidate = await candidate_of(store, body)
    if normalize:
        candidate = candidate.normalized

    def work(connection: Connection, judged: Judged) -> dict[str, Any]:
        done = schema_registration.register_schema(
            connection, subject, candidate, judged, wanted_id=body.wanted_id, wanted_version=body.wanted_version
        )
        stored = load(connection, [done.id])[done.id]
        return {"id": done.id, "version": done.version} | schema_facts(stored, form)

    return ConfluentJSON(await write_judged(store, work))


def _newest(connection: Connection, subject: str) -> StoredSchema:
    newest = find_history(connection, subject).find(LATEST)
    if newest is None:
        raise InvalidSchema("Empty schema")
    return load(connection, [newest.schema_id])[newest.schema_id]


@router.get("/subjects/{subject}/versions/{version}", response_model=VersionFacts, responses=READS)
async def subject_version(
    store: Database, subject: SubjectName, version: VersionNumber, deleted: Deleted = False, form: Format = ""
) -> Any:
    """One version of a subject."""
    found = await store.read(lambda c: find_version(c, subject, version, deleted=deleted))
    return ConfluentJSON(version_facts(subject, *found, form))


@router.get("/subjects/{subject}/versions/{version}/schema", response_model=Any, responses=READS)
async def subject_version_text(
    store: Database, subject: SubjectName, version: VersionNumber, deleted: Deleted = False, form: Format = ""
) -> Any:
    """The text of the schema of one version, without other fields."""
    _, schema = await store.read(lambda c: find_version(c, subject, version, deleted=deleted))
    return SchemaText(schema_text(schema, form))


@router.get("/subjects/{subject}/versions/{version}/referencedby", response_model=list[int], responses=READS)
async def version_referenced_by(
    store: Database, subject: SubjectName, version: VersionNumber, page: Paged, deleted: Deleted = False
) -> Any:
    """The ids of the schemas that refer to a version, which may be soft deleted."""

    def work(connection: Connection) -> list[int]:
        found, _ = find_version(connection, subject, version, deleted=True)
        return referenced_by(connection, subject, [found.number], deleted=deleted)

    return ConfluentJSON(page.of(await store.read(work)))


@router.delete("/subjects/{subject}/versions/{version}", response_model=int, responses=READS)
async def remove_version(
    store: Database, subject: SubjectName, version: VersionNumber, permanent: Permanent = False
) -> Any:
    """Delete a version: softly, or with `permanent` one that is soft deleted."""
    return ConfluentJSON(await store.write(lambda c: delete_version(c, subject, version, permanent=permanent)))
