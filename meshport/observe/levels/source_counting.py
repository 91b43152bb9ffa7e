"""The facts of a port that its source counted and that are not in the topic.

A source reports how many events it has of an interval of event time. Some minutes after the interval, the topic is read once from
there on, in parts, a bounded number of messages at a look, and its events of the interval are counted, each id once. Where fewer
came than were counted, it is read again later, since events may be late: what came after all is missing no more. An interval
whose events are more than can be read, or are partly deleted, is not counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from datasketches import update_theta_sketch

from meshport.kafka.topic_partition import TopicPartition
from meshport.observe.levels.outcome import instant_text
from meshport.observe.levels.tally import DAY_MS, HOUR_MS, RECENT_MS, SpanCount
from meshport.service_levels import SourceCount

__all__ = ["CountedFacts", "CountingPass", "SourceCounting"]

AT_A_LOOK: Final = 50_000
"""The most messages of a port that are read at a look to count them."""
MOST_READ: Final = 1_000_000
"""The most messages that are read for an interval. So many ids are counted exactly (a sketch of 2^20 hashes)."""
SKEW_MS: Final = 300_000
"""By how much the clock that gave an event its time may be ahead of the one that recorded it."""
PATIENCE_MS: Final = RECENT_MS
"""How long after an interval its events are waited for, at least."""
_TRIES: Final = 5
_LATER: Final = 3  # each try waits so many times as long as the one before
_LG_SKETCH: Final = 20
_MOST_INTERVALS: Final = 2_000


@dataclass(slots=True)
class _Interval:
    """One interval, what its source counted, and what was found of it.

    Attributes:
        begin_ms: its first instant.
        end_ms: the first instant after it.
        count: the source's count.
        found: how many of its events are in the topic; None before it was counted.
        tries: how often it was looked for.
        due_ms: when it is to be looked for next.
        uncountable: why it is not counted, in words.
    """

    begin_ms: int
    end_ms: int
    count: int
    due_ms: int
    found: int | None = None
    tries: int = 0
    uncountable: str = ""

    @property
    def missing(self) -> int:
        """How many of the counted events were not found."""
        return max(0, self.count - (self.found or 0))

    def is_due(self, now_ms: int) -> bool:
        """Whether it is to be counted: for the first time, or once more because events were missing."""
        if self.uncountable or self.tries >= _TRIES or (self.found is not None and not self.missing):
            return False
        return now_ms >= self.due_ms


@dataclass(frozen=True, slots=True)
class CountedFacts:
    """What the source of a port counted, and what of it is missing.

    Attributes:
        begin_ms: the first instant of the newest hour of intervals, or of the newest one where that is longer.
        end_ms: the first instant after the newest interval.
        newest: the facts of these intervals.
        day: the facts of the intervals of the day before that end.
    """

    begin_ms: int
    end_ms: int
    newest: SpanCount
    day: SpanCount


@dataclass(slots=True)
class CountingPass:
    """One reading of the topic, in parts, for some intervals.

    Attributes:
        positions: where to read on, by partition.
        ends: where to end, by partition.
    """

    positions: dict[TopicPartition, int]
    ends: dict[TopicPartition, int]
    _sketches: dict[int, Any] = field(default_factory=dict)

    def next_part(self) -> dict[TopicPartition, tuple[int, int]]:
        """Return the ranges of offsets to read now, which `AT_A_LOOK` bounds; none when all was read."""
        left = {each: self.ends[each] - at for each, at in self.positions.items() if at < self.ends[each]}
        most = max(1, AT_A_LOOK // max(1, len(left)))
        return {each: (self.positions[each], self.positions[each] + min(count, most)) for each, count in left.items()}

    def sketch_of(self, begin_ms: int) -> Any:
        """Return the ids that were found of the interval that begins then."""
        found = self._sketches.get(begin_ms)
        if found is None:
            found = self._sketches[begin_ms] = update_theta_sketch(_LG_SKETCH)
        return found


class SourceCounting:
    """Counts the events of one port for the intervals that its source counted.

    Args:
        patience_ms: how long after an interval its events are waited for.
    """

    def __init__(self, patience_ms: int = PATIENCE_MS) -> None:
        self._patience_ms = patience_ms
        self._intervals: dict[int, _Interval] = {}
        self._counted: list[_Interval] = []
        self._begins: list[int] = []
        self.running: CountingPass | None = None

    @property
    def newest_end_ms(self) -> int | None:
        """When the newest interval ends that the source counted; None where it counted none."""
        return max((each.end_ms for each in self._intervals.values()), default=None)

    def why_not(self) -> str:
        """Return why `facts` has none, in words; empty where the source has counted nothing."""
        newest = max(self._intervals.values(), key=lambda each: each.end_ms, default=None)
        if newest is None:
            return ""
        if newest.uncountable:
            return newest.uncountable
        if newest.found is None:
            return "what the source counted is compared some minutes after the interval"
        return f"the source has reported no count of its events since {instant_text(newest.end_ms)}"

    def take(self, counts: Iterable[SourceCount]) -> None:
        """Take what the source reported; a count of a known interval replaces the earlier one."""
        for each in counts:
            begin, end = round(each.start.timestamp() * 1000), round(each.end.timestamp() * 1000)
            known = self._intervals.get(begin)
            if known is not None and known.end_ms == end:
                known.tries = known.tries if known.count == each.count else 0
                known.count = each.count
            else:
                self._intervals[begin] = _Interval(begin, end, each.count, end + self._patience_ms)
        if len(self._intervals) > _MOST_INTERVALS:
            kept = sorted(self._intervals)[-_MOST_INTERVALS:]
            self._intervals = {each: self._intervals[each] for each in kept}

    def due(self, now_ms: int) -> tuple[int, ...]:
        """Return the begins of the intervals that are to be counted now, the oldest first; none while a pass runs."""
        if self.running is not None:
            return ()
        return tuple(
            each.begin_ms
            for each in sorted(self._intervals.values(), key=lambda each: each.begin_ms)
            if each.is_due(now_ms)
        )

    def begin(
        self, begins: Iterable[int], positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> None:
        """Begin to count the events of some intervals.

        Args:
            begins: of the intervals.
            positions: where to begin to read, by partition.
            ends: where to end.
        """
        self._counted = sorted((self._intervals[each] for each in begins), key=lambda each: each.begin_ms)
        self._begins = [each.begin_ms for each in self._counted]
        self.running = CountingPass(dict(positions), dict(ends))

    def give_up(self, begins: Iterable[int], reason: str) -> None:
        """Note why intervals cannot be counted; what was found of them before stays."""
        for each in begins:
            self._intervals[each].uncountable = reason

    def note(self, time_ms: float, source: str, event_id: str) -> None:
        """Note an event of the pass that runs."""
        at = bisect_right(self._begins, time_ms) - 1
        if self.running is not None and at >= 0 and time_ms < self._counted[at].end_ms:
            self.running.sketch_of(self._begins[at]).update(f"{source} {event_id}")

    def end_part(self, read: Mapping[TopicPartition, int], now_ms: int) -> None:
        """Note how far a part was read; after the last one the intervals are counted.

        Args:
            read: where to read on, by partition.
            now_ms: the present (Unix time in ms).
        """
        if self.running is None:
            return
        self.running.positions.update(read)
        if self.running.next_part():
            return
        for each in self._counted:
            sketch = self.running.sketch_of(each.begin_ms)
            # Of so many ids that they are estimated, as many as there may be.
            each.found = max(each.found or 0, round(sketch.get_upper_bound(3)))
            each.tries += 1
            each.due_ms = now_ms + self._patience_ms * _LATER**each.tries
        self.running, self._counted, self._begins = None, [], []

    def facts(self, now_ms: int) -> CountedFacts | None:
        """Return what was counted; None where nothing was, or the source has reported nothing for long.

        Args:
            now_ms: the present (Unix time in ms).
        """
        found = [each for each in self._intervals.values() if each.found is not None]
        newest = max(found, key=lambda each: each.end_ms, default=None)
        if newest is None:
            return None
        length = newest.end_ms - newest.begin_ms
        if now_ms > newest.end_ms + max(2 * length, HOUR_MS) + 2 * self._patience_ms:
            return None
        since = min(newest.begin_ms, newest.end_ms - HOUR_MS)
        own = [each for each in found if each.begin_ms >= since]
        day = [each for each in found if each.end_ms > newest.end_ms - max(DAY_MS, length)]
        return CountedFacts(min(each.begin_ms for each in own), newest.end_ms, _sum(own), _sum(day))


def _sum(intervals: Iterable[_Interval]) -> SpanCount:
    counted = list(intervals)
    return SpanCount(sum(each.count for each in counted), sum(each.missing for each in counted))
