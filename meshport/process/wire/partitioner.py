"""The partition of a key, as the clients of Java, faust and librdkafka (`murmur2_random`) compute it."""

from __future__ import annotations

from typing import Final

_SEED: Final = 0x9747B28C
_MIX: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF


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
