"""Orders: a record of ten fields with every kind of type that clients read differently, and who publishes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.codec.jsonform import to_json
from meshport.ports.publisher import Publisher
from tests.connections import CONNECTIONS, variables
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S

ORDER: Final[dict[str, Any]] = {
    "type": "record",
    "name": "Order",
    "namespace": "tests.shop",
    "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "customer", "type": "string"},
        {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["PLACED", "PAID", "SENT"]}},
        {"name": "note", "type": ["null", "string"], "default": None},
        {"name": "placed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "tags", "type": {"type": "array", "items": "string"}},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}},
        {"name": "quantity", "type": "int"},
        {"name": "weight", "type": "double"},
        {"name": "express", "type": "boolean"},
    ],
}
ORDER_PORT: Final[dict[str, Any]] = {"key": "customer", "time": "placed_at"}
_BEGIN: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)


def order(number: int) -> dict[str, Any]:
    """Return the order of that number; its values differ from those of every other, and some are negative or empty."""
    return {
        "order_id": f"order-{number}",
        "customer": f"größe-{number % 3}",
        "status": ("PLACED", "PAID", "SENT")[number % 3],
        "note": None if number % 2 else f"note \U0001f980 {number}",
        "placed_at": _BEGIN + timedelta(seconds=number, milliseconds=number),
        "tags": [f"tag-{each}" for each in range(number % 4)],
        "amount": Decimal(number * 1999 - 5000).scaleb(-2),
        "quantity": number - 5,
        "weight": number / 7,
        "express": number % 2 == 0,
    }


def publish(mesh: Mesh, address: Address, numbers: range) -> dict[str, dict[str, Any]]:
    """Publish orders with the library; records by the ids of their events."""
    with Publisher(address, mesh.registry, kafka=CONNECTIONS) as publisher:
        return {publisher.publish(order(number)): order(number) for number in numbers}


def publish_lines(mesh: Mesh, address: Address, numbers: range) -> dict[str, dict[str, Any]]:
    """Publish orders with the command line, each with its order's id as the event's; return the records by id."""
    records = {f"order-{number}": order(number) for number in numbers}
    run(
        ["publish", str(address), "--from", "-", "--id-field", "order_id", "--registry", mesh.url],
        stdin="".join(f"{json.dumps(to_json(each))}\n" for each in records.values()),
        **variables(mesh.bootstrap_servers),
    )
    return records


def run(arguments: list[str], stdin: str = "", **environment: str) -> str:
    """What a `meshport` command writes to stdout; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "meshport", *arguments],
        env=os.environ | environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Published:
    """A port and what was published to it.

    Attributes:
        binding: of the port.
        registry_url: of its registry.
        records: by the id of the event; None for a tombstone.
    """

    binding: Binding
    registry_url: str
    records: Mapping[str, dict[str, Any] | None]
