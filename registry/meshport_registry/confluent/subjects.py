"""Subjects and their versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection

from meshport_registry.confluent.bodies import (
    ConfluentJSON,
    Database,
    Deleted,
    Flag,
    Name,
    Number,
    Paged,
    SchemaBody,
    candidate_of,
    read_text,
    version_facts,
)
from meshport_registry.contracts import Contract, read_candidate
from meshport_registry.errors import SubjectNotFound
from meshport_registry.front import CONFLUENT_JSON
from meshport_registry.registration import delete_subject, delete_version, register
from meshport_registry.subjects import (
    find_history,
    find_version,
    list_subjects,
    lookup,
    referenced_by,
    version_of,
    versions,
)

router = APIRouter(default_response_class=ConfluentJSON, tags=["Confluent"])


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
async def look_up(store: Database, subject: Name, body: SchemaBody, deleted: Deleted = False) -> Any:
    """The version under which a schema is registered."""
    if not await store.read(lambda c: find_history(c, subject).versions):
        raise SubjectNotFound(f"subject '{subject}' not found")
    candidate = await candidate_of(store, body)
    found = await store.read(lambda c: lookup(c, subject, candidate, deleted=deleted))
    return ConfluentJSON(version_facts(subject, *found))


@router.delete("/subjects/{subject}")
async def remove_subject(store: Database, subject: Name, permanent: Flag = False) -> Any:
    """Delete a subject: softly, then with `permanent` for good."""
    return ConfluentJSON(await store.write(lambda c: delete_subject(c, subject, permanent=permanent)))


@router.get("/subjects/{subject}/versions")
async def subject_versions(
    store: Database,
    subject: Name,
    page: Paged,
    deleted: Deleted = False,
    deleted_only: Annotated[bool, Query(alias="deletedOnly")] = False,
) -> Any:
    """The version numbers of a subject."""
    found = await store.read(lambda c: versions(c, subject, deleted=deleted, deleted_only=deleted_only))
    return ConfluentJSON(page.of(found))


@router.post("/subjects/{subject}/versions")
async def register_schema(store: Database, subject: Name, body: SchemaBody) -> Any:
    """Register a schema; the same schema again is answered with the id that it has."""
    references = body.check()
    if not references:
        await read_text(store, body.text)  # what cannot be read never waits for the writer
    wanted_id, wanted_version = (number if number and number > 0 else None for number in (body.id, body.version))

    def work(connection: Connection) -> dict[str, Any]:
        done = register(connection, subject, body.text, references, wanted_id=wanted_id, wanted_version=wanted_version)
        candidate = read_candidate(connection, body.text, references)
        contract = Contract(done.id, candidate.text, candidate.schema, candidate.references, 0)
        return {"id": done.id, "version": done.version} | contract.facts

    return ConfluentJSON(await store.write(work))


@router.get("/subjects/{subject}/versions/{version}")
async def subject_version(store: Database, subject: Name, version: Number, deleted: Deleted = False) -> Any:
    """One version of a subject."""
    number = version_of(version)
    found = await store.read(lambda c: find_version(c, subject, number, deleted=deleted))
    return ConfluentJSON(version_facts(subject, *found))


@router.get("/subjects/{subject}/versions/{version}/schema")
async def subject_version_text(store: Database, subject: Name, version: Number, deleted: Deleted = False) -> Any:
    """The bare schema of one version."""
    number = version_of(version)
    _, contract = await store.read(lambda c: find_version(c, subject, number, deleted=deleted))
    return Response(contract.text, media_type=CONFLUENT_JSON)


@router.get("/subjects/{subject}/versions/{version}/referencedby")
async def version_referenced_by(store: Database, subject: Name, version: Number, page: Paged) -> Any:
    """Ids of the schemas that refer to a version."""
    number = version_of(version)

    def work(connection: Connection) -> list[int]:
        found, _ = find_version(connection, subject, number, deleted=True)
        return referenced_by(connection, subject, [found.number])

    return ConfluentJSON(page.of(await store.read(work)))


@router.delete("/subjects/{subject}/versions/{version}")
async def remove_version(store: Database, subject: Name, version: Number, permanent: Flag = False) -> Any:
    """Delete a version: softly, then with `permanent` for good."""
    number = version_of(version)
    return ConfluentJSON(await store.write(lambda c: delete_version(c, subject, number, permanent=permanent)))
