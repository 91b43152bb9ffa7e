"""Schemas as rows: read, identified, stored and loaded again."""

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

_KEPT: Final = 512
_DEEPEST_REFERENCES: Final = 32


_KNOWN: Final = select(tables.schema.c.id).where(tables.schema.c.identity == bindparam("identity"))
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
    """A type of another subject that a schema refers to.

    Attributes:
        name: as the schema writes it; for Avro the type's full name.
        subject: where it is registered.
        version: of that subject.
    """

    name: str
    subject: str
    version: int


@dataclass(frozen=True)
class Candidate:
    """A schema that somebody sent.

    Attributes:
        text: what is answered to readers: the canonical form, or the author's own text where it holds references.
        schema: the canonical form with references inlined.
        references: in the order they were given.
    """

    text: str
    schema: Schema
    references: tuple[Reference, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Fingerprint and references: equal for two schemas that share one id."""
        if not self.references:
            return self.schema.fingerprint
        return hashlib.sha256((self.schema.fingerprint + _dump(self.references)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Contract:
    """A schema that is registered; it never changes.

    Attributes:
        id: its number in this registry.
        text: see `Candidate.text`.
        schema: see `Candidate.schema`.
        references: see `Candidate.references`.
        created_at: microseconds since the epoch.
    """

    id: int
    text: str
    schema: Schema
    references: tuple[Reference, ...]
    created_at: int

    @property
    def guid(self) -> str:
        """The schema's name in every registry: the first 128 bits of its fingerprint."""
        return guid_of(self.schema)

    @property
    def facts(self) -> dict[str, Any]:
        """What every answer about this schema says; Confluent leaves the type out for Avro, and empty references."""
        facts: dict[str, Any] = {"schema": self.text, "guid": self.guid}
        if self.references:
            facts["references"] = [
                {"name": each.name, "subject": each.subject, "version": each.version} for each in self.references
            ]
        return facts


def guid_of(schema: Schema) -> str:
    """The GUID of a schema: the first 128 bits of its fingerprint."""
    return str(UUID(hex=schema.fingerprint[:32]))


# A serializer sends its schema again from every process that starts.
@lru_cache(maxsize=64)
def read_plain(text: str) -> Candidate:
    """Read a schema that refers to nothing outside itself.

    Raises:
        SchemaError: it is no valid Avro.
    """
    schema = parse_schema(text)
    return Candidate(schema.text, schema)


def read_candidate(connection: Connection, text: str, references: Sequence[Reference]) -> Candidate:
    """Read a schema together with what it refers to.

    Raises:
        SchemaError: it is no valid Avro.
        InvalidSchema: a reference leads nowhere.
    """
    if not references:
        return read_plain(text)
    named: dict[str, Any] = {}
    _collect(connection, references, named, 0)
    schema = parse_schema(text, common=CommonTypes(named=named))
    return Candidate(json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")), schema, tuple(references))


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


def load(connection: Connection, ids: Sequence[int]) -> dict[int, Contract]:
    """The contracts of these ids; an id that is not there is left out."""
    rows = connection.execute(_BY_IDS, {"ids": ids})
    return {row.id: contract_of(row) for row in rows}


# A history is compared with every candidate. Kept by fingerprint: what a fingerprint names can never be another schema,
# not even when the transaction that stored it is rolled back and its id goes to the next one.
_kept: Final[dict[str, Schema]] = {}
_lock: Final = threading.Lock()


def schemas_of(connection: Connection, fingerprints: Sequence[str]) -> list[Schema]:
    """The schemas of these fingerprints, in the same order."""
    with _lock:
        found = {each: _kept[each] for each in fingerprints if each in _kept}
    missing = [each for each in fingerprints if each not in found]
    if missing:
        rows = connection.execute(select(tables.schema).where(tables.schema.c.fingerprint.in_(missing)))
        loaded = [contract_of(row).schema for row in rows]
        found |= {each.fingerprint: each for each in loaded}
        _keep(loaded)
    return [found[each] for each in fingerprints]


def _keep(schemas: Iterable[Schema]) -> None:
    with _lock:
        for each in schemas:
            _kept[each.fingerprint] = Schema(
                each.text
            )  # without what was derived from it: that takes ten times as much
        while len(_kept) > _KEPT:
            del _kept[next(iter(_kept))]


def contract_of(row: Row[Any]) -> Contract:
    """A contract from its row."""
    references = tuple(Reference(**each) for each in json.loads(row.references)) if row.references else ()
    return Contract(row.id, row.text, Schema(row.resolved or row.text), references, row.created_at)


def known_id(connection: Connection, candidate: Candidate) -> int | None:
    """The id of a schema that is registered already, under whichever subject."""
    found = connection.execute(
        select(tables.schema.c.id).where(tables.schema.c.identity == candidate.identity)
    ).scalar()
    return None if found is None else int(found)


def insert_contract(connection: Connection, candidate: Candidate, *, wanted: int | None = None) -> int:
    """Store a schema that is new, and give it its id.

    Args:
        connection: a writing transaction, so that the highest id cannot move.
        candidate: the schema.
        wanted: the id it has in the registry that it is imported from.
    """
    schema = candidate.schema
    _keep([schema])  # the next version is compared with it
    values = {
        "identity": candidate.identity,
        "fingerprint": schema.fingerprint,
        "guid": guid_of(schema),
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
