"""Reads numbers and UUIDs off text, by one strict rule: ASCII digits, nothing between them.

`Decimal` and `UUID` also take `1_000` and the digits of other scripts, which other readers of the same text refuse.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Final
from uuid import UUID

_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Below this, floats of single precision hold every whole number too.
_EXACT: Final = 2**24
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9a-fA-F]{32}")


def parse_number(text: str) -> Decimal:
    """Return the number that a text is, exactly.

    Raises:
        ValueError: the text is no number; NaN and Infinity are none either.
    """
    try:
        if _NUMBER.fullmatch(text):
            return Decimal(text)
    except InvalidOperation:  # an exponent of more than 18 digits
        pass
    raise ValueError(f"{text!r} is not a number")


def parse_uuid(text: str) -> UUID:
    """Return the UUID that a text is: 32 hexadecimal digits, with or without hyphens.

    Raises:
        ValueError: the text is no UUID.
    """
    if not _UUID.fullmatch(text):
        raise ValueError(f"{text!r} is not a UUID")
    return UUID(text)


def loses_digits(number: Decimal | int, rounded: float) -> bool:
    """Return whether a whole number, written out in digits, is shown with other digits after it was rounded to a double.

    9007199254740993 is (as 9007199254740992.0). A number in exponent form or with a fraction is an approximation already.
    """
    if abs(rounded) < _EXACT:
        return False
    exact = Decimal(number)
    exponent = exact.as_tuple().exponent
    if not isinstance(exponent, int) or exponent > 0 or exact != exact.to_integral_value():
        return False
    return Decimal(repr(rounded)) != exact
