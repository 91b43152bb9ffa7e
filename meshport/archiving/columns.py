"""Messages of a port as rows of its table: what makes each message of the log again, and the contract's columns beside it.

| Column | |
|---|---|
| `_kafka_partition`, `_kafka_offset` | of the message |
| `_kafka_timestamp`, `_kafka_timestamp_type` | Kafka's, in ms; 1 is the time of creation, 2 that of the append |
| `_key`, `_value`, `_headers` | as bytes; a null value is a retraction |
| `_schema_id`, `_fingerprint` | of the schema that the value names: the registry's number, and the identity |
| `_source`, `_id`, `_time`, `_recorded` | of the CloudEvent; where it has no times, they are Kafka's timestamp |
| `_retracted` | whether it is a retraction: it has no value |
| `_problem` | why the contract's columns are null although there is a value |

Then come the fields of the contract. Iceberg has no decimals of more than 38 digits (they are text) and no milliseconds (they are
microseconds). A contract without columns (`meshport.columnar.supports`) has none here either: the bytes are kept all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import accumulate, chain
from typing import Any, Final

import pyarrow as pa

from meshport.archive.log_columns import HEADERS, INSTANT, LOG
from meshport.binding import Binding
from meshport.codec import unframe
from meshport.columnar import arrow_schema, supports
from meshport.errors import ArchiveError, MeshError, RegistryUnavailable
from meshport.event import SchemaSource
from meshport.kafka.received import Headers, ReceivedMessage, UnreadableMessage, headers_of
from meshport.ports.batches import BatchReader
from meshport.schema import Schema

__all__ = ["ArchiveColumns", "iceberg_type"]

_log: Final = logging.getLogger(__name__)

_LARGEST_DECIMAL: Final = 38
_SOURCE: Final = "ce_source"
# Iceberg's own columns (specification, "Reserved Field IDs"): an engine refuses a table that has another of such a name.
_OF_ICEBERG: Final = frozenset(
    {"_file", "_pos", "_deleted", "_spec_id", "_partition", "_row_id", "_last_updated_sequence_number"}
)


class ArchiveColumns:
    """Makes rows of messages. Not thread-safe.

    Args:
        binding: of the port.
        schemas: a registry.

    Attributes:
        schema: of the rows, a `pyarrow.Schema`.

    Raises:
        ArchiveError: a field of the contract has the name of a column of the log, or of one of Iceberg's own.
    """

    def __init__(self, binding: Binding, schemas: SchemaSource, contract: Schema) -> None:
        self._topic = binding.topic
        self._schemas = schemas
        self._fingerprints: dict[int, str] = {}
        self._reader: BatchReader | None = None
        fields: list[Any] = []
        if (why := supports(contract)) is None:
            self._reader = BatchReader(binding, schemas, contract)
            fields = [pa.field(each.name, iceberg_type(each.type)) for each in arrow_schema(contract)]
        else:
            _log.warning("%s: the archive has no columns of the contract: %s", binding.address, why)
        if twice := sorted({each.name for each in fields} & {*LOG.names, *_OF_ICEBERG}):
            raise ArchiveError(
                f"the contract of {binding.address} has a field {twice[0]!r}, which is a column of the log or of Iceberg itself",
                hint="an archive needs another name for the field",
                address=str(binding.address),
            )
        self._why = why
        self._fields: list[Any] = fields
        self.schema = pa.schema([*LOG, *fields])

    def rows(self, messages: Sequence[ReceivedMessage]) -> Any:
        """Return a `pyarrow.Table` of `schema`, a row for each message, in order.

        Raises:
            RegistryUnavailable: the registry did not return the schema of a value.
        """
        events = _Events(messages, self._reader, self._topic)
        numbers, fingerprints = self._named_schemas(messages)
        stamps = [each.timestamp() for each in messages]
        instants = [1000 * ms if kind and ms >= 0 else None for kind, ms in stamps]
        happened = [events.times.get(at, instants[at]) for at in range(len(messages))]
        recorded = [events.recorded.get(at, instants[at]) for at in range(len(messages))]
        headers = [headers_of(each) for each in messages]
        problems = [
            events.problems.get(at, self._why if each.value() is not None else None) for at, each in enumerate(messages)
        ]
        log = [
            pa.array([each.partition() for each in messages], pa.int32()),
            pa.array([each.offset() for each in messages], pa.int64()),
            pa.array(instants, pa.int64()).cast(INSTANT),
            pa.array([kind for kind, _ in stamps], pa.int32()),
            pa.array([each.key() for each in messages], pa.binary()),
            pa.array([each.value() for each in messages], pa.binary()),
            _headers_column(headers),
            pa.array(numbers, pa.int32()),
            pa.array(fingerprints, pa.string()),
            pa.array(_sources(headers), pa.string()),
            pa.array([events.ids.get(at) for at in range(len(messages))], pa.string()),
            pa.array(happened, pa.int64()).cast(INSTANT),
            pa.array(recorded, pa.int64()).cast(INSTANT),
            pa.array(
                [each.value() is None and not isinstance(each, UnreadableMessage) for each in messages], pa.bool_()
            ),
        ]
        columns, misfits = _contract_columns(self._fields, events, len(messages))
        for at, why in misfits.items():
            problems[at] = why
        return pa.Table.from_arrays([*log, pa.array(problems, pa.string()), *columns], schema=self.schema)

    def _named_schemas(self, messages: Sequence[ReceivedMessage]) -> tuple[list[int | None], list[str | None]]:
        numbers: list[int | None] = []
        for each in messages:
            value = each.value()
            try:
                numbers.append(None if value is None else unframe(value)[0])
            except MeshError:
                numbers.append(None)
        for number in {each for each in numbers if each is not None} - {*self._fingerprints}:
            try:
                self._fingerprints[number] = self._schemas.by_id(number).fingerprint
            except RegistryUnavailable:
                raise
            except MeshError:  # five bytes of a value that is no Avro of the registry
                continue
        known = self._fingerprints
        return (
            [each if each in known else None for each in numbers],
            [None if each is None else known.get(each) for each in numbers],
        )


class _Events:
    """What messages are as events.

    Attributes:
        data: the contract's columns of the events that have data, or None without a reader.
        rows: by index of a message, the row of its data.
        ids: by index, the event's id.
        times: by index, the event's time in microseconds since 1970.
        recorded: by index, when it was recorded, where the event says it; as `times`.
        problems: by index, why a message cannot be read.
    """

    def __init__(self, messages: Sequence[ReceivedMessage], reader: BatchReader | None, topic: str) -> None:
        self.data: Any = None
        self.rows: dict[int, int] = {}
        self.ids: dict[int, str] = {}
        self.times: dict[int, int] = {}
        self.recorded: dict[int, int] = {}
        self.problems: dict[int, str] = {
            at: each.reason for at, each in enumerate(messages) if isinstance(each, UnreadableMessage)
        }
        if reader is not None:
            self._read(messages, reader, topic)

    def _read(self, messages: Sequence[ReceivedMessage], reader: BatchReader, topic: str) -> None:
        at_of = {(each.partition(), each.offset()): at for at, each in enumerate(messages)}

        def note(message: ReceivedMessage, error: MeshError) -> None:
            at = at_of[message.partition(), message.offset()]
            self.problems.setdefault(at, error.message)

        batches: list[Any] = []
        done = row = 0
        while done < len(messages):
            batch, count = reader.read(topic, messages[done:], on_bad=note, first=None)
            done += count
            metadata = batch.metadata
            partitions, offsets = (metadata.column(each).to_pylist() for each in ("kafka_partition", "kafka_offset"))
            ids = metadata.column("ce_id").to_pylist()
            times = metadata.column("ce_time").cast(pa.int64()).to_pylist()
            recorded = metadata.column("ce_recordedtime").cast(pa.int64()).to_pylist()
            for partition, offset, id, happened, known in zip(partitions, offsets, ids, times, recorded, strict=True):
                at = at_of[partition, offset]
                self.rows[at], self.ids[at], self.times[at] = row, id, happened
                if known is not None:
                    self.recorded[at] = known
                row += 1
            for gone in batch.tombstones:
                at = at_of[gone.partition, gone.offset]
                self.ids[at] = gone.id
                self.times[at] = _micros(gone.time)
                if gone.recorded_time is not None:
                    self.recorded[at] = _micros(gone.recorded_time)
            batches.append(batch.data)
        self.data = pa.Table.from_batches(batches) if batches else None


def _micros(moment: datetime) -> int:
    return int(pa.scalar(moment, INSTANT).value)


def _headers_column(headers: Sequence[Headers | None]) -> Any:
    """Return the headers of messages as a column, made of flat ones: a list of dicts for each takes five times as long."""
    ends = accumulate((0 if each is None else len(each) for each in headers), initial=0)
    offsets = [None if each is None else begin for each, begin in zip((*headers, ()), ends, strict=True)]
    pairs = [*chain.from_iterable(each for each in headers if each is not None)]
    within = pa.StructArray.from_arrays(
        [pa.array([name for name, _ in pairs], pa.string()), pa.array([value for _, value in pairs], pa.binary())],
        fields=[*HEADERS.value_type],
    )
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), within, type=HEADERS)


def _sources(headers: Sequence[Headers | None]) -> list[str | None]:
    """Return the CloudEvents source of each message; in most messages it is the header of the same place."""
    at, known, found = 0, dict[bytes, str](), list[str | None]()
    for each in headers:
        value = None
        if each:
            if at >= len(each) or each[at][0] != _SOURCE:
                at = next((place for place, (name, _) in enumerate(each) if name == _SOURCE), 0)
            name, value = each[at]
            value = value if name == _SOURCE else None
        if value is not None and value not in known:
            known[value] = value.decode(errors="replace")
        found.append(None if value is None else known[value])
    return found


def _contract_columns(fields: Sequence[Any], events: _Events, count: int) -> tuple[list[Any], Mapping[int, str]]:
    """Return the columns of the fields for `count` messages, and by index the value that the table cannot hold."""
    if events.data is None:
        return [pa.nulls(count, each.type) for each in fields], {}
    whole = len(events.rows) == count  # each message is an event, in order
    rows = None if whole else pa.array([events.rows.get(at) for at in range(count)], pa.int64())
    columns: list[Any] = []
    misfits: dict[int, str] = {}
    for each in fields:
        column = events.data.column(each.name).combine_chunks()
        column = column if rows is None else column.take(rows)
        try:
            columns.append(column.cast(each.type))
        except pa.ArrowException:  # an instant beyond the years that microseconds reach
            columns.append(pa.concat_arrays([_cast_alone(column, at, each, misfits) for at in range(count)]))
    return columns, misfits


def _cast_alone(column: Any, at: int, field: Any, misfits: dict[int, str]) -> Any:
    try:
        return column.slice(at, 1).cast(field.type)
    except pa.ArrowException as error:
        misfits[at] = f"{field.name}: {error}"
        return pa.nulls(1, field.type)


def iceberg_type(arrow: Any) -> Any:
    """Return the Arrow type of an Iceberg column for one of `meshport.columnar`, nullable at every level.

    Source: the Iceberg specification, "Schemas and Data Types", format version 2.
    """
    if pa.types.is_struct(arrow):
        return pa.struct([pa.field(each.name, iceberg_type(each.type)) for each in arrow])
    if pa.types.is_list(arrow):
        return pa.list_(iceberg_type(arrow.value_type))
    if pa.types.is_map(arrow):
        return pa.map_(arrow.key_type, iceberg_type(arrow.item_type))
    if pa.types.is_decimal(arrow):
        return pa.string() if arrow.precision > _LARGEST_DECIMAL else arrow
    if pa.types.is_timestamp(arrow):
        return pa.timestamp("us", arrow.tz)
    if pa.types.is_time(arrow):
        return pa.time64("us")
    return arrow
