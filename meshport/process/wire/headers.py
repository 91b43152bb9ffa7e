"""The headers that a processor adds to the messages of its own topics: their names, writing and reading.

A re-keyed record has `mesh_key` and `mesh_value`, the original's key and value, as its last headers. A tombstone of a changelog
has `stamp`, that of the state without the row. Those of quarantined, late and redriven messages are in `ports.failed.headers`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshport.kafka.producer import Message
from meshport.kafka.received import Headers
from meshport.process.state.changelog import ChangelogRecord

__all__ = ["Headers", "changelog_message", "changelog_record", "split_original", "with_original"]

_KEY: Final = "mesh_key"
_VALUE: Final = "mesh_value"
_STAMP: Final = "stamp"


def with_original(headers: Headers, key: bytes | None, value: bytes | None) -> list[tuple[str, bytes | None]]:
    """Return the headers of a re-keyed record: the original's, then its key and its value, where they are not null."""
    added = list(headers)
    if key is not None:
        added.append((_KEY, key))
    if value is not None:
        added.append((_VALUE, value))
    return added


def split_original(
    headers: Headers, *, has_key: bool, has_value: bool
) -> tuple[list[tuple[str, bytes | None]], bytes | None, bytes | None]:
    """Return the headers, the key and the value of the original of a re-keyed record."""
    own = list(headers)
    value = own.pop()[1] if has_value else None
    key = own.pop()[1] if has_key else None
    return own, key, value


def changelog_message(topic: str, partition: int, record: ChangelogRecord) -> Message:
    """Return the message of a changelog record."""
    headers = [(_STAMP, str(record.stamp).encode())] if record.value is None else []
    return Message(topic, record.key, record.value, headers, None, partition)


def changelog_record(
    key: bytes | None, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] | None
) -> ChangelogRecord:
    """Return the changelog record of a message; the headers are those of the Kafka client."""
    if value is not None:
        return ChangelogRecord(key or b"", value)
    stamp = next((text for name, text in headers or () if name == _STAMP), None)
    return ChangelogRecord(key or b"", None, int(stamp or b"-1"))
