"""Schema resolution: the verdicts of Apache's checker, and reasons with their location."""

from __future__ import annotations

import json
import random
from typing import Any

import avro.schema
import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from meshport.compat import resolution
from meshport.compat.resolution import Incompatibility, check
from meshport.errors import SchemaError
from meshport.schema import Schema, parse_schema
from tests.compat.schemas import Type, circle, doubling, field, record, schema
from tests.repeats import repeated, repeats
from tests.work import counted


def found(reader: Type, writer: Type) -> list[tuple[str, str]]:
    """Return rules and locations of what is found."""
    return [(each.rule, each.location) for each in check(schema(reader), schema(writer))]


ENUM = {"type": "enum", "name": "mesh.Kind", "symbols": ["A", "B"]}
FIXED = {"type": "fixed", "name": "mesh.Hash", "size": 16}

CASES = [
    ("a primitive that cannot be promoted", "int", "string", [("TYPE_MISMATCH", "")]),
    ("int to long is promoted", "long", "int", []),
    ("long to int is not", "int", "long", [("TYPE_MISMATCH", "")]),
    ("string and bytes are taken for one another", "bytes", "string", []),
    (
        "a field that is not written and has no default",
        record(field("a", "int")),
        record(),
        [("READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/0")],
    ),
    ("a field that is not written and has one", record(field("a", "int", default=1)), record(), []),
    ("a field that is written and not read", record(), record(field("a", "int")), []),
    (
        "a field of another type",
        record(field("a", "int"), field("b", "int")),
        record(field("a", "int"), field("b", "string")),
        [("TYPE_MISMATCH", "/fields/1/type")],
    ),
    ("a field found by its alias", record(field("b", "int", aliases=["a"])), record(field("a", "int")), []),
    ("a renamed record", record(name="mesh.A"), record(name="mesh.B"), [("NAME_MISMATCH", "/name")]),
    ("a renamed record with a full alias", record(name="mesh.A", aliases=["mesh.B"]), record(name="mesh.B"), []),
    (
        "a renamed record with a short alias, which Apache's Python checker misses",
        record(name="mesh.A", aliases=["B"]),
        record(name="mesh.B"),
        [],
    ),
    (
        "an error is resolved as a record",
        record(field("a", "int")) | {"type": "error"},
        record() | {"type": "error"},
        [("READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/0")],
    ),
    ("a removed symbol", ENUM | {"symbols": ["A"]}, ENUM, [("MISSING_ENUM_SYMBOLS", "/symbols")]),
    ("a removed symbol, with a default for it", ENUM | {"symbols": ["A"], "default": "A"}, ENUM, []),
    ("a fixed of another size", FIXED | {"size": 8}, FIXED, [("FIXED_SIZE_MISMATCH", "/size")]),
    (
        "a fixed of another size and name",
        FIXED | {"size": 8, "name": "mesh.H"},
        FIXED,
        [("NAME_MISMATCH", "/name"), ("FIXED_SIZE_MISMATCH", "/size")],
    ),
    (
        "items of another type",
        {"type": "array", "items": "int"},
        {"type": "array", "items": "string"},
        [("TYPE_MISMATCH", "/items")],
    ),
    (
        "values of another type",
        {"type": "map", "values": "int"},
        {"type": "map", "values": "string"},
        [("TYPE_MISMATCH", "/values")],
    ),
    ("a union that lost a branch", ["null", "int"], ["null", "int", "string"], [("MISSING_UNION_BRANCH", "")]),
    ("a union that gained one", ["null", "int", "string"], ["null", "int"], []),
    ("a type that became optional", ["null", "int"], "int", []),
    ("a type that is optional no more", "int", ["null", "int"], [("TYPE_MISMATCH", "")]),
    (
        "the cause inside a union, with its whole path",
        record(field("a", ["null", record(field("x", "int"), field("y", "int"), name="mesh.In")])),
        record(field("a", ["null", record(field("x", "int"), name="mesh.In")])),
        [
            ("MISSING_UNION_BRANCH", "/fields/0/type"),
            ("READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/0/type/1/fields/1"),
        ],
    ),
    (
        "an enum's own default is no default of its field",
        record(field("k", ENUM | {"default": "A"})),
        record(),
        [("READER_FIELD_MISSING_DEFAULT_VALUE", "/fields/0")],
    ),
]


@pytest.mark.parametrize(
    ("reader", "writer", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_each_reason_has_its_location_in_the_readers_schema(
    reader: Type, writer: Type, expected: list[tuple[str, str]]
) -> None:
    """A finding carries Avro's incompatibility type and a JSON pointer, and there is one for each cause."""
    assert sorted(found(reader, writer)) == sorted(expected)


def test_every_location_exists_in_the_readers_schema() -> None:
    """The pointer of a finding leads to an element of the reader's canonical form."""
    for _, reader, writer, _ in CASES:
        form = schema(reader).form
        for finding in check(schema(reader), schema(writer)):
            here = form
            for token in finding.location.split("/")[1:]:
                here = here[int(token)] if isinstance(here, list) else here[token]


def test_a_finding_says_which_names_it_is_about() -> None:
    """The message quotes the field and the record, so that it can be read without the schema."""
    (finding,) = check(schema(record(field("a", "int"))), schema(record()))
    assert isinstance(finding, Incompatibility)
    assert 'field "a" of "shop.Order"' in finding.message


def test_the_same_schema_written_differently_is_compatible_with_itself() -> None:
    """Docs and the order of attributes do not reach the checker: two spellings of one contract are compatible."""
    one = {"type": "record", "name": "Order", "namespace": "shop", "doc": "x", "fields": [field("a", "int")]}
    assert found(one, record(field("a", "int"))) == []


def test_recursive_types_end() -> None:
    """A type that contains itself is compared once, and a break inside it is found."""

    def tree(kind: str) -> Type:
        return record(field("value", kind), field("left", ["null", "shop.Order"], default=None))

    assert found(tree("long"), tree("int")) == []
    assert ("TYPE_MISMATCH", "/fields/0/type") in found(tree("int"), tree("long"))


def test_shared_types_do_not_multiply_their_findings() -> None:
    """Fifty records that each use the previous one twice have each reason once, not 2^50 times."""
    reader, writer = schema(doubling(50, "int")), schema(doubling(50, "string"))
    with counted(2_000_000):
        findings = check(reader, writer)
    assert 0 < len(findings) < 500


def _random_type(random_: random.Random, depth: int, names: list[str]) -> Type:
    kinds = ["int", "long", "float", "double", "string", "bytes", "boolean", "null"]
    if depth and random_.random() < 0.6:
        match random_.randrange(6):
            case 0:
                return {"type": "array", "items": _random_type(random_, depth - 1, names)}
            case 1:
                return {"type": "map", "values": _random_type(random_, depth - 1, names)}
            case 2:
                return random_.sample(kinds, random_.randint(1, 4))
            case 3:
                names.append(f"mesh.N{len(names)}")
                return {"type": "enum", "name": names[-1], "symbols": random_.sample("ABCD", random_.randint(1, 4))}
            case 4:
                names.append(f"mesh.N{len(names)}")
                return {"type": "fixed", "name": names[-1], "size": random_.randint(1, 2)}
            case _:
                names.append(f"mesh.N{len(names)}")
                name = names[-1]
                return {"type": "record", "name": name, "fields": _random_fields(random_, depth - 1, names)}
    return random_.choice(kinds)


def _random_fields(random_: random.Random, depth: int, names: list[str]) -> list[dict[str, Any]]:
    fields = []
    for name in random_.sample("abcd", random_.randint(0, 3)):
        kind = _random_type(random_, depth, names)
        default = {"default": None} if kind == "null" else {"default": 1} if kind in ("int", "long") else {}
        fields.append(field(name, kind, **(default if random_.random() < 0.5 else {})))
    return fields


@repeated
def test_the_verdict_is_apaches_own_on_generated_pairs() -> None:
    """On random pairs, and each against itself, the verdict equals that of Apache's checker on its own parser."""
    random_ = random.Random(7)
    verdicts = {True: 0, False: 0}
    pairs = repeats(250, 10_000)
    for _ in range(pairs):
        seed = random_.random()
        sides = []
        for _ in range(2):
            # Half of the pairs share their shape and differ in details, so that both verdicts come up.
            source = random.Random(seed) if random_.random() < 0.5 else random_
            sides.append({"type": "record", "name": "mesh.R", "fields": _random_fields(source, 3, [])})
        reader, writer = (schema(side) for side in sides)
        apache = ReaderWriterCompatibilityChecker().get_compatibility(  # type: ignore[no-untyped-call] # avro's
            avro.schema.make_avsc_object(reader.form), avro.schema.make_avsc_object(writer.form)
        )
        compatible = apache.compatibility is SchemaCompatibilityType.compatible
        assert (not check(reader, writer)) is compatible, sides
        assert not check(reader, reader)
        verdicts[compatible] += 1
    assert min(verdicts.values()) > pairs / 8, verdicts


def test_what_is_too_deep_to_be_compared_is_never_compatible() -> None:
    """Cycles of 19 and 18 types that match by last name pair up deeper than Python recurses: an error, and no verdict."""
    assert check(schema(circle(3)), schema(circle(3))) == ()
    with pytest.raises(SchemaError, match="too deep to be compared"):
        check(schema(circle(19)), schema(circle(18)))


def test_the_branches_of_large_unions_are_compared_by_name() -> None:
    """Two unions of 300 records each are compared; of the branches that match no other by name, only that is reported."""
    branches = [{"type": "record", "name": f"R{at}", "fields": [{"name": "a", "type": "int"}]} for at in range(300)]
    extended = [each | {"fields": [*each["fields"], {"name": "b", "type": "int", "default": 0}]} for each in branches]
    older, newer = (parse_schema(json.dumps(each)) for each in (branches, extended))
    assert check(newer, older) == check(older, newer) == ()
    fewer = parse_schema(json.dumps(branches[1:]))
    assert [(each.rule, each.location) for each in check(fewer, older)] == [("MISSING_UNION_BRANCH", "")]


def test_unions_that_bring_too_many_branches_together_are_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Branches are counted over the whole comparison, so that no schema takes longer than a request may."""

    def unions(prefix: str) -> Schema:
        def branches(at: int) -> list[Type]:
            return [record(name=f"{prefix}{at}_{branch}") for branch in range(20)]

        return schema(record(*(field(f"f{at}", branches(at)) for at in range(5))))

    older, newer = unions("A"), unions("B")
    assert {each.rule for each in check(newer, older)} == {"MISSING_UNION_BRANCH"}
    monkeypatch.setattr(resolution, "MAX_BRANCH_PAIRS", 1_500)
    with pytest.raises(SchemaError, match="more than 1500 pairs of branches"):
        check(newer, older)
