"""A move from another registry, Apicurio: a thousand subjects with references, and the gate before anything has moved.

It is fetched from Maven Central as the bench does, once; `MESHPORT_REQUIRE_INTEROP=1` makes its absence a failure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import platformdirs
import pytest

from meshport.registry import ConfluentSubjects, Registry
from meshport.registry.importer import import_snapshot
from meshport.schema import Schema
from meshport_registry import Settings, running
from tests.bench.apicurio import NoPeer, apicurio
from tests.interop.tools import do_without
from tests.plain_http import plain_http
from tests.repeats import repeated, repeats
from tests.waiting import PATIENCE_S

SUBJECTS = repeats(suite=150, campaign=1000)
TYPES = 50
WRITERS = 8


@pytest.fixture(scope="module")
def peer() -> Iterator[httpx2.Client]:
    """Yield a plain HTTP client of the Confluent API of an Apicurio in memory."""
    cache = platformdirs.user_cache_path("meshport") / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with apicurio(cache) as (url, _), plain_http(url) as client:
            yield client
    except NoPeer as reason:
        do_without(f"Apicurio {reason}")


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    """Return a record of the namespace `move`."""
    return {"type": "record", "name": name, "namespace": "move", "fields": list(fields)}


def register(
    peer: httpx2.Client, subject: str, schema: dict[str, Any], *referred: tuple[str, str], indent: int | None = None
) -> int:
    """Register a schema, with references to the first versions of subjects, and return its id."""
    references = [{"name": name, "subject": subject, "version": 1} for name, subject in referred]
    body = {"schema": json.dumps(schema, indent=indent), "references": references}
    answer = peer.post(f"/subjects/{subject}/versions", json=body)
    assert answer.is_success, answer.text
    return int(answer.json()["id"])


def shared(number: int) -> tuple[str, str]:
    """Return the name of a shared type, and its subject."""
    return f"move.T{number % TYPES}", f"type-{number % TYPES}"


@pytest.fixture(scope="module")
def filled(peer: httpx2.Client) -> httpx2.Client:
    """Return a client of the peer with a thousand subjects: types, types of types, values of one or two versions."""
    for number in range(TYPES):
        name, subject = shared(number)
        inner = [] if number % 5 == 0 else [{"name": "inner", "type": shared(number - 1)[0]}]
        chain = [shared(each) for each in range(number - number % 5, number)]
        register(
            peer, subject, record(name.removeprefix("move."), {"name": "code", "type": "int"}, *inner), *chain[::-1]
        )

    def write(number: int) -> None:
        name, _ = shared(number)
        chain = [shared(each) for each in range(number % TYPES - number % 5, number % TYPES + 1)]
        first = record(f"V{number}", {"name": "at", "type": "long"}, {"name": "what", "type": name})
        register(peer, f"t{number}-value", first, *chain[::-1], indent=number % 3 or None)
        if number % 4 == 0:
            second = record(f"V{number}", *first["fields"], {"name": "note", "type": "string", "default": ""})
            register(peer, f"t{number}-value", second, *chain[::-1])

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(TYPES, SUBJECTS)))
    assert peer.put("/config/t50-value", json={"compatibility": "FULL"}).is_success
    for path in ("/subjects/t60-value/versions/1", "/subjects/t99-value"):
        assert peer.delete(path).is_success
    return peer


@repeated
def test_a_thousand_subjects_with_references_arrive(filled: httpx2.Client, tmp_path: Path) -> None:
    """Every id, version, reference, deletion and level is the peer's, every schema reads the same, and a repetition is idle."""
    with (
        ConfluentSubjects.at(str(filled.base_url)) as subjects,
        running(Settings(database=f"sqlite:///{tmp_path / 'own.db'}", port=0)) as url,
        Registry(url, timeout=PATIENCE_S) as registry,
        plain_http(url) as own,
    ):
        there = subjects.snapshot()
        assert len(there.subjects) == SUBJECTS - 1
        assert there.notes == ("soft-deleted versions of t99-value are listed there, but not shown: they are left out",)
        report = import_snapshot(there, registry)
        assert report.counts.versions == len(there.versions)
        here = registry.subjects.snapshot()
        assert [each.model_copy(update={"schema_text": ""}) for each in here.each_version()] == [
            each.model_copy(update={"schema_text": ""}) for each in there.each_version()
        ]
        assert [(each.name, each.level) for each in here.subjects] == [
            (each.name, each.level) for each in there.subjects
        ]
        for each in there.each_version():
            assert own.get(f"/schemas/ids/{each.id}").json()["schema"] == each.schema_text
        again = import_snapshot(subjects.snapshot(), registry)
        assert again.counts.model_dump(exclude={"unchanged"}) == dict.fromkeys(
            ("versions", "further_ids", "deletions", "settings"), 0
        )
        assert isinstance(registry.by_id(next(there.each_version()).id), Schema)
