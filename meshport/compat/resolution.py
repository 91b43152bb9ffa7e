"""Avro's schema resolution (specification 1.12, "Schema Resolution"), by Apache Avro's own checker.

The checker's verdict is sound, its reasons are poor: it loses the path inside unions, and it returns the reasons of a
shared type once for each use, which doubles them at each level of a schema that was built to do so. Here each pair of
types is checked once, keeps its own reasons, and records where in the reader's schema it is.

The verdict has the limits of Apache's: logical types are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from avro.compatibility import (
    ReaderWriter,
    ReaderWriterCompatibilityChecker,
    SchemaCompatibilityResult,
    SchemaCompatibilityType,
    SchemaIncompatibilityType,
    schema_name_equals,
)

from meshport.compat.shape import TypeShape, shape_of
from meshport.errors import SchemaError
from meshport.schema import Schema
from meshport.schema.canonical import MAX_TYPES, PRIMITIVES

_COMPATIBLE: Final = SchemaCompatibilityResult(SchemaCompatibilityType.compatible)
_INCOMPATIBLE: Final = SchemaCompatibilityResult(SchemaCompatibilityType.incompatible)
_MISSING_DEFAULT: Final = SchemaIncompatibilityType.reader_field_missing_default_value
_BY_LAST_TOKEN: Final = {
    "name": SchemaIncompatibilityType.name_mismatch,
    "size": SchemaIncompatibilityType.fixed_size_mismatch,
    "symbols": SchemaIncompatibilityType.missing_enum_symbols,
}


# Pairs of types that are checked, about 20 us each. Ordinary schemas have as many pairs as types; a schema in which every type
# matches every other, by aliases or unqualified names, has the product of both numbers.
MAX_PAIRS: Final = 2 * MAX_TYPES
# Pairs of branches of two unions of which the names alone are compared, about 5 us each.
MAX_BRANCH_PAIRS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """One reason for which a reader cannot read what a writer wrote.

    Attributes:
        rule: Avro's incompatibility type (`READER_FIELD_MISSING_DEFAULT_VALUE`).
        location: JSON pointer into the reader's schema with references followed; "" for the schema itself.
        message: what was found, with quoted names.
    """

    rule: str
    location: str
    message: str


def check(reader: Schema, writer: Schema) -> tuple[Incompatibility, ...]:
    """Return the reasons for which `reader` cannot read what `writer` wrote; empty if it can.

    Raises:
        SchemaError: the checker cannot compare the two, so that there is no verdict.
    """
    if reader.fingerprint == writer.fingerprint:
        return ()
    try:
        return _ResolutionChecker().findings(shape_of(reader.text), shape_of(writer.text))
    except RecursionError as error:
        raise SchemaError(
            f"{reader.name} and {writer.name} refer to one another too deep to be compared",
            hint="fewer types that each hold the next one",
        ) from error


@dataclass
class _Frame:
    """One pair of types while it is being checked."""

    reader: TypeShape
    writer: TypeShape
    path: tuple[str, ...]
    nested: dict[Incompatibility, None] = field(default_factory=dict)


class _ResolutionChecker(ReaderWriterCompatibilityChecker):
    """Apache's checker, with the reasons kept for each pair.

    The checker is typed for Avro's own schema classes, and receives `TypeShape` objects.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # avro leaves its constructor untyped
        self._frames: list[_Frame] = []
        self._named_apart = 0
        self._found: dict[ReaderWriter, tuple[Incompatibility, ...]] = {}

    def findings(self, reader: Any, writer: Any) -> tuple[Incompatibility, ...]:
        self.get_compatibility(reader, writer)
        return self._found.get(ReaderWriter(reader, writer), ())

    def get_compatibility(
        self, reader: Any, writer: Any, reference_token: str = "", location: list[str] | None = None
    ) -> SchemaCompatibilityResult:
        if _same(reader, writer):
            return _COMPATIBLE
        if self._frames and self._frames[-1].reader.type == "union" and _are_named_apart(reader, writer):
            # The branches of two unions of 280 records are 78,400 pairs; the checker would compare the fields of each.
            self._named_apart += 1
            if self._named_apart > MAX_BRANCH_PAIRS:
                raise SchemaError(
                    f"the unions of the two schemas have more than {MAX_BRANCH_PAIRS} pairs of branches",
                    hint="smaller unions, or fewer of the large ones",
                )
            return _INCOMPATIBLE
        pair = ReaderWriter(reader, writer)
        if pair not in self.memoize_map:
            if len(self.memoize_map) >= MAX_PAIRS:
                raise SchemaError(
                    f"the two schemas bring more than {MAX_PAIRS} pairs of types together",
                    hint="fewer types that each take several others by their aliases or last names",
                )
            self.memoize_map[pair] = SchemaCompatibilityResult()
            frame = _Frame(reader, writer, self._path(reader, reference_token, location))
            self._frames.append(frame)
            result = self.calculate_compatibility(reader, writer, ["", *frame.path])
            self._frames.pop()
            broken = result.compatibility is SchemaCompatibilityType.incompatible
            self._found[pair] = self._reasons(frame, result) if broken else ()
            # The parent merges the reasons that it receives; without any, it keeps its own only.
            self.memoize_map[pair] = SchemaCompatibilityResult(result.compatibility)
        known: SchemaCompatibilityResult = self.memoize_map[pair]
        if known.compatibility is SchemaCompatibilityType.recursion_in_progress:
            return _COMPATIBLE
        if self._frames:
            self._frames[-1].nested.update(dict.fromkeys(self._found[pair]))
        return known

    def _path(self, reader: TypeShape, token: str, location: list[str] | None) -> tuple[str, ...]:
        if location is not None:
            return (*location[1:], token)
        if not self._frames:
            return ()
        parent = self._frames[-1]
        if parent.reader is reader or parent.reader.type != "union":
            return parent.path
        return (*parent.path, str(next(i for i, branch in enumerate(parent.reader.schemas) if branch is reader)))

    def _reasons(self, frame: _Frame, result: SchemaCompatibilityResult) -> tuple[Incompatibility, ...]:
        """Return the pair's own reasons, then those of the types within."""
        if frame.reader.type == "union" and frame.writer.type == "union" and frame.nested:
            return tuple(frame.nested)  # each branch without a reader has a reason of its own
        kinds = set(result.incompatibilities)
        own: dict[Incompatibility, None] = {}
        # The checker's `merge` adds a "/" to locations that are relative to the root.
        for location in sorted(result.locations - {"/"} if kinds else ()):
            kind = (
                next(iter(kinds))
                if len(kinds) == 1
                else _BY_LAST_TOKEN.get(location.rpartition("/")[2], _MISSING_DEFAULT)
            )
            own[self._reason(frame, kind, location)] = None
        if frame.reader.type == "union":  # only the branch of the same name has a reason worth reporting
            branches = {f"{_pointer(frame.path)}/{i}" for i in range(len(frame.reader.schemas))}
            return (*own, *(each for each in frame.nested if each.location not in branches))
        return tuple(own | frame.nested)

    def _reason(self, frame: _Frame, kind: SchemaIncompatibilityType, location: str) -> Incompatibility:
        reader, writer = frame.reader, frame.writer
        holder = self._frames[-1] if self._frames else None
        if holder and holder.writer is writer and holder.reader.type == "record" and reader.type == "enum":
            # For an enum with a default in a field without one, the checker compares the enum and the record.
            kind, location, reader = _MISSING_DEFAULT, location.removesuffix("/type"), holder.reader
        match kind:
            case SchemaIncompatibilityType.name_mismatch:
                text = f'the reader\'s {reader.type} "{reader.fullname}" is named "{writer.fullname}" by the writer'
            case SchemaIncompatibilityType.fixed_size_mismatch:
                sizes = f"{reader.size} bytes for the reader, {writer.size} for the writer"
                text = f'the fixed "{reader.fullname}" has {sizes}'
            case SchemaIncompatibilityType.missing_enum_symbols:
                known = set(reader.symbols)
                missing = ", ".join(f'"{symbol}"' for symbol in writer.symbols if symbol not in known)
                text = f'the reader\'s enum "{reader.fullname}" has no default and does not know {missing}'
            case SchemaIncompatibilityType.reader_field_missing_default_value:
                name = reader.fields[int(location.rpartition("/")[2])].name
                text = f'the reader\'s field "{name}" of "{reader.fullname}" is not written and has no default'
            case SchemaIncompatibilityType.missing_union_branch:
                text = f"no branch of the reader's union takes the writer's {writer.called}"
            case _:
                text = f"the reader's {reader.called} cannot take the writer's {writer.called}"
        return Incompatibility(kind.name.upper(), f"/{location}" if location else "", text)


def _same(reader: Any, writer: Any) -> bool:
    """Return whether both are the same primitive, or unions of the same primitives: nine of ten fields of most contracts."""
    kind = reader.type
    if kind != writer.type:
        return False
    if kind == "union":
        return len(reader.schemas) == len(writer.schemas) and all(
            theirs.type == ours.type in PRIMITIVES for ours, theirs in zip(reader.schemas, writer.schemas, strict=True)
        )
    return kind in PRIMITIVES


def _are_named_apart(reader: Any, writer: Any) -> bool:
    """Return whether both are named types of one kind that do not match by name or alias."""
    return bool(reader.name) and reader.type == writer.type and not schema_name_equals(reader, writer)


def _pointer(path: tuple[str, ...]) -> str:
    return "".join(f"/{token}" for token in path)
