"""A product.yaml in an editor with npm's yaml-language-server: problems, completion and hover from the shipped JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshport.address import Address
from meshport.product import Archetype
from meshport.project.project import Project
from meshport.project.scaffold import Draft, init_project, template_schema, write_product
from tests.interop.language_server import Editor, editor
from tests.interop.packages import installed

ORDERS = Address("shop", "orders")
REVENUE = """
process:
  engine: batch
  steps:
    - aggregate:
        by: [customer]
        values: {revenue: total(cents)}
        emit: close
  lateness: 5 minutes
  lag: 1h
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a product as `meshport new` writes it."""
    folder = tmp_path_factory.mktemp("mesh")
    init_project(folder)
    schema = template_schema(ORDERS)
    draft = Draft(ORDERS, Archetype.SOURCE_ALIGNED, "shop", "Orders.", schema, key=("id",), time="happened_at")
    write_product(Project.find(folder), draft)
    return folder / "producers/shop/orders/product.yaml"


@pytest.fixture(scope="module")
def opened(tool: Callable[[str], str], project: Path) -> Iterator[Editor]:
    """An editor that has the product open."""
    with editor(tool("node"), installed(tool("npm"), "node"), project.parents[3]) as found:
        yield found.open(project)


def test_a_new_product_has_no_problems(opened: Editor, project: Path) -> None:
    """The first line of a new product.yaml leads the server to the schema, which accepts the file."""
    first, *_ = project.read_text(encoding="utf-8").splitlines()
    assert first == "# yaml-language-server: $schema=../../../schemas/product.schema.json"
    assert opened.problems(project) == []


def test_mistakes_are_marked(opened: Editor, project: Path) -> None:
    """An unknown key, a wrong word, an aggregation and a length of time that are none are marked in their lines."""
    text = project.read_text(encoding="utf-8").replace("source-aligned", "agregate") + REVENUE
    file = project.with_name("wrong.yaml")
    at = len(text.splitlines()) - len(REVENUE.splitlines())
    problems = opened.open(file, text).problems(file)
    assert {int(each.partition(":")[0]) - at for each in problems} == {4 - at, 7, 9, 10}, problems
    said = "\n".join(problems)
    for each in ("Property lag is not allowed", "use one of count(), sum(field)", "a number and one of ms, s, m, h, d"):
        assert each in said


def test_keys_and_words_are_offered(opened: Editor, project: Path) -> None:
    """The keys of a port, of a process and of a step are offered, and the words that a key takes."""
    file = project.with_name("begun.yaml")
    lines = project.read_text(encoding="utf-8").splitlines()
    text = [*lines, "process:", "  steps:", "    - aggregate:", "        emit: ", "  l", "status: "]
    opened.open(file, "\n".join(text))
    at = len(lines)
    assert {"update", "batch", "close"} <= opened.completion(file, at + 4, 15)
    assert {"lateness"} <= opened.completion(file, at + 5, 4)
    assert {"draft", "active", "deprecated", "retired"} <= opened.completion(file, at + 6, 9)


def test_keys_are_explained(opened: Editor, project: Path) -> None:
    """Hovering over a key shows what it means."""
    lines = project.read_text(encoding="utf-8").splitlines()
    for key, said in {
        "archetype": "determines the default compatibility",
        "owner": "the team that answers for the product",
        "key": "the field whose value is the record key",
    }.items():
        line = next(at for at, each in enumerate(lines, 1) if each.strip(" -").startswith(f"{key}:"))
        assert said in opened.hover(project, line, lines[line - 1].index(key) + 2)
