"""The kinds of Avro's types: the type for the native library, the Arrow type, and the conversion between their columns.

"Wire" columns are those of the native library. Each kind checks what the library does not: reading raises `Refused`, after
which the bounded decoder decides; writing raises
`ColumnMisfit`.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.columnar.native import Refused

_MICROS_PER_DAY: Final = 86_400_000_000
_UNITS: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


class ColumnMisfit(ValueError):  # noqa: N818 - becomes an EncodeError, with the path
    """Raised for a column that its Avro type cannot hold."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path


class Kind:
    """One type of a schema.

    Args:
        wire: the type for the native library.
        arrow: the Arrow type of columns.

    Attributes:
        least: least number of bytes of a value on the wire.
        cost: bytes of a value in columns apart from its content: values, offsets, validity.
    """

    def __init__(self, wire: Any, arrow: Any, *, least: int = 1, cost: int = 8) -> None:
        self.wire = wire
        self.arrow = arrow
        self.least = least
        self.cost = cost

    def read(self, column: Any) -> Any:
        """Convert a wire column to the Arrow type.

        Raises:
            Refused: the column has a value that is not of the type.
        """
        return column

    def write(self, column: Any) -> Any:
        """Convert a column, of any type that can be cast without loss, to a wire column.

        Raises:
            ColumnMisfit: a value is not of the type.
        """
        return cast(column, self.arrow)

    def value(self, value: Any) -> Any:
        """Convert a value of the codec for `pyarrow.array`."""
        return value


class Int(Kind):
    """`int`, read as a long: the library truncates to 32 bits, while Arrow's cast refuses larger numbers."""

    def __init__(self) -> None:
        super().__init__("long", pa.int32())

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        return column.cast(pa.int32())

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        return cast(column, pa.int32()).cast(pa.int64())


class Bytes(Kind):
    """`bytes`, read as text and retyped: the library panics on the type `bytes`, and keeps all bytes of a text."""

    def __init__(self) -> None:
        super().__init__("string", pa.binary())

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        return retyped(column, pa.binary())

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            raise ColumnMisfit("is text, where bytes are asked for")
        return retyped(cast(column, pa.binary()), pa.string())


class Text(Kind):
    """`string`; the decoder checks UTF-8 for the whole batch."""

    def __init__(self) -> None:
        super().__init__("string", pa.string())

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            raise ColumnMisfit("is bytes, where text is asked for")
        return cast(column, pa.string())


class Counted(Kind):
    """A number that counts days or parts of a second: `date`, `time-*`, `timestamp-*`, `local-timestamp-*`.

    Args:
        arrow: the type of the column.
        storage: the type of the number, int32 or int64.
        end: the first number after a day, for a time of day; None where the storage bounds the number.
    """

    def __init__(self, arrow: Any, storage: Any, end: int | None = None) -> None:
        super().__init__("long", arrow)
        self._storage = storage
        self._end = end

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        if self._beyond(column):
            raise Refused("a number out of range")
        return retyped(column if self._storage == pa.int64() else column.cast(self._storage), self.arrow)

    def write(self, column: Any) -> Any:
        """As `Kind.write`; an instant of a finer unit is truncated, as by the codec."""
        numbers = retyped(self._conformed(column), self._storage).cast(pa.int64())
        if self._beyond(numbers):
            raise ColumnMisfit("holds what is no time of a day")
        return numbers

    def _beyond(self, numbers: Any) -> bool:
        if self._end is None:
            return False
        ends = pc.min_max(numbers)
        low, high = ends["min"].as_py(), ends["max"].as_py()
        return low is not None and not 0 <= low <= high < self._end

    def _conformed(self, column: Any) -> Any:
        given = column.type
        if pa.types.is_timestamp(given) != pa.types.is_timestamp(self.arrow) and not pa.types.is_integer(given):
            raise ColumnMisfit(f"is {given}, where {self.arrow} is asked for")
        if pa.types.is_integer(given):
            return retyped(cast(column, self._storage), self.arrow)
        if pa.types.is_timestamp(given) and (given.tz is None) != (self.arrow.tz is None):
            raise ColumnMisfit(f"is {given}, where {self.arrow} is asked for")
        if hasattr(given, "unit") and hasattr(self.arrow, "unit") and _UNITS[given.unit] > _UNITS[self.arrow.unit]:
            wide = pa.int32() if given.bit_width == 32 else pa.int64()
            numbers = retyped(column, wide).cast(pa.int64())
            cut = numbers_of(numbers, "<i8") // (_UNITS[given.unit] // _UNITS[self.arrow.unit])
            return retyped(built(pa.int64(), numbers, cut).cast(self._storage), self.arrow)
        return cast(column, self.arrow)


class Enum(Kind):
    """`enum`, as text, which data frames can compare and group by."""

    def __init__(self, form: Any, name: str) -> None:
        super().__init__({"type": "enum", "name": name, "symbols": form["symbols"]}, pa.string())
        self._symbols = pa.array(form["symbols"], pa.string())

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        texts = cast(column, pa.string())
        known = pc.is_in(texts.drop_null(), value_set=self._symbols)
        if not pc.all(known, min_count=0).as_py():
            raise ColumnMisfit("holds what is no symbol of its enum")
        return texts


class Uuid(Kind):
    """`uuid`: the text of RFC 4122 in lower case, as `str(UUID)` returns it."""

    _HEX: Final = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdefABCDEF", "u1"))
    _DASHES: Final = (8, 13, 18, 23)

    def __init__(self) -> None:
        super().__init__("string", pa.string())

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        if not self._well_formed(column):
            raise Refused("no UUID")
        return pc.ascii_lower(column)

    def write(self, column: Any) -> Any:
        """As `Kind.write`; upper case is kept."""
        texts = cast(column, pa.string())
        if not self._well_formed(texts):
            raise ColumnMisfit("holds what is no UUID")
        return texts

    def value(self, value: Any) -> Any:
        """As `Kind.value`."""
        return str(value) if isinstance(value, UUID) else value

    def _well_formed(self, column: Any) -> bool:
        texts = column.drop_null() if column.null_count else column
        if not len(texts):
            return True
        ends = np.frombuffer(texts.buffers()[1], "<i4", len(texts) + 1, texts.offset * 4)
        if (np.diff(ends) != 36).any():
            return False
        letters = np.frombuffer(texts.buffers()[2], "u1")[ends[0] : ends[-1]].reshape(-1, 36)
        if (letters[:, self._DASHES] != ord("-")).any():
            return False
        return bool(self._HEX[np.delete(letters, self._DASHES, axis=1)].all())


class Fixed(Kind):
    """`fixed` with a size that is a multiple of four, read as doubles and a float, whose bits the library does not change.

    Args:
        size: in bytes.
        name: of the record that represents it on the wire.
    """

    def __init__(self, size: int, name: str) -> None:
        self._parts = [8] * (size // 8) + [4] * (size % 8 // 4)
        fields = [{"name": f"f{at}", "type": _FLOATS[part]} for at, part in enumerate(self._parts)]
        wire = {"type": "record", "name": name, "fields": fields}
        super().__init__(wire, pa.binary(size), least=size, cost=size + len(self._parts))
        self._size = size

    def octets(self, column: Any) -> Any:
        """Return the bytes of a wire column as an array of (length, size)."""
        out = np.empty((len(column), self._size), "u1")
        at = 0
        for index, part in enumerate(self._parts):
            out[:, at : at + part] = numbers_of(column.field(index), "u1", part).reshape(-1, part)
            at += part
        return out

    def wired(self, octets: Any, like: Any) -> Any:
        """Return a wire column from bytes of (length, size), with the nulls of another column."""
        children = []
        at = 0
        for part in self._parts:
            data = pa.py_buffer(np.ascontiguousarray(octets[:, at : at + part]))
            floats = pa.float64() if part == 8 else pa.float32()
            children.append(pa.Array.from_buffers(floats, len(like), [None, data]))
            at += part
        form = pa.struct([(f"f{index}", child.type) for index, child in enumerate(children)])
        return pa.Array.from_buffers(form, len(like), [validity(like)], like.null_count, children=children)

    def read(self, column: Any) -> Any:
        """As `Kind.read`."""
        return built(self.arrow, column, self.octets(column))

    def write(self, column: Any) -> Any:
        """As `Kind.write`."""
        if pa.types.is_string(column.type):
            raise ColumnMisfit("is text, where bytes are asked for")
        octets = cast(column, self.arrow)
        return self.wired(numbers_of(octets, "u1", self._size).reshape(-1, self._size), octets)


_FLOATS: Final = {8: "double", 4: "float"}
COUNTED: Final[dict[str, tuple[Any, ...]]] = {
    "int-date": (pa.date32(), pa.int32()),
    "int-time-millis": (pa.time32("ms"), pa.int32(), _MICROS_PER_DAY // 1000),
    "long-time-micros": (pa.time64("us"), pa.int64(), _MICROS_PER_DAY),
    "long-timestamp-millis": (pa.timestamp("ms", "UTC"), pa.int64()),
    "long-timestamp-micros": (pa.timestamp("us", "UTC"), pa.int64()),
    "long-local-timestamp-millis": (pa.timestamp("ms"), pa.int64()),
    "long-local-timestamp-micros": (pa.timestamp("us"), pa.int64()),
}
PLAIN: Final[dict[str, tuple[Any, int]]] = {
    "boolean": (pa.bool_(), 1),
    "long": (pa.int64(), 1),
    "float": (pa.float32(), 4),
    "double": (pa.float64(), 8),
}


def cast(column: Any, wanted: Any) -> Any:
    """Cast a column to another type without changing a value.

    Raises:
        ColumnMisfit: a value would change.
    """
    if column.type == wanted:
        return column
    given = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    number = pa.types.is_integer(wanted) or pa.types.is_floating(wanted)
    if number and not (pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_null(given)):
        raise ColumnMisfit(f"is {given}, where {wanted} is asked for")
    if pa.types.is_string(wanted) and not (_is_text(given) or pa.types.is_null(given)):
        raise ColumnMisfit(f"is {given}, where {wanted} is asked for")
    if pa.types.is_boolean(wanted) and not pa.types.is_null(given):
        raise ColumnMisfit(f"is {given}, where {wanted} is asked for")
    if pa.types.is_integer(wanted) and pa.types.is_floating(given):
        raise ColumnMisfit(f"is {given}, where {wanted} is asked for")
    try:
        made = column.cast(wanted)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ColumnMisfit(f"is {given}, where {wanted} is asked for: {str(error)[:200]}") from error
    # Arrow casts a double beyond a float's range to infinity.
    if wanted == pa.float32() and column.type == pa.float64() and not pc.is_inf(made).equals(pc.is_inf(column)):
        raise ColumnMisfit(f"holds a number beyond the range of {wanted}")
    return made


def _is_text(given: Any) -> bool:
    return bool(pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given))


def retyped(column: Any, wanted: Any) -> Any:
    """Return the buffers of a column that is not a slice under another type, without a copy."""
    return pa.Array.from_buffers(wanted, len(column), column.buffers(), column.null_count, offset=column.offset)


def validity(column: Any) -> Any:
    """Return the validity bitmap of a column that is not a slice; None if it has no nulls."""
    return column.buffers()[0] if column.null_count else None


def built(wanted: Any, like: Any, values: Any) -> Any:
    """Return a fixed-width column from its values' bytes, with the nulls of another column that is not a slice."""
    data = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(wanted, len(like), [validity(like), data], like.null_count)


def numbers_of(column: Any, kind: str, times: int = 1) -> Any:
    """Return the numbers of a fixed-width column, `times` for each value; those of nulls are undefined."""
    count = len(column) * times
    if not count:
        return np.empty(0, kind)
    return np.frombuffer(column.buffers()[1], kind, count, column.offset * times * np.dtype(kind).itemsize)
