"""The events of all callers of a publisher, from the client's queue to their outcomes.

Threads and tasks may share it. What is done for each event is in `Publisher`, what for a chunk or a wait is here.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from typing import Final

from meshport.errors import MeshError, PublishError
from meshport.event import Headers, new_id
from meshport.kafka.producer import ANY_PARTITION, NOW, Producer, Refusal, refusal
from meshport.ports.delivery.caller import Account, PublishingCaller
from meshport.ports.delivery.chunk import CHUNK, Chunk, ReceiptChunk, mark
from meshport.ports.delivery.fork import keep_client, leave_at_fork
from meshport.ports.delivery.outcome import Settled, Totals
from meshport.ports.delivery.receipt import Receipt
from meshport.ports.delivery.waiting import WaitingReceipts

__all__ = ["TIMEOUT_S", "Deliveries"]

TIMEOUT_S: Final = 330.0
"""Seconds of a wait: librdkafka's own `message.timeout.ms`, after which it gives an event up, and some for the reports."""
# Seconds of one wait for room in librdkafka's queue.
_FULL_S: Final = 0.05
# Seconds of one wait for delivery reports: short at first, since another thread may serve those that are awaited.
_SHORTEST_S: Final = 0.01
_LONGEST_S: Final = 0.1
# How long a failure that a flush of another caller reported is reported to further ones, where its own caller has ended.
_KEPT_S: Final = 600.0
# Accounts are looked through for those that have ended when their number has doubled, and not below this one.
_FEW: Final = 64


class Deliveries:
    """The deliveries of one publisher.

    Args:
        producer: made with `delivery.report.only.error`.
        topic: to which all events go.
    """

    def __init__(self, producer: Producer, topic: str) -> None:
        self._producer = producer
        producer.watch(topic)
        self.topic: Final = topic
        # The client's own method: topic, value, key, partition, callback, None, timestamp, headers. Keyword arguments would
        # cost half a microsecond of 2.7.
        self._produce: Callable[..., None] = producer.produce
        self.callers: ContextVar[PublishingCaller | None] = ContextVar(f"caller of {topic}", default=None)
        """The caller in this context, if it has published anything; of another thread or task where it is inherited."""
        self._ids = f"{new_id()}-"
        self._chunk_numbers = count()
        self._lock = threading.RLock()
        self._orphans = Account(live=False)
        self._accounts: list[Account] = [self._orphans]
        self._look_at = _FEW
        self._totals = Totals()
        self._ended: str | None = None
        self._receipts = WaitingReceipts(producer, topic, self._lock)
        leave_at_fork(self)

    # -- publishing ------------------------------------------------------------------------------------------------

    def caller(self) -> PublishingCaller:
        """Return the caller that runs now, a new one if it has published nothing yet.

        Raises:
            PublishError: the publisher is closed.
        """
        caller = self.callers.get()
        if caller is None or not caller.is_current:
            caller = self.new_caller()
            self.callers.set(caller)
        return caller

    def new_caller(self) -> PublishingCaller:
        """Return a caller whose events no flush of another one takes for its own; raises as `caller`."""
        with self._lock:
            self._check_open()
            caller = PublishingCaller(self._new_chunk(), self._totals.failures)
            caller.account.chunks.append(caller.chunk)
            self._accounts.append(caller.account)
            if len(self._accounts) > self._look_at:
                self._collect_ended()
                self._look_at = max(_FEW, 2 * len(self._accounts))
        return caller

    def chunk(self, caller: PublishingCaller) -> Chunk:
        """Return the chunk of a caller's next event; delivery reports are polled where a new one begins.

        Raises:
            PublishError: the publisher is closed, or has failed for good.
        """
        chunk = caller.chunk
        if len(chunk.values) < CHUNK and chunk.report is not None:
            return chunk
        with self._lock:
            self._check_open()
            chunk.seal()
            caller.chunk = self._new_chunk()
            caller.account.add(caller.chunk, self._totals)
        self.poll(0)
        return caller.chunk

    def queue(
        self, caller: PublishingCaller, id: str, value: bytes | None, key: bytes | None, headers: Headers
    ) -> None:
        """Queue one event with the client; wait while its queue is full.

        Raises:
            PublishError: the client refuses it, or the publisher is closed or has failed for good.
        """
        while True:
            chunk = self.chunk(caller)
            report = chunk.report
            if report is None:  # a flush of another caller has sealed the chunk this moment
                continue
            index = len(chunk.values)
            try:
                chunk.add(id, mark(value, key))
                self._produce(self.topic, value, key, ANY_PARTITION, report, None, NOW, headers)
            except BufferError:
                report = None
                chunk.take_back()
            except Refusal as error:
                report = None
                chunk.take_back()
                raise self._refusal(error) from error
            except BaseException:
                report = None
                chunk.doubt(index)
                raise
            else:
                return
            self.poll(_FULL_S)

    def queue_next(self, caller: PublishingCaller, id: str, value: bytes, key: bytes | None, headers: Headers) -> None:
        """Queue one event that has data; otherwise as `queue`, in less time.

        The caller's chunk has room, and `id` is the chunk's prefix with the next of `SUFFIXES`.
        """
        chunk = caller.chunk
        report = chunk.report
        if report is None:  # a flush of another caller has sealed the chunk this moment
            self.queue(caller, id, value, key, headers)
            return
        values = chunk.values
        index = len(values)
        try:
            values.append(value)
            self._produce(self.topic, value, key, ANY_PARTITION, report, None, NOW, headers)
        except (BufferError, Refusal):
            report = None  # see meshport.ports.delivery.chunk
            values.pop()
            self.queue(caller, id, value, key, headers)
        except BaseException:
            report = None
            chunk.doubt(index)
            raise

    def queue_with_receipt(
        self, caller: PublishingCaller, id: str, value: bytes | None, key: bytes | None, headers: Headers
    ) -> Receipt:
        """Queue one event with the client and return its receipt; otherwise as `queue`."""
        while (receipt := self.offer(caller, id, value, key, headers)) is None:
            self.poll(_FULL_S)
        return receipt

    def offer(
        self, caller: PublishingCaller, id: str, value: bytes | None, key: bytes | None, headers: Headers
    ) -> Receipt | None:
        """Queue one event with the client and return its receipt; None where its queue is full, and never a wait.

        Raises:
            PublishError: as `queue`.
        """
        chunk = ReceiptChunk(id, mark(value, key), self._producer.undelivered, self._receipts.reported)
        report = chunk.report
        with self._lock:
            self._check_open()
            try:
                self._produce(self.topic, value, key, ANY_PARTITION, report, None, NOW, headers)
            except BufferError:
                report = None
                chunk.seal()
                return None
            except Refusal as error:
                report = None
                raise self._refusal(error) from error
            except BaseException:
                report = None
                chunk.doubt(0)
                self._expect(caller, chunk)
                raise
            self._expect(caller, chunk)
        return chunk.receipt

    def leave_to_caller(self) -> None:
        """Have the caller of `serve` set the outcomes of receipts, instead of a thread."""
        self._receipts.leave_to_caller()

    def serve(self) -> bool:
        """Serve the delivery reports that are there, without a wait, and return whether receipts still have no outcome."""
        self._producer.poll(0)
        self._receipts.settle()
        return self._receipts.open

    def await_room(self) -> None:
        """Wait a moment for delivery reports, which make room in the client's queue; raises as `poll`."""
        self.poll(_FULL_S)

    def _expect(self, caller: PublishingCaller, chunk: ReceiptChunk) -> None:
        """Count the event of a receipt to its caller, and see that a thread serves its delivery report."""
        caller.account.add(chunk, self._totals)
        chunk.seal()
        self._receipts.expect(chunk)

    def _new_chunk(self) -> Chunk:
        return Chunk(f"{self._ids}{next(self._chunk_numbers)}", self._producer.undelivered)

    def _check_open(self) -> None:
        if self._ended is not None:
            raise PublishError(f"nothing more goes to {self.topic}: {self._ended}", hint="create a new publisher")

    def _collect_ended(self) -> None:
        """Move the events of callers that have ended to one account, so that a service of many tasks keeps no trace of each."""
        kept = [self._orphans]
        for each in self._accounts[1:]:
            each.count_done(self._totals)
            if each.live or each.chunks:
                kept.append(each)
                continue
            self._orphans.counted += each.counted - each.reported_to_others
            self._orphans.failed += each.failed
        self._accounts = kept

    def _refusal(self, error: Refusal) -> MeshError:
        with self._lock:
            self._totals.refused += 1
        return refusal(error, self.topic) if self._producer.fatal is None else self._failed_for_good()

    def _failed_for_good(self) -> MeshError:
        fatal = self._producer.fatal
        return PublishError(f"nothing more is stored: {fatal and fatal.message}", hint="go on with a new publisher")

    # -- outcomes --------------------------------------------------------------------------------------------------

    def totals(self) -> Totals:
        """Count the events whose outcome is known, and return the outcomes of all so far."""
        with self._lock:
            for each in self._accounts:
                each.count_done(self._totals)
            return replace(self._totals)

    def poll(self, wait_s: float) -> None:
        """Serve delivery reports, for up to `wait_s` seconds until there is one.

        Raises:
            PublishError: the publisher has failed for good.
        """
        self._producer.poll(wait_s)
        self._receipts.settle()
        if self._producer.fatal is not None:
            raise self._failed_for_good() from self._producer.fatal

    def settle(self, timeout_s: float = TIMEOUT_S) -> Settled:
        """Wait for the caller's events, and return what became of those that were not reported to it.

        Events of callers that have ended, such as a thread that was joined, count as its own. A caller that has published
        nothing since its last call waits for the events of all callers. Theirs are reported to them all the same: a
        failure is reported to another caller besides, never instead.

        Args:
            timeout_s: after so many seconds, events without an outcome are unknown.

        Raises:
            PublishError: the publisher is closed.
        """
        found = self.callers.get()
        own = found.account if found is not None and found.account.news else None
        if found is None:
            found = self.caller()
            found.seen = -1
        with self._lock:
            self._check_open()
            others = [
                each for each in self._accounts if each is not own and (own is None or found.may_have_ended(each))
            ]
        self._await(others if own is None else [own, *others], timeout_s)
        with self._lock:
            settled = [] if own is None else [self._report_own(own)]
            # In a thread that acts for a task, failures that were reported before may be the task's.
            current = found.is_current
            settled += [self._report_to_another(each, found.seen if current else -1) for each in others]
            if current:
                found.seen = self._totals.failures
        return Settled.sum(settled)

    def settle_alone(self, caller: PublishingCaller, timeout_s: float = TIMEOUT_S) -> Settled:
        """Wait for the events of one caller and return what became of them; otherwise as `settle`."""
        self._await([caller.account], timeout_s)
        with self._lock:
            return self._report_own(caller.account)

    def close(self, timeout_s: float = TIMEOUT_S) -> Settled:
        """Take no more events, wait for those of all callers, and return what became of those that nothing reported.

        The connections close as soon as no other thread is in a call of the client.

        Args:
            timeout_s: after so many seconds, the client drops events without an outcome, which are unknown.
        """
        with self._lock:
            self._ended = self._ended or "the publisher is closed"
            accounts = self._accounts.copy()
        if not self._await(accounts, timeout_s):
            self._producer.abandon()
            self._await(accounts, _LONGEST_S)
        self._receipts.settle()
        with self._lock:
            self._receipts.close(timeout_s)
            self._producer.release()
            self._produce = self._producer.produce
            return Settled.sum([self._report_to_another(each, self._totals.failures) for each in accounts])

    def _await(self, accounts: Iterable[Account], timeout_s: float) -> bool:
        """Wait for what was published so far and count it; return whether the outcome of each event is known."""
        with self._lock:
            sealed = {each: set(each.chunks) for each in accounts}
            for chunks in sealed.values():
                for chunk in chunks:
                    chunk.seal()
        waiting = [chunk for chunks in sealed.values() for chunk in chunks]
        deadline, slice_s = time.monotonic() + timeout_s, _SHORTEST_S
        while waiting := [each for each in waiting if not each.done]:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                break
            if all(each.reported for each in waiting):
                waiting[0].wait(min(slice_s, left_s))
            else:
                self._producer.push(min(slice_s, left_s))
            self._receipts.settle()
            slice_s = min(_LONGEST_S, 1.5 * slice_s)
        with self._lock:
            for account, chunks in sealed.items():
                account.count(chunks, self._totals, timeout_s)
        return not waiting

    def _report_own(self, account: Account) -> Settled:
        failed, account.failed = [each.failure for each in account.failed if each.open], []
        number = account.counted - account.reported
        account.reported = account.reported_to_others = account.counted
        return Settled(number, failed)

    def _report_to_another(self, account: Account, seen: int) -> Settled:
        """Report what is not reported yet, and again each failure after number `seen` that was not reported to its own caller."""
        now = time.monotonic()
        if not account.live:
            account.failed = [
                each for each in account.failed if each.reported_at is None or now - each.reported_at < _KEPT_S
            ]
        failed = [each for each in account.failed if each.open and (each.reported_at is None or each.number > seen)]
        number = account.counted - account.reported_to_others + sum(each.reported_at is not None for each in failed)
        account.reported_to_others = account.counted
        for each in failed:
            each.reported_at = each.reported_at or now
        return Settled(number, [each.failure for each in failed])

    # -- fork ------------------------------------------------------------------------------------------------------

    def leave_to_parent(self) -> None:
        """Take no more events in a process that a fork made: the client's threads are in the parent process."""
        self._ended = f"its publisher was created by the process {os.getppid()}, of which this one is a fork"
        keep_client(self._produce)  # the client's own method, which keeps the client
        for account in self._accounts:
            for chunk in account.chunks:
                chunk.seal()
        # Threads of the parent may have held the locks; what waits is waited for there.
        self._lock, self._accounts = threading.RLock(), []
        self._receipts = WaitingReceipts(self._producer, self.topic, self._lock)
