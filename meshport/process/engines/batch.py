"""The batch engine: micro-batches, each with its outputs, state changelog and input places in one Kafka transaction.

One thread reads what is there, computes and sends; while it does, the next batch gathers, so that batches are small where
little comes and large where much does. The commit of a large one is under way while the next is computed. A kill anywhere
leaves nothing that a committed reader sees: the state goes on from the checkpoint, which agrees with the group's place by
construction, and wins over it as with the faust engine, so that one can take over from the other. They are never members
of the group at the same time.

A transaction that fails takes the state with it, which is ahead of the log: it is restored, and the batch is done again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final, Unpack
from uuid import uuid4

from meshport.errors import TransactionAborted
from meshport.event import SchemaSource
from meshport.kafka.consumer import ReceivedMessage
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Member, Transactions
from meshport.process.columns import columns_for
from meshport.process.runtime.commit_pipeline import CommitPipeline
from meshport.process.runtime.gc_tuning import infrequent_gc
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS, KafkaLog, starting_offset
from meshport.process.runtime.watchdog import ProcessorProgress, RunOptions, run_engine
from meshport.process.runtime.worker import Worker
from meshport.process.stages.partition import Counts
from meshport.process.wire.input import InputMessage, PartitionMessages
from meshport.process.wire.plan import Plan

__all__ = ["ProcessorProgress", "run_processor"]

_log: Final = logging.getLogger(__name__)

# What comes while a batch is under way makes the next one; a commit costs some 10 ms, whatever its size. A batch that
# takes longer than the aim holds up a rebalance, and one that takes a minute looks stuck, so the measured one sets the
# size of the next. The first is small: nothing is known of a product's functions then.
_MOST: Final = 20_000
_FIRST: Final = 100
_AIM_S: Final = 0.2
_TURN_S: Final = 0.1
# What is between the stages when a processor ends is some batches; another member may have brought more.
_REST_S: Final = 5.0
# Below, the next batch is better read once the commit is answered: it holds what came until then, and goes out with it.
_WORTH_S: Final = 0.02
# A rebalance or a broker that is gone fails one transaction or two; what fails every time is told.
_TRIES: Final = 5
_AGAIN_S: Final = 0.05


def run_processor(
    plan: Plan, schemas: SchemaSource, *, member: str | None = None, **watched: Unpack[RunOptions]
) -> ProcessorProgress:
    """Run a processor in micro-batches, as `run_engine` does.

    Args:
        plan: what to run; see `meshport.process.make_plan`.
        schemas: where the schemas of events are found, a registry.
        member: a name that no other member has at the same time. Killed and started again under it, a processor goes on
            at once: it gets its partitions back, and what it left open is aborted. Without one its successor waits for
            the group to give it up (8 s), and for the broker to end its transaction (10 to 20 s).
        watched: how; see `RunOptions`.

    Raises:
        KafkaError: as of `run_engine`; also where another member has the name.
    """
    return run_engine(plan, _Engine(plan, schemas, member), **watched)


class _Engine:
    """The loop, in a thread of its own."""

    def __init__(self, plan: Plan, schemas: SchemaSource, member: str | None) -> None:
        self._plan = plan
        self._schemas = schemas
        self._transactions = Transactions(
            plan.kafka, f"{plan.group}.{member or uuid4().hex}", settings=PRODUCER_SETTINGS
        )
        self._committing = CommitPipeline(self._transactions)
        self._consumer = Member(plan.kafka, plan.group, instance=member)
        self._ending = threading.Event()
        self._aborts = 0
        self._limit = _FIRST
        self._columns = columns_for(plan, schemas)
        self._renew()
        self.failure: BaseException | None = None
        self.assigned = False
        self.places: Mapping[TopicPartition, int] = {}
        self.redriven: Mapping[TopicPartition, int] = {}
        self.counts = Counts()
        self.watermark: int | None = None
        self._thread = threading.Thread(target=self._run, name=f"batch {plan.output.topic}", daemon=True)

    def _renew(self) -> None:
        """A worker without state, and a log that gives tables from their beginning."""
        self._log = KafkaLog(self._plan.kafka, self._committing)
        self._worker = Worker(self._plan, self._schemas, self._log, self._columns)

    def start(self) -> None:
        """Join the group and begin."""
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

    def _run(self) -> None:
        try:
            self._transactions.start()
            topics = [stage.topic for stage in self._plan.stages]
            self._consumer.join(topics, on_assign=self._on_assign, on_revoke=self._on_revoke)
            with infrequent_gc():
                while not self._ending.is_set():
                    self._turn()
            with suppress(TransactionAborted):  # whoever goes on does it again
                self._committing.settle()
                self._group_the_rest()
        except BaseException as error:  # noqa: BLE001 - the edge of the thread; the supervisor raises it in its own
            self.failure = error
        finally:
            # In this order: whoever gets the partitions waits for transactions that are open.
            self._committing.close()
            self._consumer.close()
            self._log.close()

    # -- what the consumer calls, within `read` and `close`: never while a transaction is open, but one may be at its commit

    def _on_assign(self, places: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        begins = {place: starting_offset(place, self._worker.assign(place), self._log) for place in places}
        self.assigned = True
        return begins

    def _on_revoke(self, places: Sequence[TopicPartition]) -> None:
        self._committing.wait()  # before another has the partitions
        for place in places:
            self._worker.revoke(place)
        self.places = {place: offset for place, offset in self.places.items() if place not in places}

    # -- the loop ----------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        messages = self._consumer.read(self._limit, _TURN_S)
        batches = self._by_partition(messages)
        waits = self._worker.look()
        try:
            if batches:
                self._process(batches)
                self._limit = fitting(len(messages), self._worker.computed_s)
            else:
                self._committing.settle()
                if waits or ((places := self._places()) and places != self.places):
                    self._process({})  # what is redriven, or only the group's place, lest markers are taken for events
        except TransactionAborted as error:
            self._again(error)

    def _group_the_rest(self) -> None:
        """Group what was re-keyed so far: another logic that takes the product over could not (`meshport rebuild`)."""
        repartition = self._plan.repartition
        if repartition is None:
            return
        ends = self._log.high_watermarks(repartition.topic)
        for place in self._worker.places:
            if place[0] != repartition.topic:
                self._consumer.pause(*place)
        deadline = time.monotonic() + _REST_S
        while time.monotonic() < deadline and any(
            topic == repartition.topic and offset < ends[partition]
            for (topic, partition), offset in self._places().items()
        ):
            self._turn()
        self._committing.settle()

    def _places(self) -> dict[TopicPartition, int]:
        # Markers of transactions take offsets that no message has; the end of a partition tells that they are behind.
        ends = self._consumer.ends
        return {place: max(offset, ends.get(place, 0)) for place, offset in self._worker.places.items()}

    def _by_partition(self, messages: Sequence[ReceivedMessage]) -> dict[TopicPartition, PartitionMessages]:
        places = self._worker.places
        return {place: there for place, there in PartitionMessages.by_partition(messages).items() if place in places}

    def _process(self, batches: Mapping[TopicPartition, Sequence[InputMessage]]) -> None:
        counts = self._worker.process(batches)
        membership = self._consumer.membership
        if membership is None:
            raise TransactionAborted(f"{self._plan.group} has put this member out")
        places = self._places()
        self._committing.commit(places, membership, self._settled(places, counts))
        if self._worker.computed_s < _WORTH_S:
            self._committing.settle()

    def _settled(self, places: Mapping[TopicPartition, int], counts: Counts) -> Callable[[], None]:
        """What is told of a batch once it is committed."""
        redriven, watermark = self._worker.redriven, self._worker.watermark

        def tell() -> None:
            self._aborts = 0
            total = replace(self.counts)
            total.add(counts)
            self.counts = total
            in_hand = self._worker.places
            self.places = {place: offset for place, offset in places.items() if place in in_hand}
            self.redriven, self.watermark = redriven, watermark

        return tell

    def _again(self, error: TransactionAborted) -> None:
        """Undo the transaction, and go back to what is committed."""
        self._committing.abort()
        self._aborts += 1
        self._limit = _FIRST  # it may have been too large for the broker's patience
        if self._aborts == _TRIES:
            raise error
        _log.warning("%s; it is done again", error.message)
        self._ending.wait(_AGAIN_S * 2**self._aborts)
        places = self._worker.places
        self._log.close()
        self._renew()
        self._consumer.rewind(self._on_assign(list(places)))


def fitting(count: int, took_s: float) -> int:
    """How many messages the next batch may have, after one of so many whose computing took so long.

    What a batch costs whatever its size (a commit, looking at joined tables) is left out: where that alone is above the aim,
    on a slow broker, batches would shrink to single messages and never grow again.
    """
    return max(1, min(_MOST, int(count * _AIM_S / max(took_s, 0.001))))
