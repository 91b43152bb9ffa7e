"""A port asked by SQL together with the earlier line that it migrates."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.ports.snapshot import Snapshot
from meshport.ports.subscriber import Subscriber
from meshport.query import Moment, Table
from tests.archive.archives import archived
from tests.connections import CONNECTIONS
from tests.lines import TwoLines, ago, kelvins, publish_then, two_lines
from tests.mesh_session import Mesh
from tests.ports.readings import cut, take
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.kafka


def filled(mesh: Mesh, folder: Path) -> TwoLines:
    """Readings 0 to 29 in the first line, ten of them after its end, 20 to 39 in the second; the first is archived and cut."""
    lines = two_lines(mesh, ago(60), partitions=1, archive={"store": folder.as_uri()})
    publish_then(lines.first, range(20), ago(120))
    publish_then(lines.first, range(20, 30), ago(30))
    with Publisher(lines.second.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(20, 40):
            publisher.publish(kelvins(number))
    archived(mesh, lines.first, folder)
    cut(lines.first, 15)
    return lines


def test_both_lines_in_the_words_of_the_second(mesh: Mesh, tmp_path: Path) -> None:
    """Each fact once, with the columns of the second contract, at any moment; what retention took comes from the archive."""
    lines = filled(mesh, tmp_path)
    with Table(lines.second.address, mesh.registry, kafka=CONNECTIONS) as table:
        rows = table.sql("SELECT kelvin, label, unit, _source FROM events ORDER BY kelvin").to_pylist()
        assert [row["kelvin"] for row in rows] == [kelvins(number)["kelvin"] for number in range(40)]
        assert {row["_source"] for row in rows[:20]} == {str(lines.first.address)}
        assert {row["unit"] for row in rows} == {"K"}
        moment = Moment(as_of=kelvins(12)["at"])
        latest = {row["sensor"]: row["kelvin"] for row in table.sql("SELECT * FROM latest", moment).to_pylist()}
    assert latest == {kelvins(number)["sensor"]: kelvins(number)["kelvin"] for number in range(13)}


def test_a_snapshot_has_the_keys_of_both_lines(mesh: Mesh) -> None:
    """Of each key the latest event: of the earlier line where the later one has none; one that was taken back is not there."""
    lines = two_lines(mesh, ago(60), cleanup="compact")
    publish_then(lines.first, range(10), ago(120))
    with Publisher(lines.second.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in (12, 22, 13):
            publisher.publish(kelvins(number))
        publisher.submit_retraction({"sensor": "s5"}).result(PATIENCE_S)
    found = {
        event.data["sensor"]: event.data for event in Snapshot(lines.second.address, mesh.registry, kafka=CONNECTIONS)
    }
    latest = {f"s{number}": number for number in (0, 1, 4, 6, 7, 8, 9)} | {"s2": 22, "s3": 13}
    assert found == {sensor: kelvins(number) for sensor, number in latest.items()}


def test_one_history_past_retention(mesh: Mesh, tmp_path: Path) -> None:
    """A subscriber from the beginning and a replay read the archived part of the earlier line as well."""
    lines = filled(mesh, tmp_path)
    expected = [kelvins(number) for number in range(40)]
    with Subscriber(lines.second.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        assert [event.data for event in take(subscriber, 40)] == expected
    with Replay(lines.second.address, mesh.registry, kafka=CONNECTIONS) as replay:
        assert [event.data for event in replay.history()] == expected
