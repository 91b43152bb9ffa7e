"""Sources that the mesh runs itself: a product's own Python tells what happened, and when it was learnt of.

A source-aligned product whose `product.yaml` says `source: <file>.py:<name>` brings a function `(seed) -> occurrences`.
The sources of a mesh are one world: they are merged by the time at which each occurrence was learnt of, and that world
time passes at a chosen speed beside the wall clock.

A source tells one line of its port: the one that is live when the run begins. A further major line that is not live yet
changes nothing; from its day on the next run tells the new line, from the beginning, and has to tell it by its contract.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from meshport.address import Address
from meshport.errors import MeshError, ProjectError
from meshport.kafka.config import KafkaConfig
from meshport.ports.publisher import Publisher
from meshport.ports.resolver import Resolver
from meshport.ports.scan import history_reader
from meshport.product.loading import load_callable
from meshport.project.project import Project, ProjectProduct

# Whatever was learnt of this much earlier is stored on the broker before anything later is published. What one source
# must have told before another goes on (the row before those that join with it) has to lie further apart than this.
SETTLED: Final = timedelta(hours=1)
# Longer stretches in which no source has anything to tell are cut to this length of world time.
_LONGEST_SILENCE: Final = timedelta(hours=1)
# Shorter waits cost more than they pace.
_LEAST_WAIT_S: Final = 0.005
_PROGRESS_EVERY_S: Final = 0.2


class SourceEvent(NamedTuple):
    """One thing that happened, as its source learns of it.

    Attributes:
        record: by the port's schema; None retracts the row of `key`.
        id: of the event. The same occurrence, told twice, has the same one.
        recorded: world time at which the source learnt of it. A source gives its occurrences in this order.
        key: of a retraction: the key fields and their values.
    """

    record: Mapping[str, Any] | None
    id: str
    recorded: datetime
    key: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ProductSource:
    """A source-aligned product with the occurrences that it will tell.

    Attributes:
        address: where they are published.
        occurrences: in the order of their `recorded`; may never end.
    """

    address: Address
    occurrences: Iterable[SourceEvent]


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far the sources have come.

    Attributes:
        published: events by address.
        world: world time of the last one; None before the first.
        behind_s: how many seconds the sources are behind their pace.
    """

    published: Mapping[Address, int]
    world: datetime | None
    behind_s: float = 0.0

    @property
    def total(self) -> int:
        """Events of all sources."""
        return sum(self.published.values())


def load_source(product: ProjectProduct, *, seed: int) -> ProductSource | None:
    """The source that a product brings along, or None.

    Raises:
        ProjectError: it names one that cannot be loaded.
    """
    reference = product.product.source
    if reference is None:
        return None
    events = load_callable(product.folder, reference)
    return ProductSource(product.product.address, events(seed))


def load_sources(project: Project, *, seed: int) -> list[ProductSource]:
    """The sources of all products of a project that bring one; see `load_source`."""
    found = (load_source(each, seed=seed) for each in project.products)
    return [each for each in found if each is not None]


def stored(addresses: Iterable[Address], resolver: Resolver) -> dict[Address, int]:
    """How many events each port's log has taken in, those that retention or compaction removed included.

    Told to `run_sources`, it makes sources that were stopped go on where they were. After a kill the few events that
    were on their way may be missing, or there twice.
    """
    counts = {}
    for address in addresses:
        binding = resolver.resolve(address)
        consumer = history_reader(KafkaConfig(binding.bootstrap_servers))
        try:
            counts[address] = sum(consumer.end_offsets(binding.topic).values())
        finally:
            consumer.close()
    return counts


def run_sources(
    sources: Sequence[ProductSource],
    resolver: Resolver,
    *,
    speed: float | None = None,
    until: datetime | None = None,
    limit: int | None = None,
    skip: Mapping[Address, int] | None = None,
    stop: threading.Event | None = None,
    on_progress: Callable[[SourceProgress], None] | None = None,
) -> SourceProgress:
    """Publish what the sources tell, in this thread, until they end or are told to.

    World time never runs ahead of the wall clock: a world that has caught up goes on in real time.

    Args:
        sources: each of another port.
        resolver: a registry.
        speed: world seconds per wall second; None is as fast as the broker takes them.
        until: world time at which to end: nothing that was recorded then or later is published.
        limit: how many events to publish, all sources together.
        skip: how many occurrences of each source were published before; see `stored`.
        stop: ends the run when it is set.
        on_progress: called a few times a second, and at the end.

    Returns:
        How far it came; all of it is stored.

    Raises:
        ProjectError: a source goes back in time.
        EncodeError, EventError: a record is no event of its port.
        PublishError, DeliveryUnknown: an event is not stored for certain.
    """
    stop = stop or threading.Event()
    pace = _Pace(speed, stop)
    counts = dict.fromkeys((each.address for each in sources), 0)
    progress = SourceProgress(dict(counts), None)
    settle_at: datetime | None = None
    report_at = time.monotonic()
    with ExitStack() as stack:
        publishers = {each.address: stack.enter_context(Publisher(each.address, resolver)) for each in sources}
        for address, occurrence in merge(sources, skip):
            if (until and occurrence.recorded >= until) or (limit is not None and progress.total >= limit):
                break
            pace.wait_for(occurrence.recorded)
            if stop.is_set():
                break
            if settle_at is None or occurrence.recorded >= settle_at:
                for each in publishers.values():
                    each.flush()
                settle_at = occurrence.recorded + SETTLED
            _publish(publishers[address], occurrence)
            counts[address] += 1
            progress = SourceProgress(counts, occurrence.recorded, pace.behind_s)
            if on_progress is not None and (now := time.monotonic()) >= report_at:
                report_at = now + _PROGRESS_EVERY_S
                on_progress(SourceProgress(dict(counts), occurrence.recorded, pace.behind_s))
    progress = SourceProgress(dict(counts), progress.world, pace.behind_s)
    if on_progress is not None:
        on_progress(progress)
    return progress


def _publish(publisher: Publisher, occurrence: SourceEvent) -> None:
    try:
        if occurrence.record is not None:
            publisher.publish(occurrence.record, id=occurrence.id)
        elif occurrence.key is not None:
            publisher.retract(occurrence.key, id=occurrence.id, time=occurrence.recorded)
        else:
            raise ProjectError("neither a record nor the key of a row to retract")
    except MeshError as error:
        error.message = f"the source of {publisher.binding.address}, occurrence {occurrence.id!r}: {error.message}"
        raise


def merge(
    sources: Sequence[ProductSource], skip: Mapping[Address, int] | None = None
) -> Iterator[tuple[Address, SourceEvent]]:
    """The occurrences of all sources in the order in which they were learnt of.

    Args:
        sources: what to merge.
        skip: how many of each to leave out.

    Raises:
        ProjectError: a source goes back in time.
    """
    streams = [_in_order(each, (skip or {}).get(each.address, 0)) for each in sources]
    return heapq.merge(*streams, key=lambda each: each[1].recorded)


def _in_order(source: ProductSource, skip: int) -> Iterator[tuple[Address, SourceEvent]]:
    last: datetime | None = None
    for number, occurrence in enumerate(source.occurrences):
        if last is not None and occurrence.recorded < last:
            raise ProjectError(
                f"the source of {source.address} tells of {occurrence.id!r}, recorded at {occurrence.recorded}, "
                f"after one that was recorded at {last}",
                hint="a source gives its occurrences in the order in which it learnt of them",
            )
        last = occurrence.recorded
        if number >= skip:
            yield source.address, occurrence


class _Pace:
    """Holds world time to the wall clock."""

    def __init__(self, speed: float | None, stop: threading.Event) -> None:
        self._speed = speed
        self._stop = stop
        self._begun: tuple[float, datetime] | None = None
        self._last: datetime | None = None
        self.behind_s = 0.0

    def wait_for(self, world: datetime) -> None:
        """Wait until it is time for what was recorded then; returns early if stopped."""
        wait = 0.0
        if self._speed is not None:
            wait = self._due(world, self._speed) - time.monotonic()
            self.behind_s = max(0.0, -wait)
        if (ahead := (world - datetime.now(UTC)).total_seconds()) > 0:
            wait = max(wait, ahead)
        if wait > _LEAST_WAIT_S:
            self._stop.wait(wait)

    def _due(self, world: datetime, speed: float) -> float:
        if self._begun is None or self._last is None:
            self._begun = (time.monotonic(), world)
        elif world - self._last > _LONGEST_SILENCE:
            self._begun = (self._begun[0], self._begun[1] + (world - self._last - _LONGEST_SILENCE))
        self._last = world
        wall, begin = self._begun
        return wall + (world - begin).total_seconds() / speed
