"""The writer's schema of a stored event, as the event names it.

The order is that of `meshport.event.value`: Confluent's header, `ce_dataschema`, the id before the body.
"""

from __future__ import annotations

from copy import copy
from typing import Final, Protocol
from uuid import UUID

from meshport.codec import PREFIX_BYTES, SCHEMA_HEADER, read_schema_header, unframe
from meshport.errors import DecodeError, NotRegistered
from meshport.event import Event, SchemaSource
from meshport.event.attributes import fingerprint_of
from meshport.kafka.received import ReceivedMessage, headers_of
from meshport.schema import Schema

# Hostile events can name any number of ids.
_KEPT: Final = 4096


class Writers:
    """Finds the schema that an event names as its writer's.

    Args:
        schemas: the registry that resolves schemas.
    """

    def __init__(self, schemas: SchemaSource) -> None:
        self._schemas = schemas
        self._found: dict[tuple[str | None, bytes | None, bytes], str | None] = {}

    def of(self, message: ReceivedMessage, value: bytes, event: Event | None) -> str | None:
        """Return the fingerprint of an event's schema.

        Args:
            message: the Kafka message.
            value: of the message.
            event: the message read as an event; None if it could not be read.

        Returns:
            None if the event names no schema, or one that the registry does not know.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        declared = event.data_schema if event is not None else None
        header = None
        for name, each in headers_of(message) or ():
            if name == SCHEMA_HEADER:
                header = each
            elif event is None and each is not None and name.lower() == "ce_dataschema":
                declared = each.decode(errors="replace")
        key = (declared, header, value[:PREFIX_BYTES])
        if key not in self._found:
            if len(self._found) >= _KEPT:
                self._found.clear()
            self._found[key] = self._find(fingerprint_of(declared), header, value)
        return self._found[key]

    def _find(self, declared: str | None, header: bytes | None, value: bytes) -> str | None:
        try:
            if header is not None:
                named = read_schema_header(header)
                found = self._schemas.by_id(named) if isinstance(named, int) else self._schemas.by_guid(named)
                return found.fingerprint
            if declared is not None:
                try:
                    return self._schemas.by_fingerprint(declared).fingerprint
                except NotRegistered:
                    pass
            return self._schemas.by_id(unframe(value)[0]).fingerprint
        except (NotRegistered, DecodeError):
            return declared


class _Lookup(Protocol):
    def __call__(self) -> Schema: ...


class KnownSchemas:
    """A registry that is called once for each schema, also for schemas that it does not know.

    A topic of a million events with an unknown id would otherwise cause a million requests.

    Args:
        schemas: the registry.
    """

    def __init__(self, schemas: SchemaSource) -> None:
        self._schemas = schemas
        self._answers: dict[int | str | UUID, Schema | NotRegistered] = {}

    def by_id(self, schema_id: int) -> Schema:
        """Return the schema of a numeric id.

        Raises:
            NotRegistered: there is none.
        """
        return self._once(schema_id, lambda: self._schemas.by_id(schema_id))

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """Return the schema of a SHA-256 fingerprint.

        Raises:
            NotRegistered: there is none.
        """
        return self._once(fingerprint, lambda: self._schemas.by_fingerprint(fingerprint))

    def by_guid(self, guid: UUID) -> Schema:
        """Return the schema of a Confluent GUID.

        Raises:
            NotRegistered: there is none.
        """
        return self._once(guid, lambda: self._schemas.by_guid(guid))

    def _once(self, key: int | str | UUID, ask: _Lookup) -> Schema:
        answer = self._answers.get(key)
        if answer is None:
            try:
                answer = ask()
            except NotRegistered as refusal:
                answer = refusal.with_traceback(None)
            if len(self._answers) >= _KEPT:
                self._answers.clear()
            self._answers[key] = answer
        if isinstance(answer, NotRegistered):
            raise copy(answer)  # an exception that is raised repeatedly accumulates its traceback
        return answer
