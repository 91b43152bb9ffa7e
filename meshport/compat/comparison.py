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
from meshport.product import Compatibility
from meshport.schema import Schema
from meshport.schema.canonical import PRIMITIVES

Form = Mapping[str, Any]
"""A type in canonical form with at least `type`; a union has the key `branches`."""

# Avro 1.12, "Schema Resolution": the types of a reader that can read a type of the writer.
_PROMOTED: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})
_RECORDS: Final = frozenset({"record", "error"})
_WORDS: Final = PRIMITIVES | _NAMED | {"array", "map"}


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


def form_of(form: Any, named: Mapping[str, Form]) -> Form:
    """Return a type as a mapping: a name as its definition, a primitive as `{"type": ...}`, a union as `{"type": "union"}`."""
    if isinstance(form, str):
        return named.get(form, {"type": form})
    if isinstance(form, list):
        return {"type": "union", "branches": form}
    return form  # type: ignore[no-any-return]  # JSON data


def is_named(form: Form) -> bool:
    """Return whether a type is a named type; `"name"` on a primitive is an attribute without a meaning."""
    return form["type"] in _NAMED


# A comparison looks them up for each of its findings, always in the same two or three forms. The entry holds the form, so that
# its id stays unique.
_RECENT: Final[dict[int, tuple[Any, dict[str, Form]]]] = {}
_RECENT_FORMS: Final = 4


def named_types(form: Any) -> dict[str, Form]:
    """Return every named type that a canonical form defines; the form must not change afterwards."""
    known = _RECENT.get(id(form))
    if known is None:
        if len(_RECENT) >= _RECENT_FORMS:
            _RECENT.clear()
        known = _RECENT[id(form)] = (form, _named_types(form))
    return known[1]


def _named_types(form: Any) -> dict[str, Form]:
    found: dict[str, Form] = {}
    stack = [form]
    while stack:
        each = stack.pop()
        if isinstance(each, list):
            stack.extend(each)
        elif isinstance(each, dict):
            if is_named(each):
                found[each["name"]] = each
            stack.extend(each[key] for key in ("items", "values") if key in each)
            stack.extend(field["type"] for field in each.get("fields", ()))
    return found


def declared(form: Any) -> Iterator[tuple[str, Form]]:
    """Yield every type that a schema spells out with attributes, and the path of its field; names are not followed."""
    stack: list[tuple[str, Any]] = [("", form)]
    while stack:
        path, each = stack.pop()
        within: list[tuple[str, Any]] = []
        if isinstance(each, list):
            within = [(path, branch) for branch in each]
        elif isinstance(each, dict):
            yield path, each
            within = [(path, each[key]) for key in ("items", "values") if key in each]
            within += [(inner(path, field["name"]), field["type"]) for field in each.get("fields", ())]
        stack.extend(reversed(within))


def locate(form: Any, path: str) -> tuple[str, Any]:
    """Return where a path of fields leads in a schema, or the last part of the path that exists.

    Args:
        form: the canonical form.
        path: field names with dots; unions, arrays and maps between them are entered.

    Returns:
        The JSON pointer, and the form it points to: a field, or the schema itself.
    """
    named = named_types(form)
    pointer, found, here = "", form, form
    for name in path.split(".") if path else ():
        at = next(_fields_named(name, here, "" if found is form else "/type", named, set()), None)
        if at is None:
            break
        pointer, found = pointer + at[0], at[1]
        here = found["type"]
    return pointer, found


def preceding_fields(form: Any, path: str) -> list[str]:
    """Return the paths of the fields before a field in its record, the nearest first; empty if there is no such field.

    Args:
        form: the canonical form.
        path: of the field.
    """
    holder, _, name = path.rpartition(".")
    _, found = locate(form, holder)
    for record in records_in(found["type"] if holder else form, named_types(form)):
        names = [field["name"] for field in record["fields"]]
        if name in names:
            return [inner(holder, each) for each in reversed(names[: names.index(name)])]
    return []


def records_in(form: Any, named: Mapping[str, Form], seen: frozenset[str] = frozenset()) -> Iterator[Form]:
    """Yield the records that a type contains without another record between."""
    if isinstance(form, str):
        if form in named and form not in seen:
            yield from records_in(named[form], named, seen | {form})
    elif isinstance(form, list):
        for branch in form:
            yield from records_in(branch, named, seen)
    elif form["type"] in _RECORDS:
        yield form
    else:
        for key in ("items", "values"):
            if key in form:
                yield from records_in(form[key], named, seen)


def type_at(form: Any, path: str) -> Form | None:
    """Return the type of the field at a path, the schema itself for ""; None if there is no such field."""
    _, found = locate(form, path)
    if not path:
        return form_of(form, named_types(form))
    if found is form or found.get("name") != path.rpartition(".")[2]:
        return None
    return form_of(found["type"], named_types(form))


def _fields_named(
    name: str, form: Any, pointer: str, named: Mapping[str, Form], seen: set[str]
) -> Iterator[tuple[str, Form]]:
    """Yield the fields of a name in the records that a type contains without another record between."""
    if isinstance(form, str):
        if form in named and form not in seen:
            seen.add(form)
            yield from _fields_named(name, named[form], pointer, named, seen)
    elif isinstance(form, list):
        for index, branch in enumerate(form):
            yield from _fields_named(name, branch, f"{pointer}/{index}", named, seen)
    else:
        for key in ("items", "values"):
            if key in form:
                yield from _fields_named(name, form[key], f"{pointer}/{key}", named, seen)
        if (at := _field_index(form).get(name)) is not None:
            yield f"{pointer}/fields/{at}", form["fields"][at]


# A refused schema of 1,500 fields has as many findings, each with a path that is looked up: a search of the record's list of
# fields for each one would take seconds. The entry holds the form, so that its id stays unique.
_INDEXED: Final[dict[int, tuple[Form, dict[str, int]]]] = {}
_INDEXED_RECORDS: Final = 8


def _field_index(form: Form) -> Mapping[str, int]:
    """Return the index of each field of a record by its name; empty for another type."""
    known = _INDEXED.get(id(form))
    if known is None:
        if len(_INDEXED) >= _INDEXED_RECORDS:
            _INDEXED.clear()
        names = {field["name"]: index for index, field in enumerate(form.get("fields", ()))}
        known = _INDEXED[id(form)] = (form, names)
    return known[1]


def brief(form: Any) -> Any:
    """Return a type in few words, as a finding shows it: `long`, `timestamp-millis (long)`, `record shop.Order`."""
    if isinstance(form, str):
        return form
    if isinstance(form, list):
        return [brief(branch) for branch in form]
    kind = form["type"]
    if kind == "union":
        return brief(form["branches"])
    if not isinstance(kind, str) or kind not in _WORDS:
        return brief(kind)  # a field
    if kind in {"array", "map"}:
        return f"{kind} of {_type_words(brief(form['items' if kind == 'array' else 'values']))}"
    text = f"{kind} {form['name']}" if is_named(form) else kind
    if logical := form.get("logicalType"):
        sizes = f"({form.get('precision')}, {form.get('scale', 0)})" if logical == "decimal" else ""
        return f"{logical}{sizes} ({text})"
    return text


def _type_words(words: Any) -> str:
    return words if isinstance(words, str) else f"[{', '.join(map(_type_words, words))}]"


def inner(path: str, name: str) -> str:
    """Return the path of a nested field."""
    return f"{path}.{name}" if path else name


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
