"""What is measured of one port: made of messages and offsets that were read elsewhere, at times that are given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from meshport.observe.levels.delays import Delays
from meshport.observe.levels.drift import LEAST_VALUES, Distribution, drift_of
from meshport.observe.levels.promises import Promises
from meshport.observe.levels.reading import EventReading
from meshport.observe.levels.repeats import RepeatedIds
from meshport.observe.levels.sequence import FoundFacts, NumberedFacts
from meshport.observe.levels.source_counting import CountedFacts
from meshport.observe.levels.tally import HOUR_MS, RECENT_MS, Tally
from meshport.observe.levels.volumes import CountInSpan
from meshport.service_levels import DelayQuantiles, Measurement, Volume

__all__ = ["Measures", "PortMeasures"]

_FUTURE_MS: Final = 60_000


@dataclass(frozen=True)
class Measures:
    """The measures of a port at one instant, by which its promises are judged.

    Attributes:
        now_ms: the instant (Unix time in ms).
        late: the events by whether they came within each promised delay, by the delay in ms.
        missing: the numbered facts by whether they came; None where no field numbers them.
        repeated: the events by whether they repeat an earlier one.
        invalid: the events by whether they can be read and were not quarantined.
        away: the looks by whether every partition answered.
        newest_ms: when the newest event came; None where none is known.
        newest_fact_ms: when the newest fact happened; None where none is known.
        delay_ms: the delays of the last five minutes.
        is_history: whether the events are old facts that are filled in.
        drift: how far the values of each field are from those of a day before; None where these are not known.
        volume: how many events came in the last hour.
        events: how many events were read.
        volumes: how many events came, by the span of time in ms for which a volume is promised.
        counted: what the source counted, and what of it is missing; None where it reports nothing.
        uncountable: why what the source reported could not be counted, in words; else empty.
    """

    now_ms: int
    late: dict[float, Tally]
    missing: Tally | None
    repeated: Tally
    invalid: Tally
    away: Tally
    newest_ms: int | None
    newest_fact_ms: float | None
    delay_ms: DelayQuantiles | None
    is_history: bool
    drift: dict[str, float] | None
    volume: Volume | None
    events: int
    volumes: dict[int, CountInSpan] = field(default_factory=dict)
    counted: CountedFacts | None = None
    uncountable: str = ""

    def as_measurement(self) -> Measurement:
        """Return the measures as the registry keeps them."""
        now = self.now_ms
        newest = self.newest_ms
        missing = None if self.missing is None else self.missing.hour(now).share
        if self.counted is not None:
            missing = self.counted.newest.share
        return Measurement(
            events=self.events,
            newest=None if newest is None else datetime.fromtimestamp(newest / 1000, UTC),
            delay_ms=self.delay_ms,
            interval_s=None if newest is None else round(max(0, now - newest) / 1000, 3),
            completeness=_rounded(missing),
            uniqueness=_rounded(self.repeated.hour(now).share),
            validity=_rounded(self.invalid.hour(now).share),
            availability=_rounded(self.away.day(now).share),
            drift=dict(self.drift or {}),
            volume=self.volume,
        )


class PortMeasures:
    """Measures one port; memory is bounded, however many events come.

    A look is one turn of the observer: `note` what was read, then `end_look`. Between two looks events may be left out; then
    `skip` comes first.

    Args:
        promises: of the port; what no promise needs is not measured where it costs more than a count.
        keyed: whether the records have a key, so that each key numbers its facts itself.
    """

    def __init__(self, promises: Promises, *, keyed: bool) -> None:
        self.promises = promises
        self._late = {limit: Tally() for limit in promises.delays_ms}
        self._numbers = NumberedFacts(by_key=keyed) if promises.number_field else None
        self._missing, self._repeated, self._invalid, self._away = Tally(), Tally(), Tally(), Tally()
        self._delays = Delays()
        self._ids = RepeatedIds()
        self._values: tuple[Distribution, Distribution] | None = None
        self._values_begun = 0
        self._before: Distribution | None = None
        self._newest_ms: int | None = None
        self._newest_fact_ms: float | None = None
        self._volume: Volume | None = None
        self._volumes: dict[int, CountInSpan] = {}
        self._counted: CountedFacts | None = None
        self._uncountable = ""
        self._events = 0

    def note(self, readings: Iterable[EventReading], now_ms: int) -> None:
        """Note events that were read.

        Args:
            readings: the events.
            now_ms: the present (Unix time in ms); an event of a clock that is ahead counts as of now.
        """
        for each in readings:
            at = min(each.recorded_ms, now_ms) if each.recorded_ms >= 0 else now_ms
            self._events += 1
            if self._newest_ms is None or at > self._newest_ms:
                self._newest_ms = at
            self._invalid.add(at, 1)
            if each.time_ms is not None:
                self._note_time(at, each.time_ms)
            repeats = each.id is not None and self._ids.is_repeat(each.source, each.id)
            self._repeated.add(at, 1, repeats)
            if each.record is not None and not repeats:
                self._note_record(each, at)

    def note_earlier(self, readings: Iterable[EventReading], now_ms: int) -> None:
        """Note events from before the time that is measured: when the newest of them came, and no more."""
        for each in readings:
            at = min(each.recorded_ms, now_ms)
            if self._newest_ms is None or at > self._newest_ms:
                self._newest_ms = at
            if each.time_ms is not None and (self._newest_fact_ms is None or each.time_ms > self._newest_fact_ms):
                self._newest_fact_ms = each.time_ms

    def _note_time(self, at: int, time_ms: float) -> None:
        delay = self._delays.add(at, time_ms)
        for limit, tally in self._late.items():
            tally.add(at, 1, delay > limit)
        if self._newest_fact_ms is None or time_ms > self._newest_fact_ms:
            self._newest_fact_ms = min(time_ms, at + _FUTURE_MS)

    def _note_record(self, reading: EventReading, at: int) -> None:
        record, numbered = reading.record or {}, self.promises.number_field
        if self._numbers is not None and numbered is not None and type(number := record.get(numbered)) is int:
            self._numbers.note(reading.key, number)
        if self.promises.watches_values:
            self._current_values(at).add(record)

    def _current_values(self, at: int) -> Distribution:
        """Return where values are collected: the last five minutes and what came since, or an hour where few come."""
        if self._values is None:
            self._values, self._values_begun = (self._distribution(), self._distribution()), at
        passed = at - self._values_begun
        if passed > RECENT_MS and (self._values[1].count >= LEAST_VALUES or passed > HOUR_MS):
            self._values, self._values_begun = (self._values[1], self._distribution()), at
        return self._values[1]

    def _distribution(self) -> Distribution:
        return Distribution(self.promises.drift_fields, without=self.promises.moving_fields)

    def note_unreadable(self, count: int, at_ms: int) -> None:
        """Note messages that cannot be read, or that were quarantined."""
        self._invalid.add(at_ms, count, count)

    def note_before(self, readings: Iterable[EventReading]) -> None:
        """Note a sample of what came at this time a day before, with which the values of now are compared."""
        before = self._distribution()
        for each in readings:
            if each.record is not None:
                before.add(each.record)
        self._before = before

    def note_volume(self, volume: Volume) -> None:
        """Note how many events came."""
        self._volume = volume

    def note_volumes(self, found: dict[int, CountInSpan]) -> None:
        """Note how many events came in the spans of time for which a volume is promised, by their length in ms."""
        self._volumes = found

    def note_counted(self, counted: CountedFacts | None, uncountable: str = "") -> None:
        """Note what the source counted, and what of it is missing.

        Args:
            counted: None where the source reports nothing, or it could not be counted.
            uncountable: why it could not be counted, in words.
        """
        self._counted, self._uncountable = counted, uncountable

    def skip(self, now_ms: int) -> None:
        """Note that messages are left out between the last look and the next."""
        if self._numbers is not None:
            self._count(self._numbers.skip(), now_ms)

    def note_away(self, now_ms: int) -> None:
        """Note a look at which a partition did not answer."""
        self._away.add(now_ms, 1, 1)

    def end_look(self, now_ms: int) -> None:
        """Note that a look is over, at which every partition answered and was read as far as it went."""
        self._away.add(now_ms, 1)
        if self._numbers is not None:
            self._count(self._numbers.settle(), now_ms)

    def _count(self, found: FoundFacts, now_ms: int) -> None:
        self._missing.add(now_ms, found.facts, found.missing)
        if found.repeated:
            self._repeated.add(now_ms, 0, found.repeated)

    def measures(self, now_ms: int) -> Measures:
        """Return the measures of now."""
        return Measures(
            now_ms=now_ms,
            late=self._late,
            missing=None if self._numbers is None else self._missing,
            repeated=self._repeated,
            invalid=self._invalid,
            away=self._away,
            newest_ms=self._newest_ms,
            newest_fact_ms=self._newest_fact_ms,
            delay_ms=self._delays.quantiles(now_ms),
            is_history=self._delays.is_history(now_ms),
            drift=self._drift(),
            volume=self._volume,
            events=self._events,
            volumes=self._volumes,
            counted=self._counted,
            uncountable=self._uncountable,
        )

    def _drift(self) -> dict[str, float] | None:
        """Return the drift of the fuller one of the last two spans; None where a day before is not known."""
        if self._before is None or self._values is None:
            return None
        earlier, current = self._values
        return drift_of(current if current.count >= LEAST_VALUES else earlier, self._before)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)
