"""Schemas that other tools write, at Confluent's API: invalid logical types are taken, defaults that are no values are not."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from meshport.codec import Codec
from meshport.schema import Schema
from tests.registry.test_confluent_api import code, register


def text_of(form: Any, default: str = "") -> str:
    """Return a record as JSON text; its second field has the type, and the default as JSON text if one is given."""
    rest = f',"default":{default}' if default else ""
    field = f'{{"name":"x","type":{json.dumps(form)}{rest}}}'
    return f'{{"type":"record","name":"R","fields":[{{"name":"a","type":"int"}},{field}]}}'


def strict(text: str) -> Any:
    """Return the data of a JSON text; NaN and Infinity are none (RFC 8259, section 6)."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


DECIMAL = {"type": "bytes", "logicalType": "decimal"}
IGNORED: list[Any] = [
    {**DECIMAL, "precision": 5, "scale": 127},
    DECIMAL,
    {**DECIMAL, "precision": 38, "scale": -3},
    {**DECIMAL, "precision": "10", "scale": "2"},
    {"type": "fixed", "name": "F", "size": 3, "logicalType": "decimal", "precision": 20, "scale": 2},
    {"type": "fixed", "name": "F", "size": 3, "logicalType": "duration"},
    {"type": "bytes", "logicalType": "timestamp-millis"},
    {"type": "bytes", "logicalType": 7},
]


def test_an_invalid_logical_type_is_registered_and_read_as_bytes(http: httpx2.Client) -> None:
    """Avro 1.12, "Logical Types": what is invalid is ignored. The text stays the author's; the value is the underlying one."""
    for number, form in enumerate(IGNORED):
        answer = register(http, f"s{number}-value", text_of(form))
        assert answer.status_code == 200, answer.text
        text = http.get(f"/schemas/ids/{answer.json()['id']}").json()["schema"]
        assert text == text_of(form)
        body = b"\x02" + (b"" if form["type"] == "fixed" else b"\x06") + b"\1\2\3"
        assert Codec(Schema(text)).decode(body) == {"a": 1, "x": b"\1\2\3"}


def test_the_widest_decimal_is_written_down(http: httpx2.Client) -> None:
    """A decimal of 1000 digits is taken; a wider one is refused, which is listed in registry/README.md."""
    assert register(http, "a-value", text_of({**DECIMAL, "precision": 1000})).status_code == 200
    refused = register(http, "b-value", text_of({**DECIMAL, "precision": 1001}))
    assert code(refused) == (422, 42201)
    assert "the precision of a decimal is 1001" in refused.json()["message"]


HELD = {"type": "record", "name": "H", "fields": [{"name": "f", "type": {"type": "float", "unit": "K"}}]}
TAKEN: list[tuple[Any, str]] = [
    ("double", "0"),
    ({"type": "double", "unit": "K"}, "0"),
    ({"type": "float", "connect.default": 0}, "0"),
    ({"type": "double", "polyseme": "amount"}, "0"),
    ({"type": "long", "unit": "s"}, "-1"),
    ([{"type": "double", "unit": "K"}, "null"], "0"),
    (["null", {"type": "double", "unit": "K"}], "0"),
    (HELD, '{"f": 0}'),
    ({"type": "array", "items": {"type": "double", "unit": "K"}}, "[0, 0.5]"),
    ({"type": "map", "values": {"type": "float", "unit": "K"}}, '{"k": 0}'),
    ("double", '"NaN"'),
    ("double", '"1.5"'),
    ({"type": "float", "unit": "K"}, '"-Infinity"'),
    ("float", "16777217"),
    ("float", "3.4028234663852886e38"),
    # The table of defaults knows no logical types, and neither does Java.
    ({"type": "string", "logicalType": "uuid"}, '""'),
    ({**DECIMAL, "precision": 2}, '"\\u00ff\\u00ff\\u00ff"'),
]
REFUSED: list[tuple[Any, str]] = [
    ("double", "NaN"),
    ("double", "-Infinity"),
    ("double", "1e400"),
    ("double", "1" + "0" * 400),
    ("double", '"nan"'),
    ("double", '"1e400"'),
    ("float", '"1e39"'),
    ("double", '"1_0"'),
    ("double", '"\\u0661"'),
    ("double", "true"),
    ("float", "1e39"),
    ("float", "1" + "0" * 39),
    ({"type": "float", "unit": "K"}, "-1e39"),
    (["null", "float"], "1e39"),
    ({"type": "array", "items": "float"}, "[0, 1e39]"),
    ({"type": "map", "values": ["null", "float"]}, '{"k": 1e39}'),
    (HELD, '{"f": 1e39}'),
    (HELD, "{}"),
    ("int", "2147483648"),
    ("int", "1.0"),
    ("int", "true"),
    ("long", "9223372036854775808"),
    ({"type": "array", "items": "long"}, "[9223372036854775808]"),
    ({"type": "enum", "name": "E", "symbols": ["A"]}, '"B"'),
    ({"type": "fixed", "name": "F", "size": 2}, '"a"'),
    ("bytes", '"\\u0100"'),
    ({"type": "map", "values": "bytes"}, '{"k": "\\u0100"}'),
]


def test_a_default_is_a_value_of_its_type(http: httpx2.Client) -> None:
    """Taken defaults are served as strict JSON. A misfit is refused wherever it stands, and the check for it agrees."""
    for number, (form, default) in enumerate(TAKEN):
        answer = register(http, f"s{number}-value", text_of(form, default))
        assert answer.status_code == 200, (form, default, answer.text)
        guid = f"/schemas/ids/{answer.json()['id']}?format=resolved"
        assert strict(http.get(guid).json()["schema"])["fields"][1]["default"] == strict(default)
    for form, default in REFUSED:
        text = text_of(form, default)
        assert code(register(http, "r-value", text)) == (422, 42201), (form, default)
        assert code(http.post("/compatibility/subjects/r-value/versions", json={"schema": text})) == (422, 42201)
    assert "r-value" not in http.get("/subjects").json()


def test_a_schema_that_is_stored_stays_readable(http: httpx2.Client) -> None:
    """An import takes what another registry has stored: it is read, looked up and registered again as it is."""
    text = text_of({"type": "enum", "name": "E", "symbols": ["A"]}, '"B"')
    assert code(register(http, "old-value", text)) == (422, 42201)
    assert http.put("/mode/old-value", json={"mode": "IMPORT"}).status_code == 200
    assert register(http, "old-value", text, id=70, version=1).json()["id"] == 70
    assert http.put("/mode/old-value", json={"mode": "READWRITE"}).status_code == 200
    assert http.get("/schemas/ids/70").json()["schema"] == text
    assert http.post("/subjects/old-value", json={"schema": text}).json()["version"] == 1
    assert register(http, "old-value", text).json()["id"] == 70
    assert register(http, "other-value", text).json()["id"] == 70
