"""Measured service levels of a port, as the observer reports them and the registry's API sends and receives them.

A promise of `slaProperties` is judged by what was measured: met, at risk, broken, or unknown where nothing measures it. A
judgement ends: after `valid_until`, what was measured says nothing about the present, and every level is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from meshport.newer import OrNewer
from meshport.product.input_port import AddressText

__all__ = [
    "DelayQuantiles",
    "JudgedLevel",
    "LevelHistory",
    "LevelPage",
    "LevelState",
    "LevelSummary",
    "MeasuredBy",
    "MeasuredLevels",
    "Measurement",
    "PortLevels",
    "SourceCount",
    "SourceCounts",
    "Volume",
    "worst",
]

MOST_LEVELS: Final = 100
"""The most levels of one port that are judged and kept."""


class LevelState(StrEnum):
    """How a promise is kept."""

    MET = "met"
    AT_RISK = "at-risk"
    """It is kept, and little of its error budget is left."""
    BROKEN = "broken"
    UNKNOWN = "unknown"
    """Nothing measures it, or nothing was measured lately."""


class MeasuredBy(StrEnum):
    """What the completeness of a port is measured by."""

    SOURCE_COUNT = "source-count"
    """The source's own count of its events."""
    SEQUENCE = "sequence"
    """Gaps in the numbers of the facts."""
    SHAPE = "shape"
    """How many events came a day before, which shows that something differs, but no loss."""


_ORDER: Final = (LevelState.MET, LevelState.UNKNOWN, LevelState.AT_RISK, LevelState.BROKEN)


class _Levels(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class DelayQuantiles(_Levels):
    """How long after the fact an event could be read, in milliseconds, of half, 95 and 99 in a hundred of the events."""

    p50: float
    p95: float
    p99: float


class Volume(_Levels):
    """How many events an hour had, as differences of offsets, which also count the markers of transactions.

    Attributes:
        last_hour: in the last hour.
        day_before: in the same hour a day before; None where the log does not reach back.
        week_before: in the same hour a week before; None where the log does not reach back.
    """

    last_hour: int
    day_before: int | None = None
    week_before: int | None = None


class Measurement(_Levels):
    """What was measured of a port; None where nothing was.

    Attributes:
        events: how many events were read for the measures since the observer began.
        newest: when the newest event was recorded.
        delay_ms: from the fact to its event in the log, in the last five minutes.
        interval_s: seconds since the newest event was recorded.
        completeness: the share of the facts that came, 0 to 1: of those that the source counts, or else of the numbered ones of
            the last hour.
        uniqueness: the share of the events of the last hour that repeat no earlier one.
        validity: the share of the events of the last hour that can be read and were not quarantined.
        availability: the share of the looks of the last day at which every partition answered.
        drift: by field, how far its values of now are from those of the same time a day before: 0 for none, 1 for no value in
            common.
        volume: how many events came.
    """

    events: int = 0
    newest: AwareDatetime | None = None
    delay_ms: DelayQuantiles | None = None
    interval_s: float | None = None
    completeness: float | None = None
    uniqueness: float | None = None
    validity: float | None = None
    availability: float | None = None
    drift: dict[str, float] = Field(default_factory=dict, max_length=MOST_LEVELS)
    volume: Volume | None = None


class JudgedLevel(_Levels):
    """One promise and how it is kept.

    Attributes:
        property: what is promised, as the product declares it.
        promised: the promise in words: `5 m`, `99.5 percent`.
        state: how it is kept.
        measured: what was measured, in words; None where nothing was.
        budget_left: the part of the error budget that is left: 1 for all of it, 0 or less for none; None where there is none.
        reason: why the state is what it is, in one sentence.
        measured_by: by what a completeness is measured; None of other promises, and where nothing measures it.
        since: when the state began.
    """

    property: str = Field(max_length=200)
    promised: str = Field(max_length=200)
    state: OrNewer[LevelState]
    measured: str | None = Field(default=None, max_length=500)
    budget_left: float | None = None
    reason: str = Field(default="", max_length=1000)
    measured_by: OrNewer[MeasuredBy] | None = None
    since: AwareDatetime

    def name(self) -> str:
        """Return the promise in words: `timeliness 5 m`."""
        return f"{self.property} {self.promised}"


class MeasuredLevels(_Levels):
    """What an observer reports of one port: the body of `PUT /api/v1/service-levels/...`.

    Attributes:
        at: when it was measured.
        valid_until: after this instant the report says nothing about the present any more.
        levels: the port's promises, in the order of the descriptor.
        measurement: what they were judged by.
    """

    at: AwareDatetime
    valid_until: AwareDatetime
    levels: tuple[JudgedLevel, ...] = Field(default=(), max_length=MOST_LEVELS)
    measurement: Measurement = Measurement()

    @property
    def state(self) -> LevelState:
        """The worst state of the levels; unknown where nothing is promised."""
        return worst(each.state for each in self.levels)

    def at_time(self, now: datetime) -> MeasuredLevels:
        """Return the levels as they are known at a time: unknown once the report is no longer valid."""
        if now <= self.valid_until:
            return self
        ended = f"nothing was measured since {self.at.isoformat(timespec='seconds')}"
        levels = tuple(
            each.model_copy(
                update={
                    "state": LevelState.UNKNOWN,
                    "reason": ended,
                    "budget_left": None,
                    "since": self.valid_until,
                }
            )
            for each in self.levels
        )
        return self.model_copy(update={"levels": levels})


class PortLevels(_Levels):
    """The answer of `GET /api/v1/service-levels/{domain}/{product}/{port}`.

    Attributes:
        address: of the port, with its major.
        state: the worst state of its levels.
        report: what was measured last; None where nothing ever was.
    """

    address: AddressText
    state: OrNewer[LevelState] = LevelState.UNKNOWN
    report: MeasuredLevels | None = None


class LevelHistory(_Levels):
    """The answer of `GET /api/v1/service-levels/{domain}/{product}/{port}/history`.

    Attributes:
        address: of the port, with its major.
        reports: what was measured, newest first: one report of each five minutes and every change of a state.
    """

    address: AddressText
    reports: tuple[MeasuredLevels, ...] = ()


class LevelPage(_Levels):
    """The answer of `GET /api/v1/service-levels`.

    Attributes:
        total: how many ports have measured levels, and match.
        items: the ports of the page, by address.
    """

    total: int
    items: tuple[PortLevels, ...] = ()


class SourceCount(_Levels):
    """How many events a source has of an interval: the body of `POST /api/v1/service-levels/.../counts`.

    Attributes:
        start: the first instant of the interval, by the time of the events.
        end: the first instant after it.
        count: how many events of the port have their time in it, each counted once.
    """

    start: AwareDatetime
    end: AwareDatetime
    count: int = Field(ge=0, le=2**53)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"the interval ends at {self.end.isoformat()}, which is not after its start")
        return self


class SourceCounts(_Levels):
    """The answer of `GET /api/v1/service-levels/{domain}/{product}/{port}/counts`.

    Attributes:
        address: of the port, with its major.
        counts: what its source reported, newest interval first.
    """

    address: AddressText
    counts: tuple[SourceCount, ...] = ()


class LevelSummary(_Levels):
    """The service levels in a binding: the states, without what was measured.

    The registry writes it anew when a state changes, and every half hour, since a binding that changed is sent to every reader.

    Attributes:
        state: the worst state of the port's levels; unknown where nothing is promised.
        since: when the newest change of a state was reported.
        valid_until: after this instant every level is unknown.
        levels: the state of each promise, by the promise in words.
    """

    state: OrNewer[LevelState] = LevelState.UNKNOWN
    since: AwareDatetime
    valid_until: AwareDatetime
    levels: dict[str, OrNewer[LevelState]] = Field(default_factory=dict)

    def state_at(self, now: datetime) -> LevelState:
        """Return the state as it is known at a time."""
        return self.state if now <= self.valid_until else LevelState.UNKNOWN


def worst(states: Iterable[LevelState]) -> LevelState:
    """Return the worst of some states; unknown of none, and of one that this version does not know."""
    found = [each if each in _ORDER else LevelState.UNKNOWN for each in states]
    return max(found, key=_ORDER.index, default=LevelState.UNKNOWN)
