"""What the reader takes and refuses: headers, the four forms of a value, structured JSON."""

from __future__ import annotations

import json
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import pytest

from meshport.codec import codec_for, prefix
from meshport.errors import DecodeError, EventError, NotRegistered
from meshport.event import EventReader, EventWriter
from meshport.event.reader import FOREIGN_TOMBSTONE, UnreadableHeaders
from tests.codec.samples import PLAY, PLAY_FORM, STARTED, play, schema
from tests.event.registry import Known

Headers = list[tuple[str, bytes | None]]
BODY = codec_for(PLAY).encode(play())
OTHER = schema({"type": "record", "name": "Other", "fields": [{"name": "x", "type": "string"}]})


def _headers(*, without: str = "", **changed: bytes | None) -> Headers:
    headers: dict[str, bytes | None] = {
        "ce_specversion": b"1.0",
        "ce_source": b"mesh://player/plays/events@1",
        "ce_type": b"player.plays.played",
        "ce_dataschema": f"urn:meshport:schema:{PLAY.fingerprint}".encode(),
        "content-type": b"application/avro",
        "ce_id": b"1",
        "ce_time": b"2026-01-02T03:04:05.678Z",
        "ce_recordedtime": b"2026-01-02T03:04:06Z",
    }
    headers |= {name.replace("__", "-"): value for name, value in changed.items()}
    headers.pop(without, None)
    return list(headers.items())


def _read(headers: Headers | None, value: bytes | None = prefix(7) + BODY, **more: Any) -> Any:
    return EventReader(Known(id7=PLAY), **more).read(b"key", value, headers, "topic", 2, 41, 1_000)


@pytest.mark.parametrize("warm", [False, True], ids=["first", "after another event"])
@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (None, "specversion is missing"),
        ([], "specversion is missing"),
        (_headers(without="ce_id"), "id is missing"),
        (_headers(ce_id=b""), "id is empty"),
        (_headers(ce_id=None), "ce_id is null"),
        (_headers(ce_id=b"\xff"), "ce_id is no UTF-8"),
        (_headers(without="ce_source"), "source is missing"),
        (_headers(ce_source=b""), "source is empty"),
        (_headers(without="ce_type"), "type is missing"),
        (_headers(without="ce_specversion"), "specversion is missing"),
        (_headers(ce_specversion=b"0.3"), "specversion is '0.3'"),
        (
            [(name.replace("ce_", "ce-"), value) for name, value in _headers()],
            "specversion is missing; the header 'ce-specversion' is not its header on Kafka",
        ),
        (_headers(ce_time=b"yesterday"), "time is 'yesterday'"),
        (_headers(ce_time=b"2026-01-02T03:04:05"), "no time zone"),
        (_headers(ce_time=b"2026-02-30T03:04:05Z"), "time is '2026-02-30"),
        (_headers(ce_time=None), "ce_time is null"),
        (_headers(ce_time=b"\xff"), "ce_time is no UTF-8"),
        (_headers(ce_recordedtime=b"2026-01-02T03:04:06"), "recordedtime is"),
        (_headers(ce_recordedtime=b""), "recordedtime is ''"),
        (_headers(ce_subject=b""), "subject is empty"),
        ([*_headers(), ("ce_id", b"2")], "ce_id is there twice"),
        ([*_headers(), ("CE_Type", b"2")], "CE_Type is there twice"),
        ([*_headers(), ("ce_x", b"1"), ("ce_x", b"1")], "ce_x is there twice"),
        (
            [*_headers(), ("ce_a-b", b"1")],
            "only an extension is at fault: CloudEvents does not allow its name, 'ce_a-b'",
        ),
        (
            [*_headers(), ("ce_trace_id", b"1")],
            "only an extension is at fault: CloudEvents does not allow its name",
        ),
        ([*_headers(without="ce_id"), ("ce_trace_id", b"1")], "id is missing"),
        ([*_headers(), ("ce_data", b"1")], "'ce_data' is no CloudEvents attribute"),
        (
            [*_headers(), ("ce_datacontenttype", b"application/json")],
            "'application/avro' in one header and 'application/json' in another, ce_datacontenttype",
        ),
        (
            [*_headers(), ("content-type", b"avro/binary")],
            "'application/avro' in one header and 'avro/binary' in another",
        ),
        ([*_headers(), ("ce_x", None)], "ce_x is null"),
    ],
)
def test_headers_that_make_no_event_are_refused(headers: Headers | None, message: str, warm: bool) -> None:
    """What the SDK invents or overlooks is refused by name and position, on the fast path as on the other."""
    reader = EventReader(Known(id7=PLAY))
    if warm:
        reader.read(b"key", prefix(7) + BODY, _headers(), "topic", 2, 40, 1_000)
    with pytest.raises(EventError) as caught:
        reader.read(b"key", prefix(7) + BODY, headers, "topic", 2, 41, 1_000)
    assert message in caught.value.message
    assert caught.value.message.startswith("topic[2]@41: ")


@pytest.mark.parametrize(
    "headers",
    [
        [(name.replace("ce_", "ce-"), value) for name, value in _headers()],
        _headers(ce_specversion=b"0.3"),
    ],
)
def test_what_is_no_cloudevent_on_kafka_is_shown_the_right_header(headers: Headers) -> None:
    """HTTP's prefix and an earlier version are refused with Kafka's prefix and the version in the hint."""
    with pytest.raises(EventError) as caught:
        _read(headers)
    assert "ce_" in str(caught.value.hint)
    assert "1.0" in str(caught.value.hint)


@pytest.mark.parametrize(
    "headers",
    [
        [*_headers(without="content-type"), ("ce_datacontenttype", b"application/avro")],
        [*_headers(), ("ce_datacontenttype", b"Application/Avro")],
        [*_headers(), ("content-type", b"application/avro")],
        [*_headers(without="content-type"), ("contentType", b'"application/avro"')],
        _headers(content__type=b"avro/binary"),
        [*_headers(), ("ce_TraceId", b"1")],
        _headers(ce_id=b'"1"'),
    ],
    ids=["prefixed", "both", "twice", "quoted by Spring", "another name of Avro", "upper case", "an id in quotes"],
)
def test_what_foreign_writers_put_into_headers_is_read(headers: Headers) -> None:
    """A content type under another name, or twice and equal, costs no event; a second one is read as the first."""
    reader = EventReader(Known(id7=PLAY))
    first, second = (reader.read(b"key", prefix(7) + BODY, headers, "topic", 2, 41, 1_000) for _ in range(2))
    assert first.data == play()
    assert first == second
    assert first.id == dict(headers)["ce_id"].decode()  # type: ignore[union-attr]  # each has an id


def test_the_content_type_of_the_data_does_not_hide_that_an_event_is_structured() -> None:
    """`ce_datacontenttype` beside `application/cloudevents+json` is that of the data, in either order."""
    headers: Headers = [("ce_datacontenttype", b"application/json"), ("content-type", b"application/cloudevents+json")]
    for given in (headers, headers[::-1]):
        assert _read(given, json.dumps(_structured()).encode()).data == play()


def test_a_subject_among_the_first_headers_is_kept_on_the_fast_path() -> None:
    """Only headers that all events of a writer share are remembered from one event to the next."""
    headers = _headers(without="content-type")
    for more in (("ce_subject", b"s"), ("ce_traceid", b"1")):
        given = [*headers[:4], more, *headers[4:]]
        reader = EventReader(Known(id7=PLAY))
        first, second = (reader.read(b"key", prefix(7) + BODY, given, "topic", 2, 41, 1_000) for _ in range(2))
        assert first == second
        assert more[1].decode() in {first.subject, first.extensions.get("traceid")}


def test_both_paths_read_the_same() -> None:
    """The second event of a writer takes the fast path and gives what the first gave, with other headers too."""
    reader = EventReader(Known(id7=PLAY))
    first, second = (reader.read(b"key", prefix(7) + BODY, _headers(), "topic", 2, 41, 1_000) for _ in range(2))
    assert first == second
    assert first.as_dict() == second.as_dict()
    more: Headers = [*_headers(), ("ce_subject", b"s"), ("ce_traceparent", b"00-1"), ("other", b"\xff"), ("null", None)]
    third = reader.read(b"key", prefix(7) + BODY, more, "topic", 2, 41, 1_000)
    assert (third.subject, third.extensions) == ("s", {"traceparent": "00-1"})
    assert _read(more) == third


def test_the_schema_is_asked_for_once() -> None:
    """Events of one schema ask the source of schemas for the first one only."""
    known = Known(id7=PLAY)
    reader = EventReader(known)
    for _ in range(5):
        reader.read(None, prefix(7) + BODY, _headers())
    assert known.asked == 1


def test_times_with_other_zones_are_given_in_utc() -> None:
    """RFC 3339 knows offsets, lower case and no fraction; what is read is in UTC."""
    for text in (b"2026-01-02t08:34:05+05:30", b"2026-01-02T03:04:05z", b"2026-01-02T03:04:05.000000Z"):
        event = _read(_headers(ce_time=text))
        assert event.time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert event.time.tzinfo is UTC


def test_an_event_without_time_has_that_of_its_message() -> None:
    """Time is optional in CloudEvents: the Kafka timestamp stands in, and is not shown as the event's word."""
    event = _read(_headers(without="ce_time"))
    assert event.time == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert "time" not in event.as_dict()


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        (_headers(), prefix(7) + BODY),
        (_headers(without="ce_dataschema"), prefix(7) + BODY),
        (_headers(ce_dataschema=b"https://registry.example/schemas/ids/7"), prefix(7) + BODY),
        (_headers(), BODY),
        (_headers(ce_dataschema=f"https://any.example/{PLAY.fingerprint.upper()}".encode()), BODY),
        (_headers(), prefix(4711) + BODY),
        (_headers(ce_dataschema=b"urn:meshport:schema:" + b"0" * 64), prefix(7) + BODY),
        ([*_headers(without="ce_dataschema"), ("__value_schema_id", b"\0\0\0\0\7")], BODY),
        ([*_headers(), ("__value_schema_id", b"\1" + PLAY.guid.bytes)], BODY),
        (_headers(content__type=b"application/vnd.example+avro"), prefix(7) + BODY),
        (_headers(without="content-type"), prefix(7) + BODY),
    ],
    ids=[
        "prefix and dataschema",
        "prefix alone",
        "prefix, dataschema without fingerprint",
        "dataschema alone",
        "another URI",
        "prefix of another registry",
        "dataschema of another registry",
        "id in a header",
        "GUID in a header",
        "another content type",
        "no content type",
    ],
)
def test_the_forms_of_a_value(headers: Headers, value: bytes) -> None:
    """However an event names its schema, the record is the same, twice in a row."""
    reader = EventReader(Known(id7=PLAY))
    for _ in range(2):
        assert reader.read(None, value, headers).data == play()


def test_a_plain_body_that_begins_with_a_zero_is_told_from_a_prefix() -> None:
    """A body whose first bytes look like a prefix is read as the whole that it is, whatever ids are known."""
    record = play(play_id="")
    body = codec_for(PLAY).encode(record)
    assert body[0] == 0
    reader = EventReader(Known(id7=PLAY))
    for value in (body, prefix(7) + body, body):
        assert reader.read(None, value, _headers()).data == record


def test_a_value_that_is_avro_in_two_ways_is_settled_by_its_id_or_refused() -> None:
    """Where both readings decode, the id has to be that of the declared schema in this registry."""
    form = {"type": "record", "name": "Two", "fields": [{"name": each, "type": "bytes"} for each in "st"]}
    two = schema(form)
    value = b"\0\x0a\1\2\3\0\0"
    schema_id = 0x0A010203
    assert codec_for(two).decode(value) == {"s": b"", "t": b"\1\2\3\0\0"}
    headers = _headers(ce_dataschema=two.fingerprint.encode())
    known = EventReader(Known(**{"id1": two, f"id{schema_id}": two}))
    for _ in range(2):
        assert known.read(None, value, headers).data == {"s": b"", "t": b""}
    for others in ({}, {f"id{schema_id}": OTHER}):
        with pytest.raises(EventError, match="Avro both as a whole and after the schema id"):
            EventReader(Known(id1=two, **others)).read(None, value, headers)


def test_a_schema_that_nobody_knows_is_not_registered() -> None:
    """An unknown id and an unknown fingerprint are NotRegistered, with the position; the message is not at fault."""
    for headers, value in (
        (_headers(without="ce_dataschema"), prefix(8) + BODY),
        (_headers(ce_dataschema=b"urn:x:" + b"0" * 64), b"\2" + BODY),
    ):
        with pytest.raises(NotRegistered, match=r"topic\[2\]@41"):
            _read(headers, value)


def test_a_value_without_any_schema_is_refused() -> None:
    """Plain bytes that nothing names a schema for are a DecodeError."""
    with pytest.raises(DecodeError, match="has no schema id before it"):
        _read(_headers(without="ce_dataschema"), b"\2" + BODY)


def test_declarations_that_disagree_are_refused() -> None:
    """A header id of another schema than ce_dataschema names is an EventError."""
    reader = EventReader(Known(id7=PLAY, id8=OTHER))
    with pytest.raises(EventError, match="ce_dataschema names the schema"):
        reader.read(None, BODY, [*_headers(), ("__value_schema_id", b"\0\0\0\0\x08")])
    with pytest.raises(DecodeError, match="__value_schema_id"):
        reader.read(None, BODY, [*_headers(), ("__value_schema_id", b"\2")])


def test_a_bad_value_says_where_it_stands() -> None:
    """A DecodeError names topic, partition and offset, field and byte, on both paths."""
    reader = EventReader(Known(id7=PLAY))
    for _ in range(2):
        with pytest.raises(DecodeError, match=r"topic\[2\]@41: .*'offline' \(boolean\)") as caught:
            reader.read(None, prefix(7) + BODY[:-1] + b"\7", _headers(), "topic", 2, 41, 0)
        assert caught.value.offset == len(BODY) + 4
        reader.read(None, prefix(7) + BODY, _headers(), "topic", 2, 42, 0)


def test_records_are_given_in_the_readers_schema() -> None:
    """A consumer's own schema drops, renames and adds fields; an equal one costs nothing."""
    wanted = schema(
        {
            "type": "record",
            "name": "player.Play",
            "fields": [
                {"name": "length", "type": "double", "aliases": ["played_ms"]},
                {"name": "rating", "type": ["null", "int"], "default": None},
                {"name": "city", "type": ["null", "string"]},
            ],
        }
    )
    assert _read(_headers(), reader=wanted).data == {"length": 183211.0, "rating": None, "city": "Berlin"}
    assert _read(_headers(), reader=schema(PLAY_FORM)).data == play()


def _structured(**changed: Any) -> dict[str, Any]:
    _, headers = EventWriter(source="/s", type="t", codec=codec_for(PLAY), schema_id=7).message(
        play(), id="1", time=STARTED
    )
    event = EventReader(Known(id7=PLAY)).read(None, prefix(7) + BODY, list(headers))
    document = event.as_dict() | {"datacontenttype": "application/json"} | changed
    return {name: value for name, value in document.items() if value is not ...}


def _read_structured(document: Any, content_type: bytes = b"application/cloudevents+json; charset=UTF-8") -> Any:
    value = document if isinstance(document, bytes) else json.dumps(document).encode()
    return _read([("content-type", content_type)], value)


def test_structured_json_is_read_as_the_same_record() -> None:
    """JSON data becomes what the same record is in Avro: instants, enums, defaults; ce_ headers beside it do not count."""
    assert _read_structured(_structured()).data == play()
    short = {name: value for name, value in _structured()["data"].items() if name != "bitrate"}
    event = _read(
        [("Content-Type", b"application/CloudEvents+json"), ("ce_id", b"9")],
        json.dumps(_structured(data=short)).encode(),
    )
    assert (event.id, event.data) == ("1", play(bitrate=160000))
    encoded = _structured(
        data=..., data_base64=b64encode(prefix(7) + BODY).decode(), datacontenttype="application/avro"
    )
    assert _read_structured(encoded).data == play()


@pytest.mark.parametrize(
    ("document", "error", "message"),
    [
        (b"{", EventError, "is no JSON"),
        (b"[" * 100_000, EventError, "is no JSON"),
        (b"\xff", EventError, "is no JSON"),
        ([], EventError, "is no JSON object"),
        (b'{"id": "1", "id": "2"}', EventError, "stands twice"),
        (_structured(id=...), EventError, "id is missing"),
        (_structured(time=17), EventError, "time is 17"),
        (_structured(a_b="x"), EventError, "only an extension is at fault: CloudEvents does not allow its name, 'a_b'"),
        (_structured(a_b="x", id=...), EventError, "id is missing"),
        (_structured(data=...), EventError, "has no data"),
        (_structured(data=None), EventError, "has no data"),
        (_structured(data=..., data_base64=None), EventError, "has no data"),
        (_structured(data_base64=""), EventError, "has both data and data_base64"),
        (_structured(data=..., data_base64="", datacontenttype="application/avro"), DecodeError, "0 bytes end within"),
        (_structured(x=2**31), EventError, "x is 2147483648"),
        (_structured(x=-(2**31) - 1), EventError, "x is -2147483649"),
        (_structured(x=1.5), EventError, "x is 1.5"),
        (_structured(x={}), EventError, "x is {}"),
        (_structured(data=..., data_base64="%"), EventError, "no base64"),
        (_structured(data=..., data_base64=7), EventError, "no base64"),
        (_structured(dataschema=...), EventError, "names no schema"),
        (_structured(data={"played_ms": "long"}), DecodeError, "play_id is missing"),
        (_structured(data=play(started_at="soon")), DecodeError, "started_at is 'soon'"),
        (_structured(data=play(played_ms=1.5, started_at="2026-01-02T03:04:05Z")), DecodeError, "played_ms is 1.5"),
    ],
)
def test_structured_json_that_is_no_event_is_refused(document: Any, error: type[Exception], message: str) -> None:
    """Each fault is refused with the position of the message."""
    with pytest.raises(error) as caught:
        _read_structured(document)
    assert message in str(caught.value)
    assert "topic[2]@41" in str(caught.value)


def test_other_structured_formats_are_refused() -> None:
    """A batch and an Avro envelope are no structured JSON."""
    for kind in (b"application/cloudevents-batch+json", b"application/cloudevents+avro"):
        with pytest.raises(EventError, match="content-type is"):
            _read_structured(_structured(), kind)


def test_extensions_of_structured_json_are_kept_as_canonical_text() -> None:
    """Integers of 32 bits and booleans become text, as in CloudEvents' type system; long names and empty text are kept."""
    given = {"a" * 40: "x", "1a": "y", "empty": "", "low": -(2**31), "high": 2**31 - 1, "yes": True}
    read = _read_structured(_structured(**given)).extensions
    assert read == {**given, "low": "-2147483648", "high": "2147483647", "yes": "true"}


FOREIGN: list[Any] = [
    None,
    [],
    [("content-type", b"application/cloudevents+json")],
    [("other", b"1")],
    _headers(without="ce_id"),
    _headers(ce_id=b"\xff"),
    _headers(ce_time=b"yesterday"),
    [*_headers(), ("ce_a-b", b"1")],
    UnreadableHeaders("a header's name is not UTF-8"),
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_keyed_null_value_is_a_tombstone_whatever_its_headers(headers: Headers | None) -> None:
    """Compaction deletes the row of the key; the tombstone is named by its position and has the time of its Kafka record."""
    event = _read(headers, None)
    assert (event.is_tombstone, event.key, event.type) == (True, b"key", FOREIGN_TOMBSTONE)
    assert (event.source, event.id) == ("kafka:topic", "topic-2-41")
    assert (event.time, event.has_time) == (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), False)
    assert event == _read(headers, None)
    shown = event.to_cloudevent()
    assert (shown.get_data(), shown.get_id(), shown.get_source()) == (None, event.id, event.source)
    assert event.as_dict()["data"] is None


@pytest.mark.parametrize("headers", [None, _headers(without="ce_time")], ids=["foreign", "an event"])
def test_a_tombstone_deletes_whatever_its_kafka_timestamp(headers: Headers | None) -> None:
    """A timestamp after the year 9999 costs no deletion: the time is the epoch, as where there is no timestamp."""
    reader = EventReader(Known(id7=PLAY))
    for stored_ms in (-1, 253_402_300_800_000, 2**62):
        event = reader.read(b"key", None, headers, "topic", 2, 41, stored_ms)
        assert (event.is_tombstone, event.timestamp_ms) == (True, stored_ms)
        assert (event.time, event.has_time) == (datetime(1970, 1, 1, tzinfo=UTC), False)
        assert event.id == ("1" if headers else "topic-2-41")


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_null_value_without_key_and_event_is_refused(headers: Headers | None) -> None:
    """It deletes nothing and says nothing."""
    with pytest.raises(EventError, match=r"topic\[2\]@41"):
        EventReader(Known(id7=PLAY)).read(None, None, headers, "topic", 2, 41, 1_000)


def test_a_tombstone_that_is_an_event_keeps_its_own_attributes() -> None:
    """A null value with CloudEvents headers has the id, time and source that its writer gave it."""
    event = _read([*_headers(without="ce_dataschema"), ("ce_subject", b"s")], None)
    assert (event.is_tombstone, event.id, event.subject, event.has_time) == (True, "1", "s", True)
    assert event.source == "mesh://player/plays/events@1"


@pytest.mark.parametrize("warm", [False, True], ids=["first", "after another event"])
@pytest.mark.parametrize("form", ["null", ["null", PLAY_FORM]], ids=["null", "union"])
def test_a_value_that_decodes_to_null_is_no_tombstone(form: Any, warm: bool) -> None:
    """Kafka keeps such a value as the key's row, so that no reader may take it for a deletion."""
    kind = schema(form)
    reader = EventReader(Known(id7=kind))
    headers = _headers(ce_dataschema=f"urn:meshport:schema:{kind.fingerprint}".encode())
    if warm and form != "null":
        for _ in range(2):
            reader.read(b"key", prefix(7) + b"\x02" + BODY, headers, "topic", 2, 40, 1_000)
    value = prefix(7) + (b"" if form == "null" else b"\0")
    with pytest.raises(EventError, match=r"topic\[2\]@41: the event has no data"):
        reader.read(b"key", value, headers, "topic", 2, 41, 1_000)


def test_an_empty_value_is_no_tombstone() -> None:
    """Only a null value is one; the reason names the empty value."""
    for headers in ([], _headers(), _headers(without="ce_dataschema")):
        with pytest.raises((EventError, DecodeError)) as caught:
            _read(headers, b"")
        assert "topic[2]@41" in caught.value.message
    assert "an empty value has no schema id" in caught.value.message
