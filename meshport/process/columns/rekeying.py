"""Records on their way to the partition of their group, a message for many: Arrow's IPC stream.

One message a record costs as much as all the rest of the work. Each record brings what its event was read from, so that it
can be quarantined, and redriven, as it came.
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from meshport.event.columns import EventColumns
from meshport.kafka.producer import Message
from meshport.process.columns.columnar_records import ColumnarRecords, ColumnField, Fields, Integers, to_python
from meshport.process.columns.expressions import NotColumnar
from meshport.process.columns.outputs import keys_of
from meshport.process.logic.records import EventRecord
from meshport.process.wire.input import Headers, InputMessage, PartitionMessages
from meshport.process.wire.messages import RekeyedRecord
from meshport.process.wire.partitioner import partition_of

# What a record brings beside its own columns, in front of them.
_BESIDE: Final = pa.schema(
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
_AT_ONCE: Final = 4096
_OPTIONS: Final = pa.ipc.IpcWriteOptions(compression="lz4")
_REMEMBERED: Final = 100_000


class RekeyedBatchWriter:
    """Writes records for the re-keyed topic.

    Args:
        topic: its name.
        partitions: of it.
        by: the fields of the new key.
        fields: of the records.

    Raises:
        NotColumnar: the records are none of plain values.
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
        arrivals: PartitionMessages,
        redriven: int,
    ) -> list[Message]:
        """The messages of some records.

        Args:
            records: their origin is the index of their event.
            numbers: of each record among those of its event.
            columns: the events.
            arrivals: as they came.
            redriven: where the source partition's redrive topic was read to.

        Raises:
            Doubt: one has no key.
        """
        if not len(records):
            return []
        targets = np.array([self._target(key) for key in self._keys(records)])
        of = records.origin.tolist()
        first = [list(each) for each in arrivals.headers[of[0]][:-3]]
        common = {
            "topic": arrivals.topic,
            "partition": arrivals.partition,
            "redriven": redriven,
            "source": columns.envelope.source,
            "headers": [[name, value.decode("latin-1")] for name, value in first],
        }
        beside = [
            pa.array(np.array(arrivals.offsets, "i8")[records.origin]),
            pa.array(numbers),
            pa.array(records.time),
            pa.array(columns.recorded[records.origin]),
            *(
                pa.array([part[at] for at in of], kind)
                for part, kind in (
                    (arrivals.timestamps_ms, pa.int64()),
                    (arrivals.keys, pa.binary()),
                    (arrivals.values, pa.binary()),
                    (columns.ids, pa.binary()),
                    (columns.time_text, pa.binary()),
                    (columns.recorded_text, pa.binary()),
                )
            ),
        ]
        columns_ = [records.columns[name] for name in self._names]
        fields = [pa.field(f"f:{name}", each.type) for name, each in zip(self._names, columns_, strict=True)]
        schema = pa.schema([*_BESIDE, *fields], {_COMMON: json.dumps(common).encode()})
        whole = pa.RecordBatch.from_arrays([*beside, *columns_], schema=schema)
        made = []
        for target in np.unique(targets).tolist():
            there = whole.take(pa.array(np.flatnonzero(targets == target)))
            for begin in range(0, len(there), _AT_ONCE):
                value = _written(there.slice(begin, _AT_ONCE))
                made.append(Message(self._topic, None, value, (), None, target))
        return made

    def _target(self, key: bytes | None) -> int:
        found = self._partition_of.get(key)
        if found is None:
            if len(self._partition_of) >= _REMEMBERED:
                self._partition_of.clear()
            found = self._partition_of[key] = partition_of(key or b"", self._partitions)
        return found


def _written(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=_OPTIONS) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


class RekeyedBatch(NamedTuple):
    """Many records of one source partition, as they were read from the re-keyed topic.

    Attributes:
        source_topic: of the input.
        partition: of the input.
        redriven: where its redrive topic was read to.
        source: CloudEvents source of the events.
        fields: of the records.
        records: by columns, their origin the index of the record.
        beside: what each record brings, by name.
        headers: what the headers of all events begin with.
    """

    source_topic: str
    partition: int
    redriven: int
    source: str
    fields: Fields
    records: ColumnarRecords
    beside: dict[str, pa.Array]
    headers: Headers

    @classmethod
    def read(cls, value: bytes) -> RekeyedBatch:
        """The records of a message's value."""
        with pa.ipc.open_stream(value) as stream:
            batch = stream.read_next_batch()
        common = json.loads(batch.schema.metadata[_COMMON])
        beside = {name: batch.column(at) for at, name in enumerate(_BESIDE.names)}
        columns = {
            name.removeprefix("f:"): batch.column(at)
            for at, name in enumerate(batch.schema.names)
            if at >= len(_BESIDE)
        }
        records = ColumnarRecords(columns, np.arange(batch.num_rows), _integers(beside["time"]))
        headers = [(name, text.encode("latin-1")) for name, text in common["headers"]]
        return cls(
            common["topic"],
            common["partition"],
            common["redriven"],
            common["source"],
            {name: ColumnField(column.type) for name, column in columns.items()},
            records,
            beside,
            headers,
        )

    @property
    def offsets(self) -> Integers:
        """Of the events in the input."""
        return _integers(self.beside["offset"])

    @property
    def numbers(self) -> Integers:
        """Of each record among those of its event."""
        return _integers(self.beside["number"])

    def behind(self, offset: int, number: int) -> RekeyedBatch:
        """The records beyond a place of the input; records come in its order."""
        offsets, numbers = self.offsets, self.numbers
        new = (offsets > offset) | ((offsets == offset) & (numbers > number))
        if new.all():
            return self
        index = np.flatnonzero(new)
        records = self.records.take(index)
        return self._replace(
            records=ColumnarRecords(records.columns, np.arange(len(index)), records.time),
            beside={name: column.take(pa.array(index)) for name, column in self.beside.items()},
        )

    def one_by_one(self) -> list[RekeyedRecord]:
        """The records as they would have come by themselves."""
        values = {name: to_python(field)(self.records.columns[name]) for name, field in self.fields.items()}
        beside = {name: column.to_pylist() for name, column in self.beside.items()}
        made = []
        for at in range(len(self.records)):
            its: dict[str, Any] = {name: column[at] for name, column in beside.items()}
            own = [("ce_id", its["id"]), ("ce_time", its["time_text"]), ("ce_recordedtime", its["recorded_text"])]
            place = (self.source_topic, self.partition, its["offset"])
            original = InputMessage(*place, its["key"], its["value"], [*self.headers, *own], its["stored_ms"])
            record = {name: column[at] for name, column in values.items()}
            item = EventRecord(
                record,
                its["time"],
                self.partition,
                its["offset"],
                its["number"],
                its["id"].decode(),
                self.source,
                its["recorded"],
            )
            made.append(RekeyedRecord(item, self.partition, None, original, self.redriven))
        return made


def _integers(column: pa.Array) -> Integers:
    found: Integers = column.to_numpy(zero_copy_only=False)
    return found
