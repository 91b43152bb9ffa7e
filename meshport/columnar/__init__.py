"""Avro payloads to Arrow record batches and back, in native code: about ten times as fast as the row codec.

It needs the extra `meshport[columnar]`. Without it, or for a schema that columns do not support, `supports` returns the
reason and callers use `meshport.codec`. Values, bytes and errors are those of `meshport.codec.Codec`:

| Avro | Arrow |
|---|---|
| boolean, int, long, float, double | bool, int32, int64, float32, float64 |
| string, bytes, fixed(n) | string, binary, fixed_size_binary(n) |
| enum | string |
| record, array, map | struct, list, map of string |
| null and one other type | that type, nullable |
| timestamp-millis, -micros | timestamp of ms, us, zone UTC |
| local-timestamp-millis, -micros | timestamp of ms, us, no zone |
| date, time-millis, time-micros | date32, time32 of ms, time64 of us |
| decimal up to 38, up to 76 digits | decimal128, decimal256 |
| uuid | string, in lower case when read |
| any other logical type | its underlying type, as in the codec |

Columns hold dates and timestamps of any year; the codec gives those that Python does not have as numbers, and so does
`values.python_values`, where `to_pylist` raises.

Not supported: schemas other than records, recursive records, records without fields, null outside of a union, unions of more
than null and one type, a fixed whose size is not a multiple of 4 or exceeds 256 bytes, decimals of more than 76 digits,
symbols beyond ASCII, and types whose columns could take much more memory than their bytes (`plan.MAX_NODES`,
`MAX_NESTING`, `MAX_COST_PER_BYTE`, `MAX_ROW_COST`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from meshport.columnar.native import unavailable
from meshport.errors import SchemaError
from meshport.schema import Schema

if TYPE_CHECKING:
    from meshport.columnar.decoder import ColumnarDecoder, Decoded
    from meshport.columnar.encoder import ColumnarEncoder
    from meshport.columnar.plan import arrow_schema, values_of_fields

__all__ = ["ColumnarDecoder", "ColumnarEncoder", "Decoded", "arrow_schema", "supports", "values_of_fields"]


def supports(schema: Schema) -> str | None:
    """Return None if columns support a schema in this environment, else the reason why not."""
    if why := unavailable():
        return why
    from meshport.columnar.plan import Unsupported, plan  # noqa: PLC0415 - needs pyarrow, which may not be there

    try:
        plan(schema)
    except (Unsupported, SchemaError) as error:
        return str(error)
    return None


def __getattr__(name: str) -> Any:
    """Import a module that needs pyarrow at the first access of its name."""
    from importlib import import_module  # noqa: PLC0415 - only here

    homes = {
        "ColumnarDecoder": "decoder",
        "Decoded": "decoder",
        "ColumnarEncoder": "encoder",
        "arrow_schema": "plan",
        "values_of_fields": "plan",
    }
    if name not in homes:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{homes[name]}"), name)
