"""Backups of a registry, one after the other while it is written to, each restored beside it and compared.

Eight writers register schemas and delete versions. Each backup has to be of one moment: every registration that was
acknowledged before, no gap among the ids, and each version with the id and the text that the registry gives.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from meshport_registry import Settings, running
from tests.campaigns.outbox import Database
from tests.campaigns.outcome import Outcome, say
from tests.plain_http import plain_http
from tests.postgres_session import running_postgres
from tests.registry.backups import SchemaWriters, drill

_WRITERS: Final = 8
_PAUSE_S: Final = 0.02
_BETWEEN: Final = 100


@dataclass(frozen=True)
class Backups:
    """What is asked for.

    Attributes:
        database: of the registry.
        times: how many backups are taken and restored.
    """

    database: Database
    times: int


def run(asked: Backups) -> Outcome:
    """Take and restore the backups, print a line for each, and return what became of them."""
    begun = time.monotonic()
    wrong = writes = rows = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        _databases(asked.database, Path(folder)) as new,
        running(Settings(database=(database := new()), port=0)) as url,
        plain_http(url) as http,
        SchemaWriters(url, _WRITERS, _PAUSE_S) as writers,
    ):
        for number in range(1, asked.times + 1):
            writers.await_more(_BETWEEN)
            made = drill(database, Path(folder) / f"{number}.gz", new(), http, writers)
            say(f"  {asked.database} {number:3}: {made}")
            wrong += len(made.wrong)
            writes += made.writes
            rows = made.rows
    took_s = time.monotonic() - begun
    done = f"{asked.times} restored, the last of {rows} rows, {writes} writes meanwhile"
    return Outcome(f"backup, {asked.database}", done, None, took_s, right=wrong == 0 and writes > 0)


@contextmanager
def _databases(kind: Database, folder: Path) -> Iterator[Callable[[], str]]:
    if kind == "postgres":
        with running_postgres() as (_, new):
            yield new
        return
    numbers = count(1)
    yield lambda: f"sqlite:///{folder / f'registry{next(numbers)}.db'}"
