"""What a schema's history means: defaults, unions, aliases and names that Avro resolves without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from meshport.codec.defaults import default_of
from meshport.compat.comparison import (
    Comparison,
    FieldPair,
    Form,
    brief,
    declared,
    inner,
    is_named,
    named_types,
    type_at,
)
from meshport.compat.contract import Change, Contract, Found, Version
from meshport.compat.finding import Direction, RollOut, Severity
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules import avro, values
from meshport.compat.rules.avro import as_json, shown
from meshport.errors import SchemaError
from meshport.schema import Schema

_BOTH: Final = (Direction.BACKWARD, Direction.FORWARD)
_TRANSITIVE: Final = "_TRANSITIVE"
# What keeps a type from taking what was written, though bytes of it may be there.
_TAKES: Final = (
    *avro.RULES,
    *(rule for rule in values.RULES if rule.id in {"LOGICAL_TYPE", "DECIMAL_SCALE", "DECIMAL_PRECISION", "TIME_UNIT"}),
)


def default_changed(comparison: Comparison) -> Iterator[Found]:
    """The default of a field becomes another one, or is taken away.

    A default is what every event that lacks the field is read as: all those that were written before the field came,
    and they are stored for good. With another default the same event means one thing to today's readers and another
    to the candidate's: a replay no longer adds up to what was counted. It is an error, not a warning, because nobody
    sees it happen; only BACKWARD is asked, since today's readers go by their own default. Taken away, the oldest
    events cannot be read at all, which a level that is not transitive does not see. (Avro 1.12, "Schema Resolution":
    "the reader should use the default value from its field".) For a field that can be null the rule is
    NULLABLE_REQUIRED.

    Keep the default, and let producers write the new value. A default that was wrong from the start: a waiver.
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
    """A field that can be null loses its default, so that nobody can leave it out any more.

    In Avro a field is optional by its default, not by its null: without one each producer that leaves it out is
    refused, events from before the field cannot be read, and the field can never be removed again, since readers of
    this version have nothing to put in its place. Avro's checker is silent as long as the version before has the
    field.

    Keep the default. To make a value mandatory, add a field beside that has no null and a default for the past.
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
    """The branches of a union move, so that the field's default means another branch, or none for older libraries.

    A default names no branch. Up to Avro 1.11 it belongs to the first one ("Default values for union fields
    correspond to the first schema in the union"), since 1.12 to the first that it fits. So 0 is an int in ["int",
    "double"] and a double in ["double", "int"]; and ["string", "null"] with the default null, which was first before,
    is refused by every reader that parses the schema with an older library. Both are compatible to Avro's checker.

    Put the branches back in their order; new ones go to the end.
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
            f"write the branches in the order {as_json(ours)}, and new ones behind",
            RollOut.ANY,
        )


def alias_dropped(comparison: Comparison) -> Iterator[Found]:
    """A field or a type loses an alias, by which older events are still read.

    An alias says what a field was called in older events (Avro, "Aliases"). Without it a reader finds nothing under
    the new name and takes the default: years of values read as "" or null, and Avro calls it compatible. Where there
    is no default, or for a type, levels that are not transitive do not see it, since the version before has the new
    name.

    Keep the alias as long as events of the old name are stored. It costs nothing.
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
    """Two fields that were written answer to one field of the reader: by its name and an alias, or by two aliases.

    Aliases work by renaming the writer's fields (Avro 1.12, "Aliases"), and then two of them have one name. Java's
    checker stops with "matches multiple fields in writer record schema", Python's sees no fault; fastavro stops at
    the first event with a KeyError, and others take one of the two, not the same one. It happens when two fields are
    merged by an alias, and when a name that is an alias of today's readers is used for a new field.

    Give the field one alias at most that any stored version has beside it, and new fields names that were never used.
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
                    else f"give the new field a name that was never used, such as {answers[-1] + '_v2'!r}",
                    RollOut.ANY,
                )


def alias_collision(contract: Contract) -> Iterator[Found]:
    """An alias says that two things are one: it is the name of a live field or type, or stands at two of them.

    What was written under that name is then claimed twice, and all checkers call the schema compatible. Where `b` has
    the alias of a live field `a`, an event with a = 5 is {a: 5, b: 0} to fastavro and {a: 0, b: 5} to Java, which
    renames what was written (Avro 1.12, "Aliases"; 0 is the default): two readers of one port disagree, and neither
    notices.

    Take the alias away where the old name is still in use. To rename a field, the old one has to go when the alias
    comes: give it a default first, let the readers take that version, then rename it.
    """
    form = contract.schema.form
    types = [(path, each) for path, each in declared(form) if is_named(each)]
    yield from _collisions(types, "type")
    for path, each in types:
        fields = [(inner(path, field["name"]), field) for field in each.get("fields", ())]
        yield from _collisions(fields, "field")


def field_retyped(change: Change) -> Iterator[Found]:
    """A field that was dropped in some version comes back under its name, or by an alias, as something else.

    A level that is not transitive compares with the newest version only, and that one does not have the field. The
    older events still do: whoever replays them reads text as a number, or stops. Confluent's levels leave this gap by
    definition, which is why it is looked for over all versions, in the directions that the level holds; where the
    level is transitive, Avro's own rules say it.

    Take a name that was never used, such as the old one with `_v2`. A name that was taken stays taken.
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
                    f"take a name that was never used, such as {path.rpartition('.')[2] + '_v2'!r}, with a default",
                    RollOut.ANY,
                )
    yield from found.values()


def doc_dropped(comparison: Comparison) -> Iterator[Found]:
    """The doc of a record, another named type or a field is gone.

    Nothing breaks that a decoder would notice. The doc is what readers of another team know of a field: its unit,
    what null means, when it is late. A changed doc is no finding, a lost one a warning.

    Put the doc back.
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
        "an event that lacks a field is read as it always was",
        (Direction.BACKWARD,),
        Scope.RESOLUTION,
        default_changed,
    ),
    Rule(
        "NULLABLE_REQUIRED",
        "a field that could be left out can be left out",
        _BOTH,
        Scope.RESOLUTION,
        nullable_required,
    ),
    Rule("UNION_ORDER", "a default keeps its branch of a union", _BOTH, Scope.RESOLUTION, union_order),
    Rule(
        "ALIAS_DROPPED",
        "older events are found under their old names",
        (Direction.BACKWARD,),
        Scope.RESOLUTION,
        alias_dropped,
    ),
    Rule("ALIAS_AMBIGUOUS", "a reader's field takes one of the written", _BOTH, Scope.RESOLUTION, alias_ambiguous),
    Rule("DOC_DROPPED", "what was explained stays so", _BOTH, Scope.RESOLUTION, doc_dropped, Severity.WARNING),
    Rule(
        "ALIAS_COLLISION",
        "an alias claims no name that is in use",
        (Direction.BACKWARD,),
        Scope.DECLARATION,
        alias_collision,
    ),
    Rule("FIELD_RETYPED", "a name that was taken keeps its type", _BOTH, Scope.CHANGE, field_retyped),
)


def _sides(comparison: Comparison) -> Iterator[tuple[FieldPair, Form, Form]]:
    """Every field that both sides have, with how it was and how it would be."""
    for each in comparison.fields:
        if each.writer is not None:
            before, after = comparison.sides(each.reader, each.writer)
            yield each, before, after


def _same(before: Any, after: Any) -> bool:
    """Whether two defaults are one; True is no 1, though Python takes them for equal."""
    return bool(before == after) and isinstance(before, bool) == isinstance(after, bool)


def _nullable(field: Form) -> bool:
    kind = field["type"]
    return bool(kind == "null" or (isinstance(kind, list) and "null" in kind))


def _branches(field: Form) -> list[str]:
    """The branches of a field's type by their names; a type that is no union is the only one."""
    kind = field["type"]
    return [
        each if isinstance(each, str) else str(each["name"] if is_named(each) else each["type"])
        for each in (kind if isinstance(kind, list) else [kind])
    ]


def _chosen(field: Form, named: Mapping[str, Form]) -> int | None:
    """Which branch the default of a field means: the first that it fits."""
    kind = field["type"]
    for index, branch in enumerate(kind if isinstance(kind, list) else [kind]):
        try:
            default_of(branch, field["default"], named)
        except SchemaError:
            continue
        return index
    return None


def _collisions(things: Sequence[tuple[str, Form]], what: str) -> Iterator[Found]:
    """Aliases of fields of one record, or of types of one schema, that claim a name twice."""
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
    """The directions that the level holds, without those in which it looks at every version already."""
    levels = {each.product.compatibility(each.port) for each in (change.before, after)}
    found = []
    for direction in _BOTH:
        held = [level for level in levels if level.startswith((direction.name, "FULL"))]
        if held and not any(level.endswith(_TRANSITIVE) for level in held):
            found.append(direction)
    return found


def _retyped(path: str, candidate: Schema, version: Version, directions: Iterable[Direction]) -> bool:
    """Whether what stands at a path cannot be taken, in one of the directions."""
    for direction in directions:
        sides = (candidate, version.schema) if direction is Direction.BACKWARD else (version.schema, candidate)
        comparison = Comparison(*sides, direction)
        for rule in _TAKES:
            if any(f"{each.path}.".startswith(f"{path}.") for each in rule.handler(comparison)):
                return True
    return False
