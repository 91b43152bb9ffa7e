"""A backup that is taken while a registry is written to, restored beside it, and compared with what the registry has.

The suite does that a few times, `python -m tests.campaigns backup` many times.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from meshport.registry import Registry
from meshport_registry import Settings, backup, running
from tests.plain_http import plain_http
from tests.registry.sheet import register
from tests.waiting import PATIENCE_S

_SUBJECTS = 20
_PAGE = 1000


def numbered(number: int) -> str:
    """Return a schema that differs for each number."""
    return json.dumps({"type": "record", "name": f"R{number}", "fields": [{"name": "a", "type": "int"}]})


Versions = dict[tuple[str, int], tuple[int, str]]
"""Id and text of each version, deleted ones too, by subject and number."""


def every_version(http: httpx2.Client) -> Versions:
    """Return every version that a registry has."""
    found: Versions = {}
    while True:
        page: list[dict[str, Any]] = http.get(
            "/schemas", params={"deleted": "true", "offset": len(found), "limit": _PAGE}
        ).json()
        found |= {(each["subject"], each["version"]): (each["id"], each["schema"]) for each in page}
        if len(page) < _PAGE:
            return found


class SchemaWriters:
    """Threads that register schemas, and delete a few versions, until they are stopped; `acknowledged` has what was answered.

    Args:
        url: of the registry.
        count: of threads.
        pause_s: between two writes of a thread.
    """

    def __init__(self, url: str, count: int, pause_s: float = 0.0) -> None:
        self._url = url
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._numbers = iter(range(1, 10**9))
        self.acknowledged: dict[int, int] = {}
        """The id of each schema, by its number."""
        self._threads = [threading.Thread(target=self._write, args=(seed,)) for seed in range(count)]

    def __enter__(self) -> SchemaWriters:
        with plain_http(self._url) as http:
            http.put("/config", json={"compatibility": "NONE"}).raise_for_status()
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def await_more(self, count: int) -> None:
        """Wait until so many further writes are acknowledged."""
        with self._changed:
            goal = len(self.acknowledged) + count
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= goal, PATIENCE_S)

    def _write(self, seed: int) -> None:
        dice = random.Random(seed)
        with plain_http(self._url) as http:
            while not self._stop.wait(self._pause_s):
                with self._changed:
                    number = next(self._numbers)
                subject = f"s{number % _SUBJECTS}"
                answer = register(http, subject, numbered(number))
                answer.raise_for_status()
                with self._changed:
                    self.acknowledged[number] = answer.json()["id"]
                    self._changed.notify_all()
                if dice.random() < 0.02:  # it may have been deleted by another thread
                    http.delete(f"/subjects/{subject}/versions/{dice.randrange(1, 4)}")


@dataclass(frozen=True)
class Drill:
    """What became of one backup and its restore.

    Attributes:
        rows: of the backup.
        versions: of schemas in it.
        writes: that were acknowledged while it was taken.
        backup_s: seconds of the backup.
        restore_s: seconds of the restore.
        wrong: what is not as it should be.
    """

    rows: int
    versions: int
    writes: int
    backup_s: float
    restore_s: float
    wrong: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        return (
            f"{self.rows} rows, {self.versions} versions; {self.writes} writes during the backup of {self.backup_s:.2f} s; "
            f"restored in {self.restore_s:.2f} s; {'; '.join(self.wrong) or 'ids and versions unchanged'}"
        )


def drill(database: str, file: Path, copy: str, http: httpx2.Client, writers: SchemaWriters) -> Drill:
    """Back a registry up, restore it to an empty database, and compare what a registry there answers.

    Args:
        database: the URL of the database, to which `writers` write by a registry.
        file: of the backup.
        copy: the URL of an empty database.
        http: a client of the registry.
        writers: that are running.
    """
    before = dict(writers.acknowledged)
    began = time.monotonic()
    report = backup.back_up(database, file)
    backup_s = time.monotonic() - began
    writes = len(writers.acknowledged) - len(before)
    began = time.monotonic()
    backup.restore(file, copy)
    restore_s = time.monotonic() - began
    with _registry(copy) as (url, restored):
        found, live = every_version(restored), every_version(http)
        wrong = list(differences(found, live, before))
        with Registry(url, timeout=PATIENCE_S) as client:
            client.audit.verify()
        given = register(restored, "after", numbered(0)).json()["id"]
        highest = max((id_ for id_, _ in found.values()), default=0)
        if given <= highest + backup.SKIPPED_IDS:
            wrong.append(f"the next id is {given}, and {highest} is in the backup")
    return Drill(sum(report.rows.values()), len(found), writes, backup_s, restore_s, tuple(wrong))


def differences(found: Versions, live: Versions, before: dict[int, int]) -> Iterator[str]:
    """Yield what a restored registry has otherwise than the one that was backed up.

    Args:
        found: the versions that were restored.
        live: those of the registry that was backed up, now.
        before: the ids that were acknowledged before the backup.
    """
    if other := [key for key, value in found.items() if live.get(key) != value]:
        yield f"{len(other)} versions differ, as {other[0]}: {found[other[0]]} was {live.get(other[0])}"
    ids = sorted(id_ for id_, _ in found.values())
    if ids != list(range(1, len(ids) + 1)):
        yield f"the {len(ids)} ids have gaps: it is not of one moment"
    if lost := [number for number, id_ in before.items() if id_ not in set(ids)]:
        yield f"{len(lost)} schemas are missing that were acknowledged before"


@contextmanager
def _registry(database: str) -> Iterator[tuple[str, httpx2.Client]]:
    with running(Settings(database=database, port=0)) as url, plain_http(url) as http:
        yield url, http
