"""Values of the codec as a batch: for what was read one by one, and is to stand among columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from meshport.columnar.plan import arrow_schema, plan
from meshport.schema import Schema


def batch_of(schema: Schema, records: Iterable[Mapping[str, Any]]) -> Any:
    """The `pyarrow.RecordBatch` of some records, as `ColumnarDecoder` reads them of payloads.

    A number that was read as a `float` is cut to its 32 bits.

    Args:
        schema: of the records.
        records: as `Codec.decode` gives them.

    Raises:
        ValueError: the schema is one of those that `supports` gives a reason for.
    """
    root = plan(schema)
    structs = pa.array(map(root.value, records), root.arrow)
    return pa.RecordBatch.from_arrays(structs.flatten(), schema=arrow_schema(schema))
