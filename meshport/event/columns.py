"""Messages of one topic to Arrow by runs: consecutive messages of our own writer with the same schema.

Values and errors are those of `EventReader`. A run without columns is left to it: messages with other headers, tombstones, a
payload or an attribute that is refused, a schema that columns do not support. A run has columns only if `ce_dataschema`
names the schema of its prefix; then the value cannot be plain Avro without prefix (`event.value`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, NamedTuple

from meshport.codec import PREFIX_BYTES, ResolvingDecoder, unframe
from meshport.columnar import supports
from meshport.columnar.native import unavailable
from meshport.errors import MeshError, RegistryUnavailable, SchemaError
from meshport.event.attributes import AVRO, COMMON_HEADERS, OWN_HEADERS, SPEC_VERSION, fingerprint_of
from meshport.event.event import Envelope
from meshport.event.headers import RawHeaders
from meshport.event.reading import ReaderSchemas, reader_schemas
from meshport.event.value import SchemaSource
from meshport.schema import Schema

_log: Final = logging.getLogger(__name__)

_SAME: Final = len(COMMON_HEADERS)
_USUAL: Final = _SAME + len(OWN_HEADERS)
# Fewer messages than this are read one by one: a call of the native library takes at least 80 us.
_FEW: Final = 8
# Bytes for each call of the decoder, which takes at most 1 GiB.
_MOST_BYTES: Final = 256 * 1024 * 1024
# Bounds the cache: a topic has one layout for each writer and schema, but a hostile producer could invent more.
_REMEMBERED: Final = 1024

# Constant headers and prefix, which the messages of a run share.
_Alike = tuple[tuple[tuple[str, bytes | None], ...], bytes]


@dataclass(frozen=True, eq=False, slots=True)
class EventColumns:
    """Events that differ only in id, times and data; none has a subject or an extension.

    Attributes:
        schema: of the rows: the reader's for their writer if there is one, else the writer's.
        envelope: the attributes that all share.
        data: a `pyarrow.RecordBatch` of `meshport.columnar.arrow_schema(schema)`, a row for each event; may be a slice.
        ids: `ce_id` as received, UTF-8 and not empty.
        time: `ce_time`, a numpy array of int64, microseconds since 1970 in UTC.
        time_text: `ce_time` as received.
        recorded: `ce_recordedtime`, as `time`.
        recorded_text: `ce_recordedtime` as received.
        canonical: whether each text equals what `attributes.rfc3339` writes for its instant.
    """

    schema: Schema
    envelope: Envelope
    data: Any
    ids: list[bytes]
    time: Any
    time_text: list[bytes]
    recorded: Any
    recorded_text: list[bytes]
    canonical: bool

    def __len__(self) -> int:
        return len(self.ids)


class Run(NamedTuple):
    """Consecutive messages of one kind.

    Attributes:
        first: index of the first message.
        end: index after the last message.
        columns: of the events; None if `EventReader` must read them.
    """

    first: int
    end: int
    columns: EventColumns | None


class ColumnReader:
    """Reads the messages of a topic by columns. Not thread-safe.

    Without the extra `meshport[columnar]` no run has columns.

    Args:
        schemas: looks schemas up, usually in a registry.
        reader: resolve rows to this schema (Avro's schema resolution), or to one for each writer's; by default each row
            keeps its writer's.
    """

    def __init__(self, schemas: SchemaSource, reader: Schema | ReaderSchemas | None = None) -> None:
        self._schemas = schemas
        self._reader = reader_schemas(reader)
        self._layouts: dict[_Alike, _Layout | None] = {}
        self._told: set[str] = set()
        self._available = not (why := unavailable())
        if why:
            _log.info("events are read one by one: %s", why)

    def runs(self, values: Sequence[bytes | None], headers: Sequence[RawHeaders | None]) -> list[Run]:
        """Return the runs of some messages, in order and complete.

        For each message of a run with columns, `EventReader` returns an event with the same id, times, envelope and data.
        Each message that it refuses is in a run without columns.

        Args:
            values: of the messages.
            headers: of the messages.

        Raises:
            RegistryUnavailable: the registry did not answer a look-up of a schema.
        """
        runs: list[Run] = []
        if not self._available:
            _add(runs, 0, len(values), None)
            return runs
        for first, end, alike in _runs_alike(values, headers):
            layout = self._layout(alike) if alike and end - first >= _FEW else None
            if layout is None:
                _add(runs, first, end, None)
            else:
                layout.read(runs, values, headers, first, end)
        return runs

    def _layout(self, alike: _Alike) -> _Layout | None:
        if alike in self._layouts:
            return self._layouts[alike]
        constant, prefix = alike
        envelope = _envelope(constant)
        layout = None
        if envelope is not None:
            try:
                writer = self._schemas.by_id(unframe(prefix)[0])
            except RegistryUnavailable:
                raise
            except MeshError:
                return None  # `EventReader` reports each error; an unknown schema may be registered later
            if writer.fingerprint == fingerprint_of(envelope.data_schema):
                layout = self._of(writer, envelope)
        if len(self._layouts) >= _REMEMBERED:
            self._layouts.clear()
        self._layouts[alike] = layout
        return layout

    def _of(self, writer: Schema, envelope: Envelope) -> _Layout | None:
        schema = writer if self._reader is None else self._reader.for_writer(writer)
        why = supports(writer) or supports(schema)
        if why is None:
            from meshport.columnar.plan import Unsupported  # noqa: PLC0415 - needs pyarrow, which is there

            try:
                ResolvingDecoder(writer, schema)
                return _Layout(writer, schema, envelope)
            except (SchemaError, Unsupported) as error:
                why = str(error)
        if writer.fingerprint not in self._told:
            self._told.add(writer.fingerprint)
            _log.warning("events of the schema %s are read one by one: %s", writer.fingerprint, why)
        return None


class _Layout:
    """Reads the messages of one writer and one schema."""

    def __init__(self, writer: Schema, schema: Schema, envelope: Envelope) -> None:
        from meshport.columnar import ColumnarDecoder  # noqa: PLC0415 - needs pyarrow, which may not be there
        from meshport.columnar.instants import instants, is_plain  # noqa: PLC0415 - as above
        from meshport.columnar.resolving import Resolution  # noqa: PLC0415 - as above

        self._schema = schema
        self._envelope = envelope
        self._decode = ColumnarDecoder(writer).decode_good
        self._resolution = None if schema.text == writer.text else Resolution(writer, schema)
        self._instants = instants
        self._is_plain = is_plain

    def read(self, runs: list[Run], values: Sequence[Any], headers: Sequence[Any], first: int, end: int) -> None:
        """Add the runs of the messages from `first` to `end`, which share this layout."""
        bodies = values[first:end]
        if end - first > 1 and sum(map(len, bodies)) > _MOST_BYTES:
            middle = (first + end) // 2
            self.read(runs, values, headers, first, middle)
            self.read(runs, values, headers, middle, end)
            return
        ids, times, recorded = ([each[at][1] for each in headers[first:end]] for at in range(_SAME, _USUAL))
        if self._columns(runs, first, bodies, ids, times, recorded):
            return
        good = [
            _is_id(id) and time and self._is_plain(time) and moment and self._is_plain(moment)
            for id, time, moment in zip(ids, times, recorded, strict=True)
        ]
        for is_good, places in groupby(range(end - first), key=lambda at: bool(good[at])):
            at = list(places)
            span = slice(at[0], at[-1] + 1)
            parts = (bodies[span], ids[span], times[span], recorded[span])
            if not is_good or not self._columns(runs, first + at[0], *parts):
                _add(runs, first + at[0], first + at[-1] + 1, None)

    def _columns(  # noqa: PLR0917 - the parts of the messages
        self,
        runs: list[Run],
        first: int,
        bodies: Sequence[bytes],
        ids: list[bytes],
        times: list[bytes],
        recorded: list[bytes],
    ) -> bool:
        """Add the runs of messages with valid ids and times; add nothing and return False if one is not valid."""
        if len(ids) < _FEW or not _are_ids(ids):
            return False
        happened, written = self._instants(times), self._instants(recorded)
        if happened is None or written is None:
            return False
        batch, bad = self._decoded(bodies)
        begin = row = 0
        for end in [*bad, len(ids)]:
            span, rows = slice(begin, end), end - begin
            if rows < _FEW:
                columns = None
            else:
                columns = EventColumns(
                    schema=self._schema,
                    envelope=self._envelope,
                    data=batch.slice(row, rows) if bad else batch,
                    ids=ids[span],
                    time=happened.micros[span],
                    time_text=times[span],
                    recorded=written.micros[span],
                    recorded_text=recorded[span],
                    canonical=happened.canonical and written.canonical,
                )
            _add(runs, first + begin, first + end, columns)
            if end < len(ids):
                _add(runs, first + end, first + end + 1, None)
            begin, row = end + 1, row + rows
        return True

    def _decoded(self, bodies: Sequence[bytes]) -> tuple[Any, list[int]]:
        """Return a row for each payload that can be decoded, and the indices of the others in order."""
        batch, errors = self._decode(bodies, PREFIX_BYTES)
        if self._resolution is None:
            return batch, sorted(errors)
        made, misplaced = self._resolution.apply_good(batch)
        if not misplaced:
            return made, sorted(errors)
        decoded = [at for at in range(len(bodies)) if at not in errors]
        return made, sorted([*errors, *(decoded[row] for row in misplaced)])


def _add(runs: list[Run], first: int, end: int, columns: EventColumns | None) -> None:
    """Add a run; adjacent runs without columns are merged."""
    if first == end:
        return
    if columns is None and runs and runs[-1].columns is None:
        first = runs.pop().first
    runs.append(Run(first, end, columns))


def _runs_alike(
    values: Sequence[bytes | None], headers: Sequence[RawHeaders | None]
) -> Iterator[tuple[int, int, _Alike | None]]:
    """Yield first index, end index and layout of consecutive messages; None as layout for headers of other writers."""
    if values and _all_alike(values, headers):
        yield 0, len(values), _alike(values[0], headers[0])
        return
    for alike, places in groupby(range(len(values)), key=lambda at: _alike(values[at], headers[at])):
        at = list(places)
        yield at[0], at[-1] + 1, alike


def _all_alike(values: Sequence[Any], headers: Sequence[Any]) -> bool:
    """Return whether `_alike` is equal for all messages; comparing whole columns takes a third of the time."""
    alike, count = _alike(values[0], headers[0]), len(values)
    if alike is None:
        return False
    try:
        columns = list(zip(*headers, strict=True))
        prefixes = [value[:PREFIX_BYTES] for value in values]
    except (TypeError, ValueError):
        return False  # no messages, or headers of different lengths
    constant, prefix = alike
    return (
        prefixes.count(prefix) == count
        and all(column.count(each) == count for column, each in zip(columns[:_SAME], constant, strict=True))
        and all(
            [name for name, _ in column].count(own) == count
            for column, own in zip(columns[_SAME:], OWN_HEADERS, strict=True)
        )
    )


def _alike(value: bytes | None, headers: RawHeaders | None) -> _Alike | None:
    if not value or len(value) < PREFIX_BYTES or not headers or len(headers) != _USUAL:
        return None
    if tuple(name for name, _ in headers[_SAME:]) != OWN_HEADERS:
        return None
    return tuple(headers[:_SAME]), value[:PREFIX_BYTES]


def _are_ids(ids: Sequence[bytes | None]) -> bool:
    """Return whether all ids are UTF-8 and not empty."""
    if not all(ids):
        return False
    try:
        b"\n".join(ids).decode()  # type: ignore[arg-type]  # no id is None here
    except UnicodeDecodeError:
        return False
    return True


def _is_id(id: bytes | None) -> bool:
    return _are_ids([id])


def _envelope(constant: tuple[tuple[str, bytes | None], ...]) -> Envelope | None:
    """Return the envelope of constant headers, or None for headers that our writer does not write."""
    if tuple(name for name, _ in constant) != COMMON_HEADERS:
        return None
    try:
        version, source, kind, data_schema, content_type = (each.decode() if each else "" for _, each in constant)
    except UnicodeDecodeError:
        return None
    if version != SPEC_VERSION or content_type != AVRO or not (source and kind and data_schema):
        return None
    return Envelope(source, kind, data_schema, content_type)
