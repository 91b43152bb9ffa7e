"""Rows of compacted ports that are out of order: the higher offset counts, before compaction and after it."""

from __future__ import annotations

import logging
import random

import pytest

from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.logic.counted_warning import CountedWarning
from meshport.process.logic.operators import Aggregate, Join, Select
from tests.process.plays import ARTISTS, OUT, PLAY, at, pipeline, play, ports, record
from tests.process.plays import field as avro

LABELLED = record("Labelled", avro("user", "string"), avro("label", ["null", "string"]))


def labelled() -> Harness:
    """Return a processor that joins plays with the rows of their artists."""
    return Harness(
        pipeline(Join(ARTISTS, "artist", {"label": "label"}, "keep"), Select(("user", "label"))),
        output=str(OUT),
        ports=ports(LABELLED, ("user",), cleanup="delete"),
    )


def row(harness: Harness, label: str | None, minute: float) -> None:
    """Publish a row of the artist a1 that holds from a minute on; a tombstone for None."""
    if label is None:
        harness.publish(str(ARTISTS), None, time=at(minute), key={"artist": "a1"})
    else:
        harness.publish(str(ARTISTS), {"artist": "a1", "label": label, "since": at(minute)})


def labels(harness: Harness, *minutes: float) -> list[str | None]:
    """Publish a play of a1 at each of these minutes, and return the labels that they are joined with."""
    before = len(harness.records())
    for minute in minutes:
        harness.publish("player/plays", play(minutes=minute))
    harness.run()
    return [each["label"] for each in harness.records()[before:]]


def test_a_later_offset_replaces_rows_of_its_time_and_after() -> None:
    """A row replaces the rows of its own time and of later times; earlier ones hold up to its time."""
    harness = labelled()
    for label, minute in (("a", 0), ("b", 20), ("c", 40), ("d", 10)):
        row(harness, label, minute)
    assert labels(harness, -1, 0, 9, 10, 20, 50) == [None, "a", "a", "d", "d", "d"]
    row(harness, "e", 10)
    row(harness, None, 30)
    assert labels(harness, 5, 10, 29, 30, 99) == ["a", "e", "e", None, None]


@pytest.mark.parametrize("seed", range(20))
def test_a_join_is_the_same_after_compaction(seed: int) -> None:
    """Events not older than the newest row of their key are joined with it before compaction, after it, and after a restart."""
    dice = random.Random(seed)
    harness = labelled()
    newest = 0
    for number in range(dice.randint(2, 9)):
        newest = dice.randint(0, 50)
        row(harness, f"l{number}", newest)
    minutes = [newest, newest + 1, newest + 20, 99]
    before = labels(harness, *minutes)
    assert before == [f"l{number}"] * 4
    harness.log.compact(harness.ports.resolve(ARTISTS).topic)
    assert labels(harness, *minutes) == before
    harness.restart()
    assert labels(harness, *minutes) == before


def test_a_row_that_is_older_than_the_one_it_replaces_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """The joined table and the aggregate log a row that is out of order, with its position and both times, and count it."""
    declared = ports(record("Plays", avro("artist", "string"), avro("ms", "long")), ("artist",))
    declared["player/plays"] = Port(PLAY, key=("user",), time="at", partitions=2, cleanup="compact")
    summed = Harness(pipeline(Aggregate(("artist",), {"ms": "sum(ms)"})), output=str(OUT), ports=Ports(declared))
    joined = labelled()
    with caplog.at_level(logging.WARNING):
        row(joined, "new", 20)
        row(joined, "old", 10)
        assert labels(joined, 30) == ["old"]
        for minute, ms in ((20, 5), (10, 3)):
            summed.publish("player/plays", play(minutes=minute, ms=ms))
        summed.run()
    assert summed.table()["a1"]["ms"] == 3
    first, second = (each for each in caplog.messages if "compaction keeps" in each)
    for text in (first, second):
        assert "offset 1" in text
        assert "2026-03-01T12:10:00+00:00" in text
        assert "2026-03-01T12:20:00+00:00" in text
    assert "b'a1'" in first
    assert "b'u1'" in second


def test_a_warning_is_logged_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    """Of a thousand equal warnings four are logged, each with the number so far."""
    warning = CountedWarning(logging.getLogger("meshport.test"), "found %s")
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            warning.due(number)
    assert caplog.messages == [
        "found 0",
        "found 9 (10 such since the start)",
        "found 99 (100 such since the start)",
        "found 999 (1000 such since the start)",
    ]
