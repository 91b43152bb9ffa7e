"""Static bounds of a schema: what a decoder could be made to build out of few bytes.

The size of a value is settled by its bytes everywhere but in what takes none: nulls, empty records, the nesting
itself. A schema of n records whose two fields both have the next one's type, ending in an empty record, asks for
2^n dicts and not one byte ("billion laughs"). Everything is counted per named type and once, so that a schema built
to explode is measured in time linear in its text.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from meshport.errors import SchemaError
from meshport.schema.wellformed import MAX_FIXED

# What one decoded value may weigh for each byte that it took on the wire. The heaviest honest item, a record of one
# short number in an array, weighs about 220 bytes for 1; five such records around one number reach 1,000.
MAX_WEIGHT_PER_BYTE: Final = 1024
# A value made of nothing but an envelope (an event with no fields set) may weigh this, whatever its bytes.
FREE_BYTES: Final = 64
# Records in records, references followed: what the decoder and every other Avro library walk by recursion. It is the
# bound of definitions in one another (`canonical.MAX_NESTING`) for types that are referred to by name.
MAX_HEIGHT: Final = 64

# Bytes that CPython 3.11 takes for a value, to the nearest order that matters here (sys.getsizeof).
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
# Values that all defaults of a schema make together, the branches of unions counted each: what a codec tries and builds
# before the first event. A schema of MAX_TYPES fields whose default is null asks for some 15,000.
MAX_DEFAULT_VALUES: Final = 25_000
# Values in one another that a default spells out or leaves to the defaults within; what the decoder allows an event.
_DEFAULT_DEPTH: Final = 100
_RECORD: Final = 184
_LOGICAL: Final = 104


class Shape(NamedTuple):
    """What every value of a type has at least, or takes up without saying so in its bytes.

    Attributes:
        width: bytes on the wire that no value of the type goes below.
        parts: values that are built before any count or index is read.
        weight: bytes of memory that those take, roughly.
        height: records in records, this one included.
    """

    width: int
    parts: int
    weight: int
    height: int


class Shapes:
    """The shapes of a schema's types; each named type is measured once.

    Args:
        form: the canonical form of the whole schema.
        source: how errors name the schema.

    Raises:
        SchemaError: a record contains itself with no union, array or map between, or records nest too deep.
    """

    def __init__(self, form: Any, *, source: str = "the schema") -> None:
        self._source = source
        self._named: dict[str, Shape | None] = {}
        self._of: dict[int, Shape] = {}
        self._form = form  # keeps the forms alive whose ids are keys
        self.of(form)

    def of(self, form: Any) -> Shape:
        """The shape of one type within the schema: a part of its canonical form, or a name in it."""
        if isinstance(form, str) and form not in _WEIGHTS:
            shape = self._named.get(form)
            if shape is None:
                raise SchemaError(
                    f"{self._source}: the record {form!r} contains itself, so that no value of it could end",
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
            # A branch may be a record that is not finished here: its index alone is what a value surely takes.
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
                rule="DECODING_BOMB",
            )
        self._named[name] = shape = Shape(width, parts, weight, height + 1)
        return shape

    def _visit(self, form: Any) -> None:
        """Measure what stands behind an index or a count; a record that is being measured needs no second visit."""
        if not isinstance(form, str):
            self.of(form)


def refuse_bomb(form: Any, *, source: str) -> None:
    """Refuse a schema whose values could grow out of all proportion to their bytes.

    Args:
        form: the canonical form.
        source: how errors name the schema.

    Raises:
        SchemaError: it could.
    """
    shapes = Shapes(form, source=source)
    _weigh(shapes.of(form), FREE_BYTES, "a value", source)
    for holder, held, paid in _held(form):
        shape = shapes.of(held)
        if shape.width or holder != "an array's item":
            _weigh(shape, paid, holder, source)
    _Defaults(form, source).refuse()


class _Defaults:
    """What the defaults of a schema stand for; one that leaves fields out is filled from theirs, which may double it."""

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
                            hint="defaults that leave fewer fields to the defaults within",
                            rule="DECODING_BOMB",
                        )

    def _count(self, form: Any, data: Any, depth: int) -> int:
        """Values that are made or tried for a default; each pair of a type and its data is counted through once."""
        form = self._records.get(form, form) if isinstance(form, str) else form
        if isinstance(form, str) or (not isinstance(data, dict | list) and not isinstance(form, list)):
            return 1
        key = (id(form), id(data))
        count = self._known.get(key, 0)
        if count is None or depth > _DEFAULT_DEPTH:
            raise SchemaError(f"{self._source}: a default contains itself", rule="DECODING_BOMB")
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
    """Every record that a schema defines."""
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
            hint=f"a Kafka message takes {MAX_FIXED}",
            rule="DECODING_BOMB",
        )
    if shape.weight > MAX_WEIGHT_PER_BYTE * (shape.width + paid):
        raise SchemaError(
            f"{source}: {what} of {shape.width + paid} bytes could grow to {_size(shape.weight)} in memory",
            hint=f"at most {MAX_WEIGHT_PER_BYTE} for each byte: fewer records nested without a field that takes bytes",
            rule="DECODING_BOMB",
        )


def _size(size: int) -> str:
    return f"{size} bytes" if size < 10**9 else "more than 1 GB"


def _held(form: Any) -> Iterator[tuple[str, Any, int]]:
    """What stands behind an index or a count, and the bytes that such an index or key takes beside it."""
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
