"""Single precision: the value that an Avro `float` holds of a number, which Python has no type for.

Avro: a float is a "single precision (32-bit) IEEE 754 floating-point number". So is a value that schema resolution makes one: a
default, and an int or long that is read as a float. Java's resolution casts them too.
"""

from __future__ import annotations

import struct
from typing import Final

_SINGLE: Final = struct.Struct("<f")
# Bits of a whole number that a double holds exactly.
_EXACT: Final = 53


def single(number: float) -> float:
    """Return the nearest number of single precision.

    Args:
        number: an int is rounded once, and not to a double first.

    Raises:
        OverflowError: the number is finite and beyond the range of single precision.
    """
    if isinstance(number, int) and number.bit_length() > _EXACT:
        number = _shortened(number)
    nearest: float = _SINGLE.unpack(_SINGLE.pack(number))[0]
    return nearest


def _shortened(number: int) -> int:
    """Return a number of 53 bits with the same nearest single: what is cut off sets its last bit ("round to odd")."""
    magnitude = abs(number)
    shift = magnitude.bit_length() - _EXACT
    kept = magnitude >> shift
    if magnitude != kept << shift:
        kept |= 1
    kept <<= shift
    return -kept if number < 0 else kept
