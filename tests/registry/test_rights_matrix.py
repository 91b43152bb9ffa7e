"""Who gets what at every route: each method and path by every kind of caller, with real keys and tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock
from uuid import UUID

import httpx2
import jwt
import pytest
from starlette.routing import Route

from meshport.api_keys import ApiKeyRequest
from meshport.catalog import ProductRegistration
from meshport_registry import OidcSettings, Settings, running
from meshport_registry.app import create_app
from meshport_registry.identity.offline import KeysInDatabase
from tests.plain_http import plain_http
from tests.registry.issuer import AUDIENCE, Issuer, issuer, rsa_key, signed_with_the_public_key, unsigned
from tests.registry.replay_requests import replay_request
from tests.registry.schemas import plays, record, waiver_of_track

UNKNOWN: Final = (
    "none", "expired", "wrong audience", "wrong issuer", "alg=none", "signed with the public key", "unknown kid",
    "revoked key",
)  # fmt: skip
GROUPS: Final = {
    "other owner": "billing",
    "reader": "listening-readers",
    "steward": "mesh-stewards",
    "admin": "mesh-admins",
    "owner": "player",
}
KNOWN: Final = {*GROUPS, "service"}
OWNERS: Final = {"owner", "admin"}
READERS: Final = {"owner", "service", "reader"}
ADMIN: Final = {"admin"}
STEWARD: Final = {"steward"}
AUDITORS: Final = {"steward", "admin"}
EVERYONE: Final = {*UNKNOWN, *KNOWN}

GUID: Final = "/api/v1/dataproducts/{guid}"
LINE: Final = "/api/v1/generations/{domain}/{product}/{port}"
ACTIVITY: Final = "/catalog/activity/{domain}/{product}"
PROFILE: Final = "/api/v1/profiles/{domain}/{product}/{port}"
SEEN_READERS: Final = "/api/v1/seen-readers/{domain}/{product}"
PROCESSOR: Final = "/api/v1/processors/{domain}/{product}/{port}"
QUARANTINE: Final = "/api/v1/quarantine/{domain}/{product}/{port}"
REPLAY: Final = "/api/v1/replays/{job}"
LEVELS: Final = "/api/v1/service-levels/{domain}/{product}/{port}"
WHO: Final[dict[tuple[str, str], set[str]]] = {
    ("GET", "/"): KNOWN,
    ("GET", "/contexts"): KNOWN,
    ("GET", "/v1/metadata/id"): KNOWN,
    ("GET", "/v1/metadata/version"): KNOWN,
    ("GET", "/associations/{rest:path}"): KNOWN,
    ("GET", "/subjects"): KNOWN,
    ("POST", "/subjects/{subject}"): KNOWN,
    ("DELETE", "/subjects/{subject}"): OWNERS,
    ("GET", "/subjects/{subject}/versions"): KNOWN,
    ("POST", "/subjects/{subject}/versions"): OWNERS,
    ("GET", "/subjects/{subject}/versions/{version}"): KNOWN,
    ("GET", "/subjects/{subject}/versions/{version}/schema"): KNOWN,
    ("GET", "/subjects/{subject}/versions/{version}/referencedby"): KNOWN,
    ("DELETE", "/subjects/{subject}/versions/{version}"): OWNERS,
    ("GET", "/schemas"): KNOWN,
    ("GET", "/schemas/types"): KNOWN,
    ("GET", "/schemas/ids/{schema_id}"): KNOWN,
    ("GET", "/schemas/ids/{schema_id}/schema"): KNOWN,
    ("GET", "/schemas/ids/{schema_id}/subjects"): KNOWN,
    ("GET", "/schemas/ids/{schema_id}/versions"): KNOWN,
    ("GET", "/schemas/guids/{guid}"): KNOWN,
    ("GET", "/schemas/guids/{guid}/ids"): KNOWN,
    ("POST", "/compatibility/subjects/{subject}/versions"): KNOWN,
    ("POST", "/compatibility/subjects/{subject}/versions/{version}"): KNOWN,
    ("GET", "/config"): KNOWN,
    ("PUT", "/config"): ADMIN,
    ("DELETE", "/config"): ADMIN,
    ("GET", "/config/{subject}"): KNOWN,
    ("PUT", "/config/{subject}"): OWNERS,
    ("DELETE", "/config/{subject}"): OWNERS,
    ("GET", "/mode"): KNOWN,
    ("PUT", "/mode"): ADMIN,
    ("DELETE", "/mode"): ADMIN,
    ("GET", "/mode/{subject}"): KNOWN,
    ("PUT", "/mode/{subject}"): OWNERS,
    ("DELETE", "/mode/{subject}"): OWNERS,
    ("POST", "/api/v1/dataproducts"): OWNERS,
    ("GET", "/api/v1/dataproducts"): KNOWN,
    ("GET", "/api/v1/dataproducts/by-address/{domain}/{product}"): KNOWN,
    ("GET", GUID): KNOWN,
    ("POST", f"{GUID}/deprecate"): OWNERS,
    ("POST", f"{GUID}/retire"): OWNERS,
    ("POST", f"{GUID}/activate"): OWNERS,
    ("POST", f"{GUID}/drop"): OWNERS,
    ("GET", "/api/v1/resolve/{domain}/{product}"): KNOWN,
    ("GET", "/api/v1/resolve/{domain}/{product}/{port}"): KNOWN,
    ("GET", "/api/v1/lineage/{domain}/{product}"): KNOWN,
    ("GET", "/api/v1/lineage/{domain}/{product}/fields"): KNOWN,
    ("GET", "/api/v1/readers/{domain}/{product}"): KNOWN,
    ("GET", "/api/v1/readers/{domain}/{product}/{port}"): KNOWN,
    ("GET", "/api/v1/schemas/{fingerprint}"): KNOWN,
    ("GET", "/api/v1/export/{format}"): KNOWN,
    ("GET", "/api/v1/products/{domain}/{product}/export/{format}"): KNOWN,
    ("GET", "/api/v1/search"): KNOWN,
    ("POST", "/api/v1/gate/check"): KNOWN,
    ("GET", "/api/v1/gate/past/{domain}/{product}"): KNOWN,
    ("GET", "/api/v1/gate/rules"): KNOWN,
    ("GET", "/api/v1/versions/{domain}/{product}/{port}"): KNOWN,
    ("GET", "/api/v1/versions/{domain}/{product}/{port}/{number}"): KNOWN,
    ("POST", "/api/v1/waivers"): STEWARD,
    ("GET", "/api/v1/waivers"): KNOWN,
    ("POST", "/api/v1/waivers/{number}/revoke"): STEWARD,
    ("GET", LINE): KNOWN,
    ("POST", f"{LINE}/open"): OWNERS,
    ("POST", f"{LINE}/{{number}}/hold"): OWNERS,
    ("POST", f"{LINE}/{{number}}/release"): OWNERS,
    ("POST", f"{LINE}/{{number}}/switch"): OWNERS,
    ("POST", f"{LINE}/{{number}}/abandon"): OWNERS,
    ("POST", f"{LINE}/{{number}}/retire"): OWNERS,
    ("GET", "/api/v1/service-levels"): KNOWN,
    ("GET", LEVELS): KNOWN,
    ("GET", f"{LEVELS}/history"): KNOWN,
    ("PUT", LEVELS): ADMIN,
    ("GET", f"{LEVELS}/counts"): KNOWN,
    ("POST", f"{LEVELS}/counts"): {"owner", "service"},
    ("GET", PROFILE): READERS,
    ("PUT", PROFILE): ADMIN,
    ("GET", SEEN_READERS): KNOWN,
    ("GET", f"{SEEN_READERS}/{{port}}"): KNOWN,
    ("PUT", f"{SEEN_READERS}/{{port}}"): ADMIN,
    ("GET", PROCESSOR): KNOWN,
    ("PUT", PROCESSOR): ADMIN,
    ("GET", QUARANTINE): READERS,
    ("PUT", QUARANTINE): ADMIN,
    ("GET", "/api/v1/glossary"): KNOWN,
    ("PUT", "/api/v1/glossary/{domain}"): OWNERS,
    ("GET", "/api/v1/problems"): KNOWN,
    ("POST", "/api/v1/problems"): READERS,
    ("POST", "/api/v1/problems/{number}/answer"): OWNERS,
    ("POST", "/api/v1/problems/{number}/close"): OWNERS,
    ("POST", "/api/v1/problems/{number}/withdraw"): {"reader"},
    ("GET", "/api/v1/replays"): KNOWN,
    ("POST", "/api/v1/replays"): READERS,
    ("GET", REPLAY): KNOWN,
    ("POST", f"{REPLAY}/approve"): OWNERS,
    ("POST", f"{REPLAY}/pause"): {"reader", "owner"},
    ("POST", f"{REPLAY}/resume"): {"reader", "owner"},
    ("POST", f"{REPLAY}/cancel"): {"reader", "owner"},
    ("PUT", f"{REPLAY}/progress"): {"reader"},
    ("GET", "/api/v1/access"): KNOWN,
    ("POST", "/api/v1/access"): KNOWN,
    ("POST", "/api/v1/access/{number}/grant"): OWNERS,
    ("POST", "/api/v1/access/{number}/refuse"): OWNERS,
    ("POST", "/api/v1/access/{number}/revoke"): OWNERS,
    ("GET", "/api/v1/access/readers"): KNOWN,
    ("POST", "/api/v1/access/readers"): KNOWN,
    ("GET", "/api/v1/access/acls"): KNOWN,
    ("POST", "/api/v1/access/acls"): ADMIN,
    ("POST", "/api/v1/import"): ADMIN,
    ("GET", "/api/v1/keys"): ADMIN,
    ("POST", "/api/v1/keys"): ADMIN,
    ("POST", "/api/v1/keys/{key_id}/rotate"): ADMIN,
    ("POST", "/api/v1/keys/{key_id}/revoke"): ADMIN,
    ("GET", "/api/v1/policies"): KNOWN,
    ("GET", "/api/v1/policies/history"): KNOWN,
    ("PUT", "/api/v1/policies"): ADMIN,
    ("PUT", "/api/v1/policies/{domain}"): OWNERS,
    ("GET", "/api/v1/audit"): AUDITORS,
    ("GET", "/health"): EVERYONE,
    ("GET", "/catalog"): KNOWN,
    ("GET", "/catalog/domains/{domain}"): KNOWN,
    ("GET", "/catalog/products/{domain}/{product}"): KNOWN,
    ("GET", "/catalog/versions/{domain}/{product}"): KNOWN,
    ("POST", "/catalog/access/{domain}/{product}"): KNOWN,
    ("GET", "/catalog/search"): KNOWN,
    ("GET", "/catalog/glossary"): KNOWN,
    ("POST", "/catalog/glossary/{domain}/withdraw"): OWNERS,
    ("GET", "/catalog/problems/{domain}/{product}"): KNOWN,
    ("POST", "/catalog/problems/{domain}/{product}"): READERS,
    ("POST", "/catalog/reports/{number}/answer"): OWNERS,
    ("POST", "/catalog/reports/{number}/close"): OWNERS,
    ("GET", "/catalog/lineage/{domain}/{product}"): KNOWN,
    ("GET", "/catalog/data/{domain}/{product}"): READERS,
    ("GET", "/catalog/quarantine/{domain}/{product}"): READERS,
    ("GET", ACTIVITY): KNOWN,
    ("POST", f"{ACTIVITY}/deprecate"): OWNERS,
    ("POST", f"{ACTIVITY}/activate"): OWNERS,
    ("POST", f"{ACTIVITY}/retire"): OWNERS,
    ("POST", f"{ACTIVITY}/waive"): STEWARD,
    ("POST", "/catalog/grants/{number}/grant"): OWNERS,
    ("POST", "/catalog/grants/{number}/refuse"): OWNERS,
    ("POST", "/catalog/grants/{number}/revoke"): OWNERS,
    ("GET", "/catalog/login"): EVERYONE,
    ("POST", "/catalog/login"): EVERYONE,
    ("GET", "/catalog/login/start"): EVERYONE,
    ("GET", "/catalog/login/callback"): EVERYONE,
    ("POST", "/catalog/logout"): EVERYONE,
    ("GET", "/catalog/static/{name}"): EVERYONE,
    ("GET", "/docs"): KNOWN,
    ("GET", "/docs/oauth2-redirect"): KNOWN,
    ("GET", "/redoc"): KNOWN,
    ("GET", "/openapi.json"): KNOWN,
}
"""Who may use each route, where it is about the product player/plays, or the whole mesh."""

PLAYS, SCHEMAS = plays(owner="player", requiredSecurityGroup="listening-readers", classification="confidential")
DECLARATION: Final = ProductRegistration(
    descriptor=PLAYS, schemas={port: each.text for port, each in SCHEMAS.items()}
).model_dump(mode="json", by_alias=True)
WAIVER: Final = waiver_of_track(approver=None).model_dump(mode="json")
PROBLEM: Final = {"address": "player/plays", "title": "no plays since noon"}
REPLAYED: Final = replay_request().model_dump(mode="json")
JOB: Final = UUID(int=1)
# Where a route would change what the cells after it are about, the body is one that the route refuses once it is asked.
BODIES: Final[dict[str, Any]] = {
    "/api/v1/dataproducts": DECLARATION,
    "/api/v1/gate/check": DECLARATION,
    "/api/v1/waivers": WAIVER,
    "/api/v1/problems": PROBLEM,
    "/api/v1/problems/{number}/withdraw": {"reason": "our own fault"},
    "/api/v1/replays": REPLAYED,
    f"{REPLAY}/cancel": {"reason": "to be asked"},
    f"{REPLAY}/progress": {"positions": {}, "events": 0},
    "/api/v1/policies": {"texts": {}},
    "/api/v1/policies/{domain}": {"texts": {}},
    f"{GUID}/retire": {"port": 5},
}


@dataclass(frozen=True)
class Door:
    """A registry with identities, and what each kind of caller shows at it."""

    url: str
    headers: dict[str, dict[str, str]]


@contextmanager
def _door(folder: Path) -> Iterator[Door]:
    database = f"sqlite:///{folder / 'registry.db'}"
    with KeysInDatabase(database) as keys, issuer() as provider, issuer() as stranger:
        service = keys.create(ApiKeyRequest(name="player/plays"))
        revoked = keys.create(ApiKeyRequest(name="ann", groups=("mesh-admins",)))
        keys.revoke(revoked.id)
        shown = {"none": "", "service": f"Bearer {service.text}", "revoked key": f"Bearer {revoked.text}"}
        shown |= {name: f"Bearer {token}" for name, token in _tokens(provider, stranger).items()}
        settings = Settings(
            database=database,
            port=0,
            bootstrap_servers="k:1",
            oidc=OidcSettings(issuer=provider.url, audience=AUDIENCE),
        )
        with running(settings) as url:
            yield Door(url, {name: {"authorization": value} if value else {} for name, value in shown.items()})


def _tokens(provider: Issuer, stranger: Issuer) -> dict[str, str]:
    """Return a token for each kind of caller that shows one; those of the unknown would be an admin's."""
    admin: dict[str, Any] = {"groups": ["mesh-admins"]}
    other_key = jwt.encode(provider.claims(**admin), rsa_key(2), "RS256", headers={"kid": "rsa-9"})
    return {
        "expired": provider.token(exp=1_000_000_000, **admin),
        "wrong audience": provider.token(aud="another", **admin),
        "wrong issuer": stranger.token(**admin),
        "alg=none": unsigned(provider.claims(**admin)),
        "signed with the public key": signed_with_the_public_key(provider.claims(**admin)),
        "unknown kid": other_key,
    } | {name: provider.token(sub=f"{group}@example.org", groups=[group]) for name, group in GROUPS.items()}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Serve a registry with keys and a provider, and the product player/plays with a waiver, a request and a report."""
    with (
        _door(tmp_path_factory.mktemp("rights")) as served,
        plain_http(served.url) as http,
    ):
        made = http.post("/api/v1/dataproducts", json=DECLARATION, headers=served.headers["owner"])
        assert made.status_code == 200, made.text
        made = http.post("/api/v1/waivers", json=WAIVER, headers=served.headers["steward"])
        assert (made.status_code, made.json()["approver"]) == (201, "mesh-stewards@example.org")
        asked = {"address": "player/plays", "reader": "billing@example.org", "purpose": "to look"}
        made = http.post("/api/v1/access", json=asked, headers=served.headers["other owner"])
        assert (made.status_code, made.json()["id"]) == (201, 1), made.text
        made = http.post("/api/v1/problems", json=PROBLEM, headers=served.headers["reader"])
        assert (made.status_code, made.json()["id"]) == (201, 1), made.text
        with mock.patch("meshport_registry.replays.uuid4", return_value=JOB):
            made = http.post("/api/v1/replays", json=REPLAYED, headers=served.headers["reader"])
        assert (made.status_code, made.json()["job"]) == (201, JOB.hex), made.text
        yield served


def _path(template: str) -> str:
    schema = SCHEMAS["events@1"]
    return template.replace("{rest:path}", "rest").format(
        subject="player.plays.events.v1-value",
        version="1",
        schema_id="1",
        guid=PLAYS.id if template.startswith("/api/") else schema.fingerprint[:32],
        domain="player",
        product="plays",
        port="events",
        number="1",
        job=JOB.hex,
        fingerprint=schema.fingerprint,
        key_id="abc",
        name="catalog.css",
        format="asyncapi",
    )


async def _ask(door: Door, cells: list[tuple[str, str, str, Any]]) -> dict[tuple[str, str, str], int]:
    """Return the status of each request: by caller, method and path, with a body."""
    async with httpx2.AsyncClient(base_url=door.url, trust_env=False, timeout=60) as http:
        limit = asyncio.Semaphore(40)

        async def one(caller: str, method: str, path: str, body: Any) -> tuple[tuple[str, str, str], int]:
            json_body = body if method in {"POST", "PUT"} else None
            async with limit:
                answer = await http.request(method, path, json=json_body, headers=door.headers[caller])
            return (caller, method, path), answer.status_code

        return dict(await asyncio.gather(*(one(*cell) for cell in cells)))


def test_the_matrix_has_every_route(tmp_path: Path) -> None:
    """A route without a row here is a route of which nobody said who may use it."""
    app = create_app(Settings(database=f"sqlite:///{tmp_path / 'r.db'}"))
    routes = {(verb, each.path) for each in app.router.routes if isinstance(each, Route) for verb in each.methods or ()}
    assert {each for each in routes if each[0] != "HEAD"} == set(WHO)


def test_each_route_is_open_to_whom_it_should_and_to_no_other(door: Door) -> None:
    """Of each route and kind of caller: unknown callers get 401, known ones 403, unless they may use it."""
    cells = [
        (caller, method, _path(template), BODIES.get(template, {}))
        for method, template in WHO
        for caller in (*UNKNOWN, *KNOWN)
    ]
    answers = asyncio.run(_ask(door, cells))
    assert len(answers) == len(cells) == len(WHO) * 14
    wrong = {
        (method, template, caller): status
        for (method, template), allowed in WHO.items()
        for caller in (*UNKNOWN, *KNOWN)
        if (status := answers[caller, method, _path(template)]) not in _right(caller, allowed)
    }
    assert wrong == {}


class _Anything(frozenset[int]):
    """Every status but a refusal and a failure of the service."""

    def __contains__(self, status: object) -> bool:
        return isinstance(status, int) and status not in {401, 403} and status < 500


def _right(caller: str, allowed: set[str]) -> frozenset[int]:
    if caller in allowed:
        return _Anything()
    return frozenset({401 if caller in UNKNOWN else 403})


@pytest.mark.parametrize(
    ("path", "body", "allowed"),
    [
        ("/subjects/orders-value/versions", {"schema": record("user")}, ADMIN),
        ("/subjects/:.:orders-value/versions", {"schema": record("user")}, ADMIN),
        ("/subjects/player.raw-value/versions", {"schema": record("user")}, OWNERS),
        ("/subjects/%70layer.raw-value/versions", {"schema": record("user")}, OWNERS),
        ("/subjects/billing.raw-value/versions", {"schema": record("user")}, ADMIN),
        ("/subjects/:.:player.plays.events.v1-value/versions", {"schema": record("user")}, OWNERS),
        ("/api/v1/dataproducts?dry_run=true", DECLARATION, KNOWN),
        ("/api/v1/dataproducts?dry_run=true&dry_run=false", DECLARATION, OWNERS),
        ("/api/v1/dataproducts", {"descriptor": {}}, KNOWN),
        ("/api/v1/waivers", {"address": "player/plays/events@1"}, KNOWN),
        (f"/api/v1/dataproducts/{PLAYS.id.hex}/activate", {}, OWNERS),
        (f"/api/v1/dataproducts/urn:uuid:{str(PLAYS.id).upper()}/activate", {}, OWNERS),
        ("/api/v1/waivers/01/revoke", {}, STEWARD),
        ("/api/v1/waivers/99/revoke", {}, STEWARD),
        ("/api/v1/waivers/nine/revoke", {}, STEWARD),
        ("/api/v1/generations/player/nothing/events/1/retire", {}, ADMIN),
        ("/api/v1/policies/billing", {"texts": {}}, ADMIN),
    ],
)
def test_other_spellings_open_nothing_more(door: Door, path: str, body: Any, allowed: set[str]) -> None:
    """A foreign subject, another form of a number or an id, a repeated parameter, a body that cannot be read."""
    method = "PUT" if "policies" in path else "POST"
    answers = asyncio.run(_ask(door, [(caller, method, path, body) for caller in ("none", *KNOWN)]))
    assert {caller for (caller, *_), status in answers.items() if status not in {401, 403}} == allowed
    assert answers["none", method, path] == 401


@pytest.mark.parametrize(
    ("address", "owner", "allowed"),
    [
        ("mesh://player/more", "player", OWNERS),
        ("mesh://player/stolen", "billing", OWNERS),
        ("mesh://player/plays", "billing", OWNERS),
        ("mesh://fresh/thing", "billing", {"other owner", "admin"}),
        ("mesh://fresher/thing", "mesh-stewards", {"steward", "admin"}),
    ],
)
def test_no_declaration_makes_its_caller_an_owner(door: Door, address: str, owner: str, allowed: set[str]) -> None:
    """Who registers in a domain owns a product of it already; a new domain belongs to the owner of its first product."""
    product, schemas = plays(address=address, owner=owner)
    body = ProductRegistration(descriptor=product, schemas={port: each.text for port, each in schemas.items()})
    given = body.model_dump(mode="json", by_alias=True)
    refused = [each for each in KNOWN if each not in allowed]
    cells = [(caller, "POST", "/api/v1/dataproducts", given) for caller in refused]
    assert set(asyncio.run(_ask(door, cells)).values()) == {403}


@pytest.mark.parametrize(("approver", "status"), [(None, 201), ("mesh-stewards@example.org", 201), ("Ada", 422)])
def test_the_approver_of_a_waiver_is_its_caller(door: Door, approver: str | None, status: int) -> None:
    """A registry that knows its callers takes no other name for an approver."""
    with plain_http(door.url) as http:
        answer = http.post("/api/v1/waivers", json=WAIVER | {"approver": approver}, headers=door.headers["steward"])
    assert answer.status_code == status
    if status == 422:
        assert "the approver is the caller, mesh-stewards@example.org, and not 'Ada'" in answer.json()["message"]
