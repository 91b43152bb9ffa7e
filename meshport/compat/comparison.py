"""A reader's schema beside a writer's: which type meets which, as Avro's resolution matches them.

Every pair of types is given once, however often shared types repeat it, so that a schema built to explode is walked in
time linear in its text for each type that it meets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from meshport.compat import resolution
from meshport.compat.finding import Direction
from meshport.schema import Schema
from meshport.schema.canonical import PRIMITIVES

Form = Mapping[str, Any]
"""A type in canonical form with at least `type`; a union has the key `branches`."""

# Avro 1.12, "Schema Resolution": what a reader may take for what was written.
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
    """A type of the reader that takes a type of the writer; neither is a union.

    Attributes:
        reader: `{"type": "long", "logicalType": ...}`, a record, an enum ...; plain primitives too are mappings.
        writer: likewise.
        path: of the field that holds them, with dots; "" for the whole schema.
    """

    reader: Form
    writer: Form
    path: str


@dataclass(frozen=True, slots=True)
class FieldPair:
    """A field of the reader and the one of the writer that it takes; None where the writer has none.

    Attributes:
        record: the reader's record that has the field.
        reader: the field's form.
        writer: the field's form.
        path: of the reader's field.
    """

    record: Form
    reader: Form
    writer: Form | None
    path: str


@dataclass(frozen=True)
class Comparison:
    """Whether `reader` can read what `writer` wrote; what the rules of resolution look at.

    Attributes:
        reader: the schema that is read with.
        writer: the schema that was written with.
        direction: BACKWARD where the candidate reads, FORWARD where it writes.
    """

    reader: Schema
    writer: Schema
    direction: Direction

    @cached_property
    def resolution(self) -> tuple[resolution.Incompatibility, ...]:
        """Why Avro's schema resolution fails; empty where it does not."""
        return resolution.check(self.reader, self.writer)

    @cached_property
    def types(self) -> tuple[TypePair, ...]:
        """Every pair of types that resolution brings together, each once, at the first path that leads to it."""
        return tuple(each for each in self._walked if isinstance(each, TypePair))

    @cached_property
    def fields(self) -> tuple[FieldPair, ...]:
        """Every field of the reader's records with its like, in the records that resolution brings together."""
        return tuple(each for each in self._walked if isinstance(each, FieldPair))

    def sides(self, reader: Any, writer: Any) -> tuple[Any, Any]:
        """Something of the reader and something of the writer as (before, after)."""
        return (writer, reader) if self.direction is Direction.BACKWARD else (reader, writer)

    @cached_property
    def _walked(self) -> tuple[TypePair | FieldPair, ...]:
        if self.reader.fingerprint == self.writer.fingerprint:
            return ()
        return tuple(_PairWalk(self.reader, self.writer))


def form_of(form: Any, named: Mapping[str, Form]) -> Form:
    """A type as a mapping: a name becomes its definition, a primitive `{"type": ...}`, a union `{"type": "union"}`."""
    if isinstance(form, str):
        return named.get(form, {"type": form})
    if isinstance(form, list):
        return {"type": "union", "branches": form}
    return form  # type: ignore[no-any-return]  # JSON data


def is_named(form: Form) -> bool:
    """Whether a type has a name of its own; `"name"` on a primitive is an attribute that means nothing."""
    return form["type"] in _NAMED


# A comparison asks for each of its findings, and always of the same two or three forms. Held, so that ids stay their own.
_RECENT: Final[dict[int, tuple[Any, dict[str, Form]]]] = {}
_RECENT_FORMS: Final = 4


def named_types(form: Any) -> dict[str, Form]:
    """Every named type that a canonical form defines; the form must not change."""
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
    """Every type that a schema spells out with attributes, and the path of the field that holds it; names not followed."""
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
    """Where a path of fields leads in a schema, or the nearest place on its way that is there.

    Args:
        form: the canonical form.
        path: names of fields, with dots; unions, arrays and maps between them are looked into.

    Returns:
        The JSON pointer, and what stands there: a field's form, or the schema itself.
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
    """The paths of the fields that stand before a field in its record, the nearest first; none where it is not there.

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
    """The records that a type holds without another record between."""
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
    """The type of the field that a path leads to, the schema itself for ""; None where it leads nowhere."""
    _, found = locate(form, path)
    if not path:
        return form_of(form, named_types(form))
    if found is form or found.get("name") != path.rpartition(".")[2]:
        return None
    return form_of(found["type"], named_types(form))


def _fields_named(
    name: str, form: Any, pointer: str, named: Mapping[str, Form], seen: set[str]
) -> Iterator[tuple[str, Form]]:
    """The fields of that name in the records that a type holds without another record between."""
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
        for index, field in enumerate(form.get("fields", ())):
            if field["name"] == name:
                yield f"{pointer}/fields/{index}", field


def brief(form: Any) -> Any:
    """A type in few words, as a finding shows it: `long`, `timestamp-millis (long)`, `record shop.Order`."""
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
    """The path of a field within another."""
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
        """The branch that takes what the writer wrote: the same type first, as the specification has it."""
        forms = [(branch, form_of(branch, self._reader)) for branch in branches]
        for branch, form in forms:
            if form["type"] == writer["type"] and _takes(form, writer):
                return branch
        return next((branch for branch, form in forms if _takes(form, writer)), None)


def _takes(reader: Form, writer: Form) -> bool:
    """Whether two types, neither of them a union, are brought together by resolution; what is within is not looked at."""
    ours, theirs = _kind(reader), _kind(writer)
    if ours != theirs:
        return ours in _PROMOTED.get(theirs, ())
    if ours in PRIMITIVES or ours in {"array", "map"}:
        return True
    return _short(reader["name"]) == _short(writer["name"]) or writer["name"] in reader.get("aliases", ())


def _taken(field: Form, written: Mapping[str, Form]) -> Form | None:
    """The writer's field that a reader's field takes: of its name, else of an alias, the first that is there."""
    names = (field["name"], *field.get("aliases", ()))
    return next((written[name] for name in names if name in written), None)


def _kind(form: Form) -> str:
    return "record" if form["type"] == "error" else str(form["type"])


def _short(name: str) -> str:
    return name.rpartition(".")[2]
