"""The four pipelines over a generated world, against their recounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from meshport.address import Address
from meshport.process.engines.memory_log import Crash
from meshport.project.project import Project
from meshport.project.sources import SourceEvent, load_sources, merge
from meshport.testing import MemoryMesh
from tests.repeats import repeated, repeats

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
SHORT = repeats(suite=15, campaign=17)
LONG = repeats(suite=18, campaign=30)
"""Hours of a world: until sessions have ended, and until plays have been late."""


def live(mesh: MemoryMesh, *, seed: int, hours: int, random: Random | None = None, kill: bool = False) -> None:
    """Publish a world, with the processors at work in between where `random` is given, and let them come to the end."""
    assert mesh.project is not None
    for address, event in merge(load_sources(mesh.project, seed=seed)):
        if event.recorded >= BEGIN + timedelta(hours=hours):
            break
        publish(mesh, address, event)
        if random is not None and random.random() < 0.004:
            work(mesh, random, kill=kill)
    mesh.run()


def publish(mesh: MemoryMesh, address: Address, event: SourceEvent) -> None:
    """Publish what a source gives, at the time at which it was recorded."""
    mesh.now = event.recorded
    if event.record is not None:
        mesh.publish(address, event.record, id=event.id)
    elif event.key is not None:
        mesh.retract(address, event.key, id=event.id)


def work(mesh: MemoryMesh, random: Random, *, kill: bool) -> None:
    """Let some of the processors work in odd batches; with `kill` one may die after any message that it delivers."""
    for address in derived(mesh):
        if random.random() < 0.6:
            sizes = [random.randrange(1, 60) for _ in range(random.randrange(1, 40))]
            crash_after = random.randrange(400) if kill and random.random() < 0.5 else None
            try:
                mesh.processor(address).run(sizes, crash_after=crash_after)
            except Crash:
                mesh.restart(address)


def derived(mesh: MemoryMesh) -> list[Address]:
    """The derived products."""
    assert mesh.project is not None
    return [each.product.address for each in mesh.project.products if each.product.process]


def check(mesh: MemoryMesh) -> None:
    """Every derived product holds what its recount says, and holds something."""
    for address in derived(mesh):
        verdict = mesh.recount(address)
        assert verdict.agrees, "\n".join(map(str, verdict.differing))
        assert verdict.found == verdict.expected > 50, str(verdict.address)
        assert not mesh.quarantined(address)


@repeated
def test_processors_agree_with_the_recounts(project: Project) -> None:
    """Over most of a day, read in one go; late plays are set aside, and none are missing."""
    mesh = MemoryMesh(project)
    live(mesh, seed=1, hours=LONG)
    check(mesh)
    assert mesh.late("listening/sessions")
    assert mesh.late("listening/plays-by-artist")


@repeated
@pytest.mark.parametrize(
    ("seed", "partitions"),
    [
        (2, {}),
        (3, {"player/plays": 1, "listening/sessions": 1, "artists/onboardings": 5}),
        (4, {"player/plays": 7, "listening/sessions": 7, "listening/plays-by-artist": 3}),
    ],
)
def test_neither_batches_nor_partitions_change_the_result(
    project: Project, seed: int, partitions: Mapping[str, int]
) -> None:
    """Processors that run in odd turns and batches, over other partition counts, come to the same."""
    mesh = MemoryMesh(project, partitions=partitions)
    live(mesh, seed=seed, hours=SHORT, random=Random(seed))
    check(mesh)


@repeated
def test_killed_processors_agree_with_the_recounts(project: Project) -> None:
    """Processors that die in the middle of what they deliver, again and again, leave the same totals."""
    mesh = MemoryMesh(project)
    live(mesh, seed=5, hours=SHORT, random=Random(5), kill=True)
    check(mesh)


def test_a_play_that_is_lost_is_noticed(project: Project) -> None:
    """The comparison is no formality: an output that is one play short does not agree."""
    mesh = MemoryMesh(project)
    live(mesh, seed=6, hours=15)
    address = "listening/plays-by-artist"
    last = max(mesh.events(address), key=lambda event: event.data["plays"])
    mesh.processor(address).log.removed.add((last.topic, last.partition, last.offset))
    verdict = mesh.recount(address)
    assert not verdict.agrees
    assert verdict.wrong == 1
    assert (last.key or b"").decode() == verdict.differing[0].key
