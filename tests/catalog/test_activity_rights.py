"""Who sees and may use the forms of the catalog, at a registry that knows its callers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshport.api_keys import ApiKeyRequest
from meshport.catalog import ProductRegistration
from meshport_registry import Settings, running
from meshport_registry.identity.offline import KeysInDatabase
from tests.plain_http import plain_http
from tests.registry.schemas import product, schema


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Serve a registry that knows callers; yield its URL and the keys of an owner, a reader and a steward."""
    database = f"sqlite:///{tmp_path / 'registry.db'}"
    groups = {"owner": "player", "reader": "guests", "steward": "mesh-stewards"}
    with KeysInDatabase(database) as keys:
        made = {name: keys.create(ApiKeyRequest(name=name, groups=(group,))).text for name, group in groups.items()}
    with running(Settings(database=database, port=0, bootstrap_servers="kafka.example.com:9092")) as url:
        yield url, made


def test_forms_are_shown_to_who_may_use_them(guarded: tuple[str, dict[str, str]]) -> None:
    """An owner may retire and grant, a steward waive and see the audit, a reader ask; nobody is shown what is refused."""
    url, keys = guarded
    body = ProductRegistration(descriptor=product(owner="player"), schemas={"events@1": schema("user").text})
    seen = {}
    for name, secret in keys.items():
        with plain_http(url) as client:
            client.headers["authorization"] = f"Bearer {secret}"
            if name == "owner":
                sent = body.model_dump_json(by_alias=True, exclude_none=True)
                kind = {"content-type": "application/json"}
                assert client.post("/api/v1/dataproducts", content=sent, headers=kind).status_code == 200
            view = client.get("/catalog/activity/player/plays").json()
            seen[name] = {action for action, may in view["may"].items() if may} | (
                {"entries"} if view["audit"] else set()
            )
            refused = client.post("/catalog/activity/player/plays/deprecate", data={"on": "2031-01-31"})
            assert refused.status_code == (303 if name == "owner" else 403)
    assert seen == {
        "owner": {"retire", "ask", "grant"},
        "reader": {"ask"},
        "steward": {"ask", "waive", "audit", "entries"},
    }
