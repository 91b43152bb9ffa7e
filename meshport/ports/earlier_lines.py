"""The earlier major lines of a port, whose events are read as events of the present one (`migration` of an output port).

A message of an earlier line keeps its topic, partition, offset, key, timestamp, id, source and times. Its value is written anew
with the contract of the later line, and its type and schema are those of that line, so that a reader needs to know nothing of
the migration. One that cannot be migrated is a message that cannot be read, with its own value and headers.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from meshport.binding import Binding
from meshport.codec import SCHEMA_HEADER, codec_for, prefix
from meshport.errors import MeshError, NotRegistered, ProcessError
from meshport.event import UNREADABLE, Event, SchemaSource, reader_for
from meshport.event.attributes import (
    AVRO,
    COMMON_HEADERS,
    CONTENT_TYPE,
    DATA_SCHEMA,
    ID,
    RECORDED_TIME,
    SPEC_VERSION,
    TIME,
    extension_headers,
    rfc3339,
)
from meshport.event.reader import UnreadableHeaders
from meshport.event.reading import ContractReader
from meshport.expression.migrated import RecordMigration
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import Headers, ReceivedMessage, event_parts
from meshport.ports.resolver import Resolver
from meshport.schema import parse_schema

__all__ = ["EarlierLine", "MigratedMessage", "earlier_lines"]

_log: Final = logging.getLogger(__name__)

# The clocks of two publishers differ by less than this: in a log, nothing that was recorded before a time is after the first
# event that was recorded so much later.
_SKEW: Final = timedelta(minutes=5)

_Content = tuple[bytes | None, Headers | None]


class _Step:
    """Makes the value and headers of a line's message of those of the line before it."""

    def __init__(self, before: Binding, after: Binding, schemas: SchemaSource) -> None:
        earlier, contract = parse_schema(before.schema_text), parse_schema(after.schema_text)
        self._read = reader_for(before, schemas, ContractReader(earlier, always=True)).read
        declared = {} if after.migration is None else after.migration.fields
        self._migrate = RecordMigration(declared, earlier, contract)
        self._encode = codec_for(contract).encode
        self._prefix = prefix(after.schema_id)
        self._described = {
            "ce_type": after.type.encode(),
            "ce_dataschema": f"{DATA_SCHEMA}{contract.fingerprint}".encode(),
            CONTENT_TYPE: AVRO.encode(),
        }

    def __call__(self, message: ReceivedMessage) -> _Content:
        """Return the value and headers in the later line.

        Raises:
            CodecError, EventError, NotRegistered, SchemaError: the message cannot be read, or its record does not fit.
            ProcessError: an expression cannot be computed.
            RegistryUnavailable: the registry did not answer a look-up of a schema; the message may be valid.
        """
        parts = event_parts(message.topic(), message)
        event: Event = self._read(*parts)
        headers = parts[2] or ()
        if event.data is None:
            return None, [(name, self._described["ce_type"] if name == "ce_type" else each) for name, each in headers]
        value = self._encode(self._migrate(event.data), self._prefix)
        # The order of our own writer, which readers are fastest with.
        if tuple(name for name, _ in headers[: len(COMMON_HEADERS)]) == COMMON_HEADERS:
            return value, [(name, self._described.get(name, each)) for name, each in headers if name != SCHEMA_HEADER]
        return value, [*self._headers(event)]

    def _headers(self, event: Event) -> Iterator[tuple[str, bytes]]:
        """Yield the headers of an event that another writer has described in other words, such as in structured mode."""
        given = {"ce_specversion": SPEC_VERSION.encode(), "ce_source": event.source.encode(), **self._described}
        yield from ((name, given[name]) for name in COMMON_HEADERS)
        yield ID, event.id.encode()
        if event.has_time:
            yield TIME, rfc3339(event.time)
        if event.recorded_time is not None:
            yield RECORDED_TIME, rfc3339(event.recorded_time)
        if event.subject is not None:
            yield "ce_subject", event.subject.encode()
        yield from extension_headers(event.extensions)


class MigratedMessage:
    """A message of an earlier line, as one of the later line; it is migrated when its value or its headers are asked for.

    Args:
        message: of the earlier line.
        step: makes its value and headers.
    """

    __slots__ = ("_content", "_message", "_step")

    def __init__(self, message: ReceivedMessage, step: _Step) -> None:
        self._message = message
        self._step = step
        self._content: _Content | None = None

    def _migrated(self) -> _Content:
        if self._content is None:
            message = self._message
            try:
                self._content = self._step(message)
            except (*UNREADABLE, ProcessError) as error:
                _, value, headers, *_ = event_parts(message.topic(), message)
                self._content = value, UnreadableHeaders(f"it cannot be migrated: {error.message}", headers or ())
        return self._content

    def value(self) -> bytes | None:  # noqa: D102 - as of the client's message
        return self._migrated()[0]

    def headers(self) -> Headers | None:  # noqa: D102 - as above
        return self._migrated()[1]

    def topic(self) -> str:  # noqa: D102 - as above
        return self._message.topic()

    def partition(self) -> int:  # noqa: D102 - as above
        return self._message.partition()

    def offset(self) -> int:  # noqa: D102 - as above
        return self._message.offset()

    def key(self) -> bytes | None:  # noqa: D102 - as above
        return self._message.key()

    def timestamp(self) -> tuple[int, int]:  # noqa: D102 - as above
        return self._message.timestamp()

    def error(self) -> None:  # noqa: D102 - as above
        return None


class EarlierLine:
    """An earlier line of a port.

    Args:
        binding: of the line.
        steps: of each line on the way to the present one.
        until: the time from which the next line has every event.

    Attributes:
        binding: of the line.
        until: that time (UTC).
    """

    def __init__(self, binding: Binding, steps: tuple[_Step, ...], until: datetime) -> None:
        self.binding = binding
        self.until = until.astimezone(UTC)
        self._steps = steps
        self._until_ms = int(until.timestamp() * 1000)

    @property
    def is_over(self) -> bool:
        """Whether the line has every event by now that counts."""
        return datetime.now(UTC) >= self.until + _SKEW

    def ends(self, consumer: Consumer, bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
        """Return by partition the offset after the last event that counts, as far as events are there by now.

        Args:
            consumer: of the line's cluster, which reads nothing else.
            bounds: (first offset, end offset) of each partition of the line's topic.

        Raises:
            KafkaError: the cluster did not answer.
        """
        ends = {partition: end for partition, (_, end) in bounds.items()}
        if not self.is_over:
            return ends
        after = consumer.offsets_at(self.binding.topic, self._until_ms + int(_SKEW.total_seconds() * 1000))
        return {partition: min(end, after.get(partition, end)) for partition, end in ends.items()}

    def read(self, messages: Iterable[ReceivedMessage]) -> list[ReceivedMessage]:
        """Return those messages of the line's topic that count, as messages of the present line."""
        read: list[ReceivedMessage] = []
        for each in messages:
            if each.timestamp()[1] >= self._until_ms:
                continue
            migrated: ReceivedMessage = each
            for step in self._steps:
                migrated = MigratedMessage(migrated, step)
            read.append(migrated)
        return read


def earlier_lines(binding: Binding, mesh: Resolver, schemas: SchemaSource) -> tuple[EarlierLine, ...]:
    """Return the earlier lines whose events are read as events of a port, oldest first.

    A line that was retired, or that this login may not see, is left out with those before it, which is logged.

    Args:
        binding: of the port.
        mesh: a registry.
        schemas: looks schemas up, usually in the registry.

    Raises:
        ProcessError: a migration does not fit the contracts.
        RegistryUnavailable: the registry did not answer.
    """
    found: list[EarlierLine] = []
    steps: tuple[_Step, ...] = ()
    after = binding
    while (migration := after.migration) is not None:
        address = replace(after.address, major=migration.earlier(after.address.major or 1))
        try:
            before = mesh.resolve(address)
        except NotRegistered as error:
            _log.warning("%s: events of %s are not read: %s", binding.address, address, error.message)
            break
        try:
            steps = (_Step(before, after, schemas), *steps)
        except MeshError as error:
            raise ProcessError(
                f"events of {address} cannot be read as events of {after.address}: {error.message}"
            ) from error
        found.insert(0, EarlierLine(before, steps, migration.until))
        after = before
    return tuple(found)
