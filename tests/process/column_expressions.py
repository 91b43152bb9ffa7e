"""Random expressions over a record of every type, and the comparison of their columns with the row path.

python -m tests.process.column_expressions 20000
"""

from __future__ import annotations

import math
import random
import struct
import sys
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from meshport.errors import ProcessError
from meshport.expression.expression import Expression
from meshport.expression.functions import FUNCTIONS
from meshport.process.columns.expressions import Doubt, NotColumnar, compile_columns

SCHEMA: Final = pa.schema(
    [
        ("flag", pa.bool_()),
        ("small", pa.int32()),
        ("big", pa.int64()),
        ("ratio", pa.float32()),
        ("price", pa.float64()),
        ("name", pa.string()),
        ("status", pa.string()),
        ("digits", pa.string()),
        ("raw", pa.binary()),
        ("code", pa.binary(4)),
        ("at", pa.timestamp("ms", "UTC")),
        ("seen", pa.timestamp("us", "UTC")),
        ("local", pa.timestamp("us")),
        ("day", pa.date32()),
        ("clock", pa.time32("ms")),
        ("watch", pa.time64("us")),
        ("cost", pa.decimal128(9, 2)),
        ("fee", pa.decimal128(12, 4)),
        ("mass", pa.decimal128(38, 10)),
        ("tags", pa.list_(pa.string())),
        ("counts", pa.map_(pa.string(), pa.int64())),
        pa.field("id", pa.string(), metadata={"logicalType": "uuid"}),
        (
            "box",
            pa.struct(
                [
                    ("amount", pa.int32()),
                    ("note", pa.string()),
                    ("inner", pa.struct([("deep", pa.int64())])),
                    pa.field("id", pa.string(), metadata={"logicalType": "uuid"}),
                ]
            ),
        ),
    ]
)
ROWS: Final = 24
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INTS: Final = (0, 1, -1, 2, 3, -7, 10, 100, 2**31, -(2**53), 2**53, 2**53 + 1, 2**62, 2**63 - 1, -(2**63), 3037000500)
_FLOATS: Final = (
    *(0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.1, 2.675, 1.005, 0.125, 99.995, 1e-320, 1e15, 2.0**52 + 1),
    *(2.0**53, 2.0**63, -(2.0**63), 9.007199254740993e15, 1e300, 1.7e308, math.inf, -math.inf, math.nan, -math.nan),
)
_TEXTS: Final = ("", "PAID", "paid", "a", "b", "éß", "İ", "ﬁ", "ключ", "𝄞", "z\0y", "Z", "\n", "~", "\uffff")
_DIGITS: Final = ("0", "7", "-12", "007", "+5", " 8 ", "1_0", "1.5", "-0.25", "1e3", "x", "", "9" * 18, "9" * 19, "٣")
_INSTANTS: Final = (
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
    datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC),
)


def _values(chance: random.Random) -> dict[str, Any]:
    number = chance.choice([chance.choice(_INTS), chance.randrange(-50, 50), chance.getrandbits(64) - 2**63])
    real = chance.choice([chance.choice(_FLOATS), chance.uniform(-100, 100), chance.randrange(-4000, 4000) / 200])
    instant = chance.choice(
        [chance.choice(_INSTANTS), _EPOCH + timedelta(milliseconds=chance.randrange(-(10**9), 10**12))]
    )
    return {
        "flag": chance.random() < 0.5,
        "small": chance.choice([chance.randrange(-5, 6), chance.randrange(-(2**31), 2**31), 2**31 - 1]),
        "big": number,
        "ratio": struct.unpack("<f", struct.pack("<f", real if abs(real) < 1e38 or not math.isfinite(real) else 3e38))[
            0
        ],
        "price": real,
        "name": chance.choice(_TEXTS) + chance.choice(_TEXTS),
        "status": chance.choice(("PAID", "OPEN", "", "paid")),
        "digits": chance.choice(_DIGITS),
        "raw": chance.choice((b"", b"a", b"\xff\0")),
        "code": chance.choice((b"abcd", b"\0\0\0\0")),
        "at": instant,
        "seen": min(instant + timedelta(microseconds=chance.randrange(3)), _INSTANTS[-1]),
        "local": instant.replace(tzinfo=None),
        "day": chance.choice([date(1, 1, 1), date(2026, 3, 1), date(1970, 1, 1), date(9999, 12, 31), instant.date()]),
        "clock": chance.choice([time(), time(23, 59, 59, 999000), time(12, 30)]),
        "watch": chance.choice([time(), time(23, 59, 59, 999999), time(12, 30)]),
        "cost": Decimal(chance.choice([0, 1, -100, 250, 999999999])).scaleb(-2),
        "fee": Decimal(chance.choice([0, 1, 100, -10000, 25000, 999999999999])).scaleb(-4),
        "mass": Decimal(chance.choice([0, -1, 10**27, 10**28 - 1, 10**28, -(10**38) + 1])).scaleb(
            -10, Context(prec=38)
        ),
        "tags": [chance.choice(("a", "b", None, "éß")) for _ in range(chance.randrange(4))],
        "counts": {"a": 1} if chance.random() < 0.5 else {},
        "id": UUID(int=chance.choice((0, 7, 2**128 - 1))),
    }


def _record(chance: random.Random) -> dict[str, Any]:
    made = {name: None if chance.random() < 0.15 else value for name, value in _values(chance).items()}
    inner = chance.choice([None, {"deep": chance.choice([None, 7, 2**62])}])
    box = {
        "amount": chance.choice([None, 3]),
        "note": chance.choice([None, "x", ""]),
        "inner": inner,
        "id": UUID(int=9),
    }
    return {**made, "box": chance.choice([None, box, box])}


def _for_arrow(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict):
        return {name: _for_arrow(each) for name, each in value.items()}
    return value


@lru_cache(maxsize=64)
def table(seed: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return records and their columns, which are slices of longer ones; with an even seed only values in `box` are null."""
    chance = random.Random(seed)
    records = [_record(chance) if seed % 2 else {**_record(chance), **_values(chance)} for _ in range(ROWS + 1)]
    columns = {}
    for field in SCHEMA:
        values = [_for_arrow(record[field.name]) for record in records]
        if pa.types.is_map(field.type):
            values = [None if each is None else list(each.items()) for each in values]
        columns[field.name] = pa.array(values, field.type)[1:]
    return records[1:], columns


def comparable(value: Any) -> Any:
    """Return a form that is equal for equal values of one type only: a float becomes its bits."""
    if isinstance(value, float):
        return ("float", struct.pack("<d", value))
    if isinstance(value, dict):
        return {name: comparable(each) for name, each in value.items()}
    if isinstance(value, list):
        return [comparable(each) for each in value]
    return (str if isinstance(value, UUID) else type(value), str(value) if isinstance(value, UUID) else value)


def _given_back(value: Any, kind: Any) -> Any:
    return dict(value) if pa.types.is_map(kind) and value is not None else value


def compared(text: str, seed: int) -> Counter[str]:
    """Compare an expression's column with the row path; count the rows that are equal and that are in doubt.

    Raises:
        AssertionError: a value differs, or the row path raises for a row that is not in doubt.
    """
    try:
        expression = Expression(text)
    except ProcessError:
        return Counter(refused=1)
    try:
        compiled = compile_columns(expression, SCHEMA)
    except NotColumnar:
        return Counter(unsupported=1)
    records, columns = table(seed)
    doubted = np.zeros(len(records), np.bool_)
    try:
        found = compiled(columns)
    except Doubt as doubt:
        if doubt.rows is None or not doubt.rows.any():
            raise AssertionError(f"{text!r} is in doubt, but no row of it") from doubt
        doubted = doubt.rows
        kept = pa.array(~doubted)
        found = compiled({name: column.filter(kept) for name, column in columns.items()})
    sure = [record for record, unsure in zip(records, doubted, strict=True) if not unsure]
    assert found.type == compiled.type
    assert len(found) == len(sure)
    for record, value in zip(sure, found.to_pylist(), strict=True):
        try:
            wanted = expression(record)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise AssertionError(
                f"{text!r} of {record} raises {error!r} by rows, and is {value!r} by columns"
            ) from error
        given = _given_back(value, found.type)
        assert comparable(given) == comparable(wanted), (
            f"{text!r} of {record}: {given!r} by columns, {wanted!r} by rows"
        )
    return Counter(supported=1, rows=len(sure), doubts=int(doubted.sum()))


def _called(name: str, *arguments: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*arguments).map(lambda given: f"{name}({', '.join(given)})")


def _infix(signs: str, one: st.SearchStrategy[str], other: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(one, st.sampled_from(signs.split()), other).map(
        lambda given: f"({given[0]} {given[1]} {given[2]})"
    )


def _choices(kind: st.SearchStrategy[str]) -> list[st.SearchStrategy[str]]:
    """Return the expressions that pick one of several values of a kind."""
    return [
        _called("coalesce", kind, kind),
        _called("coalesce", kind, kind, kind),
        st.tuples(kind, BOOLS, kind).map(lambda given: f"({given[0]} if {given[1]} else {given[2]})"),
        _infix("and or", kind, kind),
        _called("min", kind, kind),
        _called("max", kind, kind, kind),
    ]


_NAMES: Final = [*SCHEMA.names, "box.amount", "box.note", "box.inner.deep", "box.id"]
_WHOLE: Final = [
    "small",
    "big",
    "box.amount",
    "box.inner.deep",
    "0",
    "1",
    "2",
    "-1",
    "7",
    "100",
    str(2**53 + 1),
    str(2**63 - 1),
]
_REAL: Final = ["price", "ratio", "0.0", "-0.0", "0.5", "1.5", "0.1", "2.675", "1e999", "1e300", "100.0"]
INTS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(_WHOLE),
        st.sampled_from(_WHOLE),
        _infix("+ - * // %", INTS, INTS),
        st.one_of(*(_called(name, NUMBERS) for name in ("int", "round", "floor", "ceil", "abs", "-", "+"))),
        st.one_of(_called("len", TEXTS), _called("hour", MOMENTS), _called("int", TEXTS), st.just("len(tags)")),
        st.one_of(*_choices(INTS)),
    )
)
REALS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(_REAL),
        st.sampled_from(_REAL),
        _infix("+ - * / // %", REALS, NUMBERS),
        _infix("/", NUMBERS, REALS),
        _infix("/", INTS, INTS),
        st.one_of(*(_called(name, REALS) for name in ("abs", "-", "+", "float"))),
        st.one_of(_called("float", NUMBERS), _called("float", TEXTS)),
        st.tuples(REALS, st.sampled_from("0123")).map(lambda given: f"round({given[0]}, {given[1]})"),
        _infix("-", INSTANTS, INSTANTS).map(lambda given: f"seconds({given})"),
        st.one_of(*_choices(REALS)),
    )
)
NUMBERS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(INTS, REALS, st.sampled_from(["flag", "None"]), *_choices(st.one_of(INTS, REALS)))
)
TEXTS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["name", "status", "digits", "box.note", "'PAID'", "''", "'éß'", "'12'"]),
        _infix("+", TEXTS, TEXTS),
        st.one_of(*(_called(name, TEXTS) for name in ("lower", "upper", "str"))),
        st.one_of(_called("str", INTS), _called("str", BOOLS), _called("str", DAYS), st.just("str(id)")),
        st.one_of(*_choices(TEXTS)),
    )
)
INSTANTS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(st.sampled_from(["at", "seen"]), st.one_of(*_choices(st.sampled_from(["at", "seen"]))))
)
MOMENTS: st.SearchStrategy[str] = st.one_of(INSTANTS, st.just("local"))
DAYS: st.SearchStrategy[str] = st.deferred(lambda: st.one_of(st.just("day"), _called("date", MOMENTS)))
DECIMALS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["cost", "fee", "mass"]),
        st.sampled_from(["cost", "fee"]),
        _infix("+ - *", DECIMALS, DECIMALS),
        st.one_of(_infix("+ - *", DECIMALS, INTS), _infix("+ - *", INTS, DECIMALS)),
        st.one_of(_called("abs", DECIMALS), DECIMALS.map(lambda each: f"(-{each})")),
        st.one_of(*(each for name in ("cost", "fee") for each in _choices(st.just(name)))),
    )
)
_COMPARED: Final = "== != < <= > >="
BOOLS: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        st.sampled_from(["flag", "True", "False"]),
        st.one_of(_infix(_COMPARED, INTS, INTS), _infix(_COMPARED, NUMBERS, NUMBERS), _infix(_COMPARED, TEXTS, TEXTS)),
        st.one_of(_infix(_COMPARED, INSTANTS, INSTANTS), _infix(_COMPARED, DAYS, DAYS), _infix("== !=", TEXTS, INTS)),
        _infix(_COMPARED, st.one_of(DECIMALS, st.sampled_from(["small", "100"])), DECIMALS),
        _infix(_COMPARED, DECIMALS, INTS),
        st.tuples(NUMBERS, NUMBERS, NUMBERS).map(lambda given: f"({given[0]} < {given[1]} <= {given[2]})"),
        st.tuples(st.sampled_from(_NAMES), st.sampled_from(["is", "is not"])).map(
            lambda each: f"({each[0]} {each[1]} None)"
        ),
        st.one_of(*(_listed(kind) for kind in (INTS, NUMBERS, TEXTS, st.sampled_from(["'PAID'", "'OPEN'", "'é'"])))),
        st.tuples(TEXTS, st.sampled_from(["in", "not in"])).map(lambda given: f"('A' {given[1]} {given[0]})"),
        st.sampled_from(["'a' in tags", "'b' not in tags", "status in ('PAID', 'OPEN')", "status not in ('PAID', '')"]),
        st.one_of(_infix("and or", BOOLS, BOOLS), BOOLS.map(lambda each: f"(not {each})")),
        ANYTHING.map(lambda each: f"(not {each})"),
        st.tuples(ANYTHING, ANYTHING).map(lambda given: f"(not ({given[0]} and {given[1]}))"),
    )
)
ANYTHING: st.SearchStrategy[str] = st.deferred(
    lambda: st.one_of(
        *(INTS, REALS, NUMBERS, DECIMALS, TEXTS, BOOLS, INSTANTS, DAYS, st.sampled_from(_NAMES)),
        st.one_of(_infix(f"+ - * / // % {_COMPARED} in", st.sampled_from(_NAMES), st.sampled_from(_NAMES))),
        st.tuples(
            st.sampled_from([name for name, function in FUNCTIONS.items() if function.least == 1]),
            st.one_of(st.sampled_from(_NAMES), _infix("+ -", st.sampled_from(_NAMES), st.sampled_from(_NAMES))),
        ).map(lambda given: f"{given[0]}({given[1]})"),
        st.one_of(*_choices(st.one_of(st.sampled_from(_NAMES), NUMBERS, TEXTS))),
    )
)


def _listed(kind: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    items = st.lists(kind, min_size=1, max_size=4)
    return st.tuples(st.one_of(kind, NUMBERS, st.just("status")), st.sampled_from(["in", "not in"]), items).map(
        lambda given: f"({given[0]} {given[1]} ({', '.join(given[2])},))"
    )


SEEDS: Final = st.integers(0, 63)


def campaign(examples: int) -> Counter[str]:
    """Compare many random expressions, each over a random table, and add up the counts."""
    total: Counter[str] = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a failing expression is short enough without shrinking
    )
    @given(text=ANYTHING, seed=SEEDS)
    def run(text: str, seed: int) -> None:
        total.update(compared(text, seed))

    run()
    return total


if __name__ == "__main__":
    print(dict(campaign(int(sys.argv[1]))))  # noqa: T201 - a command
