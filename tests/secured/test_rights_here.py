"""Rights of products on a secured broker: what policies forbid is closed there, and a dropped product leaves none behind."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from meshport.access import Acl, ClusterAcls, caller_name, login
from meshport.address import Address
from meshport.local.cluster import Cluster
from meshport.local.process_logins import ProcessLogins
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.schema import parse_schema
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run
from tests.mesh_session import Mesh
from tests.secured.test_derived_acls import READINGS, product

FORBID = """@id("closed")
forbid (principal == Caller::"{reader}", action == Action::"read", resource in Domain::"{domain}");
"""


@pytest.fixture
def pair(mesh: Mesh, tmp_path: Path) -> tuple[Product, Product]:
    """A source, and a product that reads it, both registered."""
    domain = f"d{uuid4().hex[:8]}"
    source = product(f"{domain}/source", "source-aligned")
    report = product(f"{domain}/report", "consumer-aligned", inputPorts=[{"address": str(source.address)}])
    contract = parse_schema(READINGS)
    for each in (source, report):
        mesh.apply(ProjectProduct(each, tmp_path, {("events", 1): contract}))
    return source, report


def acls_of(secured: Cluster, address: Address) -> set[Acl]:
    """Return the ACLs of a product's principal."""
    principal = f"User:{login(caller_name(address))}"
    return {each for each in ClusterAcls(secured.config).all() or () if each.principal == principal}


def reads(secured: Cluster, address: Address) -> set[str]:
    """Return the topics that a product's principal may read, without those of its own, which it has by prefix."""
    found = {each for each in acls_of(secured, address) if each.resource == "topic" and each.operation == "read"}
    return {each.name for each in found if each.pattern == "literal"}


def test_a_policy_that_forbids_a_read_forbids_it_there(
    mesh: Mesh, secured: Cluster, pair: tuple[Product, Product]
) -> None:
    """A process of `up --secure` reads its input, not one that a policy forbids; that ends it also where it began before."""
    source, report = pair
    domain = source.address.domain
    file, topic = f"producers/{domain}/policies.cedar", mesh.registry.resolve(source.address).topic
    policies = mesh.registry.policies
    policies.apply(domain, {file: FORBID.format(reader=report.address.key, domain=domain)})
    ProcessLogins(secured, mesh.registry).admit(pair)
    assert reads(secured, report.address) == set()
    policies.apply(domain, {file: ""})
    ProcessLogins(secured, mesh.registry).admit(pair)
    assert reads(secured, report.address) == {topic}
    written = acls_of(secured, source.address)
    policies.apply(domain, {file: FORBID.format(reader=report.address.key, domain=domain)})
    ProcessLogins(secured, mesh.registry).admit(pair)
    assert reads(secured, report.address) == set()
    assert acls_of(secured, source.address) == written
    policies.apply(domain, {file: ""})


def test_a_dropped_product_takes_its_own_acls_along(
    cli: Run, mesh: Mesh, secured: Cluster, pair: tuple[Product, Product]
) -> None:
    """The plan names them; those of others on its topics stay, and one of its principal that nothing derives."""
    source, report = pair
    ProcessLogins(secured, mesh.registry).admit(pair)
    topic = mesh.registry.resolve(report.address).topic
    admin = ClusterAcls(secured.config)
    principal = f"User:{login(caller_name(report.address))}"
    by_hand = {Acl(principal, "read", "topic", f"other-{topic}"), Acl("User:ann", "read", "topic", topic)}
    admin.create(by_hand)
    others = acls_of(secured, source.address)
    with_operator = {
        "MESHPORT_REGISTRY": mesh.url,
        "MESHPORT_KAFKA_CONFIG": str(secured.principals["operator"]),
    }
    refused = cli("drop", report.address.key, stdin=b"n\n", **with_operator)
    assert f"no longer let {principal} describe-configs, write topic {topic}" in refused.err
    assert acls_of(secured, report.address) > by_hand - {Acl("User:ann", "read", "topic", topic)}
    ended = cli("drop", report.address.key, "--yes", "--json", **with_operator)
    assert ended.code == 0, ended.err
    (done,) = ended.lines
    assert f"{principal} write topic {topic}" in done["acls"]
    left = admin.all() or frozenset()
    assert by_hand <= left
    assert acls_of(secured, report.address) == {each for each in by_hand if each.principal == principal}
    assert acls_of(secured, source.address) == others
    retired = cli("retire", source.address.key, "--yes", **with_operator)
    assert retired.code == 0, retired.err
    ended = cli("drop", source.address.key, "--yes", **with_operator)
    assert ended.code == 0, ended.err
    assert acls_of(secured, source.address) == set()
    admin.delete(by_hand)
