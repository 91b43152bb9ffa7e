"""Events in batches of columns, for data frames and databases.

The events of a batch are in the order in which they were received. Most are read by columns (`event.columns`); those that
columns may not represent exactly are read one by one, at their positions among the others.
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

from meshport.binding import Binding
from meshport.columnar import arrow_schema
from meshport.columnar.rows import batch_of
from meshport.errors import EventError, MeshError
from meshport.event import UNREADABLE, Event, SchemaSource, reader_for
from meshport.event.bare import BARE
from meshport.event.columns import ColumnReader, EventColumns, Run
from meshport.kafka.received import ReceivedMessage, event_parts, headers_of_each
from meshport.schema import Schema

MAX_BYTES: Final = 32 * 1024 * 1024
"""The most bytes of values in one batch; a single value may have more."""

# Messages that are read together: so many fit into a CPU's cache, headers included; ten thousand take a quarter longer.
_AT_ONCE: Final = 1000

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
"""The columns of an event's metadata."""

_value_of: Final = methodcaller("value")
_key_of: Final = methodcaller("key")
_partition_of: Final = methodcaller("partition")
_offset_of: Final = methodcaller("offset")

OnBad = Callable[[ReceivedMessage, MeshError], None]
# Returns whether the event of (partition, offset, source, id) is the first with its id.
First = Callable[[int, int, str, str], bool]


@dataclass(frozen=True, eq=False, slots=True)
class EventBatch:
    """Events of a port by columns, without their subjects and extensions: `batches` returns events with those.

    Attributes:
        schema: the data's.
        data: a `pyarrow.RecordBatch` of `meshport.columnar.arrow_schema(schema)`, a row for each event that has data.
        metadata: a `pyarrow.RecordBatch` of `METADATA`, the same rows.
        tombstones: the events without data, in order; partition and offset order them among the rows.
    """

    schema: Schema
    data: Any
    metadata: Any
    tombstones: tuple[Event, ...] = ()

    def __len__(self) -> int:
        return int(self.data.num_rows)

    def to_arrow(self) -> Any:
        """Return data and metadata as one `pyarrow.Table`.

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
        """Return `to_arrow` as a `polars.DataFrame`.

        Raises:
            EventError: as `to_arrow`; or polars is not installed.
        """
        return _installed("polars").from_arrow(self.to_arrow())

    def to_pandas(self) -> Any:
        """Return `to_arrow` as a `pandas.DataFrame`.

        Raises:
            EventError: as `to_arrow`; or pandas is not installed.
        """
        _installed("pandas")
        return self.to_arrow().to_pandas()


class BatchReader:
    """Reads messages of one topic into batches.

    Args:
        binding: of the port.
        schemas: a registry.
        schema: the schema of every batch's data; one that `meshport.columnar.supports`.
    """

    def __init__(self, binding: Binding, schemas: SchemaSource, schema: Schema) -> None:
        self.schema = schema
        self._columns = None if binding.envelope == BARE else ColumnReader(schemas, schema)
        self._events = reader_for(binding, schemas, schema)

    def read(
        self, topic: str, messages: Sequence[ReceivedMessage], *, on_bad: OnBad | None, first: First | None
    ) -> tuple[EventBatch, int]:
        """Return a batch of messages.

        Args:
            topic: their topic.
            messages: in the order in which they were received; those beyond `MAX_BYTES` are left for the next batch.
            on_bad: called with each message that cannot be read; without it the batch ends before the first of them.
            first: returns whether an event is to be kept; by default all are.

        Returns:
            The batch, and how many of the messages are in it.

        Raises:
            MeshError: the first message cannot be read, and there is no `on_bad`; or what `on_bad` raises.
            RegistryUnavailable: the registry did not return the schema of a value.
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
                    except UNREADABLE as error:
                        if on_bad is None and at:
                            return rows.batch(), at  # the events before it are returned first
                        if on_bad is None:
                            raise
                        on_bad(messages[at], error)
                    else:
                        rows.add_event(at, event)
        return rows.batch(), count

    def _runs(self, values: Sequence[bytes | None], messages: Sequence[ReceivedMessage]) -> list[Run]:
        if self._columns is None:
            return [Run(0, len(values), None)]
        # Nine objects are made for each message, all of them alive and none in a cycle. In a large program the cycle collector
        # took up to 6 us an event, more than reading it.
        collects = gc.isenabled()
        gc.disable()
        try:
            return self._columns.runs(values, headers_of_each(messages))
        finally:
            if collects:
                gc.enable()

    def _event(self, topic: str, message: ReceivedMessage) -> Event:
        return self._events.read(*event_parts(topic, message))


class _Rows:
    """Collects the rows of a batch.

    Args:
        schema: the data's.
        messages: the messages that are read; each row is of one of them.
        first: as in `BatchReader.read`.
    """

    def __init__(self, schema: Schema, messages: Sequence[ReceivedMessage], first: First | None) -> None:
        self._schema = schema
        self._messages = messages
        self._first = first
        self._at: list[int] = []
        self._data: list[Any] = []
        # Of each piece of data: ids, times, recorded times.
        self._metadata: list[tuple[Any, Any, Any]] = []
        self._waiting: list[Event] = []
        self._tombstones: list[Event] = []

    def add_columns(self, begin: int, columns: EventColumns) -> None:
        """Add the events of messages, the first of which has the index `begin`."""
        self._settle()
        indices: Sequence[int] = range(begin, begin + len(columns))
        metadata = (
            pa.array(columns.ids, pa.string()),
            pa.array(columns.time).cast(_INSTANT),
            pa.array(columns.recorded).cast(_INSTANT),
        )
        data, first = columns.data, self._first
        if first is not None:
            messages, source = self._messages, columns.envelope.source
            kept = [
                first(messages[at].partition(), messages[at].offset(), source, id.decode())
                for at, id in zip(indices, columns.ids, strict=True)
            ]
            if not all(kept):
                mask = pa.array(kept, pa.bool_())
                indices = [at for at, keep in zip(indices, kept, strict=True) if keep]
                ids, times, recorded = metadata
                data, metadata = data.filter(mask), (ids.filter(mask), times.filter(mask), recorded.filter(mask))
        self._at += indices
        self._data.append(data)
        self._metadata.append(metadata)

    def add_event(self, at: int, event: Event) -> None:
        """Add the event of the message with that index."""
        first = self._first
        if first is not None and not first(event.partition, event.offset, event.source, event.id):
            return
        if event.data is None:
            self._tombstones.append(event)
            return
        self._at.append(at)
        self._waiting.append(event)

    def _settle(self) -> None:
        """Make columns of the events that were added one by one since the last columns."""
        events = self._waiting
        if not events:
            return
        self._data.append(batch_of(self._schema, [event.data for event in events]))
        self._metadata.append(
            (
                pa.array([event.id for event in events], pa.string()),
                pa.array([event.time for event in events], _INSTANT),
                pa.array([event.recorded_time for event in events], _INSTANT),
            )
        )
        self._waiting = []

    def batch(self) -> EventBatch:
        """Return the batch of all rows that were added."""
        self._settle()
        messages = self._messages
        kept = messages if len(self._at) == len(messages) else [messages[at] for at in self._at]
        empty = pa.RecordBatch.from_pylist([], schema=METADATA)
        ids, times, recorded = zip(*self._metadata, strict=True) if self._metadata else ((), (), ())
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
    """Return how many of the values, from the first on, fit into a batch."""
    lengths = [len(value) if value else 0 for value in values]
    if sum(lengths) <= MAX_BYTES:
        return len(values)
    return max(1, sum(total <= MAX_BYTES for total in accumulate(lengths)))


def _installed(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise EventError(f"{name} is not installed", hint=f"pip install {name}; or `to_arrow`") from error
