"""Confluent's compatibility checks: a product's subject by its whole contract, any other subject by Avro alone."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from meshport.compat import RULES
from meshport.registry import Registry
from tests.registry.schemas import plays, product, record, schema, waiver_of_track

RULE = "READER_FIELD_MISSING_DEFAULT_VALUE"
SUBJECT = "player.plays.events.v1-value"


def price(scale: int) -> dict[str, Any]:
    """Return a field that is a decimal of that scale."""
    kind = {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": scale}
    return {"name": "price", "type": kind, "default": ""}


def ask(http: httpx2.Client, subject: str, text: str, version: str = "") -> tuple[bool, list[str]]:
    """Return whether a schema is compatible, and the messages."""
    path = f"/compatibility/subjects/{subject}/versions{version}"
    answer = http.post(f"{path}?verbose=true", json={"schema": text})
    assert answer.status_code == 200, answer.text
    assert http.post(path, json={"schema": text}).json() == {"is_compatible": answer.json()["is_compatible"]}
    return answer.json()["is_compatible"], answer.json()["messages"]


@pytest.mark.parametrize("version", ["", "/1", "/latest"])
def test_each_message_begins_with_its_rule(registry: Registry, http: httpx2.Client, version: str) -> None:
    """Every message is `RULE at path: ...`, for a product's subject as for any other."""
    registry.register(*plays())
    http.put("/config/plain", json={"compatibility": "FULL"})
    http.post("/subjects/plain/versions", json={"schema": record("user", "track")})
    for subject in (SUBJECT, "plain"):
        compatible, messages = ask(http, subject, record("user", "device"), version)
        assert not compatible
        assert {each.partition(" ")[0] for each in messages} <= RULES.keys()
        assert sorted(each.partition(":")[0] for each in messages) == [f"{RULE} at device", f"{RULE} at track"]
        assert ask(http, subject, record("user", "track", "device?"), version) == (True, [])


def test_only_a_products_subject_is_judged_more_strictly_than_avro_does(
    registry: Registry, http: httpx2.Client
) -> None:
    """Another scale of a decimal, which Avro reads from the same bytes as another amount, is refused by its rule."""
    registry.register(plays()[0], {"events@1": schema("user", price(2))})
    http.post("/subjects/plain/versions", json={"schema": record("user", price(2))})
    other = record("user", price(3))
    for version in ("", "/1", "/latest"):
        assert ask(http, "plain", other, version) == (True, [])
        compatible, messages = ask(http, SUBJECT, other, version)
        assert not compatible
        assert messages[0].startswith("DECIMAL_SCALE at price: ")
    assert http.post("/subjects/plain/versions", json={"schema": other}).status_code == 200


def test_the_mesh_and_confluents_api_name_the_same_rules(registry: Registry, http: httpx2.Client) -> None:
    """The findings of a refused registration are the messages of the compatibility check."""
    declared = plays()[0]
    registry.register(*plays())
    for candidate in (("user",), ("user", "device"), ("user", {"name": "track", "type": "long"})):
        (verdict,) = registry.judge(declared, {"events@1": schema(*candidate)})
        expected = [str(each) for each in verdict.findings if each.refuses]
        assert expected
        assert ask(http, SUBJECT, record(*candidate)) == (False, expected)


def test_one_version_or_those_of_the_level(registry: Registry, http: httpx2.Client) -> None:
    """A check with a version compares with that one alone, a check without one with all versions of the level."""
    declared = product(outputPorts=[{"key": "user", "compatibility": "BACKWARD_TRANSITIVE"}])
    registry.register(declared, {"events@1": schema("user")})
    registry.register(declared, {"events@1": schema("user", "track?")})
    required = record("user", "track")
    assert ask(http, SUBJECT, required, "/1")[0] is False
    numbers = {version: ask(http, SUBJECT, required, version)[1] for version in ("", "/1")}
    assert "against version 1)" in numbers["/1"][0]
    assert any(f"{RULE} at track" in each for each in numbers[""])
    answer = http.post(f"/compatibility/subjects/{SUBJECT}/versions/7", json={"schema": required})
    assert (answer.status_code, answer.json()["error_code"]) == (404, 40402)


def test_a_waiver_holds_here_too(registry: Registry, http: httpx2.Client) -> None:
    """A waived finding is no message, of either check."""
    registry.register(*plays())
    assert ask(http, SUBJECT, record("user"))[0] is False
    registry.waivers.record(waiver_of_track())
    assert ask(http, SUBJECT, record("user")) == (True, [])


def test_an_unknown_subject_is_compatible_with_any_schema(http: httpx2.Client) -> None:
    """A subject without versions is compatible with any schema, and an unknown version number is an error."""
    assert ask(http, "nobody", record("user"), "/latest") == (True, [])
    assert ask(http, "nobody", record("user")) == (True, [])
    answer = http.post("/compatibility/subjects/nobody/versions/1", json={"schema": record("user")})
    assert (answer.status_code, answer.json()["error_code"]) == (404, 40402)
