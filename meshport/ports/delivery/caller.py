"""The callers of a publisher: the events that each published, and the outcomes that were reported to it.

The callers of a publisher are threads and asyncio tasks. A context variable holds the caller, so that `asyncio.to_thread` acts
for the task that awaits it: a task may publish, and have a thread wait in `flush`. A task inherits the context of the one that
made it, and a thread of `to_thread` that of its task; neither is the caller that it finds there, so each gets one of its own
when it publishes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from threading import get_ident
from typing import Any, Final
from weakref import ReferenceType, ref

from meshport.ports.delivery.chunk import Chunk, ReceiptChunk
from meshport.ports.delivery.outcome import PublishFailure, Totals
from meshport.ports.delivery.receipt import Receipt

__all__ = ["Account", "PublishingCaller", "Failed"]

# Chunks are looked through for those that are done when their number has doubled, and not below this one.
_FEW: Final = 16


@dataclass(slots=True)
class Failed:
    """A failure that was not reported to its caller.

    Attributes:
        failure: the event and its error.
        receipt: of the event, if there is one; the failure is the receipt's once that was asked.
        number: counts the failures of the publisher.
        reported_at: when a flush of another caller reported it, in seconds of the monotonic clock.
    """

    failure: PublishFailure
    receipt: Receipt | None
    number: int
    reported_at: float | None = None

    @property
    def open(self) -> bool:
        """Whether a flush has to report it."""
        return self.receipt is None or not self.receipt.asked


@dataclass(slots=True, eq=False)
class Account:
    """The events that one caller published. Its methods are called with the publisher's lock, but for `news`.

    Attributes:
        chunks: those whose events are not counted yet, the newest last.
        counted: the number of events of the other chunks.
        failed: the failures among these that were not reported to the caller.
        reported: the number of events that were reported to the caller.
        reported_to_others: the number of events that were reported to the caller or to another one.
        live: whether the caller can publish more.
        thread: the identifier of the thread in which the caller runs.
    """

    chunks: list[Chunk] = field(default_factory=list)
    counted: int = 0
    failed: list[Failed] = field(default_factory=list)
    reported: int = 0
    reported_to_others: int = 0
    live: bool = True
    thread: int = field(default_factory=get_ident)
    _look_at: int = _FEW

    @property
    def news(self) -> bool:
        """Whether there are events that were not reported to the caller."""
        return self.counted + sum(len(each.values) for each in self.chunks) > self.reported

    def add(self, chunk: Chunk, totals: Totals) -> None:
        """Add a chunk, and count those that are done from time to time."""
        self.chunks.append(chunk)
        if len(self.chunks) > self._look_at:
            self.count_done(totals)
            self._look_at = max(_FEW, 2 * len(self.chunks))

    def count_done(self, totals: Totals) -> None:
        """Count the events of the chunks that are done."""
        self.count((), totals, 0)

    def count(self, given_up: Collection[Chunk], totals: Totals, waited_s: float) -> None:
        """Count the events of the chunks that are done, and those of `given_up`, which are unknown where they did not fail."""
        kept = []
        for chunk in self.chunks:
            if not chunk.done and chunk not in given_up:
                kept.append(chunk)
                continue
            receipt = chunk.receipt if isinstance(chunk, ReceiptChunk) else None
            failed = [Failed(each, receipt, totals.fail(each)) for each in chunk.failures(waited_s)]
            # What is known to its receipt alone is not kept: a service that never flushes would keep every failure.
            self.failed += [each for each in failed if each.open]
            self.counted += len(chunk.values)
            totals.stored += len(chunk.values) - len(failed)
        self.chunks = kept


class PublishingCaller:
    """A thread or a task that publishes events.

    Attributes:
        account: its events.
        chunk: the chunk that takes its next event.
        thread: the identifier of the thread in which it runs.
        seen: the number of the last failure of another caller that was reported to it, or is older than its first event.
    """

    __slots__ = ("_task", "account", "chunk", "seen", "thread")

    def __init__(self, chunk: Chunk, seen: int) -> None:
        self.account = Account()
        self.chunk = chunk
        self.thread = get_ident()
        self.seen = seen
        task = _current_task()
        self._task: ReferenceType[asyncio.Task[Any]] | None = None if task is None else ref(task)

    def may_have_ended(self, other: Account) -> bool:
        """Return whether another caller has ended, or may have been a call of `to_thread` by this task.

        The context of such a call, and with it the caller, ends a moment after the task goes on.
        """
        in_thread_of_task = not (self._task is None and self.is_current) and other.thread != self.thread
        return not other.live or (in_thread_of_task and not other.reported)

    @property
    def is_current(self) -> bool:
        """Whether the caller runs now: its own thread, and its own task if it is one."""
        task = _current_task()
        return self.thread == get_ident() and (self._task is None if task is None else self._is(task))

    def _is(self, task: asyncio.Task[Any]) -> bool:
        return self._task is not None and self._task() is task

    def __del__(self) -> None:
        # Without locks, as in every destructor.
        self.chunk.seal()
        self.account.live = False


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return None
