"""Publishing rows that are given by columns: Arrow batches and tables, data frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from meshport.errors import MeshError
from meshport.event import Headers
from meshport.ports.delivery.caller import PublishingCaller
from meshport.ports.delivery.chunk import SUFFIXES
from meshport.ports.delivery.deliveries import Deliveries
from meshport.ports.delivery.outcome import PublishFailure

if TYPE_CHECKING:
    from meshport.event.column_writer import Parts

__all__ = ["ArrowStream", "queue_columns"]


@runtime_checkable
class ArrowStream(Protocol):
    """Rows by columns, with Arrow's PyCapsule interface: Arrow batches and tables, data frames."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the stream of batches."""


def queue_columns(
    frame: Iterable[Parts],
    headers_of: Callable[[bytes, bytes], Headers],
    deliveries: Deliveries,
    caller: PublishingCaller,
) -> tuple[dict[str, int], list[PublishFailure]]:
    """Queue an event for each row.

    Args:
        frame: the encoded rows.
        headers_of: returns the headers of an event from its id and time, see `EventWriter.headers`.
        deliveries: where the events go.
        caller: to which they are counted.

    Returns:
        The index of each row by its event's id, and the rows that are refused, in order.
    """
    ids: dict[str, int] = {}
    refused: list[PublishFailure] = []
    queue, suffixes = deliveries.queue_next, SUFFIXES
    for parts in frame:
        refused += [PublishFailure("", row, error) for row, error in parts.errors.items()]
        for row, value, key, time in zip(parts.rows, parts.values, parts.keys, parts.times, strict=True):
            try:
                chunk = deliveries.chunk(caller)
                id = chunk.prefix + suffixes[len(chunk.values)]
                queue(caller, id, value, key, headers_of(id.encode(), time))
            except MeshError as error:
                refused.append(PublishFailure("", row, error))
            else:
                ids[id] = row
    refused.sort(key=lambda each: each.index)
    return ids, refused
