"""Confluent's wire format: a magic byte and the schema's id before the body.

Source: Confluent Schema Registry, "Wire format"; magic 0 with a 4-byte big-endian id before the value, and since
confluent-kafka 2.10 magic 1 with a 16-byte GUID, in a header.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from meshport.errors import DecodeError

PREFIX_BYTES: Final = 5
# The header that names the schema of a value without prefix.
SCHEMA_HEADER: Final = "__value_schema_id"


def prefix(schema_id: int) -> bytes:
    """Return the five bytes before a body. `Codec.encode` takes them as `prefix` and needs no second copy."""
    if not 0 <= schema_id < 2**32:
        raise ValueError(f"{schema_id} is no 4-byte schema id")
    return b"\x00" + schema_id.to_bytes(4, "big")


def unframe(value: bytes) -> tuple[int, int]:
    """Return the schema's id and the index of the body's first byte; the value is not copied.

    Raises:
        DecodeError: the value has fewer than five bytes, or another magic byte.
    """
    if len(value) < PREFIX_BYTES or value[0]:
        found = f"a value of {len(value)} bytes that begins with {value[:1].hex()}" if value else "an empty value"
        raise DecodeError(
            f"{found} has no schema id before it",
            offset=0,
            hint="Confluent's wire format is a 0, the 4-byte id, the body",
        )
    return int.from_bytes(value[1:PREFIX_BYTES], "big"), PREFIX_BYTES


def read_schema_header(value: bytes) -> int | UUID:
    """Return the content of the header `__value_schema_id`: a numeric id (magic 0, 4 bytes) or a GUID (magic 1, 16 bytes).

    Raises:
        DecodeError: the header has another magic byte or length.
    """
    if len(value) == 5 and value[0] == 0:
        return int.from_bytes(value[1:], "big")
    if len(value) == 17 and value[0] == 1:
        return UUID(bytes=value[1:])
    raise DecodeError(
        f"the header {SCHEMA_HEADER} of {len(value)} bytes names no schema",
        hint="a 0 and a 4-byte id, or a 1 and a 16-byte GUID",
    )
