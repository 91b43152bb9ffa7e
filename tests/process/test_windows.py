"""Event time: windows, sessions, watermarks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import NAMESPACE_URL, uuid5

from hypothesis import given
from hypothesis import strategies as st

from meshport.process.logic.event_time import EPOCH, to_datetime, to_micros
from meshport.process.logic.operators import Aggregate, Hopping, Session, Tumbling
from meshport.process.logic.records import EventRecord
from meshport.process.logic.watermark import Watermark, is_ahead
from meshport.process.state.groups import SessionAggregate
from meshport.process.state.rows import StateRows
from meshport.process.wire.outputs import window_id
from meshport.process.wire.partitioner import murmur2

MINUTE = 60_000_000


@given(st.integers(-(10**15), 10**15), st.integers(1, 10**9), st.integers(1, 10**9))
def test_hopping_windows_hold_the_time(time: int, one: int, other: int) -> None:
    """The windows of a time are all those that contain it, each starting at a multiple of the hop."""
    size, every = (
        timedelta(microseconds=max(one, other)),
        timedelta(microseconds=max(1, min(one, other), max(one, other) // 50)),
    )
    starts = Hopping(size, every).starts(time)
    length, hop = size // timedelta(microseconds=1), every // timedelta(microseconds=1)
    assert list(starts) == [
        start
        for start in range(time // hop * hop - length // hop * hop - hop, time + 1, hop)
        if start <= time < start + length
    ]


@given(st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - hypothesis wants it naive
def test_tumbling_windows_are_aligned_to_the_epoch(naive: datetime) -> None:
    """An hourly window starts on the hour in UTC, before 1970 too; times survive the conversion to microseconds and back."""
    time = naive.replace(tzinfo=UTC)
    (start,) = Tumbling(timedelta(hours=1)).starts(to_micros(time))
    assert to_datetime(start) == time.replace(minute=0, second=0, microsecond=0)
    assert to_datetime(to_micros(time)) == time
    assert to_micros(EPOCH) == 0


def test_a_session_ends_only_after_more_than_its_gap() -> None:
    """A record exactly one gap away belongs to the session, which closes only when no such record can come."""
    sessions, rows = (
        SessionAggregate(
            Aggregate(("user",), {"n": "count()"}, Session(timedelta(minutes=5)), "close"),
            Session(timedelta(minutes=5)),
        ),
        StateRows(),
    )

    def add(minute: float) -> None:
        sessions.add(EventRecord({"user": "u"}, int(minute * MINUTE), 0, 0, 0, "i", "s", 0), rows)

    add(10)
    add(15)
    add(20.1)
    assert sessions.advance(20 * MINUTE, rows) == []
    (closed,) = sessions.advance(20 * MINUTE + 1, rows)
    assert (closed.record["n"], closed.record["window_start"], closed.record["window_end"]) == (
        2, to_datetime(10 * MINUTE), to_datetime(15 * MINUTE),
    )  # fmt: skip
    (last,) = sessions.advance(60 * MINUTE, rows)
    assert last.record["n"] == 1
    assert list(rows) == [] or rows.get('s:["u"]') is None


def test_a_session_begins_at_most_its_gap_before() -> None:
    """A record that is out of order belongs to the session that starts exactly one gap after it, and moves the start."""
    session = Session(timedelta(minutes=5))
    sessions, rows = SessionAggregate(Aggregate(("user",), {"n": "count()"}, session), session), StateRows()
    said = [
        sessions.add(EventRecord({"user": "u"}, minute * MINUTE, 0, 0, 0, "i", "s", 0), rows)[-1]
        for minute in (20, 15, 9)
    ]
    assert [(each.record["n"], each.record["window_start"]) for each in said] == [
        (1, to_datetime(20 * MINUTE)), (2, to_datetime(15 * MINUTE)), (1, to_datetime(9 * MINUTE)),
    ]  # fmt: skip


def test_a_late_record_joins_two_sessions() -> None:
    """A record between two sessions merges them, and the two that were emitted before are withdrawn."""
    aggregate = Aggregate(("user",), {"n": "count()"}, Session(timedelta(minutes=5)))
    sessions, rows = SessionAggregate(aggregate, Session(timedelta(minutes=5))), StateRows()
    for minute in (0, 8):
        sessions.add(EventRecord({"user": "u"}, minute * MINUTE, 0, minute, 0, "i", "s", 0), rows)
    emissions = sessions.add(EventRecord({"user": "u"}, 4 * MINUTE, 0, 9, 0, "i", "s", 0), rows)
    assert [(each.gone, each.record["n"]) for each in emissions] == [(True, 1), (True, 1), (False, 3)]


@given(st.lists(st.integers(0, 100), max_size=30), st.integers(0, 20), st.lists(st.integers(1, 5)))
def test_lateness_is_told_from_the_log_alone(times: list[int], lateness: int, cuts: list[int]) -> None:
    """Whether an event is late depends on the events before it in its partition, not on when or how they are read."""
    whole = Watermark(lateness)
    verdicts = []
    for time in times:
        verdicts.append(whole.is_late(time))
        whole.advance(time)
    for number, time in enumerate(times):
        assert verdicts[number] == any(time < other - lateness for other in times[:number])
    restarted, again = Watermark(lateness), []
    for number, time in enumerate(times):
        if number in cuts:
            restarted = Watermark(lateness, restarted.at)
        again.append(restarted.is_late(time))
        restarted.advance(time)
    assert again == verdicts


def test_only_the_future_is_refused() -> None:
    """An event time more than a day after the Kafka timestamp is refused; one long before it is not."""
    now = datetime(2026, 3, 1, tzinfo=UTC)
    stored = to_micros(now) // 1000
    assert is_ahead(to_micros(now + timedelta(hours=25)), stored)
    assert not is_ahead(to_micros(now + timedelta(hours=23)), stored)
    assert not is_ahead(to_micros(now - timedelta(days=9000)), stored)
    assert not is_ahead(to_micros(now + timedelta(days=9000)), -1)


def test_murmur_is_that_of_java() -> None:
    """The hash of keys is that of org.apache.kafka.common.utils.Utils, by the values of its own unit test."""
    known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536, b"": 275646681}
    for text, value in known.items():
        assert murmur2(text) == value % 2**32


@given(st.text())
def test_the_id_of_a_window_is_a_uuid_of_its_name(name: str) -> None:
    """The id of a window is the UUIDv5 of its name, whatever characters that has."""
    space = uuid5(NAMESPACE_URL, "mesh://")
    assert window_id(name) == str(uuid5(space, name))
