"""What levels, modes, imports, deletes and references allow, with the answers of Confluent's registry 8.5."""

from __future__ import annotations

import httpx2

from tests.registry.schemas import record
from tests.registry.sheet import BROKEN, INVALID, V1, answer_of, register


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
