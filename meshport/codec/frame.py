"""Confluent's wire format: a magic byte and the schema's id before the body.

Source: Confluent Schema Registry, "Wire format"; magic 0 with a 4-byte big-endian id before the value, and since
confluent-kafka 2.10 magic 1 with a 16-byte GUID, in a header.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from meshport.errors import DecodeError

PREFIX_BYTES: Final = 5
# The header that names the value's schema where the value is the body alone.
SCHEMA_HEADER: Final = "__value_schema_id"


def prefix(schema_id: int) -> bytes:
    """The five bytes before a body: pass them to `Codec.encode`, which joins them without a second copy."""
    if not 0 <= schema_id < 2**32:
        raise ValueError(f"{schema_id} is no 4-byte schema id")
    return b"\x00" + schema_id.to_bytes(4, "big")


def frame(schema_id: int, body: bytes) -> bytes:
    """A body in Confluent's wire format."""
    return prefix(schema_id) + body


def unframe(value: bytes) -> tuple[int, int]:
    """The schema's id and the position of the body's first byte, so that nothing is copied.

    Raises:
        DecodeError: fewer than five bytes, or another magic.
    """
    if len(value) < PREFIX_BYTES or value[0]:
        found = f"begins with {value[:1].hex()}" if value else "is empty"
        raise DecodeError(
            f"a value of {len(value)} bytes that {found} has no schema id before it",
            offset=0,
            hint="Confluent's wire format is a 0, the 4-byte id, the body",
        )
    return int.from_bytes(value[1:PREFIX_BYTES], "big"), PREFIX_BYTES


def read_schema_header(value: bytes) -> int | UUID:
    """What the header `__value_schema_id` names: a numeric id (0 and 4 bytes) or a GUID (1 and 16 bytes).

    Raises:
        DecodeError: it is neither.
    """
    if len(value) == 5 and value[0] == 0:
        return int.from_bytes(value[1:], "big")
    if len(value) == 17 and value[0] == 1:
        return UUID(bytes=value[1:])
    raise DecodeError(
        f"the header {SCHEMA_HEADER} of {len(value)} bytes names no schema",
        hint="a 0 and a 4-byte id, or a 1 and a 16-byte GUID",
    )
