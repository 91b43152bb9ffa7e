"""Fetching under faust: what aiokafka cannot read is announced, so that the engine reads it by the other client.

aiokafka raises from the fetch for a header's name that is not UTF-8, and for a batch that it cannot decompress. faust would
end, and end again at the same offset after each restart. Messages that were fetched together with such a one would be lost to
faust, since their offsets are passed by then. So the records of a fetch are wrapped: the exception becomes one record, with
`UnreadableHeaders`, at the last offset of the batch that could not be read.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any, Final

from aiokafka import ConsumerRecord
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords

from meshport.event.reader import UnreadableHeaders

_log: Final = logging.getLogger(__name__)


class ReadableFetches(OrderedDict[Any, Any]):
    """What a fetcher of aiokafka has fetched of each partition; takes the place of the fetcher's own dictionary."""

    def __setitem__(self, partition: Any, fetched: Any) -> None:
        if type(fetched) is FetchResult and type(fetched._partition_records) is PartitionRecords:  # noqa: SLF001 - aiokafka has no hook
            fetched._partition_records = _ReadableRecords(partition, fetched._partition_records)  # noqa: SLF001 - as above
        super().__setitem__(partition, fetched)


class _ReadableRecords:
    """The records of one partition in one fetch.

    Args:
        partition: the topic and partition.
        records: aiokafka's iterator, which is exhausted after an exception.
    """

    def __init__(self, partition: Any, records: PartitionRecords) -> None:
        self._partition = partition
        self._records = records
        self._batches = records._records = _Batches(records._records)  # noqa: SLF001 - read when the first record is

    @property
    def next_fetch_offset(self) -> int:
        """The offset after the records that were returned."""
        return int(self._records.next_fetch_offset)

    def __iter__(self) -> _ReadableRecords:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._records)
        except StopIteration:
            raise
        except Exception as error:  # noqa: BLE001 - whatever aiokafka makes of hostile bytes; the engine asks the other client
            return self._unread(error)

    def _unread(self, error: Exception) -> Any:
        topic, partition = self._partition
        begin = self.next_fetch_offset
        self._records.next_fetch_offset = end = max(begin + 1, self._batches.next_offset)
        why = f"aiokafka cannot read it: {type(error).__name__}: {error}"
        at = {"topic": topic, "partition": partition, "offset": begin}
        _log.warning("%s [%d] offsets %d to %d: %s", topic, partition, begin, end - 1, why, extra={"facts": at})
        return ConsumerRecord(topic, partition, end - 1, -1, 0, None, None, None, -1, -1, UnreadableHeaders(why))


class _Batches:
    """The batches of one fetch, as `PartitionRecords` asks for them."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self._last: Any = None

    def has_next(self) -> bool:
        return bool(self._records.has_next())

    def next_batch(self) -> Any:
        self._last = self._records.next_batch()
        return self._last

    @property
    def next_offset(self) -> int:
        """The offset after the batch that was returned last; 0 before the first, and where an old format does not say it."""
        return int(getattr(self._last, "next_offset", 0))
