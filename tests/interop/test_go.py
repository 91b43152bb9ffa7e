"""A Go program (`go/`) on franz-go and hamba/avro, compared line by line with what was published."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meshport.codec.jsonform import to_json
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS
from tests.interop.orders import ORDER, ORDER_PORT, Published, order
from tests.interop.plain import read_all
from tests.interop.tools import do_without
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.kafka
SOURCES = Path(__file__).parent / "go"
Program = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def program(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Runs the Go program; gives the objects of its lines."""
    go, built = tool("go"), tmp_path_factory.mktemp("go") / "interop"
    got = subprocess.run([go, "mod", "download"], cwd=SOURCES, capture_output=True, text=True, check=False)
    if got.returncode:
        do_without(f"Go does not get the modules of tests/interop/go: {got.stderr.strip()}")
    subprocess.run([go, "build", "-buildvcs=false", "-o", built, "."], cwd=SOURCES, check=True)

    def run(*arguments: str, stdin: str = "") -> list[dict[str, Any]]:
        done = subprocess.run(
            [built, *arguments], input=stdin, capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


def read(program: Program, published: Published) -> list[dict[str, Any]]:
    """What the Go program reads of a port."""
    binding = published.binding
    return program(
        "read", binding.bootstrap_servers, published.registry_url, binding.topic, str(len(published.records))
    )


def of_json(line: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the record of a line, with text converted to a decimal and a time by the schema."""
    if line is None:
        return None
    return line | {"amount": Decimal(line["amount"]), "placed_at": datetime.fromisoformat(line["placed_at"])}


def test_go_reads_every_record(orders: Published, program: Program) -> None:
    """Keys, headers and all ten fields, under the schema that Go fetched by the id in the bytes, are what was published."""
    lines = read(program, orders)
    assert {each["headers"]["ce_id"]: of_json(each["record"]) for each in lines} == orders.records
    assert len(lines) == len(orders.records)
    for each in lines:
        assert each["key"] == each["record"]["customer"]
        assert each["schema_id"] == orders.binding.schema_id
        assert each["headers"]["ce_source"] == str(orders.binding.address)
        assert each["headers"]["ce_type"] == orders.binding.type
        assert datetime.fromisoformat(each["headers"]["ce_time"]) == of_json(each["record"])["placed_at"]  # type: ignore[index]  # no tombstone here


def test_go_reads_tombstones(ledger: Published, program: Program) -> None:
    """A retracted row is a record without a value for Go."""
    lines = read(program, ledger)
    assert {each["headers"]["ce_id"]: of_json(each["record"]) for each in lines} == ledger.records
    assert [each["key"] for each in lines if each["tombstone"]] == ["order-1"]


def test_go_asks_the_registry(orders: Published, program: Program) -> None:
    """Registering, compatibility, listing, lookup, deletion and both refusals are what franz-go's client expects."""
    (said,) = program("registry", orders.registry_url, "plain-go", orders.binding.subject)
    assert said["first"] == said["again"] != said["second"]
    assert (said["fits"], said["broken_fits"], said["level"]) == (True, False, "BACKWARD")
    assert said["reasons"][0].startswith("READER_FIELD_MISSING_DEFAULT_VALUE at c: ")
    assert (said["versions"], said["looked_up"], said["used_by"]) == ([1, 2], 2, ["plain-go"])
    assert {"plain-go", orders.binding.subject} <= set(said["subjects"])
    assert [each["name"] for each in json.loads(said["by_guid"])["fields"]] == ["a", "b"]
    assert said["refused"]["status"] == 409
    assert "READER_FIELD_MISSING_DEFAULT_VALUE at c: " in said["refused"]["message"]
    assert (said["contract"]["status"], said["contract"]["code"]) == (422, 42205)
    assert "is the contract of the data product" in said["contract"]["message"]
    assert said["deleted"] == [1, 2]
    assert (said["afterwards"]["status"], said["afterwards"]["code"]) == (404, 40401)


def test_we_subscribe_to_what_go_writes(mesh: Mesh, orders: Published, program: Program) -> None:
    """Orders that Go encodes and sends reach a subscriber as events, each key in the partition where ours lie."""
    binding = mesh.product(ORDER, name="orders", **ORDER_PORT)
    wanted = [order(number) for number in range(12)]
    lines = "".join(f"{json.dumps(to_json(each))}\n" for each in wanted)
    program("write", binding.bootstrap_servers, mesh.url, binding.topic, binding.type, stdin=lines)
    found = []
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        for event in subscriber:
            found.append(event)
            if len(found) == len(wanted):
                break
    assert sorted((each.data for each in found), key=lambda data: int(data["quantity"])) == wanted
    for event in found:
        assert (event.id, event.source) == (f"go-{event.data['order_id']}", "https://shop.example/go")
        assert (event.type, event.time) == (binding.type, event.data["placed_at"])
        assert event.key == event.data["customer"].encode()
    ours = {each.key(): each.partition() for each in read_all(binding.bootstrap_servers, orders.binding.topic)}
    assert {each.key: each.partition for each in found} == ours
