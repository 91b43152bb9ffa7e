"""Messages that are larger than a processor's topics take: packed, or left in the input, and read back as they were."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.errors import EncodeError, EventError, ProcessError
from meshport.event.reader import UnreadableHeaders
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.failed import packing
from meshport.ports.failed.packing import fitted, message_bytes, original_digest, unpacked
from meshport.process.engines.memory import Harness
from meshport.process.logic.operators import Aggregate, Apply, Derive, Occurrence, Select
from meshport.process.logic.records import EventRecord
from meshport.process.runtime.quarantine import quarantined_event
from meshport.process.runtime.redrive import redrive_message
from meshport.process.stages import partition as stage
from meshport.process.wire import messages as wire
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import quarantined, read_redriven, read_rekeyed, rekeyed, with_bytes
from tests.process.plays import field, pipeline, play, ports, record

BYTES = st.none() | st.binary(max_size=300)
HEADERS = st.lists(st.tuples(st.text(max_size=9), BYTES), max_size=5)
SMALL = 700
"""Bytes that the topics of these tests take."""
ORIGINAL = InputMessage("player.plays", 0, 7, b"k", bytes(3000), [("ce_id", b"p1"), ("other", None)], 1000)
NOISE = random.Random(1).randbytes(3000)
PLAY = EventRecord({"ms": 1}, 5, 0, 7, 2, "id", "source", 6)


@pytest.fixture(autouse=True)
def small_topics() -> object:
    """Topics take so little that small messages have to be packed."""
    with patch.object(packing, "LARGEST", SMALL), patch.object(wire, "LARGEST", SMALL):
        yield


def read(message: Message, offset: int = 3) -> InputMessage:
    """Return a message as it is read back."""
    return InputMessage(message.topic, message.partition or 0, offset, message.key, message.value, message.headers)


@given(BYTES, BYTES, HEADERS)
def test_a_packed_message_is_read_back_as_it_was(key: bytes | None, value: bytes | None, headers: object) -> None:
    """Key, value and headers survive packing, null ones as null, and nothing else is packed."""
    message = Message("t", key, value, headers)  # type: ignore[arg-type]  # as Hypothesis draws them
    with patch.object(packing, "LARGEST", 300):
        made = fitted(message)
        if message_bytes(key, value, message.headers) <= 300:
            assert made is message
        elif made.value is not None:
            assert unpacked(made.key, made.value, made.headers) == (key, value, message.headers)


def test_a_large_original_is_packed_and_redriven_byte_for_byte() -> None:
    """Quarantine and redrive of an original that is too large for either topic give it back; reason and position are in clear."""
    failed = quarantined("q", ORIGINAL, EventError("it is bad"), 4, PLAY)
    assert message_bytes(*failed[1:4]) <= SMALL
    clear = dict(failed.headers)
    assert (clear["mesh_reason"], clear["mesh_topic"], clear["mesh_offset"]) == (b"it is bad", b"player.plays", b"7")
    event = quarantined_event(*failed[1:4])
    assert (event.key, event.value, event.headers) == (b"k", ORIGINAL.value, tuple(ORIGINAL.headers))
    again = redrive_message("r", event)
    assert message_bytes(*again[1:4]) <= SMALL
    found = read_redriven(read(again))
    assert (found.original, found.record) == (ORIGINAL, PLAY)


def test_ten_rounds_leave_the_event_as_it_was() -> None:
    """An event that is quarantined and redriven again and again has the headers of one failure, packed or not."""
    for value in (b"small", bytes(3000)):
        original = ORIGINAL._replace(value=value)
        first = quarantined("q", original, EventError("it is bad"))
        failed = first
        for _ in range(10):
            redriven = redrive_message("r", quarantined_event(*failed[1:4]))
            original = read_redriven(read(redriven)).original
            failed = quarantined("q", original, EventError("it is bad"))
        assert failed == first
        assert original == ORIGINAL._replace(value=value)


def test_an_original_that_stays_in_the_input_is_read_from_there() -> None:
    """What is too large even when packed leaves size and digest; a redrive has its bytes only if they are still the same."""
    original = ORIGINAL._replace(value=NOISE)
    failed = quarantined("q", original, EventError("it is bad"))
    event = quarantined_event(*failed[1:4])
    assert (event.value, event.headers, event.original) == (None, (), "in the input")
    assert (event.size, event.sha256) == (1 + len(NOISE), original_digest(b"k", NOISE))
    asked: list[tuple[TopicPartition, int]] = []

    def at(partition: TopicPartition, offset: int) -> InputMessage | None:
        asked.append((partition, offset))
        return log

    redriven = read(redrive_message("r", event))
    log: InputMessage | None = original
    assert read_redriven(with_bytes(redriven, at)).original == original
    assert asked == [(TopicPartition("player.plays", 0), 7)]
    for there, why in ((None, "no longer in the input"), (ORIGINAL, "another message")):
        log = there
        found = read_redriven(with_bytes(redriven, at)).original
        assert isinstance(found.headers, UnreadableHeaders)
        assert why in found.headers.reason
    log = original._replace(value=None, headers=UnreadableHeaders("it cannot be decompressed"))
    found = read_redriven(with_bytes(redriven, at)).original
    assert isinstance(found.headers, UnreadableHeaders)
    assert "it cannot be decompressed" in found.headers.reason
    again = quarantined_event(*quarantined("q", found, EventError("x"))[1:4])
    assert (again.original, again.offset) == ("in the input", 7)


def test_a_large_rekeyed_record_is_packed_or_refused() -> None:
    """A re-keyed record keeps its key; one that no message holds is an error of its event."""
    made = rekeyed("t", b"u1", PLAY, 5, ORIGINAL)
    assert (made.key, message_bytes(*made[1:4]) <= SMALL) == (b"u1", True)
    found = read_rekeyed(read(made))
    assert (found.record, found.original) == (PLAY, ORIGINAL)
    with pytest.raises(EncodeError, match=r"a record of the event has \d+ bytes"):
        rekeyed("t", b"u1", PLAY, 5, ORIGINAL._replace(value=NOISE))


def test_a_large_state_row_is_packed_and_restored() -> None:
    """A state row that the changelog would not take is packed; a processor that starts again has it as it was."""
    out = record("Seen", field("user", "string"), field("n", "long"))
    harness = Harness(pipeline(Apply(remember, by=("user",))), output="listening/out", ports=ports(out, ("user",)))
    limit = 100_000
    with patch.object(packing, "LARGEST", limit), patch.object(stage, "LARGEST", limit):
        for _ in range(3):
            harness.publish("player/plays", play(tags=["x" * 30_000]))
            harness.run()
            harness.restart()
        changelog = harness.plan.stages[0].changelog
        assert any(dict(each.headers).get("mesh_packed") for each in harness.outputs(changelog))
        assert [each["n"] for each in harness.records()] == [30_000, 60_000, 90_000]
        noise = "".join(random.Random(1).choices("0123456789abcdef", k=400_000))
        harness.publish("player/plays", play(tags=[noise]))
        with pytest.raises(
            ProcessError, match=r"a state row of player.plays.* has \d+ bytes in the changelog at offset 3"
        ):
            harness.run()


def remember(state: str | None, event: Occurrence) -> tuple[str, list[dict[str, object]]]:
    """Keep the tags of all events of a user."""
    state = (state or "") + event.data["tags"][0]
    return state, [{"user": event.key[0], "n": len(state)}]


def test_what_is_no_packed_message_is_an_error() -> None:
    """A packed message that something else wrote is refused with a plain error."""
    for value in (None, b"junk", b"x\x9c"):
        with pytest.raises(ProcessError, match="no packed message"):
            unpacked(b"k", value, [("mesh_packed", b"zlib")])


def test_an_event_whose_output_is_too_large_is_quarantined() -> None:
    """An output's key counts with its value: an event whose output no broker takes costs itself, by rows and by columns."""
    out = record("Out", field("user", "string"), field("tags", {"type": "array", "items": "string"}))
    for count in (1, 64):
        harness = Harness(pipeline(Select(("user", "tags"))), output="listening/out", ports=ports(out, ("user",)))
        with patch.object(packing, "LARGEST", 16 * 1024 * 1024):
            for number in range(count):
                harness.publish("player/plays", play("u" * (600_000 if number == count // 2 else 1), tags=["x" * 9]))
            harness.run()
            assert [dict(each.headers)["mesh_error"] for each in harness.quarantine()] == [b"EncodeError"]
            assert len(harness.outputs()) == count - 1


def test_junk_in_the_repartition_topic_is_quarantined() -> None:
    """What no source stage wrote is quarantined with its position in the repartition topic; the records around it count."""
    out = record("Sums", field("artist", "string"), field("n", "long"))
    harness = Harness(
        pipeline(Derive({"artist": lambda each: each["artist"]}), Aggregate(("artist",), {"n": "count()"})),
        output="listening/out",
        ports=ports(out, ("artist",), outputs=1),
    )
    with patch.object(packing, "LARGEST", 16 * 1024 * 1024), patch.object(wire, "LARGEST", 16 * 1024 * 1024):
        harness.publish("player/plays", play())
        harness.run()
        repartition = harness.plan.repartition
        assert repartition is not None
        for value in (None, b"", b"{", b"[1]", b"\xff\xff\xff\xffjunk"):
            harness.log.store(Message(repartition.topic, b"k", value))
        harness.publish("player/plays", play(at=datetime(2026, 3, 1, 13, tzinfo=UTC) + timedelta(minutes=1)))
        harness.run()
    assert list(harness.table().values()) == [{"artist": "a1", "n": 2}]
    found = [quarantined_event(each.key, each.value, each.headers) for each in harness.quarantine()]
    assert [(each.topic, each.error) for each in found] == [(repartition.topic, "ProcessError")] * 5
    assert all(f"offset {each.offset}" in each.reason for each in found)
