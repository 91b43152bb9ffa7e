"""The result of comparing two generations: counts, and samples of what does not agree."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

# Sums of doubles in another order differ in their last bits; all other values have to be equal.
_RELATIVE_TOLERANCE: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A key or an event id on which two generations do not agree.

    Attributes:
        name: the key or the id.
        old: the record in the old generation; None where it has none.
        new: the record in the new generation; None where it has none.
    """

    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        if self.old is None or self.new is None:
            return f"{self.name}: only in the {'new' if self.old is None else 'old'} generation"
        parts = [
            f"{each} was {self.old.get(each)!r}, is {self.new.get(each)!r}"
            for each in dict.fromkeys([*self.old, *self.new])
            if not same_value(self.old.get(each), self.new.get(each))
        ]
        return f"{self.name}: {'; '.join(parts)}"


@dataclass
class MatchCounts:
    """The counts of a comparison by keys, or by event ids.

    Attributes:
        what: `keys` or `events`.
        old: how many the old generation has; of keys, those whose latest value is not a tombstone.
        new: how many the new generation has.
        only_old: how many of `old` the new generation lacks.
        only_new: how many of `new` the old generation lacks.
        differing: how many have different values.
        samples: the first mismatches.
    """

    what: str
    old: int = 0
    new: int = 0
    only_old: int = 0
    only_new: int = 0
    differing: int = 0
    samples: list[Mismatch] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the generations agree."""
        return not (self.only_old or self.only_new or self.differing)

    def __str__(self) -> str:
        return (
            f"{self.what}: {self.old} in the old generation, {self.new} in the new one; {self.only_old} only in the old, "
            f"{self.only_new} only in the new, {self.differing} with another value"
        )


@dataclass(frozen=True, slots=True)
class GenerationComparison:
    """The result of comparing two generations.

    Attributes:
        counts: by keys, by event ids, or both.
        old_events: how many events of the old topic were compared.
        new_events: how many events of the new topic were compared.
        unreadable: how many messages of either are not events of the port; they are not compared.
    """

    counts: tuple[MatchCounts, ...]
    old_events: int
    new_events: int
    unreadable: int = 0

    @property
    def equal(self) -> bool:
        """Whether both generations hold the same."""
        return not self.unreadable and all(each.equal for each in self.counts)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON data."""
        counts = {
            each.what: {
                "old": each.old,
                "new": each.new,
                "onlyOld": each.only_old,
                "onlyNew": each.only_new,
                "differing": each.differing,
                "samples": [{"name": one.name, "old": one.old, "new": one.new} for one in each.samples],
            }
            for each in self.counts
        }
        facts = {"equal": self.equal, "oldEvents": self.old_events, "newEvents": self.new_events}
        return facts | {"unreadable": self.unreadable} | counts


def same_value(one: Any, other: Any) -> bool:
    """Return whether two values of records are equal; floating-point numbers may differ in their last bits."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_RELATIVE_TOLERANCE) or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return bool(one == other)
