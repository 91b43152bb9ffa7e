"""What the events of a port look like: a profile by field, and a few masked events, of a bounded sample.

The memory of a profile depends on the contract only: distinct values, frequent values and histograms are sketches
(Apache DataSketches). A value of a confidential or restricted field is counted and never kept.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Final

from datasketches import frequent_items_error_type, frequent_strings_sketch, hll_sketch, kll_doubles_sketch

from meshport.address import Address
from meshport.codec.jsonform import to_json
from meshport.event import Event
from meshport.event.attributes import rfc3339
from meshport.observe.masking import SHOWN, Leaf, Masking, short
from meshport.port_profile import (
    MOST_PROFILED,
    MOST_SAMPLES,
    FieldProfile,
    Histogram,
    PortProfile,
    SampleEvent,
    TopValue,
)
from meshport.schema import Schema

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BARS: Final = 10
_TOP: Final = 5
_DISTINCT_LG: Final = 11  # 2 kB, with an error of about 2 %
_TOP_LG: Final = 7  # 128 values are followed at a time


class PortProfiler:
    """Makes the profile of a port from the events that it is given.

    Args:
        address: of the port, with its major.
        schema: of the port's contract.
        classification: of the product, which counts for a field that declares none.
    """

    def __init__(self, address: Address, schema: Schema, classification: str) -> None:
        self._address = address
        self._masking = Masking(schema, classification)
        self._fields = [_FieldSketch(each) for each in self._masking.leaves(MOST_PROFILED)]
        self._latest: deque[Event] = deque(maxlen=MOST_SAMPLES)
        self._events = 0
        self._first: datetime | None = None
        self._last: datetime | None = None

    def add(self, event: Event) -> None:
        """Take up one event; a later call is expected to give a newer one."""
        self._events += 1
        self._first = min(filter(None, (self._first, event.time)))
        self._last = max(filter(None, (self._last, event.time)))
        self._latest.append(event)
        if event.data is None:
            return
        for field in self._fields:
            found = False
            for value in field.leaf.values(event.data):
                if value is not None:
                    field.add(value)
                    found = True
            if not found:
                field.nulls += 1

    def profile(self, now: datetime) -> PortProfile:
        """Return the profile of the events so far.

        Args:
            now: the instant of the profile.
        """
        return PortProfile(
            address=self._address,
            taken_at=now,
            events=self._events,
            first=self._first,
            last=self._last,
            fields=tuple(each.profile() for each in self._fields),
            samples=tuple(self._sample(each) for each in reversed(self._latest)),
        )

    def _sample(self, event: Event) -> SampleEvent:
        return SampleEvent(
            id=event.id[:1000],
            time=event.time,
            partition=event.partition,
            offset=event.offset,
            data=self._masking.masked(event.data),
        )


class _FieldSketch:
    """The sketches of one field."""

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = leaf
        self.nulls = 0
        self._shown = leaf.classification in SHOWN
        self._values = 0
        self._distinct = hll_sketch(_DISTINCT_LG)
        self._top = frequent_strings_sketch(_TOP_LG) if self._shown else None
        self._numbers = kll_doubles_sketch() if self._shown else None
        self._of_time = False

    def add(self, value: Any) -> None:
        """Take up a value that is not null."""
        self._values += 1
        text = _text(value)
        self._distinct.update(text)
        if self._top is not None:
            self._top.update(short(text))
        if self._numbers is not None:
            number, of_time = _number(value)
            if number is not None and math.isfinite(number):
                self._of_time = of_time
                self._numbers.update(number)

    def profile(self) -> FieldProfile:
        """Return what the values look like."""
        numbers = None if self._numbers is None or self._numbers.is_empty() else self._numbers
        return FieldProfile(
            path=self.leaf.path,
            classification=self.leaf.classification,
            masked=not self._shown,
            values=self._values,
            nulls=self.nulls,
            distinct=min(self._values, round(self._distinct.get_estimate())),
            minimum=None if numbers is None else self._shown_number(numbers.get_min_value()),
            maximum=None if numbers is None else self._shown_number(numbers.get_max_value()),
            top=tuple(self._most_frequent()),
            histogram=Histogram() if numbers is None else self._histogram(numbers),
        )

    def _most_frequent(self) -> Iterator[TopValue]:
        """Yield the values that are certainly among the most frequent; none where each is there once."""
        if self._top is None:
            return
        found = self._top.get_frequent_items(frequent_items_error_type.NO_FALSE_POSITIVES)
        for value, count, *_ in found[:_TOP]:
            if count > 1:
                yield TopValue(value=value, count=count)

    def _histogram(self, numbers: Any) -> Histogram:
        low, high = numbers.get_min_value(), numbers.get_max_value()
        step = (high - low) / _BARS
        inner = [low + step * index for index in range(1, _BARS)]
        every = [low, *inner, high]
        if not math.isfinite(step) or any(after <= before for before, after in pairwise(every)):
            return Histogram(edges=(self._shown_number(low), self._shown_number(high)), counts=(numbers.n,))
        return Histogram(
            edges=tuple(map(self._shown_number, every)),
            counts=tuple(round(share * numbers.n) for share in numbers.get_pmf(inner)),
        )

    def _shown_number(self, number: float) -> str:
        if self._of_time:
            try:
                return rfc3339(_EPOCH + timedelta(seconds=number)).decode()
            except OverflowError:
                return f"{number:g} s"
        return f"{number:.0f}" if number == round(number) and abs(number) < 1e15 else f"{number:.6g}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(to_json(value))


def _number(value: Any) -> tuple[float | None, bool]:
    """Return a number or instant as a number, and whether it is an instant (seconds since 1970); None for another value."""
    match value:
        case bool():
            return None, False
        case int() | float() | Decimal():
            try:
                return float(value), False
            except OverflowError:
                return None, False
        case datetime():
            at = value if value.tzinfo else value.replace(tzinfo=UTC)
            return (at - _EPOCH).total_seconds(), True
        case date():
            return (datetime(value.year, value.month, value.day, tzinfo=UTC) - _EPOCH).total_seconds(), True
    return None, False
