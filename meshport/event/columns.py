"""Messages of one topic to Arrow by runs: what our own writer wrote of one schema, as many as follow one another.

Verdict and values are those of `EventReader`. What is not beyond doubt (other headers, tombstones, a payload or a text that
is refused, a schema without columns) is left to it, by giving the run no columns. A run is trusted to be of the schema that
its prefix names only if `ce_dataschema` names the same: then no reading of a value as a whole can be meant (`event.value`).
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
from meshport.event.reader import RawHeaders
from meshport.event.value import SchemaSource
from meshport.schema import Schema

_log: Final = logging.getLogger(__name__)

_SAME: Final = len(COMMON_HEADERS)
_USUAL: Final = _SAME + len(OWN_HEADERS)
# Messages below which row by row is as quick: a call of the native library takes 80 us whatever it reads.
_FEW: Final = 8
# Bytes that are decoded at once; the decoder takes no more than 1 GiB.
_MOST_BYTES: Final = 256 * 1024 * 1024
# Layouts are as many as a topic has writers and schemas, unless someone makes them up.
_REMEMBERED: Final = 1024

# Constant headers and prefix: what consecutive messages have in common.
_Alike = tuple[tuple[tuple[str, bytes | None], ...], bytes]


@dataclass(frozen=True, eq=False, slots=True)
class EventColumns:
    """Events that differ in id, times and data only: none has a subject or an extension.

    Attributes:
        schema: of the rows: the writer's, or the reader's where one was asked for.
        envelope: what all have in common.
        data: a `pyarrow.RecordBatch` of `meshport.columnar.arrow_schema(schema)`, a row for each; may be a slice.
        ids: `ce_id` as it came, UTF-8 and not empty.
        time: `ce_time`, a numpy array of int64, microseconds since 1970 in UTC.
        time_text: `ce_time` as it came.
        recorded: `ce_recordedtime`, as `time`.
        recorded_text: `ce_recordedtime` as it came.
        canonical: whether each of the texts is what `attributes.rfc3339` writes of its instant.
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
    """Consecutive messages that are alike.

    Attributes:
        first: index of the first among the messages that were given.
        behind: index behind the last.
        columns: of the events; None where these have to be read one by one.
    """

    first: int
    behind: int
    columns: EventColumns | None


class ColumnReader:
    """Reads the messages of a topic by columns. Not safe for several threads at once.

    Without the extra `meshport[columnar]`, nothing has columns.

    Args:
        schemas: where schemas are asked for.
        reader: the schema that rows are to have (Avro's schema resolution); each writer's own by default.
    """

    def __init__(self, schemas: SchemaSource, reader: Schema | None = None) -> None:
        self._schemas = schemas
        self._reader = reader
        self._layouts: dict[_Alike, _Layout | None] = {}
        self._told: set[str] = set()
        self._available = not (why := unavailable())
        if why:
            _log.info("events are read one by one: %s", why)

    def runs(self, values: Sequence[bytes | None], headers: Sequence[RawHeaders | None]) -> list[Run]:
        """The runs of some messages in their order; together they are all that was given.

        For every message of a run with columns, `EventReader` gives an event of the same id, times, envelope and data;
        every message that it refuses is in a run without.

        Args:
            values: of the messages.
            headers: of the messages, as many.

        Raises:
            RegistryUnavailable: nobody answered what the schema of a value is.
        """
        runs: list[Run] = []
        if not self._available:
            _add(runs, 0, len(values), None)
            return runs
        for first, behind, alike in _stretches(values, headers):
            layout = self._layout(alike) if alike and behind - first >= _FEW else None
            if layout is None:
                _add(runs, first, behind, None)
            else:
                layout.read(runs, values, headers, first, behind)
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
                return None  # read one by one, each is told what is wrong; a schema may yet be registered
            if writer.fingerprint == fingerprint_of(envelope.data_schema):
                layout = self._of(writer, envelope)
        if len(self._layouts) >= _REMEMBERED:
            self._layouts.clear()
        self._layouts[alike] = layout
        return layout

    def _of(self, writer: Schema, envelope: Envelope) -> _Layout | None:
        schema = self._reader or writer
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
    """How the messages of one writer and one schema are read."""

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

    def read(self, runs: list[Run], values: Sequence[Any], headers: Sequence[Any], first: int, behind: int) -> None:
        """Add the runs of messages that are alike, of which `first` to `behind` are asked for."""
        bodies = values[first:behind]
        if behind - first > 1 and sum(map(len, bodies)) > _MOST_BYTES:
            middle = (first + behind) // 2
            self.read(runs, values, headers, first, middle)
            self.read(runs, values, headers, middle, behind)
            return
        ids, times, recorded = ([each[at][1] for each in headers[first:behind]] for at in range(_SAME, _USUAL))
        if self._columns(runs, first, bodies, ids, times, recorded):
            return
        good = [
            _is_id(id) and time and self._is_plain(time) and moment and self._is_plain(moment)
            for id, time, moment in zip(ids, times, recorded, strict=True)
        ]
        for is_good, places in groupby(range(behind - first), key=lambda at: bool(good[at])):
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
        """Add the runs of messages whose ids and times are beyond doubt; false, and nothing, where one is not."""
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
        """A row for each payload that can be read, and the indices of the others in their order."""
        batch, errors = self._decode(bodies, PREFIX_BYTES)
        if self._resolution is None:
            return batch, sorted(errors)
        made, misplaced = self._resolution.apply_good(batch)
        if not misplaced:
            return made, sorted(errors)
        decoded = [at for at in range(len(bodies)) if at not in errors]
        return made, sorted([*errors, *(decoded[row] for row in misplaced)])


def _add(runs: list[Run], first: int, behind: int, columns: EventColumns | None) -> None:
    """Add a run; what is read one by one is put together."""
    if first == behind:
        return
    if columns is None and runs and runs[-1].columns is None:
        first = runs.pop().first
    runs.append(Run(first, behind, columns))


def _stretches(
    values: Sequence[bytes | None], headers: Sequence[RawHeaders | None]
) -> Iterator[tuple[int, int, _Alike | None]]:
    """First, behind, and what all between have in common, if they have what our writer puts."""
    if values and _all_alike(values, headers):
        yield 0, len(values), _alike(values[0], headers[0])
        return
    for alike, places in groupby(range(len(values)), key=lambda at: _alike(values[at], headers[at])):
        at = list(places)
        yield at[0], at[-1] + 1, alike


def _all_alike(values: Sequence[Any], headers: Sequence[Any]) -> bool:
    """Whether `_alike` is the same of all: asked by columns, for a third of the time."""
    alike, count = _alike(values[0], headers[0]), len(values)
    if alike is None:
        return False
    try:
        columns = list(zip(*headers, strict=True))
        prefixes = [value[:PREFIX_BYTES] for value in values]
    except (TypeError, ValueError):
        return False  # none, or of several lengths
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
    """Whether all are UTF-8 and not empty."""
    if not all(ids):
        return False
    try:
        b"\n".join(ids).decode()  # type: ignore[arg-type]  # none is None
    except UnicodeDecodeError:
        return False
    return True


def _is_id(id: bytes | None) -> bool:
    return _are_ids([id])


def _envelope(constant: tuple[tuple[str, bytes | None], ...]) -> Envelope | None:
    """What the constant headers say, if they are those of our writer."""
    if tuple(name for name, _ in constant) != COMMON_HEADERS:
        return None
    try:
        version, source, kind, data_schema, content_type = (each.decode() if each else "" for _, each in constant)
    except UnicodeDecodeError:
        return None
    if version != SPEC_VERSION or content_type != AVRO or not (source and kind and data_schema):
        return None
    return Envelope(source, kind, data_schema, content_type)
