"""`redrive` and `quarantine` on a running mesh."""

from __future__ import annotations

import pytest

from meshport.address import quarantine_name, redrive_name
from meshport.binding import Binding
from meshport.errors import EventError
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Producer
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import quarantined
from tests.cli.running import Run
from tests.connections import connection
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka


@pytest.fixture
def port(mesh: Mesh) -> Binding:
    """A port whose processor has quarantined six events: of two partitions, with two errors."""
    made = mesh.product()
    quarantine = quarantine_name(made.topic)
    Admin(connection(made.bootstrap_servers)).ensure_topic(quarantine, 2)
    errors = (EventError("no id"), ValueError("no number"))
    with Producer(connection(made.bootstrap_servers)) as producer:
        producer.deliver(
            quarantined(
                quarantine,
                InputMessage(
                    "shop.orders", number % 2, 9 - number, b"k%d" % number, b"v", [("ce_id", b"e%d" % number)], 7
                ),
                errors[number // 3],
            )
            for number in range(6)
        )
    return made


def places(run: list[dict[str, object]]) -> list[tuple[object, object]]:
    """(partition, offset) of each event that was shown."""
    return [(each["partition"], each["offset"]) for each in run]


def test_events_are_redriven_once(on_mesh: Run, port: Binding) -> None:
    """A dry run redrives nothing; each filter narrows; events come in input order, and are marked once redriven."""
    address = port.address.key
    early = on_mesh("redrive", address)
    assert early.code != 0
    assert "run it first" in early.err
    Admin(connection(port.bootstrap_servers)).ensure_topic(redrive_name(port.topic), 2)
    everything = [(0, 5), (0, 7), (0, 9), (1, 4), (1, 6), (1, 8)]
    dry = on_mesh("redrive", address, "--dry-run", "--json")
    assert (dry.code, places(dry.lines)) == (0, everything)
    assert "6 events would be redriven" in dry.err
    few = on_mesh("redrive", address, "--error", "ValueError", "--partition", "1", "--json")
    assert places(few.lines) == [(1, 4), (1, 6)]
    none = on_mesh("redrive", address, "--topic", "shop.payments", "--json")
    assert (none.code, none.lines) == (0, [])
    one = on_mesh("redrive", address, "--id", "e0", "--offset", "9", "--topic", "shop.orders")
    assert one.out == "shop.orders [0] offset 9: no id\n"
    shown = on_mesh("quarantine", address, "--json")
    assert {place for place, each in zip(places(shown.lines), shown.lines, strict=True) if each["redriven"]} == {
        (1, 4), (1, 6), (0, 9),
    }  # fmt: skip
    rest = on_mesh("redrive", address, "--json")
    assert places(rest.lines) == [(0, 5), (0, 7), (1, 8)]
    again = on_mesh("redrive", address)
    assert (again.out, again.code) == ("", 0)
    assert "0 events redriven" in again.err
    assert "6 events quarantined, 6 of them redriven" in on_mesh("quarantine", address).err
