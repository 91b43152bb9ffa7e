"""Contracts follow the process: `check --write` changes the Avro file of a derived product."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import NotRegistered, ProcessError, ProjectError
from meshport.project.check import Contracts, check_process
from meshport.project.follow import Followed, follow_process
from meshport.project.project import Project

SALES, TOTALS = Address("shop", "sales"), Address("shop", "totals")
PRICE = {"type": "record", "name": "Price", "fields": [{"name": "cents", "type": "long"}]}
SALE = [
    {"name": "customer", "type": "string"},
    {"name": "cents", "type": "long"},
    {"name": "price", "type": PRICE},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
]
OUT = [{"name": "customer", "type": "string", "doc": "Who bought."}, {"name": "cents", "type": "long"}]


def project(root: Path, steps: list[Any], fields: list[Any]) -> Project:
    """Sales, and a product that is derived from them."""
    for folder in ("producers/shop/sales", "processors/shop/totals", "schemas/shop"):
        (root / folder).mkdir(parents=True)
    common = {"description": "x", "owner": "t", "outputPorts": [{"name": "events"}]}
    documents: dict[str, dict[str, Any]] = {
        "producers/shop/sales": {"address": str(SALES), "archetype": "source-aligned"},
        "processors/shop/totals": {
            "address": str(TOTALS),
            "archetype": "aggregate",
            "inputPorts": [{"address": str(SALES)}],
            "process": {"steps": steps},
        },
    }
    for folder, document in documents.items():
        (root / folder / "product.yaml").write_text(yaml.safe_dump({**document, **common, "id": str(uuid4())}))
    for name, each in (("sales", SALE), ("totals", fields)):
        record = {"type": "record", "name": name.capitalize(), "namespace": "shop", "doc": "Kept.", "fields": each}
        (root / f"schemas/shop/{name}.events.avsc").write_text(json.dumps(record))
    return Project.find(root)


def nowhere(address: Address) -> Binding:
    """A registry without products."""
    raise NotRegistered(f"nothing is registered at {address}")


def registered(address: Address) -> Any:
    """A registry that has every port."""
    return address


def follow(found: Project, resolve: Any = nowhere) -> Followed | None:
    """The changed contract of the derived product; written, it passes the check."""
    product, contracts = found.product(TOTALS), Contracts(found.products, resolve)
    followed = follow_process(found, product, contracts)
    if followed is None:
        check_process(product, contracts)
    else:
        with pytest.raises(ProcessError, match="`meshport check --write`"):
            check_process(product, contracts)
        followed.file.write_text(followed.text)
        again = Project.find(found.root)
        check_process(again.product(TOTALS), Contracts(again.products, nowhere))
    return followed


SELECT = {"select": ["customer", "cents"]}


@pytest.mark.parametrize(
    ("steps", "fields", "changes"),
    [
        (
            [SELECT, {"derive": {"twice": "cents * 2"}}],
            [*OUT, {"name": "twice", "type": "long"}],
            "twice (long) is added",
        ),
        ([{"select": ["customer"]}], OUT[:1], "cents is taken out"),
        (
            [SELECT, {"derive": {"cents": "cents / 100"}}],
            [OUT[0], {"name": "cents", "type": "double"}],
            "cents is double, no longer long",
        ),
        (
            [{"select": ["customer", "cents", "price"]}],
            [*OUT, {"name": "price", "type": {**PRICE, "name": "shop.Price"}}],
            "price (shop.Price) is added",
        ),
    ],
    ids=["added", "taken out", "retyped", "a record"],
)
def test_a_contract_follows_its_process(tmp_path: Path, steps: list[Any], fields: list[Any], changes: str) -> None:
    """A field that a changed step makes is added, one that is not made is taken out; all others stay as they are written."""
    followed = follow(project(tmp_path, steps, OUT))
    assert followed is not None
    document = json.loads(followed.text)
    assert (document["doc"], document["fields"], followed.changes) == ("Kept.", fields, (changes,))


def test_a_new_field_of_a_registered_port_has_a_default(tmp_path: Path) -> None:
    """Where events may be stored without the field, it is nullable with default null, so that the gate lets it pass."""
    followed = follow(project(tmp_path, [SELECT, {"derive": {"twice": "cents * 2"}}], OUT), registered)
    assert followed is not None
    added = {"name": "twice", "type": ["null", "long"], "default": None}
    assert json.loads(followed.text)["fields"] == [*OUT, added]


def test_a_contract_that_fits_stays(tmp_path: Path) -> None:
    """A contract that holds what is made is left alone, also where its types are wider or a field has a default."""
    wider = [
        OUT[0],
        {"name": "cents", "type": ["null", "double"]},
        {"name": "note", "type": ["null", "string"], "default": None},
    ]
    assert follow(project(tmp_path, [SELECT], wider)) is None


def test_comments_are_not_lost(tmp_path: Path) -> None:
    """A file with comments is not written; the error has the changes to make."""
    found = project(tmp_path, [SELECT, {"derive": {"twice": "cents * 2"}}], OUT)
    file = tmp_path / "schemas/shop/totals.events.avsc"
    text = "// the totals\n" + file.read_text()
    file.write_text(text)
    with pytest.raises(ProjectError, match=r"lose its comments\nhint: edit it: twice \(long\) is added"):
        follow_process(found, found.product(TOTALS), Contracts(found.products, nowhere))
    assert file.read_text() == text
