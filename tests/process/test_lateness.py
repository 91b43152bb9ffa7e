"""What a processor says where most of what it reads is late."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest

from meshport.process import Aggregate, Tumbling
from meshport.process.engines.memory import Harness
from meshport.process.runtime.lateness import mostly_late, rounded_up
from tests.process.plays import WINDOW, pipeline, play, ports, record
from tests.process.plays import field as avro
from tests.process.test_columns import ByColumns

TOTAL = record("Total", avro("user", "string"), *WINDOW, avro("n", "long"))
DAY = 24 * 60


def loaded(kind: type[Harness], minutes: list[int], lateness: timedelta = timedelta(hours=1)) -> Harness:
    """Return a processor that has read plays of one user with these times."""
    group = Aggregate(("user",), {"n": "count()"}, Tumbling(timedelta(hours=1)), emit="close")
    made = kind(
        pipeline(group, lateness=lateness),
        output="listening/out",
        ports=ports(TOTAL, ("user",), cleanup="delete", plays=1),
    )
    for number, minute in enumerate(minutes):
        made.publish("player/plays", play("u1", minutes=minute), id=f"p{number}")
    made.run([10] if kind is Harness else [])
    return made


@pytest.mark.parametrize("kind", [Harness, ByColumns])
def test_a_first_load_that_is_unsorted_is_reported_once(kind: type[Harness], caplog: pytest.LogCaptureFixture) -> None:
    """The newest event first makes the others late: the log says so once, with the lateness that they would need."""
    unsorted = [40 * DAY, *range(0, 40 * DAY, DAY)]
    with caplog.at_level(logging.WARNING):
        made = loaded(kind, unsorted)
        made.publish("player/plays", play("u1", minutes=0), id="later")
        made.run()
    (said,) = [each.getMessage() for each in caplog.records if "are late" in each.getMessage()]
    for part in (
        "events that mesh://listening/out has read so far are late",
        "up to 40d before the newest",
        "`lateness` is 1h",
        "write `lateness: 45d`",
        "`meshport rebuild listening/out --swap always`",
        "`meshport quarantine listening/out --late`",
    ):
        assert part in said, said
    assert made.worker.counts.late == 41


@pytest.mark.parametrize("kind", [Harness, ByColumns])
def test_the_lateness_that_is_named_suffices(kind: type[Harness], caplog: pytest.LogCaptureFixture) -> None:
    """With the lateness that the log names, none of the events is late; and in order of time none is without it."""
    unsorted = [40 * DAY, *range(0, 40 * DAY, DAY)]
    with caplog.at_level(logging.WARNING):
        assert loaded(kind, unsorted, timedelta(days=45)).worker.counts.late == 0
        assert loaded(kind, sorted(unsorted)).worker.counts.late == 0
    assert not [each for each in caplog.records if "are late" in each.getMessage()]


def test_it_is_reported_again_where_more_lateness_is_needed(caplog: pytest.LogCaptureFixture) -> None:
    """Twice as many late events, of which some are later than the lateness that was named, are reported again."""
    with caplog.at_level(logging.WARNING):
        loaded(Harness, [90 * DAY, *[80 * DAY] * 9, *[20 * DAY] * 90, *[DAY] * 90])
    said = [each.getMessage() for each in caplog.records if "are late" in each.getMessage()]
    assert ["write `lateness: 12d`" in said[0], "write `lateness: 101d`" in said[1], len(said)] == [True, True, 2]


def test_a_few_late_events_are_no_sign() -> None:
    """Four late events, or fewer than half of those that were read, are reported nowhere but in the figures."""
    assert [mostly_late(4, 4), mostly_late(11, 5), mostly_late(10, 5), mostly_late(5, 5)] == [False, False, True, True]


def test_the_lateness_is_rounded_up() -> None:
    """The length that is named is a round one, and no shorter than what the events need."""
    day, minute = timedelta(days=1), timedelta(minutes=1)
    assert rounded_up(3 * day + minute) == 4 * day
    assert rounded_up(day + minute) == timedelta(hours=25)
    assert rounded_up(timedelta(seconds=90.5)) == timedelta(seconds=91)
