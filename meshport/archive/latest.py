"""The latest message of each key of an archive: keys and offsets are read first, by columns, and then only what is latest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from operator import or_
from typing import Any, Final

import pyarrow as pa
from pyarrow import compute

from meshport.archive.log_columns import LOG, messages_of
from meshport.archive.table import ArchiveTable
from meshport.kafka.received import ReceivedMessage

__all__ = ["latest_messages"]

_ROWS: Final = 20_000
_KEYS: Final = ["_kafka_partition", "_key"]


def latest_messages(
    table: ArchiveTable, topic: str, ranges: Mapping[int, tuple[int, int]]
) -> Iterator[ReceivedMessage]:
    """Yield the latest message of each key of each partition, tombstones left out.

    Args:
        table: the archive.
        topic: of the port.
        ranges: by partition, the first offset and the offset before which to look; at least one.
    """
    whole = table.dataset(LOG)
    if whole is None:
        return
    within = reduce(or_, (_in_range(each, *bounds) for each, bounds in ranges.items()))
    parts = [
        part.to_table(columns=[*_KEYS, "_kafka_offset"], filter=within)
        .group_by(_KEYS)
        .aggregate([("_kafka_offset", "max")])
        for part in whole.get_fragments()
    ]
    last = pa.concat_tables(parts).group_by(_KEYS).aggregate([("_kafka_offset_max", "max")])
    wanted = _places(last["_kafka_partition"], last["_kafka_offset_max_max"])
    for batch in whole.to_batches(filter=within & ~compute.field("_retracted"), batch_size=_ROWS):
        rows = pa.Table.from_batches([batch])
        rows = rows.filter(compute.is_in(_places(rows["_kafka_partition"], rows["_kafka_offset"]), value_set=wanted))
        for each in ranges:
            yield from messages_of(rows.filter(compute.equal(rows["_kafka_partition"], each)), topic, each)


def _in_range(partition: int, begin: int, end: int) -> Any:
    offset = compute.field("_kafka_offset")
    return (compute.field("_kafka_partition") == partition) & (offset >= begin) & (offset < end)


def _places(partitions: Any, offsets: Any) -> Any:
    """Return a number for each pair of partition and offset; Kafka's offsets stay far below 2 to the 48th."""
    shifted = compute.multiply(partitions.cast(pa.int64()), pa.scalar(2**48, pa.int64()))
    places = compute.add(shifted, offsets)
    return places.combine_chunks() if isinstance(places, pa.ChunkedArray) else places
