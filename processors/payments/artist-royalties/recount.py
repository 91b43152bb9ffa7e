"""What this product should hold, counted again from plays and terms alone, without any of the processor's code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from meshport.event import Event

LATENESS = timedelta(hours=12)
LEAST_HEARD_MS = 30_000
CENT = Decimal("0.01")


@dataclass
class _Day:
    plays: int = 0
    payable_plays: int = 0
    royalty: Decimal = Decimal(0)


def recount(sources: Mapping[str, Sequence[Event]]) -> Iterator[dict[str, Any]]:
    """Every day of every artist who was played.

    The hours of mesh://listening/plays-by-artist hold every play that is not late there, once, at the terms that held
    when it began; a day (UTC) is the sum of its hours, and so of its plays.
    """
    terms = _Terms(sources["mesh://artists/onboardings"])
    days: defaultdict[tuple[str, date], _Day] = defaultdict(_Day)
    for play in _counted(sources["mesh://player/plays"]):
        artist = play.data["artist_id"]
        rate = terms.rate(artist, play.time)
        if rate is None:
            continue
        day = days[artist, play.time.astimezone(UTC).date()]
        day.plays += 1
        if play.data["played_ms"] >= LEAST_HEARD_MS:
            day.payable_plays += 1
            day.royalty += rate
    for (artist, when), day in days.items():
        yield {
            "artist_id": artist,
            "day": when,
            "plays": day.plays,
            "payable_plays": day.payable_plays,
            "royalty": day.royalty,
            "amount": day.royalty.quantize(CENT, ROUND_HALF_EVEN),
        }


def _counted(plays: Sequence[Event]) -> Iterator[Event]:
    """Each play once that began no longer than the lateness before the newest that its partition held earlier."""
    newest: dict[int, datetime] = {}
    known: set[str] = set()
    for play in plays:
        begun = newest.get(play.partition, play.time)
        newest[play.partition] = max(begun, play.time)
        if begun - play.time <= LATENESS and play.id not in known:
            known.add(play.id)
            yield play


class _Terms:
    """The rates of each artist, by the time from which on they hold; a row replaces earlier ones of its time or later."""

    def __init__(self, rows: Sequence[Event]) -> None:
        self._rows: defaultdict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
        for row in rows:
            of_artist = self._rows[row.data["artist_id"]]
            while of_artist and of_artist[-1][0] >= row.time:
                of_artist.pop()
            of_artist.append((row.time, row.data["rate_per_play"]))

    def rate(self, artist: str, time: datetime) -> Decimal | None:
        """The rate that held at that time; None before the first terms."""
        found = None
        for valid_from, rate in self._rows[artist]:
            if valid_from > time:
                break
            found = rate
        return found
