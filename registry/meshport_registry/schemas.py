"""Schemas as the registry stores them: how one is read, identified, inserted and loaded."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, func, insert, select, tuple_

from meshport.schema import Schema, parse_schema
from meshport.schema.canonical import canonical_text, take_apart
from meshport_registry import tables
from meshport_registry.errors import InvalidSchema
from meshport_registry.schema_ids import follow_import, next_id
from meshport_registry.store import now_us

# Characters of parsed schemas that are kept; what an object computes of its text takes ten times its memory.
_CACHED: Final = 4 * 1024 * 1024
_CACHED_CANDIDATES: Final = 64
_LARGEST_CANDIDATE: Final = 16 * 1024
# Characters of all schemas that one schema refers to, what they refer to included.
MAX_REFERENCED: Final = 1024 * 1024
# Characters of all versions that one schema is compared with: 1,600 versions of 5 kB.
MAX_HISTORY: Final = 8 * 1024 * 1024

_BY_IDS: Final = select(tables.schema).where(tables.schema.c.id.in_(bindparam("ids", expanding=True)))
_INSERT: Final = insert(tables.schema)
_REFERENCED_ANY: Final = (
    select(tables.subject.c.name, tables.version.c.version, tables.version.c.schema_id)
    .join(tables.version, tables.version.c.subject_id == tables.subject.c.id)
    .where(tuple_(tables.subject.c.name, tables.version.c.version).in_(bindparam("pairs", expanding=True)))
)
_REFERENCED: Final = _REFERENCED_ANY.where(tables.version.c.deleted.is_(False))
_SIZE: Final = select(func.sum(func.length(func.coalesce(tables.schema.c.resolved, tables.schema.c.text)))).where(
    tables.schema.c.id.in_(bindparam("ids", expanding=True))
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
        text: the text that readers get: the author's own, unless parsers would not read that, or in different ways (a key
            that is repeated, a bare `string`, a comment); then the canonical form.
        schema: the canonical form with references inlined.
        references: the references in the order in which the client gave them.
        referenced: the ids of the schemas that they lead to, in the same order.
    """

    text: str
    schema: Schema
    references: tuple[Reference, ...] = ()
    referenced: tuple[int, ...] = ()

    @property
    def normalized(self) -> CandidateSchema:
        """The same schema whose text is its canonical form, in which a type that it refers to stays a name."""
        names = {each.name for each in self.references}
        text = canonical_text(_by_name(self.schema.form, names)) if names else self.schema.text
        return CandidateSchema(text, self.schema, self.references, self.referenced)

    @cached_property
    def identity(self) -> str:
        """The hash of fingerprint and references. Two schemas share an id if and only if it is the same."""
        stored = self.stored_references
        if stored is None:
            return self.schema.fingerprint
        return hashlib.sha256((self.schema.fingerprint + stored).encode()).hexdigest()

    @property
    def stored_references(self) -> str | None:
        """The references as the table has them; None if there are none."""
        return _dump(self.references) if self.references else None


@dataclass(frozen=True, slots=True)
class StoredSchema:
    """A registered schema. It never changes.

    Attributes:
        id: the schema's id in this registry.
        text: see `CandidateSchema.text`; of the spelling that was registered first.
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


def read_plain(text: str) -> CandidateSchema:
    """Parse a schema that has no references.

    Raises:
        SchemaError: the text is not valid Avro.
    """
    return _read_small(text) if len(text) <= _LARGEST_CANDIDATE else plain(parse_schema(text))


def plain(schema: Schema) -> CandidateSchema:
    """Return a parsed schema that has no references as a candidate."""
    return CandidateSchema(schema.written or schema.text, schema)


# Every process that starts a serializer sends the same schema again.
@lru_cache(maxsize=_CACHED_CANDIDATES)
def _read_small(text: str) -> CandidateSchema:
    return plain(parse_schema(text))


def _by_name(form: Any, names: Set[str]) -> Any:
    """Return a canonical form in which the types of these full names are referred to, not defined."""
    if isinstance(form, list):
        return [_by_name(branch, names) for branch in form]
    if not isinstance(form, dict):
        return form
    if form.get("name") in names:
        return form["name"]
    inner = {key: _by_name(form[key], names) for key in ("items", "values") if key in form}
    if "fields" in form:
        inner["fields"] = [{**each, "type": _by_name(each["type"], names)} for each in form["fields"]]
    return {**form, **inner}


def find_references(
    connection: Connection, references: Sequence[Reference], *, deleted: bool = False
) -> tuple[int, ...]:
    """Return the id of the schema that each reference leads to, in their order.

    Args:
        connection: to the database.
        references: the references.
        deleted: let them lead to soft-deleted versions too.

    Raises:
        InvalidSchema: a reference names no registered version.
    """
    if not references:
        return ()
    pairs = {(each.subject, each.version) for each in references}
    rows = connection.execute(_REFERENCED_ANY if deleted else _REFERENCED, {"pairs": list(pairs)})
    ids = {(row.name, row.version): int(row.schema_id) for row in rows}
    for each in references:
        if (each.subject, each.version) not in ids:
            raise InvalidSchema(
                f'no schema reference found for subject "{each.subject}" and version {each.version}',
                hint="register what is referred to first",
            )
    return tuple(ids[each.subject, each.version] for each in references)


def referenced_types(connection: Connection, ids: Sequence[int]) -> tuple[dict[str, Any], int]:
    """Return the named types of these schemas by full name, and the schemas' size in characters.

    The named types within a type are referred to by name.

    Raises:
        InvalidSchema: the schemas are too large together.
        SchemaError: two of them define one type in two different ways.
    """
    distinct = list(dict.fromkeys(ids))
    size = int(connection.execute(_SIZE, {"ids": distinct}).scalar() or 0)
    if size > MAX_REFERENCED:
        raise InvalidSchema(f"the references lead to {size} characters of schemas", hint=f"at most {MAX_REFERENCED}")
    stored = load(connection, distinct)
    named: dict[str, Any] = {}
    for each in distinct:
        take_apart(stored[each].schema.form, named)
    return named, size


def load(connection: Connection, ids: Sequence[int]) -> dict[int, StoredSchema]:
    """Return the schemas of these ids, by id. An id that is not registered is omitted."""
    rows = connection.execute(_BY_IDS, {"ids": ids})
    return {row.id: stored_schema(row) for row in rows}


# A candidate is compared with every schema of a history. The cache is keyed by fingerprint, because an id may be reused
# by another schema after the transaction that inserted the first one is rolled back.
_cache: Final[dict[str, Schema]] = {}
_cache_lock: Final = threading.Lock()
_cached = 0


def parsed_schemas(connection: Connection, fingerprints: Sequence[str]) -> list[Schema]:
    """Return the schemas of these fingerprints, in the same order.

    Raises:
        InvalidSchema: they are too large together.
    """
    with _cache_lock:
        found = {each: _cache[each] for each in fingerprints if each in _cache}
    missing = [each for each in fingerprints if each not in found]
    if missing:
        own = tables.schema.c
        if len(missing) > MAX_HISTORY // MAX_REFERENCED:  # fewer cannot be too large
            lengths = select(func.sum(func.length(func.coalesce(own.resolved, own.text))))
            size = int(connection.execute(lengths.where(own.fingerprint.in_(missing))).scalar() or 0)
            if size > MAX_HISTORY:
                raise InvalidSchema(
                    f"{len(missing)} versions with {size} characters of schemas would have to be compared",
                    hint=f"at most {MAX_HISTORY}; a level that is not transitive compares with one version",
                )
        rows = connection.execute(select(tables.schema).where(own.fingerprint.in_(missing)))
        loaded = [stored_schema(row).schema for row in rows]
        found |= {each.fingerprint: each for each in loaded}
        _remember(loaded)
    return [found[each] for each in fingerprints]


def _remember(schemas: Iterable[Schema]) -> None:
    global _cached  # noqa: PLW0603 - the size of the cache beside it
    with _cache_lock:
        for each in schemas:
            if each.fingerprint not in _cache:
                # A new object, because what a schema object computes and keeps takes ten times the memory of its text.
                _cache[each.fingerprint] = Schema(each.text)
                _cached += len(each.text)
        while _cached > _CACHED:
            _cached -= len(_cache.pop(next(iter(_cache))).text)


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


def insert_schema(
    connection: Connection, candidate: CandidateSchema, *, wanted: int | None = None, identity: str | None = None
) -> int:
    """Insert a new schema and return its id.

    Args:
        connection: a writing transaction, so that no other writer can take the same id.
        candidate: the schema.
        wanted: the id that it has in the registry it is imported from; None for the next free one.
        identity: of the row, where it is not the schema's own; see `insert_further_id`.
    """
    schema = candidate.schema
    _remember([schema])  # the next version of the subject is compared with it
    values = {
        "identity": identity or candidate.identity,
        "fingerprint": schema.fingerprint,
        "guid": schema_guid(schema),
        "text": candidate.text,
        "resolved": None if schema.text == candidate.text else schema.text,
        "references": candidate.stored_references,
        "created_at": now_us(),
    }
    number = next_id(connection) if wanted is None else wanted
    connection.execute(_INSERT, values | {"id": number})
    if wanted is not None:
        follow_import(connection, wanted)
    if candidate.references:
        connection.execute(
            insert(tables.reference),
            [
                {"schema_id": number, "name": each.name, "subject": each.subject, "version": each.version}
                for each in candidate.references
            ],
        )
    return number


def insert_further_id(connection: Connection, candidate: CandidateSchema, wanted: int) -> int:
    """Give a schema that has an id here one more, and return it.

    Registries that compare the texts of schemas (Apicurio, Confluent's before normalization) give one schema as many ids as it
    has spellings, and records carry each of them. New registrations keep the first id.

    Args:
        connection: the writing transaction.
        candidate: the schema, in the spelling of this id.
        wanted: the id, which is free here.
    """
    identity = hashlib.sha256(f"{candidate.identity} {wanted}".encode()).hexdigest()
    return insert_schema(connection, candidate, wanted=wanted, identity=identity)


def _dump(references: Iterable[Reference]) -> str:
    return json.dumps([{"name": each.name, "subject": each.subject, "version": each.version} for each in references])
