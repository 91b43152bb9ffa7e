"""Static bounds of a schema: how much memory a decoder could need for a few bytes.

The bytes of a value bound its size, except for parts that take no bytes: nulls, empty records, nesting. For example, n
records whose two fields both have the type of the next record, ending in an empty record, decode to 2^n dicts from
zero bytes ("billion laughs"). Each named type is measured once, so that measuring takes time linear in the schema's
text, whatever the schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from meshport.errors import SchemaError
from meshport.schema.wellformed import MAX_FIXED

# Bytes of memory that a decoded value may take for each byte on the wire. The largest ratio of a real contract is a
# record of one short number in an array, about 220 to 1; five such records around one number reach 1,000.
MAX_WEIGHT_PER_BYTE: Final = 1024
# Wire bytes that are added before the ratio is taken, so that an event with no fields set is allowed.
FREE_BYTES: Final = 64
# Depth of records within records, with references followed. The decoder and every other Avro library recurse over it.
# `canonical.MAX_NESTING` is the same bound for nested definitions.
MAX_HEIGHT: Final = 64

# Approximate size in bytes of a value in CPython 3.11 (sys.getsizeof).
_WEIGHTS: Final = {
    "null": 0,
    "boolean": 0,
    "int": 32,
    "long": 32,
    "float": 24,
    "double": 24,
    "bytes": 40,
    "string": 56,
    "enum": 0,
    "fixed": 40,
}
_WIDTHS: Final = {"null": 0, "float": 4, "double": 8}
_CONTAINER: Final = 64
# Number of values in all defaults of a schema, each branch of a union counted: a codec builds them before the first
# event. A schema of MAX_TYPES fields with the default null has about 15,000.
MAX_DEFAULT_VALUES: Final = 25_000
# Nesting of values within a default, including defaults of nested fields; the decoder allows an event the same depth.
_DEFAULT_DEPTH: Final = 100
_RECORD: Final = 184
_LOGICAL: Final = 104


class Shape(NamedTuple):
    """Lower bounds of every value of a type.

    Attributes:
        width: the least number of bytes on the wire.
        parts: the number of values that are built before any count or index is read.
        weight: bytes of memory that those values take, approximately.
        height: depth of nested records, this one included.
    """

    width: int
    parts: int
    weight: int
    height: int


class Shapes:
    """Measures the types of a schema; each named type once.

    Args:
        form: the canonical form of the whole schema.
        source: how errors name the schema.

    Raises:
        SchemaError: a record contains itself without a union, array or map in between, or records nest too deep.
    """

    def __init__(self, form: Any, *, source: str = "the schema") -> None:
        self._source = source
        self._named: dict[str, Shape | None] = {}
        self._of: dict[int, Shape] = {}
        self._form = form  # keeps the forms alive whose ids are keys
        self.of(form)

    def of(self, form: Any) -> Shape:
        """Return the shape of a type of the schema, given by its canonical form or by name."""
        if isinstance(form, str) and form not in _WEIGHTS:
            shape = self._named.get(form)
            if shape is None:
                raise SchemaError(
                    f"{self._source}: the record {form!r} contains itself, so that no value of it could end",
                    source=self._source,
                    hint="refer to it through a union with null, an array or a map",
                    rule="DECODING_BOMB",
                )
            return shape
        known = self._of.get(id(form)) if not isinstance(form, str) else None
        if known is None:
            known = self._measure(form)
            if not isinstance(form, str):
                self._of[id(form)] = known
        return known

    def _measure(self, form: Any) -> Shape:
        if isinstance(form, list):
            # A branch may be a record that is still being measured, so only the index of the branch is counted.
            for branch in form:
                self._visit(branch)
            return Shape(1, 1, _WEIGHTS["string"], 0)
        kind = form if isinstance(form, str) else form["type"]
        if kind == "array" or kind == "map":
            self._visit(form["items" if kind == "array" else "values"])
            return Shape(1, 1, _CONTAINER, 0)
        if kind in {"record", "error"}:
            return self._record(form)
        size = form["size"] if kind == "fixed" else 0
        weight = _WEIGHTS[kind] + size + (_LOGICAL if isinstance(form, dict) and "logicalType" in form else 0)
        shape = Shape(size if kind == "fixed" else _WIDTHS.get(kind, 1), 1, weight, 0)
        if kind in {"enum", "fixed"}:
            self._named[form["name"]] = shape
        return shape

    def _record(self, form: Any) -> Shape:
        name = form["name"]
        self._named[name] = None
        width, parts, weight, height = 0, 1, _RECORD + 32 * len(form["fields"]), 0
        for field in form["fields"]:
            shape = self.of(field["type"])
            width += shape.width
            parts += shape.parts
            weight += shape.weight
            height = max(height, shape.height)
        if height >= MAX_HEIGHT:
            raise SchemaError(
                f"{self._source}: the record {name!r} nests more than {MAX_HEIGHT} records in one another",
                source=self._source,
                rule="DECODING_BOMB",
            )
        self._named[name] = shape = Shape(width, parts, weight, height + 1)
        return shape

    def _visit(self, form: Any) -> None:
        """Measure the type of a branch, item or map value; a name refers to a record that is or will be measured."""
        if not isinstance(form, str):
            self.of(form)


def refuse_bomb(form: Any, *, source: str) -> None:
    """Refuse a schema whose values could take far more memory than their bytes justify.

    Args:
        form: the canonical form.
        source: how errors name the schema.

    Raises:
        SchemaError: a value could exceed `MAX_WEIGHT_PER_BYTE`, nest too deep, or have too large a default.
    """
    shapes = Shapes(form, source=source)
    _weigh(shapes.of(form), FREE_BYTES, "a value", source)
    for holder, held, paid in _held(form):
        shape = shapes.of(held)
        if shape.width or holder != "an array's item":
            _weigh(shape, paid, holder, source)
    _Defaults(form, source).refuse()


class _Defaults:
    """Counts the values of a schema's defaults. A default that omits fields takes their defaults, which can double its size."""

    def __init__(self, form: Any, source: str) -> None:
        self._records = {each["name"]: each for each in _records(form)}
        self._source = source
        self._known: dict[tuple[int, int], int | None] = {}

    def refuse(self) -> None:
        total = 0
        for record in self._records.values():
            for field in record["fields"]:
                if "default" in field:
                    total += self._count(field["type"], field["default"], 0)
                    if total > MAX_DEFAULT_VALUES:
                        raise SchemaError(
                            f"{self._source}: its defaults stand for more than {MAX_DEFAULT_VALUES} values",
                            source=self._source,
                            hint="defaults that leave fewer fields to the defaults within",
                            rule="DECODING_BOMB",
                        )

    def _count(self, form: Any, data: Any, depth: int) -> int:
        """Return the number of values that a default builds or tries; each pair of type and data is counted once."""
        form = self._records.get(form, form) if isinstance(form, str) else form
        if isinstance(form, str) or (not isinstance(data, dict | list) and not isinstance(form, list)):
            return 1
        key = (id(form), id(data))
        count = self._known.get(key, 0)
        if count is None or depth > _DEFAULT_DEPTH:
            raise SchemaError(f"{self._source}: a default contains itself", source=self._source, rule="DECODING_BOMB")
        if not count:
            self._known[key] = None
            count = self._known[key] = 1 + sum(self._count(*each, depth + 1) for each in self._within(form, data))
        return count

    def _within(self, form: Any, data: Any) -> Iterator[tuple[Any, Any]]:
        if isinstance(form, list):
            yield from ((branch, data) for branch in form)
        elif isinstance(data, list) and form["type"] == "array":
            yield from ((form["items"], each) for each in data)
        elif isinstance(data, dict) and form["type"] == "map":
            yield from ((form["values"], each) for each in data.values())
        elif isinstance(data, dict):
            for field in form.get("fields", ()):
                if field["name"] in data or "default" in field:
                    yield field["type"], data.get(field["name"], field.get("default"))


def _records(form: Any) -> Iterator[Any]:
    """Yield every record that a schema defines."""
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            if each["type"] in {"record", "error"}:
                yield each
                stack.extend(field["type"] for field in each["fields"])
            stack.extend(each[key] for key in ("items", "values") if key in each)


def _weigh(shape: Shape, paid: int, what: str, source: str) -> None:
    if shape.width > MAX_FIXED:
        raise SchemaError(
            f"{source}: {what} takes {_size(shape.width)} at least",
            source=source,
            hint=f"a Kafka message takes {MAX_FIXED}",
            rule="DECODING_BOMB",
        )
    if shape.weight > MAX_WEIGHT_PER_BYTE * (shape.width + paid):
        raise SchemaError(
            f"{source}: {what} of {shape.width + paid} bytes could grow to {_size(shape.weight)} in memory",
            source=source,
            hint=f"at most {MAX_WEIGHT_PER_BYTE} for each byte: fewer records nested without a field that takes bytes",
            rule="DECODING_BOMB",
        )


def _size(size: int) -> str:
    return f"{size} bytes" if size < 10**9 else "more than 1 GB"


def _held(form: Any) -> Iterator[tuple[str, Any, int]]:
    """Yield each type that an index or a count precedes, with the bytes of that index or map key."""
    if isinstance(form, list):
        for branch in form:
            yield "a union's branch", branch, 1
            yield from _held(branch)
    elif isinstance(form, dict):
        match form["type"]:
            case "array":
                yield "an array's item", form["items"], 0
                yield from _held(form["items"])
            case "map":
                yield "a map's value", form["values"], 1
                yield from _held(form["values"])
            case "record" | "error":
                for field in form["fields"]:
                    yield from _held(field["type"])
