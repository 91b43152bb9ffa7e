"""Events of an earlier major line, read as events of the present one."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshport.event import Event
from meshport.ports import earlier_lines
from meshport.ports.async_subscriber import AsyncSubscriber
from meshport.ports.group_start import Start
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Earlier, Offsets, Replay
from meshport.ports.subscriber import BadEvent, Subscriber
from meshport.product.migration import Migration
from tests.connections import CONNECTIONS
from tests.lines import TwoLines, ago, kelvins, publish_raw, publish_then, two_lines
from tests.mesh_session import Mesh
from tests.ports.async_reading import QUICK, run
from tests.ports.readings import take
from tests.waiting import wait_for

pytestmark = pytest.mark.kafka


def filled(mesh: Mesh, **port: Any) -> TwoLines:
    """Two lines: readings 0 to 19 in the first, 20 to 29 in both, 30 to 39 in the second."""
    lines = two_lines(mesh, ago(60), **port)
    publish_then(lines.first, range(20), ago(120))
    publish_then(lines.first, range(20, 30), ago(30))
    with Publisher(lines.second.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in range(20, 40):
            publisher.publish(kelvins(number))
    return lines


def by_sensor(events: list[Event]) -> dict[str, list[Any]]:
    """The records of each sensor, in the order in which they came."""
    found: dict[str, list[Any]] = {}
    for each in events:
        found.setdefault(each.data["sensor"], []).append(each.data)
    return found


def of_numbers(numbers: range) -> dict[str, list[Any]]:
    """What `by_sensor` gives of these readings."""
    found: dict[str, list[Any]] = {}
    for number in numbers:
        found.setdefault(kelvins(number)["sensor"], []).append(kelvins(number))
    return found


def test_a_subscriber_reads_the_earlier_line_first(mesh: Mesh) -> None:
    """From the beginning, each event once and in order: the first line up to its end, as events of the second, then that one."""
    lines = filled(mesh)
    with Subscriber(lines.second.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        events = take(subscriber, 40)
    assert by_sensor(events) == of_numbers(range(40))
    old = events[0]
    assert (old.type, old.data_schema) == (lines.second.type, f"urn:meshport:schema:{lines.second.fingerprint}")
    assert (old.source, old.topic) == (str(lines.first.address), lines.first.topic)
    assert old.id.startswith("r")


def test_a_group_of_the_earlier_line_goes_on_where_it_stood(mesh: Mesh) -> None:
    """A reader that moves to the next line under its group neither misses an event nor reads one twice."""
    lines = filled(mesh)
    with Subscriber(lines.first.address, mesh.registry, group="moves", kafka=CONNECTIONS) as before:
        read = take(before, 8)[:-1]  # the last one is not handled
    with Subscriber(lines.second.address, mesh.registry, group="moves", kafka=CONNECTIONS, look_s=0.1) as after:
        events = take(after, 33)
    assert sorted([*(each.data["celsius"] for each in read), *(each.data["kelvin"] - 273.15 for each in events)]) == (
        pytest.approx([float(each) for each in range(40)])
    )
    with Subscriber(lines.second.address, mesh.registry, group="moves", kafka=CONNECTIONS) as again:
        assert again._subscription.topic == lines.second.topic
        assert take(again, 1)[0].topic == lines.second.topic  # the last one was not handled


def test_the_members_of_a_group_share_the_earlier_line(mesh: Mesh) -> None:
    """Two members that handle events in tasks read both lines together, each event."""
    lines = filled(mesh)
    found: set[int] = set()

    async def both() -> None:
        members = [
            AsyncSubscriber(lines.second.address, mesh.registry, group="shared", kafka=QUICK, look_s=0.1)
            for _ in range(2)
        ]

        async def handle(event: Event) -> None:
            found.add(round(event.data["kelvin"] - 273.15))
            if len(found) == 40:
                for each in members:
                    each.stop()

        async def read(member: AsyncSubscriber) -> None:
            async with member:
                await member.run(handle)

        await asyncio.gather(*map(read, members))

    run(both())
    assert found == set(range(40))


def test_columns_of_both_lines(mesh: Mesh) -> None:
    """Batches of columns have the events of the earlier line as well."""
    lines = filled(mesh)
    kelvin: list[float] = []
    with Subscriber(lines.second.address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        for batch in subscriber.arrow_batches(wait_s=0.2):
            kelvin += batch.data.column("kelvin").to_pylist()
            if len(kelvin) >= 40:
                break
    assert sorted(kelvin) == [each + 273.15 for each in range(40)]


def test_a_start_that_leaves_the_earlier_line_out(mesh: Mesh) -> None:
    """A reader that begins at the latest event, at an offset, or at a time after the earlier line reads nothing of it."""
    lines = filled(mesh)
    starts = (Start.LATEST, dict.fromkeys(range(2), 0), ago(10))
    for start in starts:
        with Subscriber(lines.second.address, mesh.registry, start=start, kafka=CONNECTIONS) as subscriber:
            assert subscriber._subscription.topic == lines.second.topic


def test_a_line_that_is_not_over_is_followed(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the time, the earlier line is read as it grows; after it, the reader goes on in the next line."""
    monkeypatch.setattr(earlier_lines, "_SKEW", timedelta())
    until = datetime.now(UTC) + timedelta(seconds=4)
    lines = two_lines(mesh, until)
    publish_then(lines.first, range(10), ago(1))
    with Subscriber(lines.second.address, mesh.registry, kafka=CONNECTIONS, look_s=0.1) as subscriber:
        events = take(subscriber, 10)
        wait_for(lambda: datetime.now(UTC) > until, "the earlier line to be over")
        with Publisher(lines.second.address, mesh.registry, kafka=CONNECTIONS) as publisher:
            for number in range(10, 20):
                publisher.publish(kelvins(number))
        events += take(subscriber, 11)[1:]  # the tenth was not handled
    assert by_sensor(events) == of_numbers(range(20))


def test_a_message_that_cannot_be_migrated(mesh: Mesh) -> None:
    """It is a message that cannot be read, with its own bytes and headers and the reason; the others are read."""
    lines = two_lines(mesh, ago(60), partitions=1)
    publish_then(lines.first, range(2), ago(120))
    publish_raw(lines.first, b"key", b"no Avro", {"ce_id": b"odd"}, ago(110))
    publish_then(lines.first, range(2, 4), ago(100))
    bad: list[BadEvent] = []
    with Subscriber(lines.second.address, mesh.registry, on_bad=bad.append, kafka=CONNECTIONS) as subscriber:
        events = take(subscriber, 4)
    assert [each.data["kelvin"] for each in events] == [kelvins(number)["kelvin"] for number in range(4)]
    assert f"{lines.first.topic}[0]@2: it cannot be migrated: " in str(bad[0])
    assert bad[0].message.value() == b"no Avro"
    assert ("ce_id", b"odd") in bad[0].headers


def test_a_replay_begins_with_the_earlier_line(mesh: Mesh) -> None:
    """From the beginning or from a time; one that begins at an offset, or leaves earlier lines out, reads its own line only."""
    lines = filled(mesh)
    address = lines.second.address
    with Replay(address, mesh.registry, kafka=CONNECTIONS) as whole:
        assert by_sensor(list(whole.history())) == of_numbers(range(40))
        assert whole.total == 40
    since = kelvins(15)["at"]
    with Replay(address, mesh.registry, begin=since, kafka=CONNECTIONS) as later:
        assert by_sensor(list(later.events())) == of_numbers(range(15, 40))
    own = of_numbers(range(20, 40))
    with Replay(address, mesh.registry, begin=Offsets(), kafka=CONNECTIONS) as at_offsets:
        assert by_sensor(list(at_offsets.history())) == own
    with Replay(address, mesh.registry, earlier=Earlier.LEAVE_OUT, kafka=CONNECTIONS) as alone:
        assert by_sensor(list(alone.history())) == own


def test_a_line_is_migrated_by_way_of_the_next(mesh: Mesh) -> None:
    """Line 3 migrates line 2, which migrates line 1: a replay and a subscriber read all three as the third."""
    lines = filled(mesh)
    applied = mesh._applied[lines.first.address.of_product]
    second = applied.product.output_ports[1]
    until = datetime.now(UTC) + timedelta(days=1)  # line 2 is not over, line 1 is
    migration = Migration(until=until, fields={"kelvin": "kelvin * 2"})
    third = second.model_copy(
        update={"major": 3, "live_from": until.date() + timedelta(days=60), "migration": migration}
    )
    product = applied.product.model_copy(update={"output_ports": (*applied.product.output_ports, third)})
    schemas = {**applied.schemas, ("events", 3): applied.schemas["events", 2]}
    mesh.apply(replace(applied, product=product, schemas=schemas))
    address = product.address.at("events", 3)
    expected = {
        sensor: [each | {"kelvin": each["kelvin"] * 2} for each in records]
        for sensor, records in of_numbers(range(40)).items()
    }
    with Replay(address, mesh.registry, kafka=CONNECTIONS) as replay:
        assert by_sensor(list(replay.history())) == expected
    with Subscriber(address, mesh.registry, kafka=CONNECTIONS) as subscriber:
        assert by_sensor(take(subscriber, 40)) == expected
