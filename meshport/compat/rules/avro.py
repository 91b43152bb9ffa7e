"""Avro's own rules of schema resolution, checked by Apache Avro and named after its incompatibility types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshport.compat.comparison import Comparison
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, RollOut
from meshport.compat.forms import Form, brief, form_of, inner, named_types, type_at
from meshport.compat.resolution import Incompatibility
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.advice import NEW_MAJOR, WAIVE, beside
from meshport.compat.rules.schema_text import as_json, default_text, with_null

_BOTH: Final = (Direction.BACKWARD, Direction.FORWARD)


def missing_default(comparison: Comparison) -> Iterator[Found]:
    """A reader's field is not written, and the reader's schema has no default for it.

    Avro fills a field that is missing in the bytes with the default of the reader's schema. Without a default there is no
    value, and decoding fails. Backward, this is a new field without a default: older events cannot be read. Forward, it is
    a field that was removed although today's readers have no default for it.

    A new field passes if it has a default. A removal takes two steps: first give the field a default and let the readers
    take that version, then remove it. A transitive level goes on protecting readers of the versions without the default, so
    that the second step needs a waiver, once no such reader runs. Otherwise keep the field, or publish a new major.
    """
    renames = _Renames(comparison)
    for _, path, form, _ in _incompatibilities(comparison, "READER_FIELD_MISSING_DEFAULT_VALUE"):
        name = path.rpartition(".")[2]
        if comparison.direction is Direction.BACKWARD:
            yield Found(
                path,
                f"the new field {name!r} has no default, and older events do not hold it",
                None,
                brief(form),
                f"give {name!r} a default: {with_null(name, form['type'])}",
                RollOut.ANY,
            )
            continue
        yield Found(
            path,
            f"the field {name!r} is gone, and readers of {_which(comparison)} have no default for it",
            brief(form),
            None,
            _removal(comparison, path, form, renames.twin(path, form)),
            RollOut.READERS,
        )


def type_mismatch(comparison: Comparison) -> Iterator[Found]:
    """The reader's type cannot take the type that was written.

    Avro promotes int to long, float and double, long to float and double, and float to double; string and bytes can be
    read as each other. A value of any other type cannot be decoded.

    Promotion works in one direction only, so at a FULL level no type can change at all. Add a field of the new type beside
    the old one and write both until the readers have moved, or publish a new major.
    """
    yield from _mismatches(comparison, "TYPE_MISMATCH")


def missing_branch(comparison: Comparison) -> Iterator[Found]:
    """A value can be written whose type is no branch of the reader's union.

    A reader whose union lacks the branch fails at the first such value. A branch can be added where only new readers read
    old events (BACKWARD), and removed where only old readers read new events (FORWARD).

    Let the readers take the wider union first, at a level that allows it. Otherwise add a field of the new type.
    """
    yield from _mismatches(comparison, "MISSING_UNION_BRANCH")


def name_mismatch(comparison: Comparison) -> Iterator[Found]:
    """A record, enum or fixed has another name in the writer's schema, and the reader has no alias for that name.

    Avro matches named types by their names. A reader whose `aliases` contain the writer's name takes the type. Today's
    readers cannot contain a name that comes later, so a rename breaks them at every FORWARD level.

    Keep the name. If only older events matter, add the old name to `aliases`.
    """
    for found, path, form, like in _incompatibilities(comparison, "NAME_MISMATCH"):
        before, after = comparison.sides(form.get("name"), (like or {}).get("name"))
        only_backward = comparison.direction is Direction.BACKWARD and not comparison.both_ways
        yield Found(
            path,
            found.message,
            before,
            after,
            f"name it {before!r} again" + (f'; or add "aliases": ["{before}"] to {after!r}' if only_backward else ""),
            RollOut.READERS,
        )


def fixed_size(comparison: Comparison) -> Iterator[Found]:
    """A fixed has another size in the reader's schema than in the writer's.

    The size is in the schema only, not in the bytes: with another size, everything that follows is read at the wrong
    offset.

    Add a field with a fixed of another name beside the old one, or publish a new major.
    """
    for found, path, form, like in _incompatibilities(comparison, "FIXED_SIZE_MISMATCH"):
        before, after = comparison.sides(form.get("size"), (like or {}).get("size"))
        yield Found(path, found.message, before, after, beside(comparison, path))


def missing_symbols(comparison: Comparison) -> Iterator[Found]:
    """An enum can hold a symbol that the reader's enum does not have, and the reader's enum has no default.

    With a default on the enum itself (not on the field) a reader takes an unknown symbol as the default. Without one,
    decoding fails at the first event with that symbol.

    Give every enum a default in its first version; symbols can then be added. Otherwise add a field beside this one. Where
    the default came later, a transitive level protects readers of the versions before, and a new symbol needs a waiver.
    """
    for _, path, form, like in _incompatibilities(comparison, "MISSING_ENUM_SYMBOLS"):
        ours, theirs = form.get("symbols", ()), (like or {}).get("symbols", ())
        known = set(ours)
        missing = [symbol for symbol in theirs if symbol not in known]
        named = ", ".join(repr(symbol) for symbol in missing)
        before, after = comparison.sides(list(ours), list(theirs))
        if comparison.direction is Direction.BACKWARD:
            yield Found(
                path,
                f"the symbols {named} are gone, but older events hold them and the enum has no default",
                before,
                after,
                f"keep {named}; a symbol that is written no more costs nothing",
                RollOut.ANY,
            )
        else:
            yield Found(
                path,
                f"the symbols {named} are new, and the enum of {_readers(comparison)} has no default for them",
                before,
                after,
                _growth(comparison, path, ours[0] if ours else "UNKNOWN", named),
                RollOut.READERS,
            )


RULES: Final = (
    Rule(
        "READER_FIELD_MISSING_DEFAULT_VALUE",
        "a field that is read is written, or has a default",
        _BOTH,
        Scope.RESOLUTION,
        missing_default,
    ),
    Rule("TYPE_MISMATCH", "a reader's type takes what is written", _BOTH, Scope.RESOLUTION, type_mismatch),
    Rule(
        "MISSING_UNION_BRANCH",
        "a reader's union has a branch for every type that is written",
        _BOTH,
        Scope.RESOLUTION,
        missing_branch,
    ),
    Rule("NAME_MISMATCH", "a named type keeps its name, or an alias", _BOTH, Scope.RESOLUTION, name_mismatch),
    Rule("FIXED_SIZE_MISMATCH", "a fixed keeps its size", _BOTH, Scope.RESOLUTION, fixed_size),
    Rule(
        "MISSING_ENUM_SYMBOLS",
        "a reader's enum knows every symbol that is written, or has a default",
        _BOTH,
        Scope.RESOLUTION,
        missing_symbols,
    ),
)


def _incompatibilities(comparison: Comparison, rule: str) -> Iterator[tuple[Incompatibility, str, Form, Form | None]]:
    """Yield what Avro's checker found of one kind, with its path and the types of the reader and the writer at that path."""
    reasons = [each for each in comparison.resolution if each.rule == rule]
    if not reasons:
        return
    ours, theirs = named_types(comparison.reader.form), named_types(comparison.writer.form)
    written: dict[str, Form | None] = {}
    for each in reasons:
        path, form = _path_at(comparison.reader.form, each.location, ours)
        if path not in written:
            written[path] = type_at(comparison.writer.form, path)
        like = written[path]
        kind = form["type"]  # of a field it may be a union
        if like and isinstance(kind, str) and kind in {"enum", "fixed", "record", "error"}:
            like = _within(like, form, theirs)
        yield each, path, form, like


def _within(held: Form, like: Form, named: Mapping[str, Form]) -> Form | None:
    """Return the type of one kind within a field's union, array or map, preferably the one of the same name."""
    found: list[Form] = []
    stack: list[Any] = [held]
    while stack:
        form = form_of(stack.pop(), named)
        if form["type"] == like["type"]:
            found.append(form)
        stack += form.get("branches", [form[key] for key in ("items", "values") if key in form])
    short = like["name"].rpartition(".")[2]
    return next((form for form in found if form["name"].rpartition(".")[2] == short), found[0] if found else None)


def _mismatches(comparison: Comparison, rule: str) -> Iterator[Found]:
    reported: set[str] = set()
    for found, path, _, _ in _incompatibilities(comparison, rule):
        if path in reported:
            continue
        reported.add(path)
        types = (type_at(each.form, path) for each in (comparison.reader, comparison.writer))
        before, after = comparison.sides(*(brief(each) if each else None for each in types))
        yield Found(path, found.message, before, after, beside(comparison, path), RollOut.READERS)


def _readers(comparison: Comparison) -> str:
    return "today's readers" if comparison.newest else "readers of an earlier version"


def _which(comparison: Comparison) -> str:
    return "the earlier schema" if comparison.newest else "an earlier version than the newest"


def _removal(comparison: Comparison, path: str, form: Form, twin: str | None) -> str:
    """Return the advice for a field that readers cannot do without: two steps, of which the first may be done already."""
    name = path.rpartition(".")[2]
    both = f"keep {name!r} and write both, {twin!r} with a default and no alias"
    if not comparison.newest:
        return (
            f"the newest version has a default for {name!r}, and {comparison.transitive} protects readers of the versions "
            f"without it too: when none of them runs any more, {WAIVE}; or {both if twin else f'keep {name!r}'}; or {NEW_MAJOR}"
        )
    default = default_text(form["type"], named_types(comparison.reader.form))
    first = f'in two steps: first give {name!r} a default ("default": {default}) and let the readers take that version'
    waiver = ", with a waiver" if comparison.transitive else ""
    if twin:
        return (
            f"it looks renamed to {twin!r}, {first}, then rename it, with "
            f'"aliases": ["{name}"] on {twin!r}{waiver}; or {both}'
        )
    return f"{first}, then remove it{waiver}; or {NEW_MAJOR}"


def _growth(comparison: Comparison, path: str, default: str, symbols: str) -> str:
    """Return the advice for symbols that an enum without a default lacks."""
    if not comparison.newest:
        return (
            f"the newest version's enum has a default, and {comparison.transitive} protects readers of the versions without "
            f"it too: when none of them runs any more, {WAIVE}; or {beside(comparison, path)}"
        )
    waiver = ", with a waiver" if comparison.transitive else ""
    return (
        f'in two steps: first give the enum a "default", such as {default!r}, and let the readers take that version, '
        f"then add {symbols}{waiver}; or {NEW_MAJOR}"
    )


def _path_at(form: Any, location: str, named: Mapping[str, Form]) -> tuple[str, Form]:
    """Return the path of fields that a pointer of Avro's checker leads to, and the field or type nearest to it.

    Args:
        form: the canonical form.
        location: the pointer, which leads through names as if their definitions were in their stead.
        named: the schema's named types.
    """
    here, path, found = form, "", form_of(form, named)
    steps = iter(location.split("/")[1:])
    for step in steps:
        here = named.get(here, here) if isinstance(here, str) else here
        if isinstance(here, list):
            here = here[int(step)]
        elif step == "fields":
            here = found = here["fields"][int(next(steps))]
            path = inner(path, here["name"])
            continue
        elif step in {"type", "items", "values"}:
            here = here[step]
        else:  # an attribute: the name, the size, the symbols
            break
        found = form_of(here, named)
    return path, found


class _Renames:
    """New fields of the writer that may be lost ones renamed. Each record is looked through once for all of its lost fields."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._new: dict[str, dict[str, list[str]]] = {}

    def twin(self, path: str, field: Form) -> str | None:
        """Return the only new field with a lost field's type in the same record, or None."""
        holder = path.rpartition(".")[0]
        if holder not in self._new:
            self._new[holder] = self._by_type(holder)
        found = self._new[holder].get(as_json(field["type"]), [])
        return found[0] if len(found) == 1 else None

    def _by_type(self, holder: str) -> dict[str, list[str]]:
        ours, theirs = (type_at(each.form, holder) for each in (self._comparison.reader, self._comparison.writer))
        found: dict[str, list[str]] = {}
        if ours and theirs and "fields" in ours and "fields" in theirs:
            known = {each["name"] for each in ours["fields"]}
            for each in theirs["fields"]:
                if each["name"] not in known:
                    found.setdefault(as_json(each["type"]), []).append(str(each["name"]))
        return found
