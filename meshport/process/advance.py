"""Bringing a processor to exactly one place of its input, alone: no group, no member, nothing beyond that place.

The engines run on as long as there is input; where they are when they are told to stop is nobody's choice. A generation
is replaced by another at one place that both have reached, so both are brought there: what their topics hold then are
the outputs of the same events. Each step is a transaction like the batch engine's, under a name of its own, so that one
who was here before and comes back is fenced off. No engine may run the plan meanwhile.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final

from meshport.errors import TransactionAborted
from meshport.event import SchemaSource
from meshport.kafka.admin import Admin
from meshport.kafka.consumer import Consumer
from meshport.kafka.transaction import Transactions
from meshport.process.kafkalog import PRODUCER_SETTINGS, KafkaLog, ensure_topics, inbound, refuse_loss
from meshport.process.messages import Inbound
from meshport.process.partition import Counts
from meshport.process.plan import Plan
from meshport.process.rows import CHECKPOINT_KEY, Checkpoint
from meshport.process.worker import Place, Worker
from meshport.scan import Stretch, history_reader, scan

_log: Final = logging.getLogger(__name__)

MEMBER: Final = "rebuild"
"""The member under whose name the batch engine fills a new generation: it shares the name of the transactions here."""

_BATCH: Final = 2000
_TRIES: Final = 5
_NEAR_END: Final = 200


def advance(
    plan: Plan,
    schemas: SchemaSource,
    until: Mapping[int, int],
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Counts:
    """Process the input up to given offsets, through all stages, from where the state stands.

    Args:
        plan: the processor; nobody else may run it meanwhile.
        schemas: where the schemas of events are found, a registry.
        until: by partition of the input, the first offset that is not to be processed. Partitions beyond it stay there.
        on_progress: called with (offsets read, offsets in all) of the stage at work.

    Returns:
        What became of the events.

    Raises:
        ProcessError: the state is damaged, or was made by another pipeline, or events were lost to retention.
        KafkaError: the cluster did not store what was to be stored; nothing is lost, call it again.
    """
    servers = plan.output.bootstrap_servers
    ensure_topics(plan, Admin(servers))
    transactions = Transactions(servers, f"{plan.group}.{MEMBER}", settings=PRODUCER_SETTINGS)
    counts = Counts()
    reader = history_reader(servers)
    try:
        transactions.start()
        for left in reversed(range(_TRIES)):
            log = KafkaLog(servers, transactions)
            try:
                _Advance(Worker(plan, schemas, log), log, transactions, reader, counts).run(until, on_progress)
                break
            except TransactionAborted as error:
                transactions.abort()
                if not left:
                    raise
                _log.warning("%s; it is done again", error.message)
            finally:
                log.close()
    finally:
        transactions.close()
        reader.close()
    return counts


class _Advance:
    """One attempt."""

    def __init__(
        self, worker: Worker, log: KafkaLog, transactions: Transactions, reader: Consumer, counts: Counts
    ) -> None:
        self._worker = worker
        self._log = log
        self._transactions = transactions
        self._reader = reader
        self._counts = counts

    def run(self, until: Mapping[int, int], on_progress: Callable[[int, int], None] | None) -> None:
        for index, stage in enumerate(self._worker.plan.stages):
            # What the stage before has committed can be read once its markers are written.
            ends = {at: end for at, (_, end) in self._log.decided(stage.topic).items()} if index else until
            begins = {}
            for partition in range(stage.partitions):
                place = (stage.topic, partition)
                begins[partition] = refuse_loss(place, self._worker.assign(place), self._log)
            ends = {partition: ends.get(partition, begin) for partition, begin in begins.items()}
            for messages in scan(self._reader, Stretch(stage.topic, begins, ends), progress=on_progress, limit=_BATCH):
                batches: dict[Place, list[Inbound]] = defaultdict(list)
                for each in map(inbound, messages):
                    batches[each.topic, each.partition].append(each)
                self._process(batches)
            while not index and self._worker.look():
                self._process({})  # quarantined events that are brought back

    def _process(self, batches: Mapping[Place, list[Inbound]]) -> None:
        self._transactions.begin()
        counts = self._worker.process(batches)
        self._transactions.commit({}, b"")
        self._counts.add(counts)


def standing(plan: Plan, log: KafkaLog) -> list[dict[int, Checkpoint]]:
    """How far a processor's state has come: the checkpoint of each partition, stage by stage.

    Only the ends of the changelogs are read, since every batch ends with a checkpoint; the state itself is not looked at.

    Raises:
        TopicError: the processor has never run.
    """
    return [
        {partition: _checkpoint(stage.changelog, partition, log) for partition in range(stage.partitions)}
        for stage in plan.stages
    ]


def _checkpoint(changelog: str, partition: int, log: KafkaLog) -> Checkpoint:
    begin, end = log.decided(changelog, partition)[partition]
    stretch = _NEAR_END
    while begin < end:
        first = max(begin, end - stretch)
        values = [each.value for each in log.between(changelog, partition, first, end) if each.key == CHECKPOINT_KEY]
        if found := [Checkpoint.read(value) for value in values if value is not None]:
            return max(found, key=lambda each: each.stamp)  # a zombie's older one may come after a newer one
        if first == begin:
            break
        stretch *= 8
    return Checkpoint()
