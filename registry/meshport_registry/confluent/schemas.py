"""Routes of schemas, by id and by GUID."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection, func, select

from meshport_registry import tables
from meshport_registry.confluent.bodies import ConfluentJSON, Database, Deleted, Paged, Schemas, version_facts
from meshport_registry.errors import SchemaNotFound
from meshport_registry.middleware import CONFLUENT_JSON
from meshport_registry.schemas import StoredSchema, load, stored_schema
from meshport_registry.subjects import list_schemas, versions_using
from meshport_registry.values import BoundedRoute, SchemaId

router = APIRouter(route_class=BoundedRoute, default_response_class=ConfluentJSON, tags=["Confluent"])


@router.get("/schemas/types")
async def schema_types() -> Any:
    """The schema types that this registry accepts."""
    return ConfluentJSON(["AVRO"])


@router.get("/schemas")
async def schemas(
    store: Database,
    page: Paged,
    subject_prefix: Annotated[str, Query(alias="subjectPrefix")] = "",
    deleted: Deleted = False,
    latest_only: Annotated[bool, Query(alias="latestOnly")] = False,
) -> Any:
    """Schemas with their subjects and versions."""
    found = await store.read(
        lambda connection: list_schemas(
            connection, prefix=subject_prefix, deleted=deleted, latest=latest_only, offset=page.offset, limit=page.limit
        )
    )
    return ConfluentJSON([version_facts(*each) for each in found])


@router.get("/schemas/ids/{schema_id}")
async def schema_by_id(
    store: Database,
    cached: Schemas,
    schema_id: SchemaId,
    fetch_max_id: Annotated[bool, Query(alias="fetchMaxId")] = False,
    form: Annotated[str, Query(alias="format")] = "",
) -> Any:
    """A schema by its id. It stays readable after its subject is deleted, because records still name it."""
    body = await cached.body(schema_id)
    if not fetch_max_id and form != "resolved":
        return Response(body, media_type=CONFLUENT_JSON)

    def read(connection: Connection) -> dict[str, Any]:
        facts = dict(load(connection, [schema_id])[schema_id].facts)
        if fetch_max_id:
            facts["maxId"] = connection.execute(select(func.max(tables.schema.c.id))).scalar()
        if form == "resolved":
            facts["schema"] = load(connection, [schema_id])[schema_id].schema.text
        return facts

    return ConfluentJSON(await store.read(read))


@router.get("/schemas/ids/{schema_id}/schema")
async def schema_text_by_id(store: Database, schema_id: SchemaId) -> Any:
    """The text of a schema, without other fields."""
    return Response((await store.read(lambda c: _schema(c, schema_id))).text, media_type=CONFLUENT_JSON)


def _schema(connection: Connection, schema_id: int) -> StoredSchema:
    found = load(connection, [schema_id]).get(schema_id)
    if found is None:
        raise SchemaNotFound(f"schema {schema_id} not found")
    return found


@router.get("/schemas/ids/{schema_id}/subjects")
async def subjects_of_schema(
    store: Database,
    schema_id: SchemaId,
    page: Paged,
    subject: Annotated[str, Query()] = "",
    deleted: Deleted = False,
) -> Any:
    """The subjects that have a schema."""
    found = await store.read(lambda c: versions_using(c, schema_id, subject=subject, deleted=deleted))
    return ConfluentJSON(page.of(list(dict.fromkeys(name for name, _ in found))))


@router.get("/schemas/ids/{schema_id}/versions")
async def versions_of_schema(
    store: Database,
    schema_id: SchemaId,
    page: Paged,
    subject: Annotated[str, Query()] = "",
    deleted: Deleted = False,
) -> Any:
    """The subjects and versions that have a schema."""
    found = await store.read(lambda c: versions_using(c, schema_id, subject=subject, deleted=deleted))
    return ConfluentJSON(page.of([{"subject": name, "version": number} for name, number in found]))


def _by_guid(connection: Connection, guid: str) -> list[StoredSchema]:
    table = tables.schema
    rows = connection.execute(select(table).where(table.c.guid == guid.lower()).order_by(table.c.id))
    found = [stored_schema(row) for row in rows]
    if not found:
        raise SchemaNotFound(f"schema {guid} not found")
    return found


@router.get("/schemas/guids/{guid}")
async def schema_by_guid(store: Database, guid: str, form: Annotated[str, Query(alias="format")] = "") -> Any:
    """A schema by its GUID, which is the same in every registry: the first 128 bits of its fingerprint."""
    found = (await store.read(lambda c: _by_guid(c, guid)))[0]
    return ConfluentJSON(found.facts | ({"schema": found.schema.text} if form == "resolved" else {}))


@router.get("/schemas/guids/{guid}/ids")
async def ids_by_guid(store: Database, guid: str) -> Any:
    """The ids under which a schema is registered here."""
    found = await store.read(lambda c: _by_guid(c, guid))
    return ConfluentJSON([{"context": ".", "id": each.id} for each in found])
