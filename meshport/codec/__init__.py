"""Avro bytes to records and back, bounded and fast.

A codec is generated once for a schema, as Python source that checks every byte it reads and every value it writes. It is
safe on hostile bytes, returns the same results as fastavro's general reader and writer, and is faster.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from meshport.codec.decoding import Decode, decoder
from meshport.codec.encoding import Encode, encoder
from meshport.codec.frame import PREFIX_BYTES, SCHEMA_HEADER, prefix, read_schema_header, unframe
from meshport.codec.limits import MAX_PAYLOAD
from meshport.codec.resolving import ResolvingDecoder
from meshport.schema import Schema

__all__ = [
    "Codec",
    "codec_for",
    "ResolvingDecoder",
    "prefix",
    "unframe",
    "read_schema_header",
    "PREFIX_BYTES",
    "SCHEMA_HEADER",
    "MAX_PAYLOAD",
]


class Codec:
    """Encodes and decodes values of one schema; safe for use by several threads.

    Each direction is generated at its first use; afterwards `encode` and `decode` are the generated functions.

    Args:
        schema: of the writer.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def encode(self, record: Any, prefix: bytes = b"") -> bytes:
        """Return the bytes of a record.

        Fields that the record omits take their defaults. Values are not coerced. Instants and times are truncated to the
        unit of their type, as in other Avro libraries.

        Args:
            record: a value of the schema: a mapping, for a record.
            prefix: bytes to write first, such as Confluent's (`meshport.codec.prefix`).

        Raises:
            EncodeError: the record does not fit the schema; `field` is the path of the first misfit.
            SchemaError: a default in the schema is not a value of its field.
        """
        return self.encoder()(record, prefix)

    def decode(self, body: bytes, start: int = 0) -> Any:
        """Return the value of a payload; bytes after the value are an error.

        Args:
            body: the payload.
            start: index of the first byte of Avro; 5 after Confluent's prefix.

        Returns:
            A dict for a record, with the same Python types as fastavro: datetime (aware in UTC, or naive for local timestamps),
            date, time, Decimal, UUID; a str for an enum. A date or timestamp before year 1 or after 9999 is its number.

        Raises:
            DecodeError: the bytes do not match the schema, or exceed the bounds of `codec.limits`.
        """
        return self.decoder()(body, start)

    def encoder(self) -> Encode:
        """Return the generated function of `encode`; generate it at the first call."""
        made: Encode | None = vars(self).get("encode")
        if made is None:
            made = vars(self)["encode"] = encoder(self.schema)
        return made

    def decoder(self) -> Decode:
        """Return the generated function of `decode`; generate it at the first call."""
        made: Decode | None = vars(self).get("decode")
        if made is None:
            made = vars(self)["decode"] = decoder(self.schema)
        return made


@lru_cache(maxsize=256)
def codec_for(schema: Schema) -> Codec:
    """Return the codec of a schema from a cache of the 256 last used."""
    return Codec(schema)
