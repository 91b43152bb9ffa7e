"""Redriven events count once, in order, whatever is killed, and the totals are those of a recount."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.codec import codec_for
from meshport.event import EventWriter
from meshport.kafka.producer import Message
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_log import Crash
from meshport.process.logic.operators import Aggregate, Apply, Derive, Flatten, Occurrence, Operator, Select, Tumbling
from meshport.process.logic.pipeline import Pipeline
from meshport.process.runtime import worker
from meshport.process.runtime.quarantine import quarantined_event
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.quarantine import QuarantinedEvents, QuarantinedPosition
from meshport.process.state.rows import StateRows
from meshport.process.wire.messages import redriven
from tests.process.plays import WINDOW, at, field, pipeline, play, ports, record
from tests.process.poison import OTHER, OTHER_ID, Faults
from tests.process.recount import hourly
from tests.process.test_survival import VALUES, content, source

DAY = timedelta(days=1)


class Fault:
    """A product's function that fails for some events until it is fixed."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, event: Any) -> int:
        """The event's milliseconds."""
        if event["ms"] % 3 == 0 and not self.mended:
            raise ValueError("not understood")
        return int(event["ms"])


def drive(harness: Harness, fault: Fault, dice: random.Random) -> None:
    """Publish, process, kill and redrive at random, with the fault or without; without it at the end."""
    killed = False
    for _ in range(dice.randrange(3, 14)):
        for _ in range(dice.randrange(8)):
            data = play(f"u{dice.randrange(2)}", f"a{dice.randrange(2)}", dice.randrange(60), dice.randrange(9))
            harness.publish("player/plays", data)
        mended = dice.random() < (0.8 if fault.mended else 0.4)
        if mended != fault.mended and killed:
            harness.run()  # other code gives other outputs; the same code has to repeat an interrupted delivery
        fault.mended = mended
        if dice.random() < 0.5:
            harness.redrive(lambda _: dice.random() < 0.5)
        try:
            sizes = [dice.choice((1, 1, 2, 9)) for _ in range(20)]
            harness.run(sizes, crash_after=dice.randrange(25) if dice.random() < 0.7 else None)
            killed = False
        except Crash:
            harness.restart()
            killed = True
    harness.run()
    fault.mended = True
    harness.redrive()
    harness.run()
    assert harness.redrive() == []


def totals(by: str) -> tuple[Pipeline, dict[str, Any], Fault]:
    """Hourly totals with a fault before the grouping."""
    fault = Fault()
    logic = pipeline(Derive({"ms": fault}), Aggregate((by,), VALUES, Tumbling(timedelta(hours=1))), lateness=DAY)
    hour = record("Hour", field(by, "string"), *WINDOW, field("plays", "long"), field("ms", "long"))
    return logic, ports(hour, (by, "window_start")), fault


@pytest.mark.parametrize("by", ["user", "artist"])
@pytest.mark.parametrize("at_once", [1, 3, 3000])
def test_totals_of_what_was_redriven(by: str, at_once: int) -> None:
    """With kills and redrives at random each event counts once, and one id has one content."""
    with patch.object(worker, "_REDRIVE_BATCH", at_once):
        for seed in range(40):
            logic, given_ports, fault = totals(by)
            harness = Harness(logic, output="listening/out", ports=given_ports)
            drive(harness, fault, random.Random(seed))
            assert harness.table() == hourly(source(harness), by)
            content(harness)


def mended(harness: Harness, fault: Fault) -> None:
    """Fix the fault, redrive all, and process it."""
    fault.mended = True
    harness.redrive()
    harness.run()


def test_outputs_are_those_that_would_have_been() -> None:
    """The outputs of redriven events have the ids and times of their original positions, and the order of the input."""
    fault, fine = Fault(), Fault()
    fine.mended = True
    schema = record("Seen", field("user", "string"), field("ms", "long"))
    harnesses = []
    for each in (fault, fine):
        harness = Harness(
            pipeline(Derive({"ms": each}), Select(("user", "ms"))),
            output="listening/out",
            ports=ports(schema, ("user",), cleanup="delete", plays=1),
        )
        for number in range(30):
            harness.publish("player/plays", play(f"u{number % 3}", minutes=number, ms=number), id=f"p{number}")
        harness.run()
        mended(harness, each)
        harnesses.append(harness)
    assert content(harnesses[0]) == content(harnesses[1])
    assert [row["ms"] for row in harnesses[0].records() if row["user"] == "u0"] == list(range(0, 30, 3))


def test_what_fails_again_can_be_redriven_again() -> None:
    """An event that fails again is quarantined again, and can be redriven again, once each time."""
    logic, given_ports, fault = totals("user")
    harness = Harness(logic, output="listening/out", ports=given_ports)
    harness.publish("player/plays", play(ms=3), id="p")
    harness.run()
    for number in range(1, 4):
        assert len(harness.quarantine()) == number
        assert [event.id for event in harness.redrive()] == ["p"]
        assert harness.redrive() == []
        harness.run()
    mended(harness, fault)
    assert (harness.redrive(), len(harness.quarantine())) == ([], 4)
    assert harness.table() == hourly(source(harness), "user")


def test_what_the_successor_processed_is_not_redriven() -> None:
    """An event that a killed process quarantined and its successor, with fixed code, processed counts once."""
    logic, given_ports, fault = totals("user")
    harness = Harness(logic, output="listening/out", ports=given_ports)
    harness.publish("player/plays", play(ms=3))
    with pytest.raises(Crash):
        harness.run(crash_after=3)  # the first checkpoints of two partitions, and the event in the quarantine
    assert len(harness.quarantine()) == 1
    harness.restart()
    fault.mended = True
    harness.run()
    assert len(harness.redrive()) == 1
    counts = harness.run()
    assert (counts.redriven, counts.repeated) == (1, 1)
    assert harness.table() == hourly(source(harness), "user")


def test_an_empty_state_takes_the_past_from_its_input() -> None:
    """A processor that starts from an empty state takes redriven events from its input; they may fail and be redriven again."""
    logic, given_ports, fault = totals("user")
    harness = Harness(logic, output="listening/out", ports=given_ports)
    for number in range(9):
        harness.publish("player/plays", play(ms=number))
    harness.run()
    mended(harness, fault)
    for entries in harness.log.topic(harness.plan.stages[0].changelog):
        entries.clear()
    fault.mended = False
    harness.restart()
    harness.run()
    assert len(harness.quarantine()) == 6
    assert len(harness.redrive()) == 3
    fault.mended = True
    harness.run()
    assert harness.table() == hourly(source(harness), "user")


def test_a_redriven_event_may_be_late() -> None:
    """A redriven event counts if its window is open, without moving the watermark, and is late if it is closed."""
    fault = Fault()
    logic = pipeline(
        Derive({"ms": fault}),
        Aggregate(("user",), VALUES, Tumbling(timedelta(hours=1)), emit="close"),
        lateness=timedelta(minutes=30),
    )
    hour = record("Hour", field("user", "string"), *WINDOW, field("plays", "long"), field("ms", "long"))
    harness = Harness(
        logic, output="listening/out", ports=ports(hour, ("user", "window_start"), cleanup="delete", plays=1)
    )
    for minute, ms in ((0, 3), (10, 1), (100, 1), (110, 6), (115, 1)):
        harness.publish("player/plays", play(minutes=minute, ms=ms))
    harness.run()
    mended(harness, fault)
    assert [quarantined_event(*each[3:6]).offset for each in harness.late()] == [0]
    assert harness.worker.watermark == source(harness)[-1].time.timestamp() * 1_000_000
    harness.publish("player/plays", play(minutes=300, ms=1))
    harness.run()
    assert [(row["window_start"], row["plays"]) for row in harness.records()] == [(at(0), 1), (at(60), 3)]
    assert harness.redrive() == []


def test_one_record_of_an_event_is_redriven_alone() -> None:
    """Only the record that failed under its new key is redriven; the event's other records have counted."""
    fault = Fault()

    def count(state: int | None, event: Occurrence) -> tuple[int, list[dict[str, Any]]]:
        if event.key == ("x",) and not fault.mended:
            raise ValueError("not understood")
        return (state or 0) + 1, [{"tags": event.key[0], "n": (state or 0) + 1}]

    schema = record("Tagged", field("tags", "string"), field("n", "long"))
    harness = Harness(
        pipeline(Flatten("tags"), Apply(count, by=("tags",))), output="listening/out", ports=ports(schema, ("tags",))
    )
    for number in range(4):
        harness.publish("player/plays", play(f"u{number}", tags=["a", "x", "b", "x"]))
        harness.run()
    assert len(harness.quarantine()) == 8
    assert len(harness.redrive(lambda event: event.origin[3] == 1)) == 4
    harness.run()
    assert len(harness.quarantine()) == 12
    mended(harness, fault)
    assert {key: row["n"] for key, row in harness.table().items()} == {"a": 4, "b": 4, "x": 8}
    assert harness.redrive() == []


@pytest.mark.parametrize("grouped", [False, True])
def test_an_older_row_does_not_replace_a_newer_one(grouped: bool) -> None:
    """Of a compacted input's quarantined rows, only those are redriven that no later row of their key replaced."""
    fault = Fault()
    schema = record("Row", field("user", "string"), field("ms", "long"))
    given_ports = ports(schema, ("user",))
    table = given_ports["player/plays"]
    given_ports["player/plays"] = replace(table, cleanup="compact")
    steps: list[Operator] = [Derive({"ms": fault})]
    steps += [Aggregate(("user",), {"ms": "sum(ms)"})] if grouped else [Select(("user", "ms"))]
    harness = Harness(pipeline(*steps), output="listening/out", ports=given_ports)
    for minute, (user, ms) in enumerate((("a", 1), ("a", 3), ("a", 2), ("b", 1), ("b", 3), ("b", 6), ("c", 9))):
        harness.publish("player/plays", play(user, minutes=minute, ms=ms))
    harness.run()
    mended(harness, fault)
    assert {key: row["ms"] for key, row in harness.table().items()} == {"a": 2, "b": 6, "c": 9}


def test_a_window_is_not_redriven() -> None:
    """A window that could not be written is quarantined, but is not an event and cannot be redriven."""
    logic = pipeline(
        Aggregate(("user",), VALUES, Tumbling(timedelta(hours=1)), emit="close"),
        Derive({"ms": lambda _: None}),
        lateness=timedelta(minutes=30),
    )
    hour = record("Hour", field("user", "string"), *WINDOW, field("plays", "long"), field("ms", "long"))
    harness = Harness(
        logic, output="listening/out", ports=ports(hour, ("user", "window_start"), cleanup="delete", plays=1)
    )
    for minute in (0, 200):
        harness.publish("player/plays", play(minutes=minute))
    harness.run()
    assert len(harness.quarantine()) == 1
    assert harness.redrive() == []


def test_other_messages_of_the_redrive_topic_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """A message that is not a redriven event, or is one of another input, is logged and changes nothing."""
    logic, given_ports, fault = totals("user")
    harness = Harness(logic, output="listening/out", ports=given_ports)
    bad = harness.publish("player/plays", play(ms=3))
    harness.run()
    topic = harness.plan.redrive_topic
    harness.store(Message(topic, b"k", b"v", (), None, bad.partition))
    harness.store(redriven(topic, bad._replace(topic="another", offset=9), None))
    fault.mended = True
    assert harness.run().redriven == 2
    assert harness.records() == []
    assert len(caplog.messages) == 2
    mended(harness, fault)
    assert harness.table() == hourly(source(harness), "user")


def test_a_checkpoint_without_redriven_events_is_read() -> None:
    """A checkpoint from before there were redrives is read, and has the same bytes while there are none."""
    entry = Checkpoint(5, 7, {}, 3, 9, "shape").to_record()
    assert entry.value == b'[5,7,{},3,9,"shape"]'
    assert Checkpoint.read(entry.value) == Checkpoint(5, 7, {}, 3, 9, "shape", 0, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9000)), max_size=60))
def test_the_quarantine_index_is_a_set_of_offsets(changes: list[tuple[bool, int]]) -> None:
    """The index, which stores runs of offsets by blocks, contains the offsets that a set would."""
    rows, expected = StateRows(), set()
    index = QuarantinedEvents(rows)
    for quarantined, offset in changes:
        near = {offset, offset // 700, offset // 700 + 4090}
        for each in near:
            if quarantined:
                index.add(QuarantinedPosition(0, each, -1), "")
                expected.add(each)
            else:
                index.redriven(QuarantinedPosition(0, each, -1), "")
                expected.discard(each)
            rows.keep(each)
    found = {each for each in range(9001) if index.contains(QuarantinedPosition(0, each, -1), "")}
    assert found == {each for each in expected if each <= 9000}


def test_a_redriven_event_does_not_move_time() -> None:
    """An event that could not be read moved no watermark; redriven it counts, and moves none either."""
    hour = record("Hour", field("user", "string"), *WINDOW, field("plays", "long"), field("ms", "long"))
    bound = Faults(ports(hour, ("user", "window_start"), cleanup="delete", plays=1))
    logic = pipeline(
        Aggregate(("user",), VALUES, Tumbling(timedelta(hours=1)), emit="close"), lateness=timedelta(minutes=30)
    )
    harness = Harness(logic, output="listening/out", ports=bound)
    harness.publish("player/plays", play(minutes=0))
    data = play(minutes=200) | {"device": None}
    writer = EventWriter(source="test", type="play", codec=codec_for(OTHER), schema_id=OTHER_ID)
    value, headers = writer.message(data, id="other", time=data["at"])
    harness.store(Message(harness.plan.source.topic, b"u1", value, headers))
    harness.run()
    assert [quarantined_event(*each[3:6]).error for each in harness.quarantine()] == ["NotRegistered"]
    bound.mended = True
    harness.restart()  # the processor remembers for a while what the registry did not know
    harness.redrive()
    assert harness.run().redriven == 1
    assert (harness.quarantine()[1:], harness.late(), harness.records()) == ([], [], [])
    harness.publish("player/plays", play(minutes=300))
    harness.run()
    assert [(row["window_start"], row["plays"]) for row in harness.records()] == [(at(0), 1), (at(180), 1)]
