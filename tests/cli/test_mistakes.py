"""Typical mistakes of a first day: what the command line prints names what was found, where, and what would be right."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from meshport.address import Address
from meshport.cli.output import FINDINGS, NO_ANSWER, USAGE
from meshport.project.project import Project
from tests.cli.running import Ended, Run
from tests.cli.shop import ORDER_FILE, ORDERS, ORDERS_FILE, order
from tests.mesh_session import Mesh

REVENUE = """\
address: mesh://shop/revenue
id: 5a1e0c3e-2f0c-4d0e-9d57-6f1f7d9b4a21
archetype: aggregate
description: Revenue by customer and hour.
owner: shop
inputPorts:
  - address: mesh://shop/orders/events
    fields: [customer, cents]
outputPorts:
  - name: rows
    key: [customer, window_start]
    time: window_start
process:
  steps:
    - filter: cents > 0
    - aggregate:
        by: [customer]
        window: {tumbling: 1h}
        values:
          cents: sum(cents)
"""
TIME = {"type": "long", "logicalType": "timestamp-millis"}
ORDER = order(
    {"name": "customer", "type": "string"}, {"name": "cents", "type": "long"}, {"name": "ordered_at", "type": TIME}
)
HOUR = {
    "type": "record",
    "name": "shop.Revenue",
    "fields": [
        {"name": "customer", "type": "string"},
        {"name": "window_start", "type": TIME},
        {"name": "cents", "type": "long"},
    ],
}
REVENUE_FILE, HOUR_FILE = "processors/shop/revenue/product.yaml", "schemas/shop/revenue.rows.avsc"
FILES = {
    ORDERS_FILE: f"{ORDERS}    time: ordered_at\n",
    REVENUE_FILE: REVENUE,
    ORDER_FILE: json.dumps(ORDER, indent=2),
    HOUR_FILE: json.dumps(HOUR, indent=2),
    "good.jsonl": '{"customer": "ada", "cents": 250, "ordered_at": "2026-01-02T10:00:00Z"}\n',
}


@dataclass(frozen=True)
class Mistake:
    """A command that is wrong, or whose files are.

    Attributes:
        name: what was done wrong.
        arguments: of `meshport`.
        says: texts that the message has: what was found, where, what would be right.
        edit: the file that is wrong, the text in it that is replaced, and the wrong text.
        files: further files.
        code: the exit code.
        registry: what names the registry: `mesh` for the test's, text for another, None for none.
    """

    name: str
    arguments: tuple[str, ...]
    says: tuple[str, ...]
    edit: tuple[str, str, str] | None = None
    files: dict[str, str] = field(default_factory=dict)
    code: int = USAGE
    registry: str | None = None


def _publish(file: str) -> tuple[str, ...]:
    return ("publish", "shop/orders", "--from", file)


CHECK = ("check",)
ROW = "customer,cents,ordered_at\n"
MISTAKES = [
    Mistake(
        "a typo in an address",
        ("resolve", "shop/ordrs"),
        ("shop/ordrs", "did you mean mesh://shop/orders"),
        code=FINDINGS,
        registry="mesh",
    ),
    Mistake(
        "a typo in a port",
        ("resolve", "shop/orders/event"),
        ("shop/orders/event", "events@1"),
        code=FINDINGS,
        registry="mesh",
    ),
    Mistake(
        "upper case in an address", ("resolve", "Shop/orders"), ("'Shop'", "did you mean 'shop'?"), registry="mesh"
    ),
    Mistake("a typo in a search", ("search", "ordrs"), ("'ordrs'", "did you mean 'orders'?"), code=0, registry="mesh"),
    Mistake("no registry", ("search",), ("no registry was named", "--registry URL", "meshport up"), code=NO_ANSWER),
    Mistake(
        "a registry that is no URL",
        ("search",),
        ("'ftp://registry'", "http://host:port"),
        code=NO_ANSWER,
        registry="ftp://registry",
    ),
    Mistake(
        "a registry elsewhere",
        ("search",),
        ("http://127.0.0.1:1", "did not answer", "--registry"),
        code=NO_ANSWER,
        registry="127.0.0.1:1",
    ),
    Mistake("a file that is not there", _publish("ordres.jsonl"), ("ordres.jsonl", "No such file"), registry="mesh"),
    Mistake(
        "a wrong column",
        _publish("bad.csv"),
        ("bad.csv", "'custmer'", "--rename custmer=customer"),
        files={"bad.csv": "custmer,cents,ordered_at\nada,250,2026-01-02T10:00:00Z\n"},
        code=USAGE,
        registry="mesh",
    ),
    Mistake(
        "a wrong type",
        _publish("bad.csv"),
        ("line 2", "'cents'", "'a lot'"),
        files={"bad.csv": f"{ROW}ada,a lot,2026-01-02T10:00:00Z\n"},
        code=FINDINGS,
        registry="mesh",
    ),
    Mistake(
        "a wrong time",
        _publish("bad.csv"),
        ("line 2", "'ordered_at'", "'02.01.2026'", "2001-02-03T04:05:06Z"),
        files={"bad.csv": f"{ROW}ada,250,02.01.2026\n"},
        code=FINDINGS,
        registry="mesh",
    ),
    Mistake(
        "no key",
        _publish("bad.csv"),
        ("line 2", "'customer'"),
        files={"bad.csv": f"{ROW},250,2026-01-02T10:00:00Z\n"},
        code=FINDINGS,
        registry="mesh",
    ),
    Mistake(
        "JSON with a comma too many",
        _publish("bad.jsonl"),
        ("line 1", "JSON"),
        files={"bad.jsonl": '{"customer": "ada", "cents": 250,}\n'},
        code=FINDINGS,
        registry="mesh",
    ),
    Mistake(
        "a file without a format",
        _publish("orders.txt"),
        ("'orders.txt'", "--format"),
        files={"orders.txt": ""},
        registry="mesh",
    ),
    Mistake(
        "an unknown product published to",
        ("publish", "shop/order", "--from", "good.jsonl"),
        ("shop/order", "did you mean mesh://shop/orders"),
        code=FINDINGS,
        registry="mesh",
    ),
    Mistake("a wrong indent", CHECK, (ORDERS_FILE, ":6:", "indent"), (ORDERS_FILE, "outputPorts:", " outputPorts:")),
    Mistake(
        "an unknown key",
        CHECK,
        (ORDERS_FILE, ":8:", "'outputPorts.0.kye'", "did you mean 'key'?"),
        (ORDERS_FILE, "    key:", "    kye:"),
    ),
    Mistake(
        "an unknown archetype", CHECK, (ORDERS_FILE, ":3:", "source-aligned"), (ORDERS_FILE, "source-aligned", "source")
    ),
    Mistake("a wrong duration", CHECK, (REVENUE_FILE, ":18:", "1 hour", "1h"), (REVENUE_FILE, "1h", "1 hour")),
    Mistake(
        "a window that is a bare length",
        CHECK,
        (REVENUE_FILE, ":18:", "'1h'", "tumbling, hopping, every, session"),
        (REVENUE_FILE, "{tumbling: 1h}", "1h"),
    ),
    Mistake(
        "a port that is declared twice",
        CHECK,
        (ORDERS_FILE, "events"),
        (ORDERS_FILE, "    time: ordered_at\n", "    time: ordered_at\n  - name: events\n    key: customer\n"),
    ),
    Mistake(
        "a key that is no field",
        CHECK,
        (ORDERS_FILE, ":8:", "'custmer'", "did you mean 'customer'?"),
        (ORDERS_FILE, "key: customer", "key: custmer"),
    ),
    Mistake(
        "an unknown input",
        CHECK,
        (REVENUE_FILE, ":7:", "shop/ordrs", "did you mean mesh://shop/orders"),
        (REVENUE_FILE, "mesh://shop/orders/events", "mesh://shop/ordrs/events"),
    ),
    Mistake(
        "an unknown field in an expression",
        CHECK,
        (f"{REVENUE_FILE}:15: process.steps[0].filter", "cent", "did you mean 'cents'?"),
        (REVENUE_FILE, "cents > 0", "cent > 0"),
    ),
    Mistake(
        "an unknown function in an expression",
        CHECK,
        ("shop/revenue", "steps[0].filter", "absolute", "abs"),
        (REVENUE_FILE, "cents > 0", "absolute(cents) > 0"),
    ),
    Mistake(
        "an unknown field in an aggregate",
        CHECK,
        (f"{REVENUE_FILE}:16: process.steps[1].aggregate", "'cent'", "did you mean 'cents'?"),
        (REVENUE_FILE, "sum(cents)", "sum(cent)"),
    ),
    Mistake(
        "an unknown aggregation",
        CHECK,
        (REVENUE_FILE, ":20:", "total", "sum"),
        (REVENUE_FILE, "sum(cents)", "total(cents)"),
    ),
    Mistake(
        "an unknown type in a contract",
        CHECK,
        (ORDER_FILE, "'strng'", "did you mean 'string'?"),
        (ORDER_FILE, '"string"', '"strng"'),
    ),
    Mistake("a contract that is no JSON", CHECK, (ORDER_FILE, "line 4"), (ORDER_FILE, '"shop.Order",', '"shop.Order"')),
    Mistake(
        "a key that new does not find",
        ("new", "shop/refunds", "--sample", "good.jsonl", "--key", "custmer"),
        ("'custmer'", "did you mean 'customer'?"),
    ),
    Mistake(
        "a product that is there already", ("new", "shop/orders"), ("orders/product.yaml exists already", "edit it")
    ),
    Mistake(
        "a wrong time of a replay",
        ("replay", "shop/orders", "--from", "yesterday"),
        ("--from", "'yesterday'", "offset:N"),
        registry="mesh",
    ),
    Mistake("a typo in a command", ("aply",), ("'aply'", "Did you mean 'apply'")),
    Mistake("a typo in a rule", ("gate", "explain", "TYPE_MISMACH"), ("TYPE_MISMACH", "TYPE_MISMATCH")),
    Mistake("a branch that does not exist", ("gate", "check", "--against", "mian"), ("'mian'",)),
    Mistake("no Kafka for apply", ("apply",), ("no Kafka was named", "MESHPORT_KAFKA", "meshport up"), registry="mesh"),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of two products that is right."""
    write(tmp_path)
    return tmp_path


def write(folder: Path) -> None:
    """Write the files of the project."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def url(in_memory_mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry that has shop/orders."""
    folder = tmp_path_factory.mktemp("shop")
    write(folder)
    in_memory_mesh.apply(Project(folder).product(Address("shop", "orders")))
    return in_memory_mesh.url


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda each: each.name)
def test_a_mistake_is_explained(cli: Run, project: Path, url: str, mistake: Mistake) -> None:
    """The message of a mistake has what was found, where it is, and what would be right; its exit code is the documented one."""
    for name, text in mistake.files.items():
        (project / name).write_text(text, encoding="utf-8")
    if mistake.edit is not None:
        name, right, wrong = mistake.edit
        text = (project / name).read_text(encoding="utf-8")
        assert right in text
        (project / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    named = {"mesh": url}.get(mistake.registry or "", mistake.registry)
    ended = cli(*mistake.arguments, **({} if named is None else {"MESHPORT_REGISTRY": named}))
    shown = plain(ended)
    assert ended.code == mistake.code, shown
    for text in mistake.says:
        assert text in shown


def plain(ended: Ended) -> str:
    """Return what a person sees, on one line, without the frame that usage errors are drawn with."""
    return " ".join((ended.out + ended.err).replace("│", " ").split())
