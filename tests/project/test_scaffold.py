"""New projects and products."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from meshport.address import Address
from meshport.errors import DescriptorError, ProjectError
from meshport.product import AggregateStep, Aggregation, Archetype, DeclaredWindow, Processing, Step
from meshport.project.project import FOLDERS, Project
from meshport.project.scaffold import Draft, init_project, template_schema, write_product

DEPARTURES = Address("operations", "departures")


def draft(address: Address = DEPARTURES) -> Draft:
    """A source-aligned product of which nothing is known yet."""
    return Draft(
        address=address,
        archetype=Archetype.SOURCE_ALIGNED,
        owner="ops",
        description="Departures.",
        schema=template_schema(address),
        key=("id",),
        time="happened_at",
    )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """An empty project."""
    init_project(tmp_path)
    return Project.find(tmp_path)


def test_init_makes_a_project_that_is_found(tmp_path: Path) -> None:
    """The folders that are made are a project, from within each of them too; a second time makes nothing."""
    made = init_project(tmp_path)
    assert {each.name for each in made} == {*FOLDERS, "common", ".gitignore", "README.md", "product.schema.json"}
    assert Project.find(tmp_path / "schemas" / "common").root == tmp_path
    assert Project.find(tmp_path).products == ()
    assert init_project(tmp_path) == []


def test_init_leaves_what_is_there(tmp_path: Path) -> None:
    """A file that is there already stays as it is."""
    (tmp_path / ".gitignore").write_text("mine\n", encoding="utf-8")
    (tmp_path / "schemas").mkdir()
    made = init_project(tmp_path)
    assert (tmp_path / ".gitignore").read_text(encoding="utf-8") == "mine\n"
    assert tmp_path / "schemas" not in made


def test_init_inside_of_a_project_is_refused(project: Project) -> None:
    """A project within a project would hide its products; the error names the one around."""
    inner = project.root / "producers" / "inner"
    with pytest.raises(ProjectError, match="stands in the project") as refused:
        init_project(inner)
    assert str(project.root) in refused.value.message
    assert "meshport new" in str(refused.value.hint)
    assert not inner.exists()


def test_init_where_a_file_is_in_the_way_is_refused(tmp_path: Path) -> None:
    """A file of a folder's name is named, not run into."""
    (tmp_path / "schemas").write_text("", encoding="utf-8")
    with pytest.raises(ProjectError, match="schemas"):
        init_project(tmp_path)
    with pytest.raises(ProjectError, match="schemas"):
        init_project(tmp_path / "schemas")


def test_a_new_product_loads_back(project: Project) -> None:
    """The descriptor and contract that are written load as the product that was drafted, in the folder of its address."""
    files = write_product(project, draft())
    assert [each.relative_to(project.root).as_posix() for each in files] == [
        "producers/operations/departures/product.yaml",
        "schemas/operations/departures.events.avsc",
    ]
    one = Project.find(project.root).product(DEPARTURES)
    assert (one.product.address, one.product.owner, one.product.archetype) == (DEPARTURES, "ops", "source-aligned")
    assert one.product.default_port.key_fields == ("id",)
    assert one.schema(one.product.default_port) == template_schema(DEPARTURES)


def test_a_new_derived_product_loads_back(project: Project) -> None:
    """A process is written as a person would write it, and loads as the same."""
    write_product(project, draft())
    delays = Address("network", "delays")
    steps = (
        Step(
            aggregate=AggregateStep(
                by=("id",), window=DeclaredWindow(tumbling=timedelta(hours=1)), values={"n": Aggregation("count")}
            )
        ),
    )
    processing = Processing(steps=steps)
    derived = Draft(
        address=delays,
        archetype=Archetype.AGGREGATE,
        owner="net",
        description="Delays.",
        schema=template_schema(delays),
        key=("id",),
        compacted=True,
        inputs={DEPARTURES: ("id", "happened_at")},
        processing=processing,
    )
    (descriptor, _) = write_product(project, derived)
    one = Project.find(project.root).product(delays)
    assert one.product.process == processing
    assert one.product.input_ports[0].fields == ("id", "happened_at")
    assert "tumbling: 1h" in descriptor.read_text(encoding="utf-8")
    assert one.product.default_port.cleanup == "compact"
    assert [each.product.address for each in Project.find(project.root).products] == [DEPARTURES, delays]


@pytest.mark.parametrize(
    "kept", ["producers/operations/departures/product.yaml", "schemas/operations/departures.events.avsc"]
)
def test_nothing_is_overwritten(project: Project, kept: str) -> None:
    """Where one of the two files is there, neither is written."""
    file = project.root / kept
    file.parent.mkdir(parents=True)
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(ProjectError, match="exists already") as refused:
        write_product(project, draft())
    assert str(file) in refused.value.message
    assert [each.read_text(encoding="utf-8") for each in project.root.glob("*/operations/**/*") if each.is_file()] == [
        "mine"
    ]


@pytest.mark.parametrize(
    ("address", "archetype", "told"),
    [
        (Address("a", "b", "c"), Archetype.SOURCE_ALIGNED, "names a port"),
        (Address("a", "b"), Archetype.AGGREGATE, "built from others"),
    ],
)
def test_a_draft_that_makes_no_product_is_refused(
    project: Project, address: Address, archetype: Archetype, told: str
) -> None:
    """What no descriptor may say is refused before a file is written."""
    wrong = Draft(address=address, archetype=archetype, owner="o", description="d", schema=template_schema(address))
    with pytest.raises(DescriptorError, match=told):
        write_product(project, wrong)
    assert list(project.root.glob("**/product.yaml")) == []
