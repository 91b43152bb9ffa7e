"""A sheet of requests, each with the answer of Confluent's registry 8.5, from its public source and its API reference.

The answers that differ on purpose are listed in registry/README.md, and are not on the sheet.
"""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from meshport.schema import parse_schema
from tests.registry.schemas import record

V1, V2, BROKEN = record("user"), record("user", "track?"), record("user", "track")
INVALID = "{"
V1_JSON, DEFAULT_JSON, JSON = (
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
)


@pytest.fixture
def sheet(http: httpx2.Client) -> httpx2.Client:
    """Return a client of a registry with live, half deleted and deleted subjects.

    `a` has the versions 1 (id 1) and 2 (id 2). `half` has lost version 1, `gone` is soft deleted.
    """
    for subject, texts in (("a", (V1, V2)), ("half", (V1, V2)), ("gone", (V1,)), ("s/1", (V1,))):
        for text in texts:
            assert register(http, subject, text).status_code == 200
    assert http.delete("/subjects/half/versions/1").status_code == 200
    assert http.delete("/subjects/gone").status_code == 200
    return http


def register(http: httpx2.Client, subject: str, text: str | None, query: str = "", **more: Any) -> httpx2.Response:
    """Register a schema."""
    name = subject.replace("/", "%2F")
    return http.post(f"/subjects/{name}/versions{query}", json=({"schema": text} if text is not None else {}) | more)


def answer_of(response: httpx2.Response) -> Any:
    """Return Confluent's error code of an error, or the body of another response, without the schema itself."""
    body = response.json()
    if response.status_code >= 400:
        return response.status_code, body["error_code"]
    if isinstance(body, dict):
        return {key: value for key, value in body.items() if key not in {"schema", "guid", "references"}}
    return body


A2 = {"subject": "a", "version": 2, "id": 2}
READS: list[tuple[str, Any]] = [
    # subjects
    ("/subjects", ["a", "half", "s/1"]),
    ("/subjects/", ["a", "half", "s/1"]),
    ("/subjects?deleted=true", ["a", "gone", "half", "s/1"]),
    ("/subjects?deleted=TRUE", ["a", "gone", "half", "s/1"]),
    ("/subjects?deleted=yes", ["a", "half", "s/1"]),
    ("/subjects?deleted=1", ["a", "half", "s/1"]),
    ("/subjects?deleted=", ["a", "half", "s/1"]),
    ("/subjects?deletedOnly=true", ["gone"]),
    ("/subjects?deletedOnly=true&deleted=true", ["gone"]),
    ("/subjects?subjectPrefix=h", ["half"]),
    ("/subjects?limit=0", ["a", "half", "s/1"]),
    ("/subjects?limit=-7", ["a", "half", "s/1"]),
    ("/subjects?offset=1&limit=1", ["half"]),
    ("/subjects?offset=x", (404, 404)),
    ("/subjects?limit=1_0", (404, 404)),
    ("/subjects?limit=4294967296", (404, 404)),
    # versions of a subject
    ("/subjects/a/versions", [1, 2]),
    ("/subjects/a/versions/", [1, 2]),
    ("/subjects/:.:a/versions", [1, 2]),
    ("/subjects/%61/versions", [1, 2]),
    ("/subjects/s%2F1/versions", [1]),
    ("/subjects/half/versions", [2]),
    ("/subjects/half/versions?deleted=true", [1, 2]),
    ("/subjects/half/versions?deletedOnly=true", [1]),
    ("/subjects/half/versions?deletedAsNegative=true", [-1, 2]),
    ("/subjects/a/versions?deletedOnly=true", []),
    ("/subjects/gone/versions", (404, 40401)),
    ("/subjects/gone/versions?deleted=true", [1]),
    ("/subjects/gone/versions?deletedOnly=True", [1]),
    ("/subjects/none/versions?deletedOnly=true", (404, 40401)),
    ("/subjects/__GLOBAL/versions", (404, 40401)),
    ("/subjects/a%0Ab/versions", (404, 40401)),
    # one version
    ("/subjects/a/versions/2", A2),
    ("/subjects/a/versions/latest", A2),
    ("/subjects/a/versions/LATEST", A2),
    ("/subjects/a/versions/Latest", A2),
    ("/subjects/a/versions/%20latest%20", A2),
    ("/subjects/a/versions/-1", A2),
    ("/subjects/a/versions/+2", A2),
    ("/subjects/a/versions/002", A2),
    ("/subjects/a/versions/3", (404, 40402)),
    ("/subjects/a/versions/0", (422, 42202)),
    ("/subjects/a/versions/-2", (422, 42202)),
    ("/subjects/a/versions/1_0", (422, 42202)),
    ("/subjects/a/versions/1.0", (422, 42202)),
    ("/subjects/a/versions/x", (422, 42202)),
    ("/subjects/a/versions/2147483647", (404, 40402)),
    ("/subjects/a/versions/2147483648", (422, 42202)),
    ("/subjects/none/versions/x", (422, 42202)),
    ("/subjects/none/versions/1", (404, 40401)),
    ("/subjects/half/versions/1", (404, 40402)),
    ("/subjects/half/versions/1?deleted=true", {"subject": "half", "version": 1, "id": 1}),
    ("/subjects/gone/versions/latest", (404, 40401)),
    ("/subjects/gone/versions/latest?deleted=true", (404, 40402)),
    ("/subjects/gone/versions/1?deleted=true", {"subject": "gone", "version": 1, "id": 1}),
    ("/subjects/a/versions/2/referencedby", []),
    ("/subjects/gone/versions/1/referencedby", []),
    ("/subjects/none/versions/1/referencedby", (404, 40401)),
    # schemas by id
    ("/schemas/ids/1", {}),
    ("/schemas/ids/+1", {}),
    ("/schemas/ids/01", {}),
    ("/schemas/ids/1/", {}),
    ("/schemas/ids/1?subject=none", {}),
    ("/schemas/ids/1?fetchMaxId=true", {"maxId": 2}),
    ("/schemas/ids/1?fetchMaxId=yes", {}),
    ("/schemas/ids/3", (404, 40403)),
    ("/schemas/ids/0", (404, 40403)),
    ("/schemas/ids/-1", (404, 40403)),
    ("/schemas/ids/x", (404, 404)),
    ("/schemas/ids/1_0", (404, 404)),
    ("/schemas/ids/1.0", (404, 404)),
    ("/schemas/ids/2147483647", (404, 40403)),
    ("/schemas/ids/2147483648", (404, 404)),
    ("/schemas/ids/9223372036854775808", (404, 404)),
    ("/schemas/ids/x/subjects", (404, 404)),
    ("/schemas/ids/3/subjects", (404, 40403)),
    ("/schemas/ids/3/versions", (404, 40403)),
    ("/schemas/ids/1/subjects", ["a", "s/1"]),
    ("/schemas/ids/1/subjects?deleted=true", ["a", "gone", "half", "s/1"]),
    ("/schemas/ids/2/versions", [{"subject": "a", "version": 2}, {"subject": "half", "version": 2}]),
    ("/schemas/ids/2/versions?limit=1", [{"subject": "a", "version": 2}]),
    ("/schemas/guids/none", (404, 40403)),
    ("/schemas/guids/none/ids", []),
    ("/schemas/types", ["AVRO"]),
    # levels and modes
    ("/config", {"compatibilityLevel": "BACKWARD"}),
    ("/config/:.:", {"compatibilityLevel": "BACKWARD"}),
    ("/config/:.__GLOBAL:", {"compatibilityLevel": "BACKWARD"}),
    ("/config/a", (404, 40408)),
    ("/config/a?defaultToGlobal=TRUE", {"compatibilityLevel": "BACKWARD"}),
    ("/config/none", (404, 40408)),
    ("/config/__GLOBAL", (404, 40408)),
    ("/mode", {"mode": "READWRITE"}),
    ("/mode/:.:", {"mode": "READWRITE"}),
    ("/mode/:.__GLOBAL:", {"mode": "READWRITE"}),
    ("/mode/a", (404, 40409)),
    ("/mode/a?defaultToGlobal=true", {"mode": "READWRITE"}),
    # paths
    ("/nowhere", (404, 404)),
    ("/subjects/%ff/versions", (400, 400)),
    ("/subjects/%zz/versions", (400, 400)),
    ("/subjects/%/versions", (400, 400)),
    ("/schemas/ids/%ff", (400, 400)),
    ("/subjects/a%00/versions", (400, 400)),
    ("/%ff", (400, 400)),
]


def test_reads_are_answered_as_by_confluents_registry(sheet: httpx2.Client) -> None:
    """Each GET of the sheet has Confluent's answer, and HEAD the same status and headers without the body."""
    for path, expected in READS:
        response = sheet.get(path)
        assert answer_of(response) == expected, path
        head = sheet.head(path)
        assert (head.status_code, head.headers, head.content) == (response.status_code, response.headers, b""), path


LOOKUPS: list[tuple[str, Any, Any]] = [
    ("/subjects/a", {"schema": V1}, {"subject": "a", "version": 1, "id": 1}),
    ("/subjects/a?normalize=true", {"schema": V1}, {"subject": "a", "version": 1, "id": 1}),
    ("/subjects/a", {"schema": BROKEN}, (404, 40403)),
    ("/subjects/a", {}, (404, 40403)),
    ("/subjects/none", {}, (404, 40401)),
    ("/subjects/none", {"schema": V1}, (404, 40401)),
    ("/subjects/none", {"schema": INVALID}, (422, 42201)),
    ("/subjects/a", {"schema": INVALID}, (422, 42201)),
    ("/subjects/gone", {"schema": V1}, (404, 40401)),
    ("/subjects/gone?deleted=true", {"schema": V1}, {"subject": "gone", "version": 1, "id": 1}),
    ("/subjects/half", {"schema": V1}, (404, 40403)),
    ("/subjects/half?deleted=true", {"schema": V1}, {"subject": "half", "version": 1, "id": 1}),
    ("/compatibility/subjects/a/versions", {"schema": BROKEN}, {"is_compatible": False}),
    ("/compatibility/subjects/a/versions/latest", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions/LATEST", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions/-1", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions/3", {"schema": V1}, (404, 40402)),
    ("/compatibility/subjects/a/versions/0", {"schema": V1}, (422, 42202)),
    ("/compatibility/subjects/half/versions/1", {"schema": V1}, (404, 40402)),
    ("/compatibility/subjects/none/versions/1", {"schema": V1}, (404, 40402)),
    ("/compatibility/subjects/none/versions/latest", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/none/versions", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions", {"schema": INVALID}, (422, 42201)),
    ("/compatibility/subjects/a/versions", {}, (422, 42201)),
]


def test_lookups_and_checks_are_answered_as_by_confluents_registry(sheet: httpx2.Client) -> None:
    """Each POST of the sheet that changes nothing has Confluent's answer."""
    for path, body, expected in LOOKUPS:
        assert answer_of(sheet.post(path, json=body)) == expected, (path, body)
    verbose = sheet.post("/compatibility/subjects/a/versions?verbose=true", json={"schema": INVALID}).json()
    assert (verbose["is_compatible"], len(verbose["messages"])) == (False, 1)


def test_a_body_that_is_no_json_is_400_and_no_body_is_422(sheet: httpx2.Client) -> None:
    """Text that is no JSON, and JSON of another form, get 400; a missing body and `null` get 422."""
    path, kind = "/subjects/a/versions", {"content-type": V1_JSON}
    for content, status in [
        ("{", 400),
        ("", 422),
        ("null", 422),
        ("[]", 400),
        ('"text"', 400),
        ('{"schema": {"type": "string"}}', 400),
        ('{"schema": "\\"string\\"", "references": {}}', 400),
        ('{"schema": "\\"string\\"", "id": "x"}', 400),
        ('{"schema": "\\"string\\"", "version": true}', 400),
        ('{"schema": NaN}', 400),
    ]:
        response = sheet.post(path, content=content, headers=kind)
        assert answer_of(response) == (status, status), content
    # Jackson takes a number for text and text for a number, and passes over what it does not know.
    assert answer_of(sheet.post(path, json={"schema": 5})) == (422, 42201)
    assert answer_of(sheet.post("/subjects/b/versions", json={"schema": V1, "version": "1", "x": 1})) == {
        "id": 1,
        "version": 1,
    }
    assert answer_of(sheet.put("/config", json={"compatibility": 5})) == (422, 42203)
    assert answer_of(sheet.put("/mode", json={"mode": ""})) == (422, 42204)


def test_the_media_type_is_the_one_that_the_client_prefers(sheet: httpx2.Client) -> None:
    """The three media types are answered by `Accept`, and a client that accepts none of them gets 406."""
    for accept, expected in [
        ("", V1_JSON),
        ("*/*", V1_JSON),
        ("application/*", V1_JSON),
        (V1_JSON, V1_JSON),
        (DEFAULT_JSON, DEFAULT_JSON),
        (JSON, JSON),
        (f"{JSON}, */*", V1_JSON),
        (f"{JSON}, */*;q=0.5", JSON),
        (f"{V1_JSON};q=0.2, {JSON}", JSON),
        (f"{V1_JSON}, {DEFAULT_JSON}, {JSON}", V1_JSON),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", V1_JSON),
        ("text/html, application/xhtml+xml, */*;q=0.8", V1_JSON),
        ("text/html", None),
        ("application/octet-stream", None),
        ("application/json;q=0", None),
        ("text/plain, image/*", None),
    ]:
        for path, status in (("/subjects", 200), ("/schemas/ids/1", 200), ("/schemas/ids/3", 404), ("/config/a", 404)):
            response = sheet.get(path, headers={"accept": accept})
            found = (response.status_code, response.headers["content-type"])
            assert found == ((status, expected) if expected else (406, V1_JSON)), (accept, path)
            if not expected:
                assert answer_of(response) == (406, 406)
        assert sheet.get("/nowhere", headers={"accept": accept}).status_code == 404
    assert sheet.get("/api/v1/dataproducts", headers={"accept": "text/html"}).status_code == 200


def test_a_method_that_a_path_lacks_is_405_and_named(sheet: httpx2.Client) -> None:
    """405 names the methods of all routes of the path in `Allow`, and OPTIONS returns the same."""
    for path, methods in [
        ("/subjects", "GET, HEAD, OPTIONS"),
        ("/subjects/a", "DELETE, OPTIONS, POST"),
        ("/subjects/a/versions", "GET, HEAD, OPTIONS, POST"),
        ("/subjects/a/versions/1", "DELETE, GET, HEAD, OPTIONS"),
        ("/config", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/mode/a", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/api/v1/dataproducts", "GET, HEAD, OPTIONS, POST"),
    ]:
        response = sheet.patch(path)
        assert (response.status_code, response.headers["allow"]) == (405, methods), path
        assert response.json().get("error_code", 405) == 405
        options = sheet.options(path)
        assert (options.status_code, options.headers["allow"]) == (200, methods), path
    assert sheet.head("/subjects/a").status_code == 405
    assert sheet.options("/nowhere").status_code == 404


def test_only_json_is_taken(sheet: httpx2.Client) -> None:
    """A body of Confluent's content types is taken; a form, plain text and a body without a type are refused."""
    content = json.dumps({"schema": V1})
    for kind, status in [
        (V1_JSON, 200),
        (f"{V1_JSON}; charset=utf-8", 200),
        (DEFAULT_JSON, 200),
        (JSON, 200),
        ("application/octet-stream", 200),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ]:
        response = sheet.post("/subjects/a/versions", content=content, headers={"content-type": kind} if kind else {})
        assert response.status_code == status, kind
    assert sheet.request("GET", "/subjects", headers={"content-type": "text/plain"}).status_code == 200


def test_names_that_no_subject_may_have(sheet: httpx2.Client) -> None:
    """Reserved and unprintable names are refused where something would be written, with 42208."""
    for name in ("__GLOBAL", "__EMPTY", ":.:__GLOBAL", "a%0Ab", "a%C2%85b", "x" * 501):
        assert answer_of(sheet.post(f"/subjects/{name}/versions", json={"schema": V1})) == (422, 42208), name
        assert answer_of(sheet.put(f"/config/{name}", json={"compatibility": "FULL"})) == (422, 42208), name
        assert answer_of(sheet.put(f"/mode/{name}", json={"mode": "READONLY"})) == (422, 42208), name
    assert answer_of(sheet.post("/subjects/:.__GLOBAL:/versions", json={"schema": V1})) == (422, 42208)
    assert answer_of(sheet.post("/subjects/:.:/versions", json={"schema": V1})) == (422, 42208)


def test_the_global_context_holds_where_nothing_else_is_set(sheet: httpx2.Client) -> None:
    """`:.__GLOBAL:` is behind the default context: its level and mode hold where neither subject nor context has any."""
    assert sheet.put("/config/:.__GLOBAL:", json={"compatibility": "full"}).json() == {"compatibility": "FULL"}
    assert sheet.put("/mode/:.__GLOBAL:", json={"mode": "READONLY"}).json() == {"mode": "READONLY"}
    assert sheet.get("/config/:.__GLOBAL:").json() == {"compatibilityLevel": "FULL"}
    assert sheet.get("/config").json() == {"compatibilityLevel": "BACKWARD"}
    assert sheet.get("/config?defaultToGlobal=true").json() == {"compatibilityLevel": "FULL"}
    assert sheet.get("/config/a?defaultToGlobal=true").json() == {"compatibilityLevel": "FULL"}
    assert sheet.get("/mode/a?defaultToGlobal=true").json() == {"mode": "READONLY"}
    assert answer_of(register(sheet, "a", BROKEN)) == (422, 42205)
    sheet.put("/mode/:.:", json={"mode": "READWRITE"})
    assert sheet.get("/mode").json() == {"mode": "READWRITE"}
    assert answer_of(register(sheet, "b", V1)) == {"id": 1, "version": 1}
    sheet.put("/config", json={"compatibility": "NONE"})
    assert sheet.get("/config/a?defaultToGlobal=true").json() == {"compatibilityLevel": "NONE"}
    assert sheet.delete("/mode/:.__GLOBAL:").json() == {"mode": "READONLY"}
    assert sheet.get("/mode/:.__GLOBAL:").json() == {"mode": "READWRITE"}


def test_what_a_read_only_mode_forbids(sheet: httpx2.Client) -> None:
    """READONLY forbids schemas, deletes and levels, of the registry and of one subject; modes can still be set."""
    for target, subject in (("/mode", "a"), ("/mode/a", "a"), ("/mode/:.__GLOBAL:", "a")):
        for mode in ("READONLY", "readonly_override"):
            assert sheet.put(target, json={"mode": mode}).json() == {"mode": mode}
            assert answer_of(register(sheet, subject, BROKEN)) == (422, 42205), (target, mode)
            assert answer_of(register(sheet, subject, V1)) == {"id": 1, "version": 1}, "it is registered already"
            assert answer_of(register(sheet, subject, INVALID)) == (422, 42201)
            assert answer_of(sheet.delete(f"/subjects/{subject}")) == (422, 42205)
            assert answer_of(sheet.delete(f"/subjects/{subject}/versions/1")) == (422, 42205)
            assert answer_of(sheet.delete(f"/subjects/{subject}/versions/9")) == (404, 40402)
            assert answer_of(sheet.delete("/subjects/none")) == (404, 40401)
            assert answer_of(sheet.put(f"/config/{subject}", json={"compatibility": "NONE"})) == (422, 42205)
            assert answer_of(sheet.delete(f"/config/{subject}")) == (404, 40401)
        assert sheet.delete(target).json() == {"mode": "READONLY_OVERRIDE"}
    sheet.put("/mode", json={"mode": "READONLY"})
    assert answer_of(sheet.put("/config", json={"compatibility": "NONE"})) == (422, 42205)
    assert answer_of(sheet.delete("/config")) == (422, 42205)
    sheet.put("/mode/a", json={"mode": "READWRITE"})
    assert answer_of(sheet.delete("/subjects/a/versions/1")) == 1, "the subject's own mode wins over READONLY"
    sheet.put("/mode", json={"mode": "READONLY_OVERRIDE"})
    assert answer_of(sheet.delete("/subjects/a/versions/2")) == (422, 42205), "and not over READONLY_OVERRIDE"
    assert sheet.get("/mode/a").json() == {"mode": "READWRITE"}
    assert sheet.delete("/mode?recursive=true").json() == {"mode": "READONLY_OVERRIDE"}
    assert answer_of(sheet.get("/mode/a")) == (404, 40409)


def test_what_an_import_takes(sheet: httpx2.Client) -> None:
    """IMPORT needs an id with each schema and an empty subject, and forgets what is soft deleted."""
    assert answer_of(sheet.put("/mode/a", json={"mode": "IMPORT"})) == (422, 42205)
    assert answer_of(sheet.put("/mode/half", json={"mode": "IMPORT"})) == (422, 42205)
    assert answer_of(sheet.put("/mode", json={"mode": "IMPORT"})) == (422, 42205)
    assert sheet.put("/mode/gone", json={"mode": "import"}).json() == {"mode": "import"}
    assert answer_of(sheet.get("/subjects/gone/versions?deleted=true")) == (404, 40401)
    assert answer_of(register(sheet, "gone", BROKEN)) == (422, 42205)
    assert answer_of(register(sheet, "gone", BROKEN, id=50, version=7)) == {"id": 50, "version": 7}
    assert answer_of(register(sheet, "gone", BROKEN)) == {"id": 50, "version": 7}, "it is registered already"
    assert answer_of(register(sheet, "gone", BROKEN, id=50, version=7)) == {"id": 50, "version": 7}
    assert sheet.put("/mode/gone", json={"mode": "IMPORT"}).json() == {"mode": "IMPORT"}, "it is in this mode already"
    assert answer_of(register(sheet, "a", BROKEN, id=60)) == (422, 42205)
    assert answer_of(register(sheet, "a", V1, id=1)) == {"id": 1, "version": 1}, "it has this id already"
    assert answer_of(register(sheet, "a", V1, id=-1)) == {"id": 1, "version": 1}
    assert sheet.put("/mode/a?force=true", json={"mode": "IMPORT"}).json() == {"mode": "IMPORT"}
    assert sheet.put("/mode/a", json={"mode": None}).json() == {"mode": None}
    assert answer_of(sheet.get("/mode/a")) == (404, 40409)


def test_a_version_may_be_given_if_it_is_the_next_one(sheet: httpx2.Client) -> None:
    """In mode READWRITE a given version has to be the next one, or the one that the schema has."""
    third = record("user", "track?", "city?")
    assert answer_of(register(sheet, "a", third, version=5)) == (422, 42201)
    assert answer_of(register(sheet, "a", third, version=3)) == {"id": 3, "version": 3}
    assert answer_of(register(sheet, "a", third, version=3)) == {"id": 3, "version": 3}
    assert answer_of(register(sheet, "a", third, version=-1)) == {"id": 3, "version": 3}
    assert answer_of(register(sheet, "a", None)) == {"id": 3, "version": 3}, "an empty schema is the newest one"
    assert answer_of(register(sheet, "new", None)) == (422, 42201)


def test_what_a_delete_refuses_and_keeps(sheet: httpx2.Client) -> None:
    """A version is deleted softly first; `latest` is never a deleted one; levels last until nothing is left."""
    sheet.put("/config/a", json={"compatibility": "NONE"})
    assert answer_of(sheet.delete("/subjects/a/versions/2?permanent=true")) == (404, 40407)
    assert answer_of(sheet.delete("/subjects/a/versions/LATEST")) == 2
    assert answer_of(sheet.delete("/subjects/a/versions/2")) == (404, 40406)
    assert answer_of(sheet.delete("/subjects/a/versions/latest?permanent=true")) == (404, 40407)
    assert answer_of(sheet.delete("/subjects/a?permanent=true")) == (404, 40405)
    assert answer_of(sheet.delete("/subjects/a")) == [1]
    assert answer_of(sheet.delete("/subjects/a")) == (404, 40404)
    assert answer_of(sheet.delete("/subjects/a/versions/latest?permanent=true")) == (404, 40402)
    assert sheet.get("/config/a").json() == {"compatibilityLevel": "NONE"}
    assert answer_of(sheet.delete("/subjects/a/versions/2?permanent=yes")) == (404, 40406)
    assert answer_of(sheet.delete("/subjects/a/versions/2?permanent=TRUE")) == 2
    assert sheet.get("/config/a").json() == {"compatibilityLevel": "NONE"}
    assert answer_of(sheet.delete("/subjects/a/versions/1?permanent=true")) == 1
    assert answer_of(sheet.get("/config/a")) == (404, 40408)


def test_references_that_a_delete_heeds(http: httpx2.Client) -> None:
    """A soft delete heeds live referrers, a permanent one every referrer, and a subject's own go with it."""
    register(http, "track", record("title", name="mesh.Track"))
    text = '{"type":"record","name":"mesh.Play","fields":[{"name":"track","type":"mesh.Track"}]}'
    one = [{"name": "mesh.Track", "subject": "track", "version": 1}]
    number = register(http, "play", text, references=one).json()["id"]
    assert answer_of(http.delete("/subjects/track")) == (422, 42206)
    assert answer_of(http.delete("/subjects/track/versions/1")) == (422, 42206)
    assert answer_of(http.delete("/subjects/play")) == [1]
    assert http.get("/subjects/track/versions/1/referencedby").json() == []
    assert http.get("/subjects/track/versions/1/referencedby?deleted=true").json() == [number]
    assert answer_of(http.delete("/subjects/track")) == [1]
    assert answer_of(http.delete("/subjects/track?permanent=true")) == (422, 42206)
    assert answer_of(http.delete("/subjects/play?permanent=true")) == [1]
    assert answer_of(http.delete("/subjects/track?permanent=true")) == [1]
    # a subject that refers to its own first version
    register(http, "own", record("title", name="mesh.Track"))
    http.put("/config/own", json={"compatibility": "NONE"})
    assert answer_of(register(http, "own", text, references=[{**one[0], "subject": "own"}])) == {"id": 3, "version": 2}
    assert answer_of(http.delete("/subjects/own/versions/1")) == (422, 42206)
    assert answer_of(http.delete("/subjects/own")) == [1, 2]


def test_a_schema_with_its_references_inlined_is_found(http: httpx2.Client) -> None:
    """A subject whose version has references knows the same schema without any, as serializers send it."""
    register(http, "track", record("title", name="mesh.Track"))
    text = '{"type":"record","name":"mesh.Play","fields":[{"name":"track","type":"mesh.Track"}]}'
    references = [{"name": "mesh.Track", "subject": "track", "version": 1}]
    first = answer_of(register(http, "play", text, references=references))
    inlined = http.get(f"/schemas/ids/{first['id']}?format=resolved").json()["schema"]
    assert answer_of(register(http, "play", inlined)) == first
    assert answer_of(http.post("/subjects/play", json={"schema": inlined})) == first | {"subject": "play"}
    for broken in ({"name": "mesh.Track"}, {"name": "mesh.Track", "subject": "track", "version": 9}):
        assert answer_of(register(http, "play", text, references=[broken])) == (422, 42201), broken


def test_levels_and_modes_are_set_and_removed(sheet: httpx2.Client) -> None:
    """PUT returns what was set, null removes it, an empty body changes no level, and unknown settings are refused."""
    assert sheet.put("/config/a", json={"compatibility": "forward"}).json() == {"compatibility": "FORWARD"}
    assert sheet.put("/config/a", json={}).status_code == 200
    assert sheet.get("/config/a").json() == {"compatibilityLevel": "FORWARD"}
    assert sheet.put("/config/a", json={"compatibility": None}).json() == {}
    assert answer_of(sheet.get("/config/a")) == (404, 40408)
    assert answer_of(sheet.delete("/config/a")) == (404, 40401)
    assert answer_of(sheet.delete("/mode/a")) == (404, 40401)
    assert answer_of(sheet.put("/config/a", json={"compatibility": "FULL", "alias": "b"})) == (422, 42205)
    assert sheet.put("/config/a", json={"compatibility": "FULL", "normalize": False}).status_code == 200
    assert sheet.delete("/config/a").json() == {"compatibilityLevel": "FULL"}
    assert answer_of(sheet.put("/mode/a", json={"mode": "FORWARD"})) == (422, 42204)


def test_the_authors_own_text_is_answered(http: httpx2.Client) -> None:
    """Every route that shows a schema shows it as its author wrote it; `format=resolved` shows the canonical form."""
    text = (
        '{\n  "type": "record", "name": "Order", "namespace": "conf",\n  "fields": [{"type": "long", "name": "n"}]\n}'
    )
    canonical = parse_schema(text).text
    number = register(http, "orders", text).json()
    assert number["schema"] == text
    for path in (
        f"/schemas/ids/{number['id']}",
        f"/schemas/ids/{number['id']}?subject=orders",
        f"/schemas/guids/{number['guid']}",
        "/subjects/orders/versions/1",
        "/subjects/orders/versions/latest",
    ):
        assert http.get(path).json()["schema"] == text, path
        resolved = f"{path}{'&' if '?' in path else '?'}format=resolved"
        assert http.get(resolved).json()["schema"] == canonical, path
    assert http.get("/schemas").json()[0]["schema"] == text
    assert http.post("/subjects/orders", json={"schema": canonical}).json()["schema"] == text
    for path in (f"/schemas/ids/{number['id']}/schema", "/subjects/orders/versions/1/schema"):
        assert http.get(path).text == text
        assert http.get(f"{path}?format=RESOLVED").text == canonical


def test_two_spellings_have_one_id_and_the_text_that_came_first(http: httpx2.Client) -> None:
    """A schema's identity is its canonical form: another spelling gets the id, and the first text stays."""
    first = '{"type": "record", "namespace": "mesh", "name": "P", "fields": []}'
    for subject, text in (("a", first), ("b", '{"name":"mesh.P","type":"record","fields":[]}'), ("a", " " + first)):
        answer = register(http, subject, text).json()
        assert (answer["id"], answer["version"], answer["schema"]) == (1, 1, first)
    assert register(http, "c", first, "?normalize=true").json()["schema"] == first
    other = '{"type": "record", "namespace": "mesh", "name": "Q", "fields": []}'
    assert register(http, "d", other, "?normalize=true").json()["schema"] == parse_schema(other).text


def test_a_normalized_schema_keeps_its_references(http: httpx2.Client) -> None:
    """`normalize` stores the canonical form, in which a type of another subject stays a name."""
    register(http, "track", record("title", name="mesh.Track"))
    text = '{ "fields": [{"type": "mesh.Track", "name": "t"}], "name": "Play", "namespace": "mesh", "type": "record" }'
    references = [{"name": "mesh.Track", "subject": "track", "version": 1}]
    stored = register(http, "play", text, "?normalize=true", references=references).json()["schema"]
    assert stored == '{"name":"mesh.Play","type":"record","fields":[{"name":"t","type":"mesh.Track"}]}'


def test_a_text_that_parsers_read_in_different_ways_is_stored_as_it_was_understood(http: httpx2.Client) -> None:
    """A key that is repeated, and a bare type name, are stored as plain JSON, so that every client reads the same."""
    for number, (text, stored) in enumerate(
        [
            ("string", '"string"'),
            (
                '{"type":"record","name":"A","name":"B","fields":[]}',
                '{"name":"B","type":"record","fields":[]}',
            ),
        ]
    ):
        answer = register(http, f"s{number}", text).json()
        assert answer["schema"] == stored
        assert http.get(f"/schemas/ids/{answer['id']}").json()["schema"] == stored
