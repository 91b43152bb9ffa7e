"""The generated codec against fastavro: the same bytes, the same values, and no bytes that fastavro alone takes."""

from __future__ import annotations

import random
import re
from typing import Any

from fastavro.validation import validate
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshport.codec import Codec
from meshport.codec.fit import Fitting
from meshport.codec.layout import Layout
from meshport.errors import DecodeError, EncodeError
from meshport.schema import Schema
from tests.codec.strategies import fastavro_read, fastavro_write, loose, parsed, records, schemas
from tests.work import counted

# Lines that decoding may take: for each byte, and for what takes no bytes at all.
LINES_A_BYTE, LINES_A_PAYLOAD = 100, 200_000
MANY = settings(suppress_health_check=list(HealthCheck))


@MANY
@given(st.data())
def test_bytes_and_values_are_those_of_fastavro(data: st.DataObject) -> None:
    """For random schemas and records, encoding gives fastavro's bytes and decoding fastavro's values."""
    schema = data.draw(schemas())
    record = data.draw(records(schema))
    codec = Codec(schema)
    body = fastavro_write(schema, record)
    assert codec.encode(record) == body
    assert codec.encode(record, b"prefix") == b"prefix" + body
    value, _ = fastavro_read(schema, body)
    assert repr(codec.decode(body)) == repr(value)
    assert repr(codec.decode(b"12345" + body, 5)) == repr(value)


@MANY
@given(st.data())
def test_blocks_of_other_writers_are_read(data: st.DataObject) -> None:
    """Arrays and maps in several blocks, with and without their size, give the same values."""
    schema = data.draw(schemas())
    record = data.draw(records(schema))
    body = loose(schema, record, random.Random(data.draw(st.integers(0, 2**32))))
    assert repr(Codec(schema).decode(body)) == repr(fastavro_read(schema, body)[0])


@MANY
@given(st.data())
def test_mutated_bytes_give_a_value_of_fastavro_or_a_decode_error(data: st.DataObject) -> None:
    """Changed bytes are read as fastavro reads them or refused by little work; what Avro allows is never refused."""
    schema = data.draw(schemas())
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    body = loose(schema, data.draw(records(schema)), chance)
    codec = Codec(schema)
    for _ in range(10):
        mutant = _mutate(body, chance)
        with counted(LINES_A_PAYLOAD + LINES_A_BYTE * len(mutant)):
            value, error = _decoded(codec, mutant)
        if error is None:
            try:
                read, used = fastavro_read(schema, mutant)
            except (OverflowError, ValueError) as refusal:
                # We hand on the number of a date or timestamp that Python does not have.
                if not re.search("date value|year|ordinal|magnitude|too large", str(refusal)):
                    raise
            else:
                assert used == len(mutant)
                assert repr(value) == repr(read)
            assert repr(codec.decode(codec.encode(value))) == repr(value)
        else:
            assert -1 <= error.offset <= len(mutant)
            # fastavro rounds a decimal beyond its precision, and runs away on arrays of what takes no bytes.
            if "digits" not in error.message and not Layout(schema).counts_zero_width:
                assert not _is_what_fastavro_writes(schema, mutant), error


@MANY
@given(st.data())
def test_what_does_not_fit_is_an_encode_error_with_its_field(data: st.DataObject) -> None:
    """A record with a foreign value somewhere is written and read back, or refused with the path of the misfit."""
    schema = data.draw(schemas())
    record = data.draw(records(schema))
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    foreign = [
        None,
        True,
        7,
        2**40,
        2**70,
        0.5,
        float("nan"),
        "text",
        b"bytes",
        [],
        {},
        (),
        object(),
        ("a", 1),
        {"x": 1},
    ]
    field = chance.choice(sorted(record))
    record[field] = chance.choice(foreign)
    fitting = Fitting(Layout(schema).named)
    body, error = _encoded(Codec(schema), record)
    if error is None:
        assert fitting.misfit(schema.form, record) is None
        Codec(schema).decode(body)
    else:
        assert error.field.split("[")[0].split(".")[0] == field
        assert "cannot be written" not in error.message


def _decoded(codec: Codec, body: bytes) -> tuple[Any, DecodeError | None]:
    try:
        return codec.decode(body), None
    except DecodeError as error:
        return None, error


def _encoded(codec: Codec, record: Any) -> tuple[bytes, EncodeError | None]:
    try:
        return codec.encode(record), None
    except EncodeError as error:
        return b"", error


def _mutate(body: bytes, chance: random.Random) -> bytes:
    mutant = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(mutant) + 1)
        match chance.randrange(4):
            case 0 if at < len(mutant):
                mutant[at] = chance.randrange(256)
            case 1:
                mutant.insert(at, chance.randrange(256))
            case 2:
                del mutant[at : at + 1]
            case _:
                del mutant[at:]
    return bytes(mutant)


def _is_what_fastavro_writes(schema: Schema, body: bytes) -> bool:
    """Whether fastavro reads all the bytes as a value that is valid and that it writes as these very bytes."""
    try:
        value, used = fastavro_read(schema, body)
        if used != len(body) or not validate(value, parsed(schema), raise_errors=False):
            return False
        return fastavro_write(schema, value) == body
    except Exception:  # noqa: BLE001 - whatever fastavro raises for bytes that are none of its own
        return False
