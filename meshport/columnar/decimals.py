"""Columns of decimals between Avro's big-endian bytes of any length and Arrow's little-endian 16 or 32 bytes."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa

from meshport.columnar.kinds import ColumnMisfit, Fixed, Kind, built, cast, validity
from meshport.columnar.native import Refused

# Digits of Arrow's widest decimal.
MAX_DIGITS: Final = 76


def arrow_decimal(form: Any) -> Any:
    """Return the Arrow type of a decimal of at most 76 digits."""
    made = pa.decimal128 if form["precision"] <= 38 else pa.decimal256
    return made(form["precision"], form.get("scale", 0))


class BytesDecimal(Kind):
    """`decimal` on bytes."""

    def __init__(self, form: Any) -> None:
        arrow = arrow_decimal(form)
        super().__init__("string", arrow, cost=8 + arrow.byte_width)

    def read(self, column: Any) -> Any:
        """As `Kind.read`; the decoder checks the precision for the whole batch."""
        width, rows = self.arrow.byte_width, len(column)
        if not rows:
            return pa.array([], self.arrow)
        ends = np.frombuffer(column.buffers()[1], "<i4", rows + 1)
        lengths = np.diff(ends)
        if lengths.max() > width:
            raise Refused("a decimal longer than its precision needs")
        data = np.frombuffer(column.buffers()[2] or b"\0", "u1")
        if not data.size:
            data = np.zeros(1, "u1")
        digits = np.arange(width)
        within = digits < lengths[:, None]
        little = data[np.where(within, ends[1:, None] - 1 - digits, 0)]
        first = data[np.minimum(ends[:-1], data.size - 1)]
        sign = np.where((lengths > 0) & (first >= 128), 255, 0)
        return built(self.arrow, column, np.where(within, little, sign[:, None]).astype("u1"))

    def write(self, column: Any) -> Any:
        """As `Kind.write`; the number of bytes is the codec's, with one bit for the sign."""
        decimals = _conformed(column, self.arrow)
        little = _little(decimals)
        rows, width = little.shape
        if not rows:
            return pa.array([], pa.string())
        magnitude = _magnitude(little)
        some = magnitude != 0
        top = np.where(some.any(1), width - 1 - np.argmax(some[:, ::-1], axis=1), 0)
        lengths = top + 1 + (magnitude[np.arange(rows), top] >= 128)
        if decimals.null_count:
            lengths = np.where(decimals.is_valid().to_numpy(zero_copy_only=False), lengths, 0)
        ends = np.zeros(rows + 1, "<i4")
        np.cumsum(lengths, out=ends[1:])
        row = np.repeat(np.arange(rows), lengths)
        index = ends[1:][row] - 1 - np.arange(ends[-1])
        data = np.ascontiguousarray(little[row, index])
        buffers = [validity(decimals), pa.py_buffer(ends), pa.py_buffer(data)]
        return pa.Array.from_buffers(pa.string(), rows, buffers, decimals.null_count)


class FixedDecimal(Kind):
    """`decimal` on a fixed whose size is a multiple of four bytes."""

    def __init__(self, form: Any, name: str) -> None:
        self._fixed = Fixed(form["size"], name)
        self._size = form["size"]
        arrow = arrow_decimal(form)
        super().__init__(self._fixed.wire, arrow, least=self._size, cost=self._fixed.cost + arrow.byte_width)

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        little = _resized(self._fixed.octets(column)[:, ::-1], self.arrow.byte_width)
        if little is None:
            raise Refused("a decimal of more digits than its precision")
        return built(self.arrow, column, little)

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        decimals = _conformed(column, self.arrow)
        little = _little(decimals)
        if decimals.null_count:
            little = np.where(decimals.is_valid().to_numpy(zero_copy_only=False)[:, None], little, 0).astype("u1")
        resized = _resized(little, self._size)
        if resized is None:
            raise ColumnMisfit(f"holds a decimal that takes more than the {self._size} bytes of its fixed")
        return self._fixed.wired(resized[:, ::-1], decimals)


def _conformed(column: Any, wanted: Any) -> Any:
    if not (pa.types.is_decimal(column.type) or pa.types.is_null(column.type)):
        raise ColumnMisfit(f"is {column.type}, where {wanted} is asked for")
    return cast(column, wanted)


def _little(decimals: Any) -> Any:
    width = decimals.type.byte_width
    if not len(decimals):
        return np.empty((0, width), "u1")
    return np.frombuffer(decimals.buffers()[1], "u1", len(decimals) * width).reshape(-1, width)


def _magnitude(little: Any) -> Any:
    """Return the bytes of the absolute values of two's complements."""
    words = np.ascontiguousarray(little).view("<u8").copy()
    negative = little[:, -1] >= 128
    carry = negative.copy()
    for at in range(words.shape[1]):
        flipped = ~words[:, at] + carry.astype("u8")
        words[:, at] = np.where(negative, flipped, words[:, at])
        carry &= flipped == 0
    return words.view("u1")


def _resized(little: Any, width: int) -> Any:
    """Return two's complements in another width, or None if one does not fit."""
    sign = np.where(little[:, -1:] >= 128, 255, 0).astype("u1")
    size = little.shape[1]
    if size <= width:
        return np.concatenate([little, np.repeat(sign, width - size, axis=1)], axis=1)
    kept = little[:, :width]
    if (little[:, width:] != sign).any() or ((kept[:, -1:] >= 128) != (sign >= 128)).any():
        return None
    return kept
