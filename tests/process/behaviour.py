# ruff: noqa: D102 - `fill` and `check` are described by `Scenario`
"""The behaviour of processors as scenarios for every engine: an input, and a check of all outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from zlib import crc32

from meshport.address import Address
from meshport.event import Event, EventReader
from meshport.kafka.producer import Message
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port, PortRegistry
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Filter,
    Flatten,
    Hopping,
    Occurrence,
    Rename,
    Select,
    Session,
    Tumbling,
)
from meshport.process.logic.pipeline import Pipeline
from meshport.process.wire.input import InputMessage
from meshport.process.wire.partitioner import partition_of
from tests.process.plays import PLAYS, WINDOW, at, pipeline, play, ports, record
from tests.process.plays import field as avro

HOUR = timedelta(hours=1)


@dataclass
class Outcome:
    """The outputs of a run, on Kafka or in memory.

    Attributes:
        ports: to read it by.
        messages: of the output topic, partition by partition.
        late: of the late port.
        quarantine: of the quarantine.
    """

    ports: PortRegistry
    messages: list[InputMessage]
    late: list[InputMessage]
    quarantine: list[InputMessage]

    @property
    def events(self) -> list[Event]:
        """The events of the output."""
        reader = EventReader(self.ports)
        return [reader.read(*each.parts) for each in self.messages]

    @property
    def records(self) -> list[Any]:
        """The data of the output's events, sorted by its text; None for tombstones."""
        return sorted((event.data for event in self.events), key=str)

    @property
    def table(self) -> dict[str, Any]:
        """The last record of each key of the output."""
        rows = {(event.key or b"").decode(): event.data for event in self.events}
        return {key: row for key, row in rows.items() if row is not None}

    @property
    def said(self) -> set[tuple[Any, ...]]:
        """Every output with all of its bytes, partition included."""
        return {(each.partition, each.key, each.value, tuple(each.headers)) for each in self.messages}


@dataclass
class Scenario:
    """One behaviour of processors.

    Attributes:
        pipeline: the logic.
        ports: what it reads and builds.
        fill: puts events on a harness' input.
        check: asserts what came out.
        same_bytes: whether the outputs do not depend on how partitions are interleaved.
    """

    pipeline: Pipeline
    ports: Mapping[str, Port]
    fill: Callable[[Harness], None]
    check: Callable[[Outcome], None]
    same_bytes: bool = True


SCENARIOS: dict[str, Scenario] = {}


def scenario(logic: Pipeline, ports_: Mapping[str, Port], *, same_bytes: bool = True) -> Callable[[type], type]:
    """Register a class with `fill` and `check` under its name."""

    def registered(cls: type) -> type:
        SCENARIOS[cls.__name__] = Scenario(logic, ports_, cls.fill, cls.check, same_bytes)  # type: ignore[attr-defined]  # plain functions of the class
        return cls

    return registered


# The headers of null values that are no CloudEvent: none, those of a structured event, and some of a broken writer's.
FOREIGN: tuple[list[tuple[str, bytes]], ...] = (
    [],
    [("content-type", b"application/cloudevents+json")],
    [("ce_specversion", b"1.0"), ("ce_id", b"\xff")],
)


def delete(harness: Harness, address: str, key: str, minutes: float, headers: list[tuple[str, bytes]]) -> None:
    """Store a null value of a foreign producer, which has only its Kafka timestamp."""
    topic = harness.ports.resolve(Address.parse(address)).topic
    harness.store(Message(topic, key.encode(), None, headers, int(at(minutes).timestamp()) * 1000))


SHORT = record("Short", avro("listener", "string"), avro("seconds", "double"), avro("tags", "string"))


@scenario(
    pipeline(
        Filter("ms >= 500 and 'x' not in tags"),
        Derive({"seconds": "ms / 1000", "double": lambda each: each["ms"] * 2}),
        Rename({"user": "listener"}),
        Select(("listener", "seconds", "tags")),
        Flatten("tags"),
    ),
    ports(SHORT, ("listener",), cleanup="delete"),
)
class Transform:
    """Filter, derive, rename, select and flatten turn an event into several, one, or none."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number, tags in enumerate((["a", "b"], [], ["c"], ["x"], ["d"])):
            harness.publish(
                "player/plays", play(f"u{number}", ms=300 if number == 4 else 1500, tags=tags), id=f"p{number}"
            )

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert [(row["listener"], row["seconds"], row["tags"]) for row in outcome.records] == [
            ("u0", 1.5, "a"), ("u0", 1.5, "b"), ("u2", 1.5, "c"),
        ]  # fmt: skip
        assert len({event.id for event in outcome.events}) == 3
        assert all(event.time == at(0) for event in outcome.events)


TOTALS = record("Totals", avro("user", "string"), *WINDOW, avro("n", "long"), avro("ms", "long"), avro("worst", "long"))


@scenario(
    pipeline(
        Aggregate(("user",), {"n": "count()", "ms": "sum(ms)", "worst": "max(ms)"}, Tumbling(HOUR)), lateness=HOUR
    ),
    ports(TOTALS, ("user", "window_start")),
)
class KeyedWindows:
    """Hourly totals by the input's own key: an event that is out of order counts, a late one goes to the late topic."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number in range(40):
            harness.publish("player/plays", play(f"u{number % 3}", minutes=number * 7, ms=number), id=f"p{number}")
        harness.publish("player/plays", play("u0", minutes=240, ms=1000), id="out of order")
        harness.publish("player/plays", play("u0", minutes=1, ms=9000), id="late")

    @staticmethod
    def check(outcome: Outcome) -> None:
        rows = outcome.table
        assert sum(row["n"] for row in rows.values()) == 41
        assert rows["u0|2026-03-01T16:00:00Z"]["worst"] == 1000
        assert sum(row["ms"] for row in rows.values()) == sum(range(40)) + 1000
        (late,) = outcome.late
        headers = {name: text or b"" for name, text in late.headers}
        assert (late.key, headers["ce_id"]) == (b"u0", b"late")
        assert b"behind the watermark" in headers["mesh_reason"]
        assert headers["mesh_topic"].endswith(b"player.plays.events.v1")


def by_two_partitioners(harness: Harness) -> None:
    """Publish forty plays of ten users: half by murmur2, and half by CRC32 as librdkafka's default partitioner does."""
    partitions = harness.plan.source.partitions
    for number in range(40):
        user = f"u{number % 10}"
        partition = crc32(user.encode()) % partitions if number >= 20 else None
        harness.publish("player/plays", play(user, minutes=number, ms=number), id=f"p{number}", partition=partition)


def foreign(outcome: Outcome) -> dict[str, str]:
    """Return the reason of each event that was quarantined for its partition, by id."""
    headers = [{name: text or b"" for name, text in each.headers} for each in outcome.quarantine]
    assert {each["mesh_error"] for each in headers} <= {b"WrongPartition"}
    return {each["ce_id"].decode(): each["mesh_reason"].decode() for each in headers}


@scenario(
    pipeline(
        Aggregate(("user",), {"n": "count()", "ms": "sum(ms)", "worst": "max(ms)"}, Tumbling(HOUR)), lateness=HOUR
    ),
    ports(TOTALS, ("user", "window_start"), plays=3),
)
class TwoPartitioners:
    """An event in another partition than its key's is quarantined with the partitioner's name; the others count once."""

    @staticmethod
    def fill(harness: Harness) -> None:
        by_two_partitioners(harness)

    @staticmethod
    def check(outcome: Outcome) -> None:
        right = [n for n in range(40) if n < 20 or crc32(b"u%d" % (n % 10)) % 3 == partition_of(b"u%d" % (n % 10), 3)]
        reasons = foreign(outcome)
        assert set(reasons) == {f"p{number}" for number in range(40) if number not in right}
        assert 0 < len(right) < 40
        assert all("consistent_random, CRC32" in reason and "murmur2 puts it" in reason for reason in reasons.values())
        assert sum(row["ms"] for row in outcome.table.values()) == sum(right)
        assert len(outcome.table) == 10


@scenario(
    Pipeline(
        PLAYS,
        (Aggregate(("user",), {"n": "count()", "ms": "sum(ms)", "worst": "max(ms)"}, Tumbling(HOUR)),),
        HOUR,
        repartition="always",
    ),
    ports(TOTALS, ("user", "window_start"), plays=3),
    same_bytes=False,
)
class TwoPartitionersRepartitioned:
    """With `repartition: always` the totals are those of all events, whichever partition their producers chose."""

    @staticmethod
    def fill(harness: Harness) -> None:
        by_two_partitioners(harness)

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert outcome.quarantine == []
        assert {key: row["n"] for key, row in outcome.table.items()} == {
            f"u{n}|2026-03-01T12:00:00Z": 4 for n in range(10)
        }
        assert sum(row["ms"] for row in outcome.table.values()) == sum(range(40))


BY_ARTIST = record("ByArtist", avro("artist", "string"), *WINDOW, avro("n", "long"), avro("mean", ["null", "double"]))


@scenario(
    pipeline(Aggregate(("artist",), {"n": "count()", "mean": "mean(quality)"}, Hopping(HOUR, HOUR / 2)), lateness=HOUR),
    ports(BY_ARTIST, ("artist", "window_start"), plays=3),
    same_bytes=False,
)
class RekeyedWindows:
    """Hopping windows by another key than the input's, with a mean over nulls."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number in range(30):
            quality = None if number % 3 else number / 10
            harness.publish(
                "player/plays", play(f"u{number}", f"a{number % 2}", minutes=number, quality=quality), id=f"p{number}"
            )

    @staticmethod
    def check(outcome: Outcome) -> None:
        rows = outcome.table
        assert {key: row["n"] for key, row in rows.items()} == {
            "a0|2026-03-01T11:30:00Z": 15, "a1|2026-03-01T11:30:00Z": 15,
            "a0|2026-03-01T12:00:00Z": 15, "a1|2026-03-01T12:00:00Z": 15,
        }  # fmt: skip
        assert rows["a0|2026-03-01T12:00:00Z"]["mean"] == (0 + 0.6 + 1.2 + 1.8 + 2.4) / 5
        assert len({event.id for event in outcome.events}) == len(outcome.events) == 60


@scenario(
    pipeline(Aggregate(("artist",), {"n": "count()", "mean": "mean(quality)"}, Tumbling(HOUR), emit="batch")),
    ports(BY_ARTIST, ("artist", "window_start")),
    same_bytes=False,
)
class DampedTotals:
    """A batch writes the last total of each key; how many that are depends on the batches, the table does not."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number in range(30):
            harness.publish(
                "player/plays", play(f"u{number}", f"a{number % 2}", number, quality=number), id=f"p{number}"
            )

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert {key: (row["n"], row["mean"]) for key, row in outcome.table.items()} == {
            "a0|2026-03-01T12:00:00Z": (15, 14), "a1|2026-03-01T12:00:00Z": (15, 15),
        }  # fmt: skip
        assert 2 <= len({event.id for event in outcome.events}) <= 30


@scenario(
    pipeline(
        Deduplicate(HOUR),
        Aggregate(("user",), {"n": "count()"}, Session(timedelta(minutes=10)), emit="close"),
        lateness=timedelta(minutes=5),
    ),
    ports(record("Sitting", avro("user", "string"), *WINDOW, avro("n", "long")), ("user",), cleanup="delete", plays=1),
)
class SessionsWithoutDuplicates:
    """Sessions are emitted once, when they close, and count duplicates once."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for minute in (0, 4, 4, 9, 30, 32, 100):
            harness.publish("player/plays", play("u1", minutes=minute), id=f"at {minute}")
        harness.publish("player/plays", play("u2", minutes=100), id="at 100 by u2")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert [(row["window_start"], row["window_end"], row["n"]) for row in outcome.records] == [
            (at(0), at(9), 3), (at(30), at(32), 2),
        ]  # fmt: skip
        assert [event.time for event in outcome.events] == [at(9), at(32)]


def streak(state: Any, play_: Occurrence) -> tuple[Any, list[dict[str, Any]]]:
    """Count the plays of a user, fail for those of 13 ms, emit the count at every third play and delete the state then."""
    count = (state or 0) + 1
    if play_.data["ms"] == 13:
        raise RuntimeError("unlucky")
    return (None, [{"user": play_.key[0], "n": count}]) if count == 3 else (count, [])


@scenario(
    pipeline(Apply(streak, by=("user",))),
    ports(record("Streak", avro("user", "string"), avro("n", "long")), ("user",), cleanup="delete", plays=1),
)
class Poison:
    """Unreadable events, and those whose function raises, are quarantined with their bytes; all others count."""

    @staticmethod
    def fill(harness: Harness) -> None:
        topic = harness.ports.resolve(harness.plan.source.address).topic
        for number in range(9):
            harness.publish("player/plays", play("u1", ms=13 if number == 4 else number), id=f"p{number}")
            harness.store(
                Message(topic, b"k%d" % number, b"\x00\x01", [("a", b"1"), ("a", b"2"), ("mesh_reason", b"old")])
            )
        harness.store(Message(topic, None, None, []))
        good = harness.publish("player/plays", play("u2"), id="cut")
        harness.store(Message(topic, b"cut", (good.value or b"")[:-1], good.headers))

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert outcome.records == [{"user": "u1", "n": 3}] * 2
        assert len(outcome.quarantine) == 1 + 9 + 1 + 1
        by_error: dict[bytes, list[InputMessage]] = {}
        for each in outcome.quarantine:
            by_error.setdefault(dict(each.headers)["mesh_error"] or b"", []).append(each)
        assert {error: len(found) for error, found in by_error.items()} == {
            b"RuntimeError": 1, b"EventError": 10, b"DecodeError": 1,
        }  # fmt: skip
        (unlucky,) = by_error[b"RuntimeError"]
        assert dict(unlucky.headers)["mesh_reason"] == b"RuntimeError: unlucky"
        assert dict(unlucky.headers)["ce_id"] == b"p4"
        raw = next(each for each in by_error[b"EventError"] if each.key == b"k3")
        assert raw.value == b"\x00\x01"
        assert list(raw.headers[:2]) == [("a", b"1"), ("a", b"2")]
        assert [name for name, _ in raw.headers].count("mesh_reason") == 1
        assert dict(raw.headers)["mesh_offset"] == b"7"


@scenario(
    pipeline(
        Deduplicate(HOUR),
        Derive({"quotient": "1000 // ms"}),
        Flatten("tags"),
        Aggregate(("user", "tags"), {"n": "count()", "sum": "sum(quotient)"}),
    ),
    ports(
        record("Tagged", avro("user", "string"), avro("tags", "string"), avro("n", "long"), avro("sum", "long")),
        ("user", "tags"),
    ),
)
class NoTrace:
    """An event that fails half-way changes no state: corrected and sent again under its id, it counts as new."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for ms, tags in ((10, ["a", "b"]), (0, ["a"]), (10, ["a", "c"])):
            harness.publish("player/plays", play(ms=ms, tags=tags), id="p0" if ms == 10 and "b" in tags else "p1")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert {key: (row["n"], row["sum"]) for key, row in outcome.table.items()} == {
            "u1|a": (2, 200), "u1|b": (1, 100), "u1|c": (1, 100),
        }  # fmt: skip
        assert len(outcome.quarantine) == 1


TABLE = ports(record("Total", avro("artist", "string"), avro("ms", "long")), ("artist",))
TABLE["player/plays"] = Port(TABLE["player/plays"].schema, ("user",), "at", 2, "compact")


@scenario(pipeline(Aggregate(("artist",), {"ms": "sum(ms)"})), TABLE, same_bytes=False)
class OverTable:
    """A total over a compacted port is that of its latest rows, after updates, changes of the group and tombstones."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number, (user, artist, ms) in enumerate(
            (("u1", "a1", 5), ("u2", "a1", 7), ("u1", "a1", 6), ("u2", "a2", 8), ("u3", "a3", 1), ("u4", "a2", 2))
        ):
            harness.publish("player/plays", play(user, artist, minutes=number, ms=ms), id=f"p{number}")
        for user in ("u3", "u4"):
            harness.publish("player/plays", None, time=at(50), key={"user": user}, id=f"gone {user}")
        for number, headers in enumerate(FOREIGN):
            harness.publish("player/plays", play(f"f{number}", "a1", minutes=10, ms=100), id=f"foreign {number}")
            delete(harness, "player/plays", f"f{number}", 50, headers)

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert {key: row["ms"] for key, row in outcome.table.items()} == {"a1": 6, "a2": 8}
        assert outcome.quarantine == []


VIEW = ports({**TABLE["player/plays"].schema, "name": "View"}, ("user",))
VIEW["player/plays"] = TABLE["player/plays"]


@scenario(pipeline(Filter("ms > 5")), VIEW)
class ViewOfTable:
    """A filtered table is a table: a row that no longer passes is deleted, and so is one with a tombstone."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number, (user, ms) in enumerate((("u1", 9), ("u2", 9), ("u3", 9), ("u1", 2), ("u4", 1))):
            harness.publish("player/plays", play(user, minutes=number, ms=ms), id=f"p{number}")
        harness.publish("player/plays", None, time=at(50), key={"user": "u2"}, id="gone")
        for number, headers in enumerate(FOREIGN):
            harness.publish("player/plays", play(f"f{number}", minutes=10, ms=100), id=f"foreign {number}")
            delete(harness, "player/plays", f"f{number}", 50, headers)

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert set(outcome.table) == {"u3"}
        assert outcome.quarantine == []


@scenario(
    pipeline(Aggregate(("user",), {"n": "count()"}, Tumbling(HOUR)), Filter("n < 3"), lateness=HOUR),
    ports(record("Few", avro("user", "string"), *WINDOW, avro("n", "long")), ("user", "window_start")),
)
class FilteredTotals:
    """A total that no longer passes a filter after the aggregate is deleted from the table."""

    @staticmethod
    def fill(harness: Harness) -> None:
        for number in range(5):
            harness.publish("player/plays", play("u1" if number < 3 else "u2", minutes=number), id=f"p{number}")

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert {key: row["n"] for key, row in outcome.table.items()} == {"u2|2026-03-01T12:00:00Z": 2}


@scenario(
    pipeline(Aggregate(("user",), {"n": "count()"}, Tumbling(HOUR)), lateness=HOUR),
    ports(record("Counts", avro("user", "string"), *WINDOW, avro("n", "long")), ("user", "window_start"), plays=1),
)
class BrokenClock:
    """An event from the day after tomorrow is quarantined, and does not make the following events late."""

    @staticmethod
    def fill(harness: Harness) -> None:
        stored = int(at(0).timestamp() * 1000)
        harness.publish("player/plays", play("u1", minutes=0), id="p0", timestamp_ms=stored)
        harness.publish("player/plays", play("u1", minutes=2 * 24 * 60), id="ahead", timestamp_ms=stored)
        harness.publish("player/plays", play("u1", minutes=1), id="p1", timestamp_ms=stored)

    @staticmethod
    def check(outcome: Outcome) -> None:
        assert {row["n"] for row in outcome.table.values()} == {2}
        assert [dict(each.headers)["ce_id"] for each in outcome.quarantine] == [b"ahead"]
        assert outcome.late == []
