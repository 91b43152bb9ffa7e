"""A reader's schema and a writer's: the pairs of types and fields that Avro's resolution matches.

Every pair of named types is yielded once, however often types are shared, so that the time of a walk is linear in the
schemas' text for each pair, even in a schema that was built to explode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from meshport.compat import resolution
from meshport.compat.finding import Direction
from meshport.compat.forms import Form, form_of, inner, is_named, named_types, type_at
from meshport.product import Compatibility
from meshport.schema import Schema
from meshport.schema.canonical import PRIMITIVES

# Avro 1.12, "Schema Resolution": the types of a reader that can read a type of the writer.
_PROMOTED: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


@dataclass(frozen=True, slots=True)
class TypePair:
    """A type of the reader that reads a type of the writer; neither is a union.

    Attributes:
        reader: `{"type": "long", "logicalType": ...}`, a record, an enum ...; a plain primitive is a mapping too.
        writer: likewise.
        path: of the field that has the types, with dots; "" for the whole schema.
    """

    reader: Form
    writer: Form
    path: str


@dataclass(frozen=True, slots=True)
class FieldPair:
    """A field of the reader and the field of the writer that it reads.

    Attributes:
        record: the reader's record that has the field.
        reader: the field's form.
        writer: the field's form; None if the writer has no such field.
        path: of the reader's field.
    """

    record: Form
    reader: Form
    writer: Form | None
    path: str


@dataclass(frozen=True)
class Comparison:
    """Whether `reader` can read what `writer` wrote, as the rules of scope RESOLUTION receive it.

    Attributes:
        reader: the schema that is read with.
        writer: the schema that was written with.
        direction: BACKWARD if the candidate reads, FORWARD if it writes.
        levels: the levels that ask for it; advice depends on them.
        newest: whether the other side is the newest version.
    """

    reader: Schema
    writer: Schema
    direction: Direction
    levels: frozenset[Compatibility] = frozenset()
    newest: bool = True

    @property
    def transitive(self) -> Compatibility | None:
        """The level that compares every version and not only the newest, if there is one."""
        return next((each for each in sorted(self.levels) if each.endswith("_TRANSITIVE")), None)

    @property
    def both_ways(self) -> bool:
        """Whether the other direction is compared as well."""
        return (
            len({word for each in self.levels for word in ("BACKWARD", "FORWARD") if each.startswith((word, "FULL"))})
            == 2
        )

    def unused_name(self, path: str, suffix: str = "_v2") -> str:
        """Return a name for a field beside the one at a path: its own with a suffix, which neither side has in that record."""
        holder, _, name = path.rpartition(".")
        records = (type_at(each.form, holder) for each in (self.reader, self.writer))
        taken = {field["name"] for record in records if record for field in record.get("fields", ())}
        wanted, number = f"{name or 'value'}{suffix}", 3
        while wanted in taken:
            wanted, number = f"{name or 'value'}_v{number}", number + 1
        return wanted

    @cached_property
    def resolution(self) -> tuple[resolution.Incompatibility, ...]:
        """The reasons for which Avro's schema resolution fails; empty if it succeeds."""
        return resolution.check(self.reader, self.writer)

    @cached_property
    def types(self) -> tuple[TypePair, ...]:
        """Every pair of types that resolution matches, each once, with the first path that leads to it."""
        return tuple(each for each in self._walked if isinstance(each, TypePair))

    @cached_property
    def fields(self) -> tuple[FieldPair, ...]:
        """Every field of the reader's records and the writer's field for it, in the records that resolution matches."""
        return tuple(each for each in self._walked if isinstance(each, FieldPair))

    def sides(self, reader: Any, writer: Any) -> tuple[Any, Any]:
        """Return a value of the reader and a value of the writer as (before, after)."""
        return (writer, reader) if self.direction is Direction.BACKWARD else (reader, writer)

    @cached_property
    def _walked(self) -> tuple[TypePair | FieldPair, ...]:
        if self.reader.fingerprint == self.writer.fingerprint:
            return ()
        return tuple(_PairWalk(self.reader, self.writer))


class _PairWalk:
    def __init__(self, reader: Schema, writer: Schema) -> None:
        self._root = reader.form, writer.form
        self._reader, self._writer = named_types(reader.form), named_types(writer.form)
        self._seen: set[tuple[Any, Any]] = set()

    def __iter__(self) -> Iterator[TypePair | FieldPair]:
        stack = [(*self._root, "")]
        while stack:
            found: list[tuple[Any, Any, str]] = []
            yield from self._meet(*stack.pop(), found)
            stack.extend(reversed(found))

    def _meet(
        self, reader: Any, writer: Any, path: str, found: list[tuple[Any, Any, str]]
    ) -> Iterator[TypePair | FieldPair]:
        ours, theirs = form_of(reader, self._reader), form_of(writer, self._writer)
        if theirs["type"] == "union":
            found.extend((reader, branch, path) for branch in theirs["branches"])
            return
        if ours["type"] == "union":
            branch = self._branch(ours["branches"], theirs)
            if branch is not None:
                found.append((branch, writer, path))
            return
        if not _takes(ours, theirs):
            return
        if is_named(ours):
            pair = (ours["name"], theirs.get("name"))
            if pair in self._seen:
                return
            self._seen.add(pair)
        yield TypePair(ours, theirs, path)
        kind = ours["type"]
        if kind == "array":
            found.append((ours["items"], theirs["items"], path))
        elif kind == "map":
            found.append((ours["values"], theirs["values"], path))
        elif kind in {"record", "error"}:
            written = {field["name"]: field for field in theirs["fields"]}
            for field in ours["fields"]:
                at, like = inner(path, field["name"]), _taken(field, written)
                yield FieldPair(ours, field, like, at)
                if like is not None:
                    found.append((field["type"], like["type"], at))

    def _branch(self, branches: list[Any], writer: Form) -> Any:
        """Return the branch that reads the writer's type: one of the same type first, as the specification requires."""
        forms = [(branch, form_of(branch, self._reader)) for branch in branches]
        for branch, form in forms:
            if form["type"] == writer["type"] and _takes(form, writer):
                return branch
        return next((branch for branch, form in forms if _takes(form, writer)), None)


def _takes(reader: Form, writer: Form) -> bool:
    """Return whether resolution matches two types that are not unions; their content is not compared."""
    ours, theirs = _kind(reader), _kind(writer)
    if ours != theirs:
        return ours in _PROMOTED.get(theirs, ())
    if ours in PRIMITIVES or ours in {"array", "map"}:
        return True
    return _short(reader["name"]) == _short(writer["name"]) or writer["name"] in reader.get("aliases", ())


def _taken(field: Form, written: Mapping[str, Form]) -> Form | None:
    """Return the writer's field that a reader's field reads: the one of its name, else of its first alias that is written."""
    names = (field["name"], *field.get("aliases", ()))
    return next((written[name] for name in names if name in written), None)


def _kind(form: Form) -> str:
    return "record" if form["type"] == "error" else str(form["type"])


def _short(name: str) -> str:
    return name.rpartition(".")[2]
