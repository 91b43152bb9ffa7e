"""Facts that are missing: gaps in the numbers that a source gives its facts, one after another.

The field that holds the number is declared (`element` of a promise of completeness). It numbers the facts of each record key; of
a port without a key those of the whole port. A number that is missing at the end of a look gets one more look to come, since
partitions are not read in step. One that comes even later takes back what was counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

__all__ = ["FoundFacts", "NumberedFacts"]

_MOST_SCOPES: Final = 20_000
_MOST_MISSING: Final = 10_000
# A number so far from the last one begins a new count: the source was set up anew.
_ANEW: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class FoundFacts:
    """What a look at numbered facts found.

    Attributes:
        facts: how many facts there should be: those that came and those that are missing.
        missing: how many are missing; negative where more came late than are newly missing.
        repeated: how many came a second time.
    """

    facts: int = 0
    missing: int = 0
    repeated: int = 0

    def __add__(self, other: FoundFacts) -> FoundFacts:
        return FoundFacts(self.facts + other.facts, self.missing + other.missing, self.repeated + other.repeated)


@dataclass(slots=True)
class _NumberedScope:
    """The numbers of one key, or of a whole port.

    Attributes:
        low: the numbers below it were looked at before the first look, or are settled.
        top: the greatest number that came.
        awaited: the numbers below `top` that have not come; they were missing at one look.
        lost: the numbers that were counted as missing, the newest ones.
        whole: up to this number the last look was whole, also where the next one does not read on.
        coming: the numbers of the present look.
    """

    low: int = 0
    top: int = -1
    whole: int = -1
    awaited: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    coming: list[int] = field(default_factory=list)

    def settle(self, *, trimmed: bool) -> FoundFacts:
        """Return what the present look found, and end it."""
        numbers = sorted(set(self.coming))
        repeated = len(self.coming) - len(numbers)
        self.coming.clear()
        if not numbers:
            missing = self._give_up(())
            return FoundFacts(missing, missing)
        if self._is_anew(numbers):
            if trimmed:  # other partitions may lack what is first here
                numbers = numbers[len(numbers) // 10 :]
            self.low, self.top = numbers[0], numbers[0] - 1
            self.awaited.clear()
            self.lost.clear()
        # The same of what is last, where the next look does not read on from there.
        self.whole = numbers[-1 - len(numbers) // 10] if trimmed else numbers[-1]
        missing, came, back = self._give_up(numbers), 0, 0
        for each in numbers:
            if each > self.top:
                gap = each - self.top - 1
                self.awaited.update(range(max(self.top + 1, each - _MOST_MISSING), each))
                if gap > _MOST_MISSING:  # more than can be awaited one by one
                    missing += gap - _MOST_MISSING
                self.top = each
                came += 1
            elif each in self.awaited:
                self.awaited.discard(each)
                came += 1
            elif each in self.lost:
                self.lost.discard(each)
                back += 1
            elif each >= self.low:
                repeated += 1
        return FoundFacts(came + missing, missing - back, repeated)

    def _is_anew(self, numbers: Sequence[int]) -> bool:
        """Whether a count begins with these numbers: the first ones that are seen, or those of a source that was set up anew."""
        last = numbers[-1]
        return self.top < 0 or abs(last - self.top) > _ANEW or (numbers[0] <= 1 and last < self.top)

    def _give_up(self, numbers: Iterable[int]) -> int:
        """Return how many of the awaited numbers have not come with this look either: they count as missing now."""
        late = self.awaited - set(numbers)
        self.awaited -= late
        if len(self.lost) + len(late) <= _MOST_MISSING:
            self.lost |= late
        else:
            self.lost = set(sorted(self.lost | late)[-_MOST_MISSING:])
        return len(late)


class NumberedFacts:
    """Finds gaps in the numbers of facts, by key or of a whole port.

    Args:
        by_key: whether each key has numbers of its own. Those of one key are in one partition, and come in order.
    """

    def __init__(self, *, by_key: bool) -> None:
        self._by_key = by_key
        self._scopes: dict[bytes | None, _NumberedScope] = {}
        self._touched: set[bytes | None] = set()

    def note(self, key: bytes | None, number: int) -> None:
        """Note the number of a fact that was read.

        Args:
            key: of the record.
            number: of the fact.
        """
        scope = key if self._by_key else None
        found = self._scopes.get(scope)
        if found is None:
            found = self._scopes[scope] = _NumberedScope()
            if len(self._scopes) > _MOST_SCOPES:
                oldest = next(iter(self._scopes))
                del self._scopes[oldest]
                self._touched.discard(oldest)
        found.coming.append(number)
        self._touched.add(scope)

    def settle(self) -> FoundFacts:
        """End a look that read every partition as far as it went, and return what it found."""
        total = FoundFacts()
        waiting = {scope for scope, each in self._scopes.items() if each.awaited} if self._touched else set()
        for scope in self._touched | waiting:
            total += self._scopes[scope].settle(trimmed=not self._by_key)
        self._touched.clear()
        return total

    def skip(self) -> FoundFacts:
        """Return what is still awaited as missing, and forget all numbers: what follows is not read on from here."""
        missing = sum(number <= each.whole for each in self._scopes.values() for number in each.awaited)
        self._scopes.clear()
        self._touched.clear()
        return FoundFacts(missing, missing)
