"""Event times at the ends of what a time can say: each costs at most its own event, in windows of every kind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from meshport.address import Address
from meshport.errors import EventError
from meshport.event import EventReader
from meshport.event.headers import RawHeaders
from meshport.kafka.producer import Message
from meshport.ports.failed.headers import origin_headers, split_failure, timestamp_ms
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Ports
from meshport.process.logic.operators import Aggregate, Deduplicate, Hopping, Session, Tumbling, Window
from meshport.process.runtime.quarantine import quarantined_event
from meshport.process.wire.input import InputMessage
from tests.process.plays import WINDOW, at, field, pipeline, play, ports, record
from tests.process.test_columns import ByColumns

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)  # the millisecond of a Kafka timestamp
WINDOWS: dict[str, Window | None] = {
    "tumbling": Tumbling(timedelta(hours=7)),
    "hopping": Hopping(timedelta(hours=7), timedelta(hours=1)),
    "sessions": Session(timedelta(hours=7)),
    "none": None,
}


@pytest.mark.parametrize(
    "lateness", [timedelta(minutes=10), timedelta(days=3_000_000)], ids=["soon late", "never late"]
)
@pytest.mark.parametrize("made", [Harness, ByColumns])
@pytest.mark.parametrize("by", ["user", "artist"])
@pytest.mark.parametrize(
    ("window", "emit"),
    # A running total, which has no window, never closes.
    [(window, emit) for window in WINDOWS for emit in ("update", "close") if (window, emit) != ("none", "close")],
)
def test_extreme_times_cost_their_own_event(
    window: str, emit: str, by: str, made: type[Harness], lateness: timedelta
) -> None:
    """Good events around one of the year 1 and one of the year 9999 count; what cannot be written is quarantined."""
    total = record("Total", field(by, "string"), *(WINDOW if WINDOWS[window] else []), field("n", "long"))
    key = (by, "window_start") if WINDOWS[window] else (by,)
    logic = pipeline(
        Deduplicate(timedelta(days=1)),
        Aggregate((by,), {"n": "count()"}, WINDOWS[window], emit),  # type: ignore[arg-type]  # one of the two
        lateness=lateness,
    )
    harness = made(logic, output="listening/out", ports=ports(total, key, plays=1, outputs=1))
    harness.publish("player/plays", play(at=FIRST), id="first")
    for minute in range(60):
        harness.publish("player/plays", play(minutes=minute))
    for minute in range(60):
        harness.publish("player/plays", play(minutes=60 * 24 + minute))
    harness.publish("player/plays", play(at=LAST), id="last")
    harness.run()
    found = [
        each for each in harness.records() if not WINDOWS[window] or FIRST + timedelta(days=1) < each["window_start"]
    ]
    quarantined = [quarantined_event(each.key, each.value, each.headers) for each in harness.quarantine()]
    assert {each.id for each in quarantined} <= {"first", "last"}
    assert {each.error for each in quarantined} <= {"EventError"}
    if window in {"tumbling", "hopping"}:
        assert [each.id for each in quarantined] == ["first", "last"]
    if window == "none":
        assert found[-1]["n"] == 122
    elif emit == "update" or lateness < timedelta(days=1):
        latest = {each["window_start"]: each["n"] for each in found if each["window_start"].year == 2026}
        per_event = 7 if window == "hopping" else 1
        assert sum(latest.values()) == 120 * per_event if window != "sessions" else latest
    harness.restart()
    harness.run()


@pytest.mark.parametrize("window", ["tumbling", "hopping"])
@pytest.mark.parametrize("by", ["user", "artist"])
def test_rows_and_columns_agree_on_extreme_times(window: str, by: str) -> None:
    """By rows and by columns the same events are quarantined, and the outputs have the same bytes."""
    total = record("Total", field(by, "string"), *WINDOW, field("n", "long"))
    harnesses = []
    for made in (Harness, ByColumns):
        logic = pipeline(Aggregate((by,), {"n": "count()"}, WINDOWS[window]), lateness=timedelta(days=3_000_000))
        harness = made(logic, output="listening/out", ports=ports(total, (by, "window_start"), plays=1, outputs=1))
        for number in range(100):
            time = FIRST + timedelta(hours=number - 50) if number >= 50 else at(number)
            harness.publish("player/plays", play(at=time), id=f"p{number}")
        harness.run()
        harnesses.append(harness)
    rows, columns = harnesses
    assert rows.outputs() == columns.outputs() != []
    assert without_record(rows) == without_record(columns) != []


def without_record(harness: Harness) -> list[InputMessage]:
    """Return the quarantine without the header of a failed record, which by columns has only the fields that are grouped."""
    kept = [[each for each in message.headers if each[0] != "mesh_record"] for message in harness.quarantine()]
    return [message._replace(headers=headers) for message, headers in zip(harness.quarantine(), kept, strict=True)]


def test_a_kafka_timestamp_after_the_year_9999_is_an_error_of_an_event_without_a_time() -> None:
    """An event with a time of its own is read, whatever Kafka's timestamp is; one without is refused with the timestamp."""
    given = ports(record("Out", field("user", "string")), ("user",))
    bound = Ports(given)
    harness = Harness(pipeline(), output="listening/out", ports=bound)
    message = harness.publish("player/plays", play())
    reader = EventReader(bound)
    assert reader.read(*message._replace(timestamp_ms=2**62).parts).time == at(0)
    headers: RawHeaders = [each for each in message.headers if each[0] != "ce_time"]
    with pytest.raises(EventError, match=r"its Kafka timestamp is 4611686018427387904 ms"):
        EventReader(bound).read(*message._replace(headers=headers, timestamp_ms=2**62).parts)


@pytest.mark.parametrize("made", [Harness, ByColumns])
def test_a_tombstone_is_taken_from_totals_whatever_its_kafka_timestamp(made: type[Harness]) -> None:
    """The row that compaction removes leaves an aggregate over the table, also if Kafka's timestamp is none or after 9999."""
    given = ports(record("Total", field("artist", "string"), field("n", "long")), ("artist",))
    given["player/plays"] = replace(given["player/plays"], key=("user",), cleanup="compact")
    harness = made(pipeline(Aggregate(("artist",), {"n": "count()"})), output="listening/out", ports=given)
    topic = Ports(given).resolve(Address.parse("player/plays")).topic
    for user, stored_ms in {"u1": None, "u2": 253_402_300_800_000, "u3": 2**62, "u4": 1}.items():
        harness.publish("player/plays", play(user, minutes=1))
        if user != "u4":
            harness.store(Message(topic, user.encode(), None, [], stored_ms))
    harness.run()
    assert [row["n"] for row in harness.table().values()] == [1]
    assert harness.quarantine() == []


@pytest.mark.parametrize("stored_ms", [-1, 0, 1, 253_402_300_799_999, 253_402_300_800_000, 2**62])
def test_every_kafka_timestamp_is_kept_with_a_quarantined_event(stored_ms: int) -> None:
    """The header of the original's timestamp holds any that Kafka stores, in ISO 8601 where that has it."""
    failure, _ = split_failure(origin_headers("t", 0, 7, stored_ms))
    assert timestamp_ms(failure.stored_at) == stored_ms
