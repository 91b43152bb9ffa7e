"""The faust engine: event by event, with faust's agents as the source of messages and nothing else of faust relied upon.

faust joins the group, fetches, and passes on raw messages. The worker (`meshport.process.runtime.worker`) keeps the state
and its changelog, quarantines, derives ids and orders deliveries. `faust_commits` commits the group's offsets, which are only
a hint: a partition is read from the offset that its state reflects. Where offsets are missing between two messages, the
engine reads what lies between from Kafka before it goes on (faust#216, faust#502).

The watchdog ends the engine if it makes no progress for a minute while events wait; a process supervisor then starts it
again (faust#523, faust#532, aiokafka#1154).
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
from meshport.event.reader import UnreadableHeaders
from meshport.kafka.topic_partition import TopicPartition
from meshport.process.engines.faust_commits import MeshApp, TrackedConsumer, prove_commits
from meshport.process.engines.faust_login import credentials
from meshport.process.runtime.engine import Engine
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.log_watch import run_with_added_partitions
from meshport.process.runtime.repartition_purge import RepartitionPurge
from meshport.process.runtime.starting_offset import assign, starting_offset
from meshport.process.runtime.watchdog import ProcessorProgress, RunOptions, run_engine
from meshport.process.runtime.worker import Worker
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan

__all__ = ["ProcessorProgress", "run_processor"]

_log: Final = logging.getLogger(__name__)

_BATCH: Final = 1000
_BUFFER: Final = 4 * _BATCH
# Messages read from Kafka at once where faust left some out.
_REREAD: Final = 10 * _BATCH
_TURN_S: Final = 0.1
# After this time the group gives up a killed member; shorter, and a long pause of a busy machine would end a membership.
_SESSION_S: Final = 8.0
_HEARTBEAT_S: Final = 2.0
_COMMIT_S: Final = 1.0


def run_processor(plan: Plan, schemas: SchemaSource, **options: Unpack[RunOptions]) -> ProcessorProgress:
    """Run a processor on faust; see `meshport.process.runtime.watchdog.run_engine` for the result and the errors.

    Args:
        plan: what to run; see `meshport.process.make_plan`.
        schemas: where the schemas of events are found, such as a registry.
        options: see `RunOptions`.
    """

    def run(present: Plan) -> ProcessorProgress:
        with (
            closing(KafkaLog(present.kafka, missing=present.missing, ports=[*present.tables.values()])) as log,
            # faust insists on a data directory; nothing is kept in it.
            tempfile.TemporaryDirectory(prefix="meshport-process-", ignore_cleanup_errors=True) as folder,
        ):
            engine = FaustEngine(present, Worker(present, schemas, log), log, Path(folder))
            return run_engine(present, engine, **options)

    return run_with_added_partitions(plan, run)


class FaustEngine(Engine):
    """Runs faust's event loop in the engine's thread, and the worker in another.

    Args:
        plan: what to run.
        worker: runs the plan.
        log: the worker's log.
        folder: a data directory for faust.

    Raises:
        KafkaConfigError: faust's client cannot log in as the plan's connection says.
    """

    def __init__(self, plan: Plan, worker: Worker, log: KafkaLog, folder: Path) -> None:
        super().__init__(f"faust {plan.output.topic}")
        self._plan = plan
        self._worker = worker
        self._log = log
        self._folder = folder
        self._credentials = credentials(plan.kafka)
        self._executor = _DaemonExecutor(f"worker {plan.output.topic}")
        self._buffers: dict[TopicPartition, deque[FaustMessage]] = {}
        self._buffered = 0
        self._wanted: set[TopicPartition] = set()
        self._positions: Mapping[TopicPartition, int] = {}
        self._purge = RepartitionPurge(plan)
        self._stored: Mapping[TopicPartition, int] = {}

    @property
    def loaded(self) -> int:
        """The number of changelog entries and rows of joined tables that the engine has read so far."""
        return self._worker.loaded

    @property
    def fetched(self) -> Mapping[TopicPartition, int]:
        """See `Engine`."""
        return {**self._log.fetched, **self._positions}

    def stop(self, timeout_s: float = 30) -> None:
        """Ask the engine to stop and wait for it; after `timeout_s` seconds its threads are abandoned."""
        super().stop(timeout_s)
        self._executor.close()

    def _run(self) -> None:
        asyncio.run(self._main())

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
        # mode's own types ask for a handler that no method can be.
        app.on_partitions_assigned.connect(cast(Any, self._on_assigned))
        app.on_partitions_revoked.connect(cast(Any, self._on_revoked))
        async with faust_app_running(app):
            while not (self._stopping.is_set() or app.should_stop):
                await self._turn()
            if not self._stopping.is_set():
                raise ProcessError(f"faust stopped by itself: {app.crash_reason!r}")
        await self._in_worker(partial(self._purge.end, self._accepted, self._stored))

    def _new_app(self) -> MeshApp:
        # librdkafka also takes `SASL_SSL://host:port`.
        servers = [each.strip().rpartition("://")[2] for each in self._plan.kafka.bootstrap_servers.split(",")]
        return MeshApp(
            self._plan.group,
            broker=[URL(f"kafka://{server}") for server in servers],
            broker_credentials=self._credentials,
            datadir=self._folder,
            store="memory://",
            autodiscover=False,
            origin=None,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            stream_wait_empty=False,  # `_on_revoked` waits for the current batch
            stream_buffer_maxsize=_BUFFER,
            consumer_auto_offset_reset="earliest",
            broker_commit_interval=_COMMIT_S,
            broker_session_timeout=_SESSION_S,
            broker_heartbeat_interval=_HEARTBEAT_S,
        )

    @property
    def _consumer(self) -> TrackedConsumer:
        return cast(TrackedConsumer, self._app.consumer)

    # -- callbacks of faust, all in its event loop ---------------------------------------------------------------

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
        self.assigned, self.restored = True, not self._wanted
        self._wake.set()

    async def _on_revoked(self, _app: Any, *arguments: Any, **_: Any) -> None:
        revoked: set[TP] = arguments[0]
        for tp in revoked:
            self._buffered -= len(self._buffers.pop(TopicPartition(tp.topic, tp.partition), ()))
            self._consumer.forget(tp)
        self._room.set()
        # The current batch may hold messages of these partitions. No other member gets them before this returns.
        async with asyncio.timeout(_SESSION_S * 0.9), self._busy:
            for tp in revoked:
                self._wanted.discard(TopicPartition(tp.topic, tp.partition))
                self._worker.revoke(TopicPartition(tp.topic, tp.partition))
            self.next_offsets = self._worker.next_offsets

    # -- the loop --------------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        try:
            async with asyncio.timeout(_TURN_S):
                await self._wake.wait()
        except TimeoutError:
            if not self.next_offsets:
                return
        self._wake.clear()
        self._positions = {TopicPartition(*tp): offset for tp, offset in self._consumer.positions().items()}
        async with self._busy:
            new = [partition for partition in self._wanted if partition not in self.next_offsets]
            taken = self._take()
            batches = {partition: [_inbound(message) for message in messages] for partition, messages in taken.items()}
            await self._in_worker(partial(self._work, new, batches, self._accepted))
            self._stored = self._worker.next_offsets
            self.next_offsets, self.watermark = self._stored, self._worker.watermark
            self.redriven_offsets = self._worker.redriven_offsets
            self.recorded, self.state_sizes = dict(self._worker.recorded), self._worker.state_sizes
            self.restored = not self._wanted - self.next_offsets.keys()
            self.counts = replace(self._worker.counts)
            for messages in taken.values():
                for message in messages:
                    self._consumer.ack(message)
        if self._buffered:
            self._wake.set()
        self._room.set()

    async def _in_worker(self, job: Callable[[], None]) -> None:
        await asyncio.wrap_future(self._executor.submit(job))

    @property
    def _accepted(self) -> dict[TopicPartition, int]:
        return {TopicPartition(*tp): offset for tp, offset in self._consumer.accepted.items()}

    def _take(self) -> dict[TopicPartition, list[FaustMessage]]:
        """Take up to `_BATCH` messages of each assigned partition out of the buffers."""
        taken: dict[TopicPartition, list[FaustMessage]] = {}
        for partition in sorted(self._wanted & self._buffers.keys()):
            buffer = self._buffers[partition]
            if buffer:
                taken[partition] = [buffer.popleft() for _ in range(min(len(buffer), _BATCH))]
                self._buffered -= len(taken[partition])
        return taken

    # -- in the worker's thread ------------------------------------------------------------------------------------

    def _work(
        self,
        new: list[TopicPartition],
        batches: dict[TopicPartition, list[InputMessage]],
        accepted: Mapping[TopicPartition, int],
    ) -> None:
        """Restore the state of newly assigned partitions, process a batch, and delete what was committed before it."""
        for partition in new:
            assign(self._worker, partition, self._log)
        whole = {partition: self._without_gaps(partition, messages) for partition, messages in batches.items()}
        fresh = {partition: messages for partition, messages in whole.items() if messages}
        if self._worker.look() or fresh:
            self._worker.process(fresh, self._confirm_ownership)
        self._purge.look(accepted, self._worker.next_offsets)

    def _confirm_ownership(self) -> None:
        """Have the group confirm that the assigned partitions are still this member's.

        Raises:
            ProcessError: the group does not confirm it.
        """
        topics = [each.stage.topic for each in self._plan.sources]
        offsets = {TP(*each): offset for each, offset in self._worker.next_offsets.items() if each[0] in topics}
        commit = asyncio.run_coroutine_threadsafe(self._consumer.commit_accepted(offsets), self._loop)
        try:
            confirmed = commit.result(_SESSION_S)
        except TimeoutError:
            confirmed = False
        if not confirmed:
            raise ProcessError(
                f"{self._plan.group} does not confirm that {len(offsets)} partitions of its input are still this member's",
                hint="start it again; nothing is lost",
            )

    def _without_gaps(self, partition: TopicPartition, messages: list[InputMessage]) -> list[InputMessage]:
        """Return the messages that follow what the state reflects.

        Where offsets are missing, or aiokafka could not read a message, they are read from Kafka by the other client.
        """
        expected = self._worker.next_offsets[partition]
        fresh = [message for message in messages if message.offset >= expected]
        unread = [message for message in fresh if isinstance(message.headers, UnreadableHeaders)]
        if not unread and (not fresh or fresh[-1].offset - expected + 1 == len(fresh)):
            return fresh
        # Compaction and transactions leave gaps everywhere, so many messages are read at once: it costs as little as a few,
        # and what faust brings of them later is passed over.
        _log.info("%s [%d]: offset %d was due, faust brought %d; asking Kafka", *partition, expected, fresh[0].offset)
        # aiokafka begins at the first offset of the log where its own is removed, and reports nothing.
        starting_offset(self._plan, partition, expected, self._log)
        return self._log.onward(*partition, expected, limit=_REREAD)


class _DaemonExecutor:
    """Runs one job after another in a daemon thread.

    Unlike `concurrent.futures.ThreadPoolExecutor`, it does not keep the interpreter from exiting while a job is stuck.

    Args:
        name: the name of the thread.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[tuple[Callable[[], None], Future[None]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], None]) -> Future[None]:
        """Queue a job; the future raises what the job raised."""
        done: Future[None] = Future()
        self._jobs.put((job, done))
        return done

    def close(self) -> None:
        """Let the thread end after the queued jobs, and wait a second for it."""
        self._jobs.put(None)
        self._thread.join(timeout=1)

    def _run(self) -> None:
        while (found := self._jobs.get()) is not None:
            job, done = found
            try:
                job()
            except BaseException as error:  # noqa: BLE001 - the edge of the thread; the future raises it
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
        () if message.headers is None else message.headers,  # type: ignore[arg-type]  # aiokafka gives (text, bytes) pairs
        -1 if message.timestamp is None else round(message.timestamp * 1000),
    )
