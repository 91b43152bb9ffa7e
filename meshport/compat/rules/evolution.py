"""Changes that Avro resolves without an error and that still change what is read: defaults, unions, aliases, names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from meshport.codec.defaults import default_of
from meshport.compat.comparison import Comparison, FieldPair
from meshport.compat.contract import Change, Contract, Found, Version
from meshport.compat.finding import Direction, RollOut, Severity
from meshport.compat.forms import Form, brief, declared, inner, is_named, named_types, type_at
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules import avro, values
from meshport.compat.rules.schema_text import as_json, shown
from meshport.errors import SchemaError
from meshport.schema import Schema

_BOTH: Final = (Direction.BACKWARD, Direction.FORWARD)
_TRANSITIVE: Final = "_TRANSITIVE"
# The rules that find a value of one type unreadable as another type.
_TAKES: Final = (
    *avro.RULES,
    *(rule for rule in values.RULES if rule.id in {"LOGICAL_TYPE", "DECIMAL_SCALE", "DECIMAL_PRECISION", "TIME_UNIT"}),
)


def default_changed(comparison: Comparison) -> Iterator[Found]:
    """The default of a field is another value, or is removed.

    Every event without the field is read as the default: all events that were written before the field was added, and they
    stay stored. With another default, the same event means one thing to today's readers and another to the candidate's, so
    that a replay no longer gives the figures that were computed before. This is an error and not a warning, because the
    change goes unnoticed. Only BACKWARD is checked, since today's readers use their own default. Without a default, the
    oldest events cannot be read at all, which a level that is not transitive does not detect. (Avro 1.12, "Schema
    Resolution": "the reader should use the default value from its field".) For a nullable field the rule is
    NULLABLE_REQUIRED.

    Keep the default, and let producers write the new value. If the default was wrong from the start, use a waiver.
    """
    if comparison.direction is not Direction.BACKWARD:
        return
    for pair, before, after in _sides(comparison):
        if "default" not in before or ("default" in after and _same(before["default"], after["default"])):
            continue
        if "default" not in after and _nullable(before):
            continue
        was = before["default"]
        would = f"would be {shown(after['default'])}" if "default" in after else "is gone"
        yield Found(
            pair.path,
            f"the default of {after['name']!r} was {shown(was)} and {would}: events that lack the field are read otherwise "
            "than before",
            was,
            after.get("default"),
            f'keep "default": {as_json(was)} and let producers write another value where they mean one',
            RollOut.ANY,
        )


def nullable_required(comparison: Comparison) -> Iterator[Found]:
    """A nullable field loses its default, so that it can no longer be left out.

    In Avro a field is optional if it has a default, not if it is nullable. Without a default, a producer that leaves the
    field out is refused, events from before the field cannot be read, and the field can never be removed again, since
    readers of this version have no value to use instead. Avro's checker passes the change as long as the earlier version
    has the field.

    Keep the default. To make a value mandatory, add a field that is not nullable, with a default for the past.
    """
    for pair, before, after in _sides(comparison):
        if "default" in before and "default" not in after and _nullable(before):
            yield Found(
                pair.path,
                f"{after['name']!r} could be left out and has no default any more: whoever leaves it out is refused",
                {"default": before["default"]},
                {},
                f'keep "default": {as_json(before["default"])}',
                RollOut.ANY,
            )


def union_order(comparison: Comparison) -> Iterator[Found]:
    """The branches of a union are reordered, and the field's default then belongs to another branch.

    A default does not name its branch. Up to Avro 1.11 it belongs to the first branch ("Default values for union fields
    correspond to the first schema in the union"), since 1.12 to the first branch that it fits. So 0 is an int in ["int",
    "double"] and a double in ["double", "int"]. A reader with an older library refuses the schema if null, the default, is
    no longer first: ["string", "null"]. Avro's checker passes both.

    Restore the order of the branches; add new branches at the end.
    """
    named: list[Mapping[str, Form]] = []
    for pair, before, after in _sides(comparison):
        if "default" not in before or "default" not in after or not _same(before["default"], after["default"]):
            continue
        ours, theirs = _branches(before), _branches(after)
        if ours == theirs or len(theirs) == 1:
            continue
        named = named or [named_types(each.form) for each in comparison.sides(comparison.reader, comparison.writer)]
        was, would = _chosen(before, named[0]), _chosen(after, named[1])
        if was is None or would is None:
            continue
        moved = ours[was] != theirs[would] and ours[was] in theirs and comparison.direction is Direction.BACKWARD
        if moved:
            why = f"which was {ours[was]} and would be {theirs[would]}"
        elif was == 0 and would > 0:
            why = "which is no longer that of the first branch: libraries up to Avro 1.11 refuse the schema"
        else:
            continue
        yield Found(
            pair.path,
            f"the branches of {after['name']!r} moved under its default {shown(before['default'])}, {why}",
            brief(before["type"]),
            brief(after["type"]),
            f"write the branches in the order {as_json(ours)}, and new ones after them",
            RollOut.ANY,
        )


def alias_dropped(comparison: Comparison) -> Iterator[Found]:
    """A field or a type loses an alias by which older events are read.

    An alias is the name that a field has in older events (Avro, "Aliases"). Without it a reader finds no field of the new
    name in them and takes the default: years of values are read as "" or null, and Avro passes the change. If there is no
    default, or for a type, levels that are not transitive do not detect it, since the version before already has the new
    name.

    Keep the alias as long as events with the old name are stored. It costs nothing.
    """
    if comparison.direction is not Direction.BACKWARD:
        return
    named = [(each.path, each.writer, each.reader) for each in comparison.types if is_named(each.reader)]
    fields = [(pair.path, before, after) for pair, before, after in _sides(comparison)]
    for path, before, after in (*named, *fields):
        known = {after["name"], *after.get("aliases", ())}
        gone = [alias for alias in before.get("aliases", ()) if alias not in known]
        if gone:
            names = ", ".join(map(repr, gone))
            yield Found(
                path,
                f"{after['name']!r} loses the alias {names}: what was written under that name is not found any more",
                before["aliases"],
                after.get("aliases"),
                f'keep "aliases": {as_json(before["aliases"])}',
                RollOut.ANY,
            )


def alias_ambiguous(comparison: Comparison) -> Iterator[Found]:
    """Two written fields match one field of the reader: by its name and an alias, or by two aliases.

    Aliases rename the writer's fields (Avro 1.12, "Aliases"), after which two of them have the same name. Java's checker
    stops with "matches multiple fields in writer record schema" and Python's reports nothing; fastavro stops at the first
    event with a KeyError, and other libraries take one of the two fields, not all the same one. It happens when two fields
    are merged by an alias, and when a new field gets a name that is an alias in today's readers.

    Give the field at most one alias that any stored version has beside it, and give new fields names that were never used.
    """
    for each in comparison.types:
        if "fields" not in each.reader or "fields" not in each.writer:
            continue
        written = {field["name"] for field in each.writer["fields"]}
        live = {field["name"] for field in each.reader["fields"]}
        for field in each.reader["fields"]:
            aliases = [alias for alias in field.get("aliases", ()) if alias not in live]
            answers = [name for name in dict.fromkeys((field["name"], *aliases)) if name in written]
            if len(answers) > 1:
                who = "older events have" if comparison.direction is Direction.BACKWARD else "new events would have"
                names = " and ".join(map(repr, answers))
                yield Found(
                    inner(each.path, field["name"]),
                    f"{who} {names}, and to the reader both are {field['name']!r}",
                    *comparison.sides(field["name"], answers),
                    f"take the alias {answers[-1]!r} away and keep {answers[-1]!r} as a field of its own"
                    if comparison.direction is Direction.BACKWARD
                    else "give the new field a name that was never used, such as "
                    f"{comparison.unused_name(inner(each.path, answers[-1]))!r}",
                    RollOut.ANY,
                )


def alias_collision(contract: Contract) -> Iterator[Found]:
    """An alias is the name of another field or type that is in use, or two fields or types have the same alias.

    What was written under that name then matches twice, and all checkers report the schema as compatible. If `b` has the
    name of the existing field `a` as an alias, an event with a = 5 is {a: 5, b: 0} in fastavro and {a: 0, b: 5} in Java,
    which renames the written field (Avro 1.12, "Aliases"; 0 is the default). Two readers of one port disagree, and neither
    of them notices.

    Remove the alias if the old name is still in use. To rename a field, remove the old field when the alias is added: give
    it a default first, let the readers take that version, then rename it.
    """
    form = contract.schema.form
    types = [(path, each) for path, each in declared(form) if is_named(each)]
    yield from _collisions(types, "type")
    for path, each in types:
        fields = [(inner(path, field["name"]), field) for field in each.get("fields", ())]
        yield from _collisions(fields, "field")


def field_retyped(change: Change) -> Iterator[Found]:
    """A field that an earlier version removed returns, by its name or an alias, as another type.

    A level that is not transitive compares with the newest version only, and that version lacks the field. Older events
    still contain it: a reader that replays them reads text as a number, or stops. Confluent's levels have this gap by
    definition, so this rule compares all versions, in the directions of the level. At a transitive level Avro's own rules
    detect it.

    Use a name that was never used, such as the old one with `_v2`. A name that was used cannot be given away.
    """
    directions = _directions(change, change.after) if change.after else []
    if not change.after or not directions or len(change.versions) < 2:
        return
    candidate = change.after.schema
    missing: set[str] = set()
    found: dict[str, Found] = {}
    for version in reversed(change.versions):
        comparison = Comparison(candidate, version.schema, Direction.BACKWARD)
        returned = {each.path for each in comparison.fields if each.writer is not None} & missing
        missing |= {each.path for each in comparison.fields if each.writer is None}
        for path in sorted(returned - found.keys()):
            if _retyped(path, candidate, version, directions):
                before, after = type_at(version.schema.form, path), type_at(candidate.form, path)
                found[path] = Found(
                    path,
                    f"{path.rpartition('.')[2]!r} comes back as another type than version {version.number} wrote "
                    "under that name, and those events are still stored",
                    brief(before) if before else None,
                    brief(after) if after else None,
                    f"take a name that was never used, such as {comparison.unused_name(path)!r}, with a default",
                    RollOut.ANY,
                )
    yield from found.values()


def doc_dropped(comparison: Comparison) -> Iterator[Found]:
    """The doc of a record, another named type or a field is removed.

    No decoder depends on it. The doc is what the readers' teams know about a field: its unit, the meaning of null, when it
    arrives late. A changed doc is no finding; a removed one is a warning.

    Restore the doc.
    """
    named = [(each.path, each.reader, each.writer) for each in comparison.types if is_named(each.reader)]
    fields = [(each.path, each.reader, each.writer) for each in comparison.fields if each.writer is not None]
    for path, reader, writer in (*named, *fields):
        before, after = comparison.sides(reader, writer)
        if before.get("doc") and not after.get("doc"):
            message = f"the doc of {after['name']!r} is gone"
            yield Found(path, message, before["doc"], None, f'keep "doc": {as_json(before["doc"])}', RollOut.ANY)


RULES: Final = (
    Rule(
        "DEFAULT_CHANGED",
        "an event without a field is read as before",
        (Direction.BACKWARD,),
        Scope.RESOLUTION,
        default_changed,
    ),
    Rule(
        "NULLABLE_REQUIRED",
        "an optional field stays optional",
        _BOTH,
        Scope.RESOLUTION,
        nullable_required,
    ),
    Rule("UNION_ORDER", "a default keeps its branch of a union", _BOTH, Scope.RESOLUTION, union_order),
    Rule(
        "ALIAS_DROPPED",
        "fields of older events are found under their old names",
        (Direction.BACKWARD,),
        Scope.RESOLUTION,
        alias_dropped,
    ),
    Rule("ALIAS_AMBIGUOUS", "a reader's field matches one written field", _BOTH, Scope.RESOLUTION, alias_ambiguous),
    Rule("DOC_DROPPED", "the documentation is kept", _BOTH, Scope.RESOLUTION, doc_dropped, Severity.WARNING),
    Rule(
        "ALIAS_COLLISION",
        "an alias is no name that is in use",
        (Direction.BACKWARD,),
        Scope.DECLARATION,
        alias_collision,
    ),
    Rule("FIELD_RETYPED", "a name that was used keeps its type", _BOTH, Scope.CHANGE, field_retyped),
)


def _sides(comparison: Comparison) -> Iterator[tuple[FieldPair, Form, Form]]:
    """Yield every field that both sides have, with its form before and after."""
    for each in comparison.fields:
        if each.writer is not None:
            before, after = comparison.sides(each.reader, each.writer)
            yield each, before, after


def _same(before: Any, after: Any) -> bool:
    """Return whether two defaults are equal; True is not 1, though Python compares them as equal."""
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


def _nullable(field: Form) -> bool:
    kind = field["type"]
    return bool(kind == "null" or (isinstance(kind, list) and "null" in kind))


def _branches(field: Form) -> list[str]:
    """Return the names of the branches of a field's type; a type that is not a union is its only branch."""
    kind = field["type"]
    return [
        each if isinstance(each, str) else str(each["name"] if is_named(each) else each["type"])
        for each in (kind if isinstance(kind, list) else [kind])
    ]


def _chosen(field: Form, named: Mapping[str, Form]) -> int | None:
    """Return the index of the branch that a field's default belongs to: the first that it fits."""
    kind = field["type"]
    for index, branch in enumerate(kind if isinstance(kind, list) else [kind]):
        try:
            default_of(branch, field["default"], named)
        except SchemaError:
            continue
        return index
    return None


def _collisions(things: Sequence[tuple[str, Form]], what: str) -> Iterator[Found]:
    """Yield the aliases, of the fields of one record or of the types of one schema, that match a name twice."""
    live = {form["name"] for _, form in things}
    owners: dict[str, str] = {}
    for path, form in things:
        name = form["name"]
        for alias in dict.fromkeys(form.get("aliases", ())):
            owner = owners.setdefault(alias, name)
            if alias == name or (owner == name and alias not in live):
                continue
            claimed = f"which is the name of another {what}" if alias in live else f"which {owner!r} has too"
            yield Found(
                path,
                f"the {what} {name!r} has the alias {alias!r}, {claimed}",
                None,
                form["aliases"],
                f"take {alias!r} out of the aliases of {name!r}",
            )


def _directions(change: Change, after: Contract) -> list[Direction]:
    """Return the directions that the level checks with the newest version only."""
    levels = {each.product.compatibility(each.port) for each in (change.before, after)}
    found = []
    for direction in _BOTH:
        held = [level for level in levels if level.startswith((direction.name, "FULL"))]
        if held and not any(level.endswith(_TRANSITIVE) for level in held):
            found.append(direction)
    return found


def _retyped(path: str, candidate: Schema, version: Version, directions: Iterable[Direction]) -> bool:
    """Return whether the type at a path cannot be read in one of the directions."""
    for direction in directions:
        sides = (candidate, version.schema) if direction is Direction.BACKWARD else (version.schema, candidate)
        comparison = Comparison(*sides, direction)
        for rule in _TAKES:
            if any(f"{each.path}.".startswith(f"{path}.") for each in rule.handler(comparison)):
                return True
    return False
