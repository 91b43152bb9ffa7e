"""Expressions: what they compute, and what they refuse."""

from __future__ import annotations

import ast
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from meshport.errors import ProcessError
from meshport.expression.expression import Expression

RECORD: dict[str, Any] = {
    "delay": 12,
    "origin": "ATL",
    "ms": 90_000,
    "none": None,
    "rate": Decimal("0.003"),
    "tags": ["a", "b"],
    "price": {"amount": 3, "inner": {"deep": 7}},
    "start": datetime(2026, 3, 1, 23, 30, tzinfo=UTC),
    "end": datetime(2026, 3, 2, 0, 0, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("delay > 0", True),
        ("0 < delay <= 12 < 13", True),
        ("delay > 0 and origin == 'ATL'", True),
        ("origin in ('ORD', 'ATL')", True),
        ("origin not in ['ORD']", True),
        ("'a' in tags", True),
        ("ms / 60000", 1.5),
        ("ms // 60000 + delay % 5 - -1", 4),
        ("rate * 3", Decimal("0.009")),
        ("1 if delay >= 30 else 0", 0),
        ("origin + '!'", "ATL!"),
        ("price.amount * 2 + price.inner.deep", 13),
        ("none > 0", False),
        ("none + 1", None),
        ("abs(none)", None),
        ("none is None and delay is not None", True),
        ("not none", True),
        ("coalesce(none, delay, 3)", 12),
        ("min(delay, 5) + max(1, 2)", 7),
        ("round(2.675, 1)", 2.7),
        ("round(delay / 5)", 2),
        ("len(tags) + floor(1.9) + ceil(1.1)", 5),
        ("lower(origin) + upper('x') + str(delay)", "atlX12"),
        ("date(start)", date(2026, 3, 1)),
        ("hour(start)", 23),
        ("seconds(end - start)", 1800.0),
        ("int('7') + float(1)", 8.0),
    ],
)
def test_value(text: str, value: Any) -> None:
    """An expression has the value that Python gives it, and a null operand gives null."""
    found = Expression(text)(RECORD)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__",
        "delay.__class__",
        "(lambda: 1)()",
        "[x for x in tags]",
        "open('/etc/passwd')",
        "delay ** 9",
        "1 << 1000",
        "f'{delay}'",
        "tags[0]",
        "delay := 3",
        "abs(*tags)",
        "round(delay, ndigits=2)",
        "abs(1, 2)",
        "origin is 'ATL'",
        "{'a': 1}",
        "b'x'",
        "...",
        "print(1)",
        "eval('1')",
        "_record",
        "__builtins__",
        "delay; origin",
        "",
        "delay >",
        "(" * 300 + "1" + ")" * 300,
        "-" * 200 + "1",
        "1" + " + 1" * 400,
    ],
)
def test_hostile(text: str) -> None:
    """Text outside the grammar is refused when it is parsed, before there is any record."""
    if text == "_record":
        with pytest.raises(KeyError):  # a name like any other: a field that this record does not have
            Expression(text)(RECORD)
        return
    with pytest.raises(ProcessError):
        Expression(text)


@pytest.mark.parametrize(
    ("text", "found", "instead"),
    [
        ("10 ** 2", "holds the operator `**`", "`a * a`"),
        ("delay @ 2", "holds the operator `@`", "`*`"),
        ("delay > 0 & delay < 9", "holds the operator `&`", "`and`"),
        ("delay | 1", "holds the operator `|`", "`or`"),
        ("delay ^ 1", "holds the operator `^`", "`a != b`"),
        ("1 << delay", "holds the operator `<<`", "`a * 8`"),
        ("delay >> 1", "holds the operator `>>`", "`a // 8`"),
        ("not ~delay", "holds the operator `~`", "`not`"),
        ("b'x'", "holds a literal of bytes", "without the `b`"),
        ("2j", "holds a complex number", "decimal point"),
        ("...", "holds `...`", "the functions"),
        ("f'{delay}'", "holds a text with `f`", "`+`"),
        ("origin.upper()", "holds a call of the method `.upper()`", "`upper(a)`"),
        ("origin.strip()", "holds a call of the method `.strip()`", "the functions"),
        ("abs(delay)(1)", "holds a call of something that is no function", "the functions"),
        ("round(delay, digits=2)", "holds an argument of round() by its name", "`round(a, b)`"),
        ("abs(1, 2)", "holds abs() with 2 values", "abs() takes 1"),
        ("tags[0]", "holds square brackets", "`in`"),
        ("{'a': 1}", "holds a dictionary", "one field for each value"),
        ("(delay := 3)", "holds the assignment `:=`", "`==`"),
        ("(*tags, 1)", "holds `*` before a list", "one by one"),
        ("origin is 'ATL'", "holds `is` with anything but None", "`==`"),
        ("coalesce(delay = 2, 3) or (delay = 2)", "is no expression", "as in Python"),
        ("(delay) = 2", "is no expression", "as in Python"),
    ],
)
def test_a_refusal_names_what_is_written(text: str, found: str, instead: str) -> None:
    """A refusal names the operator or the form as its author wrote it, and what there is instead, in no word of the parser."""
    with pytest.raises(ProcessError) as refused:
        Expression(text)
    assert f"{text!r} {found}" in refused.value.message
    assert instead in (refused.value.hint or "")
    said = refused.value.message.replace(repr(text), "")
    assert not any(name in said for name, kind in vars(ast).items() if isinstance(kind, type) and name[0].isupper()), (
        said
    )
    assert "':='" not in said


@pytest.mark.parametrize(
    "text", ["origin * 1000000000", "'%999999999d' % delay", "tags * 100", "missing + 1", "delay / 0"]
)
def test_refused_at_run(text: str) -> None:
    """Text times a number, a missing field and the like raise for the record, since only its values show them."""
    with pytest.raises((TypeError, KeyError, ZeroDivisionError)):
        Expression(text)(RECORD)


def test_an_unknown_name_has_its_neighbour_as_hint() -> None:
    """An unknown field or function is refused with the nearest known name as a hint."""
    with pytest.raises(ProcessError, match="did you mean 'delay'"):
        Expression("dealy > 0 and price.amount > 1").refuse_unknown(["delay", "origin", "price"])
    with pytest.raises(ProcessError, match="did you mean 'round'"):
        Expression("ruond(delay)")
    Expression("coalesce(delay, 0) > price.amount").refuse_unknown(["delay", "price"])


def test_it_compares_by_its_text() -> None:
    """Two expressions of one text are equal, so that pipelines can be compared."""
    assert Expression("delay > 0") == Expression("delay > 0") != Expression("delay > 1")
    assert (
        Expression("seconds(end - start)")({"start": RECORD["start"], "end": RECORD["start"] + timedelta(hours=1)})
        == 3600
    )


def test_a_chain_of_comparisons_grows_with_its_text() -> None:
    """Chains within chains take no longer than their text, and compare as Python does."""
    text = "x"
    for _ in range(30):
        text = f"(0 < {text} < 2)"
    assert Expression(text)({"x": 1}) is True
    assert Expression(text)({"x": 2}) is False
    assert Expression("1 < x <= y == 5 < z")({"x": 3, "y": 5, "z": 6}) is True
    assert Expression("1 < x <= y == 5 < z")({"x": 3, "y": 4, "z": 6}) is False
