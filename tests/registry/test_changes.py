"""The registry's own changes: each is an event in the outbox, in the transaction of the change, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
from sqlalchemy import create_engine, text

from meshport.codec import codec_for
from meshport.errors import RegistrationRefused
from meshport.project.project import Project
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema
from meshport_registry import Settings, running
from meshport_registry.backup import back_up, restore
from meshport_registry.changes import PROJECT, MeshChangeKind, log
from meshport_registry.settings import database_url
from tests.plain_http import plain_http
from tests.registry.schemas import plays, product, schema
from tests.registry.test_audit import CHANGES, Route, send

GENERATION: Final = "/api/v1/generations/{domain}/{product}/{port}"
NO_NEWS: Final[set[Route]] = {
    ("POST", f"{GENERATION}/open"),
    ("POST", f"{GENERATION}/{{number}}/hold"),
    ("POST", f"{GENERATION}/{{number}}/release"),
    ("POST", f"{GENERATION}/{{number}}/abandon"),
    ("POST", "/api/v1/access/acls"),
    ("POST", "/api/v1/keys"),
    ("POST", "/api/v1/keys/{key_id}/rotate"),
    ("POST", "/api/v1/keys/{key_id}/revoke"),
    ("POST", "/api/v1/import"),  # of nothing, here
    ("POST", "/api/v1/replays"),
    ("POST", "/api/v1/replays/{job}/approve"),
    ("POST", "/api/v1/replays/{job}/pause"),
    ("POST", "/api/v1/replays/{job}/resume"),
    ("POST", "/api/v1/replays/{job}/cancel"),
}
"""What is no news of the mesh: the steps of a rebuild before its switch, keys, notes about ACLs, and replays."""
(CHANGES_PRODUCT,) = Project(PROJECT).products
CONTRACT: Final = CHANGES_PRODUCT.schemas["events", 1]


def follow(registry: Registry) -> None:
    """Register the product of the changes."""
    registry.register(CHANGES_PRODUCT.product, {"events@1": CONTRACT})


def events(database: str, contract: Schema = CONTRACT) -> list[dict[str, Any]]:
    """Return the events in a registry's outbox, oldest first."""
    engine = create_engine(database_url(database))
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT payload FROM meshport_outbox ORDER BY number")).scalars().all()
    engine.dispose()
    return [codec_for(contract).decode(bytes(each), 5) for each in rows]


def test_the_contract_has_every_kind() -> None:
    """The enum of the contract has the kinds that the registry records, and one for readers of later ones."""
    (kind,) = (each for each in json.loads(CONTRACT.text)["fields"] if each["name"] == "kind")
    assert kind["type"]["symbols"] == ["OTHER", *MeshChangeKind]


def test_each_change_is_an_event(database: str, http: httpx2.Client, registry: Registry) -> None:
    """A change by any route of both APIs adds its events, with dense numbers; what is no news of the mesh adds none."""
    follow(registry)
    key, job, kinds = "", "", set[str]()
    told = len(events(database))
    for (method, route), template, body in CHANGES:
        path = template.replace("KEY", key).replace("JOB", job)
        answer = send(http, method, path, body)
        assert answer.is_success or answer.is_redirect, (path, answer.text)
        if path == "/api/v1/keys":
            key = answer.json()["id"]
        if path == "/api/v1/replays":
            job = answer.json()["job"]
        found = events(database)[told:]
        assert bool(found) is ((method, route) not in NO_NEWS), path
        told += len(found)
        kinds |= {each["kind"] for each in found}
        assert all(each["summary"] and each["about"] for each in found)
    assert [each["number"] for each in events(database)] == list(range(1, told + 1))
    assert kinds == {*MeshChangeKind} - {MeshChangeKind.CHANGED, MeshChangeKind.IMPORTED}


def test_what_is_refused_rolled_back_or_changes_nothing_has_no_event(database: str, registry: Registry) -> None:
    """A dry run, a refusal and a repeated registration add no event."""
    follow(registry)
    registry.register(*plays())
    told = events(database)
    registry.register(*plays())
    registry.register(*plays(description="others"), dry_run=True)
    with pytest.raises(RegistrationRefused):
        registry.register(plays()[0], {"events@1": schema("user", "other")})
    assert events(database) == told


def test_an_event_says_what_was_changed(database: str, registry: Registry) -> None:
    """The events of a product have its owner and port, what was changed, and who asks to read it."""
    follow(registry)
    registry.register(*plays())
    registry.register(plays()[0], {"events@1": schema("user", "track", "country?")})
    # A reader of another owner, whose input port is a request for access where rights are kept.
    registry.register(product("mesh://charts/top", "player/plays:track"), {"events@1": schema("user", "track")})
    first, *found = events(database)
    assert (first["kind"], first["about"], first["number"]) == ("REGISTERED", "mesh://mesh/changes", 1)
    registered, changed = found[0], found[1]
    assert (registered["kind"], registered["owner"], registered["address"]) == ("REGISTERED", "team-player", None)
    assert registered["summary"] == "mesh://player/plays is registered"
    assert changed["kind"] == "CHANGED"
    assert changed["changed"] == ["events@1.schema_id"]
    assert [each["about"] for each in found[2:]][:1] == ["mesh://charts/top"]


def test_nothing_is_recorded_before_the_product_is_registered(database: str, registry: Registry) -> None:
    """A registry whose changes nobody publishes fills no table."""
    registry.register(*plays())
    assert events(database) == []


@pytest.mark.parametrize(("more", "told"), [({"default": ""}, [1, 2]), ({}, [])], ids=["default", "none"])
def test_a_change_does_not_fail_by_its_event(
    database: str, registry: Registry, more: dict[str, str], told: list[int]
) -> None:
    """Where the contract has a field that is not known here, its default is written; without one the event is left out."""
    other = json.loads(CONTRACT.text)
    other["fields"].append({"name": "later", "type": "string"} | more)
    contract = parse_schema(json.dumps(other), source="another version")
    registry.register(CHANGES_PRODUCT.product, {"events@1": contract})
    registry.register(*plays())
    assert registry.product("player/plays").owner == "team-player"
    assert [each["number"] for each in events(database, contract)] == told


def test_the_oldest_events_are_dropped(database: str, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no relay publishes them, the newest events are kept, up to a number; the numbers of the others are missing."""
    monkeypatch.setattr(log, "_TRIM_EVERY", 5)
    monkeypatch.setattr(log, "MOST_WAITING", 3)
    follow(registry)
    for number in range(6):
        registry.register(*plays(description=f"plays, {number}"))
    assert [each["number"] for each in events(database)] == [3, 4, 5, 6, 7]


def test_a_restored_registry_leaves_numbers_out(sqlite: str, new_database: Callable[[], str], tmp_path: Path) -> None:
    """A backup has no waiting events, and the first change after a restore has a number that none before it had."""
    with running(Settings(database=sqlite, port=0, bootstrap_servers="k:1")) as url, Registry(url) as registry:
        follow(registry)
        registry.register(*plays())
    back_up(sqlite, tmp_path / "backup.gz")
    restored = new_database()
    restore(tmp_path / "backup.gz", restored, skipped_ids=100)
    assert events(restored) == []
    with running(Settings(database=restored, port=0, bootstrap_servers="k:1")) as url, plain_http(url) as http:
        assert http.put("/config", json={"compatibility": "FULL"}).is_success
    assert [(each["number"], each["kind"]) for each in events(restored)] == [(103, "LEVEL_CHANGED")]
