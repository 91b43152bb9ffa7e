"""A worker whose deliveries are part of Kafka transactions."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Final

from meshport.binding import Binding
from meshport.errors import KafkaError, TransactionAborted
from meshport.event import SchemaSource
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Transactions
from meshport.process.columns import columns_for
from meshport.process.runtime.commit_pipeline import CommitPipeline
from meshport.process.runtime.kafka_log import PRODUCER_SETTINGS, CachedEntries, KafkaLog
from meshport.process.runtime.measures import BatchMeasures
from meshport.process.runtime.starting_offset import assign
from meshport.process.runtime.worker import Worker
from meshport.process.wire.plan import Plan

_log: Final = logging.getLogger(__name__)

# Of a transaction whose messages found no leader in time. The client that saw the broker go may also have cached it as the
# group's coordinator, and never ask for another one (librdkafka#5511).
_TIMED_OUT: Final = "_TIMED_OUT"


class TransactionalWorker:
    """A worker, its log and the transactions that the log writes to, with recovery from an aborted transaction.

    Args:
        plan: what the worker runs.
        schemas: where the schemas of events are found, such as a registry.
        transactional_id: of the producer; a later owner of the same id fences this one off.
        ports: whose archives are read where a topic of theirs begins later.
        cached: see `KafkaLog`; used until the first `reset`.

    Attributes:
        transactions: the producer; `Transactions.start` is the caller's to call. `recover` may replace it.
        commits: the transactions' commits. `recover` may replace them.
        log: the worker's log. `reset` replaces it.
        worker: the worker. `reset` replaces it.
    """

    def __init__(
        self,
        plan: Plan,
        schemas: SchemaSource,
        transactional_id: str,
        ports: Collection[Binding],
        *,
        cached: CachedEntries | None = None,
    ) -> None:
        self._ports = ports
        self._plan = plan
        self._schemas = schemas
        self._columns = columns_for(plan, schemas)
        self._transactional_id = transactional_id
        self._measures = BatchMeasures(plan.output.address)
        self._new_producer()
        self._connect(cached)

    def _new_producer(self) -> None:
        self.transactions = Transactions(self._plan.kafka, self._transactional_id, settings=PRODUCER_SETTINGS)
        self.commits = CommitPipeline(self.transactions, self._measures.committed.observe)

    def _connect(self, cached: CachedEntries | None = None) -> None:
        self.log = KafkaLog(self._plan.kafka, self.commits, cached, self._plan.missing, self._ports)
        self.worker = Worker(self._plan, self._schemas, self.log, self._columns)

    def assign(self, partition: TopicPartition) -> int:
        """Restore the state of a partition, and return the offset from which to read the partition.

        Raises:
            ProcessError, HistoryMissing: as `meshport.process.runtime.starting_offset.assign`.
        """
        return assign(self.worker, partition, self.log)

    def recover(self, error: KafkaError) -> None:
        """Go back to what is committed, after a transaction failed: abort it, and replace the worker as `reset` does.

        A producer whose transaction did not simply abort, or which had no answer in time, is replaced as well: the new one takes
        the transactional id, and the coordinator completes or aborts what the old one has left. The loss of a coordinator makes
        that necessary: it may have ended a transaction in whose name a request is repeated (INVALID_TXN_STATE), or have timed
        it out, which looks as if another producer had the id (KIP-588). Such a producer can do no more.

        Args:
            error: the failure.

        Raises:
            KafkaError: the coordinator did not answer.
        """
        try:
            if not isinstance(error, TransactionAborted) or error.code == _TIMED_OUT:
                raise error
            self.commits.abort()
        except KafkaError as failure:
            _log.warning("%s; a new producer takes over", failure.message, extra={"facts": failure.facts})
            self.commits.drop()
            self._new_producer()
            self.transactions.start()
        self.reset()

    def reset(self) -> None:
        """Replace the worker by one without partitions and state, after a transaction was aborted.

        The state of a worker whose transaction was aborted is ahead of the log. The new worker's log reads joined tables
        from their beginning.
        """
        self.log.close()
        self._connect()
