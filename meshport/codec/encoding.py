"""The encoder of one schema: generated Python that writes a record, or fails without saying where.

Each value becomes one or a few pieces of bytes, which are joined once at the end together with the prefix. After a
failure `fit.Fitting` finds the field. The bytes equal fastavro's; `tests/codec` compares them on random schemas.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from meshport.codec import accept, logical, varint
from meshport.codec.defaults import default_of
from meshport.codec.fit import REFUSALS, Fitting
from meshport.codec.layout import Layout
from meshport.codec.limits import MAX_DEPTH, MAX_PAYLOAD, MAX_ZERO_WIDTH
from meshport.codec.logical import kind_of
from meshport.codec.source import MAX_INDENT, GeneratedSource
from meshport.errors import EncodeError
from meshport.schema import Schema

Encode = Callable[[Any, bytes], bytes]

_SMALL: Final = len(varint.VARINTS) // 2
# The varint of each number from -8192 to 8191. A negative index counts from the end of the list, where they are.
_NUMBERS: Final = tuple(varint.VARINTS[number << 1 ^ number >> 63] for number in (*range(_SMALL), *range(-_SMALL, 0)))
_CONSTANTS: Final = {
    "NUMBERS": _NUMBERS,
    "LENGTHS": varint.LENGTHS,
    "varint": varint.varint,
    "write_long": varint.long_varint,
    "join": b"".join,
    "text": accept.text,
    "octets": accept.octets,
    "whole": accept.whole,
    "real": accept.real,
    "false": accept.false,
    "mapping": accept.mapping,
    "items": accept.items,
    "write_int_checked": accept.write_int,
    "write_long_checked": accept.write_long,
    "timestamp_millis": accept.timestamp_millis,
    "timestamp_micros": accept.timestamp_micros,
    "local_timestamp_millis": accept.local_timestamp_millis,
    "local_timestamp_micros": accept.local_timestamp_micros,
    "day": accept.day,
    "time_millis": accept.time_millis,
    "time_micros": accept.time_micros,
    "uuid_octets": accept.uuid_octets,
    "pack_float": struct.Struct("<f").pack,
    "pack_double": struct.Struct("<d").pack,
    "datetime": datetime,
    "EPOCH": logical.EPOCH,
    "MILLI": logical.MILLI,
    "MICRO": logical.MICRO,
}
_BY_FUNCTION: Final = {
    "long-local-timestamp-millis": "local_timestamp_millis",
    "long-local-timestamp-micros": "local_timestamp_micros",
    "int-date": "day",
    "int-time-millis": "time_millis",
    "long-time-micros": "time_micros",
}
# Python types by the kinds that may accept them. If a value's type leaves one branch of a union, no further check is made.
_PYTHON: Final[Mapping[type, frozenset[str]]] = {
    type(None): frozenset({"null"}),
    bool: frozenset({"boolean"}),
    int: frozenset({"int", "long", *(kind for kind in logical.KNOWN if kind.startswith(("int-", "long-")))}),
    float: frozenset({"float", "double"}),
    str: frozenset({"string", "enum", "string-uuid"}),
    bytes: frozenset({"bytes", "fixed"}),
    datetime: frozenset(kind for kind in logical.KNOWN if "timestamp" in kind),
    date: frozenset({"int-date"}),
    time: frozenset({"int-time-millis", "long-time-micros"}),
    Decimal: frozenset({"bytes-decimal", "fixed-decimal"}),
    UUID: frozenset({"string-uuid"}),
    dict: frozenset({"record", "error", "map"}),
    list: frozenset({"array"}),
}
# A branch of a union with more pieces than this joins them first; the other branches need as many empty pieces.
_PADDED: Final = 4


def encoder(schema: Schema) -> Encode:
    """Generate the encoder of a schema: a function of (record, prefix) that returns prefix and body.

    Raises:
        SchemaError: a record contains itself without a union, array or map in between, or a default is not a value of its
            field's type.
    """
    return _Encoder(schema).build()


class _Encoder:
    def __init__(self, schema: Schema) -> None:
        self._layout = Layout(schema)
        self._fitting = Fitting(self._layout.named)
        self._budget = ", budget" if self._layout.counts_zero_width else ""
        self._source = GeneratedSource(_CONSTANTS)
        self._functions: dict[str, str] = {}
        self._pending: list[tuple[str, Any]] = []

    def build(self) -> Encode:
        source = self._source
        source.add(0, "def encode(record, prefix=b''):")
        source.add(1, "try:")
        source.add(2, "d = 0")
        if self._layout.counts_zero_width:
            source.add(2, f"budget = [{MAX_ZERO_WIDTH}]")
        pieces = self._value(self._layout.form, "record", 0, 2)
        source.add(2, f"out = join((prefix, {_listed(pieces)}))")
        source.add(1, "except REFUSALS as error:")
        source.add(2, "raise explain(record, error) from None")
        source.add(1, f"if len(out) - len(prefix) > {MAX_PAYLOAD}: raise explain_size(out, prefix)")
        source.add(1, "return out")
        while self._pending:
            self._function(*self._pending.pop())
        constants = {"REFUSALS": REFUSALS, "explain": self._explain, "explain_size": _explain_size}
        return source.function("encode", constants)

    def _function(self, name: str, form: Any) -> None:
        source = self._source
        source.add(0, f"def {name}(v, d{self._budget}):")
        source.add(1, f"if d > {MAX_DEPTH}: raise ValueError")
        source.add(1, f"return {self._whole(self._value(form, 'v', 0, 1, whole=True))}")

    def _call(self, form: Any, value: str, depth: int, indent: int) -> list[str]:
        shared = self._layout.is_shared(form)
        name = self._functions.get(form["name"]) if shared else None
        if name is None:
            name = self._source.name("write_")
            self._pending.append((name, form))
            if shared:
                self._functions[form["name"]] = name
        piece = self._source.name("t")
        at = f"d + {depth}" if depth else "d"
        self._source.add(indent, f"{piece} = {name}({value}, {at}{self._budget})")
        return [piece]

    def _whole(self, pieces: list[str]) -> str:
        """Return one expression that joins pieces."""
        return pieces[0] if len(pieces) == 1 else f"join(({_listed(pieces)}))" if pieces else "b''"

    def _value(self, form: Any, value: str, depth: int, indent: int, *, whole: bool = False) -> list[str]:
        """Emit code that encodes a value as pieces of bytes.

        Args:
            form: its type.
            value: the expression of the value.
            depth: records, arrays and maps that enclose it within the function.
            indent: of the code.
            whole: whether the function being emitted is that of this type.

        Returns:
            The variables and constants that hold the pieces, in order.
        """
        source = self._source
        form = self._layout.definition(form)
        kind = kind_of(form)
        if kind in {"record", "error", "array", "map", "union"}:
            if not whole and (indent > MAX_INDENT or self._layout.is_shared(form)):
                return self._call(form, value, depth, indent)
            match kind:
                case "union":
                    return self._union(form, value, depth, indent)
                case "array":
                    return self._array(form, value, depth + 1, indent)
                case "map":
                    return self._map(form, value, depth + 1, indent)
            return self._record(form, value, depth + 1, indent)
        piece = source.name("t")
        match kind:
            case "null":
                source.add(indent, f"if {value} is not None: raise TypeError")
                return []
            case "boolean":
                source.add(indent, f"v = {value}")
                source.add(indent, f"{piece} = b'\\1' if v is True else false(v)")
            case "int" | "long":
                source.add(indent, f"v = {value}")
                source.add(indent, "if type(v) is not int: v = whole(v)")
                source.add(indent, f"if {-_SMALL} <= v < {_SMALL}: {piece} = NUMBERS[v]")
                source.add(indent, f"else: {piece} = write_{kind}_checked(v)")
            case "float" | "double":
                source.add(indent, f"v = {value}")
                source.add(indent, "if type(v) is not float: v = real(v)")
                source.add(indent, f"{piece} = pack_{kind}(v)")
            case "long-timestamp-millis" | "long-timestamp-micros":
                unit = kind.rpartition("-")[2]
                source.add(indent, f"v = {value}")
                source.add(indent, f"if type(v) is datetime: {piece} = write_long((v - EPOCH) // {unit[:-1].upper()})")
                source.add(indent, f"else: {piece} = timestamp_{unit}(v)")
            case "string" | "bytes" | "string-uuid" | "bytes-decimal":
                return self._prefixed(form, kind, value, piece, indent)
            case "fixed":
                source.add(indent, f"{piece} = {value}")
                source.add(indent, f"if type({piece}) is not bytes: {piece} = octets({piece})")
                source.add(indent, f"if len({piece}) != {form['size']:d}: raise ValueError")
            case "fixed-decimal":
                source.add(indent, f"{piece} = {source.constant(logical.decimal_writer(form))}({value})")
            case "enum":
                symbols = {symbol: varint.long_varint(index) for index, symbol in enumerate(form["symbols"])}
                source.add(indent, f"{piece} = {source.constant(symbols)}[{value}]")
            case _:
                source.add(indent, f"{piece} = {_BY_FUNCTION[kind]}({value})")
        return [piece]

    def _prefixed(self, form: Any, kind: str, value: str, piece: str, indent: int) -> list[str]:
        """Emit a write of a length and that many bytes: text, bytes or a decimal."""
        source = self._source
        if kind == "string-uuid":
            source.add(indent, f"{piece} = uuid_octets({value})")
            return [source.constant(varint.LENGTHS[36]), piece]
        match kind:
            case "string":
                source.add(indent, f"v = {value}")
                source.add(indent, "if type(v) is not str: v = text(v)")
                source.add(indent, f"{piece} = v.encode()")
            case "bytes":
                source.add(indent, f"{piece} = {value}")
                source.add(indent, f"if type({piece}) is not bytes: {piece} = octets({piece})")
            case _:
                source.add(indent, f"{piece} = {source.constant(logical.decimal_writer(form))}({value})")
        length = source.name("n")
        source.add(indent, f"n = len({piece})")
        source.add(indent, f"{length} = LENGTHS[n] if n < {len(varint.LENGTHS)} else varint(n << 1)")
        return [length, piece]

    def _record(self, form: Any, value: str, depth: int, indent: int) -> list[str]:
        source = self._source
        fields = form["fields"]
        defaults = {
            field["name"]: default_of(field["type"], field["default"], self._layout.named)
            for field in fields
            if "default" in field
        }
        record = source.name("r")
        source.add(indent, f"{record} = {value}")
        source.add(indent, f"if type({record}) is not dict: {record} = mapping({record})")
        # An extra field is found by the count; with an extra and a missing one, the missing one fails.
        source.add(indent, f"if len({record}) != {len(fields)}:")
        source.add(indent + 1, f"{record} = {source.constant(defaults)} | {record}")
        source.add(indent + 1, f"if len({record}) != {len(fields)}: raise KeyError")
        pieces = []
        for field in fields:
            pieces += self._value(field["type"], f"{record}[{field['name']!r}]", depth, indent)
        return pieces

    def _array(self, form: Any, value: str, depth: int, indent: int) -> list[str]:
        source = self._source
        piece, out, item, held = source.name("t"), source.name("o"), source.name(), source.name()
        source.add(indent, f"{held} = {value}")
        source.add(indent, f"if type({held}) is not list: {held} = items({held})")
        source.add(indent, f"n = len({held})")
        source.add(indent, "if n:")
        shape = self._layout.shape(form["items"])
        if not shape.width:
            source.add(indent + 1, f"budget[0] -= n * {shape.parts}")
            source.add(indent + 1, "if budget[0] < 0: raise ValueError")
        source.add(indent + 1, f"{out} = [LENGTHS[n] if n < {len(varint.LENGTHS)} else varint(n << 1)]")
        source.add(indent + 1, f"for {item} in {held}:")
        self._append(self._value(form["items"], item, depth, indent + 2), out, indent + 2)
        source.add(indent + 1, f"{out}.append(b'\\0')")
        source.add(indent + 1, f"{piece} = join({out})")
        source.add(indent, f"else: {piece} = b'\\0'")
        return [piece]

    def _map(self, form: Any, value: str, depth: int, indent: int) -> list[str]:
        source = self._source
        piece, out, key, item, held = (source.name(prefix) for prefix in "tokvv")
        source.add(indent, f"{held} = {value}")
        source.add(indent, f"if type({held}) is not dict: {held} = mapping({held})")
        source.add(indent, f"n = len({held})")
        source.add(indent, "if n:")
        source.add(indent + 1, f"{out} = [LENGTHS[n] if n < {len(varint.LENGTHS)} else varint(n << 1)]")
        source.add(indent + 1, f"for {key}, {item} in {held}.items():")
        pieces = self._value("string", key, depth, indent + 2)
        self._append(pieces + self._value(form["values"], item, depth, indent + 2), out, indent + 2)
        source.add(indent + 1, f"{out}.append(b'\\0')")
        source.add(indent + 1, f"{piece} = join({out})")
        source.add(indent, f"else: {piece} = b'\\0'")
        return [piece]

    def _append(self, pieces: list[str], out: str, indent: int) -> None:
        if len(pieces) == 1:
            self._source.add(indent, f"{out}.append({pieces[0]})")
        elif pieces:
            self._source.add(indent, f"{out} += ({_listed(pieces)})")
        else:
            self._source.add(indent, "pass")

    def _union(self, branches: list[Any], value: str, depth: int, indent: int) -> list[str]:
        """Emit the index of the branch that accepts the value, then the branch."""
        source = self._source
        chosen = source.name()
        source.add(indent, f"{chosen} = {value}")
        if sorted(branches, key=lambda branch: branch != "null")[:1] == ["null"] and len(branches) == 2:
            null = branches.index("null")
            tests = {null: f"if {chosen} is None:", 1 - null: "else:"}
            order = [null, 1 - null]
            # fastavro's notation for a named branch: (name, value).
            source.add(indent, f"if type({chosen}) is tuple: {chosen} = {self._chooser(branches)}({chosen})[1]")
        else:
            index = source.name("i")
            source.add(indent, f"{index} = {source.constant(self._by_type(branches))}.get(type({chosen}), -1)")
            source.add(indent, f"if {index} < 0: {index}, {chosen} = {self._chooser(branches)}({chosen})")
            order = list(range(len(branches)))
            tests = {each: f"{'el' if each else ''}if {index} == {each}:" for each in order}
        count = source.name("t")
        lines: list[tuple[int, list[str]]] = []
        filled: list[str] = []
        for each in order:
            source.add(indent, tests[each])
            source.add(indent + 1, f"{count} = {varint.long_varint(each)!r}")
            known_null = tests[each].endswith("is None:")
            pieces = [] if known_null else self._value(branches[each], chosen, depth, indent + 1)
            if len(pieces) > _PADDED:
                pieces = [self._whole(pieces)]
            while len(filled) < len(pieces):
                filled.append(source.name("t"))
            if pieces:
                source.add(
                    indent + 1, "; ".join(f"{into} = {piece}" for into, piece in zip(filled, pieces, strict=False))
                )
            lines.append((source.mark(indent + 1), pieces))
        for mark, pieces in lines:  # pieces that only other branches have are empty in this one
            if rest := filled[len(pieces) :]:
                source.fill(mark, f"{' = '.join(rest)} = b''")
        return [count, *filled]

    def _chooser(self, branches: list[Any]) -> str:
        return self._source.constant(lambda value: self._fitting.branch(branches, value))

    def _by_type(self, branches: list[Any]) -> dict[type, int]:
        kinds = [kind_of(self._layout.definition(branch)) for branch in branches]
        chosen = {}
        for python, takes in _PYTHON.items():
            found = [index for index, kind in enumerate(kinds) if kind in takes]
            if len(found) == 1:
                chosen[python] = found[0]
        return chosen

    def _explain(self, record: Any, error: Exception) -> EncodeError:
        misfit = self._fitting.misfit(self._layout.form, record)
        if misfit is None:
            return EncodeError(f"the record cannot be written: {error!r}")
        return EncodeError(f"{misfit.path or 'the record'} {misfit.message}", field=misfit.path, hint=misfit.hint)


def _listed(pieces: list[str]) -> str:
    return "".join(f"{piece}, " for piece in pieces)


def _explain_size(out: bytes, prefix: bytes) -> EncodeError:
    return EncodeError(
        f"the record takes {len(out) - len(prefix)} bytes", hint=f"at most {MAX_PAYLOAD} can be read back"
    )
