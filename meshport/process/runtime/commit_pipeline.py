"""Commits that are under way while the next batch is computed.

A commit is an answer that is waited for: of its time the engine's thread has nothing to do, and the next batch has been
read already. So each is made in a thread of its own. At most one is: what belongs to the next transaction is sent, and
partitions are let go, only once the last one is settled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from meshport.errors import MeshError
from meshport.kafka.producer import Message
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.transaction import Transactions

__all__ = ["CommitPipeline"]


class CommitPipeline:
    """Transactions, one after another, of which the last may still be at its commit. Used by one thread.

    Args:
        transactions: what commits.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._under_way: _Commit | None = None
        self._open = False

    def deliver(self, messages: Iterable[Message]) -> None:
        """Send messages as part of the open transaction; the first ones open it, once the last one is settled.

        Raises:
            KafkaError: as of `settle`, and of `Transactions.deliver`.
        """
        self._begin()
        self._transactions.deliver(messages)

    def commit(self, places: Mapping[TopicPartition, int], group: bytes, settled: Callable[[], None]) -> None:
        """Begin to commit what was sent together with the group's places.

        Args:
            places: as of `Transactions.commit`.
            group: as there.
            settled: called by `settle` once it is done.

        Raises:
            KafkaError: as of `settle`.
        """
        self._begin()
        self._under_way = _Commit(self._transactions, places, group, settled)
        self._under_way.start()
        self._open = False

    def wait(self) -> None:
        """Return once no commit is under way, whatever became of it; `settle` tells."""
        if self._under_way is not None:
            self._under_way.join()

    def settle(self) -> None:
        """Wait for the commit that is under way.

        Raises:
            TransactionAborted: nothing of it is or becomes visible: `abort`.
            KafkaError: the producer has failed for good, or the outcome is not known.
        """
        if self._under_way is not None:
            done, self._under_way = self._under_way, None
            done.result()

    def abort(self) -> None:
        """Undo what is not committed.

        Raises:
            KafkaError: the producer has failed for good; the broker undoes it.
        """
        self.wait()
        self._under_way, self._open = None, False
        self._transactions.abort()

    def close(self) -> None:
        """Wait for the commit that is under way, undo what is open, and let go of the connections."""
        with suppress(MeshError):
            self.settle()
        self._transactions.close()

    def _begin(self) -> None:
        if not self._open:
            self.settle()
            self._transactions.begin()
            self._open = True


class _Commit(threading.Thread):
    """One commit; it does not keep a process alive that ends."""

    def __init__(
        self,
        transactions: Transactions,
        places: Mapping[TopicPartition, int],
        group: bytes,
        settled: Callable[[], None],
    ) -> None:
        super().__init__(name="commit", daemon=True)
        self._transactions = transactions
        self._places = places
        self._group = group
        self._settled = settled
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Commit."""
        try:
            self._transactions.commit(self._places, self._group)
        except BaseException as error:  # noqa: BLE001 - the edge of the thread; `result` raises it in the engine's own
            self._failure = error

    def result(self) -> None:
        """Wait for it, and tell what became of it."""
        self.join()
        if self._failure is not None:
            raise self._failure
        self._settled()
