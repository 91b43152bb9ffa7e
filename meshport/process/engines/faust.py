"""The faust engine: faust's agents feed the worker, and nothing else of faust is relied on.

faust joins the group, fetches, and hands over raw messages. State, its changelog, quarantine, ids and the order of
deliveries are the worker's (`meshport.process.runtime.worker`); what is committed is ours too (`faust_commits`), and only
a hint: a partition is read from where its state stands. Where offsets are missing between two messages, Kafka is
asked for what lies between before anything goes on (faust#216, faust#502).

Alive means moving: with events waiting and none processed for a minute the engine ends with an error, told from outside
of faust's event loop, so that a supervisor starts it anew (faust#523, faust#532, aiokafka#1154).
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Unpack, cast

from faust.contrib.asgi import faust_app_running
from faust.types import TP
from faust.types import Message as FaustMessage
from yarl import URL

from meshport.errors import ProcessError
from meshport.event import SchemaSource
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.engines.faust_commits import MeshApp, TrackedConsumer, prove_commits
from meshport.process.runtime.kafka_log import KafkaLog, starting_offset
from meshport.process.runtime.watchdog import ProcessorProgress, RunOptions, run_engine
from meshport.process.runtime.worker import Worker
from meshport.process.stages.partition import Counts
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan

__all__ = ["ProcessorProgress", "run_processor"]

_log: Final = logging.getLogger(__name__)

_BATCH: Final = 1000
_BRIDGE: Final = 10 * _BATCH
_BUFFER: Final = 4 * _BATCH
_TURN_S: Final = 0.1
# A member that was killed is let go after this time; shorter, and a long pause of a busy machine ends a membership.
_SESSION_S: Final = 8.0
_HEARTBEAT_S: Final = 2.0
_COMMIT_S: Final = 1.0


def run_processor(plan: Plan, schemas: SchemaSource, **watched: Unpack[RunOptions]) -> ProcessorProgress:
    """Run a processor on faust, as `run_engine` does.

    Args:
        plan: what to run; see `meshport.process.make_plan`.
        schemas: where the schemas of events are found, a registry.
        watched: how; see `RunOptions`.
    """
    with (
        closing(KafkaLog(plan.kafka)) as log,
        # faust wants a data directory; nothing is kept there
        tempfile.TemporaryDirectory(prefix="meshport-process-", ignore_cleanup_errors=True) as folder,
    ):
        return run_engine(plan, _Engine(plan, Worker(plan, schemas, log), log, Path(folder)), **watched)


class _Engine:
    """faust in a thread of its own, and the loop that gives the worker what the agents bring."""

    def __init__(self, plan: Plan, worker: Worker, log: KafkaLog, folder: Path) -> None:
        self._plan = plan
        self._worker = worker
        self._log = log
        self._folder = folder
        self._ending = threading.Event()
        self._hand = _Hand(f"worker {plan.output.topic}")
        self._buffers: dict[TopicPartition, deque[FaustMessage]] = {}
        self._buffered = 0
        self._wanted: set[TopicPartition] = set()
        self.failure: BaseException | None = None
        self.assigned = False
        self.places: Mapping[TopicPartition, int] = {}
        self.redriven: Mapping[TopicPartition, int] = {}
        self.counts = Counts()
        self.watermark: int | None = None
        self._thread = threading.Thread(target=self._run, name=f"faust {plan.output.topic}", daemon=True)

    def start(self) -> None:
        """Start faust."""
        self._thread.start()

    @property
    def loaded(self) -> int:
        """Entries of changelogs and rows of joined tables that were read so far."""
        return self._worker.loaded

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._thread.is_alive()

    def end(self, timeout_s: float = 30) -> None:
        """Finish the batch in hand, commit, and leave the group; what takes longer than the timeout is abandoned."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        self._hand.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - the edge of the thread; the supervisor raises it in its own
            self.failure = error

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._wake, self._room, self._busy = asyncio.Event(), asyncio.Event(), asyncio.Lock()
        self._app = app = self._new_app()
        prove_commits(app, TrackedConsumer)
        for stage in self._plan.stages:
            topic = app.topic(
                stage.topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"
            )
            app.agent(topic, name=f"read {stage.topic}", concurrency=1)(self._read)
        # mode's own types ask for a handler that no method can be
        app.on_partitions_assigned.connect(cast(Any, self._on_assigned))
        app.on_partitions_revoked.connect(cast(Any, self._on_revoked))
        async with faust_app_running(app):
            while not (self._ending.is_set() or app.should_stop):
                await self._turn()
            if not self._ending.is_set():
                raise ProcessError(f"faust stopped by itself: {app.crash_reason!r}")

    def _new_app(self) -> MeshApp:
        brokers = [URL(f"kafka://{server}") for server in self._plan.kafka.bootstrap_servers.split(",")]
        return MeshApp(
            self._plan.group,
            broker=brokers,
            datadir=self._folder,
            store="memory://",
            autodiscover=False,
            origin=None,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,  # what is in hand is waited for by `_on_revoked`
            stream_buffer_maxsize=_BUFFER,
            consumer_auto_offset_reset="earliest",
            broker_commit_interval=_COMMIT_S,
            broker_session_timeout=_SESSION_S,
            broker_heartbeat_interval=_HEARTBEAT_S,
        )

    @property
    def _consumer(self) -> TrackedConsumer:
        return cast(TrackedConsumer, self._app.consumer)

    # -- what faust calls, all in its loop ---------------------------------------------------------------------

    async def _read(self, stream: Any) -> None:
        consumer = self._consumer
        async for event in stream.noack().events():
            message = event.message
            while self._buffered >= _BUFFER:
                self._room.clear()
                await self._room.wait()
            if message.generation_id != self._app.consumer_generation_id:
                continue
            consumer.track_message(message)
            self._buffers.setdefault(TopicPartition(message.topic, message.partition), deque()).append(message)
            self._buffered += 1
            self._wake.set()

    async def _on_assigned(self, _app: Any, *arguments: Any, **_: Any) -> None:
        assigned: set[TP] = arguments[0]
        ours = {stage.topic for stage in self._plan.stages}
        self._wanted = {TopicPartition(tp.topic, tp.partition) for tp in assigned if tp.topic in ours}
        self.assigned = True
        self._wake.set()

    async def _on_revoked(self, _app: Any, *arguments: Any, **_: Any) -> None:
        revoked: set[TP] = arguments[0]
        for tp in revoked:
            self._buffered -= len(self._buffers.pop(TopicPartition(tp.topic, tp.partition), ()))
            self._consumer.forget(tp)
        self._room.set()
        # The batch in hand may still hold these partitions; nobody else gets them before this returns.
        async with asyncio.timeout(_SESSION_S * 0.9), self._busy:
            for tp in revoked:
                self._wanted.discard((tp.topic, tp.partition))
                self._worker.revoke(TopicPartition(tp.topic, tp.partition))
            self.places = self._worker.places

    # -- the loop ----------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(_TURN_S):
                await self._wake.wait()
        except TimeoutError:
            if not self.places:
                return
        self._wake.clear()
        async with self._busy:
            wanted = [place for place in self._wanted if place not in self.places]
            taken = self._take()
            batches = {place: [_inbound(message) for message in messages] for place, messages in taken.items()}
            await asyncio.wrap_future(self._hand.do(partial(self._work, wanted, batches)))
            self.places, self.watermark = self._worker.places, self._worker.watermark
            self.redriven = self._worker.redriven
            self.counts = replace(self._worker.counts)
            for messages in taken.values():
                for message in messages:
                    self._consumer.ack(message)
        if self._buffered:
            self._wake.set()
        self._room.set()

    def _take(self) -> dict[TopicPartition, list[FaustMessage]]:
        taken: dict[TopicPartition, list[FaustMessage]] = {}
        for place in sorted(self._wanted & self._buffers.keys()):
            buffer = self._buffers[place]
            if buffer:
                taken[place] = [buffer.popleft() for _ in range(min(len(buffer), _BATCH))]
                self._buffered -= len(taken[place])
        return taken

    # -- in the worker's thread --------------------------------------------------------------------------------

    def _work(self, wanted: list[TopicPartition], batches: dict[TopicPartition, list[InputMessage]]) -> None:
        for place in wanted:
            offset = self._worker.assign(place)
            starting_offset(place, offset, self._log)
        whole = {place: self._without_gaps(place, messages) for place, messages in batches.items()}
        fresh = {place: messages for place, messages in whole.items() if messages}
        if self._worker.look() or fresh:
            self._worker.process(fresh, self._prove)

    def _prove(self) -> None:
        """Have the group confirm that the partitions in hand are still ours.

        Raises:
            ProcessError: it does not.
        """
        topics = [each.stage.topic for each in self._plan.sources]
        places = {TP(*place): offset for place, offset in self._worker.places.items() if place[0] in topics}
        proof = asyncio.run_coroutine_threadsafe(self._consumer.takes(places), self._loop)
        try:
            proven = proof.result(_SESSION_S)
        except TimeoutError:
            proven = False
        if not proven:
            raise ProcessError(
                f"{self._plan.group} does not confirm that {len(places)} partitions of its input are still this member's",
                hint="start it again; nothing is lost",
            )

    def _without_gaps(self, place: TopicPartition, messages: list[InputMessage]) -> list[InputMessage]:
        """The messages that follow what the state reflects; where offsets are missing, Kafka says what lies there."""
        expected = self._worker.places[place]
        fresh = [message for message in messages if message.offset >= expected]
        if not fresh or fresh[-1].offset - expected + 1 == len(fresh):
            return fresh
        # Compaction and transactions leave gaps all along; many messages at once are as cheap to ask for as a few, and
        # those that faust brings later are known by then.
        _log.info("%s [%d]: offset %d was due, faust brought %d; asking Kafka", *place, expected, fresh[0].offset)
        return self._log.onward(*place, expected, limit=_BRIDGE)


class _Hand:
    """One thread that does one thing after another, and does not keep the process from ending while it is stuck."""

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def do(self, job: Callable[[], None]) -> Future[None]:
        """Have it done."""
        done: Future[None] = Future()
        self._jobs.put((job, done))
        return done

    def close(self) -> None:
        """Let the thread end after what it is doing."""
        self._jobs.put(None)
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while (found := self._jobs.get()) is not None:
            job, done = found
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - the edge of the thread; whoever waits raises it
                done.set_exception(error)
            else:
                done.set_result(None)


def _inbound(message: FaustMessage) -> InputMessage:
    return InputMessage(
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        list(message.headers or ()),  # type: ignore[arg-type]  # aiokafka gives (text, bytes) pairs
        -1 if message.timestamp is None else round(message.timestamp * 1000),
    )
