"""The Python client of a port: a module of pydantic models, of which a publisher takes objects and a subscriber gives them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from meshport import AsyncSubscriber, Publisher, Replay, Subscriber
from meshport.binding import Binding
from meshport.errors import DecodeError, EncodeError
from meshport.generate.contract import ContractTypes
from meshport.generate.python import python_files
from meshport.schema import parse_schema
from tests.cli.running import Run
from tests.generate.shipments import HOSTILE, PORT, SHIPMENT, shipment
from tests.mesh_session import READING, Mesh
from tests.repository import ROOT

COUNT = 4


@pytest.fixture(scope="module")
def binding(in_memory_mesh: Mesh) -> Binding:
    """A port of shipments."""
    return in_memory_mesh.product(SHIPMENT, name="shipments", **PORT)


@pytest.fixture(scope="module")
def source(binding: Binding, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated module."""
    ((name, text),) = python_files(binding, ContractTypes(parse_schema(binding.schema_text))).items()
    file = tmp_path_factory.mktemp("python") / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def shipments(source: Path) -> Iterator[ModuleType]:
    """The generated module, imported."""
    spec = importlib.util.spec_from_file_location("shipments_client", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["shipments_client"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["shipments_client"]


def made(shipments: ModuleType, number: int) -> Any:
    """Return a shipment as an object of the generated class."""
    return shipments.Shipment.model_validate(shipment(number))


def test_objects_are_published_and_read(in_memory_mesh: Mesh, binding: Binding, shipments: ModuleType) -> None:
    """What a subscriber gives are equal objects of the class, by every way of publishing; a reader without it gets mappings."""
    wanted = [made(shipments, number) for number in range(COUNT)]
    with shipments.publisher(in_memory_mesh.registry) as publisher:
        publisher.publish(wanted[0])
        publisher.submit(wanted[1], id="second").result(30)
        assert publisher.publish_batch([wanted[2], shipment(3)]).stored == 2
    with shipments.subscriber(in_memory_mesh.registry) as subscriber:
        got = sorted((each.data for each in islice(subscriber, COUNT)), key=lambda each: int(each.self))
    assert got == wanted
    assert all(type(each) is shipments.Shipment for each in got)
    assert type(got[0].route.next) is shipments.Stop
    with Subscriber(binding.address, in_memory_mesh.registry) as plain:
        assert sorted((each.data for each in islice(plain, COUNT)), key=lambda each: int(each["self"])) == [
            shipment(number) for number in range(COUNT)
        ]


def test_defaults_and_names(shipments: ModuleType) -> None:
    """Defaults are those of the contract, names that Python or pydantic keep get a `_`, and a misfit is refused at once."""
    required = {"shipment_id", "sent_at", "customer", "price", "due", "seal", "label"}
    given = {name: value for name, value in shipment(0).items() if name in required}
    found = shipments.Shipment(**given)
    assert (found.class_, found.self, found.field_model_config, found.state) == ('the "usual" \\ one', -3, 7, "PACKED")
    assert (found.weight, found.insured, found.tags, found.counts, found.value) == (1.5, False, [], {}, None)
    assert shipments.Shipment(**given, class_="x").class_ == "x"
    with pytest.raises(ValidationError, match="state"):
        shipments.Shipment(**given, state="LOST")
    with pytest.raises(ValidationError, match="sent_at"):
        shipments.Shipment(**given | {"sent_at": 5})
    assert shipments.Shipment.__doc__ is not None
    assert "ends */" in shipments.Shipment.__doc__
    assert HOSTILE.split()[-1].endswith("end\\")


def test_mypy_knows_the_types(source: Path, tmp_path: Path) -> None:
    """The module is right by mypy's strict rules; so is its use, and a wrong field, a wrong type and a wrong symbol are not."""
    use = tmp_path / "use.py"
    use.write_text(
        f"from {source.stem} import Shipment, Stop, publisher, replay, subscriber\n"
        "from meshport import Registry\n"
        "def use(registry: Registry, one: Shipment) -> str:\n"
        "    publisher(registry).publish(one)\n"
        "    for event in subscriber(registry):\n"
        "        reveal_type(event.data)\n"
        "        reveal_type(event.data.price)\n"
        "        event.data.nothing\n"
        "        if event.data.state == 'LOST': pass\n"
        "    Stop(depot=5, arrived_at=one.sent_at)\n"
        "    with replay(registry, begin=one.sent_at) as past:\n"
        "        for event in past.events():\n"
        "            event.data.nothing\n"
        "    return one.customer\n"
    )
    config = tmp_path / "mypy.ini"
    config.write_text(f"[mypy]\nstrict = True\nplugins = pydantic.mypy\nmypy_path = {source.parent}\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", config, source, use],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line.partition("use.py:")[2] for line in done.stdout.splitlines() if "use.py" in line]
    assert [line.partition(":")[0] for line in lines] == ["6", "7", "8", "9", "10", "13"], done.stdout
    assert f'"{source.stem}.Shipment"' in lines[0]
    assert '"_decimal.Decimal"' in lines[1] or '"decimal.Decimal"' in lines[1]
    assert 'no attribute "nothing"' in lines[2]
    assert "Non-overlapping equality" in lines[3]
    assert "incompatible type" in lines[4]
    assert 'no attribute "nothing"' in lines[5]
    assert f"{source.name}:" not in done.stdout


def test_a_replay_gives_objects(in_memory_mesh: Mesh, shipments: ModuleType) -> None:
    """A replay gives the objects of its range, marked with its id, and a tombstone without data."""
    binding = in_memory_mesh.product(SHIPMENT, name="replayed-shipments", **PORT)
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    times = [begin + timedelta(days=number) for number in range(3)]
    wanted = [shipments.Shipment.model_validate(shipment(0) | {"sent_at": time}) for time in times]
    with Publisher(binding.address, in_memory_mesh.registry) as publisher:
        for each in wanted:
            publisher.publish(each)
    with Replay(
        binding.address, in_memory_mesh.registry, begin=times[1], end=times[2], as_=shipments.Shipment
    ) as replay:
        found = list(replay.events())
    assert [(each.data, each.extensions["replayid"]) for each in found] == [(wanted[1], replay.id)]
    assert type(found[0].data) is shipments.Shipment


class Celsius(BaseModel):
    """A model of a service's own, without a schema."""

    sensor: str
    celsius: float


def test_a_model_of_ones_own(in_memory_mesh: Mesh) -> None:
    """Any pydantic model is taken and given; a record that it refuses is a message that cannot be read."""
    binding = in_memory_mesh.product(READING, key="sensor")
    with Publisher(binding.address, in_memory_mesh.registry) as publisher:
        publisher.publish({"sensor": "a", "at": 5, "celsius": 1.5})
        with pytest.raises(EncodeError, match="at"):
            publisher.publish(Celsius(sensor="b", celsius=2.5))
    with Subscriber(binding.address, in_memory_mesh.registry, as_=Celsius) as subscriber:
        assert next(iter(subscriber)).data == Celsius(sensor="a", celsius=1.5)

    class Strict(BaseModel):
        sensor: int

    with (
        Subscriber(binding.address, in_memory_mesh.registry, as_=Strict) as strict,
        pytest.raises(DecodeError) as found,
    ):
        next(iter(strict))
    assert "is no Strict: sensor: Input should be a valid integer" in found.value.message
    bad: list[str] = []
    with Replay(
        binding.address, in_memory_mesh.registry, as_=Strict, on_bad=lambda each: bad.append(str(each))
    ) as replay:
        assert list(replay.history()) == []
    assert len(bad) == 1
    assert "is no Strict: sensor: Input should be a valid integer" in bad[0]


def test_events_of_the_past_have_the_types_of_the_module(in_memory_mesh: Mesh) -> None:
    """A class is what it says whatever an event was written with: an event from before a field has the field's default."""
    binding = in_memory_mesh.product(READING, key="sensor", time="at")
    with Publisher(binding.address, in_memory_mesh.registry) as publisher:
        publisher.publish({"sensor": "a", "at": 5, "celsius": 1.5})
    later = READING | {"fields": [*READING["fields"], {"name": "unit", "type": "string", "default": "C"}]}
    newer = binding.model_copy(update={"schema_text": parse_schema(json.dumps(later)).text})
    ((_, text),) = python_files(newer, ContractTypes(parse_schema(newer.schema_text))).items()
    module: dict[str, Any] = {"__name__": "later"}
    exec(text, module)
    module["Reading"].model_rebuild(_types_namespace=module)
    with Subscriber(binding.address, in_memory_mesh.registry, as_=module["Reading"]) as subscriber:
        assert next(iter(subscriber)).data.unit == "C"
        with pytest.raises(ValueError, match="`reader` is given, and Reading has a schema of its own"):
            AsyncSubscriber(
                binding.address, in_memory_mesh.registry, as_=module["Reading"], reader=parse_schema(newer.schema_text)
            )
    with Replay(binding.address, in_memory_mesh.registry, as_=module["Reading"]) as replay:
        assert [each.data.unit for each in replay.events()] == ["C"]


def test_the_command_writes_what_has_changed(cli: Run, in_memory_mesh: Mesh, binding: Binding, tmp_path: Path) -> None:
    """The file is written once, and named with whether it was; a port that is not there is an error."""
    words = ("generate", str(binding.address), "--language", "python", "--output", "clients")
    named = {"MESHPORT_REGISTRY": in_memory_mesh.url}
    name = f"clients/tests_{binding.address.product.replace('-', '_')}_events.py"
    first = cli(*words, "--json", **named)
    assert (first.code, json.loads(first.out)) == (0, {"file": name, "written": True})
    assert json.loads(cli(*words, "--json", **named).out) == {"file": name, "written": False}
    assert f'ADDRESS: Final = "{binding.address}"' in (tmp_path / name).read_text()
    missing = cli("generate", "tests/nothing", "--language", "python", "--output", "clients", **named)
    assert missing.code != 0
    assert "tests/nothing" in missing.err
