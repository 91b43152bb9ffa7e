"""Avro's variable-length zig-zag numbers: tables and functions that the generated codecs call.

Most numbers on the wire take one byte, which the generated code handles itself. These functions handle the others.
"""

from __future__ import annotations

from typing import Final


class Malformed(ValueError):  # noqa: N818 - never leaves the codec: it becomes a DecodeError, with path and offset
    """Raised within a decoder for bytes that do not match the schema."""


INT_MIN: Final = -(2**31)
INT_MAX: Final = 2**31 - 1
LONG_MIN: Final = -(2**63)
LONG_MAX: Final = 2**63 - 1

# The number of each one-byte varint.
ZIGZAG: Final = tuple((raw >> 1) ^ -(raw & 1) for raw in range(128))
# Size of a string or bytes including its length byte, for lengths of one byte. 0 means that `read_length` must read the
# length: it is longer, or negative, which is odd in zig-zag form.
SPAN: Final = tuple((raw >> 1) + 1 if raw < 128 and not raw & 1 else 0 for raw in range(256))

_TABLE: Final = 1 << 14
_MASK: Final = _TABLE - 1
# Complete varints of one and two bytes, and all two-byte beginnings of longer ones.
VARINTS: Final = tuple(bytes((raw,)) if raw < 128 else bytes((raw & 127 | 128, raw >> 7)) for raw in range(_TABLE))
_FOLLOWED: Final = tuple(bytes((raw & 127 | 128, raw >> 7 | 128)) for raw in range(_TABLE))
# The varint of each length below 8,192. A length is not negative, so its zig-zag form is twice the length.
LENGTHS: Final = VARINTS[::2]


def read_raw(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned varint of two bytes or more; return the number and the index after it.

    The loop is unrolled in steps of three bytes, so that most sums stay below 2**30, where CPython's integers are fastest: a
    timestamp in milliseconds takes six bytes, one in microseconds eight. Each step subtracts the continuation bit (`0x80`,
    shifted) that the previous step added.

    Raises:
        Malformed: more than ten bytes or 64 bits.
        IndexError: the data ends within it.
    """
    byte = data[at + 1]
    low = data[at] + (byte << 7) - 0x80
    if byte < 128:
        return low, at + 2
    byte = data[at + 2]
    low += (byte << 14) - 0x4000
    if byte < 128:
        return low, at + 3
    low -= 0x20_0000
    middle = data[at + 3]
    if middle < 128:
        return low + (middle << 21), at + 4
    byte = data[at + 4]
    middle += (byte << 7) - 0x80
    if byte < 128:
        return low + (middle << 21), at + 5
    byte = data[at + 5]
    middle += (byte << 14) - 0x4000
    if byte < 128:
        return low + (middle << 21), at + 6
    low += middle - 0x20_0000 << 21
    high = data[at + 6]
    if high < 128:
        return low + (high << 42), at + 7
    byte = data[at + 7]
    high += (byte << 7) - 0x80
    if byte < 128:
        return low + (high << 42), at + 8
    byte = data[at + 8]
    high += (byte << 14) - 0x4000
    if byte < 128:
        return low + (high << 42), at + 9
    byte = data[at + 9]
    if byte > 127:
        raise Malformed("is a varint of more than 10 bytes")
    if byte > 1:
        raise Malformed("is a varint of more than 64 bits")
    return low + (high - 0x20_0000 + (byte << 21) << 42), at + 10


def read_int(data: bytes, at: int) -> tuple[int, int]:
    """Read a zig-zag int of two bytes or more; return the number and the index after it.

    Raises:
        Malformed: as `read_raw`, or the number has more than 32 bits.
        IndexError: the data ends within it.
    """
    raw, at = read_raw(data, at)
    if raw >> 32:
        raise Malformed(f"is {(raw >> 1) ^ -(raw & 1)}, which is more than 32 bits")
    return (raw >> 1) ^ -(raw & 1), at


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """Read a length or block size of any number of bytes; return it and the index after it.

    Raises:
        Malformed: as `read_raw`, or the length is negative or exceeds the data.
        IndexError: the data ends within it.
    """
    raw, at = read_raw(data, at) if data[at] > 127 else (data[at], at + 1)
    if raw & 1 or raw >> 1 > len(data) - at:
        raise Malformed(f"has the length {(raw >> 1) ^ -(raw & 1)} where {max(len(data) - at, 0)} bytes are left")
    return raw >> 1, at


def varint(raw: int) -> bytes:
    """Return the varint of an unsigned number of at most 64 bits."""
    if raw < _TABLE:
        return VARINTS[raw]
    if raw < 1 << 28:
        return _FOLLOWED[raw & _MASK] + VARINTS[raw >> 14]
    if raw < 1 << 42:
        return _FOLLOWED[raw & _MASK] + _FOLLOWED[raw >> 14 & _MASK] + VARINTS[raw >> 28]
    return _FOLLOWED[raw & _MASK] + _FOLLOWED[raw >> 14 & _MASK] + varint(raw >> 28)


def long_varint(number: int) -> bytes:
    """Return the zig-zag varint of a number of at most 64 bits."""
    return varint(number << 1 ^ number >> 63)
