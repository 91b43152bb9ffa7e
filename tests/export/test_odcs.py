"""ODCS contracts, linted by datacontract-cli, and read back as products."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshport.address import Address
from meshport.catalog import ProductRegistration
from meshport.errors import AddressError, SchemaError
from meshport.export.odcs import odcs
from meshport.export.odcs_import import OdcsContract, import_contracts, read_contract
from meshport.product import OutputPort, Product
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema
from tests.codec.strategies import schemas
from tests.export.conftest import Mutation, mutated
from tests.export.mesh import delays, departures, extract_of
from tests.interop.environments import environment
from tests.repeats import EXAMPLES

_LINT: Final = Path(__file__).parents[1] / "interop/python/lint_contracts.py"


def _property(contract: Any, name: str) -> Any:
    return next(each for each in contract["schema"][0]["properties"] if each["name"] == name)


REFUSED: Final[dict[str, Mutation]] = {
    "no id": lambda c: c.pop("id"),
    "no version": lambda c: c.pop("version"),
    "another kind": lambda c: c.update(kind="DataProduct"),
    "an unknown version of the standard": lambda c: c.update(apiVersion="v9.0.0"),
    "an unknown key": lambda c: c.update(topic="t"),
    "a logical type that is none": lambda c: _property(c, "airport").update(logicalType="text"),
    "a property without a name": lambda c: _property(c, "airport").pop("name"),
    "required as text": lambda c: _property(c, "airport").update(required="yes"),
    "a level without a value": lambda c: c["slaProperties"][0].pop("value"),
    "an unknown kind of server": lambda c: c["servers"][0].update(type="kafka2"),
    "a kafka server without a host": lambda c: c["servers"][0].pop("host"),
    "a role without a name": lambda c: c["roles"][0].pop("role"),
}


def test_the_linter_takes_the_contracts_and_refuses_each_mutation(mesh_registry: Registry) -> None:
    """Each line of the mesh is a valid contract; each change that makes one wrong is refused."""
    contracts = mesh_registry.export("odcs")
    assert [each["id"] for each in contracts] == [
        "mesh://network/delays-by-airport/events@1",
        "mesh://operations/departures/events@1",
        "mesh://operations/departures/events@2",
        "mesh://operations/departures/raw@1",
    ]
    documents = contracts + [mutated(contracts[2], each) for each in REFUSED.values()]
    command = [str(environment("datacontract-cli") / "python"), str(_LINT)]
    done = subprocess.run(command, input=json.dumps(documents), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found[: len(contracts)] == [[], [], [], []]
    assert [name for name, errors in zip(REFUSED, found[len(contracts) :], strict=True) if not errors] == []


def test_a_contract_says_what_the_line_promises(mesh_registry: Registry) -> None:
    """Types, key, nullability, classification, service levels, retention and server are those of descriptor and binding."""
    _, contract, _ = mesh_registry.export("odcs", "mesh://operations/departures")
    assert _property(contract, "fare")["logicalType"] == "number"
    assert _property(contract, "fare")["physicalType"] == "decimal(12,2)"
    assert _property(contract, "scheduled_at")["logicalType"] == "timestamp"
    assert _property(contract, "delay_s")["required"] is False
    assert _property(contract, "remark")["required"] is False
    assert _property(contract, "airport")["classification"] == "public"
    assert _property(contract, "airport")["partitionKeyPosition"] == 1
    assert _property(contract, "flight_id")["partitionKeyPosition"] == 2
    assert "primaryKey" not in _property(contract, "flight_id")
    assert [each["name"] for each in _property(contract, "gate")["properties"]] == ["terminal", "number"]
    assert {"property": "retention", "value": 365, "unit": "d"} in contract["slaProperties"]
    assert contract["slaProperties"][0] == {"property": "timeliness", "value": 30.0, "unit": "s", "element": "events"}
    assert contract["slaProperties"][2]["element"] == "events.delay_s, events.airport"
    assert contract["servers"][0]["host"] == "kafka-a:9092,kafka-b:9092"
    assert contract["schema"][0]["physicalName"] == "operations.departures.events.v2"


@pytest.mark.parametrize("registration", [departures(), delays()], ids=["source-aligned", "aggregate"])
def test_a_product_is_read_back_as_it_was(registration: ProductRegistration) -> None:
    """The contracts of all its lines give the same descriptor and the same schemas, through JSON."""
    contracts = _read(json.loads(json.dumps(odcs(extract_of(registration)))))
    imported = import_contracts(contracts)
    assert Product.model_validate(imported.descriptor) == registration.descriptor.model_copy(update={"process": None})
    assert {name: each.text for name, each in imported.schemas.items()} == {
        name: parse_schema(text).text for name, text in registration.schemas.items()
    }


@st.composite
def annotated_schemas(draw: st.DrawFn) -> Schema:
    """Schemas with documentation, defaults, aliases, an order and attributes of others on some of their fields."""
    form = draw(schemas()).form
    for field in form["fields"]:
        if isinstance(field["type"], list) and field["type"][0] == "null" and draw(st.booleans()):
            field["default"] = None
        if field["type"] == "long" and draw(st.booleans()):
            field["default"] = draw(st.integers(-5, 5))
        extra = {
            "doc": "Said.",
            "order": "descending",
            "aliases": ["old"],
            "classification": "pii",
            "owner": [None, 1, True],
        }
        for key in draw(st.lists(st.sampled_from(sorted(extra)), unique=True)):
            field[key] = extra[key] if key != "aliases" else [f"{field['name']}_old"]
    return parse_schema(json.dumps(form))


@settings(max_examples=EXAMPLES, deadline=None)
@given(annotated_schemas())
def test_every_schema_is_read_back_as_it_was(schema: Schema) -> None:
    """A contract has all of an Avro schema: names, order of unions, defaults, documentation, attributes, recursion."""
    product = delays().descriptor.model_copy(update={"output_ports": (OutputPort(),)})
    registration = ProductRegistration(descriptor=product, schemas={"events@1": schema.text})
    imported = import_contracts(_read(odcs(extract_of(registration))))
    assert imported.schemas["events@1"].text == schema.text


FOREIGN: Final[dict[str, Any]] = {
    "apiVersion": "v3.0.2",
    "kind": "DataContract",
    "id": "53581432-6c55-4ba2-a65f-72344a91553a",
    "name": "Bookings",
    "version": "1.1.0",
    "status": "active",
    "domain": "Ticket Sales",
    "dataProduct": "bookings",
    "description": {"purpose": "Every booking."},
    "team": [{"username": "ada@example.com", "role": "owner"}],
    "slaProperties": [
        {"property": "latency", "value": 4, "unit": "d", "element": "bookings.at"},
        {"property": "availability", "value": "high"},
    ],
    "schema": [
        {
            "name": "bookings",
            "physicalType": "table",
            "properties": [
                {
                    "name": "id",
                    "logicalType": "string",
                    "physicalType": "varchar(36)",
                    "primaryKey": True,
                    "required": True,
                },
                {"name": "at", "logicalType": "timestamp", "physicalType": "timestamp", "description": "When."},
                {"name": "price", "logicalType": "number", "physicalType": "numeric(10, 2)", "required": True},
                {"name": "seats", "logicalType": "integer", "physicalType": "int"},
                {"name": "guest", "logicalType": "object", "properties": [{"name": "name", "logicalType": "string"}]},
                {
                    "name": "legs",
                    "logicalType": "array",
                    "items": {"logicalType": "object", "properties": [{"name": "day", "logicalType": "date"}]},
                },
            ],
        }
    ],
}


def test_a_contract_of_another_house_becomes_a_product() -> None:
    """Its address is made of its names, its key is the primary key, its types are Avro's nearest ones."""
    imported = import_contracts({"c": read_contract(FOREIGN, "c")})
    product = Product.model_validate(imported.descriptor)
    assert (str(product.address), product.owner) == ("mesh://ticket-sales/bookings", "ticket-sales")
    assert (product.default_port.key_fields, product.default_port.cleanup) == (("id",), "compact")
    levels = [(each.property, each.value, each.port, each.element) for each in product.sla_properties]
    assert levels == [("latency", 4, None, "at")]
    schema = imported.schemas["events@1"]
    assert schema.name == "ticket_sales.Bookings"
    types = {each["name"]: each["type"] for each in schema.fields}
    assert types["id"] == "string"
    assert types["at"] == ["null", {"type": "long", "logicalType": "timestamp-millis"}]
    assert types["price"] == {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}
    assert types["seats"] == ["null", "int"]
    assert types["guest"][1]["name"] == "ticket_sales.BookingsGuest"
    assert types["legs"][1]["items"]["name"] == "ticket_sales.BookingsLegsItem"


def test_contracts_that_cannot_be_read_are_refused_with_the_reason() -> None:
    """What is no contract, has no address, no type, no Avro name, or contradicts itself is named."""
    with pytest.raises(SchemaError, match=r"c is no ODCS contract: schema: Field required"):
        read_contract({"kind": "DataContract", "id": "x", "version": "1"}, "c")
    with pytest.raises(SchemaError, match="its kind is 'DataProduct'"):
        read_contract(FOREIGN | {"kind": "DataProduct"}, "c")
    with pytest.raises(AddressError, match="names no domain"):
        import_contracts({"c": read_contract({k: v for k, v in FOREIGN.items() if k != "domain"}, "c")})
    for change, reason in (
        ({"logicalType": "blob", "physicalType": "x"}, "no logicalType that ODCS knows"),
        ({"name": "a b"}, "a b"),
    ):
        wrong = mutated(FOREIGN, lambda c, change=change: _property(c, "id").update(change))  # type: ignore[misc]
        with pytest.raises(SchemaError, match=reason):
            import_contracts({"c": read_contract(wrong, "c")})
    (contract,) = odcs(extract_of(delays()))
    named, _, _ = odcs(extract_of(departures()))
    _property(named, "state")["logicalType"] = "integer"
    with pytest.raises(SchemaError, match="'state' says required integer, and its Avro type required string"):
        import_contracts({"c": read_contract(named, "c")})
    elsewhere = import_contracts({"c": read_contract(contract, "c")}, Address("shop", "orders"))
    assert elsewhere.descriptor["address"] == "mesh://shop/orders"


def _read(contracts: list[Any]) -> dict[str, OdcsContract]:
    return {each["id"]: read_contract(each, each["id"]) for each in contracts}
