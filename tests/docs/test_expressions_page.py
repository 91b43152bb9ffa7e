"""docs/expressions.md, computed: every example has the value and the type that the page shows, and nothing is left out."""

from __future__ import annotations

import ast
import json
import re
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from meshport.expression.expression import _BINARY, _ORDERING, _WORDS
from meshport.expression.functions import FUNCTIONS
from meshport.expression.inference import Inference
from meshport.expression.types import DAY, is_nullable, number, plain_type, record_types
from meshport.process import Expression, Pipeline, check_pipeline
from meshport.process.logic.aggregators import aggregator_for
from meshport.process.logic.load import operator_of
from meshport.product import Step
from meshport.product.aggregation import Aggregation, AggregationKind
from meshport.schema import parse_schema
from tests.docs.tables import tables
from tests.process.plays import PLAYS

TEXT = (Path(__file__).parents[2] / "docs" / "expressions.md").read_text(encoding="utf-8")
AVRO, *_ = re.findall(r"^```avro\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SCHEMA = parse_schema(AVRO)
RECORD, LINES = re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TABLES = tables(TEXT)
EXAMPLES = [(row["expression"], row["value"], row["type"]) for table in TABLES for row in table if "expression" in row]
AGGREGATIONS = [row for table in TABLES for row in table if "aggregation" in row]


def record() -> dict[str, Any]:
    """Return the record of the page as the codec decodes it."""
    given: dict[str, Any] = json.loads(RECORD)
    times = {name: datetime.fromisoformat(given[name]) for name in ("started", "ended")}
    return given | times | {"price": Decimal(given["price"])}


def words(kind: Any) -> str:
    """Return a type as the page writes it."""
    if kind == "null":
        return "null"
    plain = plain_type(kind)
    name = plain if isinstance(plain, str) else "date" if plain == DAY else str(plain["type"])
    if number(plain) == "decimal":
        name = f"decimal with {plain['scale']} digits after the point"
    return f"{name} or null" if is_nullable(kind) else name


@pytest.mark.parametrize(("text", "value", "kind"), EXAMPLES, ids=[each[0] for each in EXAMPLES])
def test_an_example(text: str, value: str, kind: str) -> None:
    """An expression of the page has the value that stands beside it, of the type that stands beside that."""
    found = Expression(text)(record())
    assert repr(found) == repr(eval(value, {"Decimal": Decimal, "date": date}))
    assert words(Inference(*record_types(SCHEMA)).of(Expression(text))) == kind


def test_the_steps_of_the_page_run() -> None:
    """The steps at the page's beginning are steps over its record."""
    (block,) = re.findall(r"^```yaml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    operators = tuple(operator_of(Step.model_validate(each)) for each in yaml.safe_load(block))
    check_pipeline(Pipeline(PLAYS, operators), SCHEMA, {})


def test_every_function_and_operator_has_an_example() -> None:
    """Each function, operator and keyword is in an example of the page, with its number of arguments in its row."""
    trees = [node for text, _, _ in EXAMPLES for node in ast.walk(Expression(text).tree)]
    named = {node.func.id for node in trees if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert named == set(FUNCTIONS)
    assert {name for name in FUNCTIONS if f"\n| `{name}(" not in TEXT} == set()
    kinds = {type(node) for node in trees}
    wanted = {*_BINARY, *_ORDERING, ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot}
    assert wanted | {ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.IfExp, ast.Attribute} <= kinds
    assert {word for word in _WORDS if f"`{word}`" not in TEXT} == set()


def test_every_aggregation_has_its_result() -> None:
    """Each aggregation is in the table, with what it gives for the records of the page."""
    assert {row["aggregation"].partition("(")[0] for row in AGGREGATIONS} == set(get_args(AggregationKind))
    records = [json.loads(line) for line in LINES.splitlines()]
    for row in AGGREGATIONS:
        aggregation = Aggregation.parse(row["example"])
        assert row["aggregation"].startswith(f"{aggregation.kind}(")
        aggregator = aggregator_for(aggregation.kind)
        accumulator = aggregator.start()
        for at, each in enumerate(records):
            read = None if aggregation.field is None else Expression(aggregation.field)(each)
            accumulator = aggregator.add(accumulator, read, (at, 0, at, 0))
        assert repr(aggregator.result(accumulator)) == row["value"], row
