"""Records to Kafka messages: CloudEvents in binary mode around Confluent's wire format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time_ns
from typing import Any, Final

from meshport.codec import Codec, prefix
from meshport.event.attributes import (
    AVRO,
    COMMON_HEADERS,
    DATA_SCHEMA,
    ID,
    RECORDED_TIME,
    SPEC_VERSION,
    TIME,
    Extension,
    Headers,
    extension_headers,
    rfc3339,
    text_bytes,
)


def new_id() -> str:
    """An id that no other event has: 128 random bits, as a UUID has but for a fifth of its cost."""
    return os.urandom(16).hex()


class EventWriter:
    """Makes the Kafka messages of one port; what they have in common is made once.

    Args:
        source: the port's full address.
        type: the CloudEvents type.
        codec: of the port's schema.
        schema_id: the schema's numeric id under the port's registry.

    Raises:
        EventError: source or type are no CloudEvents text.
        SchemaError: a default in the schema is no value of its field.
    """

    def __init__(self, *, source: str, type: str, codec: Codec, schema_id: int) -> None:
        self.codec = codec
        self._encode: Final = codec.encoder()
        self.prefix: Final = prefix(schema_id)
        """The bytes that every value of the port begins with."""
        self._bare: Final[Headers] = [
            (COMMON_HEADERS[0], SPEC_VERSION.encode()),
            (COMMON_HEADERS[1], text_bytes("source", str(source))),
            (COMMON_HEADERS[2], text_bytes("type", type)),
        ]
        self.constant: Final[Headers] = [
            *self._bare,
            (COMMON_HEADERS[3], f"{DATA_SCHEMA}{codec.schema.fingerprint}".encode()),
            (COMMON_HEADERS[4], AVRO.encode()),
        ]
        """The headers that every event of the port begins with; `ce_id`, `ce_time` and `ce_recordedtime` follow."""
        self.plain: Final = self._plain_way()
        """`message` for an event with nothing optional, recorded now: a port's hot path. Takes the record, the id in UTF-8 as it
        is written (whoever made it knows it for one), and the time; raises as `message` does.
        """

        self.headers: Final = self._headers_way()
        """The headers of an event that is recorded now, of its id and its time as they are written."""

    def message(
        self,
        record: Mapping[str, Any],
        *,
        id: str,
        time: datetime,
        recorded_time: datetime | None = None,
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> tuple[bytes, Headers]:
        """The value and headers of one event.

        Args:
            record: the data.
            id: unique within the port, the same one whenever the same fact is published again; see `new_id`.
            time: when the fact happened, with a time zone.
            recorded_time: when it was recorded; now, to the millisecond, by default.
            subject: what in the source it is about.
            extensions: further attributes, such as `traceparent`.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: an attribute is none that CloudEvents allows.
        """
        checked = id.encode() if type(id) is str and id and id.isprintable() else text_bytes("id", id)
        value, headers = self.plain(record, checked, time)
        if recorded_time is not None:
            headers[-1] = (RECORDED_TIME, rfc3339(recorded_time))
        if subject is not None:
            headers.append(("ce_subject", text_bytes("subject", subject)))
        if extensions:
            headers += extension_headers(extensions)
        return value, headers

    def _plain_way(self) -> Callable[[Mapping[str, Any], bytes, datetime], tuple[bytes, Headers]]:
        encode, framed, constant, recorded = self._encode, self.prefix, self.constant, self._recorded
        # Events of one millisecond share the header of the time they were recorded.
        told, now = -1, (RECORDED_TIME, b"")

        def plain(record: Mapping[str, Any], id: bytes, time: datetime) -> tuple[bytes, Headers]:
            nonlocal told, now
            tick = time_ns() // 1_000_000
            if tick != told:
                # In this order, so that another thread which sees the tick sees its header too, or a later one.
                now = recorded(tick)
                told = tick
            return encode(record, framed), [*constant, (ID, id), (TIME, rfc3339(time)), now]

        return plain

    def _headers_way(self) -> Callable[[bytes, bytes], Headers]:
        constant, recorded = self.constant, self._recorded
        told, now = -1, (RECORDED_TIME, b"")

        def headers(id: bytes, time: bytes) -> Headers:
            nonlocal told, now
            tick = time_ns() // 1_000_000
            if tick != told:
                # In this order, as in `plain`.
                now = recorded(tick)
                told = tick
            return [*constant, (ID, id), (TIME, time), now]

        return headers

    def tombstone(
        self,
        *,
        id: str,
        time: datetime,
        recorded_time: datetime | None = None,
        subject: str | None = None,
        extensions: Mapping[str, Extension] | None = None,
    ) -> tuple[None, Headers]:
        """The value (None) and headers of the event that nothing holds for its key any more.

        Raises:
            EventError: an attribute is none that CloudEvents allows.
        """
        now = self._recorded(time_ns() // 1_000_000)
        headers = [
            *self._bare,
            (ID, text_bytes("id", id)),
            (TIME, rfc3339(time)),
            now if recorded_time is None else (RECORDED_TIME, rfc3339(recorded_time)),
        ]
        if subject is not None:
            headers.append(("ce_subject", text_bytes("subject", subject)))
        return None, headers + extension_headers(extensions or {})

    @staticmethod
    def _recorded(tick: int) -> tuple[str, bytes]:
        now = datetime.fromtimestamp(tick // 1000, UTC).replace(microsecond=tick % 1000 * 1000)
        return RECORDED_TIME, rfc3339(now)
