"""Record batches to payloads: the same bytes and errors as the codec for the same values.

The native library writes an unexpected null as 0 or as nothing, and encodes slices wrongly. Therefore nulls, ranges and
symbols are checked first, and sliced columns are copied.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from meshport.codec import MAX_PAYLOAD
from meshport.codec.defaults import default_of
from meshport.codec.layout import Layout
from meshport.columnar import native
from meshport.columnar.kinds import ColumnMisfit
from meshport.columnar.native import Refused
from meshport.columnar.nested import unsliced
from meshport.columnar.plan import arrow_schema, plan
from meshport.errors import EncodeError
from meshport.schema import Schema


class ColumnarEncoder:
    """Encodes Arrow batches as payloads of one record schema. Thread-safe.

    Args:
        schema: of the payloads.

    Attributes:
        arrow: the schema that batches are cast to, without loss.

    Raises:
        ValueError: columns do not support the schema; see `supports`.
        SchemaError: a default in the schema is not a value of its field.
    """

    def __init__(self, schema: Schema) -> None:
        if why := native.unavailable():
            raise ValueError(why)
        self.schema = schema
        self.arrow = arrow_schema(schema)
        self._root = plan(schema)
        self._wire = json.dumps(self._root.wire)
        named = Layout(schema).named
        self._defaults = {
            field["name"]: slot.value(default_of(field["type"], field["default"], named))
            for field, slot in zip(schema.fields, self._root.slots, strict=True)
            if "default" in field
        }

    def encode(self, batch: Any, prefix: bytes = b"") -> list[bytes]:
        """Return the payload of each row.

        Args:
            batch: a `pyarrow.RecordBatch`; its columns are found by name and cast without loss. A missing column takes its
                field's default. An instant of a finer unit is truncated to the unit of its type.
            prefix: bytes to write before each payload, such as Confluent's (`meshport.codec.prefix`).

        Raises:
            EncodeError: a column does not fit the schema; `field` is its path. Or this process was forked from one that used
                the library, whose call would not return: start workers by `spawn`.
        """
        if native.forked():
            raise EncodeError("columns cannot be written in a forked process", hint="start workers by `spawn`")
        if not batch.num_rows:
            return []
        return _payloads(self._written(batch), prefix)

    def check(self, given: Any) -> None:
        """Check the columns of batches before their values.

        Args:
            given: the `pyarrow.Schema` of the batches.

        Raises:
            EncodeError: a column is missing, unknown, or of a type without values of its field's type.
        """
        self._written(pa.RecordBatch.from_pylist([], schema=given))

    def _written(self, batch: Any) -> Any:
        names = list(batch.schema.names)
        if len(set(names)) != len(names):
            raise EncodeError("two columns of the batch have one name")
        try:
            batch.validate(full=True)
            columns = dict(zip(names, unsliced(list(batch.columns), names), strict=True))
            for name, default in self._defaults.items():
                if name not in columns:
                    columns[name] = pa.array([default] * batch.num_rows, self.arrow.field(name).type)
            written = self._root.write_columns(columns, 0)
            wire = pa.RecordBatch.from_arrays(written, names=[f"f{at}" for at in range(len(written))])
            return native.write(wire, self._wire)
        except ColumnMisfit as misfit:
            raise EncodeError(f"{misfit.path or 'the batch'} {misfit.message}", field=misfit.path) from misfit
        except (Refused, pa.ArrowException) as error:
            raise EncodeError(f"the batch cannot be written: {str(error)[:300]}") from error


def _payloads(payloads: Any, prefix: bytes) -> list[bytes]:
    ends = np.frombuffer(payloads.buffers()[1], "<i4", len(payloads) + 1, payloads.offset * 4)
    longest = int(np.diff(ends).max())
    if longest > MAX_PAYLOAD:
        raise EncodeError(f"a row takes {longest} bytes", hint=f"at most {MAX_PAYLOAD} can be read back")
    data = payloads.buffers()[2].to_pybytes()
    if prefix:
        return [prefix + data[first:end] for first, end in pairwise(ends.tolist())]
    return [data[first:end] for first, end in pairwise(ends.tolist())]
