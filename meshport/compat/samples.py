"""Encoded sample values of a schema: every branch, symbol and boundary at least once, in as few events as possible.

Sample `i` contains the `i`-th alternative of every field, so that the number of samples is that of the field with the most
alternatives, not the product. A type is covered where it is defined and once more wherever it is named; after a second name
there is only its smallest value. The samples are deterministic: the same schema has the same samples.

The bytes are written here and not by a generated encoder, which would take longer to generate than all samples together.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from meshport.codec import MAX_PAYLOAD, accept
from meshport.codec.limits import MAX_DEPTH
from meshport.codec.logical import kind_of
from meshport.codec.varint import INT_MAX, INT_MIN, LENGTHS, LONG_MAX, LONG_MIN, long_varint
from meshport.errors import SchemaError
from meshport.schema import Schema

# Alternatives of one field that are covered, an even selection if there are more; enough for all countries or currencies.
MAX_SAMPLES: Final = 512
# Parts (numbers, texts, records ...) of all samples of a schema together; ten fields in 512 samples have fewer.
MAX_PARTS: Final = 20_000
# Parts of the smallest value of a type. Only types that double one another have a larger one, which is an attack.
MAX_LEAST: Final = 5_000
# Bytes of all samples of a schema together, above which no further one is made.
MAX_BYTES: Final = MAX_PAYLOAD

# Parts of one sample after which the rest of it is as small as possible.
_ROOM: Final = 2_000
_FEWEST: Final = 4
# Items of an array or map that is not empty; one if the items are large.
_ITEMS: Final = 3
_LARGE: Final = 100
# The number of names that were followed: after the first the type itself is sampled, after the second its smallest value.
_SHORT, _SMALLEST = 1, 2

_RECORDS: Final = frozenset({"record", "error"})
_TEXTS: Final = ("", "é€𝄞", "x" * 70)
_KEYS: Final = ("", "ключ", "k" * 70)
_UUIDS: Final = ("00000000-0000-0000-0000-000000000000", "FFFFFFFF-ffff-ffff-ffff-ffffffffffff")
_NUMBERS: Final = {
    "int": (0, INT_MAX, INT_MIN, -65, 64),
    "long": (0, LONG_MAX, LONG_MIN, -(2**31) - 1, 2**31),
    "int-date": (0, accept.MAX_DAY, accept.MIN_DAY),
    "int-time-millis": (0, 86_399_999),
    "long-time-micros": (0, 86_399_999_999),
    "long-timestamp-millis": (0, accept.MAX_MICROS // 1000, accept.MIN_MICROS // 1000),
    "long-timestamp-micros": (0, accept.MAX_MICROS, accept.MIN_MICROS),
    "long-local-timestamp-millis": (0, accept.MAX_MICROS // 1000, accept.MIN_MICROS // 1000),
    "long-local-timestamp-micros": (0, accept.MAX_MICROS, accept.MIN_MICROS),
}


def _prefixed(data: bytes) -> bytes:
    return long_varint(len(data)) + data


_LEAVES: Final[dict[str, tuple[bytes, ...]]] = {
    "null": (b"",),
    "boolean": (b"\0", b"\1"),
    "float": tuple(struct.pack("<f", each) for each in (0.0, -1.5, 3.4028234663852886e38, float("-inf"), float("nan"))),
    "double": tuple(
        struct.pack("<d", each) for each in (0.0, -1.5, 1.7976931348623157e308, float("inf"), float("nan"))
    ),
    "string": tuple(_prefixed(each.encode()) for each in _TEXTS),
    "bytes": tuple(_prefixed(each) for each in (b"", b"\xff\xfe\0", b"\x80" * 70)),
    "string-uuid": tuple(_prefixed(each.encode()) for each in _UUIDS),
    **{kind: tuple(map(long_varint, numbers)) for kind, numbers in _NUMBERS.items()},
}
_KEYED: Final = tuple(_prefixed(each.encode()) for each in _KEYS)


def samples(schema: Schema, limit: int = MAX_SAMPLES) -> tuple[bytes, ...]:
    """Return bodies of events that a writer of the schema may send.

    Args:
        schema: of the writer.
        limit: the maximum number of samples. Time and bytes are bounded too, so that a schema with very many types has fewer.

    Returns:
        The bodies without a prefix; each is valid and within the bounds of the codec. Empty if no value of the schema ends.

    Raises:
        SchemaError: the smallest value of a type has more than `MAX_LEAST` parts.
    """
    smallest = _Smallest(schema)
    root = schema.form
    least = smallest.of(root)
    if least is None:
        return ()
    if least > MAX_LEAST:
        raise _too_large("a value", least)
    shared = max(MAX_PARTS // max(least, smallest.types), _FEWEST)
    alternatives = _Alternatives(smallest, min(limit, shared))
    bodies: list[bytes] = []
    size = 0
    for index in range(alternatives.of(root, 0)):
        body = _Sample(alternatives).body(index)
        if body is not None:
            bodies.append(body)
            size += len(body)
        if size > MAX_BYTES:
            break
    return tuple(bodies)


class _Smallest:
    """The size of the smallest value of each type, in parts; None for a type of which no value ends."""

    def __init__(self, schema: Schema) -> None:
        self.form = schema.form
        self.named: dict[str, Any] = {}
        self.types = 0
        self._named: dict[str, int] = {}
        self._branches: dict[int, int] = {}
        open_ = list(self._defined(self.form))
        # A type that refers to itself ends after some rounds or never: each round finds one level of a value.
        for _ in range(MAX_DEPTH):
            left = [form for form in open_ if not self._settle(form)]
            if not left or len(left) == len(open_):
                break
            open_ = left

    def of(self, form: Any) -> int | None:
        """Return the parts of the type's smallest value."""
        if isinstance(form, list):
            found = [(parts, index) for index, branch in enumerate(form) if (parts := self.of(branch)) is not None]
            if not found:
                return None
            # The branch that was found first stays: it was known before any type that refers to this union.
            self._branches.setdefault(id(form), min(found)[1])
            return 1 + min(found)[0]
        if isinstance(form, str):
            return self._named.get(form) if form in self.named else 1
        if form["type"] in _RECORDS:
            return self._named.get(form["name"])
        return 1

    def branch(self, union: list[Any]) -> int:
        """Return the index of the branch with the smallest value; a value of the union must end."""
        if id(union) not in self._branches:
            self.of(union)
        return self._branches[id(union)]

    def _settle(self, record: Any) -> bool:
        parts = 1
        for field in record["fields"]:
            least = self.of(field["type"])
            if least is None:
                return False
            parts += least
        self._named[record["name"]] = parts
        return True

    def _defined(self, form: Any) -> Iterator[Any]:
        """Yield the records that a type defines, each after those that it defines itself."""
        self.types += 1
        if isinstance(form, list):
            for branch in form:
                yield from self._defined(branch)
        elif isinstance(form, dict):
            for key in ("items", "values"):
                if key in form:
                    yield from self._defined(form[key])
            for field in form.get("fields", ()):
                yield from self._defined(field["type"])
            if form["type"] in _RECORDS:
                self.named[form["name"]] = form
                yield form
            elif form["type"] in {"enum", "fixed"}:
                self.named[form["name"]] = form
                self._named[form["name"]] = 1


class _Alternatives:
    """The number of samples that each type needs, at most `limit`; 0 if no value of it ends."""

    def __init__(self, smallest: _Smallest, limit: int) -> None:
        self.smallest = smallest
        self.limit = limit
        self._known: dict[tuple[int, int], int] = {}
        self._short: dict[str, int] = {}
        self._leaves: dict[int, tuple[bytes, ...]] = {}

    def of(self, form: Any, level: int) -> int:
        """Return the number of alternatives of a type after this many followed names."""
        return min(self.all(form, level), self.limit)

    def all(self, form: Any, level: int) -> int:
        """Return the number of alternatives, without the limit on this type itself."""
        if isinstance(form, str):
            return self._reference(form, level)
        key = (id(form), level)
        if key not in self._known:
            self._known[key] = self._count(form, level)
        return self._known[key]

    def leaf(self, form: Any) -> tuple[bytes, ...]:
        """Return the encoded values of a type that contains no other."""
        if isinstance(form, str):
            return _LEAVES[form]
        if id(form) not in self._leaves:
            self._leaves[id(form)] = tuple(_written(form))
        return self._leaves[id(form)]

    def items(self, held: Any) -> int:
        """Return the number of items of an array or map that has some; 0 if it has to be empty."""
        least = self.smallest.of(held)
        if least is None:
            return 0
        if least > MAX_LEAST:
            raise _too_large("an item", least)
        return 1 if least > _LARGE else _ITEMS

    def _reference(self, name: str, level: int) -> int:
        if name not in self.smallest.named:
            return len(_LEAVES[name])
        if self.smallest.of(name) is None:
            return 0
        if level >= _SHORT:
            return 1
        if name not in self._short:
            self._short[name] = self.of(self.smallest.named[name], _SHORT)
        return self._short[name]

    def _count(self, form: Any, level: int) -> int:
        if isinstance(form, list):
            return sum(self._branch(branch, level) for branch in form)
        kind = form["type"]
        if kind == "array" or kind == "map":
            held = form["items" if kind == "array" else "values"]
            items = self.items(held)
            return 1 + -(-self.of(held, level) // items) if items else 1
        if kind in _RECORDS:
            if self.smallest.of(form) is None:
                return 0
            return max((self.of(field["type"], level) for field in form["fields"]), default=1)
        return len(self.leaf(form))

    def _branch(self, branch: Any, level: int) -> int:
        least = self.smallest.of(branch)
        if least is not None and least > MAX_LEAST:
            raise _too_large("a union's branch", least)
        return self.of(branch, level)


class _TooLarge(Exception):  # noqa: N818 - never leaves this module
    """Raised for a sample that no decoder would accept."""


class _Sample:
    """One sample while it is written."""

    def __init__(self, alternatives: _Alternatives) -> None:
        self._alternatives = alternatives
        self._smallest = alternatives.smallest
        self._out: list[bytes] = []
        self._size = 0
        self._parts = 0

    def body(self, index: int) -> bytes | None:
        """Return the bytes of the sample; None if they are larger, or nest deeper, than a decoder accepts."""
        try:
            self._write(self._smallest.form, index, 0, 0)
        except _TooLarge:
            return None
        return b"".join(self._out)

    def _add(self, piece: bytes) -> None:
        self._parts += 1
        self._size += len(piece)
        if self._size > MAX_PAYLOAD:
            raise _TooLarge
        self._out.append(piece)

    def _write(self, form: Any, index: int, level: int, depth: int) -> None:
        """Write one alternative of a type.

        Args:
            form: the type.
            index: of the alternative; an index beyond the last one starts over.
            level: the number of names that were followed.
            depth: the number of records, arrays and maps around it.
        """
        if isinstance(form, str) and form in self._smallest.named:
            form, level = self._smallest.named[form], min(level + 1, _SMALLEST)
        if self._parts > _ROOM:
            level = _SMALLEST
        kind = "union" if isinstance(form, list) else form if isinstance(form, str) else form["type"]
        if kind == "union":
            self._union(form, index, level, depth)
            return
        if kind in _RECORDS or kind == "array" or kind == "map":
            if depth >= MAX_DEPTH:
                raise _TooLarge
            self._parts += 1
            if kind in _RECORDS:
                for field in form["fields"]:
                    self._write(field["type"], index, level, depth + 1)
            else:
                self._blocks(form["items" if kind == "array" else "values"], index, level, depth + 1, kind)
            return
        pieces = self._alternatives.leaf(form)
        self._add(pieces[0 if level == _SMALLEST else self._spread(form, index, level)])

    def _spread(self, form: Any, index: int, level: int) -> int:
        """Return the alternative for an index: each in turn, or an even selection if there are more than samples."""
        every, covered = self._alternatives.all(form, level), self._alternatives.of(form, level)
        at = index % covered
        # The selection includes the last one, where new symbols and branches usually are.
        return at if every == covered else at * (every - 1) // max(covered - 1, 1)

    def _union(self, branches: list[Any], index: int, level: int, depth: int) -> None:
        if level == _SMALLEST:
            taken, within = self._smallest.branch(branches), 0
        else:
            taken, within = 0, self._spread(branches, index, level)
            while within >= (count := self._alternatives.of(branches[taken], level)):
                within -= count
                taken += 1
        self._add(long_varint(taken))
        self._write(branches[taken], within, level, depth)

    def _blocks(self, held: Any, index: int, level: int, depth: int, kind: str) -> None:
        items = self._alternatives.items(held) if level < _SMALLEST else 0
        if items:
            count = self._alternatives.of(held, level)
            chunks = -(-count // items)
            chunk = index % (chunks + 1)
            if chunk < chunks:
                self._add(LENGTHS[items])
                for item in range(items):
                    if kind == "map":
                        self._add(_KEYED[item])
                    self._write(held, chunk * items + item, level, depth)
        self._add(b"\0")


def _written(form: Any) -> Iterator[bytes]:
    kind = kind_of(form)
    match kind:
        case "enum":
            yield from (long_varint(index) for index in range(len(form["symbols"])))
        case "fixed":
            yield from (bytes(form["size"]), b"\xff" * form["size"])
        case "bytes-decimal" | "fixed-decimal":
            largest = 10 ** form["precision"] - 1
            size = form["size"] if kind == "fixed-decimal" else (largest.bit_length() + 8) // 8
            largest = min(largest, 2 ** (8 * size - 1) - 1)
            for unscaled in (0, largest, -largest):
                octets = unscaled.to_bytes(size, "big", signed=True)
                yield octets if kind.startswith("fixed") else _prefixed(octets)
        case _:
            yield from _LEAVES[kind]


def _too_large(what: str, parts: int) -> SchemaError:
    count = f"{parts}" if parts < 10**9 else "more than 10^9"
    return SchemaError(
        f"{what} of the schema has {count} parts at least, which is more than a proof by data builds",
        hint=f"at most {MAX_LEAST}: fewer types that hold one another twice",
    )
