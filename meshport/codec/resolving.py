"""Schema resolution: decodes bytes of the writer's schema to values of the reader's schema, in one pass.

Source: Avro specification, "Schema Resolution". Both schemas are known before the first byte, so the decoder is generated. A
field that the reader does not have is checked and dropped; one that the writer does not have is a constant; a branch
without a counterpart is refused only if a value takes it. A default is a value of its type, built anew for each record.
fastavro returns a default as bare JSON: a number for an instant, one list shared by all records.
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial
from typing import Any, Final

from meshport.codec.decoding import Decode, DecoderSource, decoder
from meshport.codec.defaults import default_of
from meshport.codec.layout import Layout
from meshport.codec.logical import kind_of
from meshport.codec.source import MAX_INDENT
from meshport.codec.varint import Malformed
from meshport.schema import Schema

_RECORDS: Final = frozenset({"record", "error"})
# Promotions: the types that a value may be read as. Text and bytes have the same form on the wire.
PROMOTED: Final = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
    "bytes": frozenset({"string"}),
}
# Logical types with the same kind of value; each unit may be read as the other.
_ALIKE: Final = (
    frozenset({"timestamp-millis", "timestamp-micros"}),
    frozenset({"local-timestamp-millis", "local-timestamp-micros"}),
    frozenset({"time-millis", "time-micros"}),
)
# The number of a timestamp that Python does not have, from the writer's unit to the reader's.
_UNITS: Final = {("millis", "micros"): "micros_of_millis(n)", ("micros", "millis"): "n // 1000"}


class ResolvingDecoder:
    """Decodes payloads of one schema to values of another.

    Args:
        writer: the schema of the bytes.
        reader: the schema of the values.

    Raises:
        SchemaError: a record of the writer contains itself without a union, array or map in between, or a default of the
            reader is not a value of its type.
    """

    decode: Decode
    """Return the value of a payload in the reader's schema; takes (payload, index of the body's first byte).

    Raises:
        DecodeError: the bytes do not match the writer's schema, or the value has no counterpart in the reader's.
    """

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self.writer = writer
        self.reader = reader
        self.decode = decoder(writer) if writer.text == reader.text else _Resolution(writer, reader).build()


class _Symbols(dict[int, str]):
    """Enum symbols by raw index, with those that the reader does not have kept apart for the error."""

    def __init__(self, symbols: dict[int, str], unknown: dict[int, str]) -> None:
        super().__init__(symbols)
        self._unknown = unknown

    def __missing__(self, raw: int) -> str:
        if raw in self._unknown:
            raise Malformed(f"is {self._unknown[raw]!r}, which the reader's schema does not have")
        raise KeyError(raw)


class _Resolution(DecoderSource):
    def __init__(self, writer: Schema, reader: Schema) -> None:
        super().__init__(writer)
        self._reader = Layout(reader)

    def _root(self, into: str, indent: int) -> None:
        self._resolved(self._layout.form, self._reader.form, into, 0, indent)

    def _resolved(self, form: Any, reader: Any, into: str, depth: int, indent: int, *, whole: bool = False) -> None:
        """Emit code that reads a value of the writer's type as a value of the reader's type."""
        source = self._source
        form, reader = self._layout.definition(form), self._reader.definition(reader)
        kind = kind_of(form)
        path = source.location[0]
        source.location = (path, kind)
        if not isinstance(form, list) and isinstance(reader, list):
            reader = self._reader.definition(matching_branch(form, reader, self._layout, self._reader))
        if not isinstance(form, list) and (reader is None or not matches(form, reader, self._layout, self._reader)):
            # The value is read first, so that malformed bytes are reported as malformed, not as unresolvable.
            self._value(form, into, depth, indent)
            source.add(indent, "raise Malformed('has no place in the reader\\'s schema')")
        elif kind in {"record", "error", "array", "map", "union"}:
            shared = self._key(form)
            key = f"{shared} as {id(reader)}" if shared else None
            if not whole and (indent > MAX_INDENT or key):
                emit = partial(self._resolved, form, reader, whole=True)
                self._call(key, kind, emit, into, depth=depth, indent=indent)
            elif kind == "union":
                self._union(form, lambda branch, *at: self._resolved(branch, reader, *at), into, depth, indent)
            elif kind == "array" or kind == "map":
                held = "items" if kind == "array" else "values"
                emit = partial(self._resolved, form[held], reader[held])
                self._blocks(form[held], emit, into, depth + 1, indent)
            else:
                self._fields(form, reader, into, depth + 1, indent)
        else:
            self._leaf(form, reader, into, indent)
        source.location = (path, kind)

    def _leaf(self, form: Any, reader: Any, into: str, indent: int) -> None:
        kind, wanted = kind_of(form), kind_of(reader)
        wire, target = kind.partition("-")[0], wanted.partition("-")[0]
        match wire:
            case "enum":
                raw = {index << 1: symbol for index, symbol in enumerate(form["symbols"])}
                default, ours = reader.get("default"), set(reader["symbols"])
                known = {
                    index: symbol if symbol in ours else default
                    for index, symbol in raw.items()
                    if symbol in ours or default is not None
                }
                self._enum(_Symbols(known, {index: raw[index] for index in raw if index not in known}), into, indent)
            case "int" | "long" if target in {"float", "double"}:
                self._number(wire, wire, into, indent)
                self._source.add(indent, f"{into} = {'single' if target == 'float' else 'float'}({into})")
            case "int" | "long":
                # The writer's unit decides between units of one kind; otherwise the reader's logical type decides.
                if not (logical_of(form) and logical_of(reader)):
                    self._number(wire, wanted, into, indent)
                else:
                    self._number(wire, kind, into, indent, beyond=_UNITS.get((kind[-6:], wanted[-6:]), "n"))
            case "string" | "bytes":
                self._prefixed(reader, wanted, into, indent)
            case "fixed":
                self._value({**reader, "size": form["size"]}, into, 0, indent)
            case _:
                self._value(form, into, 0, indent)

    def _fields(self, form: Any, reader: Any, into: str, depth: int, indent: int) -> None:
        source = self._source
        path, kind = source.location
        wanted = {field["name"]: field for field in reader["fields"]}
        aliases = {alias: field for field in reader["fields"] for alias in field.get("aliases", ())}
        read: dict[str, str] = {}
        for field in form["fields"]:
            source.location = (f"{path}.{field['name']}" if path else str(field["name"]), "")
            target = wanted.get(field["name"]) or aliases.get(field["name"])
            variable = source.name()
            if target is None or target["name"] in read:
                self._value(field["type"], variable, depth, indent)
            else:
                read[target["name"]] = variable
                self._resolved(field["type"], target["type"], variable, depth, indent)
        source.location = (path, kind)
        for name, field in wanted.items():
            if name in read:
                continue
            if "default" not in field:
                lacking = f"lacks the field {name!r}, for which the reader's schema has no default"
                source.add(indent, f"raise Malformed({lacking!r})")
                read[name] = "None"
                continue
            default = default_of(field["type"], field["default"], self._reader.named)
            read[name] = source.constant(default)
            if isinstance(default, dict | list):
                read[name] = f"{source.constant(partial(deepcopy, default))}()"
        parts = ", ".join(f"{name!r}: {read[name]}" for name in wanted)
        source.add(indent, f"{into} = {{{parts}}}")


def matching_branch(form: Any, branches: list[Any], writes: Layout, reads: Layout) -> Any:
    """Return the branch of the reader's union for a type of the writer: the same type before a promoted one; or None."""
    kind = kind_of(form).partition("-")[0]
    matching = [branch for branch in branches if matches(form, reads.definition(branch), writes, reads)]
    for branch in matching:
        target = reads.definition(branch)
        if kind_of(target).partition("-")[0] == kind and _name(target) == _name(form):
            return branch
    own = (each for each in matching if kind_of(reads.definition(each)).partition("-")[0] == kind)
    return next(own, matching[0] if matching else None)


def matches(form: Any, reader: Any, writes: Layout, reads: Layout) -> bool:
    """Return whether a type of the writer can be read as one of the reader.

    The fields of records and the branches of unions are resolved one by one later.
    """
    form, reader = writes.definition(form), reads.definition(reader)
    if isinstance(form, list) or isinstance(reader, list):
        return True
    kind, wanted = (kind_of(each).partition("-")[0] for each in (form, reader))
    if kind in _RECORDS and wanted in _RECORDS:
        return same_name(form, reader)
    if kind == wanted:
        match kind:
            case "enum":
                return same_name(form, reader)
            case "fixed":
                return form["size"] == reader["size"] and same_name(form, reader) and logicals_agree(form, reader)
            case "array":
                return matches(form["items"], reader["items"], writes, reads)
            case "map":
                return matches(form["values"], reader["values"], writes, reads)
        return logicals_agree(form, reader)
    if wanted not in PROMOTED.get(kind, ()):
        return False
    return logicals_agree(form, reader) if wanted == "long" else not (logical_of(form) or logical_of(reader))


def target_fields(form: Any, reader: Any) -> dict[str, Any]:
    """Return the writer's field for each field of the reader's record that has one, by the name or an alias of the latter."""
    wanted = {field["name"]: field for field in reader["fields"]}
    aliases = {alias: field for field in reader["fields"] for alias in field.get("aliases", ())}
    found: dict[str, Any] = {}
    for field in form["fields"]:
        target = wanted.get(field["name"]) or aliases.get(field["name"])
        if target is not None:
            found.setdefault(target["name"], field)
    return found


def logical_of(form: Any) -> str | None:
    """Return the logical type of a type, if the codec supports it."""
    return kind_of(form).partition("-")[2] or None


def logicals_agree(form: Any, reader: Any) -> bool:
    """Return whether the logical types agree. A type without one can be read as a type with one, and vice versa."""
    writes, reads = logical_of(form), logical_of(reader)
    if writes is None or reads is None:
        return True
    if writes == reads == "decimal":
        return bool(form.get("scale", 0) == reader.get("scale", 0) and form["precision"] <= reader["precision"])
    return writes == reads or any({writes, reads} <= alike for alike in _ALIKE)


def _name(form: Any) -> str | None:
    return form.get("name") if isinstance(form, dict) else None


def same_name(form: Any, reader: Any) -> bool:
    """Return whether two named types match by unqualified name or alias, as fastavro and Java read the rule."""
    full, last = form["name"], form["name"].rpartition(".")[2]
    aliases = reader.get("aliases", ())
    return (
        last == reader["name"].rpartition(".")[2]
        or full in aliases
        or last in {alias.rpartition(".")[2] for alias in aliases}
    )
