"""Schemas as the registry stores them: how one is read, identified, inserted and loaded."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from meshport.schema import CommonTypes, Schema, parse_schema
from meshport.schema.canonical import take_apart
from meshport_registry import tables
from meshport_registry.errors import InvalidSchema
from meshport_registry.store import now_us

_CACHED_SCHEMAS: Final = 512
_DEEPEST_REFERENCES: Final = 32

_BY_IDS: Final = select(tables.schema).where(tables.schema.c.id.in_(bindparam("ids", expanding=True)))
_INSERT: Final = (
    insert(tables.schema)
    .values(
        id=select(func.coalesce(func.max(tables.schema.c.id), 0) + 1).scalar_subquery(),
        **{each.name: bindparam(each.name) for each in tables.schema.c if each.name != "id"},
    )
    .returning(tables.schema.c.id)
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference of a schema to a type that another subject defines.

    Attributes:
        name: the name by which the schema refers to the type; for Avro the type's full name.
        subject: the subject that defines the type.
        version: the version number of that subject.
    """

    name: str
    subject: str
    version: int


@dataclass(frozen=True)
class CandidateSchema:
    """A schema that a client sent and that may not be registered yet.

    Attributes:
        text: the text that readers get: the canonical form, or the author's own text if it has references.
        schema: the canonical form with references inlined.
        references: the references in the order in which the client gave them.
    """

    text: str
    schema: Schema
    references: tuple[Reference, ...] = ()

    @cached_property
    def identity(self) -> str:
        """The hash of fingerprint and references. Two schemas share an id if and only if it is the same."""
        if not self.references:
            return self.schema.fingerprint
        return hashlib.sha256((self.schema.fingerprint + _dump(self.references)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A registered schema. It never changes.

    Attributes:
        id: the schema's id in this registry.
        text: see `CandidateSchema.text`.
        schema: see `CandidateSchema.schema`.
        references: see `CandidateSchema.references`.
        created_at: when it was registered, in microseconds since the epoch.
    """

    id: int
    text: str
    schema: Schema
    references: tuple[Reference, ...]
    created_at: int

    @property
    def guid(self) -> str:
        """The schema's GUID, the same in every registry: the first 128 bits of its fingerprint."""
        return schema_guid(self.schema)

    @property
    def facts(self) -> dict[str, Any]:
        """The fields that every answer about this schema has.

        Like Confluent's registry, they omit the type of an Avro schema, and references if there are none.
        """
        facts: dict[str, Any] = {"schema": self.text, "guid": self.guid}
        if self.references:
            facts["references"] = [
                {"name": each.name, "subject": each.subject, "version": each.version} for each in self.references
            ]
        return facts


def schema_guid(schema: Schema) -> str:
    """Return the GUID of a schema: the first 128 bits of its fingerprint."""
    return str(UUID(hex=schema.fingerprint[:32]))


# Every process that starts a serializer sends the same schema again.
@lru_cache(maxsize=64)
def read_plain(text: str) -> CandidateSchema:
    """Parse a schema that has no references.

    Raises:
        SchemaError: the text is not valid Avro.
    """
    schema = parse_schema(text)
    return CandidateSchema(schema.text, schema)


def read_candidate(connection: Connection, text: str, references: Sequence[Reference]) -> CandidateSchema:
    """Parse a schema together with the schemas that it refers to.

    Raises:
        SchemaError: the text is not valid Avro.
        InvalidSchema: a reference names no registered version, or references are nested too deeply.
    """
    if not references:
        return read_plain(text)
    named: dict[str, Any] = {}
    _collect(connection, references, named, 0)
    schema = parse_schema(text, common=CommonTypes(named=named))
    compact = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
    return CandidateSchema(compact, schema, tuple(references))


def _collect(connection: Connection, references: Iterable[Reference], named: dict[str, Any], depth: int) -> None:
    if depth > _DEEPEST_REFERENCES:
        raise InvalidSchema(f"references lead more than {_DEEPEST_REFERENCES} levels deep")
    for each in references:
        found = connection.execute(
            select(tables.version.c.schema_id)
            .join(tables.subject)
            .where(
                tables.subject.c.name == each.subject,
                tables.version.c.version == each.version,
                tables.version.c.deleted.is_(False),
            )
        ).scalar()
        if found is None:
            raise InvalidSchema(
                f'no schema reference found for subject "{each.subject}" and version {each.version}',
                hint="register what is referred to first",
            )
        take_apart(load(connection, [found])[found].schema.form, named)


def load(connection: Connection, ids: Sequence[int]) -> dict[int, StoredSchema]:
    """Return the schemas of these ids, by id. An id that is not registered is omitted."""
    rows = connection.execute(_BY_IDS, {"ids": ids})
    return {row.id: stored_schema(row) for row in rows}


# A candidate is compared with every schema of a history. The cache is keyed by fingerprint, because an id may be reused
# by another schema after the transaction that inserted the first one is rolled back.
_cache: Final[dict[str, Schema]] = {}
_cache_lock: Final = threading.Lock()


def parsed_schemas(connection: Connection, fingerprints: Sequence[str]) -> list[Schema]:
    """Return the schemas of these fingerprints, in the same order."""
    with _cache_lock:
        found = {each: _cache[each] for each in fingerprints if each in _cache}
    missing = [each for each in fingerprints if each not in found]
    if missing:
        rows = connection.execute(select(tables.schema).where(tables.schema.c.fingerprint.in_(missing)))
        loaded = [stored_schema(row).schema for row in rows]
        found |= {each.fingerprint: each for each in loaded}
        _remember(loaded)
    return [found[each] for each in fingerprints]


def _remember(schemas: Iterable[Schema]) -> None:
    with _cache_lock:
        for each in schemas:
            # A new object, because what a schema object computes and keeps takes ten times the memory of its text.
            _cache[each.fingerprint] = Schema(each.text)
        while len(_cache) > _CACHED_SCHEMAS:
            del _cache[next(iter(_cache))]


def stored_schema(row: Row[Any]) -> StoredSchema:
    """Return a registered schema from its row."""
    references = tuple(Reference(**each) for each in json.loads(row.references)) if row.references else ()
    return StoredSchema(row.id, row.text, Schema(row.resolved or row.text), references, row.created_at)


def registered_id(connection: Connection, candidate: CandidateSchema) -> int | None:
    """Return the id of a schema that is registered under any subject, or None."""
    found = connection.execute(
        select(tables.schema.c.id).where(tables.schema.c.identity == candidate.identity)
    ).scalar()
    return None if found is None else int(found)


def insert_schema(connection: Connection, candidate: CandidateSchema, *, wanted: int | None = None) -> int:
    """Insert a new schema and return its id.

    Args:
        connection: a writing transaction, so that no other writer can take the same id.
        candidate: the schema.
        wanted: the id that it has in the registry it is imported from; None for the next free one.
    """
    schema = candidate.schema
    _remember([schema])  # the next version of the subject is compared with it
    values = {
        "identity": candidate.identity,
        "fingerprint": schema.fingerprint,
        "guid": schema_guid(schema),
        "text": candidate.text,
        "resolved": None if schema.text == candidate.text else schema.text,
        "references": _dump(candidate.references) if candidate.references else None,
        "created_at": now_us(),
    }
    if wanted is None:
        number = int(connection.execute(_INSERT, values).scalar_one())
    else:
        number = wanted
        connection.execute(insert(tables.schema).values(**values, id=number))
    if candidate.references:
        connection.execute(
            insert(tables.reference),
            [
                {"schema_id": number, "name": each.name, "subject": each.subject, "version": each.version}
                for each in candidate.references
            ],
        )
    return number


def _dump(references: Iterable[Reference]) -> str:
    return json.dumps([{"name": each.name, "subject": each.subject, "version": each.version} for each in references])
