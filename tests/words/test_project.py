"""A mesh project on disk: its products, their order, their contracts, and what is refused."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from meshport.address import Address
from meshport.errors import DescriptorError, ProjectError, SchemaError
from meshport.project.project import FOLDERS, Project

SCHEMA = '{"type": "record", "name": "R", "fields": [{"name": "id", "type": "string"}]}'


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return an empty project."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    return Project(tmp_path)


def write(
    project: Project, address: str, *, reads: str = "", port: str = "name: events", id_: str = "", folder: str = ""
) -> Path:
    """Write a product to disk and return the path of its descriptor."""
    kind = "processors" if reads else "producers"
    file = project.root / kind / (folder or address) / "product.yaml"
    file.parent.mkdir(parents=True)
    inputs = f"inputPorts: [{', '.join(f'{{address: {each}}}' for each in reads.split())}]\n" if reads else ""
    file.write_text(
        f"address: {address}\nid: {id_ or uuid4()}\narchetype: {'aggregate' if reads else 'source-aligned'}\n"
        f"description: d\nowner: o\n{inputs}outputPorts:\n  - {port}\n",
        encoding="utf-8",
    )
    contract = project.root / "schemas" / f"{address}.events.avsc"
    contract.parent.mkdir(exist_ok=True)
    contract.write_text(SCHEMA, encoding="utf-8")
    return file


def test_a_project_is_found_from_within(project: Project) -> None:
    """The project is the nearest parent with the three folders; without one the error names the command that makes it."""
    inside = project.root / "producers" / "a" / "b"
    inside.mkdir(parents=True)
    assert Project.find(inside) == project
    with pytest.raises(ProjectError, match="stands in no mesh project") as refused:
        Project.find(project.root.parent)
    assert "meshport init" in str(refused.value.hint)


def test_products_come_before_their_readers(project: Project) -> None:
    """Products are listed with sources first and each product before its readers, whatever their paths."""
    write(project, "z/source")
    write(project, "a/last", reads="b/middle z/source")
    write(project, "b/middle", reads="c/first")
    write(project, "c/first", reads="z/source elsewhere/product")
    assert [each.product.address.key for each in project.products] == ["z/source", "c/first", "b/middle", "a/last"]


def test_a_cycle_of_readers_is_still_a_list(project: Project) -> None:
    """Two products that read each other are both listed, in either order."""
    write(project, "a/one", reads="a/two")
    write(project, "a/two", reads="a/one")
    assert {each.product.address.key for each in project.products} == {"a/one", "a/two"}


def test_an_unknown_product_is_told_with_the_nearest(project: Project) -> None:
    """An unknown product is refused with the nearest one, or with all products."""
    with pytest.raises(ProjectError, match="has no product mesh://a/plays") as refused:
        project.product(Address("a", "plays"))
    assert "meshport new" in str(refused.value.hint)
    write(project, "a/plays")
    again = Project(project.root)
    assert again.product(Address("a", "plays", "events", 1)).product.address == Address("a", "plays")
    with pytest.raises(ProjectError) as refused:
        again.product(Address("a", "play"))
    assert refused.value.hint == "did you mean a/plays?"


@pytest.mark.parametrize(("what", "second"), [("id", "a/two"), ("address", "a/one")])
def test_two_products_of_one_identity_are_refused(project: Project, what: str, second: str) -> None:
    """An address or id that occurs twice is refused with both files."""
    guid = str(uuid4())
    one = write(project, "a/one", id_=guid)
    two = write(project, second, id_=guid) if what == "id" else write(project, second, reads="b/c")
    with pytest.raises(ProjectError, match=f"the {what} .* is given to both") as refused:
        _ = project.products
    assert str(one) in refused.value.message
    assert str(two) in refused.value.message


def test_a_product_in_the_wrong_folder_is_refused_at_its_address(project: Project) -> None:
    """A descriptor whose path does not mirror its address is refused with the line of the address and the right path."""
    file = write(project, "a/one", folder="a/other")
    with pytest.raises(DescriptorError, match="does not belong in") as refused:
        _ = project.products
    assert (refused.value.file, refused.value.line, refused.value.hint) == (str(file), 1, "move it to .../a/one/")


@pytest.mark.parametrize(
    ("port", "what", "line"),
    [
        ("key: ids", "the key field 'ids' is not in R", 7),
        ("name: events\n    time: at", "the time field 'at' is not in R", 8),
    ],
)
def test_a_port_names_fields_that_its_contract_has(project: Project, port: str, what: str, line: int) -> None:
    """A key or time that is no field of the contract is refused at its line, with the fields of the contract."""
    file = write(project, "a/one", port=port)
    with pytest.raises(DescriptorError, match=what) as refused:
        _ = project.products
    assert (refused.value.file, refused.value.line) == (str(file), line)
    assert "id" in str(refused.value.hint)


def test_a_contract_that_is_missing_is_named(project: Project) -> None:
    """A port whose contract has no file is refused with the path at which it belongs."""
    write(project, "a/one")
    contract = project.root / "schemas" / "a" / "one.events.avsc"
    contract.unlink()
    with pytest.raises(SchemaError, match=r"one\.events\.avsc"):
        _ = project.products


def test_all_products_that_cannot_be_read_are_named(project: Project) -> None:
    """The error of one broken product is raised as it is; several are reported together."""
    for name in ("a/one", "a/two"):
        file = write(project, name)
        file.write_text(file.read_text(encoding="utf-8") + "zzz: 1\n", encoding="utf-8")
    with pytest.raises(ProjectError, match="2 products cannot be read") as refused:
        _ = project.products
    assert refused.value.message.count("unknown key 'zzz'") == 2


def test_a_contracts_path_mirrors_the_address_and_major(project: Project) -> None:
    """Each later major has a file of its own, and a port may name another file."""
    write(project, "a/one", port="{name: events, major: 2, schema: schemas/shared.avsc}\n  - {name: events}")
    (project.root / "schemas" / "shared.avsc").write_text(SCHEMA, encoding="utf-8")
    one = project.product(Address("a", "one"))
    assert set(one.schemas) == {("events", 1), ("events", 2)}
    product = one.product.model_copy(
        update={"output_ports": (one.product.output_ports[0].model_copy(update={"schema_file": None}),)}
    )
    assert project.schema_file(product, product.default_port).name == "one.events.v2.avsc"
