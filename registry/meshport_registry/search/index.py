"""The index: products by the words of what is known of them, in memory and bounded.

A word has one list of packed numbers, four bytes for each product that has it: the product's number and the most important part
of the product that the word stands in. An entry is never changed: a product that changes gets a new number, and the old one is
passed over until the index is made anew.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import IntEnum
from heapq import nsmallest
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

MOST_WORDS: Final = 2000
"""Different words of one product; those of less important parts are left out first."""
_PARTS: Final = 3  # bits
# A word of up to so many letters has to be right; up to so many, one letter may be wrong or two exchanged; two in a longer one.
_RIGHT: Final = 2
_ONE_WRONG: Final = 6
# Words that begin with one that is still being typed. A single letter begins thousands.
_MOST_BEGINNINGS: Final = 50
# Words that a wrong one may mean, the nearest first.
_MEANT: Final = 8
_BEGINS: Final = 0.8
_WRONG: Final = 0.6
# A retired product is found, after all others.
_RETIRED: Final = 0.1
_FACETS: Final = ("domain", "archetype", "status", "classification")


class EntryPart(IntEnum):
    """A part of a product, the most important first."""

    NAME = 0
    TAG = 1
    OWNER = 2
    FIELD = 3
    TOPIC = 4
    DESCRIPTION = 5
    DOC = 6


_WEIGHTS: Final = {
    EntryPart.NAME: 12.0,
    EntryPart.TAG: 7.0,
    EntryPart.OWNER: 5.0,
    EntryPart.FIELD: 5.0,
    EntryPart.TOPIC: 4.0,
    EntryPart.DESCRIPTION: 3.0,
    EntryPart.DOC: 1.0,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A product in the index.

    Attributes:
        guid: of the product.
        address: `<domain>/<product>`.
        domain: of the product.
        name: that people read.
        description: its beginning.
        archetype, owner, status, classification, tags: as declared, and as the registry knows them.
        fields: the paths of its fields, those of all contracts; not more than `MOST_FIELDS`.
        polysemes: by each global identifier of its contracts, the fields that have it, as `<port>@<major>#<path>`.
        reads: the other domains whose products it reads.
    """

    guid: str
    address: str
    domain: str
    name: str
    description: str
    archetype: str
    owner: str
    status: str
    classification: str
    tags: tuple[str, ...]
    fields: tuple[str, ...]
    polysemes: Mapping[str, tuple[str, ...]]
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for.

    Attributes:
        words: that a product has to have, in any part.
        narrowed: the values that it has to have, by attribute: `domain`, `archetype`, `status`, `classification`, `owner`, `tag`.
    """

    words: tuple[str, ...] = ()
    narrowed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes:
        entries: a page of the products, the best first.
        total: how many there are.
        facets: for each attribute to narrow by, how many products each value would leave.
        read_as: words of the query that no product has, each with the words that were taken instead.
        every_word: whether the products have every word of the query; otherwise none has, and these have some.
        meant: the words by which they were found.
    """

    entries: tuple[Entry, ...]
    total: int
    facets: dict[str, dict[str, int]]
    read_as: dict[str, tuple[str, ...]]
    every_word: bool
    meant: frozenset[str]


class SearchIndex:
    """Products by their words. Not for several threads at once.

    Attributes:
        complete: whether every product was put into it.
        changes: how often something was put into it or removed.
    """

    def __init__(self) -> None:
        self.complete = False
        self.changes = 0
        self._entries: list[Entry | None] = []
        self._numbers: dict[str, int] = {}
        # By number, as lists of their own: a word that all products have is counted and ranked in milliseconds.
        self._addresses: list[str] = []
        self._facets: dict[str, list[str]] = {name: [] for name in _FACETS}
        self._lists: dict[str, array[int]] = {}
        self._sorted: list[str] = []
        self._is_sorted = True

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def dead(self) -> int:
        """The number of entries that are passed over."""
        return len(self._entries) - len(self._numbers)

    @property
    def guids(self) -> Iterable[str]:
        """The products in the index."""
        return self._numbers.keys()

    @property
    def entries(self) -> Iterator[Entry]:
        """Every product's entry, in the order in which they came."""
        return (each for each in self._entries if each is not None)

    def put(self, entry: Entry, parts: Mapping[str, EntryPart]) -> None:
        """Add a product, or replace what is known of it.

        Args:
            entry: of the product.
            parts: its words, each with the most important part that it stands in.
        """
        self.remove(entry.guid)
        self.changes += 1
        number = self._numbers[entry.guid] = len(self._entries)
        self._entries.append(entry)
        self._addresses.append(entry.address)
        for name, values in self._facets.items():
            values.append(getattr(entry, name))
        kept = parts if len(parts) <= MOST_WORDS else dict(sorted(parts.items(), key=lambda each: each[1])[:MOST_WORDS])
        added = []
        for word, part in kept.items():
            packed = number << _PARTS | part
            known = self._lists.get(word)
            if known is None:
                self._lists[word] = array("I", (packed,))
                added.append(word)
            else:
                known.append(packed)
        if self._is_sorted and len(added) < 100:
            for word in added:
                insort(self._sorted, word)
        elif added:
            self._is_sorted = False

    def remove(self, guid: str) -> None:
        """Remove a product, if it is there."""
        number = self._numbers.pop(guid, None)
        if number is not None:
            self.changes += 1
            self._entries[number] = None

    def find(self, query: Query, *, offset: int, limit: int, seen: Set[str] | None = None) -> SearchResult:
        """Return a page of the products that match a query.

        Args:
            query: what is searched for.
            offset: the number of products before the page.
            limit: the number of products of the page, at most.
            seen: the products that are searched, each as `<domain>/<product>`; None for all. Words that only others have are
                no words.
        """
        read_as: dict[str, tuple[str, ...]] = {}
        by_word = []
        for word in dict.fromkeys(query.words):
            near = self._near(word)
            if seen is not None:
                near = {each: surely for each, surely in near.items() if self._is_in(each, seen)}
            if near and word not in near and not any(each.startswith(word) for each in near):
                read_as[word] = tuple(near)
            by_word.append((self._seen(self._scores(near), seen), near))
        every_word = True
        if not by_word:
            scores = self._seen(dict.fromkeys(self._numbers.values(), 0.0), seen)
        else:
            scores = _all_of([found for found, _ in by_word])
            if not scores:
                every_word = False
                scores = _any_of([found for found, _ in by_word])
        facets, left = self._narrow(scores, query.narrowed)
        entries = self._entries
        return SearchResult(
            entries=tuple(each for number in self._best(left, offset + limit)[offset:] if (each := entries[number])),
            total=len(left),
            facets=facets,
            read_as=read_as,
            every_word=every_word,
            meant=frozenset(word for _, near in by_word for word in near),
        )

    def _seen(self, scores: dict[int, float], seen: Set[str] | None) -> dict[int, float]:
        if seen is None:
            return scores
        addresses = self._addresses
        return {number: score for number, score in scores.items() if addresses[number] in seen}

    def _is_in(self, word: str, seen: Set[str]) -> bool:
        """Return whether a product has a word that is among some products."""
        numbers = (packed >> _PARTS for packed in self._lists[word])
        return any(self._entries[number] is not None and self._addresses[number] in seen for number in numbers)

    def sharing(self, polysemes: Set[str], *, most: int, seen: Set[str] | None = None) -> dict[str, tuple[Entry, ...]]:
        """Return the products that have some global identifiers, by identifier, `most` of each; the retired ones left out.

        Args:
            polysemes: the identifiers.
            most: products of one identifier.
            seen: the products that may be among them, each as `<domain>/<product>`; None for all.
        """
        found: dict[str, list[Entry]] = {each: [] for each in polysemes}
        for entry in self.entries:
            if entry.status != "retired" and (seen is None or entry.address in seen):
                for each in entry.polysemes.keys() & polysemes:
                    if len(found[each]) < most:
                        found[each].append(entry)
        return {name: tuple(sorted(entries, key=lambda each: each.address)) for name, entries in found.items()}

    def _best(self, scores: Mapping[int, float], most: int) -> list[int]:
        """Return the products with the best scores, those with the same in the order of their addresses."""
        addresses, status = self._addresses, self._facets["status"]
        ranked = [
            (-score * (_RETIRED if status[number] == "retired" else 1.0), addresses[number], number)
            for number, score in scores.items()
        ]
        return [number for _, _, number in nsmallest(most, ranked)]

    def _near(self, word: str) -> dict[str, float]:
        """Return the words that a word means, each with how surely: itself, what begins with it, or what it is a typo of."""
        vocabulary = self._vocabulary()
        found: dict[str, float] = {}
        at = bisect_left(vocabulary, word)
        while at < len(vocabulary) and vocabulary[at].startswith(word) and len(found) < _MOST_BEGINNINGS:
            found[vocabulary[at]] = 1.0 if vocabulary[at] == word else _BEGINS
            at += 1
        if found or len(word) <= _RIGHT:
            return found
        wrong = 1 if len(word) <= _ONE_WRONG else 2
        # First as a whole word, then as the beginning of one that is still being typed.
        for length in (None, len(word)):
            choices = vocabulary if length is None else [each[:length] for each in vocabulary]
            near = process.extract(word, choices, scorer=OSA.distance, score_cutoff=wrong, limit=_MEANT)
            if near:
                nearest = min(distance for _, distance, _ in near)
                return {
                    vocabulary[index]: _WRONG / (1 + distance) for _, distance, index in near if distance == nearest
                }
        return {}

    def _vocabulary(self) -> list[str]:
        if not self._is_sorted:
            self._sorted, self._is_sorted = sorted(self._lists), True
        return self._sorted

    def _scores(self, near: Mapping[str, float]) -> dict[int, float]:
        """Return the products that have one of some words, with the score of the best one."""
        scores: dict[int, float] = {}
        entries, mask = self._entries, (1 << _PARTS) - 1
        for word, surely in near.items():
            by_part = [_WEIGHTS[part] * surely for part in EntryPart]
            for packed in self._lists[word]:
                number, score = packed >> _PARTS, by_part[packed & mask]
                if score > scores.get(number, 0.0) and entries[number] is not None:
                    scores[number] = score
        return scores

    def _narrow(
        self, scores: Mapping[int, float], narrowed: Mapping[str, str]
    ) -> tuple[dict[str, dict[str, int]], Mapping[int, float]]:
        """Return how many products each value of each facet would leave, and the products that all wanted values leave."""
        failed: dict[int, list[str]] = {}
        for name, value in narrowed.items():
            for number in self._others(scores, name, value):
                entry = self._entries[number]
                if entry is not None and not _has(entry, name, value):
                    failed.setdefault(number, []).append(name)
        left = {number: score for number, score in scores.items() if number not in failed} if failed else scores
        facets = {}
        for name, values in self._facets.items():
            counts = Counter(values[number] for number in left)
            counts.update(values[number] for number, names in failed.items() if names == [name])
            facets[name] = dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))
        return facets, left

    def _others(self, scores: Mapping[int, float], name: str, value: str) -> Iterator[int]:
        """Yield the products that have another value of a facet; all, where the attribute is none."""
        values = self._facets.get(name)
        return iter(scores) if values is None else (number for number in scores if values[number] != value)


def _has(entry: Entry, name: str, value: str) -> bool:
    return value in entry.tags if name == "tag" else getattr(entry, name) == value


def _all_of(found: list[dict[int, float]]) -> dict[int, float]:
    first, *others = sorted(found, key=len)
    return {
        number: score + sum(each[number] for each in others)
        for number, score in first.items()
        if all(number in each for each in others)
    }


def _any_of(found: list[dict[int, float]]) -> dict[int, float]:
    scores: dict[int, float] = {}
    for each in found:
        for number, score in each.items():
            scores[number] = scores.get(number, 0.0) + score
    return scores
