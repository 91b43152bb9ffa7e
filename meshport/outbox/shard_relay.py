"""Publishes the rows of one shard of an outbox: takes a batch, sends it, marks it, and cleans up behind.

A row that cannot be sent blocks its aggregate: its error is written into it, and into the later rows of the aggregate, which are
then no longer among the rows that wait. The first row of each blocked aggregate is tried again every half a minute, so that
an aggregate goes on by itself once the cause is mended, or the row is removed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final

from meshport.errors import RegistryUnavailable
from meshport.metrics import outbox as metrics
from meshport.metrics.readiness import Readiness
from meshport.outbox.row_sender import RowSender, SentRows
from meshport.outbox.shard import Aggregate, Shard, WaitingRow

__all__ = ["BEHIND", "ShardRelay"]

_log: Final = logging.getLogger(__name__)

BEHIND: Final = "waits for an earlier event of its aggregate"
"""The error of a row whose aggregate is blocked by an earlier one."""

RETRY_S: Final = 30.0
"""Seconds after which blocked aggregates are tried again."""

# A first batch of the largest events fits into memory; of small ones, batches grow.
_FIRST: Final = 100
_MOST: Final = 4_000
_LARGE: Final = 32 * 1024 * 1024
_HEADS: Final = 1_000
_IDLE_S: Final = 1.0
_AGAIN_S: Final = 1.0
_GRACE_S: Final = 5.0
_CLEAN: Final = 5_000
_CLEAN_S: Final = 5.0
_LOOK_S: Final = 5.0
_OLD_TRANSACTION_S: Final = 60.0
_START: Final[Aggregate] = ("", "")


class ShardRelay:
    """Publishes the rows of a shard that this process holds.

    Args:
        shard: whose lock is held.
        sender: of its rows.
        readiness: of the relay.
        stop: an event that ends the work.
        keep_s: for how many seconds published rows are kept.
    """

    def __init__(
        self, shard: Shard, sender: RowSender, readiness: Readiness, stop: threading.Event, *, keep_s: float
    ) -> None:
        self._shard, self._sender, self._readiness, self._stop = shard, sender, readiness, stop
        self._keep_s = keep_s
        self._blocked: set[Aggregate] = set()
        self._tried = _START
        self._limit = _FIRST
        self._ends_at: float | None = None
        self._due = {self._retry: 0.0, self._clean: 0.0, self._look: 0.0}
        self._warned_at = float("-inf")

    def run(self) -> None:
        """Publish until `stop` is set.

        Raises:
            OutboxUnavailable: the database does not answer.
            ShardLost: another relay has the shard.
            KafkaError: the client refuses its configuration.
        """
        metrics.SHARDS.inc()
        try:
            self._blocked = self._shard.blocked()
            while not self._stop.is_set():
                self._shard.keep()
                rows = self._shard.fetch(self._limit)
                moved = self._publish(rows)
                for work, due in list(self._due.items()):
                    if time.monotonic() >= due and not self._stop.is_set():
                        self._due[work] = time.monotonic() + work()
                if not rows:
                    self._shard.wait(_IDLE_S)
                elif not moved:
                    self._stop.wait(_AGAIN_S)
        except RegistryUnavailable:
            if not self._stop.is_set():
                raise
        finally:
            metrics.SHARDS.dec()

    @staticmethod
    def count_producer() -> None:
        """Count a producer that has failed for good."""
        metrics.PRODUCERS.inc()

    def _publish(self, rows: Sequence[WaitingRow]) -> bool:
        """Send and mark rows; whether any of them is waiting no more."""
        if not rows:
            return False
        metrics.BATCH.observe(len(rows))
        self._adapt(rows)
        sent = self._sender.send([row for row in rows if row.aggregate not in self._blocked], pause=self._go_on)
        errors = self._block(sent)
        stored = {row.number for row in sent.stored}
        errors |= {
            row.number: BEHIND
            for row in (rows if self._blocked else ())
            if row.aggregate in self._blocked and row.number not in stored and row.number not in errors
        }
        if stored or errors:
            with metrics.MARKED.time():
                self._shard.settle([row.number for row in sent.stored], errors)
            self._count(sent)
        return bool(stored or errors)

    def _adapt(self, rows: Sequence[WaitingRow]) -> None:
        """Choose how many rows the next batch has."""
        size = sum(row.size for row in rows)
        if size > _LARGE:
            self._limit = max(1, len(rows) // 2)
        elif len(rows) == self._limit and 2 * size <= _LARGE:
            self._limit = min(_MOST, self._limit * 2)

    def _block(self, sent: SentRows) -> dict[int, str]:
        """Note the aggregates of refused rows; return the errors of the rows by number."""
        for row, error in sent.refused:
            if row.aggregate not in self._blocked:
                self._blocked.add(row.aggregate)
                _log.warning(
                    "row %d of the outbox, event %s of %s, cannot be sent, and the later events of its aggregate wait: %s",
                    row.number,
                    row.event.id,
                    row.event.address,
                    error,
                )
        return {row.number: error.message for row, error in sent.refused}

    def _count(self, sent: SentRows) -> None:
        if sent.stored:
            self._readiness.progress()
        for address, count in Counter(row.event.address for row in sent.stored).items():
            metrics.RELAYED.labels(address, "stored").inc(count)
        for address, count in Counter(row.event.address for row, _ in sent.refused).items():
            metrics.RELAYED.labels(address, "refused").inc(count)

    def _go_on(self) -> bool:
        """Show that the relay lives while Kafka does not answer; false once it has waited long enough after `stop`."""
        self._shard.keep()
        if not self._stop.is_set():
            return True
        now = time.monotonic()
        if self._ends_at is None:
            self._ends_at = now + _GRACE_S
        return now < self._ends_at

    # -- from time to time; each returns the seconds until the next time ---------------------------------------------

    def _retry(self) -> float:
        """Try the first rows of blocked aggregates again."""
        if not self._blocked:
            return RETRY_S
        heads = self._shard.heads(self._tried, _HEADS)
        self._tried = heads[-1].aggregate if len(heads) == _HEADS else _START
        known = {row.aggregate for row in heads}
        if len(heads) < _HEADS and self._tried == _START and len(known) < len(self._blocked):
            self._blocked = self._shard.blocked()  # rows were removed by hand
        self._blocked |= known
        sent = self._sender.send(heads, pause=self._go_on)
        errors = {row.number: error.message for row, error in sent.refused}
        released = {row.aggregate for row in sent.stored}
        if released or errors:
            self._shard.settle([row.number for row in sent.stored], errors, released)
            self._blocked -= released
            self._count(sent)
        if released:
            _log.warning("%d blocked aggregates of the outbox go on", len(released))
        return RETRY_S if self._tried == _START else 0.0

    def _clean(self) -> float:
        """Remove a batch of rows that were published long enough ago."""
        removed = self._shard.clean(self._keep_s, _CLEAN)
        metrics.REMOVED.inc(removed)
        return 0.0 if removed == _CLEAN else _CLEAN_S

    def _look(self) -> float:
        """Report what waits."""
        state = self._shard.state()
        metrics.DEPTH.set(state.waiting)
        metrics.AGE.set(state.oldest_s)
        metrics.BLOCKED.set(state.blocked)
        metrics.BLOCKED_AGGREGATES.set(state.blocked_aggregates)
        metrics.OLDEST_TRANSACTION.set(state.transaction_s)
        self._readiness.lag(state.waiting - state.blocked)
        if state.transaction_s > _OLD_TRANSACTION_S and time.monotonic() - self._warned_at > _OLD_TRANSACTION_S:
            self._warned_at = time.monotonic()
            _log.warning(
                "a transaction has been open for %.0f s: its events are not visible yet, and the outbox cannot be "
                "vacuumed beyond it: %s",
                state.transaction_s,
                state.transaction,
            )
        return _LOOK_S
