"""Expressions over columns: the values of the row path, or doubt."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from meshport.columnar import arrow_schema
from meshport.expression.expression import Expression
from meshport.expression.functions import FUNCTIONS
from meshport.expression.inference import Inference
from meshport.expression.types import DAY, INSTANT
from meshport.process.columns.expressions import Doubt, NotColumnar, compile_columns, truth
from meshport.process.columns.functions import COLUMNAR_FORMS
from meshport.schema import parse_schema
from tests.process.column_expressions import SCHEMA, campaign, comparable, compared, table
from tests.repeats import repeated, repeats


def _column(text: str, values: list[Any], kind: Any) -> list[Any]:
    compiled = compile_columns(Expression(text), pa.schema([("x", kind)]))
    return list(compiled({"x": pa.array(values, kind)}).to_pylist())


def _doubted(text: str, values: list[Any], kind: Any) -> list[bool]:
    with pytest.raises(Doubt) as caught:
        _column(text, values, kind)
    assert caught.value.rows is not None
    return list(caught.value.rows.tolist())


@repeated
def test_random_expressions() -> None:
    """Random expressions over random records have the row path's values, bit for bit; rows that raise there are in doubt."""
    counted = campaign(repeats(60, 5_000))
    assert counted["supported"] > counted["unsupported"]
    assert counted["rows"] > counted["doubts"]


@pytest.mark.parametrize(
    "text",
    [
        "small > 0",
        "0 < small <= 12 < 13",
        "small > 0 and status == 'PAID'",
        "status in ('OPEN', 'PAID')",
        "status not in ['PAID']",
        "'a' in tags",
        "'AI' in status",
        "small / 60000",
        "small // 60000 + small % 5 - -1",
        "1 if small >= 30 else 0",
        "'big' if small > 2 else status",
        "name + '!'",
        "box.amount * 2 + box.amount",
        "box.inner.deep",
        "box.note is None",
        "coalesce(box.amount, small, 3)",
        "coalesce(price, 0) > 10",
        "coalesce(status, '') + 'x'",
        "min(small, 5) + max(1, 2)",
        "abs(small)",
        "-small",
        "not small",
        "name or 'nobody'",
        "1 if small and price > 1 or flag is None else 0",
        "len(name) + len(tags) + len(raw)",
        "lower(status) + upper(status)",
        "str(small) + str(flag) + str(id) + str(date(at))",
        "date(at)",
        "hour(seen)",
        "seen - at",
        "seconds(seen - at)",
        "at <= seen and day != date(seen)",
        "cost > 100 or cost == fee",
        "cost * small - fee",
        "abs(-cost)",
        "float(small) * 1.5",
        "10 / small if small else 0.0",
        "small != 0 and 10 % small == 1",
        "at",
        "ratio",
        "cost",
        "tags",
        "counts",
        "box.inner",
        "None",
        "1.5",
        "'x'",
    ],
)
def test_declared(text: str) -> None:
    """Expressions that declared steps use have a columnar form, and doubt no row that has a value by rows."""
    for seed in (0, 1):
        counted = compared(text, seed)
        assert counted["supported"] == 1
        assert not counted["doubts"]


@pytest.mark.parametrize(
    ("text", "values", "kind", "doubts"),
    [
        ("x + 1", [1, 2**63 - 1, None], pa.int64(), [False, True, False]),
        ("x - 2", [-(2**63), 2**63 - 1], pa.int64(), [True, False]),
        ("x * x", [3_000_000_000, 3037000500, -3037000500], pa.int64(), [False, True, True]),
        ("-x", [-(2**63), 5], pa.int64(), [True, False]),
        ("x // -1", [-(2**63), 5], pa.int64(), [True, False]),
        ("1 / x", [0, 2, None], pa.int64(), [True, False, False]),
        ("1 % x", [0.0, 2.0, math.inf], pa.float64(), [True, False, True]),
        ("x / 3", [2**53, 2**53 + 1], pa.int64(), [False, True]),
        ("x > 0.5", [2**53, 2**53 + 1], pa.int64(), [False, True]),
        ("int(x)", [1.5, math.nan, 2.0**63, -(2.0**63)], pa.float64(), [False, True, True, False]),
        ("x * 0", [math.inf, 1.0], pa.float64(), [True, False]),
        ("coalesce(x, 0)", [1.0, None], pa.float64(), [False, True]),
        ("lower(x)", ["A", "É", None], pa.string(), [False, True, False]),
        ("int(x)", ["7", " 7", "٣", None], pa.string(), [False, True, True, False]),
    ],
)
def test_doubts(text: str, values: list[Any], kind: Any, doubts: list[bool]) -> None:
    """A row is in doubt only where columns cannot compute its value."""
    assert _doubted(text, values, kind) == doubts


@pytest.mark.parametrize(
    "text",
    [
        "missing",
        "box.missing",
        "name.first",
        "name - 1",
        "name * 2",
        "name < 1",
        "hour(day)",
        "str(price)",
        "cost / 2",
        "id",
        "id == '0'",
        "box",
        "coalesce(id, name)",
        "coalesce(tags, None)",
        "coalesce(flag, 1)",
        "1 / 0",
        f"small + {2**63}",
        "name in status",
        "1 in tags",
        "round(price, small)",
        "(small, big)",
    ],
)
def test_unsupported(text: str) -> None:
    """An expression without a columnar form is refused when it is compiled, before there are columns."""
    with pytest.raises(NotColumnar):
        compile_columns(Expression(text), SCHEMA)


@pytest.mark.parametrize(
    "text", ["round(x, 2)", "round(x)", "round(x, 0)", "floor(x)", "ceil(x)", "x // 0.3", "x % -0.7"]
)
def test_rounding(text: str) -> None:
    """Floats are rounded as Python rounds them: halves, near halves, and the sign of zero."""
    chance = np.random.default_rng(5)
    cents = np.concatenate([np.arange(-4000, 4000) / 200, chance.integers(-(10**9), 10**9, 4000) / 1000])
    values = [*cents.tolist(), *chance.normal(size=2000).tolist(), 2.675, 1.005, 0.125, -0.0, 0.5, -0.5, 1e-320]
    expression = Expression(text)
    found = _column(text, values, pa.float64())
    assert [comparable(each) for each in found] == [comparable(expression({"x": value})) for value in values]


_TYPES: dict[str, Any] = {
    "small": "int",
    "price": "double",
    "status": "string",
    "at": INSTANT,
    "seen": {"type": "long", "logicalType": "timestamp-micros"},
}
_CALLS: dict[str, tuple[str, Any]] = {
    "abs": ("abs(small)", "int"),
    "ceil": ("ceil(price)", "long"),
    "coalesce": ("coalesce(status, 'none')", "string"),
    "date": ("date(at)", DAY),
    "float": ("float(small)", "double"),
    "floor": ("floor(price)", "long"),
    "hour": ("hour(at)", "long"),
    "int": ("int(price)", "long"),
    "len": ("len(status)", "long"),
    "lower": ("lower(status)", "string"),
    "max": ("max(price, 1.5)", "double"),
    "min": ("min(price, 1.5)", "double"),
    "round": ("round(price, 2)", "double"),
    "seconds": ("seconds(seen - at)", "double"),
    "str": ("str(small)", "string"),
    "upper": ("upper(status)", "string"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_each_of_its_parts(name: str) -> None:
    """Every function computes rows, has a result type, and has a columnar form that gives the values of its rows."""
    text, kind = _CALLS[name]
    assert FUNCTIONS[name] in COLUMNAR_FORMS
    assert compared(text, 1)["supported"] == 1
    assert Inference(_TYPES, {}).of(Expression(text)) == kind


def test_a_columnar_form_is_of_a_function() -> None:
    """Columns have a form of each function of expressions and of nothing else."""
    assert COLUMNAR_FORMS.keys() == set(FUNCTIONS.values())


@pytest.mark.parametrize("name", ["lower", "upper", "len", "str"])
def test_letters(name: str) -> None:
    """A function of text gives what Python gives for every letter that is not in doubt."""
    letters = [chr(point) for point in range(0x3000)]
    expression = Expression(f"{name}(x)")
    compiled = compile_columns(expression, pa.schema([("x", pa.string())]))
    column = pa.array(letters)
    try:
        found = compiled({"x": column})
    except Doubt as doubt:
        known = ~np.asarray(doubt.rows)
        letters = [letter for letter, sure in zip(letters, known, strict=True) if sure]
        found = compiled({"x": column.filter(pa.array(known))})
    assert len(letters) >= 128
    assert found.to_pylist() == [expression({"x": letter}) for letter in letters]


def test_branches_not_taken() -> None:
    """A branch that Python would not compute for a row puts that row in no doubt."""
    kind = pa.int64()
    assert _column("1 // x if x != 0 else 9", [0, 1], kind) == [9, 1]
    assert _column("x != 0 and 1 // x == 1", [0, 1], kind) == [False, True]
    assert _column("x == 0 or 1 // x == 1", [0, 1], kind) == [True, True]
    assert _column("0 < x < 10 // x", [0, 1], kind) == [False, True]
    assert _doubted("coalesce(x, 1 // x)", [0, 1], kind) == [True, False]


@pytest.mark.parametrize("name", SCHEMA.names)
def test_truth(name: str) -> None:
    """A value of any type is true or false as in Python."""
    for seed in range(6):
        records, columns = table(seed)
        assert truth(columns[name]).to_pylist() == [bool(record[name]) for record in records]


def test_truth_of_edges() -> None:
    """NaN is true, zeros and nulls are false."""
    assert truth(pa.array([math.nan, 0.0, -0.0, None, 0.5])).to_pylist() == [True, False, False, False, True]
    assert truth(pa.array([timedelta(0), timedelta(1)], pa.duration("us"))).to_pylist() == [False, True]
    assert truth(pa.array([Decimal("0.00"), Decimal("0.01"), None])).to_pylist() == [False, True, False]
    assert truth(pa.nulls(2)).to_pylist() == [False, False]


def test_uuids_of_a_schema() -> None:
    """A uuid is recognised by its field's metadata at any depth, and has no columnar form but `str`."""
    uuid = {"type": "string", "logicalType": "uuid"}
    kinds = [uuid, ["null", uuid], {"type": "array", "items": uuid}, {"type": "map", "values": ["null", uuid]}]
    fields = [{"name": f"f{at}", "type": kind} for at, kind in enumerate(kinds)]
    record = {"type": "record", "name": "Inner", "fields": fields}
    outer = {"type": "record", "name": "Order", "fields": [*fields, {"name": "inner", "type": record}]}
    schema = arrow_schema(parse_schema(json.dumps(outer)))
    for text in (*schema.names, "inner.f0", "inner.f1", "f0 == 'x'", "'x' in f2", "lower(f1)"):
        with pytest.raises(NotColumnar):
            compile_columns(Expression(text), schema)
    assert compile_columns(Expression("str(inner.f1)"), schema).type == pa.string()


def test_units() -> None:
    """A timestamp keeps its type where it is picked; with another one both take the finer unit."""
    schema = pa.schema([("a", pa.timestamp("ms", "UTC")), ("b", pa.timestamp("us", "UTC"))])
    columns = {
        "a": pa.array([datetime(2026, 1, 1, tzinfo=UTC), None], schema.field("a").type),
        "b": pa.array([datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)] * 2, schema.field("b").type),
    }
    assert compile_columns(Expression("coalesce(a, a)"), schema).type == schema.field("a").type
    found = compile_columns(Expression("coalesce(a, b)"), schema)(columns)
    assert found.type == schema.field("b").type
    assert found.to_pylist() == [datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]


def test_nested_operands() -> None:
    """A nested operand that is read several times is computed once."""
    text = "x"
    for _ in range(30):
        text = f"({text} in (x, True))"
    assert _column(text, [1, 0], pa.int64()) == [True, True]


def test_other_columns_are_refused() -> None:
    """Columns of other types than those compiled for raise TypeError, not Doubt."""
    compiled = compile_columns(Expression("x + 1"), pa.schema([("x", pa.int64())]))
    with pytest.raises(TypeError, match="'x' of int64"):
        compiled({"x": pa.array([1.5])})
    assert compiled({"x": pa.array([], pa.int64())}).to_pylist() == []
