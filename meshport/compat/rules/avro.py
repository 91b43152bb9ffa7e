"""Avro's own rules of schema resolution, judged by Apache Avro's checker, named by its incompatibility types."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshport.compat.comparison import Comparison, Form, brief, form_of, inner, named_types, type_at
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, RollOut
from meshport.compat.resolution import Incompatibility
from meshport.compat.rule import Rule, Scope

_BOTH: Final = (Direction.BACKWARD, Direction.FORWARD)
_NEW_MAJOR: Final = "publish it as a new major beside this one: `meshport new ADDRESS --major`"


def missing_default(comparison: Comparison) -> Iterator[Found]:
    """A field that a reader needs is not written, and the reader's schema says no default for it.

    Avro fills a field that the bytes do not have with the reader's default; without one, no value can be made and
    decoding fails. Backward, this is a new field without a default: it cannot be read from older events. Forward, it
    is a field that was removed although today's readers have no default for it.

    A new field passes with a default. A removal takes two steps: first give the field a default and let the readers take
    that version, then remove it. Where the level is transitive, readers of the versions without the default stay
    broken for ever: keep the field, or publish a new major.
    """
    for _, path, form, _ in _misfits(comparison, "READER_FIELD_MISSING_DEFAULT_VALUE"):
        name = path.rpartition(".")[2]
        if comparison.direction is Direction.BACKWARD:
            yield Found(
                path,
                f"the new field {name!r} has no default, and older events do not hold it",
                None,
                brief(form),
                f"give {name!r} a default: {_with_null(name, form['type'])}",
                RollOut.ANY,
            )
            continue
        named, twin = named_types(comparison.reader.form), _renamed(comparison, path, form)
        step = (
            f"it looks renamed to {twin!r}, in two steps: first give {name!r} a default "
            f"({_default_for(form['type'], named)}) and let the readers take that version, then rename it, with "
            f'"aliases": ["{name}"] on {twin!r}; or keep {name!r} and write both, {twin!r} with a default and no alias'
            if twin
            else f"in two steps: first give {name!r} a default ({_default_for(form['type'], named)}) and let the readers "
            f"take that version, then remove it; or {_NEW_MAJOR}"
        )
        yield Found(
            path,
            f"the field {name!r} is gone, and readers of the earlier schema have no default for it",
            brief(form),
            None,
            step,
            RollOut.READERS,
        )


def type_mismatch(comparison: Comparison) -> Iterator[Found]:
    """A reader's type cannot take what was written.

    Avro promotes int to long, float and double, long to float and double, float to double, and takes string and bytes
    for one another. Nothing else: a value of another type cannot be decoded.

    Promotion goes one way, so that at a FULL level no type may change at all. Add a field of the new type beside the
    old one and write both until the readers have moved, or publish a new major.
    """
    yield from _mismatches(comparison, "TYPE_MISMATCH")


def missing_branch(comparison: Comparison) -> Iterator[Found]:
    """A value may be written of a type for which the reader's union has no branch.

    Readers whose union lacks the branch fail at the first value that takes it. A branch may be added where only new
    readers read old events (BACKWARD), and removed where only old readers read new events (FORWARD).

    Let the readers take the wider union first, at a level that allows it; else add a field of the new type beside.
    """
    yield from _mismatches(comparison, "MISSING_UNION_BRANCH")


def name_mismatch(comparison: Comparison) -> Iterator[Found]:
    """A record, enum or fixed is named otherwise by the writer, and the reader has no alias for that name.

    Avro brings named types together by their names. A reader that has the writer's name among its `aliases` takes it;
    today's readers cannot know a name that comes later, so a rename breaks them at every FORWARD level.

    Keep the name. Where only older events matter, add the old name to `aliases`.
    """
    for misfit, path, form, like in _misfits(comparison, "NAME_MISMATCH"):
        before, after = comparison.sides(form.get("name"), (like or {}).get("name"))
        yield Found(
            path,
            misfit.message,
            before,
            after,
            f'name it {before!r} again, or add "aliases": ["{before}"] where only older events have to be read',
            RollOut.READERS,
        )


def fixed_size(comparison: Comparison) -> Iterator[Found]:
    """A fixed has another size for the reader than for the writer.

    The size stands in the schema alone, not in the bytes: read with another one, all that follows is out of step.

    Add a field with a fixed of another name beside the old one, or publish a new major.
    """
    for misfit, path, form, like in _misfits(comparison, "FIXED_SIZE_MISMATCH"):
        before, after = comparison.sides(form.get("size"), (like or {}).get("size"))
        yield Found(path, misfit.message, before, after, beside(path))


def missing_symbols(comparison: Comparison) -> Iterator[Found]:
    """An enum may hold a symbol that the reader's enum does not have, and that enum has no default.

    With a default in the enum itself (not in the field) a reader takes an unknown symbol for the default; without one
    decoding fails at the first event that has the symbol.

    Give every enum a default from its first version on; then symbols can be added. Otherwise add a field beside.
    """
    for _, path, form, like in _misfits(comparison, "MISSING_ENUM_SYMBOLS"):
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
                f"the symbols {named} are new, and the enum of today's readers has no default for them",
                before,
                after,
                f'in two steps: first give the enum a "default", such as {ours[0] if ours else "UNKNOWN"!r}, and let '
                f"the readers take that version, then add {named}; or {_NEW_MAJOR}",
                RollOut.READERS,
            )


RULES: Final = (
    Rule(
        "READER_FIELD_MISSING_DEFAULT_VALUE",
        "a field that somebody reads is written, or has a default",
        _BOTH,
        Scope.RESOLUTION,
        missing_default,
    ),
    Rule("TYPE_MISMATCH", "a reader's type takes what is written", _BOTH, Scope.RESOLUTION, type_mismatch),
    Rule(
        "MISSING_UNION_BRANCH",
        "a reader's union has a branch for whatever is written",
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


def _misfits(comparison: Comparison, rule: str) -> Iterator[tuple[Incompatibility, str, Form, Form | None]]:
    """What Avro's checker found of one kind: with the path, and what stands there for the reader and for the writer."""
    misfits = [each for each in comparison.resolution if each.rule == rule]
    if not misfits:
        return
    ours, theirs = named_types(comparison.reader.form), named_types(comparison.writer.form)
    written: dict[str, Form | None] = {}
    for misfit in misfits:
        path, form = _path_at(comparison.reader.form, misfit.location, ours)
        if path not in written:
            written[path] = type_at(comparison.writer.form, path)
        like = written[path]
        kind = form["type"]  # of a field it may be a union
        if like and isinstance(kind, str) and kind in {"enum", "fixed", "record", "error"}:
            like = _within(like, form, theirs)
        yield misfit, path, form, like


def _within(held: Form, like: Form, named: Mapping[str, Form]) -> Form | None:
    """The type of a kind that stands in a field's type, within its union, array or map; the namesake before others."""
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
    for misfit, path, _, _ in _misfits(comparison, rule):
        if path in reported:
            continue
        reported.add(path)
        types = (type_at(each.form, path) for each in (comparison.reader, comparison.writer))
        before, after = comparison.sides(*(brief(each) if each else None for each in types))
        yield Found(path, misfit.message, before, after, beside(path), RollOut.READERS)


def beside(path: str) -> str:
    """The advice for a type that may not change: leave it, and add another field."""
    name = path.rpartition(".")[2] or "value"
    return (
        f"keep {name!r} as it is and add a field beside it, such as {name + '_v2'!r}, with a default; or {_NEW_MAJOR}"
    )


def _path_at(form: Any, location: str, named: Mapping[str, Form]) -> tuple[str, Form]:
    """The path of fields that leads to a pointer of Avro's checker, and the field or type that stands nearest to it.

    Args:
        form: the canonical form.
        location: the pointer; it leads through names as if their definitions stood there.
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


def _with_null(name: str, kind: Any) -> str:
    branches = kind if isinstance(kind, list) else [kind]
    union = ["null", *(each for each in branches if each != "null")]
    return as_json({"name": name, "type": union, "default": None})


def _default_for(kind: Any, named: Mapping[str, Form]) -> str:
    form = form_of(kind, named)
    match form["type"]:
        case "union":
            return _default_for(form["branches"][0], named)
        case "null":
            return '"default": null'
        case "string" | "bytes":
            return '"default": ""'
        case "boolean":
            return '"default": false'
        case "int" | "long" | "float" | "double":
            return '"default": 0'
        case "enum":
            return f'"default": {as_json(form.get("default", form["symbols"][0]))}'
        case "array":
            return '"default": []'
        case "map":
            return '"default": {}'
        case _:
            return '"default": ...'


def _renamed(comparison: Comparison, path: str, field: Form) -> str | None:
    """The field that took a lost field's place: of the same type, in the same record, new with the writer."""
    holder = path.rpartition(".")[0]
    ours, theirs = (type_at(each.form, holder) for each in (comparison.reader, comparison.writer))
    if not ours or not theirs or "fields" not in ours or "fields" not in theirs:
        return None
    known = {each["name"] for each in ours["fields"]}
    new = [each["name"] for each in theirs["fields"] if each["name"] not in known and each["type"] == field["type"]]
    return str(new[0]) if len(new) == 1 else None


def as_json(value: Any) -> str:
    """JSON as a schema's author would type it."""
    return json.dumps(value, ensure_ascii=False)


def shown(value: Any) -> str:
    """A default as a message shows it, however long it is."""
    text = as_json(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
