"""The four forms of a value: which schema its bytes are of, and where they begin.

What an event declares decides, the numeric id before a body last, since it means something in one registry only:

1. The header `__value_schema_id` (Confluent, id or GUID): the value is the body alone.
2. `ce_dataschema` with a fingerprint: that schema. A plain Avro body may begin with the byte 0 too, so such a value is
   read behind Confluent's prefix and as a whole; the decoder takes every byte into account, so that all but one reading
   fails. Where both succeed, the prefix is believed if its id is that schema's in this registry, else the event is
   refused. A prefix that was told apart once is not doubted again.
3. Neither: Confluent's prefix.

A dataschema that this registry does not know gives way to a prefix whose id it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol
from uuid import UUID

from meshport.codec import PREFIX_BYTES, ResolvingDecoder, codec_for, read_schema_header, unframe
from meshport.errors import DecodeError, EventError, NotRegistered
from meshport.schema import Schema

Decode = Callable[[bytes, int], Any]
# Prefixes of different ids are as many as a port has schemas, unless someone makes them up.
_REMEMBERED: Final = 1024


class SchemaSource(Protocol):
    """Where schemas are asked for; whoever implements it keeps what it was answered."""

    def by_id(self, schema_id: int) -> Schema:
        """The schema of a numeric id; NotRegistered where there is none."""

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """The schema of a SHA-256 fingerprint; NotRegistered where there is none."""

    def by_guid(self, guid: UUID) -> Schema:
        """The schema of a Confluent GUID; NotRegistered where there is none."""


class ValueReader:
    """Reads values in any of the four forms.

    Args:
        schemas: where their schemas are asked for.
        reader: the schema that records are to have; each one's own by default.
    """

    def __init__(self, schemas: SchemaSource, reader: Schema | None) -> None:
        self._schemas = schemas
        self._reader = reader
        self._decoders: dict[str, Decode] = {}
        self._framed: dict[tuple[str | None, bytes], Decode] = {}

    def read(self, value: bytes, fingerprint: str | None, schema_header: bytes | None) -> Any:
        """The record of a value.

        Args:
            value: as Kafka carries it.
            fingerprint: of the schema that `ce_dataschema` names, if it does.
            schema_header: the header `__value_schema_id`, if there is one.

        Raises:
            DecodeError: the bytes are not what their schema says.
            EventError: what the event declares of its schema does not agree.
            NotRegistered: its schema is not known.
        """
        if schema_header is not None:
            return self._by_header(value, fingerprint, schema_header)
        framed = len(value) >= PREFIX_BYTES and not value[0]
        if framed and (known := self._framed.get((fingerprint, value[:PREFIX_BYTES]))):
            try:
                return known(value, PREFIX_BYTES)
            except DecodeError:
                if fingerprint is None:
                    raise
        if fingerprint is None:
            return self._by_prefix(value, None)
        try:
            decode = self.decoder(self._schemas.by_fingerprint(fingerprint))
        except NotRegistered:
            if not framed:
                raise
            return self._by_prefix(value, fingerprint)
        return self._told_apart(value, fingerprint, decode) if framed else decode(value, 0)

    def prefix_decoder(self, value: bytes, fingerprint: str | None) -> Decode | None:
        """The decoder behind the prefix of this value, once it was told apart; for the reader's fast path."""
        return self._framed.get((fingerprint, value[:PREFIX_BYTES]))

    def decoder(self, writer: Schema) -> Decode:
        """The decoder of a writer's schema into the reader's, the same one each time."""
        decode = self._decoders.get(writer.fingerprint)
        if decode is None:
            if self._reader is None or self._reader.text == writer.text:
                decode = codec_for(writer).decoder()
            else:
                decode = ResolvingDecoder(writer, self._reader).decode
            self._decoders[writer.fingerprint] = decode
        return decode

    def _by_header(self, value: bytes, fingerprint: str | None, schema_header: bytes) -> Any:
        named = read_schema_header(schema_header)
        schema = self._schemas.by_id(named) if isinstance(named, int) else self._schemas.by_guid(named)
        if fingerprint is not None and fingerprint != schema.fingerprint:
            raise EventError(
                f"ce_dataschema names the schema {fingerprint}, __value_schema_id names {named}, which is "
                f"{schema.fingerprint}",
                attribute="dataschema",
                hint="one event, one schema",
            )
        return self.decoder(schema)(value, 0)

    def _by_prefix(self, value: bytes, fingerprint: str | None) -> Any:
        schema_id, start = unframe(value)
        decode = self.decoder(self._schemas.by_id(schema_id))
        record = decode(value, start)
        self._remember(fingerprint, value, decode)
        return record

    def _told_apart(self, value: bytes, fingerprint: str, decode: Decode) -> Any:
        try:
            record = decode(value, PREFIX_BYTES)
        except DecodeError as error:
            try:
                return decode(value, 0)
            except DecodeError:
                raise error from None  # nearly every writer puts a prefix: its fault is the one to tell
        try:
            decode(value, 0)
        except DecodeError:
            self._remember(fingerprint, value, decode)
            return record
        schema_id, _ = unframe(value)
        if self._names(schema_id, fingerprint):
            self._remember(fingerprint, value, decode)
            return record
        raise EventError(
            f"the value is Avro both as a whole and behind the schema id {schema_id}, which is not that of ce_dataschema",
            attribute="dataschema",
            hint="write Confluent's prefix with the id of this registry, or __value_schema_id",
        )

    def _names(self, schema_id: int, fingerprint: str) -> bool:
        try:
            return self._schemas.by_id(schema_id).fingerprint == fingerprint
        except NotRegistered:
            return False

    def _remember(self, fingerprint: str | None, value: bytes, decode: Decode) -> None:
        if len(self._framed) >= _REMEMBERED:
            self._framed.clear()
        self._framed[fingerprint, value[:PREFIX_BYTES]] = decode
