"""Bodies, media types and methods, with the answers of Confluent's registry 8.5."""

from __future__ import annotations

import json

import httpx2

from tests.registry.sheet import DEFAULT_JSON, JSON, V1, V1_JSON, answer_of


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
