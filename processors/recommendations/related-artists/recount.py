"""What this product should hold, counted again in SQL from the plays alone, without any of the processors' code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from meshport.event import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)

_SCHEMA = "CREATE TABLE play (part INT, place INT, time INT, id TEXT, artist TEXT, listener TEXT)"

# Plays that are not late, the first of each id; sessions as stretches between silences of more than half an hour; of
# those the ones that are over: 12.5 hours older than the newest play of their partition. Times are in microseconds.
_QUERY = """
WITH seen AS (
  SELECT *, max(time) OVER (PARTITION BY part ORDER BY place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest
  FROM play
), counted AS (
  SELECT *, row_number() OVER (PARTITION BY id ORDER BY part, place) AS copy
  FROM seen WHERE newest IS NULL OR time >= newest - 12 * 3600000000
), silence AS (
  SELECT *, time - lag(time) OVER (PARTITION BY part, listener ORDER BY time) > 1800000000 AS breaks
  FROM counted WHERE copy = 1
), numbered AS (
  SELECT *, sum(coalesce(breaks, 0)) OVER (PARTITION BY part, listener ORDER BY time) AS number FROM silence
), session AS (
  SELECT part, listener, number, max(time) AS over FROM numbered GROUP BY part, listener, number
  HAVING max(time) + 1800000000 + 12 * 3600000000 < (SELECT max(time) FROM play WHERE play.part = numbered.part)
), heard AS (
  SELECT DISTINCT part, listener, number, artist FROM numbered
)
SELECT one.artist, other.artist, count(*), max(over)
FROM session JOIN heard AS one USING (part, listener, number) JOIN heard AS other USING (part, listener, number)
WHERE one.artist <> other.artist
GROUP BY one.artist, other.artist
"""


def recount(sources: Mapping[str, Sequence[Event]]) -> Iterator[dict[str, Any]]:
    """Every two artists that some session over by now holds, in both directions."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(_SCHEMA)
        database.executemany(
            "INSERT INTO play VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    *(play.partition, play.offset, (play.time - _EPOCH) // _MICRO, play.id),
                    *(play.data["artist_id"], play.data["user_id"]),
                )
                for play in sources["mesh://player/plays"]
            ),
        )
        for artist, related, sessions, over in database.execute(_QUERY):
            yield {
                "artist_id": artist,
                "related_artist_id": related,
                "sessions": sessions,
                "last_heard_at": _EPOCH + over * _MICRO,
            }
