"""The receipts of a publisher without an outcome, and what serves delivery reports for them: a thread, or an event loop.

Each delivery report takes Python's global lock. Beside an event loop that is busy, a thread would wait 5 ms for it each time
(`sys.getswitchinterval`), and a hundred requests half a second. So the loop serves the reports of its own publisher.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from meshport.kafka.producer import Producer
from meshport.ports.delivery.chunk import ReceiptChunk

__all__ = ["WaitingReceipts"]

# Seconds of one wait for delivery reports.
_SLICE_S: Final = 0.1
# The thread ends after so many seconds without a receipt.
_IDLE_S: Final = 5.0


class WaitingReceipts:
    """The receipts of one publisher that have no outcome.

    Args:
        producer: the publisher's.
        topic: to which all events go.
        lock: the publisher's. It is held while the client gets an event of a receipt and `expect` is called.

    Attributes:
        reported: those whose event the client has reported, and whose outcome is not set.
    """

    def __init__(self, producer: Producer, topic: str, lock: threading.RLock) -> None:
        self._producer = producer
        self._topic = topic
        self._lock = lock
        self._waiting: set[ReceiptChunk] = set()
        self.reported: Final[deque[ReceiptChunk]] = deque()
        self._server: threading.Thread | None = None
        self._has_thread = True
        self._wanted = threading.Event()
        self._closed = False

    def leave_to_caller(self) -> None:
        """Start no thread: the caller serves delivery reports as long as receipts are `open`."""
        self._has_thread = False

    @property
    def open(self) -> bool:
        """Whether a receipt has no outcome."""
        return bool(self._waiting)

    def expect(self, chunk: ReceiptChunk) -> None:
        """See that a thread serves the delivery report of an event. Called with the lock."""
        self._waiting.add(chunk)
        if not self._has_thread:
            return
        if self._server is None:
            self._server = threading.Thread(target=self._serve, name=f"receipts of {self._topic}", daemon=True)
            self._server.start()
        self._wanted.set()

    def settle(self) -> None:
        """Set the outcome of each receipt whose outcome is known."""
        for _ in range(len(self.reported)):
            try:
                chunk = self.reported.popleft()
            except IndexError:  # another thread was faster
                return
            if chunk.done:
                self._settle(chunk, 0)
            else:
                self.reported.append(chunk)

    def close(self, waited_s: float) -> None:
        """Set the outcome of each receipt; unknown where the client has not reported its event. Called with the lock.

        Args:
            waited_s: for how many seconds it was waited for.
        """
        for chunk in self._waiting.copy():
            self._settle(chunk, waited_s)
        self._closed = True
        self._wanted.set()

    def _settle(self, chunk: ReceiptChunk, waited_s: float) -> None:
        with self._lock:
            if chunk not in self._waiting:  # the client never had its event
                return
            self._waiting.discard(chunk)
        failure = next(chunk.failures(waited_s), None)
        chunk.receipt.settle(None if failure is None else failure.error)  # outside of the lock: it may call back

    def _serve(self) -> None:
        """Serve delivery reports while a receipt has no outcome."""
        while True:
            self._producer.poll(_SLICE_S)
            self.settle()
            with self._lock:
                if self._waiting:
                    continue
                self._wanted.clear()
            if not self._wanted.wait(_IDLE_S) or self._closed:
                with self._lock:
                    if not self._waiting:
                        self._server = None
                        return
