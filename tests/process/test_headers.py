"""The headers of a processor's messages: names that stored messages have, written and read by one module."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.errors import EventError, ProcessError
from meshport.kafka.producer import Message
from meshport.ports.failed.headers import split_failure, timestamp_ms
from meshport.process.logic.records import EventRecord
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.wire.headers import changelog_message, changelog_record
from meshport.process.wire.input import InputMessage
from meshport.process.wire.messages import late, quarantined, read_redriven, read_rekeyed, redriven, rekeyed

BYTES = st.none() | st.binary(max_size=9)
HEADERS = st.lists(st.tuples(st.sampled_from(["ce_id", "ce_time", "trace"]), st.binary(max_size=5)), max_size=4)
ORIGINALS = st.builds(
    InputMessage, st.just("player.plays"), st.integers(0, 9), st.integers(0, 2**60), BYTES, BYTES, HEADERS,
    st.just(-1) | st.integers(0, 2**40),
)  # fmt: skip
PLAY = EventRecord({"ms": 1}, 5, 0, 7, 2, "id", "source", 6)


def read(message: Message, offset: int = 3) -> InputMessage:
    """Return a message as it is read back."""
    return InputMessage(message.topic, message.partition or 0, offset, message.key, message.value, message.headers)


def test_the_names_and_their_order_are_those_of_stored_messages() -> None:
    """Messages that were stored before are read, and foreign readers find each header where it was."""
    original = InputMessage("player.plays", 1, 7, b"k", b"v", [("ce_id", b"p1")], 1000)
    origin = [("mesh_topic", b"player.plays"), ("mesh_partition", b"1"), ("mesh_offset", b"7")]
    stored = ("mesh_time", b"1970-01-01T00:00:01+00:00")
    failed = quarantined("q", original, EventError("it is bad"), 4, PLAY)
    assert failed.headers == [
        ("ce_id", b"p1"), ("mesh_reason", b"it is bad"), ("mesh_error", b"EventError"), ("mesh_redriven", b"4"),
        ("mesh_record", b'[{"ms":1},5,0,7,2,"id","source",6,"add",""]'), *origin, stored,
    ]  # fmt: skip
    assert quarantined("q", original, EventError("x"), window='g:["u1"]').headers[3:] == [
        ("mesh_window", b'g:["u1"]'), *origin, stored,
    ]  # fmt: skip
    assert [name for name, _ in late("l", original, 0, 1_000_000, 0).headers] == [
        "ce_id", "mesh_reason", "mesh_watermark", "mesh_topic", "mesh_partition", "mesh_offset", "mesh_time",
    ]  # fmt: skip
    assert redriven("r", original, b"[]").headers == [("ce_id", b"p1"), *origin, stored, ("mesh_record", b"[]")]
    assert rekeyed("t", b"u1", PLAY, None, original).headers == [
        ("ce_id", b"p1"), ("mesh_key", b"k"), ("mesh_value", b"v"),
    ]  # fmt: skip
    assert changelog_message("c", 2, ChangelogRecord(b"g:1", None, 9)) == (
        "c",
        b"g:1",
        None,
        [("stamp", b"9")],
        None,
        2,
    )


@given(ORIGINALS, st.text(max_size=20), st.integers(0, 9))
def test_a_quarantined_event_can_be_redriven_as_it_was(original: InputMessage, reason: str, next_redriven: int) -> None:
    """What is read of a quarantined message makes a redriven one, and that the original, byte for byte."""
    failed = quarantined("q", original, EventError(reason), next_redriven, PLAY)
    failure, own = split_failure(failed.headers)
    assert (failure.error, failure.redriven, own) == ("EventError", next_redriven, original.headers)
    position = (failure.topic, failure.partition, failure.offset)
    again = InputMessage(*position, failed.key, failed.value, own, timestamp_ms(failure.stored_at))
    assert again == original
    found = read_redriven(read(redriven("r", again, failure.record)))
    assert (found.original, found.record) == (original, PLAY)


@given(ORIGINALS)
def test_a_second_failure_replaces_the_headers_of_the_first(original: InputMessage) -> None:
    """A redriven event that fails again has the reason of its last failure only."""
    first = quarantined("q", original, EventError("first"), 0, PLAY)
    second = quarantined("q", original._replace(headers=first.headers), EventError("second"))
    assert second == quarantined("q", original, EventError("second"))


@given(ORIGINALS)
def test_a_rekeyed_record_brings_its_original(original: InputMessage) -> None:
    """The original's key, value and headers are read back from a re-keyed record, null ones as null."""
    record = PLAY._replace(partition=original.partition, offset=original.offset)
    found = read_rekeyed(read(rekeyed("t", b"u1", record, 5, original)))
    assert (found.record, found.watermark, found.original) == (record, 5, original)


@given(st.binary(min_size=1), BYTES, st.integers(-1, 2**60))
def test_a_changelog_record_is_read_as_it_was_written(key: bytes, value: bytes | None, stamp: int) -> None:
    """A tombstone keeps its stamp; the stamp of every other record is in its value."""
    record = ChangelogRecord(key, value, stamp if value is None else -1)
    message = changelog_message("c", 0, record)
    assert changelog_record(message.key, message.value, message.headers) == record


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("mesh_topic", b"t"), ("mesh_partition", b"x"), ("mesh_offset", b"1")],
        [("mesh_topic", b"t"), ("mesh_partition", b"0")],
        [("mesh_topic", b"\xff"), ("mesh_partition", b"0"), ("mesh_offset", b"1")],
        [("mesh_topic", b"t"), ("mesh_partition", b"0"), ("mesh_offset", b"1"), ("mesh_time", b"noon")],
        [("mesh_topic", b"t"), ("mesh_partition", b"0"), ("mesh_offset", b"1"), ("mesh_record", b"{")],
    ],
)
def test_what_is_no_redriven_event_is_an_error(headers: list[tuple[str, bytes]]) -> None:
    """A message of the redrive topic that `redriven` cannot have made is refused with its position."""
    with pytest.raises(ProcessError, match=r"redrive \[0\] offset 3 is no redriven event"):
        read_redriven(InputMessage("redrive", 0, 3, None, None, headers))
