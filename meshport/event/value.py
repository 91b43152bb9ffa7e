"""The forms of a value: how its schema is found, and where its body begins.

Attributes of the event have precedence over the numeric id in a prefix, since the id is local to one registry:

1. The header `__value_schema_id` (Confluent; id or GUID): the value has no prefix.
2. `ce_dataschema` with a fingerprint. A plain Avro body may begin with the byte 0 as well, so the value is decoded both after
   Confluent's prefix and as a whole. The decoder must consume all bytes, so usually one of the two fails. If both succeed,
   the prefix is accepted if this registry maps its id to the same schema; otherwise the event is refused. The decision for
   a prefix is cached.
3. Neither: Confluent's prefix.

If this registry does not know the `ce_dataschema` but knows the id of the prefix, the prefix is used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol
from uuid import UUID

from meshport.codec import PREFIX_BYTES, ResolvingDecoder, codec_for, read_schema_header, unframe
from meshport.errors import DecodeError, EventError, NotRegistered
from meshport.event.reading import ReaderSchemas
from meshport.schema import Schema

Decode = Callable[[bytes, int], Any]
# Bounds the cache: a port has one prefix for each schema, but a hostile producer could invent more.
_REMEMBERED: Final = 1024


class SchemaSource(Protocol):
    """Looks schemas up. Implementations cache their answers."""

    def by_id(self, schema_id: int) -> Schema:
        """Return the schema of a numeric id; raise NotRegistered if there is none."""

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """Return the schema of a SHA-256 fingerprint; raise NotRegistered if there is none."""

    def by_guid(self, guid: UUID) -> Schema:
        """Return the schema of a Confluent GUID; raise NotRegistered if there is none."""


class ValueReader:
    """Reads values in any of these forms.

    Args:
        schemas: looks the schemas of values up.
        reader: the schema that records are resolved to; None for each writer's own.
    """

    def __init__(self, schemas: SchemaSource, reader: ReaderSchemas | None) -> None:
        self._schemas = schemas
        self._reader = reader
        self._decoders: dict[str, Decode] = {}
        self._framed: dict[tuple[str | None, bytes], Decode] = {}

    def read(self, value: bytes, fingerprint: str | None, schema_header: bytes | None) -> Any:
        """Return the record of a value.

        Args:
            value: the value of the Kafka message.
            fingerprint: of the schema in `ce_dataschema`, if there is one.
            schema_header: the header `__value_schema_id`, if there is one.

        Raises:
            DecodeError: the bytes do not match their schema.
            EventError: the event's statements about its schema disagree.
            NotRegistered: the schema is not registered.
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
        return self._decide(value, fingerprint, decode) if framed else decode(value, 0)

    def prefix_decoder(self, value: bytes, fingerprint: str | None) -> Decode | None:
        """Return the decoder for the prefix of a value, if it was decided before; for the reader's fast path."""
        return self._framed.get((fingerprint, value[:PREFIX_BYTES]))

    def decoder(self, writer: Schema) -> Decode:
        """Return the cached decoder from a writer's schema to the reader's."""
        decode = self._decoders.get(writer.fingerprint)
        if decode is None:
            target = writer if self._reader is None else self._reader.for_writer(writer)
            same = target.text == writer.text
            decode = codec_for(writer).decoder() if same else ResolvingDecoder(writer, target).decode
            self._decoders[writer.fingerprint] = decode
        return decode

    def writer_of(self, value: bytes, schema_header: bytes | None) -> tuple[Schema, int]:
        """Return the schema that a value of Confluent's is written with, and the index of its body's first byte.

        Raises:
            DecodeError: neither a header nor a prefix names a schema.
            NotRegistered: the schema is not registered.
        """
        if schema_header is None:
            schema_id, start = unframe(value)
            return self._schemas.by_id(schema_id), start
        return self._named(read_schema_header(schema_header)), 0

    def _named(self, named: int | UUID) -> Schema:
        return self._schemas.by_id(named) if isinstance(named, int) else self._schemas.by_guid(named)

    def _by_header(self, value: bytes, fingerprint: str | None, schema_header: bytes) -> Any:
        named = read_schema_header(schema_header)
        schema = self._named(named)
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

    def _decide(self, value: bytes, fingerprint: str, decode: Decode) -> Any:
        try:
            record = decode(value, PREFIX_BYTES)
        except DecodeError as error:
            try:
                return decode(value, 0)
            except DecodeError:
                raise error from None  # nearly every writer adds a prefix, so that error is reported
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
            f"the value is Avro both as a whole and after the schema id {schema_id}, which is not that of ce_dataschema",
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
