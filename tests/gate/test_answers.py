"""The registry's answers as the past of a comparison: from the registry, or saved in a file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from meshport.address import Address
from meshport.binding import RegisteredProduct
from meshport.catalog import PortPast, ProductPast, Reader, SchemaVersion, Waiver
from meshport.compat.finding import Outcome
from meshport.errors import NotRegistered, RegistryUnavailable
from meshport.gate.docket import docket
from meshport.gate.sources import RegistrySource, parse_against
from meshport.product import Status
from meshport.registry import Registry
from tests.gate.dockets import TODAY, _own_configuration, history, keys, mesh, only
from tests.gate.repositories import Mesh, record

__all__ = ["_own_configuration", "mesh"]  # pytest finds fixtures by their names here


class Answers(Registry):
    """A registry's client with answers of its own."""

    def __init__(self, *products: ProductPast, down: bool = False) -> None:
        super().__init__("http://registry.example")
        self._known = {each.product.address.key: each for each in products}
        self._down = down

    def past(self, address: Address | str) -> ProductPast:
        """Return a known past, or raise NotRegistered."""
        if self._down:
            raise RegistryUnavailable("no answer")
        try:
            return self._known[str(address)]
        except KeyError as error:
            raise NotRegistered("none") from error

    def product(self, which: UUID | Address | str) -> RegisteredProduct:
        """Return the product of an id."""
        for each in self._known.values():
            if each.product.id == which:
                facts: dict[str, Any] = {"descriptor": each.product}  # the rest is not looked at
                return RegisteredProduct.model_construct(**facts)
        raise NotRegistered("none")


def known(mesh: Mesh, key: str, *, status: Status = Status.ACTIVE) -> ProductPast:
    """Return the answer of a registry in which a product is registered as it is now."""
    each = mesh.project.product(Address.parse(key))
    ports = []
    for port in each.product.output_ports:
        schema = each.schema(port)
        version = SchemaVersion(number=4, fingerprint=schema.fingerprint, schema_text=schema.text)
        reader = Reader(
            address=Address("far", "away"),
            reads=each.product.address,
            archetype=each.product.archetype,
            owner="far",
            status=Status.ACTIVE,
        )
        waiver = Waiver(
            id=7,
            address=each.product.port_address(port),
            rule="R",
            approver="a",
            reason="r",
            until=TODAY,
            created_at="2025-01-01T00:00:00Z",
        )
        ports.append(PortPast(port=port, status=status, versions=(version,), readers=(reader,), waivers=(waiver,)))
    return ProductPast(product=each.product, ports=tuple(ports))


def test_the_registry_tells_versions_readers_and_waivers(mesh: Mesh) -> None:
    """Registered products are compared, with every product of the project requested; others are new."""
    with Answers(known(mesh, "shop/orders")) as client:
        source = parse_against("registry", mesh.project, lambda: client)
        assert source.describe() == "the registry at http://registry.example"
        mesh.schema("shop/orders.events", record("Order", "cents", "a"))
        cases = {case.address.key: case for case in docket(mesh.project, [], source).cases}
    assert {key: case.past is None for key, case in cases.items()} == {
        "shop/customers/events@1": True,
        "shop/orders/events@1": False,
        "shop/revenue/events@1": True,
    }
    past = cases["shop/orders/events@1"].past
    assert past is not None
    assert [each.number for each in past.versions] == [4]
    assert [(str(each.address), each.owner) for each in past.readers] == [("mesh://far/away", "far")]
    assert [each.id for each in past.waivers] == [7]


def test_no_answer_of_the_registry_is_no_pass(mesh: Mesh) -> None:
    """A registry that does not answer stops the check."""
    with Answers(down=True) as client, pytest.raises(RegistryUnavailable):
        docket(mesh.project, [], RegistrySource(client))


def test_a_retired_port_may_be_dropped(mesh: Mesh) -> None:
    """A descriptor may drop a port that the registry has retired; any other dropped port is judged."""
    for status, expected in ((Status.RETIRED, ["events@1"]), (Status.DEPRECATED, ["events@1", "extra@1"])):
        mesh.product("shop/orders", ports="- name: events\n  - name: extra")
        mesh.schema("shop/orders.extra", record("Extra"))
        answer = known(mesh, "shop/orders", status=status)
        mesh.product("shop/orders")
        with Answers(answer) as client:
            found = docket(mesh.project, [Address.parse("shop/orders")], RegistrySource(client))
        assert [key.rpartition("/")[2] for key in keys(found)] == expected


def test_a_retired_product_may_go(mesh: Mesh) -> None:
    """A retired product that is requested gives a note that there is nothing to judge."""
    answer = known(mesh, "shop/orders", status=Status.RETIRED)
    shutil.rmtree(mesh.root / "producers/shop/orders")
    with Answers(answer) as client:
        found = docket(mesh.project, [Address.parse("shop/orders")], RegistrySource(client))
    assert (found.cases, found.notes) == ((), ("shop/orders is retired and gone; there is nothing to judge",))


def test_a_lifecycle_that_moved_on_is_not_taken_back(mesh: Mesh) -> None:
    """A product that is deprecated in the registry stays so if its descriptor is not: this is no change."""
    answer = known(mesh, "shop/orders")
    later = answer.product.model_copy(update={"status": Status.DEPRECATED, "deprecated_on": TODAY})
    with Answers(answer.model_copy(update={"product": later})) as client:
        found = docket(mesh.project, [Address.parse("shop/orders")], RegistrySource(client))
    assert only(found).verdict(TODAY).outcome is Outcome.UNCHANGED


def test_a_saved_answer_stands_for_the_registry(mesh: Mesh, tmp_path: Path) -> None:
    """A saved answer of the registry is compared offline."""
    file = tmp_path / "past.json"
    file.write_text(known(mesh, "shop/orders").model_dump_json(by_alias=True))
    found = mesh.docket(against=str(file))
    assert history(only(found)) == [(4, ("cents",))]
    assert only(found).verdict(TODAY).outcome is Outcome.UNCHANGED
    assert "saved" in found.notes[0]


def _rename(mesh: Mesh) -> None:
    for folder in ("producers/shop/orders", "schemas/shop/orders.events.avsc"):
        (mesh.root / folder).rename(mesh.root / folder.replace("orders", "purchases"))
    file = mesh.root / "producers/shop/purchases/product.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("shop/orders", "shop/purchases"), encoding="utf-8")


@pytest.mark.parametrize("asked", [[], ["shop/orders"], ["shop/purchases/events@1"]])
@pytest.mark.parametrize("against", ["main", "registry"])
def test_a_product_under_another_address_is_judged_as_what_it_was(mesh: Mesh, asked: list[str], against: str) -> None:
    """A product with the same id and another address is neither new nor removed, but judged as the earlier product."""
    with Answers(known(mesh, "shop/orders")) as client:
        _rename(mesh)
        source = parse_against(against, mesh.project, lambda: client)
        found = docket(mesh.project, [Address.parse(each) for each in asked], source)
    (case,) = (each for each in found.cases if each.past is not None)
    assert case.product is not None
    assert case.after is not None
    assert (case.address.key, case.product.address.key) == ("shop/orders/events@1", "shop/purchases")
    assert "EVENT_SOURCE" in {each.rule for each in case.verdict(TODAY).findings}
    assert [each for each in found.cases if "purchases" in each.address.key] == []
