"""The four pipelines over a generated world, against their recounts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from meshport.address import Address
from meshport.project.project import Project
from meshport.project.sources import load_sources, merge
from tests.reference.memory_mesh import MemoryMesh

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)


def live(mesh: MemoryMesh, *, seed: int, days: float, random: Random | None = None, kill: bool = False) -> None:
    """Publish a world, with the processors at work in between where `random` is given, and let them come to the end."""
    for address, occurrence in merge(load_sources(mesh.project, seed=seed)):
        if occurrence.recorded >= BEGIN + timedelta(days=days):
            break
        mesh.publish(address, occurrence)
        if random is not None and random.random() < 0.004:
            mesh.run(random, kill=kill)
    mesh.run()


def check(mesh: MemoryMesh) -> None:
    """Every derived product holds what its recount says, and holds something."""
    for each in mesh.project.products:
        if each.product.process:
            verdict = mesh.verdict(each)
            assert verdict.agrees, "\n".join(map(str, verdict.differing))
            assert verdict.found == verdict.expected > 50, str(verdict.address)
            assert not mesh.harnesses[verdict.address].quarantine()


def test_processors_agree_with_the_recounts(project: Project) -> None:
    """Over a day and a quarter, read in one go; late plays are set aside, and none are missing."""
    mesh = MemoryMesh(project)
    live(mesh, seed=1, days=1.25)
    check(mesh)
    assert mesh.harnesses[Address.parse("listening/sessions")].late()
    assert mesh.harnesses[Address.parse("listening/plays-by-artist")].late()


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
    live(mesh, seed=seed, days=0.7, random=Random(seed))
    check(mesh)


def test_killed_processors_agree_with_the_recounts(project: Project) -> None:
    """Processors that die in the middle of what they deliver, again and again, leave the same totals."""
    mesh = MemoryMesh(project)
    live(mesh, seed=5, days=0.7, random=Random(5), kill=True)
    check(mesh)


def test_a_play_that_is_lost_is_noticed(project: Project) -> None:
    """The comparison is no formality: an output that is one play short does not agree."""
    mesh = MemoryMesh(project)
    live(mesh, seed=6, days=0.6)
    address = Address.parse("listening/plays-by-artist")
    harness = mesh.harnesses[address]
    last = max(mesh.events(address), key=lambda event: event.data["plays"])
    topic = harness.log.topic(harness.plan.output.topic)
    del topic[last.partition][last.offset]
    verdict = mesh.verdict(project.product(address))
    assert not verdict.agrees
    assert verdict.wrong == 1
    assert (last.key or b"").decode() == verdict.differing[0].key
