"""Values of the codec as a batch, for payloads that were decoded one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from meshport.columnar.plan import arrow_schema, plan
from meshport.schema import Schema


def batch_of(schema: Schema, records: Iterable[Mapping[str, Any]]) -> Any:
    """Return the `pyarrow.RecordBatch` of some records, as `ColumnarDecoder` decodes them from payloads.

    A `float` is rounded to its 32 bits.

    Args:
        schema: of the records.
        records: as `Codec.decode` returns them.

    Raises:
        ValueError: columns do not support the schema; see `supports`.
    """
    root = plan(schema)
    structs = pa.array(map(root.value, records), root.arrow)
    return pa.RecordBatch.from_arrays(structs.flatten(), schema=arrow_schema(schema))
