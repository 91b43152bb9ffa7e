"""Who sees the quarantined events of a product, at a registry that knows its callers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from meshport.address import Address
from meshport.api_keys import ApiKeyRequest
from meshport.quarantine_report import QuarantineReport
from meshport.registry import Registry
from meshport.registry.login import RegistryLogin
from meshport_registry import Settings, running
from meshport_registry.identity.offline import KeysInDatabase
from tests.catalog.pages import AS_BROWSER
from tests.catalog.processors import LOOKED, entry, report
from tests.plain_http import plain_http
from tests.registry.schemas import product, schema
from tests.waiting import PATIENCE_S


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Callable[[str], httpx2.Client]]:
    """Serve a registry that knows callers, with a quarantined event; yield a function that returns the client of a caller."""
    database = f"sqlite:///{tmp_path / 'registry.db'}"
    groups = {
        "admin": ("mesh-admins",),
        "reader of both": ("counts-readers", "plays-readers"),
        "reader": ("counts-readers",),
        "stranger": ("guests",),
    }
    with KeysInDatabase(database) as keys:
        made = {name: keys.create(ApiKeyRequest(name=name, groups=each)).text for name, each in groups.items()}
    settings = Settings(database=database, port=0, bootstrap_servers="kafka.example.com:9092")
    with running(settings) as url, ExitStack() as opened:
        with Registry(url, login=RegistryLogin(token=SecretStr(made["admin"])), timeout=PATIENCE_S) as registry:
            plays = product(owner="player", requiredSecurityGroup="plays-readers")
            registry.register(plays, {"events@1": schema("user")})
            counts = product(
                "mesh://charts/counts",
                "mesh://player/plays",
                archetype="aggregate",
                owner="charts",
                requiredSecurityGroup="counts-readers",
                process={"input": "mesh://player/plays", "steps": [{"select": ["user"]}]},
            )
            registry.register(counts, {"events@1": schema("user")})
            source, built = Address.parse("player/plays/events@1"), Address.parse("charts/counts/events@1")
            registry.processors.report(built, report(built, 1))
            one = entry(3, b"mia", b"<secret>", reason="'secret' is no long", error="EventError")
            registry.processors.report_quarantine(
                QuarantineReport(
                    address=built,
                    at=LOOKED,
                    sources=(source,),
                    entries=(one.model_copy(update={"source": source}),),
                )
            )

        def client_of(name: str) -> httpx2.Client:
            made_client = opened.enter_context(plain_http(url))
            made_client.headers["authorization"] = f"Bearer {made[name]}"
            return made_client

        yield client_of


def test_a_reader_of_the_output_sees_no_bytes_of_an_input_that_it_may_not_read(
    client: Callable[[str], httpx2.Client],
) -> None:
    """The page is for who may read the product; of an input that this caller may not read, it has neither bytes nor reasons."""
    assert client("stranger").get("/catalog/quarantine/charts/counts").status_code == 403
    (seen,) = client("reader of both").get("/catalog/quarantine/charts/counts").json()["quarantined"]
    assert (seen["value"]["text"], seen["entry"]["reason"]) == ("<secret>", "'secret' is no long")
    half = client("reader").get("/catalog/quarantine/charts/counts")
    (seen,) = half.json()["quarantined"]
    assert (seen["value"], seen["entry"]["reason"], seen["entry"]["withheld"]) == (
        None,
        "",
        "you may not read mesh://player/plays",
    )
    assert "secret" not in half.text
    api = client("reader").get("/api/v1/quarantine/charts/counts/events")
    assert api.status_code == 200
    assert "secret" not in api.text
    assert client("stranger").get("/api/v1/quarantine/charts/counts/events").status_code == 403
    activity = client("stranger").get("/catalog/activity/charts/counts", headers=AS_BROWSER)
    assert "/catalog/quarantine/" not in activity.text
