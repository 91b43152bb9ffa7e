"""The decoder of one schema: generated Python that checks every byte it reads.

The source has one function for the whole schema, and one for each named type that is referred to by name, so that its
size is linear in the schema and recursive types can count their depth. Some bounds are checked by a later read: a string
that ends after the data gives a short slice, and then the next read or the final comparison of positions fails. The cause
of a failure is found afterwards from the traceback (`GeneratedSource.locate`), so that correct payloads do not pay for it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import date
from decimal import InvalidOperation
from functools import partial
from typing import Any, Final

from meshport.codec import logical, varint
from meshport.codec.layout import Layout
from meshport.codec.limits import MAX_DEPTH, MAX_PAYLOAD, MAX_ZERO_WIDTH
from meshport.codec.logical import kind_of
from meshport.codec.single import single
from meshport.codec.source import MAX_INDENT, GeneratedSource
from meshport.codec.varint import Malformed
from meshport.errors import DecodeError
from meshport.schema import Schema

Decode = Callable[[bytes, int], Any]
# Emits code that reads a value: (variable, depth within the function, indentation).
Emit = Callable[[str, int, int], None]

_CONSTANTS: Final = {
    "ZIGZAG": varint.ZIGZAG,
    "SPAN": varint.SPAN,
    "read_raw": varint.read_raw,
    "read_int": varint.read_int,
    "read_length": varint.read_length,
    "Malformed": Malformed,
    "EPOCH": logical.EPOCH,
    "LOCAL_EPOCH": logical.LOCAL_EPOCH,
    "MILLI": logical.MILLI,
    "MICRO": logical.MICRO,
    "DAYS": logical.DAYS_BEFORE_EPOCH,
    "from_ordinal": date.fromordinal,
    "time_of_millis": logical.time_of_millis,
    "time_of_micros": logical.time_of_micros,
    "micros_of_millis": logical.micros_of_millis,
    "uuid_of": logical.uuid_of,
    "single": single,
    "unpack_float": struct.Struct("<f").unpack_from,
    "unpack_double": struct.Struct("<d").unpack_from,
    "BOOLEANS": {0: False, 1: True},
}
# Exceptions that bytes which do not match the schema can cause. Any other exception is a defect of the generator.
_CAUGHT: Final = (IndexError, KeyError, ValueError, OverflowError, struct.error, InvalidOperation, RecursionError)
_LONGEST_PATH: Final = 120
# The value of a number, by kind.
NUMBERS: Final = {
    "long-timestamp-millis": "EPOCH + MILLI * {}",
    "long-timestamp-micros": "EPOCH + MICRO * {}",
    "long-local-timestamp-millis": "LOCAL_EPOCH + MILLI * {}",
    "long-local-timestamp-micros": "LOCAL_EPOCH + MICRO * {}",
    "int-date": "from_ordinal({} + DAYS)",
    "int-time-millis": "time_of_millis({})",
    "long-time-micros": "time_of_micros({})",
}


def decoder(schema: Schema) -> Decode:
    """Generate the decoder of a schema: a function of (payload, index of the body's first byte) that returns the value.

    Raises:
        SchemaError: a record contains itself without a union, array or map in between.
    """
    return DecoderSource(schema).build()


class DecoderSource:
    """Emits the decoder of one schema.

    Args:
        schema: of the bytes.
    """

    def __init__(self, schema: Schema) -> None:
        self._layout = Layout(schema)
        self._budget = ", budget" if self._layout.counts_zero_width else ""
        self._source = GeneratedSource(_CONSTANTS)
        self._functions: dict[str, str] = {}
        self._pending: list[Callable[[], None]] = []

    def build(self) -> Decode:
        """Emit the source, execute it and return the decoder."""
        source = self._source
        source.location = ("", "payload")
        source.add(0, "def decode(b, p=0):")
        source.add(1, "try:")
        source.add(2, "end = len(b)")
        source.add(2, f"if end - p > {MAX_PAYLOAD}: raise Malformed('is a payload of %d bytes' % (end - p))")
        source.add(2, "d = 0")
        if self._layout.counts_zero_width:
            source.add(2, f"budget = [{MAX_ZERO_WIDTH}]")
        self._root("v", 2)
        source.location = ("", "record")
        source.add(2, "if p == end: return v")
        source.add(2, "if p < end: raise Malformed('is followed by %d more bytes' % (end - p))")
        source.add(2, "raise IndexError")
        source.add(1, "except CAUGHT as error:")
        source.add(2, "raise explain(error, b) from None")
        while self._pending:
            self._pending.pop()()
        return source.function("decode", {"CAUGHT": _CAUGHT, "explain": self._explain})

    def _root(self, into: str, indent: int) -> None:
        self._value(self._layout.form, into, 0, indent)

    def _function(self, name: str, kind: str, emit: Emit) -> None:
        source = self._source
        source.location = ("", kind)
        source.add(0, f"def {name}(b, p, end, d{self._budget}):")
        source.add(1, f"if d > {MAX_DEPTH}: raise Malformed('nests more than {MAX_DEPTH} levels deep')")
        emit("v", 0, 1)
        source.add(1, "return v, p")

    def _call(self, key: str | None, kind: str, emit: Emit, into: str, *, depth: int, indent: int) -> None:
        """Emit a call of a function that is emitted later.

        Args:
            key: identifies the function for further calls; None for a function with one caller.
            kind: the kind of type that it reads.
            emit: emits its code.
            into: the variable for the value.
            depth: records, arrays and maps that enclose the call within the calling function.
            indent: of the call.
        """
        name = self._functions.get(key) if key is not None else None
        if name is None:
            name = made = self._source.name("read_")
            self._pending.append(lambda: self._function(made, kind, emit))
            if key is not None:
                self._functions[key] = name
        at = f"d + {depth}" if depth else "d"
        self._source.add(indent, f"{into}, p = {name}(b, p, end, {at}{self._budget})")

    def _key(self, form: Any) -> str | None:
        """Return the key of a type's function: the name of a record that is referred to, else None."""
        return str(form["name"]) if self._layout.is_shared(form) else None

    def _value(self, form: Any, into: str, depth: int, indent: int, *, whole: bool = False) -> None:
        """Emit code that reads one value at `p` into a variable.

        Args:
            form: its type.
            into: the variable.
            depth: records, arrays and maps that enclose it within the function.
            indent: of the code.
            whole: whether the function being emitted is that of this type.
        """
        source = self._source
        form = self._layout.definition(form)
        kind = kind_of(form)
        path = source.location[0]
        source.location = (path, kind)
        match kind:
            case "record" | "error" | "array" | "map" | "union":
                key = self._key(form)
                if not whole and (indent > MAX_INDENT or key):
                    self._call(key, kind, partial(self._value, form, whole=True), into, depth=depth, indent=indent)
                elif kind == "union":
                    self._union(form, self._value, into, depth, indent)
                elif kind == "array" or kind == "map":
                    held = form["items"] if kind == "array" else form["values"]
                    self._blocks(held, partial(self._value, held), into, depth + 1, indent)
                else:
                    self._record(form, into, depth + 1, indent)
            case "null":
                source.add(indent, f"{into} = None")
            case "boolean":
                source.add(indent, f"{into} = BOOLEANS[b[p]]; p += 1")
            case "float" | "double":
                source.add(indent, f"{into}, = unpack_{kind}(b, p); p += {4 if kind == 'float' else 8}")
            case "string" | "string-uuid" | "bytes" | "bytes-decimal":
                self._prefixed(form, kind, into, indent)
            case "fixed" | "fixed-decimal":
                read = "{}" if kind == "fixed" else f"{source.constant(logical.decimal_reader(form))}({{}})"
                source.add(indent, f"q = p + {form['size']:d}")
                source.add(indent, "if q > end: raise IndexError")
                source.add(indent, f"{into} = {read.format('b[p:q]')}; p = q")
            case "enum":
                self._enum({index << 1: symbol for index, symbol in enumerate(form["symbols"])}, into, indent)
            case _:
                self._number(kind.partition("-")[0], kind, into, indent)
        source.location = (path, kind)

    def _prefixed(self, form: Any, kind: str, into: str, indent: int) -> None:
        """Emit a read of a length and that many bytes: text, bytes or a decimal."""
        source = self._source
        match kind:
            case "string":
                read = "b[{}:q].decode()"
            case "string-uuid":
                read = "uuid_of(b[{}:q].decode())"
            case "bytes":
                read = "b[{}:q]"
            case _:
                read = f"{source.constant(logical.decimal_reader(form))}(b[{{}}:q])"
        source.add(indent, "q = SPAN[b[p]]")
        source.add(indent, f"if q: q += p; {into} = {read.format('p + 1')}; p = q")
        source.add(indent, "else:")
        source.add(indent + 1, "n, p = read_length(b, p); q = p + n")
        source.add(indent + 1, f"{into} = {read.format('p')}; p = q")

    def _number(self, wire: str, kind: str, into: str, indent: int, *, beyond: str = "n") -> None:
        """Emit a read of an int or long, converted to the value of its logical type, if any.

        Args:
            wire: `int` or `long`.
            kind: of the type, as `kind_of` names it.
            into: the variable.
            indent: of the code.
            beyond: the value in place of a date or timestamp that Python does not have; by default the number itself.
        """
        source, made = self._source, NUMBERS.get(kind)
        self._varint("n" if made else into, indent, "read_int" if wire == "int" else "read_raw")
        if made and kind in logical.CALENDAR:
            # A `try` costs nothing until it catches.
            source.add(indent, f"try: {into} = {made.format('n')}")
            source.add(indent, f"except (OverflowError, ValueError): {into} = {beyond}")
        elif made:
            source.add(indent, f"{into} = {made.format('n')}")

    def _enum(self, symbols: Mapping[int, str], into: str, indent: int) -> None:
        self._raw(indent)
        self._source.add(indent, f"{into} = {self._source.constant(symbols)}[n]")

    def _varint(self, into: str, indent: int, read: str = "read_raw") -> None:
        """Emit a read of an int or a long: one byte through a table, more through a function."""
        source = self._source
        source.add(indent, "n = b[p]")
        source.add(indent, f"if n < 128: {into} = ZIGZAG[n]; p += 1")
        if read == "read_raw":  # any 64 bits are a valid long
            source.add(indent, f"else: n, p = read_raw(b, p); {into} = n >> 1 ^ -(n & 1)")
        else:
            source.add(indent, f"else: {into}, p = {read}(b, p)")

    def _raw(self, indent: int) -> None:
        """Emit a read of an index in zig-zag form, which is odd for a negative index and so in no table."""
        self._source.add(indent, "n = b[p]")
        self._source.add(indent, "if n < 128: p += 1")
        self._source.add(indent, "else: n, p = read_raw(b, p)")

    def _union(
        self, branches: list[Any], branch_value: Callable[..., None], into: str, depth: int, indent: int
    ) -> None:
        source = self._source
        location = source.location
        self._raw(indent)
        for index, branch in enumerate(branches):
            source.location = location
            source.add(indent, f"{'el' if index else ''}if n == {index << 1}:")
            branch_value(branch, into, depth, indent + 1)
        source.location = location
        if branches:
            source.add(indent, "else:")
        source.add(indent + bool(branches), "raise KeyError(n)")

    def _record(self, form: Any, into: str, depth: int, indent: int) -> None:
        source = self._source
        path, kind = source.location
        parts = []
        for field in form["fields"]:
            source.location = (f"{path}.{field['name']}" if path else str(field["name"]), "")
            parts.append(f"{field['name']!r}: {(name := source.name())}")
            self._value(field["type"], name, depth, indent)
        source.location = (path, kind)
        source.add(indent, f"{into} = {{{', '.join(parts)}}}")

    def _blocks(self, held: Any, emit: Emit, into: str, depth: int, indent: int) -> None:
        """Emit a read of an array or a map: blocks of a count and that many items, ended by a count of zero."""
        source = self._source
        path, kind = source.location
        count, stop, item = source.name("n"), source.name("s"), source.name()
        shape = self._layout.shape(held)
        width = shape.width if kind == "array" else shape.width + 1
        add = source.name("a")
        source.add(indent, f"{into} = {'[]' if kind == 'array' else '{}'}")
        if kind == "array":
            source.add(indent, f"{add} = {into}.append")
        self._varint(count, indent)
        source.add(indent, f"while {count}:")
        source.add(indent + 1, f"{stop} = 0")
        # Avro: a negative count is followed by the size of the block in bytes, which lets readers skip it.
        source.add(indent + 1, f"if {count} < 0: {count} = -{count}; {stop}, p = read_length(b, p); {stop} += p")
        if width:
            source.add(indent + 1, f"if {count} * {width} > end - p: raise Malformed('has %d items' % {count})")
        else:
            source.add(indent + 1, f"budget[0] -= {count} * {shape.parts}")
            source.add(indent + 1, f"if budget[0] < 0: raise Malformed('has %d items of no bytes' % {count})")
        source.add(indent + 1, f"for _ in range({count}):")
        inner = f"{path}[]" if kind == "array" else f"{path}{{}}"
        if kind == "map":
            key = source.name("k")
            source.location = (f"{inner}", "string")
            self._value("string", key, depth, indent + 2)
        source.location = (inner, "")
        target = item if kind == "array" else f"{into}[{key}]"
        emit(item, depth, indent + 2)
        source.add(indent + 2, f"{add}({item})" if kind == "array" else f"{target} = {item}")
        source.location = (path, kind)
        source.add(
            indent + 1, f"if {stop} and {stop} != p: raise Malformed('has a block of another size than it says')"
        )
        self._varint(count, indent + 1)

    def _explain(self, error: Exception, data: bytes) -> DecodeError:
        """Return the error for a failed payload, with the field's path and the byte's offset."""
        path, kind, offset, end = "", "", 0, 0
        for location, word, local in self._source.locate(error.__traceback__):
            path = f"{path}.{location}" if path and location and location[0] not in "[{" else path + location
            kind, offset, end = word, local.get("p", 0), local.get("q", 0)
        if len(path) > _LONGEST_PATH:  # in a recursive value
            path = f"{path[: _LONGEST_PATH // 2]}...{path[-_LONGEST_PATH // 2 :]}"
        where = f"{path!r} ({kind})" if path else f"the {kind}"
        if isinstance(error, IndexError | struct.error) or max(offset, end) > len(data):
            return DecodeError(f"the {len(data)} bytes end within {where}", offset=len(data))
        return DecodeError(f"{where} {_reason(error, kind)}, at byte {offset}", offset=offset)


def _reason(error: Exception, kind: str) -> str:
    match error:
        case Malformed():
            return str(error)
        case UnicodeDecodeError():
            return f"is no UTF-8: {error.reason}"
        case KeyError() if kind == "boolean":
            return f"is the byte {error.args[0]}, no boolean"
        case KeyError():
            raw = error.args[0]
            return f"has the index {(raw >> 1) ^ -(raw & 1)}"
        case RecursionError():
            return "nests deeper than this thread's stack allows"
    return f"is no value of its type: {error}"
