"""A source of schemas that a test fills, as a registry client would answer."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from meshport.errors import NotRegistered
from meshport.schema import Schema


class Known:
    """Schemas by numeric id; counts how often it is asked."""

    def __init__(self, **schemas: Schema) -> None:
        self.asked = 0
        self._schemas = {int(name.removeprefix("id")): schema for name, schema in schemas.items()}

    def by_id(self, schema_id: int) -> Schema:
        """The schema of an id."""
        return self._find(schema_id, lambda number, _: number == schema_id)

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """The schema of a fingerprint."""
        return self._find(fingerprint, lambda _, schema: schema.fingerprint == fingerprint)

    def by_guid(self, guid: UUID) -> Schema:
        """The schema of a GUID."""
        return self._find(guid, lambda _, schema: schema.guid == guid)

    def _find(self, what: object, matches: Callable[[int, Schema], bool]) -> Schema:
        self.asked += 1
        for number, schema in self._schemas.items():
            if matches(number, schema):
                return schema
        raise NotRegistered(f"no schema {what}")
