"""What a value means though Avro takes it: logical types, units, the digits of decimals, symbols of enums, polysemes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.comparison import Comparison, Form, TypePair, brief
from meshport.compat.contract import Found
from meshport.compat.finding import Direction, RollOut, Severity
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.avro import beside

_BOTH: Final = (Direction.BACKWARD, Direction.FORWARD)

# Avro 1.12, "Logical Types": the types that each annotates. Elsewhere it has to be ignored.
_ANNOTATES: Final = {
    "decimal": {"bytes", "fixed"},
    "big-decimal": {"bytes"},
    "uuid": {"string", "fixed"},
    "duration": {"fixed"},
    "date": {"int"},
    "time-millis": {"int"},
    "time-micros": {"long"},
    "timestamp-millis": {"long"},
    "timestamp-micros": {"long"},
    "timestamp-nanos": {"long"},
    "local-timestamp-millis": {"long"},
    "local-timestamp-micros": {"long"},
    "local-timestamp-nanos": {"long"},
}
# As above: a fixed of another size is no such value.
_SIZES: Final = {"uuid": 16, "duration": 12}
_UNITS: Final = ("-millis", "-micros", "-nanos")


def logical_type(comparison: Comparison) -> Iterator[Found]:
    """A logical type is added, dropped or replaced by another one, on a type whose bytes Avro takes all the same.

    Avro's resolution does not look at logical types, nor do its checker and the registries built on it: decimal to
    plain bytes, uuid to string, date to int, an instant (`timestamp`) to a wall clock (`local-timestamp`), or a date
    promoted from int to a timestamp's long are all called compatible. The bytes decode, into another value: fastavro
    gives the reader a value of the *writer's* logical type (a Decimal where bytes were declared), Java the bare
    number, so that days are read as milliseconds. Adding one to a bare type counts too: whoever handled a number gets
    a datetime, and nothing says that the numbers were in that unit before.

    Add a field of the new type beside the old one and write both until the readers have moved, or publish a new
    major. Custom logical types, which the specification does not have, are LOGICAL_TYPE_CUSTOM's.
    """
    for pair in comparison.types:
        reader, writer = _logical(pair.reader), _logical(pair.writer)
        if reader != writer and not _differ_in_unit(reader, writer):
            yield _changed(comparison, pair, "the bytes still decode, into a value of another kind", beside(pair.path))


def custom_logical_type(comparison: Comparison) -> Iterator[Found]:
    """A logical type that Avro's specification does not have is added, dropped or replaced.

    A library has to ignore a logical type that it does not know and give the plain value ("Logical Types": "must
    ignore unknown logical types when reading"), so that readers see no difference, except for those who registered a
    conversion under that name: to them the type of the value changes. Nobody but they can say whether it matters;
    hence a warning.

    Ask the readers who convert it; where there are some, add a field beside the old one.
    """
    for pair in comparison.types:
        reader, writer = (form.get("logicalType") for form in (pair.reader, pair.writer))
        customs = any(each is not None and each not in _ANNOTATES for each in (reader, writer))
        if reader != writer and customs and _logical(pair.reader) == _logical(pair.writer):
            advice = "keep the logicalType, or ask the readers that have a conversion for it"
            yield _changed(comparison, pair, "readers that have a conversion for it see another value", advice)


def decimal_scale(comparison: Comparison) -> Iterator[Found]:
    """A decimal has another scale for the reader than for the writer.

    The scale stands in the schema, never in the bytes: 12.34 is written as the whole number 1234, and read with the
    scale 4 it is 0.1234. The specification has two decimals "match if their scales and precisions match"; Apache's
    checker does not look, and its generic reader hands out amounts that are wrong by powers of ten without an error.

    Keep the scale. Where finer amounts are needed, add a field with the new scale beside and write both.
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
                beside(pair.path),
            )


def decimal_precision(comparison: Comparison) -> Iterator[Found]:
    """A decimal has fewer digits for the reader than for the writer.

    A reader cannot hold what has more digits than its schema allows: some libraries refuse the value, others cut it,
    and a column made from the reader's schema (DECIMAL(10,2)) overflows. The specification wants precisions equal;
    more digits for the reader harm nobody and pass, so that the rule looks one way only.

    Readers have to take the wider precision before anybody writes it: raise it at a BACKWARD level, or add a field
    beside. It can only be lowered where old events are never read again, at a FORWARD level.
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
                f'keep "precision": {before}' if backward else beside(pair.path),
                RollOut.ANY if backward else RollOut.READERS,
            )


def time_unit(comparison: Comparison) -> Iterator[Found]:
    """A time or timestamp counts in another unit for the reader than for the writer.

    milliseconds, microseconds and nanoseconds are the same number to Avro's resolution (a `time-millis` is even
    promoted to the long of a `time-micros`). Apache's checker calls the change compatible, and a reader that takes
    the number by its own schema is wrong a thousandfold: orders of 1970, or of the year 58,000.

    Keep the unit and add a field of the finer one beside.
    """
    for pair in comparison.types:
        reader, writer = _logical(pair.reader), _logical(pair.writer)
        if reader != writer and _differ_in_unit(reader, writer):
            _, unit = comparison.sides(reader, writer)
            name = pair.path.rpartition(".")[2] or "value"
            beside_it = f"{name}_{str(unit).rpartition('-')[2]}"
            yield _changed(
                comparison,
                pair,
                "the number on the wire is the same, and off by a thousand or more",
                f"keep {name!r} as it is and add a field beside it, such as {beside_it!r}, with a default",
            )


def symbol_removed(comparison: Comparison) -> Iterator[Found]:
    """An enum loses a symbol that older events hold, and the enum's default takes its place without a word.

    Avro reads a symbol that the reader's enum does not have as that enum's default, and calls it compatible; the
    default is meant for symbols to come. For one that was there it falsifies the past: every "refunded" of last year
    reads as "unknown", in any replay, without an error (Aiven-Open/karapace#524 is what it looks like when a registry
    lets it pass). Adding a symbol to an enum with a default is the designed way, and no finding. Without a default
    the rule is Avro's own, MISSING_ENUM_SYMBOLS.

    Keep the symbol. One that nobody writes any more costs nothing; say so in the enum's doc.
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
    """The default of an enum (not of a field) becomes another symbol, or is taken away.

    It is what a reader sees for a symbol that its version does not know. With another one, two versions of a reader
    take the same stored event for different things, and Avro calls it compatible. Without one the enum is closed: the
    first new symbol breaks every reader of this version, at transitive levels for ever (MISSING_ENUM_SYMBOLS). Giving
    an enum a default that had none is welcome.

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
    """A value is no longer declared as the global identifier (polyseme) that it was, or as another one.

    `"polyseme": "customer_id"` says that the value is the mesh-wide identifier which schemas/common/ declares, so
    that products can be joined by it (Dehghani, Data Mesh, "polysemes"). The bytes stay as they are and every Avro
    checker is content, but the catalog no longer shows the join, and with another identifier a join meets the wrong
    things. Linking a value to a polyseme for the first time passes.

    Keep the link. Where the value means something else now, it is another field: add it beside.
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
            f'keep "polyseme": "{before}" on its type; for another identifier {beside(pair.path)}',
            RollOut.ANY,
        )


RULES: Final = (
    Rule("LOGICAL_TYPE", "a value keeps its logical type", _BOTH, Scope.RESOLUTION, logical_type),
    Rule(
        "LOGICAL_TYPE_CUSTOM",
        "a logical type of one's own stays",
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
        "a symbol that was written stays readable as itself",
        (Direction.BACKWARD,),
        Scope.RESOLUTION,
        symbol_removed,
    ),
    Rule("ENUM_DEFAULT", "an enum keeps its default", _BOTH, Scope.RESOLUTION, enum_default),
    Rule("POLYSEME", "a global identifier stays what it is", _BOTH, Scope.RESOLUTION, polyseme),
)


def _logical(form: Form) -> str | None:
    """The logical type of a type where the specification knows it and lets it stand there."""
    name = form.get("logicalType")
    if not isinstance(name, str) or form["type"] not in _ANNOTATES.get(name, ()):
        return None
    if form["type"] == "fixed" and name in _SIZES and form["size"] != _SIZES[name]:
        return None
    return name


def _differ_in_unit(reader: str | None, writer: str | None) -> bool:
    """Whether both count the same thing: `time-millis` and `time-micros`."""
    if reader is None or writer is None or not reader.endswith(_UNITS) or not writer.endswith(_UNITS):
        return False
    return reader.rpartition("-")[0] == writer.rpartition("-")[0]


def _scale(form: Form) -> int:
    return int(form.get("scale", 0))


def _decimals(comparison: Comparison) -> Iterator[TypePair]:
    return (each for each in comparison.types if _logical(each.reader) == _logical(each.writer) == "decimal")


def _enums(comparison: Comparison) -> Iterator[TypePair]:
    return (each for each in comparison.types if each.reader["type"] == each.writer["type"] == "enum")


def _name(pair: TypePair) -> str:
    return repr(pair.path.rpartition(".")[2] or pair.reader.get("name", "the value"))


def _changed(comparison: Comparison, pair: TypePair, why: str, advice: str) -> Found:
    before, after = (brief(form) for form in comparison.sides(pair.reader, pair.writer))
    message = f"{_name(pair)} was {before} and would be {after}: {why}"
    return Found(pair.path, message, before, after, advice, RollOut.READERS)
