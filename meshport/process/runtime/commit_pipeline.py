"""Commits that are in progress while the next batch is computed.

A commit is a wait for the broker's answer, during which the engine's thread has nothing to do and the next batch has been
read already. So each commit runs in a thread of its own. At most one is in progress: the next transaction begins, and
partitions are given up, only after it is settled.

A commit that has no answer for `DECIDED_S` is given up. librdkafka's call to send the group's offsets may not return for a
minute after the group's coordinator was lost, whatever its timeout (librdkafka#5456). A setting of `meshport.kafka.transaction`
ends the wait sooner, mostly: where a commit is given up, the state has to be restored.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from meshport.errors import KafkaError, MeshError
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Transactions

__all__ = ["CommitPipeline"]

DECIDED_S: Final = 10.0
"""Seconds after which a commit is given up: the transaction began before it, and has passed its own timeout (10 s) by then."""


class CommitPipeline:
    """Commits transactions one after another, the last of them in the background. Used by one thread.

    Args:
        transactions: the producer.
        took: called in another thread with the seconds that a commit took which succeeded.
    """

    def __init__(self, transactions: Transactions, took: Callable[[float], object] = lambda _: None) -> None:
        self._transactions = transactions
        self._took = took
        self._in_progress: _Commit | None = None
        self._open = False

    def deliver(self, messages: Iterable[Message]) -> None:
        """Send messages as part of the open transaction; the first ones settle the last commit and begin a transaction.

        Raises:
            KafkaError: as `settle` and `Transactions.deliver`.
        """
        self._begin()
        self._transactions.deliver(messages)

    def commit(self, offsets: Mapping[TopicPartition, int], group: bytes, on_settled: Callable[[], None]) -> None:
        """Start to commit what was sent, together with the group's offsets.

        Args:
            offsets: see `Transactions.commit`.
            group: see `Transactions.commit`.
            on_settled: called by `settle` once the commit has succeeded.

        Raises:
            KafkaError: as `settle`.
        """
        self._begin()
        self._in_progress = _Commit(self._transactions, offsets, group, on_settled, self._took)
        self._in_progress.start()
        self._open = False

    def wait(self) -> None:
        """Return once no commit is in progress, or one has no answer; `settle` reports the outcome."""
        if self._in_progress is not None:
            self._in_progress.wait()

    def settle(self) -> None:
        """Wait for the commit in progress and raise its error.

        Raises:
            TransactionAborted: nothing of the transaction is or becomes visible; call `abort`.
            KafkaError: the producer has failed for good, or the outcome is not known; call `drop`.
        """
        if self._in_progress is not None:
            done, self._in_progress = self._in_progress, None
            done.result()

    def abort(self) -> None:
        """Abort what is not committed.

        Raises:
            KafkaError: the producer has failed for good; the broker aborts the transaction.
        """
        self.wait()
        self._in_progress, self._open = None, False
        self._transactions.abort()

    def close(self) -> None:
        """Wait for the commit in progress, abort an open transaction, and close the connections."""
        with suppress(MeshError):
            self.settle()
        self._transactions.close()

    def drop(self) -> None:
        """Give the producer up without an attempt to abort: its successor does that, and fences a commit without an answer."""
        self._in_progress = None
        self._transactions.drop()

    def _begin(self) -> None:
        if not self._open:
            self.settle()
            self._transactions.begin()
            self._open = True


class _Commit(threading.Thread):
    """One commit. A daemon thread: it does not keep the interpreter from exiting."""

    def __init__(
        self,
        transactions: Transactions,
        offsets: Mapping[TopicPartition, int],
        group: bytes,
        on_settled: Callable[[], None],
        took: Callable[[float], object],
    ) -> None:
        super().__init__(name="commit", daemon=True)
        self._took = took
        self._transactions = transactions
        self._offsets = offsets
        self._group = group
        self._on_settled = on_settled
        self._failure: BaseException | None = None
        self._deadline = time.monotonic() + DECIDED_S

    def run(self) -> None:
        """Commit."""
        began = time.monotonic()
        try:
            self._transactions.commit(self._offsets, self._group)
            self._took(time.monotonic() - began)
        except BaseException as error:  # noqa: BLE001 - the edge of the thread; `result` raises it in the engine's own
            self._failure = error

    def result(self) -> None:
        """Wait for the commit; raise its error, or call `on_settled`."""
        self.wait()
        if self.is_alive():
            raise KafkaError(f"a commit has had no answer for {DECIDED_S:g} s, as after the loss of a coordinator")
        if self._failure is not None:
            raise self._failure
        self._on_settled()

    def wait(self) -> None:
        """Wait until the commit has an outcome, or is overdue."""
        self.join(max(0.0, self._deadline - time.monotonic()))
