"""docs/product-yaml.md, executed: its files load, its steps give the records that it shows, and every key is in a table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import BaseModel

from meshport.address import Address
from meshport.codec.jsonform import from_json, to_json
from meshport.process import Aggregate, Apply, Pipeline, derive_schema
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port
from meshport.process.logic.load import operator_of
from meshport.product import DeclaredWindow, Step, parse_product
from meshport.product.json_schema import descriptor_models, editor_schema
from meshport.product.yaml_file import read
from meshport.schema import parse_schema
from tests.docs.tables import tables
from tests.process.plays import INSTANT, record
from tests.process.plays import field as avro

TEXT = (Path(__file__).parents[2] / "docs" / "product-yaml.md").read_text(encoding="utf-8")
CUSTOMER: Final = record("Customer", avro("id", "string"), avro("class", ["null", "string"]))
ORDER: Final = record(
    "Order",
    avro("order_id", "string"),
    avro("customer", CUSTOMER),
    avro("cents", "long"),
    avro("tags", {"type": "array", "items": "string"}),
    avro("placed_at", INSTANT),
)
ADDRESS: Final = record("Address", avro("city", "string"))
MOVE: Final = record("Move", avro("customer_id", "string"), avro("address", ADDRESS), avro("since", INSTANT))
PAYMENT: Final = record("Payment", avro("order_id", "string"), avro("method", "string"), avro("paid_at", INSTANT))
ORDINAL: Final = record("Ordinal", avro("order_id", "string"), avro("customer", "string"), avro("number", "long"))
PORTS: Final = {
    "mesh://shop/orders": Port(ORDER, key=("order_id",), time="placed_at", partitions=1),
    "mesh://shop/customers": Port(MOVE, key=("customer_id",), time="since", partitions=1, cleanup="compact"),
    "mesh://shop/payments": Port(PAYMENT, key=("order_id",), time="paid_at", partitions=1),
}
BLOCKS: Final[list[tuple[str, str]]] = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
FILES: Final = [text for kind, text in BLOCKS if kind == "yaml" and "outputPorts:" in text]
(FUNCTION,) = [text for kind, text in BLOCKS if kind == "python"]


def examples() -> list[tuple[str, str]]:
    """Return the steps of each example, and the records that the page shows after them."""
    found, steps = [], ""
    for kind, text in BLOCKS:
        if kind == "yaml":
            steps = "" if text in FILES else text
        elif kind == "json" and steps:
            found.append((steps, text))
            steps = ""
    return found


def inputs() -> dict[str, list[dict[str, Any]]]:
    """Return the records of the page that the examples read, by the address of their port."""
    shown = {text for _, text in examples()}
    given = [text for kind, text in BLOCKS if kind == "json" and text not in shown]
    return {
        address: [from_json(parse_schema(json.dumps(port.schema)), json.loads(line)) for line in text.splitlines()]
        for (address, port), text in zip(PORTS.items(), given, strict=True)
    }


def parsed(text: str) -> list[Any]:
    """Return the steps of an example, read as a product.yaml is: `on` is a word like any other."""
    found: list[Any] = read(text, lambda _: None)[1]
    return found


def run(steps: str, folder: Path) -> list[Any]:
    """Return what steps make of the page's orders, as JSON data."""
    (folder / "logic.py").write_text(FUNCTION, encoding="utf-8")
    operators = tuple(operator_of(Step.model_validate(each), folder) for each in parsed(steps))
    pipeline = Pipeline(Address.parse("mesh://shop/orders"), operators)
    schemas = {Address.parse(name): parse_schema(json.dumps(port.schema)) for name, port in PORTS.items()}
    if any(isinstance(each, Apply) for each in operators):
        form: Any = ORDINAL
    else:
        form = derive_schema(pipeline, "Result", parse_schema(json.dumps(ORDER)), schemas).form
    key = form["fields"][0]["name"]
    grouped = isinstance(pipeline.grouping, Aggregate)
    output = Port(form, key=() if grouped else (key,), partitions=1, cleanup="delete")
    harness = Harness(pipeline, output="mesh://shop/result", ports={**PORTS, "mesh://shop/result": output})
    for address in reversed(PORTS):
        for number, each in enumerate(inputs()[address]):
            harness.publish(address, each, id=f"{address} {number}")
    harness.run()
    assert not harness.quarantine()
    return [to_json(each) for each in harness.records()]


@pytest.mark.parametrize("text", FILES, ids=lambda text: text.split("address: ")[1].partition("\n")[0])
def test_a_file_of_the_page_loads(text: str) -> None:
    """Each product.yaml of the page is a valid one."""
    parse_product(text)


@pytest.mark.parametrize(("steps", "shown"), examples())
def test_the_steps_give_what_the_page_shows(steps: str, shown: str, tmp_path: Path) -> None:
    """The steps of each example make the records that stand below them of the records that stand above."""
    assert run(steps, tmp_path) == [json.loads(line) for line in shown.splitlines()]


@pytest.mark.parametrize("model", descriptor_models(), ids=lambda model: model.__name__)
def test_every_key_has_its_row(model: type[BaseModel]) -> None:
    """A table of the page has the keys of the model and no other, in their order, each with its default."""
    form = editor_schema() if model.__name__ == "Product" else editor_schema()["$defs"][model.__name__]
    keys = form["properties"]
    found = [table for table in tables(TEXT) if [row.get("key") for row in table] == list(keys)]
    assert len(found) == 1, f"{model.__name__}: {', '.join(keys)}"
    for row in found[0]:
        default = keys[row["key"]].get("default")
        wanted = "required" if row["key"] in form.get("required", ()) else "none" if default in (None, []) else default
        assert row["default"] == str(wanted), row
        assert row["meaning"], row
        assert {each for each in keys[row["key"]].get("enum", ()) if f"`{each}`" not in TEXT} == set()


def test_every_step_has_an_example() -> None:
    """Each step, and each kind of window, is run by an example of the page."""
    steps = [each for text, _ in examples() for each in parsed(text)]
    assert {key for step in steps for key in step} == set(Step.model_fields)
    assert {key for step in steps for key in step.get("aggregate", {}).get("window", {})} == set(
        DeclaredWindow.model_fields
    )
