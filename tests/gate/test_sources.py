"""Sources of the past that need no registry: git, another checkout, a schema."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from meshport.compat.finding import Outcome
from meshport.errors import DescriptorError, ProjectError, SchemaError
from meshport.gate.sources import parse_against
from meshport.gate.touched import port_count
from tests.gate.dockets import (
    COUNTRY,
    TODAY,
    _own_configuration,
    fields,
    history,
    keys,
    mesh,
    only,
)
from tests.gate.repositories import Mesh, git, no_registry, record

__all__ = ["_own_configuration", "mesh"]  # pytest finds fixtures by their names here


# --- which contracts are looked at


def test_nothing_changed_is_nothing_to_judge(mesh: Mesh) -> None:
    """A clean work tree has no case, and its contracts are counted."""
    found = mesh.docket()
    assert (found.cases, found.unchanged, found.notes) == ((), 3, ())


def test_an_uncommitted_change_is_the_candidate(mesh: Mesh) -> None:
    """An uncommitted change is compared with main; unchanged products are not judged."""
    mesh.schema("shop/orders.events", record("Order", "cents", "note"))
    found = mesh.docket()
    case = only(found)
    assert case.past is not None
    assert case.after is not None
    assert (fields(case.past.contract.schema), fields(case.after.schema)) == (("cents",), ("cents", "note"))
    assert (found.unchanged, mesh.against().describe()[:10]) == (2, "git main (")
    assert case.verdict(TODAY).outcome is Outcome.COMPATIBLE


def test_a_committed_change_is_one_too(mesh: Mesh) -> None:
    """A branch's commits are compared with main, whatever its last commit changed."""
    git(mesh.top, "checkout", "-q", "-b", "feature")
    mesh.product("shop/orders", more="contact: x@example.com\n")
    mesh.commit()
    mesh.schema("shop/customers.events", record("Customer", "name"))
    mesh.commit()
    assert keys(mesh.docket()) == ["shop/customers/events@1", "shop/orders/events@1"]


def test_an_untracked_product_is_new(mesh: Mesh) -> None:
    """A product that is not on main has no past, and its readers in the project are known."""
    mesh.product("shop/returns", record("Return"))
    mesh.product("shop/refunds", record("Refund"), reads={"shop/returns": ["id"]})
    fresh = {case.address.key: case for case in mesh.docket().cases}
    assert {key: case.past for key, case in fresh.items()} == {
        "shop/refunds/events@1": None,
        "shop/returns/events@1": None,
    }
    assert [str(each.address) for each in fresh["shop/returns/events@1"].readers] == ["mesh://shop/refunds"]
    assert fresh["shop/returns/events@1"].verdict(TODAY).outcome is Outcome.NEW


def test_a_product_that_git_ignores_is_in_the_project_all_the_same(mesh: Mesh) -> None:
    """The work tree decides which products a project has, not .gitignore."""
    (mesh.root / ".gitignore").write_text("producers/shop/secret\n")
    mesh.commit()
    mesh.product("shop/secret", record("Secret"))
    assert keys(mesh.docket()) == ["shop/secret/events@1"]


def test_a_removed_product_is_judged(mesh: Mesh) -> None:
    """A product without a descriptor has no candidate, and still has its readers."""
    shutil.rmtree(mesh.root / "producers/shop/orders")
    case = only(mesh.docket())
    assert case.past is not None
    assert (case.after, case.product) == (None, None)
    assert [str(each.address) for each in case.past.readers] == ["mesh://shop/revenue"]
    assert case.verdict(TODAY).outcome is Outcome.BREAKING


def test_a_removed_port_is_judged(mesh: Mesh) -> None:
    """A dropped port has no candidate, while its product has one."""
    mesh.product("shop/orders", ports="- name: events\n  - name: extra")
    mesh.schema("shop/orders.extra", record("Extra"))
    mesh.commit()
    mesh.product("shop/orders")
    cases = {case.address.key: case for case in mesh.docket().cases}
    gone = cases["shop/orders/extra@1"]
    assert gone.after is None
    assert gone.product is not None
    assert cases["shop/orders/events@1"].after is not None


def test_a_product_that_moves_keeps_its_address_and_past(mesh: Mesh) -> None:
    """A product that becomes an aggregate moves its folder, and its contract is still compared with the old one."""
    shutil.rmtree(mesh.root / "producers/shop/customers")
    mesh.product("shop/customers", reads={"shop/orders": ["id"]})
    case = only(mesh.docket())
    assert case.past is not None
    assert case.past.contract.product.archetype == "source-aligned"
    assert case.product is not None
    assert case.product.archetype == "aggregate"


def test_a_schema_named_by_the_descriptor_is_followed(mesh: Mesh) -> None:
    """A contract in a file that the descriptor names is found to have changed by the file's name, on both sides."""
    elsewhere = mesh.root / "contracts/the order.avsc"
    elsewhere.parent.mkdir()
    elsewhere.write_text(json.dumps(record("Order", "cents")))
    mesh.product("shop/orders", ports='- name: events\n    schema: "contracts/the order.avsc"')
    mesh.commit()
    elsewhere.write_text(json.dumps(record("Order", "cents", "more")))
    assert history(only(mesh.docket())) == [(1, ("cents",))]


def test_a_schema_outside_of_the_project_is_always_looked_at(tmp_path: Path) -> None:
    """A contract outside the project is always compared, since the project's changes cannot list its file."""
    mesh = Mesh.make(tmp_path / "mesh", "inner")
    shared = mesh.top / "shared.avsc"
    shared.write_text(json.dumps(record("Order", "cents")))
    mesh.product("shop/orders", ports="- name: events\n    schema: ../shared.avsc")
    mesh.product("shop/customers", record("Customer"))
    mesh.commit()
    shared.write_text(json.dumps(record("Order", "cents", "more")))
    assert history(only(mesh.docket())) == [(1, ("cents",))]


def test_a_common_type_affects_the_schemas_that_refer_to_it(mesh: Mesh) -> None:
    """A common type affects schemas that refer to it by full name, short name, polyseme or another common type, and no others."""
    mesh.schema("common/country", COUNTRY)
    mesh.schema("common/place", {**record("Place", {"name": "in", "type": "Country"}, namespace="common")})
    mesh.schema("common/customer_id", {"type": "string", "polyseme": "customer_id"})
    uses: dict[str, Any] = {
        "full": record("A", {"name": "c", "type": "common.Country"}),
        "short": record("B", {"name": "c", "type": ["null", "Country"]}, namespace="common"),
        "through": record("C", {"name": "p", "type": "common.Place"}),
        "poly": record("D", {"name": "c", "type": {"type": "string", "polyseme": "customer_id"}}),
        "none": record("E", "Countryside"),
    }
    for name, form in uses.items():
        mesh.product(f"use/{name}", form)
    mesh.commit()
    mesh.schema("common/country", {**COUNTRY, "symbols": ["ZZ", "DE", "FR"]})
    assert keys(mesh.docket()) == [f"use/{name}/events@1" for name in ("full", "short", "through")]
    mesh.schema("common/country", COUNTRY)
    mesh.schema("common/customer_id", {"type": "string", "polyseme": "customer_id", "doc": "One customer."})
    assert keys(mesh.docket()) == ["use/poly/events@1"]


def test_the_old_side_has_its_own_common_types(mesh: Mesh) -> None:
    """The past of a contract is parsed with the common types of its revision."""
    mesh.schema("common/country", COUNTRY)
    mesh.product("shop/orders", record("Order", {"name": "c", "type": "common.Country"}))
    mesh.commit()
    mesh.schema("common/country", {**COUNTRY, "symbols": ["ZZ", "DE", "FR"]})
    case = only(mesh.docket())
    assert case.past is not None
    assert case.after is not None
    assert "FR" in case.after.schema.text
    assert "FR" not in case.past.contract.schema.text


# --- which are asked for


def test_an_address_that_is_asked_for_is_judged_though_unchanged(mesh: Mesh) -> None:
    """A requested address gets a verdict even if it is unchanged, and no other address does."""
    mesh.schema("shop/customers.events", record("Customer", "name"))
    case = only(mesh.docket("shop/orders"))
    assert case.address.key == "shop/orders/events@1"
    assert case.verdict(TODAY).outcome is Outcome.UNCHANGED


def test_a_port_narrows_a_product(mesh: Mesh) -> None:
    """A port's address, with or without a major, excludes the product's other ports."""
    mesh.product("shop/orders", ports="- name: events\n  - name: events\n    major: 2\n  - name: extra")
    mesh.schema("shop/orders.events.v2", record("Order2"))
    mesh.schema("shop/orders.extra", record("Extra"))
    assert keys(mesh.docket("shop/orders/events")) == ["shop/orders/events@1", "shop/orders/events@2"]
    assert keys(mesh.docket("shop/orders/events@2")) == ["shop/orders/events@2"]


@pytest.mark.parametrize(
    ("address", "hint"),
    [("shop/order", "did you mean shop/orders"), ("shop/orders/event", "did you mean shop/orders/events@1")],
)
def test_an_address_that_neither_side_has_is_refused(mesh: Mesh, address: str, hint: str) -> None:
    """A misspelt address is an error that names both sides and the nearest address."""
    with pytest.raises(ProjectError, match=f"neither .*mesh nor git main .* has mesh://{address}") as refused:
        mesh.docket(address)
    assert hint in str(refused.value.hint)


# --- what cannot be read


def test_a_revision_that_cannot_be_read_is_no_pass(mesh: Mesh) -> None:
    """An old descriptor or schema that cannot be parsed stops the check with its file."""
    good = (mesh.root / "producers/shop/orders/product.yaml").read_text()
    mesh.product("shop/orders", more="colour: red\n")
    mesh.commit()
    (mesh.root / "producers/shop/orders/product.yaml").write_text(good)
    with pytest.raises(
        ProjectError, match=r"(?s)cannot be told.*main:producers/shop/orders/product\.yaml:\d+: unknown key"
    ):
        mesh.docket()
    mesh.commit()
    mesh.schema("shop/orders.events", "{}")
    mesh.commit()
    mesh.schema("shop/orders.events", record("Order", "cents"))
    with pytest.raises(ProjectError, match=r"main:schemas/shop/orders\.events\.avsc"):
        mesh.docket()


def test_candidates_that_are_wrong_are_all_named(mesh: Mesh) -> None:
    """Candidates that are wrong in themselves are errors of the input, and one run reports all of them."""
    mesh.schema("shop/orders.events", "{")
    with pytest.raises(SchemaError, match=r"orders\.events\.avsc is no JSON"):
        mesh.docket()
    mesh.product("shop/customers", more="colour: red\n")
    with pytest.raises(ProjectError, match="2 products cannot be read") as refused:
        mesh.docket()
    assert "unknown key 'colour'" in str(refused.value)
    mesh.schema("shop/orders.events", record("Order", "cents"))
    with pytest.raises(DescriptorError, match="unknown key"):
        mesh.docket()


def test_a_schema_that_a_rule_refuses_gets_a_verdict(mesh: Mesh) -> None:
    """A decoding bomb is a finding with its rule, and the other contracts are still judged."""
    bomb: Any = {"type": "record", "name": "R0", "fields": []}
    for number in range(1, 41):
        twice = [{"name": "a", "type": bomb}, {"name": "b", "type": f"R{number - 1}"}]
        bomb = {"type": "record", "name": f"R{number}", "fields": twice}
    mesh.schema("shop/orders.events", bomb)
    mesh.schema("shop/customers.events", record("Customer", "name"))
    verdicts = {case.address.key: case.verdict(TODAY) for case in mesh.docket().cases}
    assert [each.rule for each in verdicts["shop/orders/events@1"].findings] == ["DECODING_BOMB"]
    assert verdicts["shop/customers/events@1"].passes


# --- readers


def test_readers_are_those_of_before_and_of_now(mesh: Mesh) -> None:
    """The readers of the revision and of the work tree both count: the first are deployed, the second will be."""
    mesh.product("shop/revenue", reads={"shop/customers": ["id"]})
    mesh.product("shop/alerts", record("Alert"), reads={"shop/orders": ["id"]})
    mesh.product("shop/retired", record("Old"), reads={"shop/orders": ["id"]}, more="status: retired\n")
    mesh.product("shop/other", record("Other"), reads={"shop/orders/elsewhere": [], "shop/orders/events@2": []})
    case = only(mesh.docket("shop/orders"))
    assert case.past is not None
    assert [(str(each.address), str(each.reads), each.fields) for each in case.past.readers] == [
        ("mesh://shop/alerts", "mesh://shop/orders/events", ("id",)),
        ("mesh://shop/revenue", "mesh://shop/orders/events@1", ("cents",)),
    ]


def test_a_reader_that_changes_what_it_reads_reads_both(mesh: Mesh) -> None:
    """A reader whose declared fields change reads those of both states; one that reads all still reads all."""
    mesh.product("shop/revenue", reads={"shop/orders/events@1": ["id"]})
    case = only(mesh.docket("shop/orders"))
    assert case.past is not None
    assert case.past.readers[0].fields == ("cents", "id")
    mesh.product("shop/revenue", reads={"shop/orders/events@1": []})
    case = only(mesh.docket("shop/orders"))
    assert case.past is not None
    assert case.past.readers[0].fields == ()


def test_no_python_of_a_product_is_run(mesh: Mesh) -> None:
    """The Python of a product is never loaded, on either side."""
    trap = mesh.root / "producers/shop/orders/source.py"
    trap.write_text("raise SystemExit('was run')")
    mesh.product("shop/orders", more="source: source.py:run\n")
    mesh.commit()
    mesh.schema("shop/orders.events", record("Order", "cents", "a"))
    assert keys(mesh.docket()) == ["shop/orders/events@1"]


# --- files


def test_another_checkout_is_compared_with(mesh: Mesh, tmp_path: Path) -> None:
    """Another checkout of the project is compared by the content of its files."""
    other = tmp_path / "other"
    shutil.copytree(mesh.root, other)
    assert mesh.docket(against=str(other)).unchanged == 3
    mesh.schema("shop/orders.events", record("Order", "cents", "a"))
    shutil.rmtree(mesh.root / "producers/shop/customers")
    found = mesh.docket(against=str(other))
    assert keys(found) == ["shop/customers/events@1", "shop/orders/events@1"]
    assert history(found.cases[1]) == [(1, ("cents",))]
    assert "has no history" in found.notes[0]


def test_a_product_yaml_stands_for_its_product(mesh: Mesh, tmp_path: Path) -> None:
    """The product.yaml of another checkout compares that product, changed or not."""
    other = tmp_path / "other"
    shutil.copytree(mesh.root, other)
    mesh.schema("shop/customers.events", record("Customer", "name"))
    assert keys(mesh.docket(against=str(other / "producers/shop/orders/product.yaml"))) == ["shop/orders/events@1"]


def test_a_schema_needs_the_address_that_it_belongs_to(mesh: Mesh, tmp_path: Path) -> None:
    """A schema file needs the address of one port; the contract around it counts as unchanged, which a note says."""
    file = tmp_path / "old.avsc"
    file.write_text(json.dumps(record("Order", "cents", "old")))
    with pytest.raises(ProjectError, match="does not say whose it is"):
        mesh.docket(against=str(file))
    with pytest.raises(ProjectError, match="2 addresses"):
        mesh.docket("shop/orders", "shop/customers", against=str(file))
    found = mesh.docket("shop/orders", against=str(file))
    case = only(found)
    assert history(case) == [(1, ("cents", "old"))]
    assert case.past is not None
    assert [str(each.address) for each in case.past.readers] == ["mesh://shop/revenue"]
    assert "nothing of what is promised around it" in found.notes[0]
    mesh.product("shop/orders", ports="- name: events\n  - name: extra")
    mesh.schema("shop/orders.extra", record("Extra"))
    with pytest.raises(ProjectError, match="has several") as refused:
        mesh.docket("shop/orders", against=str(file))
    assert "shop/orders/extra@1" in str(refused.value.hint)


@pytest.mark.parametrize("name", ["notes.json", "notes.yaml"])
def test_a_file_of_another_kind_is_refused(mesh: Mesh, tmp_path: Path, name: str) -> None:
    """A file that contains no past is an error that names the files that do."""
    (tmp_path / name).write_text("{}")
    with pytest.raises(ProjectError, match=f"{name} is no(thing to compare with| past of a product)"):
        mesh.docket(against=str(tmp_path / name))
    with pytest.raises(ProjectError, match="is no mesh project"):
        mesh.docket(against=str(tmp_path / "mesh/schemas/../producers"))


def test_what_is_neither_file_nor_revision_names_both(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt branch or file is reported as neither; a branch with the name of a folder is a branch."""
    monkeypatch.chdir(mesh.root)
    for text in ("mian", "./nowhere.avsc", "gone/product.yaml"):
        with pytest.raises(ProjectError, match="is neither a file nor a revision"):
            mesh.against(text)
    git(mesh.top, "branch", "producers")
    assert mesh.against("producers").describe().startswith("git producers (")
    with pytest.raises(ProjectError, match="'-x' is no git revision"):
        mesh.against("-x")


# --- counting


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("outputPorts:\n- name: a\n- name: b\n  key: x\nowner: o\n", 2),
        (
            "outputPorts: # two\n\n  - name: a\n    key:\n      - x\n      - y\n  # no\n  -\n    name: b\nowner: o\n- z\n",
            2,
        ),
        ("outputPorts:\n  - {name: a}\nslaProperties:\n  - {property: p}\n  - {property: q}\n", 1),
        ("outputPorts: [{name: a}, {name: b},\n  {name: c}]\n", 3),
        ('"outputPorts":\n  - name: a\n', 1),
    ],
)
def test_ports_are_counted_without_yaml(text: str, count: int) -> None:
    """Contracts are counted by lines, and by YAML if the descriptor is in flow style."""
    assert port_count(text) == count


def test_a_comparison_with_git_is_offline(mesh: Mesh) -> None:
    """A comparison with git makes no request to a registry."""
    assert parse_against("HEAD", mesh.project, no_registry).describe().startswith("git HEAD (")
