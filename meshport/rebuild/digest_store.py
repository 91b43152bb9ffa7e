"""Two large sets of named values set against each other in bounded memory.

Names and values are told by 16 bytes of BLAKE2b each. They go to files on disk, to one of 64 by their name; then file by
file, both sides of one are held in memory and compared: of five million names about forty megabytes at a time, and 44
bytes on disk for each value that was taken. That two names or values of a billion have one digest has odds of one to 10^20.
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
_GONE: Final = bytes(16)


class GenerationSide(IntEnum):
    """Of which generation a value is."""

    OLD = 0
    NEW = 1


class LatestValue(NamedTuple):
    """The last value that a name had on one side.

    Attributes:
        digest: of the value; None where the value is a tombstone.
        partition: where it stands.
        offset: as `partition`.
    """

    digest: bytes | None
    partition: int
    offset: int


class DigestStore:
    """Takes named values of two sides; names are compared once all are taken. To be used as a context."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="meshport-compare-")
        self._buffers = [[bytearray() for _ in range(_FILES)] for _ in GenerationSide]

    def take(self, side: GenerationSide, name: bytes, value: bytes | None, partition: int, offset: int) -> None:
        """Take a value; it is the name's value until a later one is taken."""
        told = blake2b(name, digest_size=16).digest()
        digest = _GONE if value is None else blake2b(value, digest_size=16).digest()
        number = told[0] % _FILES
        buffer = self._buffers[side][number]
        buffer += _RECORD.pack(told, digest, partition, offset)
        if len(buffer) >= _BUFFER:
            self._write(side, number)

    def _file(self, side: GenerationSide, number: int) -> Path:
        return Path(self._folder.name) / f"{side}.{number}"

    def _write(self, side: GenerationSide, number: int) -> None:
        buffer = self._buffers[side][number]
        with self._file(side, number).open("ab") as file:
            file.write(buffer)
        buffer.clear()

    def names(self) -> Iterator[tuple[LatestValue | None, LatestValue | None]]:
        """For every name the last value on either side, None where the side has none."""
        for number in range(_FILES):
            old, new = (self._read(side, number) for side in GenerationSide)
            for name, found in old.items():
                yield found, new.pop(name, None)
            for found in new.values():
                yield None, found

    def _read(self, side: GenerationSide, number: int) -> dict[bytes, LatestValue]:
        self._write(side, number)
        content = self._file(side, number).read_bytes()
        return {
            name: LatestValue(None if digest == _GONE else digest, partition, offset)
            for name, digest, partition, offset in _RECORD.iter_unpack(content)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()
