"""What this product should hold, counted again in SQL from plays and terms alone, without any of the processor's code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from meshport.event import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)

_SCHEMA = """
CREATE TABLE play (part INT, place INT, time INT, id TEXT, artist TEXT, listener TEXT, heard INT);
CREATE TABLE terms (place INT, time INT, artist TEXT, label TEXT, rate INT, PRIMARY KEY (artist, time, place));
"""

# A play is late if it began more than 12 hours before another that its partition held earlier. Of those that are not,
# the first of each id counts, in its own hour and at the terms that held when it began. Times are in microseconds,
# rates in millionths of a euro, so that all sums are sums of integers.
_QUERY = """
WITH seen AS (
  SELECT *, max(time) OVER (PARTITION BY part ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
  FROM play
), first AS (
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY part, place) AS copy
  FROM seen WHERE newest IS NULL OR time >= newest - 12 * 3600000000
), counted AS (
  SELECT first.*, time - time % 3600000000 AS hour, (
    SELECT terms.rowid FROM terms WHERE terms.artist = first.artist AND terms.time <= first.time
    ORDER BY terms.time DESC, terms.place DESC LIMIT 1
  ) AS held
  FROM first WHERE copy = 1
), priced AS (
  SELECT counted.*, terms.rate, terms.label, heard >= 30000 AS payable, row_number() OVER (
    PARTITION BY counted.artist, hour ORDER BY counted.time DESC, part DESC, counted.place DESC
  ) AS back
  FROM counted JOIN terms ON terms.rowid = held
)
SELECT artist, hour, count(*), count(DISTINCT listener), sum(heard), sum(payable), sum(payable * rate),
       max(CASE WHEN back = 1 THEN label END)
FROM priced GROUP BY artist, hour
"""


def recount(sources: Mapping[str, Sequence[Event]]) -> Iterator[dict[str, Any]]:
    """Every hour of every artist who was played."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.executescript(_SCHEMA)
        database.executemany(
            "INSERT INTO play VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    *(play.partition, play.offset, _micros(play.time), play.id),
                    *(play.data["artist_id"], play.data["user_id"], play.data["played_ms"]),
                )
                for play in sources["mesh://player/plays"]
            ),
        )
        database.executemany(
            "INSERT INTO terms VALUES (?, ?, ?, ?, ?)",
            (
                (
                    row.offset,
                    _micros(row.time),
                    row.data["artist_id"],
                    row.data["label"],
                    int(row.data["rate_per_play"].scaleb(6)),
                )
                for row in sources["mesh://artists/onboardings"]
            ),
        )
        for artist, hour, plays, listeners, heard, payable, millionths, label in database.execute(_QUERY):
            start = _EPOCH + hour * _MICRO
            yield {
                "artist_id": artist,
                "window_start": start,
                "window_end": start + timedelta(hours=1),
                "plays": plays,
                "listeners": listeners,
                "played_ms": heard,
                "payable_plays": payable,
                "royalty": Decimal(millionths).scaleb(-6),
                "label": label,
            }


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // _MICRO
