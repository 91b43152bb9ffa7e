"""The table of rights: every route has a row, and a caller gets what the policies permit and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx2
import pytest
from starlette.routing import Route

from meshport.address import Address
from meshport.policy import MESH, Action, ProductResource
from meshport.registry import Registry
from meshport_registry import Settings, running
from meshport_registry.app import create_app
from meshport_registry.identity.caller import LOCAL, LOCAL_GROUP, Caller
from meshport_registry.rights.applied import apply_policies
from meshport_registry.rights.decisions import LONGEST_LAG_S, Decisions
from meshport_registry.rights.guard import Guard
from meshport_registry.rights.route_table import ROUTES
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.plain_http import plain_http
from tests.registry.schemas import plays

CLOSED = 'forbid (principal, action == Action::"retire", resource in Domain::"player");'


def test_every_route_has_a_row_and_every_row_a_route(tmp_path: Path) -> None:
    """A route without a row refuses every request."""
    app = create_app(Settings(database=f"sqlite:///{tmp_path / 'r.db'}"))
    routes = {(verb, each.path) for each in app.router.routes if isinstance(each, Route) for verb in each.methods or ()}
    assert {each for each in routes if each[0] != "HEAD"} == set(ROUTES)


def test_policies_are_applied_and_kept(http: httpx2.Client) -> None:
    """What was applied decides from the answer on, the history keeps it, and no scope replaces another."""
    empty = http.get("/api/v1/policies").json()
    assert empty["scopes"] == []
    first = http.put("/api/v1/policies", json={"texts": {"policies/a.cedar": CLOSED}}).json()
    assert first["version"] != empty["version"]
    own = {"producers/player/policies.cedar": CLOSED}
    both = http.put("/api/v1/policies/player", json={"texts": own}).json()
    assert [each["domain"] for each in both["scopes"]] == [None, "player"]
    gone = http.put("/api/v1/policies", json={"texts": {}}).json()
    assert {each["domain"]: len(each["texts"]) for each in gone["scopes"]} == {None: 0, "player": 1}
    assert [each["domain"] for each in http.get("/api/v1/policies/history").json()] == [None, "player", None]


@pytest.mark.parametrize(
    ("path", "texts", "says"),
    [
        ("", {"policies/a.cedar": "permit ("}, "is not Cedar"),
        ("", {"producers/player/policies.cedar": CLOSED}, "is no file of these policies"),
        ("/player", {"policies/a.cedar": CLOSED}, "is no file of these policies"),
        ("/player", {"producers/billing/policies.cedar": CLOSED}, "is no file of these policies"),
        ("/player", {"producers/player/policies.cedar": "forbid (principal, action, resource);"}, "more than Domain"),
    ],
)
def test_policies_that_are_wrong_are_refused(http: httpx2.Client, path: str, texts: dict[str, str], says: str) -> None:
    """Policies that do not fit the mesh or their domain change nothing."""
    answer = http.put(f"/api/v1/policies{path}", json={"texts": texts})
    assert (answer.status_code, answer.json()["error"]) == (422, "invalid-policy")
    assert says in answer.json()["message"]
    assert http.get("/api/v1/policies").json()["scopes"] == []


def test_no_caller_applies_policies_that_shut_it_out(http: httpx2.Client) -> None:
    """Otherwise one wrong file would close the policies for good."""
    answer = http.put("/api/v1/policies", json={"texts": {"policies/a.cedar": "forbid (principal, action, resource);"}})
    assert (answer.status_code, answer.json()["error"]) == (409, "conflict")
    assert http.get("/api/v1/policies").json()["scopes"] == []


def test_a_forbid_binds_local_callers_too(http: httpx2.Client, registry: Registry) -> None:
    """A registry without identities permits everything that no policy forbids; the answer names the policy."""
    registered = registry.register(*plays()).product
    assert http.put("/api/v1/policies", json={"texts": {"policies/a.cedar": CLOSED}}).status_code == 200
    answer = http.post(f"/api/v1/dataproducts/{registered.guid}/retire", json={})
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert "policies/a.cedar#1" in answer.json()["message"]
    other_form = UUID(registered.guid).hex.upper()
    assert http.post(f"/api/v1/dataproducts/{other_form}/retire", json={}).status_code == 403
    assert http.delete("/subjects/player.plays.events.v1-value").status_code == 403
    assert http.get("/api/v1/resolve/player/plays").status_code == 200


@pytest.fixture
def other(database: str) -> Iterator[httpx2.Client]:
    """Yield a client of another instance of the service on the same database."""
    with (
        running(Settings(database=database, port=0, bootstrap_servers="kafka:9092")) as url,
        plain_http(url) as client,
    ):
        yield client


def test_another_process_decides_by_new_policies_at_its_next_change(
    http: httpx2.Client, registry: Registry, other: httpx2.Client
) -> None:
    """A change is decided about by the policies of that moment, whichever process applied them."""
    guid = registry.register(*plays()).product.guid
    assert http.put("/api/v1/policies", json={"texts": {"policies/a.cedar": CLOSED}}).status_code == 200
    mild = {"policies/a.cedar": CLOSED, "policies/b.cedar": 'forbid (principal, action == Action::"waive", resource);'}
    assert other.put("/api/v1/policies", json={"texts": mild}).status_code == 200
    assert http.post(f"/api/v1/dataproducts/{guid}/retire", json={}).status_code == 403
    assert other.put("/api/v1/policies", json={"texts": {}}).status_code == 200
    assert http.post(f"/api/v1/dataproducts/{guid}/retire", json={}).status_code == 200


ANN = Caller("ann", frozenset({"player"}), "key")
HIDE = 'forbid (principal, action == Action::"discover", resource in Domain::"player");'


def test_reads_are_decided_by_policies_of_the_last_second(database: str) -> None:
    """A read is decided by what the last look found, up to a second; a change takes a look of its own."""
    store, now = RegistryStore(database_url(database)).open(), [0.0]
    plays_at = Address("player", "plays")

    async def ask() -> tuple[bool, bool, bool]:
        decisions = Decisions(store, clock=lambda: now[0])
        guard = Guard(decisions)
        resource = ProductResource("player", "plays", "player", frozenset({"player"}))
        await store.write(lambda c: apply_policies(c, None, {"policies/a.cedar": HIDE}, "ann"))
        early = (await decisions.decide(ANN, Action.DISCOVER, resource)).allowed
        now[0] += LONGEST_LAG_S
        assert await guard.may(ANN, plays_at)  # the mesh, since there is no such product
        later = (await decisions.decide(ANN, Action.DISCOVER, resource)).allowed
        await store.write(lambda c: apply_policies(c, None, {}, "ann"))
        await decisions.refresh(within=0)
        return early, later, (await decisions.decide(ANN, Action.DISCOVER, resource)).allowed

    try:
        assert asyncio.run(ask()) == (True, False, True)
    finally:
        store.close()


def test_only_a_caller_without_identity_is_local(database: str) -> None:
    """The group local gives nothing to a caller that showed a key or a token, whatever it says of its groups."""
    store = RegistryStore(database_url(database)).open()
    claimed = Caller("ann", frozenset({LOCAL_GROUP}), "token")
    named = Caller("anonymous", frozenset({LOCAL_GROUP}), "key")
    try:
        decisions = Decisions(store)
        for caller in (claimed, named):
            assert not decisions.knows_local(caller)
            assert not asyncio.run(decisions.decide(caller, Action.ADMINISTER, MESH)).allowed
        assert asyncio.run(decisions.decide(LOCAL, Action.ADMINISTER, MESH)).allowed
    finally:
        store.close()
