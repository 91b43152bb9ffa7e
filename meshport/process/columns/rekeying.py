"""Messages of the repartition topic that hold many records each, as an IPC stream of Arrow.

A message for each record costs as much as all other work. Every record is accompanied by the message that its event was read
from, so that the event can be quarantined and redriven as it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from meshport.event.attributes import OWN_HEADERS
from meshport.event.columns import EventColumns
from meshport.kafka.producer import Message
from meshport.ports.failed.packing import LARGEST, message_bytes
from meshport.process.columns.columnar_records import ColumnarRecords, ColumnField, Fields, Integers, to_python
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.columns.outputs import keys_of
from meshport.process.logic.records import EventRecord
from meshport.process.wire.headers import Headers
from meshport.process.wire.input import InputMessage, PartitionMessages
from meshport.process.wire.messages import RekeyedRecord, foreign
from meshport.process.wire.partitioner import partition_of

# Columns before those of the records: of each record, what `wire.messages.rekeyed` writes beside it.
_METADATA: Final = pa.schema(
    [
        ("offset", pa.int64()),
        ("number", pa.int64()),
        ("time", pa.int64()),
        ("recorded", pa.int64()),
        ("stored_ms", pa.int64()),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("id", pa.binary()),
        ("time_text", pa.binary()),
        ("recorded_text", pa.binary()),
    ]
)
_COMMON: Final = b"meshport"
"""Key of the stream's metadata: what all records have in common, as JSON."""
_RECORDS_PER_MESSAGE: Final = 4096
_BYTES_PER_MESSAGE: Final = 4 * 1024 * 1024
"""Uncompressed; far less than a message may have, so that a batch of large events is not held in memory twice."""
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")
_CACHED_KEYS: Final = 100_000


class RekeyedBatchWriter:
    """Makes the messages of one source partition for the repartition topic.

    Args:
        topic: the repartition topic.
        partitions: of that topic.
        by: the fields of the new key.
        fields: of the records.

    Raises:
        NotColumnar: a field of the key is missing, or a column's values are not those of records.
    """

    def __init__(self, topic: str, partitions: int, by: tuple[str, ...], fields: Fields) -> None:
        for name in by:
            if name not in fields:
                raise NotColumnar(f"there is no field {name!r}")
        for field in fields.values():
            to_python(field)
        self._names = tuple(fields)
        self._topic = topic
        self._partitions = partitions
        self._keys = keys_of(by, fields)
        self._partition_of: dict[bytes | None, int] = {}

    def messages(
        self,
        records: ColumnarRecords,
        numbers: Integers,
        columns: EventColumns,
        originals: PartitionMessages,
        redriven: int,
    ) -> list[Message]:
        """Return the messages of some records, for each partition of the repartition topic.

        Args:
            records: their origin is the index of their event.
            numbers: of each record among those of its event.
            columns: the events.
            originals: the messages that the events were read from.
            redriven: the next offset of the source partition's redrive topic.

        Raises:
            Doubt: a record has no key, or is too large for a message.
        """
        if not len(records):
            return []
        targets = np.array([self._target(key) for key in self._keys(records)])
        events = records.origin.tolist()
        headers = originals.headers[events[0]][: -len(OWN_HEADERS)]
        common = {
            "topic": originals.topic,
            "partition": originals.partition,
            "redriven": redriven,
            "source": columns.envelope.source,
            "headers": [[name, (value or b"").decode("latin-1")] for name, value in headers],
        }
        metadata = [
            pa.array(np.array(originals.offsets, "i8")[records.origin]),
            pa.array(numbers),
            pa.array(records.time),
            pa.array(columns.recorded[records.origin]),
            *(
                pa.array([part[at] for at in events], kind)
                for part, kind in (
                    (originals.timestamps_ms, pa.int64()),
                    (originals.keys, pa.binary()),
                    (originals.values, pa.binary()),
                    (columns.ids, pa.binary()),
                    (columns.time_text, pa.binary()),
                    (columns.recorded_text, pa.binary()),
                )
            ),
        ]
        columns_ = [records.columns[name] for name in self._names]
        fields = [pa.field(f"f:{name}", each.type) for name, each in zip(self._names, columns_, strict=True)]
        schema = pa.schema([*_METADATA, *fields], {_COMMON: json.dumps(common).encode()})
        whole = pa.RecordBatch.from_arrays([*metadata, *columns_], schema=schema)
        made = []
        for target in np.unique(targets).tolist():
            there = whole.take(pa.array(np.flatnonzero(targets == target)))
            for part in _parts(there):
                value = _written(part)
                if message_bytes(None, value, ()) > LARGEST:
                    offsets = part.column(0)
                    raise Doubt(
                        "a record that is too large", pc.is_in(whole.column(0), offsets).to_numpy(zero_copy_only=False)
                    )
                made.append(Message(self._topic, None, value, (), None, target))
        return made

    def _target(self, key: bytes | None) -> int:
        found = self._partition_of.get(key)
        if found is None:
            if len(self._partition_of) >= _CACHED_KEYS:
                self._partition_of.clear()
            found = self._partition_of[key] = partition_of(key or b"", self._partitions)
        return found


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Yield a batch in parts of a bounded number of records and of bytes; a single record may have more bytes."""
    if len(batch) <= _RECORDS_PER_MESSAGE and (batch.nbytes <= _BYTES_PER_MESSAGE or len(batch) == 1):
        yield batch
        return
    middle = min(_RECORDS_PER_MESSAGE, (len(batch) + 1) // 2) if batch.nbytes <= _BYTES_PER_MESSAGE else len(batch) // 2
    yield from _parts(batch.slice(0, middle))
    yield from _parts(batch.slice(middle))


def _written(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


class RekeyedBatch(NamedTuple):
    """The records of one message of the repartition topic, all of one source partition.

    Attributes:
        source_topic: the input topic.
        partition: of the input topic.
        redriven: the next offset of its redrive topic.
        source: CloudEvents source of the events.
        fields: of the records.
        records: by columns; their origin is the index of the record.
        metadata: the columns of `_METADATA`, by name.
        headers: the first headers of all events.
    """

    source_topic: str
    partition: int
    redriven: int
    source: str
    fields: Fields
    records: ColumnarRecords
    metadata: dict[str, pa.Array]
    headers: Headers

    @classmethod
    def of(cls, message: InputMessage) -> RekeyedBatch:
        """Return the records of a message of the repartition topic.

        Raises:
            ProcessError: no `RekeyedBatchWriter` wrote it.
        """
        try:
            return cls._read(message.value or b"")
        except (pa.ArrowException, ValueError, LookupError, TypeError, AttributeError) as error:
            raise foreign(message, f"holds no re-keyed records: {error}") from error

    @classmethod
    def _read(cls, value: bytes) -> RekeyedBatch:
        with pa.ipc.open_stream(value) as stream:
            batch = stream.read_next_batch()
        common = json.loads(batch.schema.metadata[_COMMON])
        metadata = {name: batch.column(at) for at, name in enumerate(_METADATA.names)}
        columns = {
            name.removeprefix("f:"): batch.column(at)
            for at, name in enumerate(batch.schema.names)
            if at >= len(_METADATA)
        }
        records = ColumnarRecords(columns, np.arange(batch.num_rows), _integers(metadata["time"]))
        headers = [(name, text.encode("latin-1")) for name, text in common["headers"]]
        return cls(
            common["topic"],
            common["partition"],
            common["redriven"],
            common["source"],
            {name: ColumnField(column.type) for name, column in columns.items()},
            records,
            metadata,
            headers,
        )

    @property
    def offsets(self) -> Integers:
        """The offset of each record's event in the input."""
        return _integers(self.metadata["offset"])

    @property
    def numbers(self) -> Integers:
        """The number of each record among those of its event."""
        return _integers(self.metadata["number"])

    def after(self, offset: int, number: int) -> RekeyedBatch:
        """Return the records after a position of the input, whose order they have."""
        offsets, numbers = self.offsets, self.numbers
        new = (offsets > offset) | ((offsets == offset) & (numbers > number))
        if new.all():
            return self
        index = np.flatnonzero(new)
        records = self.records.take(index)
        return self._replace(
            records=ColumnarRecords(records.columns, np.arange(len(index)), records.time),
            metadata={name: column.take(pa.array(index)) for name, column in self.metadata.items()},
        )

    def one_by_one(self) -> list[RekeyedRecord]:
        """Return the records as `wire.messages.read_rekeyed` would, had each been a message of its own."""
        values = {name: to_python(field)(self.records.columns[name]) for name, field in self.fields.items()}
        metadata = {name: column.to_pylist() for name, column in self.metadata.items()}
        made = []
        for at in range(len(self.records)):
            its: dict[str, Any] = {name: column[at] for name, column in metadata.items()}
            own = zip(OWN_HEADERS, (its["id"], its["time_text"], its["recorded_text"]), strict=True)
            position = (self.source_topic, self.partition, its["offset"])
            original = InputMessage(*position, its["key"], its["value"], [*self.headers, *own], its["stored_ms"])
            record = {name: column[at] for name, column in values.items()}
            event_record = EventRecord(
                record,
                its["time"],
                self.partition,
                its["offset"],
                its["number"],
                its["id"].decode(),
                self.source,
                its["recorded"],
            )
            made.append(RekeyedRecord(event_record, self.partition, None, original, self.redriven))
        return made


def _integers(column: pa.Array) -> Integers:
    found: Integers = column.to_numpy(zero_copy_only=False)
    return found
