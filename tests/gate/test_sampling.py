"""Which stored events a proof on history reads if it does not read all of them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from meshport.gate.evidence import Presence
from meshport.gate.sampling import Sample
from tests.gate.stored import BEGIN, REQUIRED, offsets, optional, play, port
from tests.mesh_session import Mesh


def test_a_sample_is_bounded_and_covers_beginning_middle_and_end(ports: Mesh) -> None:
    """A sampled partition gives a bounded number of distinct events, at both ends and between; smaller ones are read whole."""
    one = port(ports)
    one.store([*one.messages(range(3000)), *one.messages(range(50), partition=3)])
    told: list[tuple[int, int]] = []
    # A required field without a default: every event that is read fails, so that the failures are what was read.
    evidence = one.prove(play(REQUIRED), Sample(events=60, slices=12), progress=lambda *step: told.append(step))
    read = [offset for partition, offset in offsets(evidence) if partition == 0]
    assert len(read) <= 60
    assert len(read) == len(set(read))
    assert {0, 1, 2, 3, 4} <= set(read)
    assert {2995, 2996, 2997, 2998, 2999} <= set(read)
    inner = [offset for offset in read if 5 <= offset < 2995]
    gaps = [later - earlier for earlier, later in zip([0, *inner], [*inner, 2999], strict=True)]
    assert max(gaps) <= 3000 // 4
    assert [offset for partition, offset in offsets(evidence) if partition == 3] == list(range(50))
    assert (evidence.sampled, evidence.span, evidence.events) == (True, 3050, len(read) + 50)
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == 110
    what = f"a sample of {evidence.events} stored events from the 3,050 offsets of {one.binding.topic}"
    assert str(evidence).startswith(f"{what}: the candidate cannot read {evidence.events} of them\n")


def test_the_smallest_sample_is_the_first_and_the_last(ports: Mesh) -> None:
    """The smallest sample is the first and the last event of a partition; a smaller one is refused."""
    one = port(ports)
    one.store(one.messages(range(100)))
    assert offsets(one.prove(play(REQUIRED), Sample(events=2))) == [(0, 0), (0, 99)]
    with pytest.raises(ValueError, match="2 or more"):
        Sample(events=1)
    with pytest.raises(ValueError, match="2 or more"):
        Sample(slices=1)


def test_what_a_sample_does_not_meet_is_not_called_absent(ports: Mesh) -> None:
    """A version without an event in the sample is reported as not in the sample, not as having none left."""
    one = port(ports)
    one.store(one.messages(range(200)))
    one.become(play(optional("a")))
    sampled = one.prove(play(), Sample(events=10, slices=2))
    seen, missed = sampled.versions
    assert str(sampled).splitlines()[1:] == ["  version 2: not seen in the sample"]
    assert (seen.presence, missed.presence) == (Presence.SEEN, Presence.NOT_IN_SAMPLE)
    assert one.prove(play(), Sample(events=200)).versions[1].presence is Presence.NONE_LEFT


@pytest.mark.kafka
def test_a_sample_is_spread_over_time_too(mesh: Mesh) -> None:
    """A version with twenty events in a month between two bursts of thousands is in the sample."""
    one = port(mesh)
    burst = one.messages(range(3000))
    rare_schema = play(optional("a"))
    one.become(rare_schema)
    month = [one.message(each, at=BEGIN + timedelta(days=1 + each)) for each in range(20)]
    stamped = [
        each._replace(timestamp_ms=int((BEGIN + timedelta(days=days)).timestamp() * 1000))
        for days, half in ((0, burst[:800]), (30, burst[800:]))
        for each in half
    ]
    one.store([*stamped[:800], *month, *stamped[800:]])
    evidence = one.prove(play(), Sample(events=40))
    assert evidence.sampled
    assert evidence.events <= 40
    assert [each.presence for each in evidence.versions] == [Presence.SEEN, Presence.SEEN]
