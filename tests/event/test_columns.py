"""Messages by columns: whatever they are, what `EventReader` says of each."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.codec import codec_for, prefix
from meshport.errors import MeshError, RegistryUnavailable
from meshport.event import Event, EventReader, EventWriter
from meshport.event.attributes import rfc3339
from meshport.event.columns import ColumnReader, Run
from meshport.schema import Schema
from tests.codec.samples import schema
from tests.columnar.rows import rows_of, same
from tests.event.registry import Known

pytest.importorskip("pyruhvro", reason="the extra `columnar` is not installed")

Message = tuple[bytes | None, list[tuple[str, bytes | None]] | None]
ORDER: Final = schema(
    {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "number", "type": "long"},
            {"name": "note", "type": ["null", "string"]},
            {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "PAID"]}},
        ],
    }
)
SHOP: Final = schema({"type": "record", "name": "Shop", "fields": [{"name": "name", "type": "string"}]})
# A linked list, which no columns hold.
CHAIN: Final = schema(
    {"type": "record", "name": "Chain", "fields": [{"name": "next", "type": ["null", "Chain"], "default": None}]}
)
KNOWN: Final = {"id7": ORDER, "id8": SHOP, "id9": CHAIN}
_RECORDS: Final[dict[int, tuple[Schema, Any]]] = {
    7: (ORDER, {"number": 41, "note": "ring twice", "state": "PAID"}),
    8: (SHOP, {"name": "corner"}),
    9: (CHAIN, {"next": {"next": None}}),
}
_START: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def message(number: int = 0, schema_id: int = 7, **changed: Any) -> Message:
    """What our writer makes of an order, a shop or a chain."""
    form, record = _RECORDS[schema_id]
    writer = EventWriter(
        source="mesh://shop/orders/events@1", type="shop.orders.placed", codec=codec_for(form), schema_id=schema_id
    )
    at = _START + timedelta(milliseconds=number * 125)
    value, headers = writer.message(record, id=f"id-{number}", time=at, recorded_time=at + timedelta(seconds=1))
    return value, list({**dict(headers), **changed}.items())


def _urn(of: Schema) -> bytes:
    return f"urn:meshport:schema:{of.fingerprint}".encode()


def _without_prefix(given: Message) -> Message:
    return given[0][5:] if given[0] else None, given[1]


def _named(name: str) -> Any:
    """A change of the header of that name to something else, or to nothing."""
    values = [
        None,
        b"",
        b"\xff",
        b"1",
        "é𝄞".encode(),
        _urn(SHOP),
        b"application/json",
        b"application/cloudevents+json",
    ]
    return st.sampled_from(values).map(
        lambda value: lambda given: (given[0], [*{**dict(given[1]), name: value}.items()])
    )


_TIMES: Final = st.one_of(
    st.sampled_from(
        [
            b"2026-01-02T03:04:05.123456Z",
            b"2026-01-02T03:04:05.100Z",
            b"2026-01-02T03:04:05.1Z",
            b"2026-01-02T03:04:05.123000Z",
            b"2026-01-02T03:04:05.1234567Z",
            b"2026-01-02T03:04:05.Z",
            b"2026-01-02t03:04:05z",
            b"2026-01-02 03:04:05Z",
            b"2026-01-02T03:04:05+01:00",
            b"2026-01-02T03:04:05+01Z",
            b"2026-01-02T03:04:05.1+01",
            b"2026-01-02T03:04:05",
            b"2026-01-02T24:00:00Z",
            b"2026-01-02T23:59:60Z",
            b"2026-02-29T00:00:00Z",
            b"2024-02-29T00:00:00Z",
            b"0000-01-01T00:00:00Z",
            b"0001-01-01T00:00:00Z",
            b"9999-12-31T23:59:59.999999Z",
            b"20260102T030405.12345Z",
            b"2026-W01-2T03:04:05.12Z",
            b"-026-01-02T03:04:05Z",
            "\uff12026-01-02T03:04Z".encode(),
            b"2026-01-02T03:04:05,123Z",
        ]
    ),
    st.from_regex(rb"\A[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{1,7})?Z\Z"),
)
_WHOLE: Final[list[Callable[[Any], Any]]] = [
    lambda given: (None, given[1]),
    lambda given: (b"", given[1]),
    lambda given: (given[0][:4], given[1]),
    lambda given: (given[0][:-1], given[1]),
    lambda given: (given[0] + b"\0", given[1]),
    lambda given: (prefix(8) + given[0][5:], given[1]),
    lambda given: (prefix(99) + given[0][5:], given[1]),
    lambda given: (b"\1" + given[0][1:], given[1]),
    lambda given: (given[0][:5] + b"\xff" * 12, given[1]),
    _without_prefix,
    lambda given: (given[0], None),
    lambda given: (given[0], []),
    lambda given: (given[0], given[1][::-1]),
    lambda given: (given[0], given[1][1:]),
    lambda given: (given[0], [*given[1], ("ce_subject", b"s")]),
    lambda given: (given[0], [*given[1], ("ce_id", b"again")]),
    lambda given: (given[0], [*given[1][:5], given[1][6], given[1][5], given[1][7]]),
    lambda given: (given[0], [*given[1][:7], ("ce_RecordedTime", given[1][7][1])]),
    lambda given: (given[0], [*given[1][:7], ("ce_subject", b"s")]),
    lambda given: (given[0][5:], [*given[1], ("__value_schema_id", given[0][:5])]),
    lambda _: (
        json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"number": 1}}).encode(),
        [("content-type", b"application/cloudevents+json")],
    ),
    lambda given: (given[0], [*given[1][:4], ("content-type", b"application/json"), *given[1][5:]]),
    lambda given: (given[0], [*given[1][:3], ("ce_dataschema", _urn(SHOP)), *given[1][4:]]),
    lambda given: (given[0], [*given[1][:3], ("ce_dataschema", b"urn:of:none"), *given[1][4:]]),
]
_CHANGES: Final = st.one_of(
    st.sampled_from(_WHOLE),
    st.sampled_from(["ce_specversion", "ce_source", "ce_type", "ce_dataschema", "content-type", "ce_id"]).flatmap(
        _named
    ),
    st.tuples(st.sampled_from(["ce_time", "ce_recordedtime"]), _TIMES).map(
        lambda drawn: lambda given: (given[0], [*{**dict(given[1]), drawn[0]: drawn[1]}.items()])
    ),
)


@st.composite
def _mixtures(draw: st.DrawFn) -> list[Message]:
    """Stretches of messages of some schemas, each stretch whole or with something else among it."""
    given: list[Message] = []
    for schema_id, count in draw(st.lists(st.tuples(st.sampled_from([7, 7, 8, 9]), st.integers(1, 30)), max_size=4)):
        stretch = [message(len(given) + at, schema_id) for at in range(count)]
        for at in draw(st.lists(st.integers(0, count - 1), max_size=2)):
            changed = draw(_CHANGES)
            # One message, or all that follow.
            for place in [at] if draw(st.booleans()) else range(at, count):
                if stretch[place][0] and len(stretch[place][0] or b"") > 4 and len(stretch[place][1] or ()) > 7:
                    stretch[place] = changed(stretch[place])
        given += stretch
    return given


def _verdict(given: Message, reader: Schema | None) -> Event | MeshError:
    try:
        return EventReader(Known(**KNOWN), reader).read(b"key", *given, "topic", 0, 0, 0)
    except MeshError as error:
        return error


def _assert_agree(given: list[Message], runs: list[Run], reader: Schema | None = None) -> None:
    assert [at for run in runs for at in range(run.first, run.end)] == list(range(len(given)))
    for run in runs:
        columns = run.columns
        if columns is None:
            continue
        assert run.end - run.first == len(columns) == columns.data.num_rows >= 8
        rows = rows_of(columns.schema, columns.data)
        canonical = True
        for at, (each, row) in enumerate(zip(given[run.first : run.end], rows, strict=True)):
            event = _verdict(each, reader)
            assert isinstance(event, Event), event
            assert event.subject is None
            assert not event.extensions
            assert event.has_time
            assert event.envelope == columns.envelope
            assert event.id.encode() == columns.ids[at]
            assert (event.time, event.recorded_time) == (_moment(columns.time[at]), _moment(columns.recorded[at]))
            assert same(event.data, row)
            texts = dict(each[1] or ())
            assert (texts["ce_time"], texts["ce_recordedtime"]) == (columns.time_text[at], columns.recorded_text[at])
            canonical &= rfc3339(event.time) == columns.time_text[at]
            canonical &= rfc3339(event.recorded_time or event.time) == columns.recorded_text[at]
        # Said of what was read at once, of which a run may be a part.
        assert canonical or not columns.canonical


def _moment(micros: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(micros))


def _runs(reader: ColumnReader, given: list[Message]) -> list[Run]:
    return reader.runs([value for value, _ in given], [headers for _, headers in given])


@given(_mixtures())
def test_columns_are_what_the_event_reader_reads(given: list[Message]) -> None:
    """A run with columns has the events that reading one by one gives; together the runs are all messages."""
    _assert_agree(given, _runs(ColumnReader(Known(**KNOWN)), given))


@pytest.mark.parametrize("which", [slice(13, 14), slice(13, 30), slice(0, 30)], ids=["one", "the rest", "all"])
@pytest.mark.parametrize("change", _WHOLE, ids=map(str, range(len(_WHOLE))))
def test_what_others_write_is_no_column(change: Callable[[Any], Any], which: slice) -> None:
    """Messages that are none of our writer's, or bad, are never read otherwise than one by one."""
    given = [message(at) for at in range(30)]
    given[which] = map(change, given[which])
    runs = _runs(ColumnReader(Known(**KNOWN)), given)
    _assert_agree(given, runs)
    assert all(run.columns is None for run in runs if run.first <= 13 < run.end)


@given(st.lists(_TIMES, min_size=1, max_size=3))
def test_times_are_read_as_the_event_reader_reads_them(texts: list[bytes]) -> None:
    """Every text of a time is read by columns as by itself, or left to the event reader."""
    given = [message(at, ce_time=texts[at % len(texts)]) for at in range(24)]
    given = sorted(given, key=lambda each: dict(each[1] or ())["ce_time"] or b"")
    _assert_agree(given, _runs(ColumnReader(Known(**KNOWN)), given))


# The same name as the writer's, a symbol fewer, a null less, a field more.
NARROW: Final = schema(
    {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["PAID"]}},
            {"name": "lines", "type": {"type": "array", "items": "string"}, "default": []},
            {"name": "text", "type": "string", "aliases": ["note"]},
        ],
    }
)


@given(
    st.lists(
        st.tuples(
            st.fixed_dictionaries(
                {
                    "number": st.integers(-(2**63), 2**63 - 1),
                    "note": st.sampled_from(["a"] * 8 + [None]),
                    "state": st.sampled_from(["PAID"] * 8 + ["NEW"]),
                }
            ),
            st.integers(1, 20),
        ),
        max_size=8,
    )
)
def test_a_readers_schema_is_what_the_event_reader_resolves_to(records: list[tuple[dict[str, Any], int]]) -> None:
    """Rows have the reader's schema; one that has no place in it is read one by one, and refused there."""
    given: list[Message] = []
    for record, times in records:
        body = prefix(7) + codec_for(ORDER).encode(record)
        given += [(body, message(len(given) + at)[1]) for at in range(times)]
    runs = _runs(ColumnReader(Known(**KNOWN), NARROW), given)
    _assert_agree(given, runs, NARROW)
    for run in runs:
        assert run.columns is None or run.columns.schema == NARROW


def test_what_has_no_place_is_counted_among_what_is_bad() -> None:
    """A bad payload before a row that the reader's schema refuses moves that row's place, not the verdict."""
    codec = codec_for(ORDER)
    records = [{"number": at, "note": None if at == 60 else f"note {at}", "state": "PAID"} for at in range(100)]
    given: list[Message] = [(prefix(7) + codec.encode(record), message(at)[1]) for at, record in enumerate(records)]
    given[20] = (prefix(7) + b"\xff", given[20][1])
    runs = _runs(ColumnReader(Known(**KNOWN), NARROW), given)
    _assert_agree(given, runs, NARROW)
    assert [run.columns is None for run in runs for at in (20, 60) if run.first <= at < run.end] == [True, True]
    assert sum(run.end - run.first for run in runs if run.columns) > 80


def test_a_readers_schema_that_columns_do_not_resolve_to_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Events that the reader's schema takes row by row only are left to it, with the reason in the log."""
    (run,) = _runs(ColumnReader(Known(**KNOWN), SHOP), [message(at) for at in range(20)])
    assert run == Run(0, 20, None)
    assert "the record 'Order' is none of the reader's" in caplog.text


def test_one_writer_is_one_run() -> None:
    """Messages that differ only in what is each one's own are one run, and the registry is asked once."""
    given, known = [message(at) for at in range(500)], Known(**KNOWN)
    reader = ColumnReader(known)
    for _ in range(3):
        (run,) = _runs(reader, given)
        assert run.columns is not None
        assert run.columns.canonical
        assert run.columns.data.column("number").to_pylist() == [41] * 500
    assert known.asked == 1


def test_schemas_take_turns() -> None:
    """Each schema's stretch is a run of its own."""
    given = [message(at, 7 + at // 10 % 2) for at in range(40)]
    runs = _runs(ColumnReader(Known(**KNOWN)), given)
    assert [(run.first, run.columns and run.columns.schema) for run in runs] == [
        (0, ORDER),
        (10, SHOP),
        (20, ORDER),
        (30, SHOP),
    ]


def test_a_bad_payload_cuts_the_run_around_it() -> None:
    """One payload that is refused stands alone; what is before and after it has columns."""
    given = [message(at) for at in range(100)]
    given[40] = (prefix(7) + b"\xff", given[40][1])
    runs = _runs(ColumnReader(Known(**KNOWN)), given)
    assert [(run.first, run.end, run.columns is None) for run in runs] == [
        (0, 40, False),
        (40, 41, True),
        (41, 100, False),
    ]
    _assert_agree(given, runs)


def test_a_text_that_is_not_canonical_is_told() -> None:
    """A time that our writer would have written shorter is read, and said."""
    given = [message(at, ce_time=b"2026-01-02T03:04:05.120000Z") for at in range(8)]
    (run,) = _runs(ColumnReader(Known(**KNOWN)), given)
    assert run.columns is not None
    assert not run.columns.canonical


def test_few_are_read_one_by_one() -> None:
    """Fewer than eight are quicker row by row."""
    (run,) = _runs(ColumnReader(Known(**KNOWN)), [message(at) for at in range(7)])
    assert run == Run(0, 7, None)
    assert ColumnReader(Known(**KNOWN)).runs([], []) == []


def test_a_schema_without_columns_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """Why a schema is read row by row stands in the log, once for all of its events."""
    reader = ColumnReader(Known(**KNOWN))
    with caplog.at_level(logging.INFO, logger="meshport"):
        for kind in (b"shop.orders.placed", b"shop.orders.placed", b"shop.orders.paid"):
            (run,) = _runs(reader, [message(at, 9, ce_type=kind) for at in range(20)])
            assert run.columns is None
    assert [record.getMessage() for record in caplog.records] == [
        f"events of the schema {CHAIN.fingerprint} are read one by one: the record 'Chain' holds itself"
    ]


def test_without_the_extra_nothing_has_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the native library is not installed, all messages are one run that is read row by row."""
    monkeypatch.setattr("meshport.event.columns.unavailable", lambda: "pyruhvro is not installed")
    assert _runs(ColumnReader(Known(**KNOWN)), [message(at) for at in range(20)]) == [Run(0, 20, None)]


def test_a_registry_that_does_not_answer_is_no_verdict() -> None:
    """The messages may be good, so nothing is said of them."""

    class Silent(Known):
        def _find(self, what: object, _matches: object) -> Schema:
            raise RegistryUnavailable(f"nobody says what {what} is")

    with pytest.raises(RegistryUnavailable):
        _runs(ColumnReader(Silent()), [message(at) for at in range(20)])
