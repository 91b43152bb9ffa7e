"""Avro bytes to records and back, bounded and fast.

A codec is generated for one schema, once: Python source that checks every byte it reads and every value it writes. It is
safe for every schema and faster than fastavro's general reader and writer, whose results it gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from meshport.codec.decoding import Decode, decoder
from meshport.codec.encoding import Encode, encoder
from meshport.codec.frame import PREFIX_BYTES, SCHEMA_HEADER, frame, prefix, read_schema_header, unframe
from meshport.codec.limits import MAX_PAYLOAD
from meshport.codec.resolving import ResolvingDecoder
from meshport.schema import Schema

__all__ = [
    "Codec",
    "codec_for",
    "ResolvingDecoder",
    "frame",
    "prefix",
    "unframe",
    "read_schema_header",
    "PREFIX_BYTES",
    "SCHEMA_HEADER",
    "MAX_PAYLOAD",
]


class Codec:
    """Encodes and decodes values of one schema; safe for use by several threads.

    Each direction is generated at its first use, after which the generated function is called without a detour.

    Args:
        schema: of the writer.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def encode(self, record: Any, prefix: bytes = b"") -> bytes:
        """The bytes of a record.

        Fields that the record leaves out take their defaults; nothing is coerced. Instants and times are cut to the
        unit of their type, as every Avro library does.

        Args:
            record: a value of the schema: a mapping, for a record.
            prefix: bytes to put before, such as Confluent's (`meshport.codec.prefix`).

        Raises:
            EncodeError: the record does not fit the schema; `field` is the path of the first misfit.
            SchemaError: a default in the schema is no value of its field.
        """
        return self.encoder()(record, prefix)

    def decode(self, body: bytes, start: int = 0) -> Any:
        """The value of some bytes, all of which must belong to it.

        Args:
            body: the payload.
            start: position of the first byte that is Avro, 5 behind Confluent's prefix.

        Returns:
            A dict for a record, with the values of fastavro: datetime (aware in UTC, or naive for local timestamps),
            date, time, Decimal, UUID; a str for an enum.

        Raises:
            DecodeError: the bytes are not what the schema says, or ask for more than `codec.limits` allows.
        """
        return self.decoder()(body, start)

    def encoder(self) -> Encode:
        """The generated function behind `encode`, made now if it was not."""
        made: Encode | None = vars(self).get("encode")
        if made is None:
            made = vars(self)["encode"] = encoder(self.schema)
        return made

    def decoder(self) -> Decode:
        """The generated function behind `decode`, made now if it was not."""
        made: Decode | None = vars(self).get("decode")
        if made is None:
            made = vars(self)["decode"] = decoder(self.schema)
        return made

    def encode_many(self, records: Iterable[Any], prefix: bytes = b"") -> list[bytes]:
        """The bytes of each record; see `encode`."""
        encode = self.encode
        return [encode(record, prefix) for record in records]

    def decode_many(self, bodies: Iterable[bytes], start: int = 0) -> list[Any]:
        """The value of each payload; see `decode`."""
        decode = self.decode
        return [decode(body, start) for body in bodies]


@lru_cache(maxsize=256)
def codec_for(schema: Schema) -> Codec:
    """The codec of a schema, the same one each time; the 256 last used are kept."""
    return Codec(schema)
