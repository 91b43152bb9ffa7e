"""The partitions of many keys at once: MurmurHash2 over a matrix of the keys of each length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from meshport.process.wire.partitioner import partition_of

_FEW: Final = 16
"""Fewer keys of one length are hashed one by one: some twenty calls of numpy cost as much."""
_SEED: Final = 0x9747B28C
_MIX: Final = np.uint32(0x5BD1E995)


def partitions_of(keys: Sequence[bytes], partitions: int) -> list[int]:
    """Return the partition of each key, as `meshport.process.wire.partitioner.partition_of` does."""
    found = [0] * len(keys)
    by_length: dict[int, list[int]] = {}
    for index, key in enumerate(keys):
        by_length.setdefault(len(key), []).append(index)
    for length, indices in by_length.items():
        if len(indices) < _FEW or not length:
            numbers = [partition_of(keys[index], partitions) for index in indices]
        else:
            joined = np.frombuffer(b"".join([keys[index] for index in indices]), np.uint8)
            hashed = _murmur2(joined.reshape(len(indices), length))
            numbers = ((hashed & np.uint32(0x7FFFFFFF)) % np.uint32(partitions)).tolist()
        for index, number in zip(indices, numbers, strict=True):
            found[index] = number
    return found


def _murmur2(keys: Any) -> Any:
    """Return the hash of each row of a matrix of bytes."""
    count, length = keys.shape
    hashed = np.full(count, _SEED ^ length, np.uint32)
    whole = length // 4 * 4
    words = np.ascontiguousarray(keys[:, :whole]).view("<u4")
    for at in range(whole // 4):
        word = words[:, at] * _MIX
        word = (word ^ (word >> np.uint32(24))) * _MIX
        hashed = (hashed * _MIX) ^ word
    if whole < length:
        rest = np.zeros(count, np.uint32)
        for at in range(whole, length):
            rest |= keys[:, at].astype(np.uint32) << np.uint32(8 * (at - whole))
        hashed = (hashed ^ rest) * _MIX
    hashed = (hashed ^ (hashed >> np.uint32(13))) * _MIX
    return hashed ^ (hashed >> np.uint32(15))
