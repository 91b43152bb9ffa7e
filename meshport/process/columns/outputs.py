"""Encodes columns to messages of the output port: the same messages as `meshport.process.wire.outputs` makes one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from meshport.codec import codec_for
from meshport.columnar import ColumnarEncoder, supports
from meshport.errors import EncodeError
from meshport.event import EventWriter
from meshport.event.attributes import ID, RECORDED_TIME, TIME, rfc3339_of_micros
from meshport.event.record import record_key
from meshport.kafka.producer import Message
from meshport.process.columns.calendar import refuse_beyond_calendar
from meshport.process.columns.columnar_records import (
    ColumnarRecords,
    ColumnField,
    Fields,
    Origins,
    field_of,
    fields_of,
    instants,
    to_python,
)
from meshport.process.columns.expressions import Doubt, NotColumnar
from meshport.process.wire.outputs import LARGEST_OUTPUT, output_ids
from meshport.process.wire.plan import Plan
from meshport.schema import Schema, parse_schema


class ColumnarOutputs:
    """Makes the messages of one output port.

    Args:
        plan: the plan.
        fields: the fields of the records.

    Raises:
        NotColumnar: the records do not fit the port column by column.
    """

    def __init__(self, plan: Plan, fields: Fields) -> None:
        output = plan.output
        schema = parse_schema(output.schema_text, source=f"the schema of {output.address}")
        if why := supports(schema):
            raise NotColumnar(f"the output's schema has no columns: {why}")
        wanted = fields_of(schema)
        for name, field in fields.items():
            if name not in wanted:
                raise NotColumnar(f"the output has no field {name!r}")
            if not _fits(field, wanted[name]):
                raise NotColumnar(f"{name!r} is {field.arrow}, and {wanted[name].arrow} in the output")
        self._encoder = ColumnarEncoder(schema)
        writer = EventWriter(
            source=str(output.address), type=output.type, codec=codec_for(schema), schema_id=output.schema_id
        )
        self._constant, self._prefix = writer.constant, writer.prefix
        self._topic = output.topic
        self._source = plan.source.topic
        self._keys = keys_of(output.key, fields, schema)
        self._time = output.time
        if self._time is not None and not pa.types.is_timestamp(field_of(self._time, fields).arrow):
            raise NotColumnar(f"the time field {self._time!r} is no timestamp")

    def messages(self, records: ColumnarRecords, origins: Origins) -> list[Message]:
        """Return the messages of some records.

        Args:
            records: with the output's fields; their origin is the index of the record that they were made from.
            origins: the events that those were made from.

        Raises:
            Doubt: a record has to be encoded, or refused, by itself.
        """
        if not len(records):
            return []
        try:
            values = self._encoder.encode(pa.RecordBatch.from_pydict(dict(records.columns)), self._prefix)
        except EncodeError as error:
            raise Doubt(error.message) from error
        keys = self._keys(records)
        if max(map(len, values)) + max(map(len, filter(None, keys)), default=0) > LARGEST_OUTPUT:
            sizes = np.array([len(value) + len(key or b"") for key, value in zip(keys, values, strict=True)])
            if (sizes > LARGEST_OUTPUT).any():
                raise Doubt("an output that is too large", sizes > LARGEST_OUTPUT)
        of = records.origin.tolist()
        positions = origins.offsets[records.origin], origins.numbers[records.origin], records.ranks
        ids = output_ids(self._source, origins.partition, zip(*(each.tolist() for each in positions), strict=True))
        topic, constant, recorded = self._topic, self._constant, origins.recorded
        return [
            Message(topic, key, value, [*constant, (ID, id), (TIME, time), (RECORDED_TIME, recorded[at])])
            for key, value, id, time, at in zip(keys, values, ids, self._times(records, origins), of, strict=True)
        ]

    def _times(self, records: ColumnarRecords, origins: Origins) -> list[bytes]:
        if self._time is not None:
            column = records.columns[self._time]
            if column.null_count:
                raise Doubt("an output without a time", column.is_null().to_numpy(zero_copy_only=False))
            refuse_beyond_calendar(records.columns, (self._time,))
            return [rfc3339_of_micros(each) for each in instants(column).tolist()]
        return [origins.time[at] for at in records.origin.tolist()]


def _fits(given: ColumnField, wanted: ColumnField) -> bool:
    """Whether the encoder accepts the same values of a column as the codec does of records, and refuses the same."""
    if given.uuid is not None and wanted.uuid is not None:
        return bool(wanted.uuid.with_name(given.uuid.name).equals(given.uuid, check_metadata=True))
    if given.uuid is not None or wanted.uuid is not None:
        return False
    one, other = given.arrow, wanted.arrow
    if one == other or pa.types.is_null(one):
        return True
    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other):
        return (one.tz is None) == (other.tz is None)
    if pa.types.is_integer(one):
        return bool(pa.types.is_integer(other) or other == pa.float64())
    if pa.types.is_decimal(one) and pa.types.is_decimal(other):
        # The encoder refuses a batch with too many digits before the point; too many after it are refused here.
        return bool(one.scale <= other.scale)
    return bool(one == pa.float32()) and bool(other == pa.float64())


def keys_of(
    names: tuple[str, ...], fields: Fields, schema: Schema | None = None
) -> Callable[[ColumnarRecords], list[bytes | None]]:
    """Return the function that computes the key of each record.

    Args:
        names: the key fields; empty for records without a key.
        fields: the fields of the records.
        schema: that the records are going to be stored with; the keys are those of the stored values, as of `record_key`.

    Raises:
        NotColumnar: a key field has no plain values.
    """
    if not names:
        return lambda records: [None] * len(records)
    if len(names) == 1 and pa.types.is_string(field_of(names[0], fields).arrow) and fields[names[0]].uuid is None:
        return _text_keys(names[0])
    # 0.0 and -0.0 are equal but two keys, and a nested value cannot be hashed.
    kinds = [field_of(name, fields).arrow for name in names]
    exact = not any(pa.types.is_floating(each) or pa.types.is_nested(each) for each in kinds)
    key, values = record_key(names, schema), {name: to_python(field_of(name, fields)) for name in names}

    def keys(records: ColumnarRecords) -> list[bytes | None]:
        parts = list(zip(*(each(records.columns[name]) for name, each in values.items()), strict=True))
        try:
            if exact:
                # The records of a group have one key.
                known = {part: key(dict(zip(names, part, strict=True))) for part in set(parts)}
                return [known[part] for part in parts]
            return [key(dict(zip(names, part, strict=True))) for part in parts]
        except Exception as error:
            raise Doubt(str(error)) from error

    return keys


def _text_keys(name: str) -> Callable[[ColumnarRecords], list[bytes | None]]:
    def keys(records: ColumnarRecords) -> list[bytes | None]:
        made: list[bytes | None] = records.columns[name].cast(pa.binary()).to_pylist()
        if not all(made):
            raise Doubt("an output without a key", np.array([not each for each in made]))
        return made

    return keys
