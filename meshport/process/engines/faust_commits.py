"""A consumer for faust that never commits an offset past an event that is still in progress.

faust-streaming 0.15.3 commits the highest run of acknowledged offsets, even where an earlier offset is in flight
(faust#606): with 2585 in progress and 2586 to 2589 acknowledged, its `_new_offset` returns 2590, and a kill loses 2585. It
also records an offset as committed where the commit failed (faust#316). Both are replaced here. `prove_commits` tests the
consumer class that is about to run against the states that went wrong, so that another version of faust cannot bring the
faults back unnoticed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

import faust
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, Message
from mode.threads import WorkerThread

from meshport.errors import ProcessError
from meshport.process.engines.faust_fetch import ReadableFetches

STATES: Final = (
    (2585, (2585,), (2586, 2587, 2588, 2589)),
    (None, (0,), (1, 2, 3)),
    (0, (0, 1, 2, 3, 4), (5, 6)),
)
"""(committed offset, offsets in progress, acknowledged offsets): states in which nothing may be committed (faust#606)."""


class OffsetTracker:
    """Tracks the offsets in progress of one partition. Begin them in order; finish them in any order."""

    def __init__(self) -> None:
        self._in_progress: dict[int, None] = {}
        self._last = -1

    def begin(self, offset: int) -> None:
        """Record that the processing of an event begins."""
        self._in_progress[offset] = None
        self._last = max(self._last, offset)

    def finish(self, offset: int) -> None:
        """Record that an event is processed; an offset that was never begun is ignored."""
        self._in_progress.pop(offset, None)

    @property
    def committable(self) -> int | None:
        """The offset to commit: the first in progress, or else the one after the last that was begun; None at first."""
        if self._in_progress:
            return next(iter(self._in_progress)) or None
        return self._last + 1 if self._last >= 0 else None


class _DaemonThread(WorkerThread):
    """A thread that does not keep the interpreter from exiting while its event loop is stuck."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True


class TrackedThread(AIOKafkaConsumerThread):
    """Reads with `isolation.level=read_committed`, as faust does only where it uses transactions of its own."""

    Worker = _DaemonThread

    async def on_start(self) -> None:
        """Start the consumer, and wrap what it fetches."""
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher  # noqa: SLF001 - aiokafka has no hook between fetch and faust
        fetcher._records = ReadableFetches(fetcher._records)  # noqa: SLF001 - as above

    def _create_worker_consumer(self, transport: Any) -> Any:
        self.consumer.in_transaction, before = True, self.consumer.in_transaction
        try:
            return super()._create_worker_consumer(transport)
        finally:
            self.consumer.in_transaction = before


class TrackedConsumer(Consumer):
    """A faust consumer that takes offsets to commit from `OffsetTracker`.

    Attributes:
        accepted: the offsets that the group has taken from this member, by partition.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.trackers: dict[TP, OffsetTracker] = defaultdict(OffsetTracker)
        self.accepted: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return TrackedThread(self, loop=self.loop, beacon=self.beacon)

    def track_message(self, message: Message) -> None:
        """Record that the processing of an event begins."""
        self.trackers[message.tp].begin(message.offset)

    def ack(self, message: Message) -> bool:
        """Record that an event is processed."""
        self.trackers[message.tp].finish(message.offset)
        self._unacked_messages.discard(message)
        message.acked = True
        return True

    async def commit_accepted(self, offsets: Mapping[TP, int]) -> bool:
        """Commit offsets and return whether the group took them; if not, other members may own the partitions."""
        return await self._commit_offsets(offsets)

    def positions(self) -> dict[TP, int]:
        """Return the position of each assigned partition: it moves over aborted records, which give no message."""
        client = self._thread._consumer  # noqa: SLF001 - faust's own driver reads the positions in this way too
        subscription = None if client is None else client._fetcher._subscriptions.subscription  # noqa: SLF001 - as above
        if subscription is None or subscription.assignment is None:
            return {}
        found = subscription.assignment.all_consumed_offsets()
        return {TP(tp.topic, tp.partition): each.offset for tp, each in found.items()}

    def forget(self, tp: TP) -> None:
        """Drop what is tracked of a partition."""
        self.trackers.pop(tp, None)

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self.trackers) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        tracker = self.trackers.get(tp)
        return None if tracker is None else tracker.committable

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        before = {tp: self._committed_offset[tp] for tp in offsets}
        committed = await super()._commit_offsets(offsets, start_new_transaction)
        if committed:
            # faust leaves out partitions that were revoked meanwhile, and notes those that it has committed.
            self.accepted |= {tp: offset for tp, offset in offsets.items() if self._committed_offset[tp] == offset}
        else:
            self._committed_offset.update(before)
        return committed


class MeshTransport(Transport):
    """The transport of faust for aiokafka, with `TrackedConsumer`."""

    Consumer = TrackedConsumer


class MeshApp(faust.App):
    """A faust app that reads with `TrackedConsumer`."""

    def _new_transport(self) -> Any:
        return MeshTransport(self.conf.broker_consumer, self)


def prove_commits(app: faust.App, consumer_class: type[Consumer]) -> None:
    """Raise where a consumer class commits past events in progress in one of `STATES`.

    Args:
        app: an app that is not running.
        consumer_class: the class under test.

    Raises:
        ProcessError: the class would commit an offset past an event that is still in progress.
    """
    tp = TP("proof", 0)
    for committed, in_progress, done in STATES:
        consumer = consumer_class(
            MeshTransport(app.conf.broker_consumer, app), _nothing, _nothing, _nothing, loop=app.loop
        )
        app.topics.acking_topics.add(tp.topic)
        consumer._committed_offset[tp] = committed  # noqa: SLF001 - the seam that is proved
        messages = {offset: _message(tp, offset) for offset in (*in_progress, *done)}
        for offset in sorted(messages):
            consumer.track_message(messages[offset])
        for offset in done:
            consumer.ack(messages[offset])
        found = consumer._new_offset(tp)  # noqa: SLF001 - the seam that is proved
        app.topics.acking_topics.discard(tp.topic)
        consumer._thread.thread_loop.close()  # noqa: SLF001 - a consumer that never starts leaves its loop open
        if found is not None and found > min(in_progress):
            raise ProcessError(
                f"{consumer_class.__module__}.{consumer_class.__qualname__} would commit {found} with {min(in_progress)} "
                f"still in work (committed {committed}): a kill would lose events",
                hint="this faust is not safe to run; use the version that pyproject.toml pins",
            )


async def _nothing(*_: Any) -> None:
    """Does nothing; no callback of faust is called in the proof."""


def _message(tp: TP, offset: int) -> Message:
    return Message(tp.topic, tp.partition, offset, 0.0, 0, [], None, None, None, tp=tp)
