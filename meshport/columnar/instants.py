"""Columns of RFC 3339 texts in UTC, as our writer puts them in headers, to microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from meshport.codec import accept
from meshport.rfc3339 import usual_instant

# Lengths of `2026-01-02T03:04:05Z`, and with one to six digits of a second. Arrow accepts more forms (a space for the T, no
# colons, offsets, dates alone), and other ones than RFC 3339; texts of these lengths with these letters are the same in both.
_BARE: Final = 20
_DOT_ALONE: Final = 21
_MILLIS: Final = 24
_LONGEST: Final = 27
_LETTERS: Final = {4: ord("-"), 7: ord("-"), 10: ord("T"), 13: ord(":"), 16: ord(":")}
_AT_DOT: Final = 19


class Instants(NamedTuple):
    """A column of instants.

    Attributes:
        micros: a numpy array of int64, microseconds since 1970 in UTC.
        canonical: whether each text is the form that our writer gives its instant: the shortest of no digits, three or six.
    """

    micros: Any
    canonical: bool


def instants(texts: Sequence[bytes]) -> Instants | None:
    """Return the instants of at least one text, or None if `is_plain` is false for one of them."""
    count = len(texts)
    try:
        column = pa.array(texts, pa.string())
    except (pa.ArrowException, TypeError):
        return None
    if column.null_count:
        return None
    ends = np.frombuffer(column.buffers()[1], "<i4", count + 1)
    lengths = np.diff(ends)
    if lengths.min() < _BARE or lengths.max() > _LONGEST or (lengths == _DOT_ALONE).any():
        return None
    letters = np.frombuffer(column.buffers()[2], "u1")
    begins = ends[:-1]
    if (letters[ends[1:] - 1] != ord("Z")).any() or any(
        (letters[begins + at] != each).any() for at, each in _LETTERS.items()
    ):
        return None
    if (letters[begins[lengths > _BARE] + _AT_DOT] != ord(".")).any():
        return None
    try:
        moments = column.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowException:
        return None
    micros = np.frombuffer(moments.buffers()[1], "<i8", count)
    if micros.min() < accept.MIN_MICROS:
        return None
    fitting = np.where(micros % 1000 != 0, _LONGEST, np.where(micros % 1_000_000 != 0, _MILLIS, _BARE))
    return Instants(micros, bool((lengths == fitting).all()))


def is_plain(text: bytes) -> bool:
    """Return whether `instants` reads a text: UTC, upper case, at most six digits of a second, an existing day."""
    try:
        usual_instant(text)
    except ValueError:
        return False
    return True
