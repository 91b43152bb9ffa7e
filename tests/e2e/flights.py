"""The flights that a newcomer publishes, and what is true of them by a separate computation with sqlite3."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

COUNT = 20_000
GIVEN = Path(__file__).parents[3] / "shared" / "data" / "flights-2001q1.jsonl"
FORMAT = "%Y/%m/%d %H:%M"

Flight = dict[str, Any]
Totals = dict[tuple[str, str], tuple[float, int]]
"""(mean, maximum) of the delay by (airport, beginning of the hour as CloudEvents write it)."""


def first_quarter(folder: Path) -> tuple[Path, str]:
    """The file of 20,000 flights of January to March 2001, and a word on where it is from.

    The real ones lie beside the project where it is built; elsewhere a seeded file of the same shape replaces them.
    """
    if GIVEN.exists():
        return GIVEN, f"{COUNT:,} real flights ({GIVEN.name})"
    file = folder / "flights.jsonl"
    write(file, _invented(COUNT))
    return file, f"{COUNT:,} invented flights; the real ones ({GIVEN.name}) are not beside this project"


def _invented(count: int) -> list[Flight]:
    dice = random.Random(2001)
    airports = ["".join(dice.choices("ABCDEFGHIJKLMNOPRSTUVWXYZ", k=3)) for _ in range(220)]
    busy = [1 / (rank + 3) for rank in range(len(airports))]
    minutes = sorted(dice.randrange(90 * 24 * 60) for _ in range(count))
    flights = []
    for minute in minutes:
        origin, destination = dice.choices(airports, busy, k=2)
        flights.append(
            {
                "date": f"{datetime(2001, 1, 1, tzinfo=UTC) + timedelta(minutes=minute):{FORMAT}}",
                "delay": round(dice.gauss(0, 12) + (dice.expovariate(0.03) if dice.random() < 0.3 else 0)),
                "distance": dice.randrange(60, 2700),
                "origin": origin,
                "destination": destination,
            }
        )
    return flights


def read(file: Path) -> list[Flight]:
    """The flights of a file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def write(file: Path, flights: Iterable[Flight]) -> Path:
    """A file of flights."""
    file.write_text("".join(json.dumps(each) + "\n" for each in flights), encoding="utf-8")
    return file


def later(flights: Sequence[Flight], years: int) -> list[Flight]:
    """The same flights some years later (no day of January to March 2001 is missing in another year)."""
    return [{**each, "date": f"{int(each['date'][:4]) + years}{each['date'][4:]}"} for each in flights]


def totals(flights: Iterable[Flight]) -> Totals:
    """Mean and maximum delay by airport and hour, as sqlite3 computes them."""
    with sqlite3.connect(":memory:") as database:
        database.execute("create table flights (date text, delay integer, origin text)")
        database.executemany("insert into flights values (:date, :delay, :origin)", flights)
        found = database.execute(
            "select origin, replace(substr(date, 1, 10), '/', '-') || 'T' || substr(date, 12, 2) || ':00:00Z' as hour,"
            " avg(delay), max(delay) from flights group by origin, hour"
        )
        result = {(origin, hour): (mean, most) for origin, hour, mean, most in found}
    database.close()
    return result
