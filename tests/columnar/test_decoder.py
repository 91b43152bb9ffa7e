"""Reading columns: types, the verdict on each hostile payload, what is not supported."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshport.codec import Codec, prefix
from meshport.codec.limits import MAX_PAYLOAD
from meshport.codec.varint import long_varint
from meshport.columnar import ColumnarDecoder, ColumnarEncoder, arrow_schema, native, supports
from meshport.compat.samples import samples
from meshport.errors import DecodeError
from tests.codec.hostile import PAYLOADS
from tests.codec.samples import PLAY, play, schema
from tests.codec.strategies import records, schemas
from tests.columnar.rows import rows_of, same
from tests.waiting import PATIENCE_S

PRICE: dict[str, Any] = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}


def _record(*types: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": "Held",
        "fields": [{"name": f"f{at}", "type": form} for at, form in enumerate(types)],
    }


def _logical(kind: str, name: str) -> dict[str, str]:
    return {"type": kind, "logicalType": name}


def test_each_type_of_avro_has_its_arrow_type() -> None:
    """The mapping is the one that the package's docstring states."""
    expected = {
        "boolean": pa.bool_(),
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "string": pa.string(),
        "bytes": pa.binary(),
    }
    logical: list[tuple[Any, Any]] = [
        (_logical("long", "timestamp-millis"), pa.timestamp("ms", "UTC")),
        (_logical("long", "timestamp-micros"), pa.timestamp("us", "UTC")),
        (_logical("long", "timestamp-nanos"), pa.int64()),
        (_logical("long", "local-timestamp-millis"), pa.timestamp("ms")),
        (_logical("long", "local-timestamp-micros"), pa.timestamp("us")),
        (_logical("int", "date"), pa.date32()),
        (_logical("int", "time-millis"), pa.time32("ms")),
        (_logical("long", "time-micros"), pa.time64("us")),
        (_logical("string", "uuid"), pa.string()),
        (PRICE, pa.decimal128(9, 2)),
        ({**PRICE, "precision": 40}, pa.decimal256(40, 2)),
        ({"type": "fixed", "name": "F", "size": 12}, pa.binary(12)),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, pa.string()),
        ({"type": "array", "items": ["null", "int"]}, pa.list_(pa.int32())),
        ({"type": "map", "values": ["null", "int"]}, pa.map_(pa.string(), pa.int32())),
    ]
    pairs = [*expected.items(), *logical]
    found = arrow_schema(schema(_record(*(form for form, _ in pairs))))
    assert found.types == [arrow for _, arrow in pairs]
    assert not any(field.nullable for field in found)
    nullable = arrow_schema(schema(_record(["null", "int"], ["int", "null"])))
    assert nullable.types == [pa.int32()] * 2
    assert all(field.nullable for field in nullable)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("string", "no record"),
        (_record("null"), "'f0' is null and nothing else"),
        (_record(["int", "string"]), "union"),
        (_record({"type": "array", "items": "null"}), "null and nothing else"),
        (_record({"type": "array", "items": {"type": "record", "name": "Empty", "fields": []}}), "has no fields"),
        (_record(["null", "Held"]), "holds itself"),
        (_record({"type": "fixed", "name": "F", "size": 6}), "fixed of 6 bytes"),
        (_record({**PRICE, "precision": 77}), "76 digits"),
        (_record(["null", {**_record(*["long"] * 1500), "name": "Wide"}]), "bytes of memory for 1 of a payload"),
        (
            _record(
                {
                    "type": "array",
                    "items": [
                        "null",
                        {
                            "type": "record",
                            "name": "Wide",
                            "fields": [{"name": f"w{at}", "type": "long"} for at in range(1000)],
                        },
                    ],
                }
            ),
            "memory",
        ),
    ],
)
def test_what_columns_cannot_hold_is_said(form: Any, reason: str) -> None:
    """A schema without safe columns is refused with the reason, and the decoder cannot be made."""
    assert reason in (supports(schema(form)) or "")
    with pytest.raises(ValueError, match=reason):
        ColumnarDecoder(schema(form))


def test_types_that_double_one_another_are_refused() -> None:
    """Schemas whose names, followed, are thousands of types or too deep never reach the native library."""
    form = _record("int")
    for level in range(11):
        twice = [{"name": "a", "type": form}, {"name": "b", "type": form["name"]}]
        form = {"type": "record", "name": f"L{level}", "fields": twice}
    assert "more than 2000 types" in (supports(schema(form)) or "")
    deep: Any = "int"
    for _ in range(30):
        deep = {"type": "array", "items": deep}
    assert "nests more than" in (supports(schema(_record(deep))) or "")


def test_hostile_payloads_get_the_verdict_of_the_codec() -> None:
    """Each payload of the codec's own collection, in a record among good ones: the same error, or the same value."""
    seen = 0
    for name, (form, payload) in PAYLOADS.items():
        held = schema(_record(form))
        if supports(held):
            continue
        seen += 1
        codec = Codec(held)
        good = samples(held)[0]
        batch, errors = ColumnarDecoder(held).decode_good([good] * 20 + [payload] + [good] * 20)
        try:
            value, refusal = codec.decode(payload), {}
        except DecodeError as error:
            value, refusal = None, {20: error.message}
        assert {index: each.message for index, each in errors.items()} == refusal, name
        assert batch.num_rows == 41 - len(refusal)
        assert refusal or same(rows_of(held, batch)[20], value), name
    assert seen > 20


@pytest.mark.parametrize(
    ("form", "payload"),
    [
        ("long", b"\x80\0"),
        ({"type": "array", "items": "int"}, long_varint(-2) + long_varint(2) + b"\2\4\0"),
        ({"type": "array", "items": "int"}, b"\2\2\2\4\0"),
        ({"type": "map", "values": "int"}, b"\4\2k\2\2k\4\0"),
        (PRICE, long_varint(30) + b"\0" * 29 + b"\7"),
        (_logical("string", "uuid"), long_varint(36) + b"ABCDEF00-0000-0000-0000-00000000000F"),
    ],
)
def test_what_is_legal_and_unusual_is_read(form: Any, payload: bytes) -> None:
    """Encodings that no writer of ours makes are read to the codec's value, alone and among others."""
    held = schema(_record(form))
    good = samples(held)[0]
    codec = Codec(held)
    for bodies in ([payload], [good] * 30 + [payload] + [good] * 9, [payload] * 40):
        batch = ColumnarDecoder(held).decode(bodies)
        assert all(
            same(*pair) for pair in zip(rows_of(held, batch), (codec.decode(each) for each in bodies), strict=True)
        )
        assert batch.schema == arrow_schema(held)


def test_the_first_bad_payload_is_named() -> None:
    """The error has the index, the codec's own message and its byte, which counts what stands before."""
    body = Codec(PLAY).encode(play(), prefix(7))
    bodies = [body] * 100
    bodies[41] = bodies[90] = body + b"x"
    with pytest.raises(DecodeError, match=r"^payload 41: the record is followed by 1 more bytes") as caught:
        ColumnarDecoder(PLAY).decode(bodies, 5)
    assert caught.value.offset == len(body)
    batch, errors = ColumnarDecoder(PLAY).decode_good(bodies, 5)
    assert batch.num_rows == 98
    assert sorted(errors) == [41, 90]


def test_bad_payloads_are_found_however_many_they_are() -> None:
    """One bad payload in a thousand, in a hundred and in two: each is refused, and the others stand in order."""
    codec, decoder = Codec(PLAY), ColumnarDecoder(PLAY)
    for every in (2000, 1000, 100, 2):
        bodies = [codec.encode(play(play_id=str(index))) for index in range(2000)]
        bad = range(every // 2, 2000, every)
        for index in bad:
            bodies[index] = bodies[index][:-1]
        batch, errors = decoder.decode_good(bodies)
        assert sorted(errors) == list(bad)
        assert batch.column("play_id").to_pylist() == [str(index) for index in range(2000) if index not in bad]


@settings(suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_schema_is_told_and_read(data: st.DataObject) -> None:
    """Of any schema that the codec takes `supports` gives a verdict; where it is yes, values are the codec's."""
    found = data.draw(schemas())
    if supports(found) is None:
        bodies = [Codec(found).encode(data.draw(records(found))) for _ in range(2)] * 6
        batch = ColumnarDecoder(found).decode(bodies)
        codec = Codec(found)
        expected = [codec.decode(body) for body in bodies]
        assert all(same(*pair) for pair in zip(rows_of(found, batch), expected, strict=True))


def test_a_batch_may_be_empty_or_all_bad() -> None:
    """No payload, and no good one, give a batch of no rows with the full schema."""
    decoder = ColumnarDecoder(PLAY)
    assert decoder.decode([]).num_rows == 0
    batch, errors = decoder.decode_good([b"", b"\1"] * 50)
    assert batch.num_rows == 0
    assert batch.schema == decoder.arrow == arrow_schema(PLAY)
    assert sorted(errors) == list(range(100))


def test_the_samples_of_the_gate_are_read() -> None:
    """The boundary values of every type, as the gate draws them, are the codec's values."""
    kinds = ["timestamp-millis", "timestamp-micros", "local-timestamp-millis", "local-timestamp-micros", "time-micros"]
    held = schema(
        _record(
            *("boolean", "int", "long", "float", "double", "bytes", "string"),
            *(_logical("long", kind) for kind in kinds),
            *(_logical("int", "date"), _logical("int", "time-millis"), _logical("string", "uuid")),
            *({**PRICE, "precision": digits} for digits in (2, 18, 38, 39, 76)),
            {"type": "fixed", "name": "F", "size": 8, "logicalType": "decimal", "precision": 18},
            {"type": "map", "values": ["null", {"type": "array", "items": "string"}]},
        )
    )
    bodies = list(samples(held)) * 10
    batch = ColumnarDecoder(held)._columns(bodies)
    codec = Codec(held)
    assert all(same(*pair) for pair in zip(rows_of(held, batch), map(codec.decode, bodies), strict=True))


def test_a_payload_beyond_the_limit_is_refused() -> None:
    """A payload that the codec finds too long is refused in its message, the others are read."""
    held = schema(_record("string"))
    codec = Codec(held)
    long = long_varint(MAX_PAYLOAD) + b"a" * MAX_PAYLOAD
    batch, errors = ColumnarDecoder(held).decode_good([codec.encode({"f0": "a"})] * 20 + [long])
    assert batch.num_rows == 20
    assert "payload of" in errors[20].message


def test_nothing_needs_the_extra() -> None:
    """Where pyruhvro cannot be imported, `supports` says so and the package imports all the same."""
    script = (
        "import sys; sys.modules['pyruhvro'] = None; sys.modules['pyarrow'] = None\n"
        "import meshport.columnar as columnar\n"
        "from meshport.schema import parse_schema\n"
        'found = parse_schema(\'{"type": "record", "name": "R", "fields": [{"name": "a", "type": "int"}]}\')\n'
        "print(columnar.supports(found))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=PATIENCE_S)
    assert ran.stdout.strip() == "pyruhvro is not installed"


class _Broken:
    """pyruhvro with one function changed."""

    def __init__(self, **changed: Any) -> None:
        import pyruhvro  # noqa: PLC0415 - only here

        self.deserialize_array = changed.get("deserialize_array", pyruhvro.deserialize_array)
        self.serialize_record_batch = changed.get("serialize_record_batch", pyruhvro.serialize_record_batch)


def test_a_library_that_behaves_otherwise_is_not_used() -> None:
    """The self-test passes on the pinned build, and fails on one that reads, writes or refuses otherwise."""
    sound: Any = _Broken()
    assert native.self_test(sound) is None

    def lenient(bodies: list[bytes], wire: str) -> Any:
        try:
            return sound.deserialize_array(bodies, wire)
        except ValueError:
            return sound.deserialize_array([b"\0"], wire)

    def swapped(bodies: list[bytes], wire: str) -> Any:
        return sound.deserialize_array(bodies[::-1], wire)

    assert native.self_test(_Broken(deserialize_array=lenient)) == "it reads an empty payload"
    assert native.self_test(_Broken(deserialize_array=swapped)) == "it writes other bytes than it read"
    assert native.self_test(_Broken(serialize_record_batch=None)) is not None


def test_a_panic_is_a_refusal_and_nothing_else_is_caught() -> None:
    """What Rust panics with becomes a refusal; an interrupt stays one."""

    class PanicException(BaseException):
        """As pyo3's."""

    def panic(*_: Any) -> Any:
        raise PanicException("index out of bounds")

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    assert native.self_test(_Broken(deserialize_array=panic)) == "panic: index out of bounds"
    with pytest.raises(KeyboardInterrupt):
        native.self_test(_Broken(deserialize_array=interrupt))


def test_a_forked_process_reads_row_by_row() -> None:
    """After a fork, where the library would wait for its threads, payloads are read all the same and writing is refused."""
    script = (
        "import os\n"
        "from meshport.codec import Codec\n"
        "from meshport.columnar import ColumnarDecoder, ColumnarEncoder, supports\n"
        "from meshport.errors import EncodeError\n"
        "from tests.codec.samples import PLAY, play\n"
        "bodies = [Codec(PLAY).encode(play())] * 50\n"
        "decoder, encoder = ColumnarDecoder(PLAY), ColumnarEncoder(PLAY)\n"
        "batch = decoder.decode(bodies)\n"
        "assert encoder.encode(batch) == bodies\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    same = decoder.decode(bodies).equals(batch) and 'forked' in supports(PLAY)\n"
        "    try:\n"
        "        encoder.encode(batch)\n"
        "    except EncodeError:\n"
        "        os._exit(0 if same else 1)\n"
        "    os._exit(2)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert ran.stdout.strip() == "0", ran.stderr[-2000:]


def test_names_that_the_native_library_would_refuse_have_columns() -> None:
    """It gets names of our making for types and fields; symbols are its own, so that those beyond ASCII are left to rows."""
    row = {"type": "record", "name": "Zeile", "namespace": "", "fields": [{"name": "größe", "type": ["null", "long"]}]}
    status = {"type": "enum", "name": "Ståtus", "symbols": ["OPEN", "LUKKET"]}
    held = schema(
        {
            "type": "record",
            "name": "名",
            "namespace": "my-team.läden",
            "fields": [
                {"name": "före", "type": ["null", row]},
                {"name": "efter", "type": ["null", "Zeile"]},
                {"name": "s٣", "type": status},
            ],
        }
    )
    rows = [
        {"före": None, "efter": {"größe": 1}, "s٣": "OPEN"},
        {"före": {"größe": None}, "efter": None, "s٣": "LUKKET"},
    ]
    bodies = [Codec(held).encode(each) for each in rows]
    assert [Codec(held).decode(each) for each in bodies] == rows
    batch = ColumnarDecoder(held).decode(bodies)
    assert rows_of(held, batch) == rows
    assert ColumnarEncoder(held).encode(batch) == bodies
    symbols = schema(_record({"type": "enum", "name": "E", "symbols": ["ÅPEN"]}))
    assert "has a symbol of other characters than ASCII" in (supports(symbols) or "")
    assert Codec(symbols).decode(Codec(symbols).encode({"f0": "ÅPEN"})) == {"f0": "ÅPEN"}
