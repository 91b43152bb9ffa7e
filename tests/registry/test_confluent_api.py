"""Confluent's API beyond what its Python client uses: codes, headers, and parameters of other clients."""

from __future__ import annotations

import json
from typing import Any

import httpx2
from sqlalchemy import create_engine, insert

from meshport.schema import parse_schema
from meshport_registry import tables
from meshport_registry.confluent.schemas import MOST_SCHEMAS
from meshport_registry.settings import database_url
from tests.registry.schemas import record

V1, V2, BROKEN = record("user"), record("user", "track?"), record("user", "track")
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


def register(http: httpx2.Client, subject: str, text: str, **more: Any) -> httpx2.Response:
    """Register a schema."""
    return http.post(f"/subjects/{subject}/versions", json={"schema": text} | more)


def code(answer: httpx2.Response) -> tuple[int, int]:
    """Return the HTTP status and Confluent's error code."""
    return answer.status_code, answer.json()["error_code"]


QUERIES = ["", "subject=plays-value", "fetchMaxId=false&subject=", "deleted=true", "deleted=True", "format="]


def test_a_schema_by_id_is_the_same_however_a_client_asks(http: httpx2.Client) -> None:
    """The parameters that Python, Java, npm and Rust clients add to the schema by id are accepted."""
    register(http, "plays-value", V1)
    for query in QUERIES * 2:
        answer = http.get(f"/schemas/ids/1?{query}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, MEDIA_TYPE), query
        assert json.loads(answer.json()["schema"])["name"] == "mesh.Play"


def test_the_highest_id_is_returned_on_request(http: httpx2.Client) -> None:
    """`fetchMaxId` returns the highest id of all schemas, and leaves a cached response without it as it is."""
    for text in (V1, V2):
        register(http, "plays-value", text)
    assert http.get("/schemas/ids/1?fetchMaxId=True").json()["maxId"] == 2
    assert "maxId" not in http.get("/schemas/ids/1").json()


def test_a_schema_has_the_guid_of_its_fingerprint(http: httpx2.Client) -> None:
    """The GUID is the first half of the SHA-256 fingerprint, the same in every registry."""
    register(http, "plays-value", V1)
    guid = http.get("/subjects/plays-value/versions/1").json()["guid"]
    assert guid.replace("-", "") == parse_schema(V1).fingerprint[:32]
    assert http.get(f"/schemas/guids/{guid}/ids").json() == [{"context": ".", "id": 1}]
    assert http.get(f"/schemas/guids/{guid}").json()["guid"] == guid
    assert code(http.get("/schemas/guids/00000000-0000-0000-0000-000000000000")) == (404, 40403)


def test_two_spellings_of_one_schema_have_one_id(http: httpx2.Client) -> None:
    """Schemas that differ in white space, attribute order or qualification of names have one id."""
    one = register(http, "a", '{"type":"record","namespace":"mesh","name":"P","fields":[]}')
    two = register(http, "b", '{ "name": "mesh.P", "fields": [], "type": "record" }')
    assert one.json()["id"] == two.json()["id"] == 1
    assert http.get("/schemas/ids/1/subjects").json() == ["a", "b"]
    assert http.get("/schemas/ids/1/versions").json() == [
        {"subject": "a", "version": 1},
        {"subject": "b", "version": 1},
    ]


def test_nulls_count_as_absent(http: httpx2.Client) -> None:
    """A field of the body that is null counts as absent."""
    nothing = dict.fromkeys(["schemaType", "references", "metadata", "ruleSet", "id", "version"])
    assert register(http, "a", V1, **nothing).json()["id"] == 1
    assert register(http, "a", V1, schemaType="AVRO", references=[]).json()["id"] == 1


UNFIT: list[tuple[Any, tuple[int, int]]] = [
    ({"schema": "{"}, (422, 42201)),
    ({"schema": '{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":"x"}]}'}, (422, 42201)),
    ({"schema": '{"type":"object"}', "schemaType": "JSON"}, (422, 42201)),
    ({"schema": "message A {}", "schemaType": "PROTOBUF"}, (422, 42201)),
    ({"schema": V1, "metadata": {"properties": {"a": "b"}}}, (422, 42201)),
    ({"schema": V1, "ruleSet": {"domainRules": [{"name": "r"}]}}, (422, 42210)),
    ({"schema": V1, "id": 7}, (422, 42205)),
    ({"schema": V1, "references": [{"name": "x", "subject": "x", "version": 1}]}, (422, 42201)),
    ({}, (422, 42201)),
    ([], (400, 400)),
    (None, (422, 422)),
]


def test_input_that_would_be_lost_or_cannot_be_read_is_refused(http: httpx2.Client) -> None:
    """Another schema type, rules and metadata are refused with their own error codes."""
    for body, expected in UNFIT:
        answer = http.post("/subjects/plays-value/versions", json=body)
        assert code(answer) == expected, body
        assert answer.json()["message"]
    assert http.get("/subjects").json() == []


def test_a_missing_subject_version_or_schema_has_confluents_code(http: httpx2.Client) -> None:
    """Subject, version and schema that do not exist, and text that is no version, have their own error codes."""
    register(http, "plays-value", V1)
    assert code(http.get("/subjects/none/versions")) == (404, 40401)
    assert code(http.get("/subjects/none/versions/1")) == (404, 40401)
    assert code(http.get("/subjects/plays-value/versions/2")) == (404, 40402)
    assert code(http.get("/schemas/ids/9")) == (404, 40403)
    assert code(http.get("/schemas/ids/9/subjects")) == (404, 40403)
    assert code(http.post("/subjects/none", json={"schema": V1})) == (404, 40401)
    assert code(http.post("/subjects/plays-value", json={"schema": V2})) == (404, 40403)
    for version in ("0", "-2", "x", "1.5", "99999999999"):
        assert code(http.get(f"/subjects/plays-value/versions/{version}")) == (422, 42202)
    assert code(http.put("/config", json={"compatibility": "BACKWARDS"})) == (422, 42203)
    assert code(http.put("/mode", json={"mode": "WRITEONLY"})) == (422, 42204)
    assert code(http.delete("/subjects/none")) == (404, 40401)
    assert code(http.delete("/config/none")) == (404, 40401)
    assert code(http.get("/mode/none")) == (404, 40409)
    assert code(http.get("/subjects/:.other:plays/versions")) == (422, 42208)
    assert code(http.get("/nowhere")) == (404, 404)
    assert code(http.put("/subjects")) == (405, 405)


def test_associations_are_not_found(http: httpx2.Client) -> None:
    """An association gets a 404, after which clients since 2.14 use the topic's name."""
    answer = http.get("/associations/resources/-/plays?resourceType=topic&associationType=value")
    assert code(answer) == (404, 40401)


def test_latest_can_be_asked_for_in_two_ways(http: httpx2.Client) -> None:
    """`latest` and -1 are the highest version that is not deleted, with `deleted=true` as well."""
    for text in (V1, V2):
        register(http, "plays-value", text)
    assert http.get("/subjects/plays-value/versions/-1").json()["version"] == 2
    assert http.get("/subjects/plays-value/versions/latest/schema").json() == json.loads(parse_schema(V2).text)
    assert http.get("/schemas/ids/1/schema").json() == json.loads(parse_schema(V1).text)
    assert http.delete("/subjects/plays-value/versions/latest").json() == 2
    assert http.get("/subjects/plays-value/versions/latest").json()["version"] == 1
    assert http.get("/subjects/plays-value/versions/latest?deleted=true").json()["version"] == 1
    assert http.get("/subjects/plays-value/versions?deleted=true").json() == [1, 2]
    assert http.get("/subjects/plays-value/versions?deletedOnly=true").json() == [2]


def test_a_deleted_schema_that_comes_back_takes_a_new_version_and_its_old_id(http: httpx2.Client) -> None:
    """The number of a soft-deleted version is not reused, and an id never names two schemas, even after a permanent delete."""
    for text in (V1, V2):
        register(http, "plays-value", text)
    http.delete("/subjects/plays-value/versions/1")
    again = register(http, "plays-value", V1).json()
    assert (again["id"], again["version"]) == (1, 3)
    assert http.get("/subjects/plays-value/versions?deleted=true").json() == [2, 3]
    assert http.delete("/subjects/plays-value").json() == [2, 3]
    assert code(http.delete("/subjects/plays-value")) == (404, 40404)
    assert http.get("/subjects?deleted=true").json() == ["plays-value"]
    assert http.delete("/subjects/plays-value?permanent=true").json() == [2, 3]
    assert http.get("/subjects?deleted=true").json() == []
    assert http.get("/schemas/ids/2").status_code == 200
    assert register(http, "other", record("x", name="mesh.New")).json()["id"] == 3
    assert register(http, "plays-value", V2).json() | {"schema": "", "guid": ""} == {
        "id": 2,
        "version": 1,
        "schema": "",
        "guid": "",
    }


def test_compatibility_says_why_when_asked(http: httpx2.Client) -> None:
    """`verbose` adds the reasons, and any schema may be a subject's first version."""
    register(http, "plays-value", V1)
    path = "/compatibility/subjects/plays-value/versions"
    for each in (f"{path}/latest", f"{path}/1", path):
        assert http.post(each, json={"schema": BROKEN}).json() == {"is_compatible": False}
        answer = http.post(f"{each}?verbose=True&normalize=False", json={"schema": BROKEN}).json()
        (message,) = answer["messages"]
        assert message.startswith("READER_FIELD_MISSING_DEFAULT_VALUE at track: the new field 'track' has no default")
        assert http.post(f"{each}?verbose=true", json={"schema": V2}).json() == {"is_compatible": True, "messages": []}
    assert code(http.post(f"{path}/7", json={"schema": V2})) == (404, 40402)
    assert http.post("/compatibility/subjects/new/versions/latest", json={"schema": V1}).json() == {
        "is_compatible": True
    }
    assert code(http.post(f"{path}/latest", json={"schema": "{"})) == (422, 42201)


# The changes that each level allows after `b` was removed by the second version:
# `b` added with a default, `b` added without one, another field added without a default.
LEVELS = {
    "NONE": [True, True, True],
    "BACKWARD": [True, False, False],
    "BACKWARD_TRANSITIVE": [True, False, False],
    "FORWARD": [True, True, True],
    "FORWARD_TRANSITIVE": [True, True, True],
    "FULL": [True, False, False],
    "FULL_TRANSITIVE": [True, False, False],
}


def test_the_level_of_a_subject_decides_what_may_follow(http: httpx2.Client) -> None:
    """A registration is checked at each of the seven levels, and the level is returned as it was set."""
    changes = [record("a", "b?"), record("a", "b"), record("a", "d")]
    for level, accepted in LEVELS.items():
        for number, (change, expected) in enumerate(zip(changes, accepted, strict=True)):
            subject = f"{level}-{number}"
            http.put(f"/config/{subject}", json={"compatibility": "NONE"})
            for text in (record("a", "b?"), record("a")):
                assert register(http, subject, text).status_code == 200
            http.put(f"/config/{subject}", json={"compatibility": level.lower()})
            assert http.get(f"/config/{subject}").json() == {"compatibilityLevel": level}
            answer = register(http, subject, change)
            assert answer.status_code == (200 if expected else 409), (level, change, answer.text)


def test_schemas_can_be_listed(http: httpx2.Client) -> None:
    """`/schemas` and `/subjects` list by prefix, the latest version only, and by page."""
    register(http, "a", V1)
    register(http, "a", V2)
    register(http, "b", V1)
    listed = [(each["subject"], each["version"], each["id"]) for each in http.get("/schemas").json()]
    assert listed == [("a", 1, 1), ("a", 2, 2), ("b", 1, 1)]
    latest = http.get("/schemas?latestOnly=true").json()
    assert [(each["subject"], each["version"]) for each in latest] == [("a", 2), ("b", 1)]
    assert len(http.get("/schemas?subjectPrefix=b").json()) == 1
    assert [each["version"] for each in http.get("/schemas?offset=1&limit=1").json()] == [2]
    assert len(http.get("/schemas?offset=1").json()) == 2
    assert http.get("/subjects?offset=1&limit=5").json() == ["b"]
    assert http.get("/subjects?subjectPrefix=a").json() == ["a"]


def test_a_long_list_of_schemas_is_sent_in_parts(database: str, http: httpx2.Client) -> None:
    """A list has every schema and subject once, in order; of schemas a thousand at most, and an offset gets the others."""
    for text in (V1, V2):
        register(http, "a", text)
    names = [f"s{number:04}" for number in range(MOST_SCHEMAS + 5)]
    engine = create_engine(database_url(database))
    with engine.begin() as connection:
        connection.execute(insert(tables.subject), [{"id": 10 + at, "name": each} for at, each in enumerate(names)])
        versions = [
            {"subject_id": 10 + at, "version": 1, "schema_id": 1 + at % 2, "deleted": False, "created_at": 0}
            for at in range(len(names))
        ]
        connection.execute(insert(tables.version), versions)
    engine.dispose()
    for limit in (31, 32, 33, 64, 70):
        answer = http.get(f"/schemas?subjectPrefix=s&limit={limit}", headers={"accept": "application/json"})
        assert answer.headers["content-type"] == "application/json"
        assert [each["subject"] for each in answer.json()] == names[:limit]
        assert [each["schema"] for each in answer.json()] == ([V1, V2] * limit)[:limit]
    for query in ("", "limit=0&", "limit=-1&", f"limit={MOST_SCHEMAS + 1}&", "limit=2147483647&"):
        listed = http.get(f"/schemas?{query}subjectPrefix=s").json()
        assert [each["subject"] for each in listed] == names[:MOST_SCHEMAS]
    others = http.get(f"/schemas?subjectPrefix=s&offset={MOST_SCHEMAS}").json()
    assert [each["subject"] for each in others] == names[MOST_SCHEMAS:]
    assert http.head("/schemas").content == b""
    for limit in (1, 999, MOST_SCHEMAS, MOST_SCHEMAS + 3):
        assert http.get(f"/subjects?subjectPrefix=s&limit={limit}").json() == names[:limit]
    for query in ("", "&limit=0", "&limit=-1", "&deleted=true"):
        assert http.get(f"/subjects?subjectPrefix=s{query}").json() == names
    assert http.get(f"/subjects?subjectPrefix=s&offset=3&limit={MOST_SCHEMAS}").json() == names[3 : MOST_SCHEMAS + 3]
    assert http.get("/subjects?subjectPrefix=s&deletedOnly=true").json() == []


def test_an_import_keeps_ids_and_versions(http: httpx2.Client) -> None:
    """In mode IMPORT a registration takes free ids and versions as given, and later ids follow the highest."""
    assert http.put("/mode/s", json={"mode": "IMPORT"}).json() == {"mode": "IMPORT"}
    assert register(http, "s", V1, id=100, version=4).json()["id"] == 100
    assert register(http, "s", BROKEN, id=90, version=3).json()["version"] == 3
    assert code(register(http, "s", V2, id=100, version=9)) == (422, 42205)
    assert code(register(http, "s", V2, id=101, version=4)) == (422, 42205)
    assert code(register(http, "s", V1, id=101, version=9)) == (422, 42205)
    assert http.get("/subjects/s/versions").json() == [3, 4]
    http.put("/mode/s", json={"mode": "READWRITE"})
    assert register(http, "t", V2).json()["id"] == 101
    assert code(http.put("/mode", json={"mode": "IMPORT"})) == (422, 42205)
    assert http.put("/mode?force=True", json={"mode": "IMPORT"}).json() == {"mode": "IMPORT"}


def test_a_body_that_a_browser_sends_without_preflight_is_refused(http: httpx2.Client) -> None:
    """JSON is accepted under Confluent's content types; forms and plain text, which any web page can send, are refused."""
    content = json.dumps({"schema": V1})
    for kind, status in [
        (MEDIA_TYPE, 200),
        ("application/json", 200),
        ("application/octet-stream", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ]:
        answer = http.post("/subjects/a/versions", content=content, headers={"content-type": kind})
        assert answer.status_code == status, kind


def test_a_body_that_is_too_large_is_refused(http: httpx2.Client) -> None:
    """A body of five megabytes is not read to its end, and a schema of more than 1 MB is invalid."""
    assert http.post("/subjects/a/versions", json={"schema": " " * 5_000_000}).status_code == 413
    large = json.dumps({"type": "enum", "name": "E", "symbols": [f"SYMBOL_{i}" for i in range(80_000)]})
    assert code(register(http, "a", large)) == (422, 42201)


def test_references_are_kept_as_they_were_written(http: httpx2.Client) -> None:
    """A schema with references keeps its text, `format=resolved` inlines them, and the references are part of its identity."""
    register(http, "track", record("title", name="mesh.Track"))
    text = '{"type":"record","name":"mesh.Play","fields":[{"name":"track","type":"mesh.Track"}]}'
    references = [{"name": "mesh.Track", "subject": "track", "version": 1}]
    number = register(http, "plays", text, references=references).json()["id"]
    stored = http.get(f"/schemas/ids/{number}").json()
    assert (json.loads(stored["schema"]), stored["references"]) == (json.loads(text), references)
    resolved = json.loads(http.get(f"/schemas/ids/{number}?format=resolved").json()["schema"])
    assert resolved["fields"][0]["type"]["fields"][0]["name"] == "title"
    inlined = register(http, "plays-inlined", json.dumps(resolved)).json()["id"]
    assert inlined != number
    assert http.get("/subjects/track/versions/1/referencedby").json() == [number]
    assert code(http.delete("/subjects/track/versions/1")) == (422, 42206)
