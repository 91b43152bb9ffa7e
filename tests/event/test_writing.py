"""What the writer makes, and the attributes that it refuses."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.address import Address
from meshport.codec import codec_for, prefix
from meshport.errors import EncodeError, EventError
from meshport.event import EventWriter, Extension, new_id
from meshport.event.attributes import rfc3339
from meshport.rfc3339 import instant
from tests.codec.samples import PLAY, STARTED, play

SOURCE = str(Address.parse("mesh://player/plays/events@1"))
WRITER = EventWriter(source=SOURCE, type="player.plays.played", codec=codec_for(PLAY), schema_id=7)


def test_a_message_on_the_wire() -> None:
    """Headers in their order, the value in Confluent's frame: nothing more, nothing less."""
    value, headers = WRITER.message(
        play(), id="1", time=STARTED, recorded_time=STARTED + timedelta(seconds=1), subject="a", extensions={"n": 1}
    )
    assert value == prefix(7) + codec_for(PLAY).encode(play())
    assert headers == [
        ("ce_specversion", b"1.0"),
        ("ce_source", b"mesh://player/plays/events@1"),
        ("ce_type", b"player.plays.played"),
        ("ce_dataschema", f"urn:meshport:schema:{PLAY.fingerprint}".encode()),
        ("content-type", b"application/avro"),
        ("ce_id", b"1"),
        ("ce_time", b"2026-01-02T03:04:05.678Z"),
        ("ce_recordedtime", b"2026-01-02T03:04:06.678Z"),
        ("ce_subject", b"a"),
        ("ce_n", b"1"),
    ]


def test_headers_of_one_event_are_not_those_of_another() -> None:
    """A caller may add to the headers that it was given."""
    first = WRITER.message(play(), id="1", time=STARTED)[1]
    first.append(("x", b"y"))
    assert len(WRITER.message(play(), id="2", time=STARTED)[1]) == 8


def test_the_recorded_time_is_now() -> None:
    """Without a given one, the recorded time is the clock's, to the millisecond."""
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    headers = dict(WRITER.message(play(), id="1", time=STARTED)[1])
    assert before <= instant(headers["ce_recordedtime"].decode()) <= datetime.now(UTC)


def test_ids_are_random() -> None:
    """Two ids are never the same and are as long as a UUID's digits."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(each) for each in ids} == {32}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"id": ""}, "id is ''"),
        ({"id": 7}, "id is 7"),
        ({"id": "a\nb"}, "U+000A"),
        ({"id": "\ud800"}, "U+D800"),
        ({"id": "\ufdd0"}, "U+FDD0"),
        ({"time": datetime(2026, 1, 2)}, "is no instant"),  # noqa: DTZ001 - the point of the test
        ({"time": date(2026, 1, 2)}, "is no instant"),
        ({"recorded_time": "now"}, "is no instant"),
        ({"subject": ""}, "subject is ''"),
        ({"extensions": {"Upper": "x"}}, "'Upper' is no name"),
        ({"extensions": {"a" * 21: "x"}}, "is no name"),
        ({"extensions": {"data": "x"}}, "'data' is no name"),
        ({"extensions": {"id": "x"}}, "'id' is no name"),
        ({"extensions": {"x\n": "x"}}, "is no name"),
        ({"extensions": {"x": ""}}, "x is ''"),
        ({"extensions": {"x": 1.5}}, "x is 1.5"),
        ({"extensions": {"x": 2**31}}, "x is 2147483648"),
        ({"extensions": {"x": ["a"]}}, "x is ['a']"),
    ],
)
def test_attributes_that_cloudevents_does_not_allow_are_refused(changed: dict[str, Any], message: str) -> None:
    """Neither a message nor a tombstone is made with them."""
    given_attributes: dict[str, Any] = {"id": "1", "time": STARTED} | changed
    with pytest.raises(EventError) as caught:
        WRITER.message(play(), **given_attributes)
    assert message in caught.value.message
    with pytest.raises(EventError):
        WRITER.tombstone(**given_attributes)


def test_extensions_have_their_canonical_text() -> None:
    """Booleans, whole numbers, bytes and instants as CloudEvents writes them."""
    extensions: dict[str, Extension] = {"a": True, "b": -5, "c": b"\xff", "d": STARTED, "e": "text"}
    headers = dict(WRITER.message(play(), id="1", time=STARTED, extensions=extensions)[1])
    texts = {"ce_a": b"true", "ce_b": b"-5", "ce_c": b"/w==", "ce_d": b"2026-01-02T03:04:05.678Z", "ce_e": b"text"}
    assert texts.items() <= headers.items()


def test_a_port_without_source_or_type_is_refused() -> None:
    """The constant attributes are checked when the writer is made."""
    for source, kind in (("", "t"), ("s", "")):
        with pytest.raises(EventError):
            EventWriter(source=source, type=kind, codec=codec_for(PLAY), schema_id=1)


def test_a_record_that_does_not_fit_is_an_encode_error() -> None:
    """The writer adds nothing to the codec's verdict."""
    with pytest.raises(EncodeError) as caught:
        WRITER.message(play(played_ms="long"), id="1", time=STARTED)
    assert caught.value.field == "played_ms"


# hypothesis adds the zone to the bounds.
_FIRST, _LAST = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001


@given(st.datetimes(_FIRST, _LAST, timezones=st.sampled_from([UTC, timezone(timedelta(hours=9))])))
def test_times_are_read_back(moment: datetime) -> None:
    """RFC 3339 in UTC, to the microsecond, is read back as the same instant."""
    text = rfc3339(moment).decode()
    assert text.endswith("Z")
    assert instant(text) == moment
