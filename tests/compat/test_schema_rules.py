"""The rules of values, evolution and safety, beyond their fixtures."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given

from meshport.codec import Codec
from meshport.codec.layout import Layout
from meshport.compat import RULES, Contract, Direction, Scope, Severity, Version
from meshport.compat.comparison import Comparison
from meshport.compat.contract import Change, Found
from meshport.compat.corpus import Fixture, contract_of
from meshport.compat.forms import named_types
from meshport.compat.rules import avro, evolution, portable, safety, values
from meshport.errors import SchemaError
from meshport.schema import Schema
from meshport.schema.canonical import canonical, canonical_text, take_apart
from tests.codec.strategies import schemas
from tests.compat.schemas import Type, doubling, field, record, schema
from tests.schema.bombs import laughs
from tests.work import counted

OURS = (*values.RULES, *evolution.RULES, *safety.RULES)
RESOLVED = tuple(rule for rule in OURS if rule.scope is Scope.RESOLUTION)
BACKWARD, FORWARD = Direction.BACKWARD, Direction.FORWARD


def logical(kind: str, word: str, **attributes: Any) -> Type:
    """A logical type."""
    return {"type": kind, "logicalType": word, **attributes}


def compared(before: Type, after: Type, direction: Direction = BACKWARD) -> Comparison:
    """Return a candidate compared with the version before it, in one direction."""
    sides = (schema(after), schema(before)) if direction is BACKWARD else (schema(before), schema(after))
    return Comparison(*sides, direction)


def found(before: Type, after: Type, direction: Direction = BACKWARD) -> set[tuple[str, str]]:
    """Return rule and path of everything that Meshport's rules of resolution find if Avro's find nothing."""
    comparison = compared(before, after, direction)
    refused = {each.path for rule in avro.RULES for each in rule.handler(comparison)}
    ours = {(rule.id, each.path) for rule in RESOLVED for each in rule.handler(comparison)}
    return {(rule, path) for rule, path in ours if path not in refused}


def one(kind: Type, **attributes: Any) -> Type:
    """A record of one field `a`."""
    return record(field("a", kind, **attributes))


def contract(form: Type, level: str = "FULL") -> Contract:
    """A port of that schema."""
    document, _ = Fixture("", "", {"level": level}).after
    return contract_of((document, form))


def declared(form: Type) -> set[tuple[str, str]]:
    """Return rule and path of everything that Meshport's rules find in one schema by itself."""
    rules = [rule for rule in OURS if rule.scope is Scope.DECLARATION]
    return {(rule.id, each.path) for rule in rules for each in rule.handler(contract(form))}


# --- where, and in which direction

MILLIS, MICROS = logical("long", "timestamp-millis"), logical("long", "timestamp-micros")


@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda kind: kind, "a"),
        (lambda kind: ["null", kind], "a"),
        (lambda kind: {"type": "array", "items": {"type": "map", "values": ["null", kind]}}, "a"),
        (lambda kind: ["null", record(field("b", ["string", kind]), name="shop.B")], "a.b"),
        (lambda kind: {"type": "map", "values": record(field("b", {"type": "array", "items": kind}), name="B")}, "a.b"),
    ],
    ids=["plain", "union", "array of maps of unions", "record in a union", "array in a record in a map"],
)
def test_a_path_leads_through_whatever_holds_the_type(wrap: Callable[[Type], Type], path: str) -> None:
    """Unions, arrays and maps add nothing to a path, and hide no finding."""
    assert found(one(wrap(MILLIS)), one(wrap(MICROS))) == {("TIME_UNIT", path)}


def enum(*symbols: str, **attributes: Any) -> Type:
    """An enum."""
    return {"type": "enum", "name": "shop.State", "symbols": list(symbols), **attributes}


def decimal(precision: int, scale: int = 0) -> Type:
    """A decimal on bytes."""
    return logical("bytes", "decimal", precision=precision, scale=scale)


@pytest.mark.parametrize(
    ("rule", "before", "after", "directions"),
    [
        ("DECIMAL_PRECISION", one(decimal(9)), one(decimal(5)), {BACKWARD}),
        ("DECIMAL_PRECISION", one(decimal(5)), one(decimal(9)), {FORWARD}),
        ("DECIMAL_SCALE", one(decimal(9, 2)), one(decimal(9, 3)), {BACKWARD, FORWARD}),
        ("LOGICAL_TYPE", one("string"), one(logical("string", "uuid")), {BACKWARD, FORWARD}),
        ("LOGICAL_TYPE", one(logical("int", "date")), one("double"), {BACKWARD}),
        ("ENUM_SYMBOL_REMOVED", one(enum("A", "B", default="A")), one(enum("A", default="A")), {BACKWARD}),
        ("ENUM_SYMBOL_REMOVED", one(enum("A", default="A")), one(enum("A", "B", default="A")), set()),
        ("ENUM_DEFAULT", one(enum("A", "B", default="A")), one(enum("A", "B", default="B")), {BACKWARD}),
        ("ENUM_DEFAULT", one(enum("A", "B", default="A")), one(enum("A", "B")), {BACKWARD, FORWARD}),
        ("ENUM_DEFAULT", one(enum("A", "B")), one(enum("A", "B", default="A")), set()),
        ("POLYSEME", one({"type": "string", "polyseme": "x_id"}), one("string"), {BACKWARD, FORWARD}),
        ("POLYSEME", one("string"), one({"type": "string", "polyseme": "x_id"}), set()),
        ("DEFAULT_CHANGED", one("int", default=1), one("int", default=2), {BACKWARD}),
        ("DEFAULT_CHANGED", one("boolean", default=True), one("boolean", default=False), {BACKWARD}),
        ("DEFAULT_CHANGED", one("int"), one("int", default=2), set()),
        ("DEFAULT_CHANGED", one(["int", "boolean"], default=1), one(["int", "boolean"], default=True), {BACKWARD}),
        ("NULLABLE_REQUIRED", one(["null", "int"], default=None), one("int"), {FORWARD}),
        ("UNION_ORDER", one(["int", "null"], default=0), one(["null", "int"], default=0), {BACKWARD, FORWARD}),
        ("UNION_ORDER", one(["int", "null"], default=0), one(["int", "null", "double"], default=0), set()),
        ("UNION_ORDER", one(["int", "null"], default=0), one("int", default=0), set()),
        ("UNION_ORDER", one(["int", "null"], default=0), one(["long", "null"], default=0), set()),
        ("UNION_ORDER", one(["string", "null"], default=None), one(["int", "string", "null"], default=None), set()),
        ("ALIAS_DROPPED", one("int", aliases=["b"]), one("int"), {BACKWARD}),
        ("ALIAS_DROPPED", one("int", aliases=["b"]), record(field("b", "int", aliases=["a"])), set()),
        ("ALIAS_DROPPED", one("int", default=1), one("int", default=1, aliases=["b"]), set()),
        ("DOC_DROPPED", one("int", doc="x"), one("int"), {BACKWARD, FORWARD}),
        ("DOC_DROPPED", one("int"), one("int", doc="x"), set()),
    ],
)
def test_a_rule_looks_in_the_direction_that_breaks(
    rule: str, before: Type, after: Type, directions: set[Direction]
) -> None:
    """Each rule finds a change in exactly the directions in which it breaks a reader."""
    both = (BACKWARD, FORWARD)
    assert {each for each in both if any(id_ == rule for id_, _ in found(before, after, each))} == directions


def test_both_sides_are_reported_as_before_and_after() -> None:
    """A finding has the same values before and after in either direction."""
    for direction in (BACKWARD, FORWARD):
        (each,) = values.decimal_scale(compared(one(decimal(9, 2)), one(decimal(9, 4)), direction))
        assert (each.before, each.after) == (2, 4)


@pytest.mark.parametrize(
    ("before", "after", "rule"),
    [
        (logical("fixed", "uuid", name="shop.F", size=8), {"type": "fixed", "name": "shop.F", "size": 8}, None),
        (
            logical("fixed", "uuid", name="shop.F", size=16),
            {"type": "fixed", "name": "shop.F", "size": 16},
            "LOGICAL_TYPE",
        ),
        (logical("string", "timestamp-millis"), "string", None),
        (logical("long", "ulid"), "long", "LOGICAL_TYPE_CUSTOM"),
        (logical("long", "ulid"), MILLIS, "LOGICAL_TYPE"),
        (logical("int", "time-millis"), MILLIS, "LOGICAL_TYPE"),
        (logical("long", "local-timestamp-millis"), logical("long", "local-timestamp-nanos"), "TIME_UNIT"),
    ],
)
def test_a_logical_type_counts_where_the_specification_lets_it_stand(
    before: Type, after: Type, rule: str | None
) -> None:
    """A logical type on a type that it does not annotate is ignored; one outside the specification has a rule of its own."""
    assert found(one(before), one(after)) == ({(rule, "a")} if rule else set())


def test_a_name_on_a_primitive_hides_no_second_field() -> None:
    """`"name"` on a primitive means nothing: two such types are compared each by itself."""
    named = {**MILLIS, "name": "shop.At"}
    before = record(field("a", named), field("b", named))
    after = record(field("a", named), field("b", {**MICROS, "name": "shop.At"}))
    assert found(before, after) == {("TIME_UNIT", "b")}


# --- types that are shared, and that contain themselves


@pytest.mark.parametrize("direction", [BACKWARD, FORWARD])
def test_shared_types_are_looked_at_once(direction: Direction) -> None:
    """Of 2^60 paths to a changed type one is reported, with work in proportion to the text."""
    with counted(1_000_000):
        assert found(doubling(60, MILLIS), doubling(60, MICROS), direction) == {("TIME_UNIT", "t0.a")}


def test_recursive_types_come_to_an_end() -> None:
    """Cycles of different lengths are compared once in each of their pairs."""

    def circle(length: int, leaf: Type) -> Type:
        form: Type = "shop.T0"
        for level in reversed(range(length)):
            fields = [field("next", ["null", form]), field("at", leaf)]
            aliases = [f"shop.T{each}" for each in range(7)]
            form = record(*fields, name=f"shop.T{level}", aliases=aliases)
        return form

    units = {path for rule, path in found(circle(3, MILLIS), circle(4, MICROS)) if rule == "TIME_UNIT"}
    assert len(units) == 12
    assert "at" in units


@given(schemas())
def test_docs_and_the_order_of_fields_mean_nothing(first: Schema) -> None:
    """No rule refuses a schema whose fields are reordered and get docs."""
    named: dict[str, Any] = {}
    root = take_apart(first.form, named)
    for each in named.values():
        if "fields" in each:
            each["fields"] = [{**one, "doc": "Another."} for one in reversed(each["fields"])]
    second = Schema(canonical_text(canonical(root, named)))
    rules = [rule for rule in (*avro.RULES, *RESOLVED) if rule.severity is Severity.ERROR]
    for reader, writer in ((first, second), (second, first)):
        for direction in (BACKWARD, FORWARD):
            comparison = Comparison(reader, writer, direction)
            assert [rule.id for rule in rules for _ in rule.handler(comparison)] == []


# --- a name that comes back


def retyped(level: str, *history: Type) -> list[Found]:
    """What FIELD_RETYPED finds of the last schema, under one level."""
    *past, newest, candidate = (contract(each, level) for each in history)
    versions = tuple(Version(number, each.schema) for number, each in enumerate([*past, newest], 1))
    return list(evolution.field_retyped(Change(newest, candidate, candidate.product, date(2026, 3, 1), versions)))


NUMBER, TEXT, LONGER = one("int", default=0), one("string", default=""), one("long", default=0)
WITHOUT = record()


@pytest.mark.parametrize(
    ("level", "history", "paths"),
    [
        ("FULL", [NUMBER, WITHOUT, TEXT], ["a"]),
        ("BACKWARD", [NUMBER, WITHOUT, WITHOUT, TEXT], ["a"]),
        ("BACKWARD", [NUMBER, WITHOUT, LONGER], []),
        ("FORWARD", [NUMBER, WITHOUT, LONGER], ["a"]),
        ("BACKWARD_TRANSITIVE", [NUMBER, WITHOUT, TEXT], []),
        ("NONE", [NUMBER, WITHOUT, TEXT], []),
        ("FULL", [NUMBER, TEXT], []),
        ("FULL", [TEXT, WITHOUT, TEXT], []),
        ("FULL", [NUMBER, WITHOUT, WITHOUT], []),
    ],
)
def test_a_name_that_was_taken_stays_taken(level: str, history: list[Type], paths: list[str]) -> None:
    """A removed field that returns is compared with every version, in the directions of the level."""
    assert [each.path for each in retyped(level, *history)] == paths


# --- one schema by itself

HERE = {"type": "enum", "name": "shop.E", "symbols": ["A"]}


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("int", 2**31),
        ("long", -(2**63) - 1),
        (HERE, "B"),
        ({"type": "array", "items": HERE}, ["A", "B"]),
        ({"type": "map", "values": "int"}, {"k": "x"}),
        ("bytes", "\u0100"),
        ({"type": "fixed", "name": "shop.F", "size": 3}, "ab"),
        (logical("int", "date"), 2**31),
        (logical("int", "time-millis"), -1),
        (logical("string", "uuid"), "none"),
        (decimal(2), "\u007f\u007f"),
        (record(field("x", "int"), name="shop.N"), {}),
        (["null", record(field("x", "int"), name="shop.N")], {"x": "text"}),
    ],
)
def test_a_default_that_no_parser_refuses_is_found(kind: Type, default: Any) -> None:
    """A default that the parser accepts, as fastavro does, is found, and no encoder can be generated for it."""
    form = one(kind, default=default)
    assert ("DEFAULT_MISFIT", "a") in declared(form)
    with pytest.raises(SchemaError):
        Codec(schema(form)).encoder()


@given(schemas())
def test_a_schema_by_itself_is_judged_as_the_codec_sees_it(drawn: Schema) -> None:
    """Items without bytes are found exactly where the codec counts them, and cycles where a type reaches itself."""
    rules = {rule for rule, _ in declared(drawn.form)}
    assert ("ZERO_WIDTH_ITEMS" in rules) is Layout(drawn).counts_zero_width
    assert ("RECURSIVE_TYPE" in rules) is _reaches_itself(drawn.form)
    assert rules <= {"ZERO_WIDTH_ITEMS", "RECURSIVE_TYPE"}


def _reaches_itself(form: Type) -> bool:
    """Return whether any named type can be reached from itself, by transitive closure instead of the order of the text."""

    def uses(kind: Type) -> set[str]:
        if isinstance(kind, str):
            return {kind} & named.keys()
        if isinstance(kind, list):
            return set().union(*map(uses, kind))
        held = kind.get("items", kind.get("values"))
        return {kind["name"]} if "name" in kind else uses(held) if held is not None else set()

    named = named_types(form)
    reached = {
        name: set().union(*(uses(each["type"]) for each in kind.get("fields", ()))) for name, kind in named.items()
    }
    for _ in named:
        reached = {name: known.union(*(reached[each] for each in known)) for name, known in reached.items()}
    return any(name in known for name, known in reached.items())


def test_an_alias_with_two_owners_is_reported_once() -> None:
    """The second owner of an alias is reported; a name in use comes before one that is only an alias."""
    form = record(field("a", "int"), field("b", "int", aliases=["a", "x"]), field("c", "int", aliases=["x", "x", "y"]))
    told = [(each.path, each.message) for each in evolution.alias_collision(contract(form))]
    assert told == [
        ("b", "the field 'b' has the alias 'a', which is the name of another field"),
        ("c", "the field 'c' has the alias 'x', which 'b' has too"),
    ]


def test_an_alias_of_a_live_field_is_a_collision_and_nothing_else() -> None:
    """If the reader has both fields, each reads its own: only the schema by itself is refused, not the pair."""
    before = record(field("a", "int"), field("b", "int"))
    after = record(field("a", "int", aliases=["b"]), field("b", "int"))
    assert found(before, after) == set()
    assert declared(after) == {("ALIAS_COLLISION", "a")}


# --- what is no schema to begin with


def filling(levels: int) -> Type:
    """Defaults that leave two fields each to the defaults within: 2^levels values."""
    fields = [field("t0", ["null", record(field("x", "int", default=0), name="shop.T0")])]
    for level in range(levels):
        uses = [field(name, [f"shop.T{level}", "null"], default={}) for name in "lr"]
        fields.append(field(f"t{level + 1}", ["null", record(*uses, name=f"shop.T{level + 1}")]))
    return record(*fields)


@pytest.mark.parametrize(
    ("form", "rule"),
    [
        (laughs(26), "DECODING_BOMB"),
        (record(field("next", "shop.Order")), "DECODING_BOMB"),
        (filling(50), "DECODING_BOMB"),
        (one(["shop.Order", "null"], default={}), "DECODING_BOMB"),
        (record(*(field(f"f{index}", ["null", "int"]) for index in range(3000))), "DECODING_BOMB"),
        (one("int", default="1"), "DEFAULT_MISFIT"),
        (one({"type": "array", "items": "int"}, default={}), "DEFAULT_MISFIT"),
        (one("nothing"), None),
        (one("int", aliases="old"), None),
        (record(aliases=["a", 5]), None),
    ],
    ids=["laughs", "itself", "filling", "own default", "types", "default", "array", "unknown", "alias", "aliases"],
)
def test_what_cannot_be_read_names_its_rule(form: Type, rule: str | None) -> None:
    """A schema that is refused at parsing names the rule that it breaks, if there is one."""
    with counted(1_000_000), pytest.raises(SchemaError) as caught:
        schema(form)
    assert caught.value.rule == rule
    assert rule is None or rule in RULES


def test_a_bomb_that_is_stored_already_is_found_by_its_row() -> None:
    """A schema that was stored before the bounds, without the parser's check, is refused by the rule itself."""
    sound = contract(record())
    bomb = Schema(canonical_text(canonical(laughs(26))))
    assert list(safety.decoding_bomb(sound)) == []
    (each,) = safety.decoding_bomb(Contract(sound.product, sound.port, bomb))
    assert "in memory" in each.message


def test_defaults_that_fill_one_another_moderately_are_read_and_encoded() -> None:
    """The bound on defaults allows ordinary schemas: ten levels of defaults, and a thousand fields that are null."""
    parsed = schema(filling(8))
    assert Codec(parsed).encode({f"t{level}": None for level in range(9)}) == bytes(9)
    wide = record(*(field(f"f{index}", ["null", "string"], default=None) for index in range(1000)))
    assert len(schema(wide).fields) == 1000


@pytest.mark.parametrize(
    ("form", "path", "advice"),
    [
        (record(field("größe", "int"), name="shop.R"), "größe", "such as 'groesse'"),
        (record(field("名前", "int"), name="shop.R"), "名前", "such as 'name'"),
        (one({"type": "enum", "name": "shop.E", "symbols": ["ÅPEN"]}), "a", "such as 'APEN'"),
        (one({"type": "fixed", "name": "my-team.F", "size": 1}), "a", "such as 'my_team.F'"),
        (record(field("a٣", "int"), name="shop.Été"), "", "such as 'shop.Ete'"),
    ],
)
def test_a_name_that_some_libraries_refuse_is_found(form: Any, path: str, advice: str) -> None:
    """In a type with its namespace, a field and a symbol; the advice spells it in ASCII."""
    found = {each.path: each.advice for each in portable.name_not_portable(contract(form))}
    assert advice in found[path]
