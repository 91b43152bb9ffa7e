"""The partition of a key, as the clients of Java, faust and librdkafka (`murmur2_random`) compute it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

from meshport.errors import WrongPartition

_SEED: Final = 0x9747B28C
_MIX: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF
# About 20 MB of keys for each partition; a key that was forgotten is hashed again.
_REMEMBERED: Final = 200_000
_REPARTITION: Final = "declare `repartition: always` in the `process` that reads it and rebuild the product"


def murmur2(data: bytes) -> int:
    """Return MurmurHash2 of 32 bits with Kafka's seed (org.apache.kafka.common.utils.Utils)."""
    hashed = _SEED ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * _MIX & _WORD
        word = (word ^ word >> 24) * _MIX & _WORD
        hashed = hashed * _MIX & _WORD ^ word
    if rest := data[whole:]:
        hashed = (hashed ^ int.from_bytes(rest, "little")) * _MIX & _WORD
    hashed = (hashed ^ hashed >> 13) * _MIX & _WORD
    return hashed ^ hashed >> 15


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition of a message with this key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return the partition of each key."""
    return [partition_of(key, partitions) for key in keys]


class KeyPartition:
    """Recognises events that are in another partition than that of their key. A key is hashed when it is first seen.

    A producer with another partitioner writes a key to another partition than Meshport's publishers do. librdkafka's default
    (`consistent_random`, CRC32) is the usual one; most clients in Python, Go (confluent-kafka-go), .NET, Ruby and C have it.

    Args:
        partition: that is read.
        partitions: of its topic.
        hashed: returns the partition of each of some keys, as `partitions_of` does.
    """

    def __init__(
        self,
        partition: int,
        partitions: int,
        hashed: Callable[[Sequence[bytes], int], Sequence[int]] = partitions_of,
    ) -> None:
        self._partition = partition
        self._partitions = partitions
        self._hashed = hashed
        self._right: set[bytes] = set()

    def wrong(self, keys: Sequence[bytes | None]) -> list[int]:
        """Return the indices of the keys that are in the wrong partition; no key is in the right one."""
        distinct = set(keys)
        new = [key for key in distinct - self._right if key is not None]
        if not new and None not in distinct:
            return []
        if len(self._right) + len(new) > _REMEMBERED:
            self._right.clear()
            new = [key for key in distinct if key is not None]
        found = zip(new, self._hashed(new, self._partitions), strict=True)
        right = {key for key, partition in found if partition == self._partition}
        self._right |= right
        if len(right) == len(new) and None not in distinct:
            return []
        return [index for index, key in enumerate(keys) if key not in self._right]

    def check(self, key: bytes | None) -> None:
        """Do nothing for a key that belongs in the partition.

        Raises:
            WrongPartition: it belongs in another one, or there is no key.
        """
        if key in self._right or not self.wrong([key]):
            return
        if key is None:
            raise WrongPartition(
                f"the event has no record key, and may be in any of {self._partitions} partitions",
                partition=self._partition,
                partitions=self._partitions,
                hint=f"produce it with its key, or {_REPARTITION}",
            )
        expected = partition_of(key, self._partitions)
        why = "another partitioner than murmur2 has put it here"
        if crc32(key) % self._partitions == self._partition:
            why = "a producer with librdkafka's default partitioner (consistent_random, CRC32) has put it here"
        raise WrongPartition(
            f"the key {key.decode(errors='backslashreplace')!r} is in partition {self._partition} of {self._partitions}; "
            f"murmur2 puts it into partition {expected}: {why}, or partitions were added since",
            key=key,
            partition=self._partition,
            expected=expected,
            partitions=self._partitions,
            hint=f"set partitioner=murmur2_random in the producer, or {_REPARTITION}",
        )
