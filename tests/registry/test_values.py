"""Numbers and texts at the ends of what can be stored, wherever a request has one: never an answer of 5xx."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any, Final

import httpx2
import pytest
from fastapi.routing import APIRoute

from meshport.registry import Registry
from meshport_registry import Settings, create_app
from meshport_registry.catalog.routing import PAGE_CHECKS, PageRoute
from meshport_registry.connections import LARGEST_BODY
from meshport_registry.errors import InvalidRequest, NoSuchPath
from meshport_registry.negotiation import CONFLUENT_CHECKS, EVERY_CHECK, MESH_CHECKS, is_mesh
from meshport_registry.values import MAX_ITEMS, MAX_VALUES, BoundedRoute, java_int, read_json
from tests.registry.schemas import plays, record
from tests.repeats import repeated, repeats

_POWERS: Final = {0, 31, 63, 1024, *range(repeats(suite=0, campaign=129))}
NUMBERS: Final = sorted({sign * 2**power + step for power in _POWERS for step in (-1, 0, 1) for sign in (1, -1)})
TEXTS: Final = {
    "U+0000": "\\u0000",
    "high surrogate": "\\ud800",
    "low surrogate": "a\\udc00",
    "reversed": "\\udc00\\ud800",
}
PATHS: Final = (
    "GET /schemas/ids/{}",
    "GET /schemas/ids/{}/schema",
    "GET /schemas/ids/{}/subjects",
    "GET /schemas/ids/{}/versions",
    "GET /schemas/ids/{}?fetchMaxId=true",
    "GET /schemas/ids/1/subjects?offset={}",
    "GET /schemas/ids/1/versions?limit={}",
    "GET /schemas?offset={}",
    "GET /schemas?limit={}",
    "GET /subjects?offset={}&limit=5",
    "GET /subjects?limit={}",
    "GET /subjects/s/versions?offset={}",
    "GET /subjects/s/versions/{}",
    "GET /subjects/s/versions/{}/schema",
    "GET /subjects/s/versions/{}/referencedby",
    "DELETE /subjects/none/versions/{}",
    "GET /api/v1/dataproducts?offset={}",
    "GET /api/v1/dataproducts?limit={}",
    "GET /api/v1/resolve/player/plays/events?major={}",
    "GET /api/v1/readers/player/plays/events?major={}",
    "GET /api/v1/generations/player/plays/events?major={}",
    "GET /api/v1/schemas/{}",
    "POST /api/v1/waivers/{}/revoke",
    "POST /api/v1/generations/player/plays/events/{}/retire",
)
HOLD: Final = {"holder": "me", "seconds": 30, "phase": "handover"}


def bodies(value: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return requests that have a value at each place of a body that takes a number."""
    reference = {"name": "x", "subject": "s", "version": value}
    by_partition = dict.fromkeys("0123", value)
    return [
        ("POST /subjects/imported/versions", {"schema": record("a"), "id": value}),
        ("POST /subjects/imported/versions", {"schema": record("b"), "version": value}),
        ("POST /subjects/s/versions", {"schema": record("user"), "id": value, "version": value}),
        ("POST /subjects/s/versions", {"schema": record("user"), "references": [reference]}),
        ("POST /subjects/s", {"schema": record("user"), "references": [reference]}),
        ("POST /compatibility/subjects/s/versions", {"schema": record("user"), "references": [reference]}),
        ("POST /api/v1/generations/player/plays/events/open", {"holder": "you", "seconds": value, "made_by": "x"}),
        ("POST /api/v1/generations/player/plays/events/2/hold", HOLD | {"seconds": value}),
        (
            "POST /api/v1/generations/player/plays/events/2/switch",
            {"holder": "you", "ends": by_partition, "begins": {str(value): 1}},
        ),
        ("POST /api/v1/dataproducts/00000000-0000-0000-0000-000000000001/deprecate", {"on": value}),
    ]


@repeated
def test_a_number_at_every_end_is_answered(http: httpx2.Client, registry: Registry) -> None:
    """Every number around a power of two is an ordinary number or refused, in paths, queries and bodies."""
    registry.register(*plays())
    http.post("/subjects/s/versions", json={"schema": record("user")}).raise_for_status()
    http.put("/mode/imported", json={"mode": "IMPORT"}).raise_for_status()
    http.post("/api/v1/generations/player/plays/events/open", json={"holder": "me", "seconds": 60, "made_by": "x"})
    failed = []
    for number in NUMBERS:
        for path in PATHS:
            method, _, target = path.format(number).partition(" ")
            answer = http.request(method, target)
            failed += [(path, number, answer.text)] * (answer.status_code >= 500)
        for value in (number, str(number)) if abs(number) < 10**18 else (number, str(number), float(2**100)):
            for path, body in bodies(value):
                method, _, target = path.partition(" ")
                answer = http.request(method, target, json=body)
                failed += [(path, number, answer.text)] * (answer.status_code >= 500)
    assert failed == []


def test_a_number_of_java_is_read_as_java_reads_it() -> None:
    """Paths and queries of Confluent's API take what `Integer.parseInt` takes, and nothing else that Python would take."""
    taken = {"0": 0, "+1": 1, "-1": -1, "007": 7, "2147483647": 2**31 - 1, "-2147483648": -(2**31), "0" * 5000 + "1": 1}
    assert {text: java_int(text) for text in taken} == taken
    for text in ("", "1_0", " 1", "1 ", "1.0", "2147483648", "-2147483649", "x", "٣", "9" * 5000, "--1"):
        with pytest.raises(NoSuchPath):
            java_int(text)


def test_a_number_that_is_none_is_no_path(http: httpx2.Client) -> None:
    """An id that is no 32-bit number is a path that does not exist, as JAX-RS answers it, and an unknown id is a 40403."""
    for text in ("abc", "1_0", str(2**31), str(2**63), "1e3"):
        answer = http.get(f"/schemas/ids/{text}/versions")
        assert (answer.status_code, answer.json()["error_code"]) == (404, 404)
    assert http.get(f"/schemas/ids/{2**31 - 1}").json()["error_code"] == 40403
    assert http.get("/subjects?offset=2147483648").status_code == 404


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_that_cannot_be_stored_is_refused(http: httpx2.Client, registry: Registry, text: str) -> None:
    """U+0000 and lone surrogates are refused in every text of a body, and a body that is no UTF-8 is refused."""
    registry.register(*plays())
    descriptor = json.loads(plays()[0].model_dump_json(by_alias=True, exclude_none=True))
    places: list[tuple[str, Any]] = [
        ("POST /subjects/s/versions", {"schema": "@"}),
        ("POST /subjects/s/versions", {"schema": record("a"), "schemaType": "@"}),
        (
            "POST /subjects/s/versions",
            {"schema": record("a"), "references": [{"name": "@", "subject": "s", "version": 1}]},
        ),
        (
            "POST /subjects/s/versions",
            {"schema": record("a"), "references": [{"name": "s", "subject": "@", "version": 1}]},
        ),
        ("POST /subjects/s/versions", {"schema": record("a"), "@": 1}),
        ("POST /subjects/s", {"schema": "@"}),
        ("POST /compatibility/subjects/s/versions", {"schema": "@"}),
        ("PUT /config", {"compatibility": "@"}),
        ("PUT /config/s", {"compatibility": "@"}),
        ("PUT /mode/s", {"mode": "@"}),
        ("POST /api/v1/generations/player/plays/events/open", {"holder": "@", "seconds": 30, "made_by": "x"}),
        ("POST /api/v1/generations/player/plays/events/2/abandon", {"holder": "@"}),
        ("POST /api/v1/dataproducts", {"descriptor": descriptor, "schemas": {"@": "{}"}}),
        ("POST /api/v1/gate/check", {"descriptor": descriptor, "schemas": {"events@1": "@"}}),
    ]
    places += [
        ("POST /api/v1/dataproducts", {"descriptor": descriptor | {name: "@"}, "schemas": {}})
        for name in ("description", "owner", "displayName", "domain")
    ]
    for name in ("address", "rule", "path", "approver", "reason", "until"):
        waiver = {
            "address": "player/plays/events@1",
            "rule": "POLYSEME",
            "approver": "a",
            "reason": "b",
            "until": "2030-01-01",
        }
        places.append(("POST /api/v1/waivers", waiver | {name: "@"}))
    for path, body in places:
        method, _, target = path.partition(" ")
        answer = http.request(
            method,
            target,
            content=json.dumps(body).replace('"@"', f'"{text}"'),
            headers={"content-type": "application/json"},
        )
        unreadable = text != TEXTS["U+0000"] and not target.startswith("/api/")  # 400, as at Confluent's registry
        assert answer.status_code == (400 if unreadable else 422), (path, body, answer.text)
    for raw in (b'{"schema": "\xff"}', b'{"schema": "\xed\xa0\x80"}'):
        answer = http.post("/subjects/s/versions", content=raw, headers={"content-type": "application/json"})
        assert answer.status_code == 400


def test_odd_bytes_in_paths_and_queries_are_answered(http: httpx2.Client, registry: Registry) -> None:
    """U+0000, invalid UTF-8 and surrogates in a path or a query are refused, or name nothing."""
    registry.register(*plays())
    odd = ("%00", "a%00", "%ff", "%ED%A0%80", "%C0%80", "%F4%90%80%80", "%", "%zz")
    paths = (
        "/subjects/{}/versions",
        "/subjects/{}/versions/1",
        "/config/{}",
        "/mode/{}",
        "/schemas/guids/{}",
        "/associations/{}",
        "/subjects?subjectPrefix={}",
        "/schemas?subjectPrefix={}",
        "/schemas/ids/1/subjects?subject={}",
        "/api/v1/dataproducts?q={}",
        "/api/v1/dataproducts?tag={}",
        "/api/v1/dataproducts?owner={}",
        "/api/v1/dataproducts?domain={}",
        "/api/v1/dataproducts?{}=1",
        "/api/v1/dataproducts/by-address/{}/plays",
        "/api/v1/dataproducts/{}",
        "/api/v1/resolve/player/{}",
        "/api/v1/resolve/player/plays/{}",
        "/api/v1/readers/player/plays/{}",
        "/api/v1/lineage/{}/plays",
        "/api/v1/generations/{}/plays/events",
        "/api/v1/schemas/{}",
        "/api/v1/waivers?address={}",
    )
    failed = [(path, each) for path in paths for each in odd if http.get(path.format(each)).status_code >= 500]
    assert failed == []
    for path in ("/config/{}", "/mode/{}"):
        name = "mode" if "mode" in path else "compatibility"
        assert http.put(path.format("%00"), json={name: "FULL"}).status_code == 400


def test_a_body_is_read_within_bounds() -> None:
    """Numbers beyond 64 bits, what is no JSON, and more values than any registration has are refused by name."""
    assert read_json(b'{"a": [1, -9223372036854775808, "\\u00e9", 1e300, null]}') == {
        "a": [1, -(2**63), "é", 1e300, None]
    }
    refused = {
        b'{"a": [0, 9223372036854775808]}': "the number at /a/1 is 9223372036854775808",
        b'{"a": {"b": "x\\u0000"}}': "the text at /a/b contains U\\+0000",
        b'{"x\\u0000": 1}': "the text at / contains U\\+0000",
        b'{"a": NaN}': "cannot be read as JSON",
        b'{"a": 1e400}': "cannot be read as JSON",
        b"[" * 3000 + b"]" * 3000: "cannot be read as JSON",
        b"[" + b"0," * MAX_ITEMS + b"0]": f"the list at / has {MAX_ITEMS + 1} items",
        json.dumps(["a"] * MAX_VALUES).encode(): f"more than {MAX_VALUES} values",
    }
    for body, message in refused.items():
        with pytest.raises(InvalidRequest, match=message):
            read_json(body)


@pytest.mark.parametrize("value", [b"[]", b"{}", b"1e9", b'""', b'{"a":"b"}', b'"\\",\\\\"'])
def test_many_values_take_no_memory(value: bytes) -> None:
    """A body of 4 MB with too many values is refused before it is read: a value would take up to 80 bytes for each of its own."""
    body = b"[" + (value + b",") * (LARGEST_BODY // (len(value) + 1) - 1) + value + b"]"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidRequest, match=f"more than {MAX_VALUES} values"):
            read_json(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_commas_within_texts_are_no_values() -> None:
    """A body is refused for its values only: the text of a large schema has as many commas and quotes as it likes."""
    body = {"a": 'x,",\\' * 100_000, "b": ["," for _ in range(MAX_VALUES - 5)]}
    assert read_json(json.dumps(body).encode()) == body


def test_every_route_reads_its_body_within_bounds() -> None:
    """No route of the service reads a body in another way, or skips the checks of its API."""
    every = [each for each in create_app(Settings()).routes if isinstance(each, APIRoute)]
    assert len(every) > 50
    assert [each.path for each in every if not isinstance(each, BoundedRoute)] == []
    checks = {True: list(MESH_CHECKS), False: list(CONFLUENT_CHECKS)}
    pages = [each for each in every if isinstance(each, PageRoute)]
    assert [each.path for each in pages if each.dependencies != list(PAGE_CHECKS)] == []
    others = [each for each in every if each not in pages]
    assert [each.path for each in others if each.dependencies != checks[is_mesh(each.path)]] == ["/health"]
    (probe,) = (each for each in every if each.path == "/health")
    assert probe.dependencies == list(EVERY_CHECK)  # a load balancer adds to the query of a probe what it likes
