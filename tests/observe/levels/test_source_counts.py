"""What a source counted beside what is in its topic: a loss is seen, and equal counts raise no alarm."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random

import pytest

from meshport.kafka.topic_partition import TopicPartition
from meshport.observe.levels.judgement import judged
from meshport.observe.levels.port_measures import PortMeasures
from meshport.observe.levels.promises import Promises
from meshport.observe.levels.source_counting import AT_A_LOOK, PATIENCE_MS, SourceCounting
from meshport.observe.levels.tally import DAY_MS, HOUR_MS
from meshport.product import ServiceLevel
from meshport.service_levels import JudgedLevel, LevelState, MeasuredBy, SourceCount

BEGIN: int = 1_767_225_600_000
MINUTE = 60_000
ONE = TopicPartition("t", 0)
LEVEL = ServiceLevel(property="completeness", value=99.5, unit="percent")


def counted(begin_ms: int, end_ms: int, count: int) -> SourceCount:
    """What a source reports of an interval."""
    start, end = (datetime.fromtimestamp(each / 1000, UTC) for each in (begin_ms, end_ms))
    return SourceCount(start=start, end=end, count=count)


def read(counting: SourceCounting, now_ms: int, events: Iterable[tuple[float, str]]) -> None:
    """Read some events in one pass, for what is due."""
    due = counting.due(now_ms)
    assert due
    counting.begin(due, {ONE: 0}, {ONE: 1})
    for time_ms, event_id in events:
        counting.note(time_ms, "s", event_id)
    counting.end_part({ONE: 1}, now_ms)


def judge(counting: SourceCounting, now_ms: int, level: ServiceLevel = LEVEL) -> JudgedLevel:
    """The judgement of a completeness by what was counted."""
    promises = Promises((level,))
    measures = PortMeasures(promises, keyed=False)
    measures.note_counted(counting.facts(now_ms), counting.why_not())
    (found,) = judged(promises, measures.measures(now_ms))
    return found


def hour_of(seed: int, hour: int, lost: float) -> list[tuple[float, str]]:
    """The events of an hour that are in the topic, some of them twice, of a thousand that the source has."""
    random = Random(seed)
    begin = BEGIN + hour * HOUR_MS
    there = [(begin + each * 3600.0, f"{hour}-{each}") for each in range(1000) if random.random() >= lost]
    return [*there, *there[::10]]


@pytest.mark.parametrize("lost", [0.0, 0.02])
def test_a_loss_of_two_in_a_hundred_is_seen_and_equal_counts_are_met(lost: float) -> None:
    """For a day, the source counts a thousand facts an hour: with none lost no look alarms, with 2 % lost every hour does."""
    counting = SourceCounting()
    for hour in range(24):
        now = BEGIN + (hour + 1) * HOUR_MS + PATIENCE_MS
        counting.take([counted(BEGIN + hour * HOUR_MS, BEGIN + (hour + 1) * HOUR_MS, 1000)])
        read(counting, now, hour_of(3, hour, lost))
        found = judge(counting, now)
        assert found.measured_by is MeasuredBy.SOURCE_COUNT
        if lost:
            assert found.state is LevelState.BROKEN, found
        else:
            assert (found.state, found.budget_left) == (LevelState.MET, 1.0)
            hours = f"from 2026-01-01T{hour:02}:00:00Z to 2026-01-{1 + (hour + 1) // 24:02}T{(hour + 1) % 24:02}:00:00Z"
            assert found.reason == (
                f"1000 of the 1000 facts that the source counted {hours} came, and 0.5 % may be missing"
            )


def test_an_edge_belongs_to_one_interval() -> None:
    """An event at the end of an interval is of the next one; what is outside of both is of neither."""
    counting = SourceCounting()
    counting.take([counted(BEGIN, BEGIN + MINUTE, 1), counted(BEGIN + MINUTE, BEGIN + 2 * MINUTE, 2)])
    now = BEGIN + 2 * MINUTE + PATIENCE_MS
    events = [
        (BEGIN - 1, "a"),
        (BEGIN, "b"),
        (BEGIN + MINUTE, "c"),
        (BEGIN + 2 * MINUTE - 0.5, "d"),
        (BEGIN + 2 * MINUTE, "e"),
    ]
    read(counting, now, events)
    facts = counting.facts(now)
    assert facts is not None
    assert (facts.newest.total, facts.newest.missed) == (3, 0)
    assert counting.due(now + DAY_MS) == ()


def test_what_comes_late_is_missing_no_more() -> None:
    """An interval is looked for some minutes after its end, and again later where events were missing: five times at most."""
    counting = SourceCounting()
    counting.take([counted(BEGIN, BEGIN + HOUR_MS, 100)])
    end = BEGIN + HOUR_MS
    assert counting.due(end + PATIENCE_MS - 1) == ()
    events = [(BEGIN + each, str(each)) for each in range(100)]
    read(counting, end + PATIENCE_MS, events[:90])
    assert judge(counting, end + PATIENCE_MS).state is LevelState.BROKEN
    assert counting.due(end + 3 * PATIENCE_MS) == ()
    later = end + 4 * PATIENCE_MS
    read(counting, later, events)
    assert judge(counting, later).state is LevelState.MET
    assert counting.due(later + DAY_MS) == ()
    counting.take([counted(BEGIN, BEGIN + HOUR_MS, 101)])  # the source corrects itself
    for tries in range(5):
        now = later + (tries + 1) * DAY_MS
        read(counting, now, events)
    assert counting.due(now + DAY_MS) == ()


def test_the_hour_counts_and_the_day_is_the_budget() -> None:
    """Minutes are judged as an hour: one fact of fifty missing in a minute breaks nothing; a bad hour uses the budget up."""
    counting = SourceCounting()
    minutes = range(60)
    counting.take([counted(BEGIN + each * MINUTE, BEGIN + (each + 1) * MINUTE, 50) for each in minutes])
    now = BEGIN + HOUR_MS + PATIENCE_MS
    events = [(BEGIN + each * 1200.0, str(each)) for each in range(3000)]
    read(counting, now, events[1:])
    found = judge(counting, now)
    assert (found.state, found.budget_left) == (LevelState.MET, 0.9333)
    counting.take([counted(BEGIN + HOUR_MS, BEGIN + 2 * HOUR_MS, 20_000)])
    later = now + HOUR_MS
    read(counting, later, [(BEGIN + HOUR_MS + each, f"n{each}") for each in range(19_905)])
    found = judge(counting, later)
    assert (found.state, found.budget_left) == (LevelState.AT_RISK, 0.1652)
    assert found.reason == "96 of the 23000 facts that the source counted in a day are missing, and 0.5 % may be"
    whole = LEVEL.model_copy(update={"value": 100.0})
    assert judge(counting, later, whole).state is LevelState.BROKEN


def test_a_source_that_reports_no_more_is_not_known() -> None:
    """A count holds until the next one is overdue; before the first is compared, and after the last one, the reason says so."""
    counting = SourceCounting()
    assert judge(counting, BEGIN).reason.startswith(
        "the source reports no count of its events, and no field numbers them"
    )
    counting.take([counted(BEGIN, BEGIN + DAY_MS, 1)])
    assert (
        judge(counting, BEGIN + DAY_MS).reason == "what the source counted is compared some minutes after the interval"
    )
    now = BEGIN + DAY_MS + PATIENCE_MS
    read(counting, now, [(BEGIN, "a")])
    assert judge(counting, now + DAY_MS).state is LevelState.MET
    found = judge(counting, now + 2 * DAY_MS + PATIENCE_MS + 1)
    assert (found.state, found.measured_by) == (LevelState.UNKNOWN, None)
    assert found.reason == "the source has reported no count of its events since 2026-01-02T00:00:00Z"


def test_what_cannot_be_counted_is_unknown_and_says_why() -> None:
    """Intervals that were given up are not due, and their reason is the promise's."""
    counting = SourceCounting()
    counting.take([counted(BEGIN, BEGIN + HOUR_MS, 5)])
    now = BEGIN + HOUR_MS + PATIENCE_MS
    counting.give_up(counting.due(now), "the log does not reach back")
    assert counting.due(now) == ()
    found = judge(counting, now)
    assert (found.state, found.reason) == (LevelState.UNKNOWN, "the log does not reach back")


def test_a_pass_is_read_in_parts() -> None:
    """A look reads so many messages of all partitions together; the intervals are counted after the last part."""
    counting = SourceCounting()
    counting.take([counted(BEGIN, BEGIN + HOUR_MS, 1)])
    now = BEGIN + HOUR_MS + PATIENCE_MS
    other = TopicPartition("t", 1)
    counting.begin(counting.due(now), {ONE: 10, other: 0}, {ONE: 10 + AT_A_LOOK, other: 5})
    assert counting.running is not None
    assert counting.running.next_part() == {ONE: (10, 10 + AT_A_LOOK // 2), other: (0, 5)}
    counting.note(BEGIN, "s", "a")
    counting.end_part({ONE: 10 + AT_A_LOOK // 2, other: 5}, now)
    assert counting.facts(now) is None
    assert counting.due(now) == ()
    assert counting.running.next_part() == {ONE: (10 + AT_A_LOOK // 2, 10 + AT_A_LOOK)}
    counting.end_part({ONE: 10 + AT_A_LOOK}, now)
    assert judge(counting, now).state is LevelState.MET
