"""Routes of subjects and their versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection

from meshport_registry import schema_registration
from meshport_registry.confluent.bodies import (
    ConfluentJSON,
    Database,
    Deleted,
    Flag,
    Paged,
    SchemaBody,
    SubjectName,
    VersionNumber,
    candidate_of,
    version_facts,
)
from meshport_registry.errors import SubjectNotFound
from meshport_registry.judging import Judged, write_judged
from meshport_registry.middleware import CONFLUENT_JSON
from meshport_registry.schemas import StoredSchema
from meshport_registry.subject_deletion import delete_subject, delete_version
from meshport_registry.subjects import (
    find_history,
    find_registered,
    find_version,
    list_subjects,
    list_versions,
    parse_version,
    referenced_by,
)
from meshport_registry.values import BoundedRoute

router = APIRouter(route_class=BoundedRoute, default_response_class=ConfluentJSON, tags=["Confluent"])


@router.get("/subjects")
async def subjects(
    store: Database,
    page: Paged,
    subject_prefix: Annotated[str, Query(alias="subjectPrefix")] = "",
    deleted: Deleted = False,
    deleted_only: Annotated[bool, Query(alias="deletedOnly")] = False,
) -> Any:
    """Names of the subjects."""
    found = await store.read(
        lambda c: list_subjects(c, prefix=subject_prefix, deleted=deleted, deleted_only=deleted_only)
    )
    return ConfluentJSON(page.of(found))


@router.post("/subjects/{subject}")
async def look_up(store: Database, subject: SubjectName, body: SchemaBody, deleted: Deleted = False) -> Any:
    """The version under which a schema is registered."""
    if not await store.read(lambda c: find_history(c, subject).versions):
        raise SubjectNotFound(f"subject '{subject}' not found")
    candidate = await candidate_of(store, body)
    found = await store.read(lambda c: find_registered(c, subject, candidate, deleted=deleted))
    return ConfluentJSON(version_facts(subject, *found))


@router.delete("/subjects/{subject}")
async def remove_subject(store: Database, subject: SubjectName, permanent: Flag = False) -> Any:
    """Delete a subject: softly, or with `permanent` one that is soft deleted."""
    return ConfluentJSON(await store.write(lambda c: delete_subject(c, subject, permanent=permanent)))


@router.get("/subjects/{subject}/versions")
async def subject_versions(
    store: Database,
    subject: SubjectName,
    page: Paged,
    deleted: Deleted = False,
    deleted_only: Annotated[bool, Query(alias="deletedOnly")] = False,
) -> Any:
    """The version numbers of a subject."""
    found = await store.read(lambda c: list_versions(c, subject, deleted=deleted, deleted_only=deleted_only))
    return ConfluentJSON(page.of(found))


@router.post("/subjects/{subject}/versions")
async def register_schema(store: Database, subject: SubjectName, body: SchemaBody) -> Any:
    """Register a schema. Registering the same schema again returns the id that it has."""
    candidate = await candidate_of(store, body)
    wanted_id, wanted_version = (number if number and number > 0 else None for number in (body.id, body.version))

    def work(connection: Connection, judged: Judged) -> dict[str, Any]:
        done = schema_registration.register_schema(
            connection, subject, candidate, judged, wanted_id=wanted_id, wanted_version=wanted_version
        )
        schema = StoredSchema(done.id, candidate.text, candidate.schema, candidate.references, 0)
        return {"id": done.id, "version": done.version} | schema.facts

    return ConfluentJSON(await write_judged(store, work))


@router.get("/subjects/{subject}/versions/{version}")
async def subject_version(
    store: Database, subject: SubjectName, version: VersionNumber, deleted: Deleted = False
) -> Any:
    """One version of a subject."""
    number = parse_version(version)
    found = await store.read(lambda c: find_version(c, subject, number, deleted=deleted))
    return ConfluentJSON(version_facts(subject, *found))


@router.get("/subjects/{subject}/versions/{version}/schema")
async def subject_version_text(
    store: Database, subject: SubjectName, version: VersionNumber, deleted: Deleted = False
) -> Any:
    """The text of the schema of one version, without other fields."""
    number = parse_version(version)
    _, schema = await store.read(lambda c: find_version(c, subject, number, deleted=deleted))
    return Response(schema.text, media_type=CONFLUENT_JSON)


@router.get("/subjects/{subject}/versions/{version}/referencedby")
async def version_referenced_by(store: Database, subject: SubjectName, version: VersionNumber, page: Paged) -> Any:
    """The ids of the schemas that refer to a version."""
    number = parse_version(version)

    def work(connection: Connection) -> list[int]:
        found, _ = find_version(connection, subject, number, deleted=True)
        return referenced_by(connection, subject, [found.number])

    return ConfluentJSON(page.of(await store.read(work)))


@router.delete("/subjects/{subject}/versions/{version}")
async def remove_version(store: Database, subject: SubjectName, version: VersionNumber, permanent: Flag = False) -> Any:
    """Delete a version: softly, or with `permanent` one that is soft deleted."""
    number = parse_version(version)
    return ConfluentJSON(await store.write(lambda c: delete_version(c, subject, number, permanent=permanent)))
