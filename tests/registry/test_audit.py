"""The audit at the registry: each change and each refusal has one entry, and no entry is changed unseen."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import httpx2
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DatabaseError

from meshport.audit import NO_HASH, AuditEntry, AuditHead, AuditOutcome, AuditPage, audit_hash
from meshport.catalog import Deprecation, ProductRegistration, Removal, Retirement
from meshport.errors import AuditBroken
from meshport.generations import HoldRequest, OpenGeneration, Phase, Release, Switch
from meshport.policy import Action
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport_registry import Settings, create_app, running
from meshport_registry.audit import AuditRecord, append
from meshport_registry.audit.call import CHANGES_NOTHING
from meshport_registry.identity.code_flow import CALLBACK, START
from meshport_registry.rights.guard import READING
from meshport_registry.rights.route_table import ROUTES
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.plain_http import plain_http
from tests.registry.door import bearer, made_key
from tests.registry.replay_requests import replay_request
from tests.registry.schemas import plays, waiver_of_track
from tests.registry.sheet import BROKEN, V1, V2, register

Route = tuple[str, str]
LINE: Final = "/api/v1/generations/player/plays/events"
GENERATION: Final = "/api/v1/generations/{domain}/{product}/{port}"
PRODUCT: Final = f"/api/v1/dataproducts/{plays()[0].id}"
REPLAY: Final = "/api/v1/replays/{job}"
GUID: Final = "/api/v1/dataproducts/{guid}"
OPEN: Final = OpenGeneration(holder="me", seconds=30, made_by="logic")
OFFSETS: Final = dict.fromkeys(range(4), 7)
# Confidential, so that not every known caller may read it.
PLAYS, SCHEMAS = plays(classification="confidential", outputPorts=[{"key": "user", "replay": "approval"}])
DECLARED: Final = ProductRegistration(descriptor=PLAYS, schemas={port: each.text for port, each in SCHEMAS.items()})
# For another product than the caller without rights, who may ask for itself.
ASKED: Final = {"address": "player/plays", "reader": "billing/reports", "purpose": "reports"}
ACTIVITY: Final = "/catalog/activity/{domain}/{product}"
WAIVED: Final = {"line": "events@1"} | waiver_of_track().model_dump(mode="json", exclude={"address"})
PROBLEM: Final = {"address": "player/plays", "title": "no plays since noon"}
# Calls that change something, in an order in which all of them can: the route, the path and the body of each.
CHANGES: Final[list[tuple[Route, str, Any]]] = [
    (("POST", "/api/v1/dataproducts"), "/api/v1/dataproducts", DECLARED),
    (("POST", "/api/v1/waivers"), "/api/v1/waivers", waiver_of_track()),
    (("POST", "/api/v1/waivers/{number}/revoke"), "/api/v1/waivers/1/revoke", None),
    (("POST", f"{GENERATION}/open"), f"{LINE}/open?major=1", OPEN),
    (("POST", f"{GENERATION}/{{number}}/release"), f"{LINE}/2/release?major=1", Release(holder="me")),
    (("POST", f"{GENERATION}/open"), f"{LINE}/open?major=1", OPEN),
    (
        ("POST", f"{GENERATION}/{{number}}/hold"),
        f"{LINE}/2/hold?major=1",
        HoldRequest(holder="me", seconds=30, phase=Phase.HANDOVER),
    ),
    (
        ("POST", f"{GENERATION}/{{number}}/switch"),
        f"{LINE}/2/switch?major=1",
        Switch(holder="me", ends=OFFSETS, begins=OFFSETS),
    ),
    (("POST", f"{GENERATION}/{{number}}/retire"), f"{LINE}/1/retire?major=1", None),
    (("POST", f"{GENERATION}/open"), f"{LINE}/open?major=1", OPEN),
    (("POST", f"{GENERATION}/{{number}}/abandon"), f"{LINE}/3/abandon?major=1", Release(holder="me")),
    (("POST", "/api/v1/access"), "/api/v1/access", ASKED),
    (("POST", "/api/v1/access/{number}/grant"), "/api/v1/access/1/grant", {"until": "2100-01-01T00:00:00Z"}),
    (("POST", "/api/v1/access/{number}/revoke"), "/api/v1/access/1/revoke", {"reason": "enough"}),
    (("POST", "/api/v1/access"), "/api/v1/access", ASKED),
    (("POST", "/api/v1/access/{number}/refuse"), "/api/v1/access/2/refuse", {"reason": "enough"}),
    (("POST", "/catalog/access/{domain}/{product}"), "/catalog/access/player/plays", ASKED),
    (("POST", "/catalog/grants/{number}/grant"), "/catalog/grants/3/grant", {"until": "2100-01-01"}),
    (("POST", "/catalog/grants/{number}/revoke"), "/catalog/grants/3/revoke", {"reason": "enough"}),
    (("POST", "/api/v1/access"), "/api/v1/access", ASKED),
    (("POST", "/catalog/grants/{number}/refuse"), "/catalog/grants/4/refuse", {"reason": "enough"}),
    (("POST", f"{ACTIVITY}/waive"), "/catalog/activity/player/plays/waive", WAIVED),
    (("POST", f"{ACTIVITY}/deprecate"), "/catalog/activity/player/plays/deprecate", {"on": "2100-01-01"}),
    (("POST", f"{ACTIVITY}/activate"), "/catalog/activity/player/plays/activate", {"sure": "yes"}),
    (("POST", "/api/v1/problems"), "/api/v1/problems", PROBLEM),
    (("POST", "/api/v1/problems/{number}/answer"), "/api/v1/problems/1/answer", {"text": "we are on it"}),
    (("POST", "/api/v1/problems/{number}/close"), "/api/v1/problems/1/close", {"reason": "mended"}),
    (("POST", "/api/v1/problems"), "/api/v1/problems", PROBLEM),
    (("POST", "/catalog/problems/{domain}/{product}"), "/catalog/problems/player/plays", {"title": "late"}),
    (("POST", "/catalog/reports/{number}/answer"), "/catalog/reports/3/answer", {"text": "we are on it"}),
    (("POST", "/catalog/reports/{number}/close"), "/catalog/reports/3/close", {"text": "mended"}),
    (("POST", "/api/v1/problems/{number}/withdraw"), "/api/v1/problems/2/withdraw", {"reason": "our own fault"}),
    (("POST", "/api/v1/replays"), "/api/v1/replays", replay_request(topic="player.plays.events.v1.g2")),
    (("POST", f"{REPLAY}/approve"), "/api/v1/replays/JOB/approve", None),
    (("POST", f"{REPLAY}/pause"), "/api/v1/replays/JOB/pause", None),
    (("POST", f"{REPLAY}/resume"), "/api/v1/replays/JOB/resume", None),
    (("POST", f"{REPLAY}/cancel"), "/api/v1/replays/JOB/cancel", {"reason": "enough"}),
    (("POST", "/api/v1/access/acls"), "/api/v1/access/acls", {"added": []}),
    (("POST", f"{GUID}/deprecate"), f"{PRODUCT}/deprecate", Deprecation(on=utc_today())),
    (("POST", f"{GUID}/activate"), f"{PRODUCT}/activate", None),
    (("POST", f"{ACTIVITY}/retire"), "/catalog/activity/player/plays/retire", {"confirm": "player/plays"}),
    (("POST", f"{GUID}/retire"), f"{PRODUCT}/retire", Retirement()),
    (("POST", f"{GUID}/drop"), f"{PRODUCT}/drop", Removal()),
    (("POST", "/subjects/{subject}/versions"), "/subjects/a/versions", {"schema": V1}),
    (("POST", "/subjects/{subject}/versions"), "/subjects/a/versions", {"schema": V2}),
    (("PUT", "/config"), "/config", {"compatibility": "FULL"}),
    (("PUT", "/config/{subject}"), "/config/a", {"compatibility": "NONE"}),
    (("DELETE", "/config/{subject}"), "/config/a", None),
    (("DELETE", "/config"), "/config", None),
    (("PUT", "/mode"), "/mode", {"mode": "READWRITE"}),
    (("PUT", "/mode/{subject}"), "/mode/a", {"mode": "READWRITE"}),
    (("DELETE", "/mode/{subject}"), "/mode/a", None),
    (("DELETE", "/mode"), "/mode", None),
    (("DELETE", "/subjects/{subject}/versions/{version}"), "/subjects/a/versions/1", None),
    (("DELETE", "/subjects/{subject}"), "/subjects/a", None),
    (("PUT", "/api/v1/policies"), "/api/v1/policies", {"texts": {}}),
    (("PUT", "/api/v1/policies/{domain}"), "/api/v1/policies/player", {"texts": {}}),
    (("PUT", "/api/v1/glossary/{domain}"), "/api/v1/glossary/player", {"terms": {"play": {"definition": "a track"}}}),
    (
        ("POST", "/catalog/glossary/{domain}/withdraw"),
        "/catalog/glossary/player/withdraw",
        {"term": "play", "confirm": "play"},
    ),
    (("POST", "/api/v1/import"), "/api/v1/import", {"settings": []}),
    (("POST", "/api/v1/keys"), "/api/v1/keys", {"name": "shop/orders"}),
    (("POST", "/api/v1/keys/{key_id}/rotate"), "/api/v1/keys/KEY/rotate", {"overlap_hours": 1}),
    (("POST", "/api/v1/keys/{key_id}/revoke"), "/api/v1/keys/KEY/revoke", {}),
]
"""`KEY` and `JOB` in a path are the ids of the key and of the replay job that were made."""
PARAMETERS: Final = {
    "subject": "nobody",
    "version": "1",
    "guid": "6f0c2f4e-93a1-4a39-8e0c-2f6a1d7f1c55",
    "number": "9",
    "domain": "player",
    "product": "nothing",
    "port": "events",
    "job": "0" * 32,
    "key_id": "abcdefghjkmn",
    "fingerprint": "0" * 64,
    "schema_id": "1",
    "rest": "subjects",
    "name": "catalog.css",
    "format": "asyncapi",
}
# The routes that ask nobody who is there.
PROBED: Final = frozenset({
    "/health", "/catalog/login", START, CALLBACK, "/catalog/logout", "/catalog/static/{name}"
})  # fmt: skip


def every_route() -> list[Route]:
    """Every route of both APIs, as method and path."""
    routes = [each for each in create_app(Settings()).router.routes if isinstance(each, APIRoute)]
    return [(method, route.path_format) for route in routes for method in sorted(route.methods or ())]


def changing_routes() -> list[Route]:
    """Every route of both APIs that changes something."""
    return [route for route in every_route() if route[0] not in {"GET", "HEAD"} and route not in CHANGES_NOTHING]


def page(http: httpx2.Client, **query: str | int) -> AuditPage:
    """Return a page of the audit."""
    return AuditPage.model_validate_json(http.get("/api/v1/audit", params=query).content)


def newest(http: httpx2.Client) -> AuditHead:
    """Return the newest entry's number and hash."""
    return page(http, limit=1).head


def send(http: httpx2.Client, method: str, path: str, body: Any) -> httpx2.Response:
    """Send a request with a model, JSON or nothing; to a page of the catalog, with the fields of a form."""
    if path.startswith("/catalog/"):
        return http.request(method, path, data=body)
    if body is None or isinstance(body, dict):
        return http.request(method, path, json=body)
    content = body.model_dump_json(by_alias=True)
    return http.request(method, path, content=content, headers={"content-type": "application/json"})


def test_each_change_has_one_entry(http: httpx2.Client, registry: Registry) -> None:
    """A change by any route of both APIs adds one entry, with its caller, method and path; and every route is walked."""
    key = job = ""
    for number, ((method, _), template, body) in enumerate(CHANGES, 1):
        path = template.replace("KEY", key).replace("JOB", job)
        answer = send(http, method, path, body)
        assert answer.is_success or answer.is_redirect, (path, answer.text)
        if path == "/api/v1/keys":
            key = answer.json()["id"]
        if path == "/api/v1/replays":
            job = answer.json()["job"]
        found = page(http, after=number - 1)
        assert [each.number for each in found.entries] == [number], path
        (entry,) = found.entries
        assert (entry.caller, entry.by, entry.outcome) == ("anonymous", "anonymous", AuditOutcome.ALLOWED)
        assert entry.detail == f"{method} {path.partition('?')[0]}"
    assert registry.audit.verify() == newest(http)
    assert {route for route, _, _ in CHANGES} == set(changing_routes())
    reading = {route for route, row in ROUTES.items() if row.action in READING}
    assert {route for route in reading if route[0] != "GET"} == CHANGES_NOTHING


def test_each_change_that_fails_has_one_entry(http: httpx2.Client, registry: Registry) -> None:
    """A change that is refused, by any route, adds one entry with the status of its answer before it is answered."""
    for method, template in changing_routes():
        before = newest(http).number
        path = template.format(**PARAMETERS)
        answer = http.request(method, path, json={"compatibility": "SIDEWAYS", "mode": "UPSIDE"})
        found = page(http, after=before).entries
        assert [each.number for each in found] == [before + 1], path
        if answer.is_success:
            assert method == "DELETE"
            assert found[0].outcome is AuditOutcome.ALLOWED
        else:
            assert found[0].outcome is AuditOutcome.FAILED
            assert found[0].detail == f"{method} {path}: {answer.status_code}"
    registry.audit.verify()


def test_each_refusal_has_one_entry(database: str) -> None:
    """A call without an identity is entered by every route and method before it is answered, with the reason and no secret."""
    admin = made_key(database, "ann@example.org", "mesh-admins")
    calls = [(method, path.format(**PARAMETERS)) for method, path in every_route() if path not in PROBED]
    with running(Settings(database=database, port=0)) as url, plain_http(url) as http:
        shown = bearer(f"mpk_{admin.id}_{'A' * 43}")
        for method, path in calls:
            assert http.request(method, f"{path}?secret=a", headers=shown, json={"b": "c"}).status_code == 401
        http.headers.update(bearer(admin.text))
        (made, *found) = page(http).entries
    assert (made.by, made.outcome) == ("host", AuditOutcome.ALLOWED)
    assert [(each.outcome, each.caller, each.by) for each in found] == [("refused", "anonymous", "anonymous")] * len(
        calls
    )
    assert [each.detail for each in found] == [
        f"{method} {path}: 401: the API key is not known" for method, path in calls
    ]


def test_each_denial_has_one_entry(database: str) -> None:
    """A caller without rights is entered by every route that it may not use, with what the policies judged and their version."""
    admin, reader = made_key(database, "ann@example.org", "mesh-admins"), made_key(database)
    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url, plain_http(url) as http:
        http.headers.update(bearer(admin.text))
        assert send(http, "POST", "/api/v1/dataproducts", DECLARED).is_success
        for (method, _), template, body in CHANGES:
            before = newest(http).number
            path = template.replace("KEY", admin.id)
            http.headers.update(bearer(reader.text))
            answer = send(http, method, path, body)
            assert answer.status_code == 403, path
            http.headers.update(bearer(admin.text))
            (found,) = page(http, after=before).entries
            assert (found.caller, found.by, found.outcome) == ("billing/invoices", "key", AuditOutcome.REFUSED)
            assert found.action in {str(each) for each in Action} - {str(each) for each in READING}
            assert found.detail.startswith(f"{method} {path.partition('?')[0]}: 403: ")
            assert found.policies
        assert AuditPage.model_validate_json(http.get("/api/v1/audit?what=administer").content).entries


def test_what_changes_nothing_has_no_entry(http: httpx2.Client, registry: Registry) -> None:
    """A question, a dry run, a check and an unknown path are not entered."""
    registry.register(*plays())
    registry.register(*plays(description="others"), dry_run=True)
    registry.judge(*plays())
    assert http.post("/api/v1/dataproducts?dry_run=true", json={}).status_code == 422
    assert http.post("/subjects/a", json={"schema": V1}).status_code == 404
    assert http.post("/compatibility/subjects/a/versions/latest", json={"schema": V1}).status_code == 200
    assert http.post("/nothing").status_code == 404
    assert http.put("/subjects").status_code == 405
    for path in ("/subjects", "/api/v1/dataproducts", "/schemas/ids/99", "/api/v1/resolve/a/b", "/api/v1/audit"):
        http.get(path)
    assert newest(http).number == 1


def test_the_audit_is_read_by_time_caller_and_subject(http: httpx2.Client, registry: Registry) -> None:
    """Filters narrow the entries, `after` and `limit` page them, and the head is that of the whole audit."""
    register(http, "a", V1)
    register(http, "bxc", V1)
    register(http, "a", BROKEN)
    assert [each.outcome for each in registry.audit.entries()] == ["allowed", "allowed", "failed"]
    middle = page(http, after=1, limit=1)
    assert ([each.number for each in middle.entries], middle.more, middle.head.number) == ([2], True, 3)
    assert [each.number for each in registry.audit.entries(what='Subject::"a"')] == [1, 3]
    assert [each.number for each in registry.audit.entries(what="bxc")] == [2]
    assert list(registry.audit.entries(what="b_c")) == []
    assert [each.number for each in registry.audit.entries(who="anonymous")] == [1, 2, 3]
    assert list(registry.audit.entries(who="ann@example.org")) == []
    second = middle.entries[0].at
    assert [each.number for each in page(http, since=second).entries] == [2, 3]
    assert page(http, after=3).model_dump(exclude={"head"}) == {"entries": (), "more": False}
    assert http.get("/api/v1/audit?since=yesterday").status_code == 422
    assert http.get("/api/v1/audit?since=2027-01-01T00:00:00").status_code == 422


def test_nodes_and_clients_at_once_make_one_chain(database: str) -> None:
    """Changes and failures of 16 clients at two nodes on one database are one chain, with one entry each."""
    settings = Settings(database=database, port=0, bootstrap_servers="k:1")
    with running(settings) as one, running(settings) as other:
        urls = itertools.cycle((one, other))

        def change(number_and_url: tuple[int, str]) -> list[int]:
            number, url = number_and_url
            with plain_http(url) as http:
                return [
                    register(http, f"s{number}", each).status_code for each in (V1, V2, BROKEN, V1) for _ in range(2)
                ]

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(change, zip(range(16), urls, strict=False)))
        assert answers == [[200, 200, 200, 200, 409, 409, 200, 200]] * 16
        with Registry(one) as registry:
            entries = list(registry.audit.entries())
            assert registry.audit.verify().number == len(entries) == 16 * 8
        assert sum(each.outcome is AuditOutcome.FAILED for each in entries) == 16 * 2


def test_a_change_is_not_made_without_its_entry(database: str) -> None:
    """A change whose entry cannot be written is rolled back, and the answer says that the database did not take it."""
    with running(Settings(database=database, port=0)) as url, plain_http(url) as http:
        register(http, "a", V1)
        with _tampering(database) as connection:
            connection.execute(text("DELETE FROM audit_head"))
        answer = register(http, "b", V1)
        assert (answer.status_code, answer.json()["error_code"]) == (500, 50001)
        assert "the row of the table audit_head is missing" in answer.json()["message"]
        assert http.get("/subjects").json() == ["a"]


def test_the_database_keeps_every_entry(database: str) -> None:
    """No statement changes or removes an entry."""
    store = _filled(database, 3)
    store.close()
    engine = create_engine(database_url(database))
    for statement in ("UPDATE audit SET caller = 'eve'", "DELETE FROM audit WHERE number = 2"):
        with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
            connection.execute(text(statement))
    if not store.is_sqlite:
        with pytest.raises(DatabaseError, match="append-only"), engine.begin() as connection:
            connection.execute(text("TRUNCATE audit"))
    engine.dispose()


COLUMNS = ("previous", "at", "caller", "by", "action", "resource", "outcome", "detail", "policies", "hash")
_OTHER: Final = dict.fromkeys(COLUMNS, "'x'") | {"outcome": "'refused'", "at": "1"}


@pytest.mark.parametrize(
    ("statements", "number"),
    [
        *(([f'UPDATE audit SET "{name}" = {_OTHER[name]} WHERE number = 4'], 4) for name in COLUMNS),
        (["UPDATE audit SET number = 70 WHERE number = 4"], 4),
        (["DELETE FROM audit WHERE number = 1"], 1),
        (["DELETE FROM audit WHERE number = 5"], 5),
        (["DELETE FROM audit WHERE number = 9"], 9),
        (["DELETE FROM audit WHERE number > 3"], 4),
        (["DELETE FROM audit"], 1),
        (["UPDATE audit SET number = 0 WHERE number = 4", "UPDATE audit SET number = 4 WHERE number = 7",
          "UPDATE audit SET number = 7 WHERE number = 0"], 4),
        (["UPDATE audit_head SET number = 8"], 9),
        (["UPDATE audit_head SET hash = 'a'"], 9),
        (["DELETE FROM audit_head"], 1),
    ],
)  # fmt: skip
def test_a_changed_database_is_found(database: str, statements: list[str], number: int) -> None:
    """An entry that is edited, removed or moved in the database is found, and named."""
    _filled(database, 9).close()
    with _tampering(database) as connection:
        for statement in statements:
            connection.execute(text(statement))
    with (
        running(Settings(database=database, port=0)) as url,
        Registry(url) as registry,
        pytest.raises(AuditBroken) as error,
    ):
        registry.audit.verify()
    assert error.value.number == number


def test_a_chain_that_was_written_anew_is_found_by_a_noted_hash(database: str) -> None:
    """Without an end or with new hashes throughout, a chain is whole; a hash that was noted before is missing in it."""
    _filled(database, 9).close()
    with running(Settings(database=database, port=0)) as url, Registry(url) as registry:
        noted = registry.audit.verify()
        entries = list(registry.audit.entries())
        assert registry.audit.verify(entries[3].hash) == registry.audit.verify(NO_HASH) == noted
        with _tampering(database) as connection:
            previous = entries[6].previous
            for each in entries[6:8]:
                values = each.model_dump(exclude={"hash"}) | {"previous": previous, "caller": "eve"}
                made = AuditEntry(**values, hash=audit_hash(**values))
                connection.execute(
                    text("UPDATE audit SET previous = :p, caller = 'eve', hash = :h WHERE number = :n"),
                    {"p": previous, "h": made.hash, "n": made.number},
                )
                previous = made.hash
            connection.execute(text("DELETE FROM audit WHERE number = 9"))
            connection.execute(text("UPDATE audit_head SET number = 8, hash = :h"), {"h": previous})
        assert registry.audit.verify(entries[5].hash) == AuditHead(number=8, hash=previous)
        with pytest.raises(AuditBroken, match="none of its 8 entries has the hash"):
            registry.audit.verify(noted.hash)


def test_text_that_no_database_takes_is_entered(database: str) -> None:
    """NUL, half a surrogate pair and long text have another form in the audit, and the chain is whole."""
    store = _filled(database, 0)
    odd = AuditRecord("a\0b", "token", "register", "x" * 70_000, AuditOutcome.REFUSED, "\ud800 \N{LINE SEPARATOR} \x1f")
    try:
        _write(store, lambda connection: append(connection, odd))
    finally:
        store.close()
    with running(Settings(database=database, port=0)) as url, Registry(url) as registry:
        assert registry.audit.verify().number == 1
        (entry,) = registry.audit.entries()
    assert (entry.caller, len(entry.resource), entry.detail) == (
        "a\N{REPLACEMENT CHARACTER}b",
        500,
        "? \N{LINE SEPARATOR} \x1f",
    )


def _write(store: RegistryStore, work: Callable[[Connection], None]) -> None:
    with store._writers.connect() as connection, connection.begin():
        work(connection)


def _filled(database: str, count: int) -> RegistryStore:
    """Return the store of a database with so many entries."""
    store = RegistryStore(database_url(database)).open()
    records = [
        AuditRecord(
            "ann@example.org", "token", "register", f'Product::"shop/p{number}"', AuditOutcome.ALLOWED, "", "v1"
        )
        for number in range(count)
    ]
    if records:
        _write(store, lambda connection: append(connection, *records))
    return store


@contextmanager
def _tampering(database: str) -> Iterator[Connection]:
    """Yield a connection of the owner of the database, its triggers dropped."""
    engine = create_engine(database_url(database))
    with engine.begin() as connection:
        for name in ("audit_unchanged", "audit_kept"):
            on = "" if engine.dialect.name == "sqlite" else " ON audit"
            connection.execute(text(f"DROP TRIGGER IF EXISTS {name}{on}"))
        yield connection
    engine.dispose()
