"""Records to Kafka messages: CloudEvents in binary mode, with values in Confluent's wire format."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import time_ns
from typing import Any, Final

from meshport.codec import Codec, prefix
from meshport.event.attributes import (
    AVRO,
    COMMON_HEADERS,
    DATA_HEADERS,
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
from meshport.event.trace import API, TRACE_PARENT, trace_headers


def new_id() -> str:
    """Return a unique event id of 128 random bits; it takes a fifth of the time of a UUID."""
    return os.urandom(16).hex()


class EventWriter:
    """Makes the Kafka messages of one port; constant headers are made once.

    Args:
        source: the port's full address.
        type: the CloudEvents type.
        codec: of the port's schema.
        schema_id: the schema's numeric id under the port's registry.

    Raises:
        EventError: CloudEvents does not allow the source or the type.
        SchemaError: a default in the schema is not a value of its field.
    """

    def __init__(self, *, source: str, type: str, codec: Codec, schema_id: int) -> None:
        self.codec = codec
        self._encode: Final = codec.encoder()
        self.prefix: Final = prefix(schema_id)
        """The first bytes of each value of the port."""
        values = (
            SPEC_VERSION.encode(),
            text_bytes("source", str(source)),
            text_bytes("type", type),
            f"{DATA_SCHEMA}{codec.schema.fingerprint}".encode(),
            AVRO.encode(),
        )
        self._source = str(source)
        self.constant: Final[Headers] = list(zip(COMMON_HEADERS, values, strict=True))
        """The first headers of each event of the port; `ce_id`, `ce_time` and `ce_recordedtime` follow, then those of a trace."""
        self.plain: Final = self._make_plain(sys.modules)
        """The hot path of a port: `message` for an event without optional attributes, recorded now. Takes the record, the id in
        UTF-8, which is not validated, and the time; raises as `message`.
        """

        self._untraced: Final = self._make_plain({})

        self.headers: Final = self._make_headers()
        """Returns the headers of an event that is recorded now, from its id and time in wire form."""

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
        """Return the value and headers of an event.

        Args:
            record: the data.
            id: unique within the port, and equal if the same fact is published again; see `new_id`.
            time: event time, with a time zone.
            recorded_time: by default now, in milliseconds.
            subject: CloudEvents subject.
            extensions: further attributes, such as `traceparent`.

        Raises:
            EncodeError: the record does not fit the schema.
            EventError: an attribute is none that CloudEvents allows.
        """
        checked = id.encode() if type(id) is str and id and id.isprintable() else text_bytes("id", id)
        value, headers = self._untraced(record, checked, time)
        if recorded_time is not None:
            headers[-1] = (RECORDED_TIME, rfc3339(recorded_time))
        if not (extensions and TRACE_PARENT in extensions):  # else the caller names the trace
            headers += trace_headers(self._source, checked)
        if subject is not None:
            headers.append(("ce_subject", text_bytes("subject", subject)))
        if extensions:
            headers += extension_headers(extensions)
        return value, headers

    def check(
        self,
        *,
        id: str | None,
        time: datetime | None,
        subject: str | None,
        extensions: Mapping[str, Extension] | None,
    ) -> None:
        """Refuse attributes that the events of the port cannot have; a CloudEvent may have each of them."""

    def _make_plain(
        self, modules: Mapping[str, object]
    ) -> Callable[[Mapping[str, Any], bytes, datetime], tuple[bytes, Headers]]:
        encode, framed, constant, recorded = self._encode, self.prefix, self.constant, self._recorded
        source = self._source
        # Events of one millisecond share the header of their recorded time.
        last_tick, now = -1, (RECORDED_TIME, b"")

        def plain(record: Mapping[str, Any], id: bytes, time: datetime) -> tuple[bytes, Headers]:
            nonlocal last_tick, now
            tick = time_ns() // 1_000_000
            if tick != last_tick:
                # In this order, so that another thread that sees the tick also sees its header, or a later one.
                now = recorded(tick)
                last_tick = tick
            value, headers = encode(record, framed), [*constant, (ID, id), (TIME, rfc3339(time)), now]
            if API in modules:
                headers += trace_headers(source, id)
            return value, headers

        return plain

    def _make_headers(self) -> Callable[[bytes, bytes], Headers]:
        constant, recorded = self.constant, self._recorded
        modules, source = sys.modules, self._source
        last_tick, now = -1, (RECORDED_TIME, b"")

        def headers(id: bytes, time: bytes) -> Headers:
            nonlocal last_tick, now
            tick = time_ns() // 1_000_000
            if tick != last_tick:
                # In this order, as in `plain`.
                now = recorded(tick)
                last_tick = tick
            made = [*constant, (ID, id), (TIME, time), now]
            return made + trace_headers(source, id) if API in modules else made

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
        """Return the value (None) and the headers of a tombstone event, which deletes its key.

        Raises:
            EventError: an attribute is none that CloudEvents allows.
        """
        now = self._recorded(time_ns() // 1_000_000)
        headers = [
            *(header for header in self.constant if header[0] not in DATA_HEADERS),
            (ID, text_bytes("id", id)),
            (TIME, rfc3339(time)),
            now if recorded_time is None else (RECORDED_TIME, rfc3339(recorded_time)),
        ]
        if not (extensions and TRACE_PARENT in extensions):
            headers += trace_headers(self._source, headers[-3][1])
        if subject is not None:
            headers.append(("ce_subject", text_bytes("subject", subject)))
        return None, headers + extension_headers(extensions or {})

    @staticmethod
    def _recorded(tick: int) -> tuple[str, bytes]:
        now = datetime.fromtimestamp(tick // 1000, UTC).replace(microsecond=tick % 1000 * 1000)
        return RECORDED_TIME, rfc3339(now)
