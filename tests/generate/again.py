"""What the clients of all other languages do in the tests: they read shipments, show them, and publish them again."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Final

from meshport.binding import Binding
from meshport.generate.languages import Language, client_files, write_files
from meshport.generations import Phase, Switch
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS
from tests.generate.shipments import PORT, SHIPMENT, shipment
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S

COUNT: Final = 4
PROGRAMS: Final = Path(__file__).parent / "programs"


def published_shipments(mesh: Mesh) -> Binding:
    """Return a new port of shipments, with some published by the library."""
    binding = mesh.product(SHIPMENT, name="shipments", partitions=3, **PORT)
    with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        assert publisher.publish_batch([shipment(number) for number in range(COUNT)]).stored == COUNT
    return binding


def written_client(binding: Binding, language: Language, folder: Path) -> None:
    """Write the port's client into a folder."""
    assert all(write_files(folder, client_files(binding, language)).values())


def program(name: str, **facts: str) -> str:
    """Return the text of a program of `programs/`, with the names of what was generated."""
    text = (PROGRAMS / name).read_text(encoding="utf-8")
    for fact, value in facts.items():
        text = text.replace(f"__{fact.upper()}__", value)
    return text


def run(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    """Run a command in a folder; return what it wrote to stdout."""
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment or None
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def check_again(mesh: Mesh, binding: Binding, command: Sequence[str | Path], folder: Path) -> None:
    """Run a program that shows and publishes the shipments again, and reads on until the port is rebuilt.

    What it showed and published is compared with the shipments: attributes, keys, partitions and all values. After the rebuild
    it ends with an error that names both topics.
    """
    with subprocess.Popen([*command, mesh.url, str(COUNT)], cwd=folder, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        killer = threading.Timer(PATIENCE_S, running.kill)
        killer.start()
        try:
            shown = list(takewhile(lambda line: line != "reading on\n", running.stdout))
            _check_shipments(mesh, binding, shown)
            bound = _rebound(mesh, binding)
            last = running.stdout.read()
        finally:
            killer.cancel()
            running.kill()
    assert last == (
        f"{binding.address} was rebuilt: it is bound to {bound}, and no longer to {binding.topic}; "
        f"start the program again, which then reads {bound}\n"
    )


def _rebound(mesh: Mesh, binding: Binding) -> str:
    """Bind the address to another generation, as a rebuild does, and return its topic."""
    line = mesh.registry.generations(binding.address)
    line.open(holder="me", seconds=PATIENCE_S, made_by="a test")
    line.hold(2, holder="me", seconds=PATIENCE_S, phase=Phase.HANDOVER)
    partitions = dict.fromkeys(range(binding.partitions), 0)
    return line.switch(2, Switch(holder="me", ends=partitions, begins=partitions)).topic


def _check_shipments(mesh: Mesh, binding: Binding, shown: Sequence[str]) -> None:
    lines: list[Mapping[str, Any]] = [json.loads(line) for line in shown]
    with Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        events = list(islice(subscriber, 2 * COUNT))
    ours = {each.id: each for each in events if each.id in {line["id"] for line in lines}}
    assert len(ours) == COUNT
    for line in lines:
        event = ours[line["id"]]
        assert (line["source"], line["type"], line["key"]) == (
            str(binding.address),
            binding.type,
            event.data["customer"],
        )
        assert (line["customer"], line["price"]) == (event.data["customer"], str(event.data["price"]))
        assert (line["due"], line["partition"]) == (event.data["due"].isoformat(), event.partition)
        assert int(line["offset"]) == event.offset
    theirs = [each for each in events if each.id not in ours]
    first, second = ({each.data["customer"]: each for each in some} for some in (ours.values(), theirs))
    assert {name: each.data for name, each in second.items()} == {name: each.data for name, each in first.items()}
    for name, each in second.items():
        assert (each.source, each.type, each.data_schema) == (
            str(binding.address),
            binding.type,
            first[name].data_schema,
        )
        assert (each.time, each.key, each.partition) == (first[name].time, first[name].key, first[name].partition)
        assert each.recorded_time is not None
