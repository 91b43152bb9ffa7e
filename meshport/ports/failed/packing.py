"""Messages that are larger than the topics of a processor or a group take: compressed, or without the original's bytes.

A broker bounds a batch as it is stored. A compressed batch of some kilobytes may hold a message of 40 MB, whose copy, with a
reason and uncompressed, no topic takes. Such a copy is packed: key, value and headers as one compressed value. What is too
large even so stays in the input: the copy has its position, size and digest.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from struct import Struct
from typing import Final
from zlib import compressobj, decompress, error

from meshport.errors import ProcessError
from meshport.kafka.producer import Message
from meshport.kafka.received import Headers
from meshport.ports.failed.headers import IN_THE_INPUT, is_packed, original_headers, packed_header, short_headers

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a message, at most, with key, headers and framing: `max.message.bytes` of the topics that a processor or a group of
readers owns. A changelog row holds its value twice, a quarantined event its original and more; events of 1 MB must fit."""

# A batch of one record, at most: the header of the batch, then length, attributes, deltas, lengths of key and value, count of
# headers; two lengths for each header (Kafka's record batch v2, KIP-98).
_FRAMING: Final = 61 + 36
_HEADER_FRAMING: Final = 10
_LONGEST_KEY: Final = 64 * 1024
"""Bytes of a key that a message keeps outside of what is packed; a longer one is packed alone."""
_LENGTH: Final = Struct(">Q")
_NULL: Final = (1 << 64) - 1


def message_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return how large the batch of a message is, at most, uncompressed."""
    named = sum(_HEADER_FRAMING + len(name.encode()) + len(text or b"") for name, text in headers)
    return _FRAMING + len(key or b"") + len(value or b"") + named


def fitted(message: Message) -> Message:
    """Return the message; packed, where it is too large; without the original's bytes, where it is too large even so."""
    parts = message.key, message.value, message.headers
    if message_bytes(*parts) <= LARGEST:
        return message
    short = short_headers(message.headers)
    key = message.key if len(message.key or b"") <= _LONGEST_KEY else None
    packed = message._replace(key=key, value=pack(*parts), headers=[*short, packed_header()])
    if message_bytes(key, packed.value, packed.headers) <= LARGEST:
        return packed
    size, digest = len(message.key or b"") + len(message.value or b""), original_digest(message.key, message.value)
    return message._replace(key=key, value=None, headers=[*short, *original_headers(IN_THE_INPUT, size, digest)])


def original_digest(key: bytes | None, value: bytes | None) -> str:
    """Return the SHA-256 of a message's key and value, hexadecimal."""
    found = sha256(_LENGTH.pack(_NULL if key is None else len(key)))
    found.update(key or b"")
    found.update(value or b"")
    return found.hexdigest()


def unpacked(key: bytes | None, value: bytes | None, headers: Headers) -> tuple[bytes | None, bytes | None, Headers]:
    """Return key, value and headers of a message before `fitted`.

    Raises:
        ProcessError: something else wrote the message.
    """
    if not is_packed(headers):
        return key, value, headers
    try:
        first, second, *rest = _pieces(decompress(value or b""))
        names = [(name or b"").decode() for name in rest[::2]]
        return first, second, list(zip(names, rest[1::2], strict=True))
    except (ValueError, error) as why:
        raise ProcessError(f"no packed message: {why}") from why


def pack(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """Return a message's parts, each after its length, compressed. Nothing is copied before that: it may be large."""
    packing = compressobj()
    made = []
    for each in (key, value, *(piece for name, text in headers for piece in (name.encode(), text))):
        made.append(packing.compress(_LENGTH.pack(_NULL if each is None else len(each))))
        if each:
            made.append(packing.compress(each))
    return b"".join([*made, packing.flush()])


def _pieces(body: bytes) -> Iterator[bytes | None]:
    at = 0
    while at < len(body):
        (length,) = _LENGTH.unpack(body[at : at + _LENGTH.size])
        at += _LENGTH.size
        if length == _NULL:
            yield None
            continue
        if at + length > len(body):
            raise ValueError("a part is missing")
        yield body[at : at + length]
        at += length
