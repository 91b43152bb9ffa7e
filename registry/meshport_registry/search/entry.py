"""The entry of a product, read from the rows of the database."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select

from meshport_registry import tables
from meshport_registry.catalog.contract import named_fields
from meshport_registry.search.index import Entry, EntryPart
from meshport_registry.search.words import words

MOST_FIELDS: Final = 500
"""Fields of one product whose paths are kept, to name those by which it was found."""
MOST_LINKED: Final = 20
"""Fields of one product that have the same global identifier and are kept."""
_BEGINNING: Final = 400
_LONGEST_TEXT: Final = 20_000
# Of all `doc` of a product. A hundred kB of it have no more words that anybody searches for.
_LONGEST_DOC: Final = 50_000
# After every part.
_LEAST: Final = len(EntryPart)


class _Words:
    """The words of a product, each with the most important part that it stands in."""

    def __init__(self) -> None:
        self.parts: dict[str, EntryPart] = {}
        self._doc = 0

    def add(self, part: EntryPart, *texts: str) -> None:
        for text in texts:
            if part is EntryPart.DOC:
                self._doc += len(text)
                if self._doc > _LONGEST_DOC:
                    return
            for word in words(text[:_LONGEST_TEXT]):
                if self.parts.get(word, _LEAST) > part:
                    self.parts[sys.intern(word)] = part


def entries(connection: Connection, rows: Iterable[Any]) -> list[tuple[Entry, dict[str, EntryPart]]]:
    """Return the entries of some products with their words.

    Args:
        connection: to the database.
        rows: of the table `product`.
    """
    products = list(rows)
    contracts = _contracts(connection, [row.guid for row in products])
    return [_entry(row, contracts.get(row.guid, ())) for row in products]


def _contracts(connection: Connection, guids: list[str]) -> dict[str, list[tuple[str, str, Any]]]:
    """Return port and major, topic and schema of each line of some products, the schema as JSON data, by GUID."""
    own, schema = tables.binding.c, tables.schema.c
    rows = connection.execute(
        select(own.guid, own.port, own.major, own.topic, schema.text, schema.resolved)
        .join(tables.schema, schema.id == own.schema_id)
        .where(own.guid.in_(guids))
        .order_by(own.guid, own.position)
    )
    found: dict[str, list[tuple[str, str, Any]]] = {}
    for row in rows:
        found.setdefault(row.guid, []).append(
            (f"{row.port}@{row.major}", row.topic, orjson.loads(row.resolved or row.text))
        )
    return found


def _entry(row: Any, contracts: Iterable[tuple[str, str, Any]]) -> tuple[Entry, dict[str, EntryPart]]:
    # As JSON data: the model of a descriptor takes ten times as long, for each of 10,000 products.
    told: Mapping[str, Any] = orjson.loads(row.descriptor)
    name = str(told.get("displayName") or f"{row.domain}/{row.name}")
    description = str(told.get("description") or "")
    tags = tuple(sys.intern(str(each)) for each in told.get("tags") or ())
    found = _Words()
    found.add(EntryPart.NAME, row.domain, row.name, name)
    found.add(EntryPart.TAG, *tags)
    found.add(EntryPart.OWNER, row.owner, str(told.get("contact") or ""))
    found.add(EntryPart.DESCRIPTION, description)
    paths: dict[str, None] = {}
    polysemes: dict[str, tuple[str, ...]] = {}
    for line, topic, form in contracts:
        found.add(EntryPart.TOPIC, topic)
        if isinstance(form, dict):
            found.add(EntryPart.DOC, str(form.get("doc") or ""))
        for each in named_fields(form):
            found.add(EntryPart.FIELD, each.name)
            found.add(EntryPart.DOC, each.doc)
            if (polyseme := each.attribute("polyseme")) is not None:
                found.add(EntryPart.FIELD, polyseme)
                linked = polysemes.get(polyseme, ())
                if len(linked) < MOST_LINKED:
                    polysemes[sys.intern(polyseme)] = (*linked, sys.intern(f"{line}#{each.path}"))
            if len(paths) < MOST_FIELDS:
                paths[sys.intern(each.path)] = None
    entry = Entry(
        guid=row.guid,
        address=f"{row.domain}/{row.name}",
        domain=sys.intern(row.domain),
        name=name[:_BEGINNING],
        description=description[:_BEGINNING],
        archetype=sys.intern(row.archetype),
        owner=sys.intern(row.owner),
        status=sys.intern(row.status),
        classification=sys.intern(str(told.get("classification") or "internal")),
        tags=tags,
        fields=tuple(paths),
        polysemes=polysemes,
        reads=frozenset(_domains_read(told)) - {row.domain},
    )
    return entry, found.parts


def _domains_read(told: Mapping[str, Any]) -> Iterator[str]:
    for each in told.get("inputPorts") or ():
        yield sys.intern(str(each.get("address")).removeprefix("mesh://").partition("/")[0])
