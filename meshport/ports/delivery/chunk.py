"""Some events of one caller, and what the client reports of them.

confluent_kafka calls a message's `on_delivery` for a failure only (`delivery.report.only.error`), since a Python callback for
each event costs a fifth of sending it. But it holds one reference to `on_delivery` for each message until the message's outcome
is known, whatever the outcome (`Producer.c`, `dr_msg_cb`). The events of a chunk share one `on_delivery`: when the last
reference to it is dropped, the outcome of each event is known, and those that did not fail are stored.

So nothing else may keep a reference to it: no variable of a frame that an exception's traceback holds, above all.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any, Final

from meshport.errors import DeliveryUnknown, MeshError
from meshport.kafka.producer import FailedReport
from meshport.kafka.undelivered import Undelivered
from meshport.ports.delivery.outcome import PublishFailure
from meshport.ports.delivery.receipt import Receipt

__all__ = ["CHUNK", "SUFFIXES", "Chunk", "Mark", "ReceiptChunk", "mark"]

CHUNK: Final = 500
"""The most events of a chunk. Delivery reports are polled once for each: often enough to learn of a failure soon."""
SUFFIXES: Final = tuple(f"{index:03d}" for index in range(CHUNK))
"""The last characters of an event's id where the caller gives none: its index in its chunk."""

_REPEAT: Final = "publish it again with the same id: readers ignore an id they have seen"

Mark = bytes | tuple[bytes | None]
"""What identifies an event in a failure report, which has no headers and hence no id; see `mark`."""


def mark(value: bytes | None, key: bytes | None) -> Mark:
    """Return the value of a message; a tombstone, which has none, is identified by its key."""
    return (key,) if value is None else value


class Chunk:
    """Up to `CHUNK` events that one caller published, one after another.

    An event is added before the client gets it, since another thread may serve its failure report at once.

    Args:
        prefix: the first characters of the ids that the caller did not give.
        undelivered: `Producer.undelivered`.

    Attributes:
        prefix: as given.
        values: the mark of each event.
        given: the ids that the caller gave, by index.
        report: the `on_delivery` of each event; None once the chunk takes no more events.
        reported: whether the client has reported each event.
    """

    __slots__ = ("_doubtful", "_failed", "given", "prefix", "report", "reported", "undelivered", "values")

    def __init__(self, prefix: str, undelivered: FailedReport) -> None:
        self.prefix = prefix
        self.undelivered = undelivered
        self.values: list[Mark] = []
        self.given: dict[int, str] = {}
        self.reported = False
        self.report: _Report | None = _Report(self)
        self._failed: list[tuple[Mark, Undelivered]] = []
        self._doubtful: set[int] = set()

    def id(self, index: int) -> str:
        """Return the id of an event, or of the one that is added next."""
        return self.given.get(index) or self.prefix + SUFFIXES[index]

    def add(self, id: str, mark: Mark) -> None:
        """Add an event; call `take_back` if the client does not get it."""
        index = len(self.values)
        if id != self.prefix + SUFFIXES[index]:
            self.given[index] = id
        self.values.append(mark)

    def take_back(self) -> None:
        """Remove the event that was added last."""
        self.values.pop()
        self.given.pop(len(self.values), None)

    def doubt(self, index: int) -> None:
        """Note that the caller was interrupted while it published an event, if that was added: the client may have it."""
        if index < len(self.values):
            self._doubtful.add(index)

    def seal(self) -> None:
        """Take no more events; a caller that is adding one at this moment in another thread still completes it."""
        self.report = None

    def failed(self, mark: Mark, failure: Undelivered) -> None:
        """Note the failure of one event."""
        self._failed.append((mark, failure))

    def complete(self) -> None:
        """Note that the client has reported each event. Called by a destructor, hence takes no lock."""
        self.reported = True

    @property
    def done(self) -> bool:
        """Whether the outcome of each event is known."""
        return self.reported and all(failure.decided for _, failure in self._failed)

    def wait(self, timeout_s: float) -> None:
        """Wait until what the client has reported is decided, for `timeout_s` seconds at most."""
        undecided = next((failure for _, failure in self._failed if not failure.decided), None)
        if undecided is not None:
            undecided.wait(timeout_s)

    def failures(self, waited_s: float = 0) -> Iterator[PublishFailure]:
        """Yield the events that are not certainly stored.

        Where some of several events with equal bytes failed, the client does not report which; each of them is unknown.

        Args:
            waited_s: for how many seconds the caller has waited, where the chunk is not done.
        """
        failed = self._failed.copy()
        if not failed and not self._doubtful and self.reported:
            return
        indices = defaultdict(list)
        for index, value in enumerate(self.values):
            indices[value].append(index)
        by_mark = defaultdict(list)
        for value, failure in failed:
            by_mark[value].append(failure.error())
        outcome: dict[int, MeshError] = {}
        for value, found in by_mark.items():
            equal = indices[value]
            if len(found) < len(equal):
                text = f"{len(found)} of {len(equal)} events with equal bytes were not acknowledged: {found[0].message}"
                outcome.update(dict.fromkeys(equal, DeliveryUnknown(text, hint=_REPEAT)))
            else:
                outcome.update(zip(equal, found, strict=True))
        for index in range(len(self.values)):
            if error := outcome.get(index) or self._not_reported(index, waited_s):
                yield PublishFailure(self.id(index), -1, error)

    def _not_reported(self, index: int, waited_s: float) -> DeliveryUnknown | None:
        """Return why the outcome of an event that did not fail is unknown; None if it is stored."""
        if index in self._doubtful:
            return DeliveryUnknown("publishing it was interrupted", hint=_REPEAT)
        return (
            None if self.reported else DeliveryUnknown(f"it was not acknowledged within {waited_s:g} s", hint=_REPEAT)
        )


class _Report:
    """The `on_delivery` of a chunk's events; the destruction of it says that the client has reported each."""

    __slots__ = ("_chunk",)

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk

    def __call__(self, error: Any, message: Any) -> None:
        if error is not None:
            chunk = self._chunk
            chunk.failed(mark(message.value(), message.key()), chunk.undelivered(error, message))

    def __del__(self) -> None:
        self._chunk.complete()


class ReceiptChunk(Chunk):
    """The one event of a receipt.

    Args:
        id: the event's.
        mark: of the event.
        undelivered: `Producer.undelivered`.
        known: where the chunk is added once its event is reported, for the thread that sets the receipt's outcome.
    """

    __slots__ = ("_known", "receipt")

    def __init__(self, id: str, mark: Mark, undelivered: FailedReport, known: deque[ReceiptChunk]) -> None:
        super().__init__("", undelivered)
        self.receipt = Receipt(id)
        self._known = known
        self.add(id, mark)

    def complete(self) -> None:
        """Note that the event is reported. Setting the receipt's takes a lock, which a destructor must not."""
        super().complete()
        self._known.append(self)
