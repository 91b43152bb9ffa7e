"""Sources that the mesh runs itself: Python functions of source-aligned products that generate events.

`source: <file>.py:<name>` in a product.yaml names a function that takes a seed and returns an iterable of `SourceEvent`, in
the order of their recorded time. The sources of a project are merged in that order: the recorded time is the world time of
the run, which passes at a chosen speed relative to the wall clock.

Its events are published here, unless the iterable is an `EmittingSource`: then a service of the product's own publishes them,
and the run calls it.

A source publishes to the major line of its port that is live when the run starts. After the day on which another line
becomes live, the next run publishes to that line, from the first event, by that line's contract.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from meshport.address import Address
from meshport.errors import MeshError, ProjectError
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.publisher import Publisher
from meshport.ports.resolver import Resolver
from meshport.ports.scan import history_reader
from meshport.product.loading import load_callable
from meshport.project.project import Project, ProjectProduct

# Events recorded this much earlier are acknowledged by the broker before a later one is published. An event of one source
# on which an event of another depends (a row and an event that joins it) has to be recorded at least this much earlier.
SETTLED: Final = timedelta(hours=1)
# Longer gaps between two events are shortened to this length of world time.
_LONGEST_SILENCE: Final = timedelta(hours=1)
# Shorter waits take longer than they ask for.
_LEAST_WAIT_S: Final = 0.005
_PROGRESS_EVERY_S: Final = 0.2


class SourceEvent(NamedTuple):
    """One event of a source.

    Attributes:
        record: the data, by the port's schema; None retracts the row of `key`.
        id: the event id; a fact that the source gives twice has the same id both times.
        recorded: the world time at which the event was recorded; a source's events are in this order.
        key: the key fields and their values, of a retraction.
    """

    record: Mapping[str, Any] | None
    id: str
    recorded: datetime
    key: Mapping[str, Any] | None = None


class SourceWriter(Protocol):
    """Brings the events of one source into its port."""

    def skip(self, event: SourceEvent) -> None:
        """Take note of an event that an earlier run has published."""

    def publish(self, event: SourceEvent) -> None:
        """Publish an event; `flush` waits until it is stored.

        Raises:
            MeshError: the event is refused.
        """

    def flush(self) -> None:
        """Wait until all events are stored.

        Raises:
            MeshError: an event is not stored, or it is not known to be.
        """


@runtime_checkable
class EmittingSource(Protocol):
    """The events of a source that a service publishes, such as by an outbox: an iterable of `SourceEvent` with this method."""

    def opened(
        self, address: Address, resolver: Resolver, *, kafka: KafkaAccess
    ) -> AbstractContextManager[SourceWriter]:
        """Run the service, and return what calls it; at the end all events are stored."""


@dataclass(frozen=True)
class ProductSource:
    """A source-aligned product with its events.

    Attributes:
        address: the port to which they are published.
        events: the events, in the order of their recorded time; possibly infinite.
    """

    address: Address
    events: Iterable[SourceEvent]


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """The progress of a run of sources.

    Attributes:
        published: the number of events by address.
        world: the world time of the last event; None before the first.
        delay_s: the seconds by which the run is slower than its speed.
    """

    published: Mapping[Address, int]
    world: datetime | None
    delay_s: float = 0.0

    @property
    def total(self) -> int:
        """Events of all sources."""
        return sum(self.published.values())


def load_source(product: ProjectProduct, *, seed: int) -> ProductSource | None:
    """Return the source of a product, or None if it has none.

    Raises:
        ProjectError: the function that it names cannot be loaded.
    """
    reference = product.product.source
    if reference is None:
        return None
    events = load_callable(product.folder, reference)
    return ProductSource(product.product.address, events(seed))


def load_sources(project: Project, *, seed: int) -> list[ProductSource]:
    """Return the sources of a project; see `load_source`."""
    found = (load_source(each, seed=seed) for each in project.products)
    return [each for each in found if each is not None]


def stored(addresses: Iterable[Address], resolver: Resolver, *, kafka: KafkaAccess = PLAINTEXT) -> dict[Address, int]:
    """Return how many events each port's topic has stored, including those that retention or compaction removed.

    As `skip` of `run_sources` it continues sources that were stopped. After a kill, the few events in flight may be missing
    or stored twice.
    """
    counts = {}
    for address in addresses:
        binding = resolver.resolve(address)
        consumer = history_reader(kafka.to(binding))
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
    kafka: KafkaAccess = PLAINTEXT,
) -> SourceProgress:
    """Publish the events of sources in this thread, until the sources end or the run is stopped.

    World time never passes the wall clock: when a run has caught up with it, it continues in real time.

    Args:
        sources: each of another port.
        resolver: a registry.
        speed: world seconds per wall second; None publishes as fast as the broker accepts events.
        until: the world time at which the run ends; events recorded then or later are not published.
        limit: the number of events after which the run ends, over all sources.
        skip: the number of events of each source that were published before; see `stored`.
        stop: ends the run when it is set.
        on_progress: called a few times a second, and at the end.
        kafka: the connections to Kafka; servers that they name win over the bindings'.

    Returns:
        The progress at the end; all published events are stored.

    Raises:
        ProjectError: the events of a source are not in the order of their recorded time.
        EncodeError, EventError: a record is no event of its port.
        PublishError, DeliveryUnknown: an event is not stored, or it is not known to be.
    """
    stop = stop or threading.Event()
    pace = _Pace(speed, stop)
    counts = dict.fromkeys((each.address for each in sources), 0)
    progress = SourceProgress(dict(counts), None)
    settle_at: datetime | None = None
    report_at = time.monotonic()
    with ExitStack() as stack:
        writers = {each.address: stack.enter_context(_writer(each, resolver, kafka)) for each in sources}
        for address, event in merge(sources, skip, lambda address, event: writers[address].skip(event)):
            if (until and event.recorded >= until) or (limit is not None and progress.total >= limit):
                break
            pace.wait_for(event.recorded)
            if stop.is_set():
                break
            if settle_at is None or event.recorded >= settle_at:
                for each in writers.values():
                    each.flush()
                settle_at = event.recorded + SETTLED
            writers[address].publish(event)
            counts[address] += 1
            progress = SourceProgress(counts, event.recorded, pace.delay_s)
            if on_progress is not None and (now := time.monotonic()) >= report_at:
                report_at = now + _PROGRESS_EVERY_S
                on_progress(SourceProgress(dict(counts), event.recorded, pace.delay_s))
    progress = SourceProgress(dict(counts), progress.world, pace.delay_s)
    if on_progress is not None:
        on_progress(progress)
    return progress


@contextmanager
def _writer(source: ProductSource, resolver: Resolver, kafka: KafkaAccess) -> Iterator[SourceWriter]:
    if isinstance(source.events, EmittingSource):
        with source.events.opened(source.address, resolver, kafka=kafka) as writer:
            yield writer
        return
    with Publisher(source.address, resolver, kafka=kafka) as publisher:
        yield _OwnWriter(publisher)


class _OwnWriter:
    """Publishes the events of a source from here."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def skip(self, event: SourceEvent) -> None:
        """Nothing depends on an earlier event."""

    def publish(self, event: SourceEvent) -> None:
        publisher = self._publisher
        try:
            if event.record is not None:
                publisher.publish(event.record, id=event.id)
            elif event.key is not None:
                publisher.retract(event.key, id=event.id, time=event.recorded)
            else:
                raise ProjectError("neither a record nor the key of a row to retract")
        except MeshError as error:
            error.message = f"the source of {publisher.binding.address}, event {event.id!r}: {error.message}"
            raise

    def flush(self) -> None:
        self._publisher.flush()


def merge(
    sources: Sequence[ProductSource],
    skip: Mapping[Address, int] | None = None,
    on_skipped: Callable[[Address, SourceEvent], None] | None = None,
) -> Iterator[tuple[Address, SourceEvent]]:
    """Yield the events of all sources in the order of their recorded time, each with its address.

    Args:
        sources: the sources.
        skip: the number of events of each to leave out.
        on_skipped: called with each of these.

    Raises:
        ProjectError: the events of a source are not in the order of their recorded time.
    """
    streams = [_in_order(each, (skip or {}).get(each.address, 0), on_skipped) for each in sources]
    return heapq.merge(*streams, key=lambda each: each[1].recorded)


def _in_order(
    source: ProductSource, skip: int, on_skipped: Callable[[Address, SourceEvent], None] | None
) -> Iterator[tuple[Address, SourceEvent]]:
    last: datetime | None = None
    for number, event in enumerate(source.events):
        if last is not None and event.recorded < last:
            raise ProjectError(
                f"the source of {source.address} gives {event.id!r}, recorded at {event.recorded}, "
                f"after one that was recorded at {last}",
                hint="a source gives its events in the order of their recorded time",
            )
        last = event.recorded
        if number >= skip:
            yield source.address, event
        elif on_skipped is not None:
            on_skipped(source.address, event)


class _Pace:
    """Maps world time to the wall clock."""

    def __init__(self, speed: float | None, stop: threading.Event) -> None:
        self._speed = speed
        self._stop = stop
        self._begun: tuple[float, datetime] | None = None
        self._last: datetime | None = None
        self.delay_s = 0.0

    def wait_for(self, world: datetime) -> None:
        """Wait until the wall clock reaches a world time; return early if the run is stopped."""
        wait = 0.0
        if self._speed is not None:
            wait = self._due(world, self._speed) - time.monotonic()
            self.delay_s = max(0.0, -wait)
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
