"""De-duplication over columns: identities are looked up record by record, all else is columnar."""

from __future__ import annotations

import numpy as np

from meshport.event.columns import EventColumns
from meshport.process.columns.columnar_records import ColumnarRecords, Fields, Integers, field_of, to_python
from meshport.process.logic import lossless_json
from meshport.process.state.deduplication import Deduplication
from meshport.process.state.overlay import Overlay


class ColumnarDeduplication:
    """One de-duplication over columns.

    Args:
        deduplication: the step over the state.
        fields: the fields of the records.

    Raises:
        NotColumnar: a field of the identity has no plain values.
    """

    def __init__(self, deduplication: Deduplication, fields: Fields) -> None:
        self._deduplication = deduplication
        self._by = {name: to_python(field_of(name, fields)) for name in deduplication.by}

    def through(
        self, given: ColumnarRecords, numbers: Integers, store: Overlay, columns: EventColumns
    ) -> tuple[ColumnarRecords, Integers]:
        """Return the records that were not seen before, and the number of each.

        Args:
            given: the records.
            numbers: the number of each record among those of its event.
            store: the state.
            columns: the events.
        """
        new = np.zeros(len(given), bool)
        texts = self._identities(given, numbers, columns)
        for at, (text, time) in enumerate(zip(texts, given.time.tolist(), strict=True)):
            store.event = int(given.origin[at])
            new[at] = self._deduplication.admit_identity(text, time, store)
        return given.take(new), numbers[new]

    def _identities(self, given: ColumnarRecords, numbers: Integers, columns: EventColumns) -> list[str]:
        if self._by:
            parts = zip(*(values(given.columns[name]) for name, values in self._by.items()), strict=True)
            return [lossless_json.dumps(list(part)) for part in parts]
        of = zip(given.origin.tolist(), numbers.tolist(), strict=True)
        source, ids = columns.envelope.source, columns.ids
        return [lossless_json.dumps([source, ids[event].decode(), number]) for event, number in of]
