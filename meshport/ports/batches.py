"""Events by batches of columns: what data frames and databases take whole.

The events of a batch are in the order in which they came. Most are read by columns (`event.columns`); those that are not
beyond doubt are read one by one, and stand among the others.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import accumulate
from operator import methodcaller
from typing import Any, Final

import pyarrow as pa

from meshport.columnar import arrow_schema
from meshport.columnar.rows import batch_of
from meshport.errors import CodecError, EventError, MeshError, NotRegistered
from meshport.event import Event, EventReader, SchemaSource
from meshport.event.columns import ColumnReader, EventColumns, Run
from meshport.kafka.consumer import ReceivedMessage
from meshport.schema import Schema

MAX_BYTES: Final = 32 * 1024 * 1024
"""Bytes of values that one batch is made of, if they are more than one value."""

# Messages that are looked at together: so many fit into a processor's cache, headers and all; ten thousand take a fourth
# longer.
_AT_ONCE: Final = 1000

# What tells that one message is bad, and not that nobody could say.
_UNREADABLE: Final = (CodecError, EventError, NotRegistered)
_INSTANT: Final = pa.timestamp("us", "UTC")
METADATA: Final = pa.schema(
    [
        pa.field("ce_id", pa.string(), nullable=False),
        pa.field("ce_time", _INSTANT, nullable=False),
        pa.field("ce_recordedtime", _INSTANT),
        pa.field("kafka_key", pa.binary()),
        pa.field("kafka_partition", pa.int32(), nullable=False),
        pa.field("kafka_offset", pa.int64(), nullable=False),
    ]
)
"""The columns that tell of each row's event."""

_value_of: Final = methodcaller("value")
_headers_of: Final = methodcaller("headers")
_key_of: Final = methodcaller("key")
_partition_of: Final = methodcaller("partition")
_offset_of: Final = methodcaller("offset")

OnBad = Callable[[ReceivedMessage, MeshError], None]
# Whether the event of (partition, offset, source, id) is the first of its id.
First = Callable[[int, int, str, str], bool]


@dataclass(frozen=True, eq=False, slots=True)
class EventBatch:
    """Some events of a port by columns. Subjects and extensions are not among them: read events for those.

    Attributes:
        schema: of the data.
        data: a `pyarrow.RecordBatch` of `meshport.columnar.arrow_schema(schema)`, a row for each event that has data.
        metadata: a `pyarrow.RecordBatch` of `METADATA`, the same rows.
        tombstones: events without data, in order; whether one came before a row of its key, partition and offset tell.
    """

    schema: Schema
    data: Any
    metadata: Any
    tombstones: tuple[Event, ...] = ()

    def __len__(self) -> int:
        return int(self.data.num_rows)

    def to_arrow(self) -> Any:
        """Data and metadata as one `pyarrow.Table`.

        Raises:
            EventError: a field of the data has the name of a column of the metadata.
        """
        if twice := sorted({*self.data.schema.names} & {*METADATA.names}):
            raise EventError(
                f"the schema {self.schema.name} has a field {twice[0]!r}, as the metadata has", hint="data and metadata"
            )
        columns = [*self.data.columns, *self.metadata.columns]
        return pa.Table.from_arrays(columns, schema=pa.schema([*self.data.schema, *METADATA]))

    def to_polars(self) -> Any:
        """`to_arrow` as a `polars.DataFrame`.

        Raises:
            EventError: as `to_arrow`; or polars is not installed.
        """
        return _installed("polars").from_arrow(self.to_arrow())

    def to_pandas(self) -> Any:
        """`to_arrow` as a `pandas.DataFrame`.

        Raises:
            EventError: as `to_arrow`; or pandas is not installed.
        """
        _installed("pandas")
        return self.to_arrow().to_pandas()


class BatchReader:
    """Reads messages of one topic into batches.

    Args:
        schemas: where schemas are asked for.
        schema: that the data of every batch has; one that `meshport.columnar.supports`.
    """

    def __init__(self, schemas: SchemaSource, schema: Schema) -> None:
        self.schema = schema
        self._columns = ColumnReader(schemas, schema)
        self._events = EventReader(schemas, schema)

    def read(
        self, topic: str, messages: Sequence[ReceivedMessage], *, on_bad: OnBad | None, first: First | None
    ) -> tuple[EventBatch, int]:
        """The batch of some messages.

        Args:
            topic: that they are of.
            messages: as they came; what would go beyond `MAX_BYTES` is left for the next batch.
            on_bad: gets each message that cannot be read; without it the batch ends before the first of them.
            first: tells whether an event is to be kept; all are by default.

        Returns:
            The batch, and how many of the messages it is made of.

        Raises:
            MeshError: the first message cannot be read, and there is no `on_bad`; or what `on_bad` raises.
            RegistryUnavailable: nobody answered what the schema of a value is.
        """
        values = [*map(_value_of, messages)]
        count = _within(values)
        rows = _Rows(self.schema, messages, first)
        for begin in range(0, count, _AT_ONCE):
            part = slice(begin, min(begin + _AT_ONCE, count))
            for run in self._runs(values[part], messages[part]):
                if run.columns is not None:
                    rows.add_columns(begin + run.first, run.columns)
                    continue
                for at in range(begin + run.first, begin + run.end):
                    try:
                        event = self._event(topic, messages[at])
                    except _UNREADABLE as error:
                        if on_bad is None and at:
                            return rows.batch(), at  # what stands before it is handed out first
                        if on_bad is None:
                            raise
                        on_bad(messages[at], error)
                    else:
                        rows.add_event(at, event)
        return rows.batch(), count

    def _runs(self, values: Sequence[bytes | None], messages: Sequence[ReceivedMessage]) -> list[Run]:
        # Nine objects a message are made here, all alive and none in a cycle; beside the objects of a large program,
        # looking for cycles took up to 6 us an event, more than reading it.
        collects = gc.isenabled()
        gc.disable()
        try:
            return self._columns.runs(values, [*map(_headers_of, messages)])
        finally:
            if collects:
                gc.enable()

    def _event(self, topic: str, message: ReceivedMessage) -> Event:
        place = (message.partition(), message.offset(), message.timestamp()[1])
        return self._events.read(message.key(), message.value(), message.headers(), topic, *place)


class _Rows:
    """The rows of a batch in the making.

    Args:
        schema: of the data.
        messages: of which the rows are some.
        first: as `BatchReader.read` is given it.
    """

    def __init__(self, schema: Schema, messages: Sequence[ReceivedMessage], first: First | None) -> None:
        self._schema = schema
        self._messages = messages
        self._first = first
        self._at: list[int] = []
        self._data: list[Any] = []
        # Of each piece of data: ids, times, recorded times.
        self._told: list[tuple[Any, Any, Any]] = []
        self._waiting: list[Event] = []
        self._tombstones: list[Event] = []

    def add_columns(self, begin: int, columns: EventColumns) -> None:
        """Add the events of messages from `begin` on."""
        self._settle()
        places: Sequence[int] = range(begin, begin + len(columns))
        told = (
            pa.array(columns.ids, pa.string()),
            pa.array(columns.time).cast(_INSTANT),
            pa.array(columns.recorded).cast(_INSTANT),
        )
        data, first = columns.data, self._first
        if first is not None:
            messages, source = self._messages, columns.envelope.source
            kept = [
                first(messages[at].partition(), messages[at].offset(), source, id.decode())
                for at, id in zip(places, columns.ids, strict=True)
            ]
            if not all(kept):
                mask = pa.array(kept, pa.bool_())
                places = [at for at, keep in zip(places, kept, strict=True) if keep]
                data, told = data.filter(mask), (told[0].filter(mask), told[1].filter(mask), told[2].filter(mask))
        self._at += places
        self._data.append(data)
        self._told.append(told)

    def add_event(self, at: int, event: Event) -> None:
        """Add one event, of the message at that place."""
        first = self._first
        if first is not None and not first(event.partition, event.offset, event.source, event.id):
            return
        if event.data is None:
            self._tombstones.append(event)
            return
        self._at.append(at)
        self._waiting.append(event)

    def _settle(self) -> None:
        """Make columns of the events that were read one by one since the last ones."""
        events = self._waiting
        if not events:
            return
        self._data.append(batch_of(self._schema, [event.data for event in events]))
        self._told.append(
            (
                pa.array([event.id for event in events], pa.string()),
                pa.array([event.time for event in events], _INSTANT),
                pa.array([event.recorded_time for event in events], _INSTANT),
            )
        )
        self._waiting = []

    def batch(self) -> EventBatch:
        """All that was added."""
        self._settle()
        messages = self._messages
        kept = messages if len(self._at) == len(messages) else [messages[at] for at in self._at]
        empty = pa.RecordBatch.from_pylist([], schema=METADATA)
        ids, times, recorded = zip(*self._told, strict=True) if self._told else ((), (), ())
        metadata = [
            pa.concat_arrays([*ids, empty.column(0)]),
            pa.concat_arrays([*times, empty.column(1)]),
            pa.concat_arrays([*recorded, empty.column(2)]),
            pa.array(map(_key_of, kept), pa.binary()),
            pa.array(map(_partition_of, kept), pa.int32()),
            pa.array(map(_offset_of, kept), pa.int64()),
        ]
        data = self._data or [pa.RecordBatch.from_pylist([], schema=arrow_schema(self._schema))]
        return EventBatch(
            schema=self._schema,
            data=data[0] if len(data) == 1 else pa.concat_batches(data),
            metadata=pa.RecordBatch.from_arrays(metadata, schema=METADATA),
            tombstones=tuple(self._tombstones),
        )


def _within(values: Sequence[bytes | None]) -> int:
    """How many of the values, from the first on, a batch takes."""
    lengths = [len(value) if value else 0 for value in values]
    if sum(lengths) <= MAX_BYTES:
        return len(values)
    return max(1, sum(total <= MAX_BYTES for total in accumulate(lengths)))


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise EventError(f"{name} is not installed", hint=f"pip install {name}; or `to_arrow`") from error
