"""A contract that gains a field with a default: processors, joined rows and recounts in memory read older events with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from meshport.project.project import FOLDERS, Project
from meshport.testing import MemoryMesh
from tests.testing.declared import write
from tests.testing.test_mesh import READING_PORT, READINGS, STATIONS

SENSOR: dict[str, Any] = {"name": "sensor", "type": "string"}
AT: dict[str, Any] = {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}
WEIGHT: dict[str, Any] = {"name": "weight", "type": "int", "default": 5}
ZONE: dict[str, Any] = {"name": "zone", "type": "string", "default": "north"}
WEIGHTS: dict[str, Any] = {
    "type": "record",
    "name": "Weights",
    "fields": [{"name": "zone", "type": "string"}, {"name": "weight", "type": "long"}],
}
RECOUNT = """
def recount(sources):
    zones = {event.data["sensor"]: event.data["zone"] for event in sources["mesh://weather/stations"]}
    totals = {}
    for event in sources["mesh://weather/readings"]:
        zone = zones[event.data["sensor"]]
        totals[zone] = totals.get(zone, 0) + event.data["weight"]
    return [{"zone": zone, "weight": weight} for zone, weight in totals.items()]
"""


def inputs(root: Path, *more: dict[str, Any]) -> None:
    """Declare the readings and the stations; the first of `more` is a field of the readings, the second of the stations."""
    reading = {"type": "record", "name": "Reading", "fields": [SENSOR, AT, *more[:1]]}
    station = {"type": "record", "name": "Station", "fields": [SENSOR, *more[1:]]}
    write(root, READINGS, reading, READING_PORT)
    write(root, STATIONS, station, {"name": "events", "key": "sensor", "cleanup": "compact"})


def test_older_events_have_the_defaults_of_the_contract(tmp_path: Path) -> None:
    """A processor that uses new fields counts events and rows from before they came, and the recount agrees."""
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    inputs(tmp_path)
    with MemoryMesh(Project(tmp_path), now="2026-03-01T12:00:00Z") as mesh:
        for sensor in ("s1", "s2"):
            mesh.publish(STATIONS, {"sensor": sensor})
            mesh.publish(READINGS, {"sensor": sensor, "at": mesh.now})
        inputs(tmp_path, WEIGHT, ZONE)
        steps = [
            {"join": {"with": f"mesh://{STATIONS}", "on": "sensor", "take": {"zone": "zone"}}},
            {"aggregate": {"by": ["zone"], "values": {"weight": "sum(weight)"}}},
        ]
        write(
            tmp_path, "weather/weights", WEIGHTS, {"name": "events", "key": "zone", "cleanup": "compact"},
            inputPorts=[{"address": f"mesh://{READINGS}"}, {"address": f"mesh://{STATIONS}"}],
            process={"input": f"mesh://{READINGS}", "steps": steps},
        )  # fmt: skip
        (tmp_path / "processors" / "weather" / "weights" / "recount.py").write_text(RECOUNT)
        mesh.apply(Project(tmp_path))
        mesh.publish(STATIONS, {"sensor": "s3", "zone": "south"})
        mesh.publish(READINGS, {"sensor": "s3", "at": mesh.now, "weight": 1})
        mesh.run()
        assert mesh.quarantined("weather/weights") == []
        assert {zone: row["weight"] for zone, row in mesh.latest("weather/weights").items()} == {
            "north": 10,
            "south": 1,
        }
        assert mesh.recount("weather/weights").agrees
