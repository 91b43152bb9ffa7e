"""What a value means beyond its Avro type: logical types, units, decimal digits, enum symbols, polysemes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.comparison import Comparison, TypePair
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, RollOut, Severity
from meshport.compat.forms import Form, brief
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.advice import beside
from meshport.schema.logical import ANNOTATES, logical_type

_BOTH: Final = (Direction.BACKWARD, Direction.FORWARD)

_UNITS: Final = ("-millis", "-micros", "-nanos")


def changed_logical_type(comparison: Comparison) -> Iterator[Found]:
    """A logical type is added, removed or replaced on a type whose bytes Avro accepts either way.

    Avro's resolution ignores logical types, and so do its checker and the registries built on it: decimal to plain bytes,
    uuid to string, date to int, an instant (`timestamp`) to a wall clock (`local-timestamp`), or a date promoted from int
    to a timestamp's long are all reported as compatible. The bytes decode, but into another value: fastavro returns a value
    of the *writer's* logical type (a Decimal where bytes were declared), Java returns the bare number, so that days are
    read as milliseconds. Adding a logical type to a bare type counts too: readers that handled a number get a datetime,
    and nothing guarantees that the earlier numbers were in that unit.

    Add a field of the new type beside the old one and write both until the readers have moved, or publish a new major.
    Custom logical types, which the specification does not define, are covered by LOGICAL_TYPE_CUSTOM.
    """
    for pair in comparison.types:
        reader, writer = logical_type(pair.reader), logical_type(pair.writer)
        if reader != writer and not _differ_in_unit(reader, writer):
            advice = beside(comparison, pair.path)
            yield _changed(comparison, pair, "the bytes still decode, into a value of another kind", advice)


def custom_logical_type(comparison: Comparison) -> Iterator[Found]:
    """A logical type that Avro's specification does not define is added, removed or replaced.

    A library must ignore a logical type that it does not know and return the plain value ("Logical Types": "must ignore
    unknown logical types when reading"). Most readers see no difference. A reader that registered a conversion under that
    name gets a value of another type, and only its owner knows whether that matters; hence a warning.

    Ask the readers that convert it. If there are any, add a field beside the old one.
    """
    for pair in comparison.types:
        reader, writer = (form.get("logicalType") for form in (pair.reader, pair.writer))
        customs = any(isinstance(each, str) and each not in ANNOTATES for each in (reader, writer))
        if reader != writer and customs and logical_type(pair.reader) == logical_type(pair.writer):
            advice = "keep the logicalType; or ask the readers that have a conversion for it"
            yield _changed(comparison, pair, "readers that have a conversion for it see another value", advice)


def decimal_scale(comparison: Comparison) -> Iterator[Found]:
    """A decimal has another scale in the reader's schema than in the writer's.

    The scale is in the schema, never in the bytes: 12.34 is written as the whole number 1234, and read with scale 4 it is
    0.1234. By the specification two decimals "match if their scales and precisions match"; Apache's checker does not
    compare them, and its generic reader returns amounts that are wrong by powers of ten, without an error.

    Keep the scale. If finer amounts are needed, add a field with the new scale and write both.
    """
    for pair in _decimals(comparison):
        if _scale(pair.reader) != _scale(pair.writer):
            before, after = comparison.sides(_scale(pair.reader), _scale(pair.writer))
            yield Found(
                pair.path,
                f"the decimal {_name(pair)} had the scale {before} and would have {after}: amounts move by "
                f"{10 ** abs(before - after):,} times, as the bytes hold no point",
                before,
                after,
                beside(comparison, pair.path),
            )


def decimal_precision(comparison: Comparison) -> Iterator[Found]:
    """A decimal has fewer digits in the reader's schema than in the writer's.

    A reader cannot hold more digits than its schema allows: some libraries refuse the value, others truncate it, and a
    column made from the reader's schema (DECIMAL(10,2)) overflows. The specification requires equal precisions. More
    digits in the reader's schema do no harm and pass, so the rule applies in one direction only.

    Readers have to take the wider precision before any producer writes it: raise it at a BACKWARD level, or add a field.
    The precision can only be lowered at a FORWARD level, where old events are never read again.
    """
    for pair in _decimals(comparison):
        reader, writer = pair.reader["precision"], pair.writer["precision"]
        if reader < writer:
            before, after = comparison.sides(reader, writer)
            backward = comparison.direction is Direction.BACKWARD
            who = "older events hold more digits" if backward else "today's readers cannot hold so many digits"
            yield Found(
                pair.path,
                f"the decimal {_name(pair)} had {before} digits and would have {after}, but {who}",
                before,
                after,
                f'keep "precision": {before}' if backward else beside(comparison, pair.path),
                RollOut.ANY if backward else RollOut.READERS,
            )


def time_unit(comparison: Comparison) -> Iterator[Found]:
    """A time or timestamp is in another unit in the reader's schema than in the writer's.

    Milliseconds, microseconds and nanoseconds are the same number to Avro's resolution (a `time-millis` is even promoted to
    the long of a `time-micros`). Apache's checker reports the change as compatible, and a reader that interprets the number
    by its own schema is wrong by a factor of a thousand: orders of 1970, or of the year 58,000.

    Keep the unit and add a field in the finer one.
    """
    for pair in comparison.types:
        reader, writer = logical_type(pair.reader), logical_type(pair.writer)
        if reader != writer and _differ_in_unit(reader, writer):
            _, unit = comparison.sides(reader, writer)
            yield _changed(
                comparison,
                pair,
                "the number on the wire is the same, and off by a thousand or more",
                beside(comparison, pair.path, suffix=f"_{str(unit).rpartition('-')[2]}"),
            )


def symbol_removed(comparison: Comparison) -> Iterator[Found]:
    """An enum loses a symbol that older events contain, and they are silently read as the enum's default.

    Avro reads a symbol that the reader's enum lacks as that enum's default, and reports it as compatible. The default is
    meant for symbols that are added later. For a symbol that was removed it falsifies the past: every "refunded" of last
    year is read as "unknown", in any replay, without an error (Aiven-Open/karapace#524 shows the effect in a registry that
    lets it pass). Adding a symbol to an enum with a default is the intended evolution and no finding. Without a default the
    rule is Avro's own MISSING_ENUM_SYMBOLS.

    Keep the symbol. A symbol that is no longer written costs nothing; mention it in the enum's doc.
    """
    if comparison.direction is not Direction.BACKWARD:
        return
    for pair in _enums(comparison):
        known = set(pair.reader["symbols"])
        missing = [symbol for symbol in pair.writer["symbols"] if symbol not in known]
        if missing and "default" in pair.reader:
            named = ", ".join(repr(symbol) for symbol in missing)
            yield Found(
                pair.path,
                f"the enum {_name(pair)} loses {named}: older events that hold it would read as "
                f"{pair.reader['default']!r}",
                list(pair.writer["symbols"]),
                list(pair.reader["symbols"]),
                f"keep {named} among the symbols; one that is written no more costs nothing",
                RollOut.ANY,
            )


def enum_default(comparison: Comparison) -> Iterator[Found]:
    """The default of an enum (not of a field) becomes another symbol, or is removed.

    The default is what a reader sees for a symbol that its version does not know. With another default, two versions of a
    reader read the same stored event as different things, and Avro reports it as compatible. Without a default the enum is
    closed: the first new symbol breaks every reader of this version, at transitive levels for ever (MISSING_ENUM_SYMBOLS).
    Adding a default to an enum that had none passes.

    Keep the default. If the word is wrong, add a better symbol and keep the old one as the default.
    """
    for pair in _enums(comparison):
        before, after = comparison.sides(pair.reader, pair.writer)
        if "default" not in before or after.get("default") == before["default"]:
            continue
        was = before["default"]
        if "default" not in after:
            message = f"the enum {_name(pair)} loses its default {was!r}: no symbol can be added to it from then on"
        elif comparison.direction is Direction.BACKWARD:
            message = (
                f"the enum {_name(pair)} takes unknown symbols for {after['default']!r}, where readers of the earlier "
                f"schema take them for {was!r}"
            )
        else:
            continue  # today's readers go by their own default
        yield Found(pair.path, message, was, after.get("default"), f'keep "default": "{was}" in the enum', RollOut.ANY)


def polyseme(comparison: Comparison) -> Iterator[Found]:
    """A value is no longer declared as the global identifier (polyseme) that it was, or is declared as another one.

    `"polyseme": "customer_id"` declares the value to be the mesh-wide identifier of schemas/common/, by which products can
    be joined (Dehghani, Data Mesh, "polysemes"). The bytes stay the same, so every Avro checker passes the change, but the
    catalog no longer shows the join, and with another identifier a join matches unrelated things. Linking a value to a
    polyseme for the first time passes.

    Keep the link. If the value now means something else, it is another field: add it beside this one.
    """
    for pair in comparison.types:
        before, after = (form.get("polyseme") for form in comparison.sides(pair.reader, pair.writer))
        if before is None or before == after:
            continue
        would = f"would be {after!r}" if after is not None else "would be no polyseme"
        yield Found(
            pair.path,
            f"{_name(pair)} was the global identifier {before!r} and {would}: joins by it no longer meet",
            before,
            after,
            f'keep "polyseme": "{before}" on its type; for another identifier {beside(comparison, pair.path)}',
            RollOut.ANY,
        )


RULES: Final = (
    Rule("LOGICAL_TYPE", "a value keeps its logical type", _BOTH, Scope.RESOLUTION, changed_logical_type),
    Rule(
        "LOGICAL_TYPE_CUSTOM",
        "a custom logical type stays",
        _BOTH,
        Scope.RESOLUTION,
        custom_logical_type,
        Severity.WARNING,
    ),
    Rule("DECIMAL_SCALE", "a decimal keeps its scale", _BOTH, Scope.RESOLUTION, decimal_scale),
    Rule(
        "DECIMAL_PRECISION",
        "a reader's decimal holds every digit that is written",
        _BOTH,
        Scope.RESOLUTION,
        decimal_precision,
    ),
    Rule("TIME_UNIT", "a time keeps its unit", _BOTH, Scope.RESOLUTION, time_unit),
    Rule(
        "ENUM_SYMBOL_REMOVED",
        "a symbol that was written is still read as itself",
        (Direction.BACKWARD,),
        Scope.RESOLUTION,
        symbol_removed,
    ),
    Rule("ENUM_DEFAULT", "an enum keeps its default", _BOTH, Scope.RESOLUTION, enum_default),
    Rule("POLYSEME", "a value stays linked to its global identifier", _BOTH, Scope.RESOLUTION, polyseme),
)


def _differ_in_unit(reader: str | None, writer: str | None) -> bool:
    """Return whether two logical types count the same thing in different units: `time-millis` and `time-micros`."""
    if reader is None or writer is None or not reader.endswith(_UNITS) or not writer.endswith(_UNITS):
        return False
    return reader.rpartition("-")[0] == writer.rpartition("-")[0]


def _scale(form: Form) -> int:
    return int(form.get("scale", 0))


def _decimals(comparison: Comparison) -> Iterator[TypePair]:
    return (each for each in comparison.types if logical_type(each.reader) == logical_type(each.writer) == "decimal")


def _enums(comparison: Comparison) -> Iterator[TypePair]:
    return (each for each in comparison.types if each.reader["type"] == each.writer["type"] == "enum")


def _name(pair: TypePair) -> str:
    return repr(pair.path.rpartition(".")[2] or pair.reader.get("name", "the value"))


def _changed(comparison: Comparison, pair: TypePair, why: str, advice: str) -> Found:
    before, after = (brief(form) for form in comparison.sides(pair.reader, pair.writer))
    message = f"{_name(pair)} was {before} and would be {after}: {why}"
    return Found(pair.path, message, before, after, advice, RollOut.READERS)
