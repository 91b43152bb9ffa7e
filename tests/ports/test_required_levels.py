"""Readers that require service levels: they refuse to read, or wait, while a promise is not met."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

import pytest

from meshport import AsyncSubscriber, Require, Subscriber
from meshport.binding import Binding
from meshport.errors import LevelsNotMet
from meshport.service_levels import JudgedLevel, LevelState, MeasuredLevels
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import fill, take
from tests.waiting import PATIENCE_S, wait_for


@pytest.fixture
def port(in_memory_mesh: Mesh) -> Binding:
    """A port with three events."""
    binding = in_memory_mesh.product(partitions=4)
    fill(in_memory_mesh, binding.address, range(3))
    return binding


def report(mesh: Mesh, port: Binding, state: LevelState, *, age: timedelta = timedelta()) -> None:
    """Have an observer report one promise of the port."""
    at = datetime.now(UTC) - age
    level = JudgedLevel(property="timeliness", promised="1 m", state=state, reason="because", since=at)
    mesh.registry.service_levels.report(
        port.address, MeasuredLevels(at=at, valid_until=at + timedelta(minutes=2), levels=(level,))
    )
    mesh.registry.refresh(port.address)


def test_a_reader_refuses_what_is_not_met(in_memory_mesh: Mesh, port: Binding) -> None:
    """What is unknown, at risk, broken, or was measured too long ago is refused with the state; what is met is read."""
    registry = in_memory_mesh.registry

    def read() -> int:
        with Subscriber(port.address, registry, require="met", kafka=CONNECTIONS) as subscriber:
            return len(take(subscriber, 3))

    with pytest.raises(LevelsNotMet, match="unknown: nothing measures it"):
        read()
    report(in_memory_mesh, port, LevelState.MET, age=timedelta(hours=2))
    with pytest.raises(LevelsNotMet, match="unknown"):
        read()
    for age, state in ((50, LevelState.BROKEN), (40, LevelState.AT_RISK)):
        report(in_memory_mesh, port, state, age=timedelta(seconds=age))
        with pytest.raises(LevelsNotMet, match=f"timeliness 1 m is {state}") as refused:
            read()
        assert (refused.value.address, refused.value.state) == (str(port.address), state)
    report(in_memory_mesh, port, LevelState.MET)
    assert read() == 3


def test_a_reader_ends_when_levels_fall(in_memory_mesh: Mesh, port: Binding) -> None:
    """A promise that is broken while a reader reads ends its reading with the error."""
    report(in_memory_mesh, port, LevelState.MET, age=timedelta(seconds=30))
    with Subscriber(port.address, in_memory_mesh.registry, require=Require.MET, look_s=0.05, kafka=CONNECTIONS) as one:
        events = iter(one)
        assert {next(events).data["celsius"] for _ in range(3)} == {0.0, 1.0, 2.0}
        report(in_memory_mesh, port, LevelState.BROKEN)
        with pytest.raises(LevelsNotMet):
            next(events)


def test_a_reader_waits_for_what_is_met(in_memory_mesh: Mesh, port: Binding, caplog: pytest.LogCaptureFixture) -> None:
    """A reader that waits gets nothing while a promise is broken, and everything once it is met."""
    report(in_memory_mesh, port, LevelState.BROKEN, age=timedelta(seconds=30))
    found: list[float] = []
    with Subscriber(
        port.address, in_memory_mesh.registry, require="await-met", look_s=0.05, kafka=CONNECTIONS
    ) as subscriber:
        reading = threading.Thread(target=lambda: found.extend(each.data["celsius"] for each in take(subscriber, 3)))
        reading.start()
        wait_for(lambda: "waits for its service levels" in caplog.text, "the reader waits")
        assert found == []
        report(in_memory_mesh, port, LevelState.MET)
        reading.join(PATIENCE_S)
    assert sorted(found) == [0.0, 1.0, 2.0]


def test_the_twin_of_event_loops_refuses_too(in_memory_mesh: Mesh, port: Binding) -> None:
    """An AsyncSubscriber refuses to open below what it requires."""
    report(in_memory_mesh, port, LevelState.BROKEN)

    async def read() -> None:
        async with AsyncSubscriber(port.address, in_memory_mesh.registry, require="met", kafka=CONNECTIONS):
            pass

    with pytest.raises(LevelsNotMet):
        asyncio.run(read())
