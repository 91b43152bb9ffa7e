"""The batch engine: micro-batches, each with its outputs, changelog entries and input offsets in one Kafka transaction.

One thread reads what is there, computes and sends. Meanwhile the next batch arrives, so that batches are small where few
events come and large where many do. The commit of a large batch is in progress while the next batch is computed. A kill at
any point leaves nothing that a committed reader sees: the state continues from its checkpoint. The checkpoint agrees with the
group's committed offsets by construction, and wins over them as in the faust engine, so that each engine can take over from
the other. Do not run both as members of the group at the same time.

An aborted transaction leaves the state ahead of the log. The engine then restores the state and processes the batch again. Where
the loss of a broker has left the producer without an answer, it is replaced as well (`TransactionalWorker.recover`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Unpack
from uuid import uuid4

from meshport.errors import (
    HistoryMissing,
    KafkaError,
    MemberFenced,
    PartitionsAdded,
    TopicRemade,
    TransactionAborted,
)
from meshport.event import SchemaSource
from meshport.kafka.received import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Member
from meshport.process.runtime.commit_pipeline import CommitPipeline
from meshport.process.runtime.engine import Engine
from meshport.process.runtime.gc_tuning import infrequent_gc
from meshport.process.runtime.log_watch import run_with_added_partitions
from meshport.process.runtime.measures import BatchMeasures
from meshport.process.runtime.repartition_purge import RepartitionPurge
from meshport.process.runtime.transactional import TransactionalWorker
from meshport.process.runtime.watchdog import ProcessorProgress, RunOptions, run_engine
from meshport.process.wire.input import InputMessage, PartitionMessages
from meshport.process.wire.plan import Plan

__all__ = ["ProcessorProgress", "run_processor"]

_log: Final = logging.getLogger(__name__)

# What arrives while a batch is processed makes the next batch; a commit costs some 10 ms, whatever its size. A batch that
# takes longer than the aim delays a rebalance, and one of a minute looks stalled, so the time that a batch took sets the size
# of the next. The first is small: the cost of a product's own functions is not known then.
_MOST: Final = 20_000
_FIRST: Final = 100
_AIM_S: Final = 0.2
_TURN_S: Final = 0.1
# The repartition topic holds some batches when a processor stops; another member may have written more.
_DRAIN_S: Final = 5.0
# Where computing takes less, the engine waits for the commit before it reads: the batch then holds what came meanwhile.
_OVERLAP_S: Final = 0.02
# A rebalance or the loss of a broker fails one transaction or two; what fails every time is raised.
_TRIES: Final = 5
_RETRY_S: Final = 0.05
# Leaders and coordinators of a lost broker are elected within its session, 9 s by default; until then requests fail.
_ELECTION_S: Final = 30.0
_PAUSE_S: Final = 0.5
# A member that takes its name back, and loses it again so soon, has a rival.
_RIVAL_S: Final = 30.0
# A rebalance takes as long as the slowest member's batch, and 8 s where a member was killed.
_UNASSIGNED_S: Final = 20.0

# What the topics hold; an election or another member changes nothing of it.
_FOR_GOOD: Final = (HistoryMissing, PartitionsAdded, TopicRemade)


def run_processor(
    plan: Plan, schemas: SchemaSource, *, member: str | None = None, **options: Unpack[RunOptions]
) -> ProcessorProgress:
    """Run a processor in micro-batches; see `meshport.process.runtime.watchdog.run_engine` for the result.

    Args:
        plan: what to run; see `meshport.process.make_plan`.
        schemas: where the schemas of events are found, such as a registry.
        member: a name that no other member has at the same time. A processor that is killed and started again under it
            continues at once: its partitions come back to it (static membership), and its open transaction is aborted.
            Without a name, its successor waits until the group gives the killed member up (8 s), and until the broker ends
            its transaction (10 to 20 s).
        options: see `RunOptions`.

    Raises:
        ProcessError: as `run_engine`.
        KafkaError: as `run_engine`; also where another member has the name.
    """
    return run_with_added_partitions(
        plan, lambda present: run_engine(present, BatchEngine(present, schemas, member), **options)
    )


class BatchEngine(Engine):
    """Reads, processes and commits batches in the engine's thread.

    Args:
        plan: what to run.
        schemas: where the schemas of events are found.
        member: see `run_processor`.
    """

    def __init__(self, plan: Plan, schemas: SchemaSource, member: str | None) -> None:
        super().__init__(f"batch {plan.output.topic}")
        self._plan = plan
        self._transactional = TransactionalWorker(
            plan, schemas, f"{plan.group}.{member or uuid4().hex}", [*plan.tables.values()]
        )
        self._measures = BatchMeasures(plan.output.address)
        self._member = member
        self._consumer = Member(plan.kafka, plan.group, instance=member)
        self._rejoined_at = -_RIVAL_S
        self._named, self._owned_at = member is not None, time.monotonic()
        self._aborts = 0
        self._limit = _FIRST
        self._purge = RepartitionPurge(plan)
        self._stored: Mapping[TopicPartition, int] = {}

    @property
    def loaded(self) -> int:
        """The number of changelog entries and rows of joined tables that the engine has read so far."""
        return self._transactional.worker.loaded

    @property
    def fetched(self) -> Mapping[TopicPartition, int]:
        """See `Engine`."""
        return {**self._transactional.log.fetched, **self._consumer.fetched}

    def _run(self) -> None:
        try:
            self._transactional.transactions.start()
            self._join()
            with infrequent_gc():
                while not self._stopping.is_set():
                    self._turn()
            with suppress(KafkaError):  # the next run processes the batch again
                self._commits.settle()
                self._drain_repartition_topic()
                self._purge.end(self.next_offsets, self._stored)
        finally:
            # In this order: the next owner of a partition waits for transactions that are open.
            self._commits.close()
            self._consumer.close()
            self._transactional.log.close()

    def _join(self) -> None:
        topics = [stage.topic for stage in self._plan.stages]
        self._consumer.join(topics, on_assign=self._on_assign, on_revoke=self._on_revoke)

    # -- called by the consumer within `read` and `close`: no transaction is open then, but a commit may be in progress

    def _on_assign(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        deadline = time.monotonic() + _ELECTION_S
        self.assigned, self.restored = True, False
        offsets: dict[TopicPartition, int] = {}
        for partition in partitions:
            while partition not in offsets:
                try:
                    offsets[partition] = self._transactional.assign(partition)
                except _FOR_GOOD:
                    raise
                except KafkaError as error:
                    if time.monotonic() > deadline or self._stopping.wait(_PAUSE_S):
                        raise
                    _log.warning(
                        "%s; the state of %s is restored again", error.message, partition, extra={"facts": error.facts}
                    )
        self.restored = True
        self.state_sizes = self._transactional.worker.state_sizes
        return offsets

    def _on_revoke(self, partitions: Sequence[TopicPartition]) -> None:
        self._commits.wait()  # before another member has the partitions
        for partition in partitions:
            self._transactional.worker.revoke(partition)
        self.next_offsets = {each: offset for each, offset in self.next_offsets.items() if each not in partitions}
        self.state_sizes = self._transactional.worker.state_sizes

    # -- the loop --------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        try:
            messages = self._consumer.read(self._limit, _TURN_S)
        except MemberFenced as error:
            self._rejoin(error)
            return
        batches = self._by_partition(messages)
        waits = self._transactional.worker.look()
        try:
            if batches:
                self._process(batches)
                self._measures.events.observe(len(messages))
                self._measures.computed.observe(self._transactional.worker.computed_s)
                self._limit = next_limit(len(messages), self._transactional.worker.computed_s)
            else:
                self._commits.settle()
                self._claim_partitions()
                # Redriven events; or only offsets, lest markers of transactions are counted as events that wait.
                if waits or ((offsets := self._next_offsets()) and offsets != self.next_offsets):
                    self._process({})
        except _FOR_GOOD:
            raise
        except KafkaError as error:
            self._recover(error)
        self._purge.look(self.next_offsets, self._stored)

    def _drain_repartition_topic(self) -> None:
        """Process what was re-keyed so far: another logic that takes the product over could not (`meshport rebuild`)."""
        stage = self._plan.repartition
        if stage is None:
            return
        ends = self._transactional.log.high_watermarks(stage.topic)
        for partition in self._transactional.worker.next_offsets:
            if partition[0] != stage.topic:
                self._consumer.pause(*partition)
        deadline = time.monotonic() + _DRAIN_S
        while time.monotonic() < deadline and any(
            topic == stage.topic and offset < ends[partition]
            for (topic, partition), offset in self._next_offsets().items()
        ):
            self._turn()
        self._commits.settle()

    def _next_offsets(self) -> dict[TopicPartition, int]:
        """Return the next offset of each assigned partition, after the markers of transactions at its end."""
        ends = self._consumer.ends
        offsets = self._transactional.worker.next_offsets
        return {partition: max(offset, ends.get(partition, 0)) for partition, offset in offsets.items()}

    def _by_partition(self, messages: Sequence[ReceivedMessage]) -> dict[TopicPartition, PartitionMessages]:
        assigned = self._transactional.worker.next_offsets
        return {each: there for each, there in PartitionMessages.by_partition(messages).items() if each in assigned}

    def _process(self, batches: Mapping[TopicPartition, Sequence[InputMessage]]) -> None:
        worker = self._transactional.worker
        counts = worker.process(batches)
        membership = self._consumer.membership
        if membership is None:
            raise TransactionAborted(f"{self._plan.group} has put this member out")
        offsets = self._next_offsets()
        redriven, watermark = worker.redriven_offsets, worker.watermark
        recorded, sizes = dict(worker.recorded), worker.state_sizes
        stored = worker.next_offsets

        def publish_facts() -> None:
            """Update what the watchdog reads, once the batch is committed."""
            self._aborts = 0
            total = replace(self.counts)
            total.add(counts)
            self.counts = total
            assigned = self._transactional.worker.next_offsets
            self.next_offsets = {each: offset for each, offset in offsets.items() if each in assigned}
            self.redriven_offsets, self.watermark = redriven, watermark
            self.recorded, self.state_sizes = recorded, sizes
            self._stored = stored

        self._commits.commit(offsets, membership, publish_facts)
        if worker.computed_s < _OVERLAP_S:
            self._commits.settle()

    def _recover(self, error: KafkaError) -> None:
        """Go back to the state and the offsets that are committed."""
        self._aborts += 1
        self._measures.aborted.inc()
        self._limit = _FIRST  # the batch may have been too large to commit within the transaction's timeout
        if self._aborts == _TRIES:
            raise error
        _log.warning("%s; it is done again", error.message, extra={"facts": error.facts})
        self._stopping.wait(_RETRY_S * 2**self._aborts)
        partitions = list(self._transactional.worker.next_offsets)
        self._transactional.recover(error)
        self._consumer.rewind(self._on_assign(partitions))

    def _rejoin(self, error: MemberFenced) -> None:
        """Join the group again under the member's name, unless another process has taken it.

        A member is also fenced where a broker was lost after it had answered a request to join: the member repeats the request
        with an id that the group has replaced by then (confluent-kafka-go#494).
        """
        if time.monotonic() - self._rejoined_at < _RIVAL_S:
            raise error
        _log.warning("%s; it joins the group again", error.message, extra={"facts": error.facts})
        self._rejoined_at = time.monotonic()
        self._consumer.close()
        self._transactional.recover(error)
        self.next_offsets = {}
        self._consumer = Member(self._plan.kafka, self._plan.group, instance=self._member if self._named else None)
        self._join()

    def _claim_partitions(self) -> None:
        """Join without the member's name where the group has given it no partition for `_UNASSIGNED_S`.

        A group gives a member that comes back under its name what it had last, and does not look at the topics again (KIP-345):
        nothing, where it left while a topic was made again or the broker restarted. A member without a name makes the group
        assign all partitions anew.
        """
        now = time.monotonic()
        if self._transactional.worker.next_offsets:
            self._owned_at = now
        elif self._named and now - self._owned_at > _UNASSIGNED_S:
            _log.info("%s has given this member no partition; it joins the group without its name", self._plan.group)
            self._named = False
            self._consumer.close()
            self._consumer = Member(self._plan.kafka, self._plan.group)
            self._join()

    @property
    def _commits(self) -> CommitPipeline:
        return self._transactional.commits


def next_limit(count: int, computed_s: float) -> int:
    """Return how many messages the next batch may have, after a batch of `count` that took `computed_s` to compute.

    The costs of a batch that do not depend on its size (a commit, a look at joined tables) do not count: where they alone
    exceed the aim, on a slow broker, batches would shrink to single messages and never grow again.
    """
    return max(1, min(_MOST, int(count * _AIM_S / max(computed_s, 0.001))))
