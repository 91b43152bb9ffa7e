"""Redriving what a group of readers quarantined."""

from __future__ import annotations

import pytest

from meshport.binding import Binding
from meshport.errors import ProcessError
from meshport.process.runtime.quarantine import QuarantinedEvent, is_redriven, read_quarantine, read_redriven
from meshport.process.runtime.redrive import pending, redrive_for_group
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import fill
from tests.ports.test_retries import DOORS, group, handled


@pytest.fixture(params=DOORS)
def door(request: pytest.FixtureRequest) -> str:
    """How a group reads."""
    return str(request.param)


def redriven(binding: Binding, name: str) -> list[bool]:
    """Whether each event in the quarantine of a group was redriven."""
    last = read_redriven(binding, CONNECTIONS, group=name)
    return [is_redriven(each, last) for each in read_quarantine(binding, CONNECTIONS, group=name)]


def offsets(events: list[QuarantinedEvent]) -> list[tuple[int, int]]:
    """Partition and offset of each event."""
    return [(each.partition, each.offset) for each in events]


def test_a_running_member_handles_what_is_redriven(ports: Mesh, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It finds the event, whose cause was fixed meanwhile, and handles it once; the quarantine shows it as redriven."""
    monkeypatch.setattr("meshport.ports.failed.retry_topic._LOOK_S", 0.0)
    binding, name = ports.product(), group()
    fill(ports, binding.address, [3, 13, 4])
    repaired: list[QuarantinedEvent] = []

    def until(done: list[int]) -> bool:
        if len(done) == 2:
            repaired.extend(redrive_for_group(binding, name, kafka=CONNECTIONS))
        return len(done) == 3

    done, waiting = handled(door, ports, binding, name, lambda number, _: number == 3 and not repaired, until)
    assert (sorted(done), done[-1], waiting) == ([3, 4, 13], 3, 0)
    assert [each.error for each in repaired] == ["LookupError"]
    assert redriven(binding, name) == [True]
    assert pending(binding, kafka=CONNECTIONS, group=name) == []
    assert redrive_for_group(binding, name, kafka=CONNECTIONS) == []


def test_an_event_that_fails_again_can_be_redriven_again(ports: Mesh, door: str) -> None:
    """A later member finds it with all of its tries; what it quarantines again is pending again, and a filter chooses."""
    binding, name = ports.product(), group()
    fill(ports, binding.address, [3, 13, 4, 14])  # 13 and 14 are handled once 3 and 4 are quarantined
    handled(door, ports, binding, name, lambda number, _: number < 5, lambda done: len(done) == 2)
    first = pending(binding, kafka=CONNECTIONS, group=name)
    assert sorted(each.key or b"" for each in first) == [b"s3", b"s4"]
    again = redrive_for_group(binding, name, lambda each: each.key == b"s3", kafka=CONNECTIONS)
    assert [each.key for each in again] == [b"s3"]
    tries: list[int] = []

    def fails(number: int, given: int) -> bool:
        if number < 5:
            tries.append(given)
        return number < 5

    fill(ports, binding.address, [23])
    handled(door, ports, binding, name, fails, lambda done: 23 in done)
    assert tries == [1, 2, 3]
    assert redriven(binding, name).count(True) == 1
    assert sorted(offsets(pending(binding, kafka=CONNECTIONS, group=name))) == sorted(offsets(first))


def test_a_group_that_has_failed_on_nothing_has_nothing_to_redrive(in_memory_mesh: Mesh) -> None:
    """A group that never read the port with `on_error` has no topics; the hint says what makes them."""
    binding = in_memory_mesh.product()
    with pytest.raises(ProcessError, match="has no topic"):
        redrive_for_group(binding, group(), kafka=CONNECTIONS)
