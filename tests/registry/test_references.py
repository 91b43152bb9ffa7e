"""References of a schema are bounded by their number and by what they lead to."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from meshport_registry.schemas import MAX_REFERENCED
from meshport_registry.values import MAX_REFERENCES
from tests.registry.schemas import record


def register(
    http: httpx2.Client, subject: str, text: str, references: list[dict[str, Any]] | None = None
) -> httpx2.Response:
    """Register a schema with references."""
    return http.post(f"/subjects/{subject}/versions", json={"schema": text, "references": references})


def code(answer: httpx2.Response) -> tuple[int, int]:
    """Return the HTTP status and the error code."""
    return answer.status_code, answer.json()["error_code"]


def reference(name: str, subject: str = "track", version: int = 1) -> dict[str, Any]:
    """Return a reference in Confluent's format."""
    return {"name": name, "subject": subject, "version": version}


USER = json.dumps({"type": "record", "name": "mesh.Use", "fields": [{"name": "track", "type": "mesh.Track"}]})


def test_too_many_references_are_refused(http: httpx2.Client) -> None:
    """50,000 references are refused before any of them is looked for, on each route that takes a schema."""
    assert register(http, "track", record("title", name="mesh.Track")).status_code == 200
    for count in (MAX_REFERENCES + 1, 50_000):
        many = [reference(f"r{number}") for number in range(count)]
        for path in ("/subjects/s/versions", "/subjects/track", "/compatibility/subjects/s/versions"):
            assert http.post(path, json={"schema": USER, "references": many}).status_code == 422
    most = [reference("mesh.Track"), *(reference(f"r{number}") for number in range(MAX_REFERENCES - 1))]
    assert register(http, "s", USER, most).status_code == 200


def test_a_reference_that_is_given_twice_is_one(http: httpx2.Client) -> None:
    """The same reference twice counts once, and a name that leads to two versions is refused."""
    register(http, "track", record("title", name="mesh.Track"))
    register(http, "track", record("title", "artist?", name="mesh.Track"))
    once = register(http, "s", USER, [reference("mesh.Track")])
    twice = register(http, "s", USER, [reference("mesh.Track"), reference("mesh.Track")])
    assert (once.status_code, twice.status_code, twice.json()["id"]) == (200, 200, once.json()["id"])
    assert twice.json()["references"] == [reference("mesh.Track")]
    assert code(register(http, "s", USER, [reference("mesh.Track"), reference("mesh.Track", version=2)])) == (
        422,
        42201,
    )
    assert code(register(http, "s", USER, [reference("mesh.Track"), reference("x", version=3)])) == (422, 42201)
    assert code(register(http, "s", USER, [reference("mesh.Track"), reference("x", version=2)])) == (422, 42201)


def test_references_to_much_are_refused(http: httpx2.Client) -> None:
    """What references lead to is bounded, also where each schema refers to the one before and adds its own."""
    large = "d" * 250_000

    def link(number: int) -> httpx2.Response:
        fields = [{"name": "before", "type": f"mesh.T{number - 1}"}] if number else []
        text = json.dumps({"type": "record", "name": f"mesh.T{number}", "doc": large, "fields": fields})
        return register(
            http, f"t{number}", text, [reference(f"mesh.T{number - 1}", f"t{number - 1}")] if number else None
        )

    answers = [link(number) for number in range(8)]
    longest = MAX_REFERENCED // len(large)
    assert [each.status_code for each in answers] == [200] * longest + [422] * (8 - longest)
    flat = [
        register(
            http, f"f{number}", json.dumps({"type": "enum", "name": f"mesh.F{number}", "symbols": ["A"], "doc": large})
        )
        for number in range(6)
    ]
    assert {each.status_code for each in flat} == {200}
    several = [reference(f"mesh.F{number}", f"f{number}") for number in range(6)]
    assert code(register(http, "s", '"string"', several)) == (422, 42201)
    assert register(http, "s", '"string"', several[:2]).status_code == 200
