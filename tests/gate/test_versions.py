"""The versions of a comparison with git: a contract's states in the first-parent history."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshport.errors import ProjectError
from meshport.gate import timeline
from tests.gate.dockets import (
    COUNTRY,
    _own_configuration,
    history,
    mesh,
    only,
)
from tests.gate.repositories import Mesh, git, record

__all__ = ["_own_configuration", "mesh"]  # pytest finds fixtures by their names here


def test_every_state_of_the_first_parent_history_is_a_version(mesh: Mesh) -> None:
    """Versions are numbered from the oldest; a commit that does not change the schema's meaning makes none."""
    mesh.schema("shop/orders.events", record("Order", "cents", "a"))
    mesh.commit()
    mesh.schema("shop/orders.events", json.dumps(record("Order", "cents", "a")))  # other white space
    mesh.commit()
    mesh.product("shop/orders", more="contact: x@example.com\n")
    mesh.commit()
    mesh.schema("shop/orders.events", record("Order", "cents", "a", "b"))
    mesh.commit()
    mesh.schema("shop/orders.events", record("Order", "cents"))
    mesh.commit()
    mesh.schema("shop/orders.events", record("Order", "cents", "x"))
    assert history(only(mesh.docket())) == [
        (1, ("cents",)),
        (2, ("cents", "a")),
        (3, ("cents", "a", "b")),
        (4, ("cents",)),
    ]


def test_what_a_branch_went_through_is_no_version(mesh: Mesh) -> None:
    """Only states of main count, since no other state was ever registered."""
    git(mesh.top, "checkout", "-q", "-b", "side")
    for name in ("a", "b"):
        mesh.schema("shop/orders.events", record("Order", "cents", name))
        mesh.commit()
    git(mesh.top, "checkout", "-q", "main")
    git(mesh.top, "merge", "-q", "--no-ff", "-m", "merge", "side")
    assert history(only(mesh.docket("shop/orders"))) == [(1, ("cents",)), (2, ("cents", "b"))]


def test_a_common_type_makes_versions_of_its_users(mesh: Mesh) -> None:
    """A change of a common type makes a version of each contract that refers to it."""
    mesh.schema("common/country", COUNTRY)
    mesh.product("shop/orders", record("Order", {"name": "c", "type": "common.Country"}))
    mesh.commit()
    mesh.schema("common/country", {**COUNTRY, "symbols": ["ZZ", "DE", "FR"]})
    mesh.commit()
    case = only(mesh.docket("shop/orders"))
    assert case.past is not None
    assert [("FR" in each.schema.text, each.number) for each in case.past.versions] == [
        (False, 1),
        (False, 2),
        (True, 3),
    ]
    assert len(history(only(mesh.docket("shop/customers")))) == 1


def test_a_contract_s_file_is_followed_where_it_moved(mesh: Mesh) -> None:
    """The descriptor of each commit names the file of the schema at that commit."""
    mesh.product("shop/orders", ports="- name: events\n    schema: ./elsewhere/order.avsc")
    (mesh.root / "elsewhere").mkdir()
    (mesh.root / "elsewhere/order.avsc").write_text(json.dumps(record("Order", "cents", "a")))
    mesh.commit()
    (mesh.root / "elsewhere/order.avsc").write_text(json.dumps(record("Order", "cents", "a", "b")))
    mesh.commit()
    mesh.product("shop/orders", record("Order", "cents", "a", "b", "c"))
    mesh.commit()
    assert [names for _, names in history(only(mesh.docket("shop/orders")))] == [
        ("cents",),
        ("cents", "a"),
        ("cents", "a", "b"),
        ("cents", "a", "b", "c"),
    ]


def test_a_schema_before_its_port_is_no_version(mesh: Mesh) -> None:
    """A schema file that no descriptor declared yet is no version."""
    mesh.schema("shop/returns.events", record("Draft"))
    mesh.commit()
    mesh.product("shop/returns", record("Return"))
    mesh.commit()
    assert len(history(only(mesh.docket("shop/returns")))) == 1


def test_a_version_that_cannot_be_parsed_is_noted(mesh: Mesh) -> None:
    """An old state that today's rules refuse is left out with a note, and keeps its number."""
    mesh.schema("shop/orders.events", '{"type": "record"}')
    broken = mesh.commit()
    mesh.schema("shop/orders.events", record("Order", "cents", "b"))
    after = mesh.commit()
    found = mesh.docket("shop/orders")
    assert history(only(found)) == [(1, ("cents",)), (3, ("cents", "b"))]
    (note,) = found.notes
    assert f"the version before {after[:7]} cannot be read any more and was not compared" in note
    assert broken[:7] not in note


def test_a_long_history_is_bounded_with_a_note(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound, the newest versions are compared, and a note says so."""
    monkeypatch.setattr(timeline, "MAX_VERSIONS", 20)
    for number in range(23):
        mesh.schema("shop/orders.events", record("Order", f"f{number}"))
        git(mesh.top, "commit", "-q", "-am", str(number))
    found = mesh.docket("shop/orders")
    versions = history(only(found))
    assert (len(versions), versions[-1]) == (20, (20, ("f22",)))
    assert found.notes == ("shop/orders/events@1: it has more than 20 versions; older ones were not compared",)


def test_a_shallow_clone_is_noted(mesh: Mesh, tmp_path: Path) -> None:
    """In a clone of the last commit only, a note says that older versions were not compared."""
    mesh.schema("shop/orders.events", record("Order", "cents", "a"))
    mesh.commit()
    git(tmp_path, "clone", "-q", "--depth", "1", mesh.top.as_uri(), "cut")
    cut = Mesh(tmp_path / "cut", tmp_path / "cut")
    found = cut.docket("shop/orders", against="HEAD")
    assert history(only(found)) == [(1, ("cents", "a"))]
    assert "the end of a shallow clone; older versions were not compared" in found.notes[0]
    with pytest.raises(ProjectError, match="neither a file nor a revision") as refused:
        cut.docket(against="origin/release")
    assert "`git fetch origin release`" in str(refused.value.hint)
    assert "fetch-depth: 0" in str(refused.value.hint)


def test_a_work_tree_that_lacks_commits_is_noted(mesh: Mesh) -> None:
    """A branch that lacks main's newer commits seems to remove their contracts; a note says why, and what to do."""
    git(mesh.top, "branch", "feature")
    mesh.schema("shop/orders.events", record("Order", "cents", "theirs"))
    mesh.commit()
    git(mesh.top, "checkout", "-q", "feature")
    found = mesh.docket()
    assert history(only(found))[-1] == (2, ("cents", "theirs"))
    assert "main has commits that this work tree lacks" in found.notes[0]


def test_many_contracts_have_their_own_histories(tmp_path: Path) -> None:
    """Beyond git's limit of paths, whole folders are given; a folder with a similar name is not among them."""
    mesh = Mesh.make(tmp_path / "top", "mesh")
    beside = Mesh(tmp_path / "top/mesh2", tmp_path / "top")
    for step in range(2):
        for number in range(60):
            if step == 0 or number % 2:
                mesh.product(f"shop/p{number}", record(f"P{number}", f"f{step}"))
                beside.product(f"shop/p{number}", record(f"P{number}", "other"))
        mesh.commit()
    for number in range(60):
        mesh.schema(f"shop/p{number}.events", record(f"P{number}", "new"))
    found = {case.address.product: history(case) for case in mesh.docket().cases}
    one, two = (1, ("f0",)), (2, ("f1",))
    assert found == {f"p{number}": [one, two] if number % 2 else [one] for number in range(60)}


def test_a_submodule_is_noted(mesh: Mesh, tmp_path: Path) -> None:
    """Products of a submodule are not in this repository's revisions: they are new, and a note says why."""
    inner = Mesh.make(tmp_path / "inner")
    inner.product("far/away", record("Far"))
    inner.commit()
    git(mesh.top, "submodule", "add", "-q", inner.top.as_uri(), "producers/far")
    git(mesh.top, "commit", "-qm", "submodule")
    nested = mesh.root / "producers/far/away/product.yaml"
    nested.parent.mkdir()
    nested.write_text((inner.root / "producers/far/away/product.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    mesh.schema("far/away.events", record("Far"))
    found = mesh.docket("far/away")
    assert only(found).past is None
    assert found.notes == ("producers/far is a submodule, of which main holds no files: judge it there",)
