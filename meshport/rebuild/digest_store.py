"""Digests of named values of two generations, on disk, for a comparison in bounded memory.

Names and values are represented by 16 bytes of BLAKE2b each. Digests go to one of 64 files by their name. Then, file by
file, both generations' digests are held in memory and compared: of five million names about forty megabytes at a time, and 44
bytes on disk for each value. The odds that two of a billion names or values share a digest are one in 10^20.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple, Self

_FILES: Final = 64
_RECORD: Final = struct.Struct("<16s16sIQ")
_BUFFER: Final = 64 * 1024
_TOMBSTONE: Final = bytes(16)


class GenerationSide(IntEnum):
    """The generation that a value is from."""

    OLD = 0
    NEW = 1


class LatestValue(NamedTuple):
    """The last value of a name in one generation.

    Attributes:
        digest: of the value; None of a tombstone.
        partition: of the message.
        offset: of the message.
    """

    digest: bytes | None
    partition: int
    offset: int


class DigestStore:
    """Collects the digests of named values, then yields the last value of each name. Use it as a context manager."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="meshport-compare-")
        self._buffers = [[bytearray() for _ in range(_FILES)] for _ in GenerationSide]

    def add(self, side: GenerationSide, name: bytes, value: bytes | None, partition: int, offset: int) -> None:
        """Add a value; it replaces the value that the name had."""
        key = blake2b(name, digest_size=16).digest()
        digest = _TOMBSTONE if value is None else blake2b(value, digest_size=16).digest()
        number = key[0] % _FILES
        buffer = self._buffers[side][number]
        buffer += _RECORD.pack(key, digest, partition, offset)
        if len(buffer) >= _BUFFER:
            self._write(side, number)

    def _file(self, side: GenerationSide, number: int) -> Path:
        return Path(self._folder.name) / f"{side}.{number}"

    def _write(self, side: GenerationSide, number: int) -> None:
        buffer = self._buffers[side][number]
        with self._file(side, number).open("ab") as file:
            file.write(buffer)
        buffer.clear()

    def pairs(self) -> Iterator[tuple[LatestValue | None, LatestValue | None]]:
        """Yield, for every name, its last value in the old and in the new generation; None where a generation has none."""
        for number in range(_FILES):
            old, new = (self._read(side, number) for side in GenerationSide)
            for key, value in old.items():
                yield value, new.pop(key, None)
            for value in new.values():
                yield None, value

    def _read(self, side: GenerationSide, number: int) -> dict[bytes, LatestValue]:
        self._write(side, number)
        content = self._file(side, number).read_bytes()
        return {
            key: LatestValue(None if digest == _TOMBSTONE else digest, partition, offset)
            for key, digest, partition, offset in _RECORD.iter_unpack(content)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()
