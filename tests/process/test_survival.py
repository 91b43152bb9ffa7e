"""A kill at any moment costs nothing: random events, random batches, random crashes, against a recount."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshport.errors import ProcessError, StateDamaged
from meshport.event import Event, EventReader
from meshport.kafka.producer import Message
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import Crash
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Filter,
    Join,
    Occurrence,
    Select,
    Session,
    Tumbling,
)
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.rows import StateRows
from meshport.process.wire.partitioner import partition_of
from tests.process.plays import ARTISTS, WINDOW, at, field, pipeline, play, ports, record
from tests.process.recount import hourly, on_time, sessions, unique

LATENESS = timedelta(minutes=30)
HOUR = record("Hour", field("user", "string"), *WINDOW, field("plays", "long"), field("ms", "long"))
HOUR_OF_ARTIST = record("Hour", field("artist", "string"), *WINDOW, field("plays", "long"), field("ms", "long"))
SITTING = record("Sitting", field("user", "string"), *WINDOW, field("plays", "long"))
VALUES = {"plays": "count()", "ms": "sum(ms)"}

Given = list[tuple[int, int, int, int, bool]]
"""(user, artist, minute, milliseconds, repeats the event before)."""

events_ = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 300), st.integers(0, 999), st.booleans()),
    min_size=1,
    max_size=40,
)
sizes_ = st.lists(st.integers(1, 9), max_size=30)
crashes_ = st.lists(st.integers(0, 40), max_size=8)
quick = settings(suppress_health_check=[HealthCheck.too_slow])


def publish(harness: Harness, given_: Given) -> None:
    """Publish plays, out of order and some of them twice."""
    for number, (user, artist, minute, ms, again) in enumerate(given_):
        data = play(f"u{user}", f"a{artist}", minute, ms)
        for _ in range(2 if again else 1):
            harness.publish("player/plays", data, id=f"play-{number}")


def run(harness: Harness, sizes: Iterable[int], crashes: Iterable[int]) -> None:
    """Process all plays, with a kill for each crash."""
    for crash in crashes:
        try:
            harness.run(sizes, crash_after=crash)
        except Crash:
            harness.restart()
    harness.run(sizes)


def source(harness: Harness) -> list[Event]:
    """Return the events of the input, partition by partition."""
    reader = EventReader(harness.ports)
    return [
        reader.read(*message[3:6], *message[:3], message.timestamp_ms)
        for message in harness.outputs(harness.plan.source.topic)
    ]


def content(harness: Harness) -> dict[str, tuple[Any, ...]]:
    """Return the output of each id, and assert that one id has one content."""
    contents: dict[str, tuple[Any, ...]] = {}
    for message in harness.outputs():
        id_ = (dict(message.headers)["ce_id"] or b"").decode()
        what = (message.key, message.value, tuple(message.headers))
        assert contents.setdefault(id_, what) == what, "one id, two contents"
    return contents


@quick
@given(events_, sizes_, crashes_)
def test_hourly_totals_survive(given_: Given, sizes: list[int], crashes: list[int]) -> None:
    """Windows by the input's key equal a recount, and the outputs are those of a run without a kill."""
    logic = pipeline(
        Deduplicate(timedelta(hours=6)), Aggregate(("user",), VALUES, Tumbling(timedelta(hours=1))), lateness=LATENESS
    )
    harness, calm = (Harness(logic, output="listening/out", ports=ports(HOUR, ("user", "window_start"))) for _ in "12")
    for each in (harness, calm):
        publish(each, given_)
    run(harness, sizes, crashes)
    calm.run()
    counted = unique(on_time(source(harness), LATENESS), timedelta(hours=6))
    assert harness.table() == hourly(counted, "user")
    assert content(harness) == content(calm)
    assert {m.headers[-1][1] for m in harness.late()} == {m.headers[-1][1] for m in calm.late()}


@quick
@given(events_, sizes_, crashes_)
def test_rekeyed_totals_survive(given_: Given, sizes: list[int], crashes: list[int]) -> None:
    """Windows by another key, over a repartition topic, equal a recount."""
    logic = pipeline(
        Deduplicate(timedelta(hours=6)), Aggregate(("artist",), VALUES, Tumbling(timedelta(hours=1))), lateness=LATENESS
    )
    harness = Harness(logic, output="listening/out", ports=ports(HOUR_OF_ARTIST, ("artist", "window_start")))
    publish(harness, given_)
    run(harness, sizes, crashes)
    counted = unique(on_time(source(harness), LATENESS), timedelta(hours=6))
    assert harness.table() == hourly(counted, "artist")
    content(harness)


@quick
@given(events_, sizes_, crashes_, st.sampled_from(["user", "artist"]))
def test_closed_windows_are_given_once(given_: Given, sizes: list[int], crashes: list[int], by: str) -> None:
    """With `emit: close` each closed window is emitted once and complete, whatever was killed, and no open one."""
    logic = pipeline(Aggregate((by,), VALUES, Tumbling(timedelta(hours=1)), emit="close"), lateness=LATENESS)
    schema = HOUR if by == "user" else HOUR_OF_ARTIST
    harness = Harness(logic, output="listening/out", ports=ports(schema, (by, "window_start"), cleanup="delete"))
    publish(harness, given_)
    run(harness, sizes, crashes)
    truth = hourly(on_time(source(harness), LATENESS), by)
    emitted = {id_: key.decode() for id_, (key, _, _) in content(harness).items()}
    assert len(set(emitted.values())) == len(emitted)
    assert harness.table().items() <= truth.items()
    if by == "user":
        newest = {event.partition: event.time for event in sorted(source(harness), key=lambda each: each.time)}
        due = {
            key for key, row in truth.items()
            if any(event.data["user"] == row["user"] and row["window_end"] <= newest[event.partition] - LATENESS
                   for event in source(harness))
        }  # fmt: skip
        assert harness.table().keys() == due


def test_rekeyed_windows_wait_for_every_partition() -> None:
    """A window of re-keyed records closes once every source partition has passed it; an empty partition holds it open."""
    logic = pipeline(Aggregate(("artist",), VALUES, Tumbling(timedelta(hours=1)), emit="close"), lateness=LATENESS)
    harness = Harness(
        logic, output="listening/out", ports=ports(HOUR_OF_ARTIST, ("artist", "window_start"), cleanup="delete")
    )
    one = "a0"
    other = next(f"a{n}" for n in range(9) if partition_of(b"a%d" % n, 2) != partition_of(one.encode(), 2))
    for minute in (0, 200):
        harness.publish("player/plays", play(artist=one, minutes=minute), partition=0)
        harness.run()
    assert harness.records() == []
    harness.publish("player/plays", play(artist=other, minutes=80), partition=1)
    harness.run()
    assert harness.records() == []
    harness.publish("player/plays", play(artist=other, minutes=91), partition=1)
    harness.run()
    assert [(row["artist"], row["window_start"], row["plays"]) for row in harness.records()] == [(one, at(0), 1)]


@quick
@given(events_, sizes_, crashes_)
def test_sessions_survive(given_: Given, sizes: list[int], crashes: list[int]) -> None:
    """A table of sessions, keyed by their start, equals a recount after sessions grew and merged."""
    gap = timedelta(minutes=20)
    logic = pipeline(Aggregate(("user",), {"plays": "count()"}, Session(gap)), lateness=LATENESS)
    harness = Harness(logic, output="listening/out", ports=ports(SITTING, ("user", "window_start")))
    publish(harness, given_)
    run(harness, sizes, crashes)
    found = sorted(
        (row["user"], row["window_start"], row["window_end"], row["plays"]) for row in harness.table().values()
    )
    assert found == sessions(on_time(source(harness), LATENESS), gap)
    content(harness)


@quick
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 99), st.booleans()), max_size=40),
    sizes_,
    crashes_,
)
def test_totals_over_a_table_survive(
    given_: list[tuple[int, int, int, bool]], sizes: list[int], crashes: list[int]
) -> None:
    """A total over a compacted port is that of its latest rows, after updates, tombstones and changes of the group."""
    given_ports = ports(
        record("Total", field("artist", "string"), field("ms", "long"), field("top", "long")), ("artist",)
    )
    table = given_ports["player/plays"]
    given_ports["player/plays"] = type(table)(table.schema, table.key, table.time, 2, "compact")
    logic = pipeline(Filter("ms < 90"), Aggregate(("artist",), {"ms": "sum(ms)", "top": "max(ms)"}))
    harness = Harness(logic, output="listening/out", ports=given_ports)
    latest: dict[str, dict[str, Any]] = {}
    for minute, (user, artist, ms, gone) in enumerate(given_):
        data = play(f"u{user}", f"a{artist}", minute, ms)
        if gone:
            harness.publish("player/plays", None, time=at(minute), key={"user": f"u{user}"})
            latest.pop(f"u{user}", None)
        else:
            harness.publish("player/plays", data)
            latest[f"u{user}"] = data
    run(harness, sizes, crashes)
    truth: dict[str, dict[str, Any]] = {}
    for data in latest.values():
        if data["ms"] < 90:
            row = truth.setdefault(data["artist"], {"artist": data["artist"], "ms": 0, "top": 0})
            row["ms"] += data["ms"]
            row["top"] = max(row["top"], data["ms"])
    assert harness.table() == truth
    content(harness)


def chain(state: dict[str, Any] | None, event: Occurrence) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A function of (state, event) that depends on all earlier events, and that mutates its state before it raises."""
    state = state or {"seen": 0, "sum": 0}
    state["seen"] += 1
    state["sum"] += event.data["ms"]
    if event.data["ms"] % 7 == 3:
        raise ValueError("bad play")
    return state, [{"artist": event.key[0], "n": state["seen"], "ms": state["sum"]}]


@quick
@given(events_, sizes_, crashes_)
def test_a_function_of_state_survives(given_: Given, sizes: list[int], crashes: list[int]) -> None:
    """A product's function is applied to each good event once, in order; where it raises, the state does not change."""
    schema = record("Chain", field("artist", "string"), field("n", "long"), field("ms", "long"))
    harness = Harness(
        pipeline(Apply(chain, by=("artist",))), output="listening/out", ports=ports(schema, ("artist",), plays=1)
    )
    publish(harness, given_)
    run(harness, sizes, crashes)
    truth: dict[str, dict[str, Any]] = {}
    bad = set()
    for event in source(harness):
        if event.data["ms"] % 7 == 3:
            bad.add(event.offset)
            continue
        row = truth.setdefault(event.data["artist"], {"artist": event.data["artist"], "n": 0, "ms": 0})
        row["n"] += 1
        row["ms"] += event.data["ms"]
    assert harness.table() == truth
    content(harness)
    assert {int(dict(message.headers)["mesh_offset"] or b"") for message in harness.quarantine()} == bad


def test_a_damaged_changelog_is_refused() -> None:
    """A changelog that has lost a row is an error, since every later total would be wrong."""
    rows = StateRows()
    for number in range(3):
        rows.put(f"g:{number}", number)
    rows.keep(5)
    entries = rows.changes(-1)
    checkpoint = Checkpoint(5, None, {}, rows.count, rows.checksum)
    assert StateRows.restore([*entries, checkpoint.to_record()])[0].count == 3
    with pytest.raises(StateDamaged, match=r"holds 2 rows .* counts 3"):
        StateRows.restore([*entries[1:], checkpoint.to_record()])
    with pytest.raises(StateDamaged, match="a message is no record of a changelog"):
        StateRows.restore([*entries, ChangelogRecord(b"g:0", b"nonsense"), checkpoint.to_record()])


def test_rows_ahead_of_a_gap_are_written_again() -> None:
    """Where input is passed over, rows that a predecessor wrote of it beyond its checkpoint do not come back."""
    rows = StateRows()
    rows.put("g:a", 1)
    rows.keep(5)
    log = [*rows.changes(-1), Checkpoint(5, None, {}, rows.count, rows.checksum).to_record()]
    rows.mark_stored()
    rows.put("g:a", 2)
    rows.put("g:b", 3)
    rows.keep(7)
    log += rows.changes(5)  # and no checkpoint: the predecessor was killed
    found, _ = StateRows.restore(log)
    found.skip_to(19)
    log += found.changes(5)
    log.append(Checkpoint(19, None, {}, found.count, found.checksum).to_record())
    again, checkpoint = StateRows.restore(log)
    assert (dict(again.items()), checkpoint.offset) == ({"g:a": 1}, 19)


def test_a_zombie_that_writes_late_does_no_harm() -> None:
    """Rows and a checkpoint with an older offset, written by a zombie after its successor, do not change the state."""
    old = StateRows()
    old.put("g:a", 1)
    old.keep(5)
    zombie = old.changes(-1)
    new = StateRows()
    new.put("g:a", 1)
    new.keep(5)
    first = [*new.changes(-1), Checkpoint(5, None, {}, new.count, new.checksum).to_record()]
    new.mark_stored()
    new.put("g:a", 2)
    new.keep(9)
    second = [*new.changes(5), Checkpoint(9, None, {}, new.count, new.checksum).to_record()]
    log: list[ChangelogRecord] = [*first, *second, *zombie, Checkpoint(5, None, {}, 1, old.checksum).to_record()]
    rows, checkpoint = StateRows.restore(log)
    assert (rows.get("g:a"), checkpoint.offset) == (2, 9)


def test_a_deleted_row_stays_deleted() -> None:
    """A row whose tombstone is before a checkpoint is not restored, not even from a zombie's late write."""
    rows = StateRows()
    rows.put("g:a", 1)
    rows.keep(0)
    zombie = rows.changes(-1)
    log = list(zombie)
    for offset in range(1, 4):
        log.append(Checkpoint(offset - 1, None, {}, rows.count, rows.checksum).to_record())
        rows.mark_stored()
        rows.put("g:a", None)
        rows.put("g:b", offset)
        rows.keep(offset)
        log += rows.changes(offset - 1)
    log.append(Checkpoint(3, None, {}, rows.count, rows.checksum).to_record())
    for late in ([], zombie):
        found, checkpoint = StateRows.restore([*log, *late])
        assert (dict(found.items()), checkpoint.offset) == ({"g:b": 3}, 3)
        found.put("g:b", 4)
        found.keep(4)
        assert [each.key for each in found.changes(3)] == [b"g:a"] * len(late) + [b"g:b"]


def test_another_pipeline_does_not_continue_a_state() -> None:
    """A state that another pipeline made is an error with a hint, and is not continued."""
    first = Harness(
        pipeline(Aggregate(("user",), VALUES, Tumbling(timedelta(hours=1)))),
        output="listening/out",
        ports=ports(HOUR, ("user", "window_start")),
    )
    first.publish("player/plays", play(), partition=0)
    first.run()
    second = Harness(
        pipeline(Aggregate(("user",), VALUES, Tumbling(timedelta(hours=2)))),
        output="listening/out",
        ports=ports(HOUR, ("user", "window_start")),
    )
    second.log = first.log
    with pytest.raises(ProcessError, match="another pipeline"):
        second.restart()


def test_state_is_bounded_by_time() -> None:
    """Rows of windows, sessions and duplicates are deleted, from memory and changelog, once the watermark has passed them."""
    schema = record("Hour", field("user", "string"), *WINDOW, field("plays", "long"))
    for window in (Tumbling(timedelta(hours=1)), Session(timedelta(minutes=5))):
        harness = Harness(
            pipeline(Deduplicate(timedelta(minutes=30)), Aggregate(("user",), {"plays": "count()"}, window)),
            output="listening/out",
            ports=ports(schema, ("user", "window_start"), plays=1),
        )
        for number in range(300):
            harness.publish("player/plays", play(f"u{number % 3}", minutes=number * 10))
            harness.run()
        stage = harness.plan.stages[0]
        rows, checkpoint = StateRows.restore(harness.log.entries(stage.changelog, 0))
        assert checkpoint.rows == len(list(rows)) < 20
        last = {message.key: message.value for message in harness.outputs(stage.changelog)}
        assert sum(value is not None for value in last.values()) < 30


def test_an_unreadable_row_of_a_joined_table_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """A row that cannot be read is logged as a warning with its offset, and the key's previous row stays valid."""
    schema = record("Labelled", field("user", "string"), field("label", ["null", "string"]))
    harness = Harness(
        pipeline(Join(ARTISTS, "artist", {"label": "label"}, "quarantine"), Select(("user", "label"))),
        output="listening/out",
        ports=ports(schema, ("user",), cleanup="delete", plays=1),
    )
    row = harness.publish("artists/onboardings", {"artist": "a1", "label": "blue", "since": at(-60)})
    harness.store(Message(row.topic, row.key, b"no row", row.headers))
    harness.publish("player/plays", play("u1", "a1"))
    harness.run()
    assert harness.records() == [{"user": "u1", "label": "blue"}]
    assert harness.quarantine() == []
    (warning,) = caplog.messages
    assert warning.startswith(f"{row.topic} [{row.partition}] offset {row.offset + 1} is no row of ")
