"""Routes of schemas, by id and by GUID."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from sqlalchemy import Connection, func, select

from meshport_registry import tables
from meshport_registry.confluent.answers import (
    READS,
    ConfluentJSON,
    ContextSchemaId,
    SchemaById,
    SchemaFacts,
    SchemaText,
    SubjectVersionName,
    VersionFacts,
    schema_facts,
    schema_text,
    version_facts,
)
from meshport_registry.confluent.parameters import Deleted, Flag, Format, Paged, Prefix
from meshport_registry.errors import SchemaNotFound
from meshport_registry.negotiation import CONFLUENT_CHECKS, CONFLUENT_JSON
from meshport_registry.schemas import StoredSchema, load, stored_schema
from meshport_registry.state import Database, Schemas
from meshport_registry.store import RegistryStore
from meshport_registry.subjects import SubjectVersion, list_schemas, versions_using
from meshport_registry.values import BoundedRoute, SchemaId

router = APIRouter(
    route_class=BoundedRoute, default_response_class=ConfluentJSON, dependencies=CONFLUENT_CHECKS, tags=["Confluent"]
)
MOST_SCHEMAS: Final = 1000
"""Schemas of one list: the default and the maximum of Confluent's (`schema.search.default.limit`, `schema.search.max.limit`)."""
# Schemas whose texts are in memory at once; each has up to 2 MB as it was written, and 1 MB in canonical form.
_AT_ONCE: Final = 8
OfSubject = Annotated[str, Query(description="only what this subject has")]


@router.get("/schemas/types", response_model=list[str], responses=READS)
async def schema_types() -> Any:
    """The schema types that this registry accepts."""
    return ConfluentJSON(["AVRO"])


@router.get("/schemas", response_model=list[VersionFacts], responses=READS)
async def schemas(
    store: Database,
    page: Paged,
    prefix: Prefix = "",
    deleted: Deleted = False,
    latest_only: Annotated[Flag, Query(alias="latestOnly", description="the newest version of each subject")] = False,
) -> Any:
    """Schemas with their subjects and versions, a thousand at most."""
    limit = page.size(MOST_SCHEMAS)
    found = await store.read(
        lambda connection: list_schemas(
            connection, prefix=prefix, deleted=deleted, latest=latest_only, offset=page.offset, limit=limit
        )
    )
    if len(found) <= _AT_ONCE:
        return ConfluentJSON(await store.read(lambda c: _with_texts(c, found)))
    return StreamingResponse(_in_parts(store, found), media_type=CONFLUENT_JSON)


def _with_texts(connection: Connection, versions: list[tuple[str, SubjectVersion]]) -> list[dict[str, Any]]:
    texts = load(connection, [version.schema_id for _, version in versions])
    return [version_facts(name, version, texts[version.schema_id]) for name, version in versions]


async def _in_parts(store: RegistryStore, versions: list[tuple[str, SubjectVersion]]) -> AsyncIterator[bytes]:
    """Yield the JSON list of versions part by part; the texts of one are read once the client has taken the one before."""
    opening = b"["
    for start in range(0, len(versions), _AT_ONCE):
        facts = await store.read(partial(_with_texts, versions=versions[start : start + _AT_ONCE]))
        yield opening + orjson.dumps(facts)[1:-1]
        opening = b","
    yield b"]"


@router.get("/schemas/ids/{schema_id}", response_model=SchemaById, responses=READS)
async def schema_by_id(
    store: Database,
    cached: Schemas,
    schema_id: SchemaId,
    max_id: Annotated[Flag, Query(alias="fetchMaxId", description="add the highest id of all schemas")] = False,
    form: Format = "",
) -> Any:
    """A schema by its id. It stays readable after its subject is deleted, because records still name it."""
    body = await cached.body(schema_id)
    if not max_id and not form:
        return Response(body, media_type=CONFLUENT_JSON)

    def read(connection: Connection) -> dict[str, Any]:
        facts = schema_facts(_schema(connection, schema_id), form)
        if max_id:
            facts["maxId"] = connection.execute(select(func.max(tables.schema.c.id))).scalar()
        return facts

    return ConfluentJSON(await store.read(read))


@router.get("/schemas/ids/{schema_id}/schema", response_model=Any, responses=READS)
async def schema_text_by_id(store: Database, schema_id: SchemaId, form: Format = "") -> Any:
    """The text of a schema, without other fields."""
    return SchemaText(schema_text(await store.read(lambda c: _schema(c, schema_id)), form))


def _schema(connection: Connection, schema_id: int) -> StoredSchema:
    found = load(connection, [schema_id]).get(schema_id)
    if found is None:
        raise SchemaNotFound(f"Schema {schema_id} not found")
    return found


@router.get("/schemas/ids/{schema_id}/subjects", response_model=list[str], responses=READS)
async def subjects_of_schema(
    store: Database, schema_id: SchemaId, page: Paged, subject: OfSubject = "", deleted: Deleted = False
) -> Any:
    """The subjects that have a schema."""
    found = await store.read(lambda c: versions_using(c, schema_id, subject=subject, deleted=deleted))
    return ConfluentJSON(page.of(list(dict.fromkeys(name for name, _ in found))))


@router.get("/schemas/ids/{schema_id}/versions", response_model=list[SubjectVersionName], responses=READS)
async def versions_of_schema(
    store: Database, schema_id: SchemaId, page: Paged, subject: OfSubject = "", deleted: Deleted = False
) -> Any:
    """The subjects and versions that have a schema."""
    found = await store.read(lambda c: versions_using(c, schema_id, subject=subject, deleted=deleted))
    return ConfluentJSON(page.of([{"subject": name, "version": number} for name, number in found]))


def _by_guid(connection: Connection, guid: str) -> list[StoredSchema]:
    table = tables.schema
    rows = connection.execute(select(table).where(table.c.guid == guid.lower()).order_by(table.c.id))
    return [stored_schema(row) for row in rows]


@router.get("/schemas/guids/{guid}", response_model=SchemaFacts, responses=READS)
async def schema_by_guid(store: Database, guid: str, form: Format = "") -> Any:
    """A schema by its GUID, which is the same in every registry: the first 128 bits of its fingerprint."""
    found = await store.read(lambda c: _by_guid(c, guid))
    if not found:
        raise SchemaNotFound(f"Schema {guid[:80]} not found")
    return ConfluentJSON(schema_facts(found[0], form))


@router.get("/schemas/guids/{guid}/ids", response_model=list[ContextSchemaId], responses=READS)
async def ids_by_guid(store: Database, guid: str) -> Any:
    """The ids under which a schema is registered here; none if it is not."""
    found = await store.read(lambda c: _by_guid(c, guid))
    return ConfluentJSON([{"context": ".", "id": each.id} for each in found])
