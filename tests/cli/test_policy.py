"""Policies by commands: their tests, the reasons of a decision, and what apply makes of them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshport.grants import AccessRequest, GrantApproval
from tests.cli.running import Run
from tests.cli.shop import ORDERS, ORDERS_FILE, order, write_shop
from tests.mesh_session import Mesh

GLOBAL = """\
@id("no-partners")
@why("partners read nothing that is confidential")
forbid (principal in Group::"partners", action == Action::"read", resource is Product)
when { resource.classification == "confidential" };
"""
OWN = """\
@id("partners-read")
permit (principal in Group::"partners", action == Action::"read", resource in Domain::"shop");
"""
TESTS = """\
- {caller: ann, groups: [shop], action: retire, resource: shop/orders, expect: allow}
- {caller: bob, groups: [billing], action: retire, resource: shop/orders, expect: refuse}
- caller: pat
  groups: [partners]
  action: read
  resource: {product: shop/faces, owner: shop, classification: confidential}
  expect: refuse
  policy: policies/privacy.cedar#no-partners
- {caller: anonymous, by: anonymous, action: discover, expect: refuse}
"""


@pytest.fixture
def shop(cli: Run, tmp_path: Path) -> Path:  # noqa: ARG001 - the command line runs in this folder
    """Write a project with a product, policies and their tests, and return its folder."""
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    for name, text in (
        ("policies/privacy.cedar", GLOBAL),
        ("policies/privacy.test.yaml", TESTS),
        ("producers/shop/policies.cedar", OWN),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_tests_of_policies_pass_or_say_what_differs(cli: Run, shop: Path) -> None:
    """A row that the policies decide otherwise is named by file and line, with the policies that decided; exit 1."""
    passed = cli("policy", "test")
    assert (passed.code, passed.err) == (0, "4 of 4 tests of policies pass\n")
    (shop / "policies/privacy.test.yaml").write_text(TESTS.replace("billing", "shop"))
    assert [each["passed"] for each in cli("policy", "test", "--json").lines] == [True, False, True, True]
    failed = cli("policy", "test")
    assert failed.code == 1
    assert (
        f"{shop / 'policies/privacy.test.yaml'}:2: bob may retire shop/orders (meshport/owners.cedar#owners)"
        in failed.out
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- {caller: a, action: fly, expect: allow}", "1: action: Input should be"),
        ("- {caller: a, action: read, resource: shop/none, expect: allow}", "mesh://shop/none is no product here"),
        ("- {caller: a, action: read, resource: 'x:y', expect: allow}", "'x:y' names no resource"),
        ("- {caller: a, action: read, expect: allow, group: b}", "1: group: Extra inputs"),
        ("- {caller: anonymous, action: read, expect: allow}", "write `by: anonymous`"),
        ("caller: a", "holds no list of tests"),
        ("- [", "is no YAML"),
    ],
)
def test_a_wrong_test_is_no_pass(cli: Run, shop: Path, text: str, says: str) -> None:
    """A test that cannot be read ends the command as wrong input."""
    (shop / "policies/privacy.test.yaml").write_text(text)
    ended = cli("policy", "test")
    assert ended.code == 2
    assert says in ended.err


def test_no_tests_are_no_pass(cli: Run, shop: Path) -> None:
    """A project without tests of its policies gets no pass."""
    (shop / "policies/privacy.test.yaml").unlink()
    assert cli("policy", "test").code == 2


def test_a_wrong_policy_is_found_by_check(cli: Run, shop: Path) -> None:
    """A domain's policy that speaks of another domain is refused with its file."""
    assert "2 files of policies well-formed" in cli("check").err
    (shop / "producers/shop/policies.cedar").write_text(OWN.replace('Domain::"shop"', 'Domain::"billing"'))
    ended = cli("check")
    assert ended.code == 2
    assert (
        'producers/shop/policies.cedar#partners-read of the domain shop speaks of more than Domain::"shop"' in ended.err
    )


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ann", "register", "--on", "shop/orders", "--group", "shop"), 0, "permit meshport/owners.cedar#owners: the owners"),
        (("ann", "register", "--on", "shop/orders"), 1, "no policy permits it; these permit it to others:"),
        (("pat", "read", "--on", "shop/orders", "--group", "partners"), 0, "permit producers/shop/policies.cedar#partners-read"),
        (("shop/orders", "write", "--on", "shop/orders"), 0, "permit meshport/owners.cedar#service: a product's own service"),
        (("ann", "administer", "--on", "domain:shop", "--group", "shop"), 0, "owners-of-domains"),
        (("ann", "register", "--on", "subject:shop.raw-value", "--group", "shop"), 0, "owners-of-subjects"),
        (("anonymous", "discover"), 1, "permit meshport/mesh.cedar#identified-discover"),
        (("ann", "registr"), 2, "did you mean register?"),
        (("ann", "read", "--on", "shop/none"), 2, "is no product here"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("shop")
def test_a_decision_is_explained(cli: Run, arguments: tuple[str, ...], code: int, says: str) -> None:
    """An explanation names the policies that decide, and why each is there; where none does, those that permit others."""
    ended = cli("policy", "explain", *arguments)
    assert ended.code == code
    assert says in " ".join((ended.out + ended.err).split())


@pytest.mark.parametrize(
    ("on", "others"),
    [
        ("shop/orders", {"local", "admins", "owners"}),
        ("subject:shop.raw-value", {"local", "admins", "owners-of-subjects"}),
        ("mesh", {"local", "admins"}),
    ],
)
@pytest.mark.usefixtures("shop")
def test_only_policies_that_speak_of_the_resource_are_named(cli: Run, on: str, others: set[str]) -> None:
    """A refusal names those policies that permit the action to others with this very resource, by its kind and its domain."""
    ended = cli("policy", "explain", "ann", "register", "--on", on)
    assert set(re.findall(r"permit meshport/\S+#([\w-]+)", ended.out)) == others


def test_grants_are_known(cli: Run, in_memory_mesh: Mesh) -> None:
    """`--applied` decides with the grants that are in force, and says whose word they are."""
    port = in_memory_mesh.product().address
    access, reader = in_memory_mesh.registry.access, f"billing/{port.product}"
    explain = ("policy", "explain", reader, "read", "--applied", "--registry", in_memory_mesh.url, "--on")
    asked = access.request(AccessRequest(address=port, reader=reader, purpose="invoices"))
    assert (
        f"request {asked.id} of {reader} for {asked.address} waits for tests" in cli(*explain, port.of_product.key).out
    )
    access.grant(asked.id, GrantApproval(until=datetime(2099, 1, 1, tzinfo=UTC)))
    ended = cli(*explain, port.of_product.key)
    assert "permit meshport/readers.cedar#readers-by-grant" in ended.out
    assert f"request {asked.id} of {reader} for {asked.address} was granted by anonymous until 2099-01-01" in ended.out
    (decided,) = cli(*explain, port.of_product.key, "--json").lines
    assert decided["grant"] == asked.id
    access.revoke(asked.id, "enough")
    (decided,) = cli(*explain, port.of_product.key, "--json").lines
    assert (
        decided["grant"],
        "meshport/readers.cedar#readers-by-grant" in [each["id"] for each in decided["policies"]],
    ) == (
        None,
        False,
    )


def test_a_forbid_is_explained_by_its_reason(cli: Run, shop: Path) -> None:
    """What a global policy forbids stays forbidden although the domain's own permits it."""
    (shop / ORDERS_FILE).write_text(f"classification: confidential\n{ORDERS}")
    ended = cli("policy", "explain", "pat", "read", "--on", "shop/orders", "--group", "partners", "--json")
    assert ended.code == 1
    (decided,) = ended.lines
    assert (decided["allowed"], decided["policies"][0]["id"]) == (False, "policies/privacy.cedar#no-partners")
    assert decided["policies"][0]["why"] == "partners read nothing that is confidential"


@pytest.mark.kafka
def test_apply_plans_policies_and_applies_them(on_mesh: Run, mesh: Mesh, shop: Path) -> None:
    """The plan names each policy that is new, changed or removed; a file that the project lost stays until it is empty."""
    (shop / "policies/privacy.cedar").unlink()  # the mesh of the session is that of other tests too
    kafka = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    planned = on_mesh("apply", "--plan", **kafka)
    line = "producers/shop/policies.cedar: permit producers/shop/policies.cedar#partners-read is new"
    assert f"policies of shop: {line}" in planned.err
    assert mesh.registry.policies.applied().texts("shop") == {}
    ended = on_mesh("apply", **kafka)
    assert ended.code == 0, ended.err
    assert mesh.registry.policies.applied().texts("shop") == {"producers/shop/policies.cedar": OWN}
    assert "policies of shop: as they are" in on_mesh("apply", **kafka).err
    ended = on_mesh("policy", "explain", "pat", "read", "--on", "shop/orders", "--group", "partners", "--applied")
    assert ended.code == 0
    (shop / "processors/shop").mkdir()
    (shop / "producers/shop/policies.cedar").rename(shop / "processors/shop/policies.cedar")
    moved = on_mesh("apply", "--json", **kafka)
    assert "producers/shop/policies.cedar is not in this project and stays" in moved.err
    assert moved.lines[-1]["policies"] == "shop"
    for folder in ("producers", "processors"):
        (shop / folder / "shop/policies.cedar").write_text("")
    assert "#partners-read is removed" in on_mesh("apply", **kafka).err
    assert set(mesh.registry.policies.applied().texts("shop").values()) == {""}
