"""Windows and running totals over columns: the same rows and updates as `state.groups.WindowAggregate` makes one by one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from meshport.process.columns.columnar_records import (
    INSTANT,
    ColumnarRecords,
    ColumnField,
    Fields,
    Integers,
    Origins,
    field_of,
    timestamps,
    to_python,
)
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.columns.kernels import GroupedValues, GroupIndex, kernel_for
from meshport.process.logic import lossless_json
from meshport.process.logic.event_time import FIRST, LAST, duration_micros
from meshport.process.logic.operators import Aggregate, Hopping, Session
from meshport.process.logic.records import RecordPosition
from meshport.process.state.groups import WindowAggregate
from meshport.process.state.keys import window_key
from meshport.process.state.overlay import Overlay


class ColumnarWindows:
    """One aggregate over columns.

    Args:
        aggregate: the declaration.
        windows: the windows over the state.
        fields: the fields of the records that it groups.

    Attributes:
        fields: the fields of its results.

    Raises:
        NotColumnar: the aggregate has no columnar form over these fields.
    """

    def __init__(self, aggregate: Aggregate, windows: WindowAggregate, fields: Fields) -> None:
        self._windows = windows
        if isinstance(aggregate.window, Session):
            raise NotColumnar("sessions are joined record by record")
        for name in (*aggregate.by, *aggregate.inputs):
            field_of(name, fields)
        self._by = {name: to_python(fields[name]) for name in aggregate.by}
        if any(pa.types.is_floating(fields[name].arrow) for name in aggregate.by):
            raise NotColumnar("0.0 and -0.0 are one key in columns, and two in records")
        self._window = aggregate.window
        self._size = duration_micros(aggregate.window.size) if aggregate.window else 0
        self._kernels = {name: kernel_for(each, fields) for name, each in aggregate.aggregations.items()}
        self._reads = {name: each.field for name, each in aggregate.aggregations.items()}
        self._updates = aggregate.emit != "close"
        window = {"window_start": ColumnField(INSTANT), "window_end": ColumnField(INSTANT)} if aggregate.window else {}
        self.fields: Fields = {
            **{name: fields[name] for name in aggregate.by},
            **window,
            **{name: ColumnField(each.type) for name, each in self._kernels.items()},
        }

    def add(self, given: ColumnarRecords, store: Overlay, origins: Origins) -> ColumnarRecords:
        """Add records to their windows.

        Args:
            given: the records.
            store: the state.
            origins: the events that the records were made from.

        Returns:
            A record for each change, in order, its origin the index of the record that made it; none with `emit: close`.

        Raises:
            Doubt: the records have to be added one by one.
        """
        at, starts = self._starts(given.time)
        if not len(at):
            return ColumnarRecords({}, at, at)
        codes = self._codes(given)[at]
        known_starts, start_codes = np.unique(starts, return_inverse=True)
        _, first, of = np.unique(codes * len(known_starts) + start_codes, return_index=True, return_inverse=True)
        groups = GroupIndex.by(of)
        texts = self._texts(given, codes[first], at[first])
        windowed = starts[first].tolist() if self._window else [None] * len(first)
        names = [window_key(start, text) for start, text in zip(windowed, texts, strict=True)]
        before = [store.get(name) for name in names]

        def positions() -> list[RecordPosition]:
            parts = given.time[at], np.full(len(at), origins.partition), origins.offsets[at], origins.numbers[at]
            return list(zip(*(part.tolist() for part in parts), strict=True))

        values = {name: given.columns[read].take(pa.array(at)) if read else None for name, read in self._reads.items()}
        parts = [[None if row is None else row[index] for row in before] for index in range(len(self._kernels))]
        kernels = [(name, kernel, part) for (name, kernel), part in zip(self._kernels.items(), parts, strict=True)]
        columns: dict[str, pa.Array] = {}
        if self._updates:
            columns = {name: given.columns[name].take(pa.array(at)) for name in self._by}
            if self._window:
                columns |= {"window_start": timestamps(starts), "window_end": timestamps(starts + self._size)}
            finals = []
            for name, kernel, part in kernels:
                final, columns[name] = kernel.both(GroupedValues(values[name], groups, part, positions))
                finals.append(final)
        else:
            finals = [
                kernel.finals(GroupedValues(values[name], groups, part, positions)) for name, kernel, part in kernels
            ]
        last = given.origin[at[groups.order[groups.begins + groups.counts - 1]]].tolist()
        for name, start, event, *each in zip(names, windowed, last, *finals, strict=True):
            store.event = event
            self._windows.put(name, start, each, store)
        return ColumnarRecords(columns, at, given.time[at]) if self._updates else ColumnarRecords({}, at[:0], at[:0])

    def _starts(self, time: Integers) -> tuple[Integers, Integers]:
        """Return the indices of the records and the starts of the windows that contain them, a pair for each window, in order.

        Raises:
            Doubt: a window is beyond what a time can say.
        """
        every = np.arange(len(time))
        if self._window is None:
            return every, np.zeros(len(time), "i8")
        hop = duration_micros(self._window.every) if isinstance(self._window, Hopping) else self._size
        counts = (self._size - 1 - time % hop) // hop + 1  # 0 in a gap between windows
        last = time - time % hop
        first = last - (counts - 1) * hop
        beyond = (counts > 0) & ((first < FIRST) | (last + self._size > LAST))
        if beyond.any():
            raise Doubt("a window beyond the years 1 to 9999", beyond)
        at = np.repeat(every, counts)
        steps = np.arange(len(at)) - np.repeat(np.cumsum(counts) - counts, counts)
        return at, first[at] + steps * hop

    def _codes(self, given: ColumnarRecords) -> Integers:
        """Return a number for each record, equal for records of one key."""
        codes = np.zeros(len(given), "i8")
        for name in self._by:
            encoded = given.columns[name].dictionary_encode(null_encoding="encode")
            of = encoded.indices.to_numpy(zero_copy_only=False)
            _, codes = np.unique(codes * (len(encoded.dictionary) + 1) + of, return_inverse=True)
        return codes

    def _texts(self, given: ColumnarRecords, codes: Integers, records: Integers) -> list[str]:
        """Return the text of each group's key, which is written once for all windows of a key."""
        _, first, of = np.unique(codes, return_index=True, return_inverse=True)
        index = pa.array(records[first])
        keys = zip(*(values(given.columns[name].take(index)) for name, values in self._by.items()), strict=True)
        texts = [lossless_json.dumps(list(key)) for key in keys]
        return [texts[each] for each in of.tolist()]
