"""Local timestamps: the machine's time zone has no part in their bytes, keys, times, days and hours.

Avro's specification has them count from 1970-01-01T00:00:00 "without zone", so that no conversion may take place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from meshport.codec import Codec
from meshport.codec.jsonform import from_json, to_json
from meshport.errors import EncodeError, PublishError
from meshport.event.record import event_time, record_key, retraction_key
from meshport.expression.expression import Expression
from meshport.files.ingest import Format, Row
from meshport.files.row_mapper import RowMapper
from meshport.process.logic import lossless_json
from meshport.schema import Schema, parse_schema

# In Berlin 02:30 does not exist on the first day and exists twice on the second; both are written as they are.
SKIPPED = datetime(2026, 3, 29, 2, 30)  # noqa: DTZ001 - a local timestamp has no zone
TWICE = datetime(2026, 10, 25, 2, 30)  # noqa: DTZ001 - as above
LATE = datetime(2026, 7, 1, 23, 59, 59, 999_000)  # noqa: DTZ001 - as above
MOMENTS = (SKIPPED, TWICE, TWICE.replace(fold=1), LATE, datetime(1, 1, 1), datetime(1969, 12, 31, 23))  # noqa: DTZ001
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Shanghai")


def schema_of(logical: str) -> Schema:
    """A record with one field of a logical type."""
    field = {"name": "slot", "type": {"type": "long", "logicalType": logical}}
    return parse_schema(json.dumps({"type": "record", "name": "Slot", "fields": [field]}))


LOCAL = schema_of("local-timestamp-millis")
MICROS = schema_of("local-timestamp-micros")
INSTANT = schema_of("timestamp-millis")


@pytest.fixture(params=ZONES)
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The time zone of the machine, for this process."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_local_timestamp_is_written_as_it_is(moment: datetime) -> None:
    """Bytes, key, event time, JSON and stored state of a local timestamp are the same on every machine."""
    plain = moment.replace(fold=0)
    for schema in (LOCAL, MICROS):
        codec = Codec(schema)
        assert codec.decode(codec.encode({"slot": moment})) == {"slot": plain}
        assert event_time("slot", schema)({"slot": moment}) == plain.replace(tzinfo=UTC)
        assert from_json(schema, {"slot": to_json(moment)}) == {"slot": plain}
    text = plain.isoformat().encode()
    assert record_key(("slot",))({"slot": moment}) == text
    assert retraction_key(("slot",), LOCAL)({"slot": moment}) == text
    assert lossless_json.loads(lossless_json.dumps(moment)) == plain


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("moment", MOMENTS)
def test_day_and_hour_are_those_as_written(moment: datetime) -> None:
    """`date` and `hour` of a local timestamp are its own; those of an instant are in UTC; differences ignore the machine."""
    record = {"slot": moment, "at": moment.replace(tzinfo=UTC), "start": datetime(2026, 1, 1)}  # noqa: DTZ001
    for name in ("slot", "at"):
        assert Expression(f"date({name})")(record) == moment.date()
        assert Expression(f"hour({name})")(record) == moment.hour
    elapsed = moment.replace(tzinfo=UTC) - datetime(2026, 1, 1, tzinfo=UTC)
    assert Expression("seconds(slot - start)")(record) == elapsed / timedelta(seconds=1)


@pytest.mark.usefixtures("zone")
def test_columns_have_the_same_day_and_hour() -> None:
    """Columns compute `date` and `hour` of local timestamps, with the values of the row path."""
    pa = pytest.importorskip("pyarrow")
    from meshport.process.columns.expressions import compile_columns  # noqa: PLC0415 - needs pyarrow

    column = pa.array([*MOMENTS, None], pa.timestamp("ms"))
    for text in ("date(slot)", "hour(slot)", "hour(slot) >= 22"):
        expression = Expression(text)
        made = compile_columns(expression, pa.schema([("slot", column.type)]))({"slot": column})
        assert made.to_pylist() == [expression({"slot": each}) for each in [*MOMENTS, None]]


@pytest.mark.usefixtures("zone")
def test_rows_of_a_frame_have_the_keys_and_times_of_records() -> None:
    """A frame of naive datetimes is written as the records are: bytes, keys, and event times."""
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyruhvro")
    from meshport.event.column_writer import ColumnWriter  # noqa: PLC0415 - needs pyarrow

    frame = pa.RecordBatch.from_pydict({"slot": pa.array(MOMENTS, pa.timestamp("us"))})
    (made,) = ColumnWriter(LOCAL, b"", ("slot",), "slot").parts(frame)
    assert made.values == [Codec(LOCAL).encode({"slot": each}) for each in MOMENTS]
    assert made.keys == [record_key(("slot",))({"slot": each}) for each in MOMENTS]
    assert [datetime.fromisoformat(each.decode()) for each in made.times] == [
        each.replace(tzinfo=UTC, fold=0) for each in MOMENTS
    ]


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize("text", ["2026-03-29 02:30", "2026-03-29T02:30:00", "2026/03/29 02:30"])
def test_a_text_of_a_file_is_read_as_it_is(text: str) -> None:
    """A local timestamp of a CSV file or JSON lines keeps the day and hour that the file has."""
    assert RowMapper(LOCAL).record(Row(1, {"slot": text})) == {"slot": SKIPPED}


@pytest.mark.usefixtures("zone")
def test_a_tombstone_names_its_instant() -> None:
    """The key of a tombstone is refused if it is a naive datetime for an instant, since each machine would make another key."""
    key = retraction_key(("slot",), INSTANT)
    with pytest.raises(PublishError, match=r"'slot' holds .* which has no zone"):
        key({"slot": LATE})
    shanghai = timezone(timedelta(hours=8))
    assert key({"slot": LATE.replace(tzinfo=shanghai)}) == b"2026-07-01T15:59:59.999000Z"


def test_a_day_is_no_instant() -> None:
    """`date` of an instant with another zone is its day in UTC."""
    berlin = timezone(timedelta(hours=2))
    assert Expression("date(at)")({"at": datetime(2026, 7, 1, 1, tzinfo=berlin)}) == date(2026, 6, 30)


@pytest.mark.parametrize("text", ["2026-05-04T07:30:00+02:00", "2026-05-04T07:30:00Z"])
def test_the_offset_of_a_text_is_not_lost(text: str) -> None:
    """A text with an offset is refused for a local timestamp in a record, in JSON data and in a file."""
    attempts: dict[str, Callable[[], object]] = {
        "record": lambda: Codec(LOCAL).encode({"slot": text}),
        "JSON data": lambda: Codec(LOCAL).encode(from_json(LOCAL, {"slot": text})),
        "JSON file": lambda: RowMapper(LOCAL, Format.JSONL).record(Row(1, {"slot": text})),
        "CSV file": lambda: RowMapper(LOCAL, Format.CSV).record(Row(1, {"slot": text})),
    }
    for way, attempt in attempts.items():
        with pytest.raises(EncodeError) as refused:
            attempt()
        assert refused.value.field == "slot", way
        assert repr(text) in refused.value.message, way
        assert "a local timestamp " in (refused.value.hint or ""), way
