"""The file and line of a finding, in files as people write them."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from meshport.address import Address
from meshport.compat.finding import Direction, Finding, Outcome, Part, Verdict
from meshport.compat.forms import locate
from meshport.gate.lines import FindingLines, schema_line
from meshport.product import Compatibility
from meshport.project.project import Project
from meshport.schema import load_schema
from tests.gate.repositories import Mesh

SCHEMA = """{
\t"type": "record", "name": "Order",
\t"namespace": "shop", "doc": "caf\\u00e9 \\ud83d\\ude00",
\t"fields": [
\t\t{"name":"id","type":"string"},
\t\t{
\t\t\t"doc": "Wrapped twice.",
\t\t\t"name": "cents",
\t\t\t"type": {"type": {"type": "long"}}
\t\t},
\t\t{"name": "lines", "type": {"type": "array", "items": {"type": {
\t\t\t"type": "record", "name": "Line", "fields": [
\t\t\t\t{"name": "sku", "type": "string"},
\t\t\t\t{"name": "more", "type": ["null",
\t\t\t\t\t"Line",
\t\t\t\t\t{"type": "enum", "name": "Kind",
\t\t\t\t\t "symbols": ["A"]}
\t\t\t\t]}
\t\t\t]
\t\t}}}},
\t\t{"name": "first", "type": "shop.Line"},
\t\t{"name": "where", "type": ["null", "common.Place"]}
\t]
}
"""
PLACE = {"type": "record", "name": "Place", "namespace": "common", "fields": [{"name": "city", "type": "string"}]}
LINES = {
    "": 1,
    "id": 5,
    "cents": 8,
    "lines": 11,
    "lines.sku": 13,
    "lines.more": 14,
    "lines.more.sku": 13,
    "first.sku": 13,
    "where": 22,
    "where.city": 22,
    "gone": 1,
    "lines.gone": 11,
}


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    """A project in a folder of a repository, with one product."""
    made = Mesh.make(tmp_path / "repo", "me sh")
    made.schema("common/place", PLACE)
    ports = "- name: extra\n  - name: events\n    retention: 1d\n    config:\n      flush.ms: 9"
    made.product("shop/orders", SCHEMA, ports=ports)
    made.schema("shop/orders.extra", SCHEMA)
    return made


def placed(
    project: Project, *findings: Finding, address: str = "shop/orders/events@1"
) -> list[tuple[str | None, int | None]]:
    """Return file and line of each finding."""
    verdict = Verdict(
        address=Address.parse(address),
        outcome=Outcome.BREAKING,
        level=Compatibility.FULL,
        findings=findings,
        judged_on=date(2026, 1, 1),
    )
    return [(each.file, each.line) for each in FindingLines(project).of(verdict).findings]


def finding(path: str, pointer: str = "", part: Part = Part.SCHEMA) -> Finding:
    """Return a finding as the judge makes it."""
    return Finding(rule="R", directions=(Direction.BACKWARD,), part=part, path=path, pointer=pointer, message="m")


@pytest.mark.parametrize(("path", "line"), LINES.items())
def test_a_field_is_found_in_the_author_s_file(mesh: Mesh, path: str, line: int) -> None:
    """Tabs, wrapped types, references by name, escapes: the pointer into the canonical form finds the author's line."""
    file = mesh.root / "schemas/shop/orders.events.avsc"
    pointer, _ = locate(load_schema(file, common=mesh.project.common).form, path)
    assert placed(mesh.project, finding(path, pointer)) == [("me sh/schemas/shop/orders.events.avsc", line)]


@pytest.mark.parametrize(
    ("pointer", "line"),
    [
        ("/fields/2/type/items/fields/1/type/2/symbols", 17),
        ("/fields/2/type/items/fields/1/type/1", 15),
        ("/fields/1/type", 9),
        ("/doc", 3),
        ("/fields/99", 4),
        ("/fields/x", 4),
        ("/a~1b/c~0d", 1),
        ("/fields/4/type/1/fields/0/type", 22),
    ],
)
def test_any_pointer_leads_somewhere(mesh: Mesh, pointer: str, line: int) -> None:
    """A pointer to a missing element leads to the nearest enclosing one."""
    assert placed(mesh.project, finding("x", pointer)) == [("me sh/schemas/shop/orders.events.avsc", line)]


def test_names_that_lead_to_themselves_end() -> None:
    """A recursive record is followed as far as the pointer goes, and no further."""
    form: dict[str, Any] = {"type": "record", "name": "R", "fields": [{"name": "next", "type": ["null", "R"]}]}
    pointer, _ = locate(form, ".".join(["next"] * 200))
    assert pointer.count("/") > 3
    text = json.dumps(form, indent=1)
    assert schema_line(text, pointer) == text[: text.index('"next"')].count("\n") + 1


def test_the_descriptor_has_lines_too(mesh: Mesh) -> None:
    """A key of a port or a product leads to its line in product.yaml, a missing key to the enclosing one."""
    file = mesh.root / "producers/shop/orders/product.yaml"
    file.write_text(file.read_text() + "slaProperties:\n  - {property: a, value: 1}\n  - {property: b, value: 1}\n")
    lines = file.read_text().splitlines()
    name = "me sh/producers/shop/orders/product.yaml"

    def at(start: str) -> tuple[str, int]:
        return name, next(number for number, line in enumerate(lines, 1) if line.strip().startswith(start))

    assert placed(
        mesh.project,
        finding("retention", part=Part.PORT),
        finding("cleanup", part=Part.PORT),
        finding("config.flush.ms", part=Part.PORT),
        finding("owner", part=Part.PRODUCT),
        finding("slaProperties.b", part=Part.PRODUCT),
        finding("slaProperties.gone", part=Part.PRODUCT),
        finding("", part=Part.PRODUCT),
    ) == [
        at("retention"),
        at("- name: events"),
        at("flush.ms"),
        at("owner"),
        at("- {property: b"),
        at("slaProperties"),
        at("address"),
    ]


def test_what_is_gone_leads_to_what_is_left(mesh: Mesh) -> None:
    """A removed port leads to the list of ports; a removed product has no file."""
    (file, line), *_ = placed(mesh.project, finding("", part=Part.PORT), address="shop/orders/old@1")
    assert (file, line) == ("me sh/producers/shop/orders/product.yaml", 6)
    assert placed(mesh.project, finding("", part=Part.PRODUCT), address="shop/gone/events@1") == [(None, None)]


def test_a_schema_that_is_no_json_leads_to_its_first_line(mesh: Mesh) -> None:
    """A file that is no JSON is named with its first line."""
    mesh.schema("shop/orders.events", "{\x00")
    assert placed(mesh.project, finding("x", "/fields/0")) == [("me sh/schemas/shop/orders.events.avsc", 1)]


def test_without_a_repository_files_are_the_project_s(mesh: Mesh, tmp_path: Path) -> None:
    """Without a repository, file names are relative to the project."""
    alone = mesh.root.rename(tmp_path / "alone")
    assert placed(Project(alone), finding("id", "/fields/0")) == [("schemas/shop/orders.events.avsc", 5)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_comments_and_a_byte_order_mark_count_as_lines(line_end: str) -> None:
    """A schema that begins with a licence has its findings at the lines of the file, also where a field's doc has `//`."""
    text = line_end.join(
        [
            "\ufeff/*",
            " * A licence: {",
            " */",
            '{"type": "record", "name": "R", "fields": [',
            '  {"name": "a", "type": "int", "doc": "see //x"}, // the first',
            '  {"name": "b", "type": "int"}]}',
        ]
    )
    assert [schema_line(text, pointer) for pointer in ("", "/fields/0", "/fields/1/type")] == [4, 5, 6]
    assert schema_line("/* never ends", "/fields/0") == 1
