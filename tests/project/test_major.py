"""A new major line in a project: what is written into product.yaml, and what of it stays untouched."""

from __future__ import annotations

import difflib
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshport.address import Address
from meshport.errors import ProjectError
from meshport.product import parse_product
from meshport.product.edit import add_line
from meshport.project.project import Project
from meshport.project.scaffold import init_project, write_line

TODAY = date(2026, 11, 21)
LIVE, END = TODAY + timedelta(days=30), TODAY + timedelta(days=90)
ORDERS = Address("shop", "orders")
HEAD = """\
address: mesh://shop/orders # permanent
id: 5a1e0c3e-2f0c-4d0e-9d57-6f1f7d9b4a10
archetype: source-aligned
description: >
  Orders as they are
  placed.
owner: shop
"""
CONTRACT = """\
{"type": "record", "name": "Order", "namespace": "shop", "fields": [
  {"name": "customer",   "type": "string"},
  {"name": "cents",      "type": "long"},
  {"name": "ordered_at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
]}
"""
BLOCK = """\
outputPorts:
  - name: events
    key: customer # a customer's orders keep their order
    time: ordered_at
    retention: forever
slaProperties:
  - {property: timeliness, value: 1, unit: m}
"""
NEW = """\
  - name: events
    major: 2
    key: customer
    time: ordered_at
    retention: forever
    liveFrom: 2026-12-21
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with `shop/orders`, whose one port is written as a person would."""
    init_project(tmp_path)
    for file, text in (
        ("producers/shop/orders/product.yaml", HEAD + BLOCK),
        ("schemas/shop/orders.events.avsc", CONTRACT),
    ):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(text.encode())
    return Project.find(tmp_path)


def added(before: str, ports: int = 0) -> list[str]:
    """The text lines that are added when the port at an index gets a next major line; fails if a line is removed."""
    port = parse_product(before).output_ports[ports]
    after = add_line(before, port, live_from=LIVE, deprecated_on=END, file="product.yaml")
    changes = list(difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    assert not [each for each in changes if each.startswith("-")]
    return [each[2:] for each in changes if each.startswith("+")]


def test_the_old_line_gets_its_end_and_the_new_one_stands_after_it(project: Project) -> None:
    """The contract is a copy to the byte; product.yaml has the new line and the old one's end, all else as it was."""
    made = write_line(project, ORDERS, today=TODAY)
    assert (made.live_from, made.deprecated_on, made.type) == (LIVE, END, None)
    assert (str(made.old), str(made.address)) == ("mesh://shop/orders/events@1", "mesh://shop/orders/events@2")
    assert made.contract == project.root / "schemas/shop/orders.events.v2.avsc"
    assert made.contract.read_text(encoding="utf-8") == CONTRACT
    head, tail = BLOCK.split("slaProperties")
    expected = HEAD + head + "    deprecatedOn: 2027-02-19\n" + NEW + "slaProperties" + tail
    assert made.descriptor.read_text(encoding="utf-8") == expected


def test_the_project_loads_with_both_lines(project: Project) -> None:
    """Until its day the default port stays the old line; both have their contracts."""
    write_line(project, ORDERS, today=TODAY)
    one = Project.find(project.root).product(ORDERS)
    assert sorted(one.schemas) == [("events", 1), ("events", 2)]
    assert one.schemas["events", 1] == one.schemas["events", 2]
    live = [port.major for day in (LIVE - timedelta(days=1), LIVE) if (port := one.product.port(today=day))]
    assert live == [1, 2]
    assert one.product.default_port.major == 1


def test_the_days_can_be_chosen(project: Project) -> None:
    """The end of the old line follows the day of the new one, unless it is given too."""
    made = write_line(project, ORDERS, today=TODAY, live_from=date(2027, 3, 1))
    assert (made.live_from, made.deprecated_on) == (date(2027, 3, 1), date(2027, 4, 30))
    made.contract.write_text(made.contract.read_text(encoding="utf-8") + "\n", encoding="utf-8")  # no copy any more
    third = write_line(Project.find(project.root), ORDERS, today=TODAY, deprecated_on=date(2028, 1, 1))
    assert (third.address.major, third.live_from, third.deprecated_on) == (3, date(2027, 3, 31), date(2028, 1, 1))


@pytest.mark.parametrize(
    ("ports", "index", "expected"),
    [
        pytest.param(
            "outputPorts:\n- key: customer\n  retention: 365d\n  # cleanup: compact\n# the end\ntags: []\n",
            0,
            [
                "  deprecatedOn: 2027-02-19\n",
                "- name: events\n",
                "  major: 2\n",
                "  key: customer\n",
                "  retention: 365d\n",
                "  liveFrom: 2026-12-21\n",
            ],
            id="not indented, default name, a comment within",
        ),
        pytest.param(
            "tags: []\noutputPorts:\n    -   name: events\n        key: [customer, cents]",
            0,
            [
                "        deprecatedOn: 2027-02-19\n",
                "    - name: events\n",
                "      major: 2\n",
                "      key: [customer, cents]\n",
                "      liveFrom: 2026-12-21\n",
            ],
            id="wide, a composite key, no line break at the end",
        ),
        pytest.param(
            "outputPorts:\n  - name: events\n  - name: totals\n    schema: schemas/t.avsc\n    type: com.example.total\n"
            "    major: 4\n    time:\n  - name: other\n",
            1,
            [
                "    deprecatedOn: 2027-02-19\n",
                "  - name: totals\n",
                "    major: 5\n",
                "    liveFrom: 2026-12-21\n",
            ],
            id="one of several, a file and a type of its own, an empty key",
        ),
        pytest.param(
            "outputPorts:\r\n  - name: events\r\n    key: >-\r\n      customer\r\n\r\n# ok\r\n",
            0,
            [
                "    deprecatedOn: 2027-02-19\r\n",
                "  - name: events\r\n",
                "    major: 2\r\n",
                "    key: customer\r\n",
                "    liveFrom: 2026-12-21\r\n",
            ],
            id="Windows line breaks, a folded value",
        ),
        pytest.param(
            "outputPorts:\n  - name: events\n    replicationFactor: 3\n    config:\n      segment.ms: 86400000\n",
            0,
            [
                "    deprecatedOn: 2027-02-19\n",
                "  - name: events\n",
                "    major: 2\n",
                "    replicationFactor: 3\n",
                "    config: {segment.ms: '86400000'}\n",
                "    liveFrom: 2026-12-21\n",
            ],
            id="settings of the topic",
        ),
    ],
)
def test_whatever_form_the_file_has_it_keeps(ports: str, index: int, expected: list[str]) -> None:
    """No line of the file changes; the new ones follow its indentation and its line breaks."""
    text = (HEAD.replace("\n", "\r\n") if "\r\n" in ports else HEAD) + ports
    if not text.endswith("\n"):
        port = parse_product(text).output_ports[index]
        assert add_line(text, port, live_from=LIVE, deprecated_on=END, file="p").startswith(text + "\n")
        text += "\n"
    assert added(text, index) == expected


def test_a_port_in_braces_gets_its_end_within_them() -> None:
    """A port in flow style stays one; a comment after it stays where it is."""
    text = HEAD + "outputPorts:\n  - {name: events, key: customer} # the one\n  - {name: b}\n"
    port = parse_product(text).default_port
    after = add_line(text, port, live_from=LIVE, deprecated_on=END, file="product.yaml")
    assert after == HEAD + (
        "outputPorts:\n  - {name: events, key: customer, deprecatedOn: 2027-02-19} # the one\n"
        "  - name: events\n    major: 2\n    key: customer\n    liveFrom: 2026-12-21\n  - {name: b}\n"
    )


@pytest.mark.parametrize(
    "ports",
    [
        "outputPorts: [{name: events, key: customer}]\n",
        "outputPorts:\n  - &port\n    name: events\n  - <<: *port\n    name: b\n",
        "outputPorts:\n  - name: events\n    deprecatedOn:\n",
        '"outputPorts":\n  [{name: events},\n  {name: b}]\n',
    ],
)
def test_a_form_that_cannot_be_added_to_is_left_alone(project: Project, ports: str) -> None:
    """The file stays as it is, no contract is made, and the error has what a person has to write."""
    file = project.root / "producers/shop/orders/product.yaml"
    for name in "b":
        (project.root / f"schemas/shop/orders.{name}.avsc").write_text(CONTRACT, encoding="utf-8")
    file.write_text(HEAD + ports, encoding="utf-8")
    with pytest.raises(ProjectError, match="cannot be added to") as refused:
        write_line(Project.find(project.root), ORDERS, today=TODAY)
    assert refused.value.hint is not None
    assert "deprecatedOn: 2027-02-19" in refused.value.hint
    assert "- name: events\n  major: 2" in refused.value.hint
    assert file.read_text(encoding="utf-8") == HEAD + ports
    assert not (project.root / "schemas/shop/orders.events.v2.avsc").exists()


@pytest.mark.parametrize(
    ("address", "days", "told"),
    [
        ("shop/order", {}, "did you mean shop/orders?"),
        ("shop/orders/event", {}, "has no port 'event'\nhint: it has events"),
        ("shop/orders/events@1", {}, "leave out @1"),
        ("shop/orders", {"live_from": TODAY}, "would move every reader that names no major at once"),
        ("shop/orders", {"deprecated_on": LIVE - timedelta(days=1)}, "left events@1 by 2026-12-20"),
    ],
)
def test_what_makes_no_line_is_refused(project: Project, address: str, days: dict[str, Any], told: str) -> None:
    """The error has the reason, and nothing is written."""
    before = sorted(each for each in project.root.rglob("*") if each.is_file())
    with pytest.raises(ProjectError) as refused:
        write_line(project, Address.parse(address), today=TODAY, **days)
    assert told in str(refused.value)
    assert sorted(each for each in project.root.rglob("*") if each.is_file()) == before
    assert (project.root / "producers/shop/orders/product.yaml").read_text(encoding="utf-8") == HEAD + BLOCK


def test_a_product_that_ends_gets_no_new_line(project: Project) -> None:
    """Its readers leave it; they are sent to its successor."""
    file = project.root / "producers/shop/orders/product.yaml"
    file.write_text(HEAD + "status: deprecated\nsuccessor: mesh://shop/sales\n" + BLOCK, encoding="utf-8")
    with pytest.raises(ProjectError, match="is deprecated as a whole") as refused:
        write_line(Project.find(project.root), ORDERS, today=TODAY)
    assert refused.value.hint == "they move to mesh://shop/sales"


def test_a_contract_that_is_there_is_not_overwritten(project: Project) -> None:
    """A contract file that exists already is not overwritten."""
    file = project.root / "schemas/shop/orders.events.v2.avsc"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(ProjectError, match="exists already"):
        write_line(project, ORDERS, today=TODAY)
    assert file.read_text(encoding="utf-8") == "{}"


def test_a_type_of_its_own_is_not_taken_over(project: Project) -> None:
    """Two lines do not share one CloudEvents type: the new line has the default type, and the command reports it."""
    file = project.root / "producers/shop/orders/product.yaml"
    file.write_text(HEAD + BLOCK.replace("    key:", "    type: com.example.order\n    key:"), encoding="utf-8")
    made = write_line(Project.find(project.root), ORDERS, today=TODAY)
    assert made.type == "shop.orders.events.v2"
    old, new = Project.find(project.root).product(ORDERS).product.output_ports
    assert (old.type, new.type) == ("com.example.order", None)
