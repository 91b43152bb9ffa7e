"""Deletes from the repartition topic what the processor has processed and committed.

No retention bounds the topic: a processor that stands still, for however long, finds every record that it has not grouped. So
its records are deleted once the processor has committed the offsets after them, as Kafka Streams does
(`maybePurgeCommittedRecords`, KIP-811): every half minute at most, without waiting for the answer. An attempt that fails is
not repeated; the next one covers it.

A record is deleted only if it lies before both the offset that the group has committed and that of the state's checkpoint.
The one is what the cluster has confirmed for this member, so that a member that is fenced deletes nothing that its successor
reads; the other is where a restart reads on. Where they differ, markers of transactions lie between.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from meshport.errors import KafkaError
from meshport.kafka.record_deletion import RecordDeletion
from meshport.kafka.topic_partition import TopicPartition
from meshport.metrics import process as metrics
from meshport.process.wire.plan import Plan

__all__ = ["PURGE_S", "RepartitionPurge"]

PURGE_S: Final = 30.0
"""The seconds between two requests, as `repartition.purge.interval.ms` of Kafka Streams has them by default."""

_LAST_S: Final = 5.0

_log: Final = logging.getLogger(__name__)


class RepartitionPurge:
    """Deletes the committed records of a processor's repartition topic. Used by one thread.

    Args:
        plan: of the processor; where it has no repartition topic, nothing is ever deleted.
        clock: seconds that never go back.
    """

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self._kafka = plan.kafka
        self._topic = None if plan.repartition is None else plan.repartition.topic
        self._address = plan.output.address
        self._purges = metrics.PURGES
        self._clock = clock
        self._deletion: RecordDeletion | None = None
        self._next = clock()
        self._begins: dict[TopicPartition, int] = {}
        self._warned = False

    def look(self, committed: Mapping[TopicPartition, int], stored: Mapping[TopicPartition, int]) -> None:
        """Delete what is committed, unless that was done less than `PURGE_S` ago or is in progress. Does not wait.

        Args:
            committed: offsets that the group has taken from this member, by partition; of other topics as well.
            stored: the next offsets of the checkpoints that are stored, by partition.
        """
        if self._topic is None or self._clock() < self._next:
            return
        if self._deletion is not None and self._deletion.in_progress:
            return
        self._next = self._clock() + PURGE_S
        self._start(committed, stored)

    def end(self, committed: Mapping[TopicPartition, int], stored: Mapping[TopicPartition, int]) -> None:
        """Delete what is committed at the end of a run, and wait some seconds for the answer.

        A processor that runs for some seconds each hour would otherwise leave its records for ever.
        """
        if self._topic is None:
            return
        if self._deletion is not None:
            self._deletion.wait(_LAST_S)
        self._start(committed, stored)
        if self._deletion is not None:
            self._deletion.wait(_LAST_S)
            self._note_outcome(self._deletion)

    def _start(self, committed: Mapping[TopicPartition, int], stored: Mapping[TopicPartition, int]) -> None:
        try:
            if self._deletion is None:
                self._deletion = RecordDeletion(self._kafka)
        except KafkaError as error:
            self._failed(error)
            return
        self._note_outcome(self._deletion)
        offsets = {each: min(committed[each], stored[each]) for each in committed.keys() & stored.keys()}
        self._deletion.start(
            {
                each: offset
                for each, offset in offsets.items()
                if each.topic == self._topic and offset > self._begins.get(each, 0)
            }
        )

    def _note_outcome(self, deletion: RecordDeletion) -> None:
        found = deletion.outcome()
        self._begins |= found.begins
        if found.begins:
            self._count("done")
        if found.failed is not None:
            self._failed(found.failed)
        if found.refused is not None:
            self._count("refused")
            if not self._warned:
                self._warned = True
                _log.warning(
                    "%s: this login may not `delete` the topic. Nothing is lost, and %s grows until `meshport apply` gives the "
                    "processor that right",
                    found.refused.message,
                    self._topic,
                    extra={"facts": found.refused.facts},
                )

    def _failed(self, error: KafkaError) -> None:
        self._count("failed")
        _log.info("%s; it is tried again later", error.message, extra={"facts": error.facts})

    def _count(self, outcome: str) -> None:
        self._purges.labels(str(self._address), outcome).inc()
