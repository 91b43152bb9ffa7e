"""The service of artist relations, which emits by its outbox."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from typing import Any

from meshport.address import Address
from meshport.kafka.clusters import KafkaAccess
from meshport.local.cluster import Cluster
from meshport.product.loading import load_module
from meshport.project.project import Project
from meshport.project.sources import load_source, run_sources, stored
from tests.connections import CONNECTIONS
from tests.reference.test_on_kafka import KafkaPorts
from tests.served import served
from tests.waiting import PATIENCE_S

SERVICE = "producers/artists/onboardings/service.py"
ONBOARDINGS = Address.parse("artists/onboardings")
SIGNING = {
    "signing_id": "s-1",
    "artist_id": "artist-1",
    "name": "Golden Choir",
    "label": None,
    "country": "SE",
    "genres": ["FOLK"],
    "rate_per_play": "0.003500",
    "signed_at": "2026-03-01T08:00:00Z",
}


def test_a_signing_is_stored_and_published_or_neither(project: Project, kafka: Cluster, tmp_path: Path) -> None:
    """Each signing is one event, a repeated request none; what the contract refuses is not stored either."""
    ports = KafkaPorts(project, kafka)
    access: KafkaAccess = CONNECTIONS
    app = load_module(project.root / SERVICE).application(f"sqlite:///{tmp_path / 'artists.db'}", ports, access)

    async def sign() -> list[tuple[int, Any]]:
        async with served(app) as client:
            sent = [
                SIGNING,
                SIGNING,
                SIGNING | {"signing_id": "s-2", "label": "Lantern"},
                SIGNING | {"signing_id": "s-3", "label": "Lantern", "rate_per_play": "0.004"},
                SIGNING | {"signing_id": "s-4", "artist_id": "artist-2", "country": "Sweden"},
            ]
            answers = [await client.post("/signings", json=each) for each in sent]
            found = [await client.get(f"/artists/{name}") for name in ("artist-1", "artist-2")]
            while len(ports.history(ONBOARDINGS)) < 3:
                await asyncio.sleep(0.05)
            return [(each.status_code, each.json()) for each in (*answers, *found)]

    *answers, known, unknown = asyncio.run(asyncio.wait_for(sign(), PATIENCE_S))
    assert [(code, body.get("change")) for code, body in answers] == [
        (201, "ONBOARDED"),
        (200, "NONE"),
        (201, "LABEL_CHANGED"),
        (201, "RATE_CHANGED"),
        (422, None),
    ]
    assert (known[0], known[1]["signing_id"], known[1]["label"], unknown[0]) == (200, "s-3", "Lantern", 404)
    events = ports.history(ONBOARDINGS)
    assert [(each.id, each.key, each.data["change"]) for each in events] == [
        ("s-1", b"artist-1", "ONBOARDED"),
        ("s-2", b"artist-1", "LABEL_CHANGED"),
        ("s-3", b"artist-1", "RATE_CHANGED"),
    ]


def test_a_source_goes_on_with_a_service_that_knows_what_was_signed(project: Project, kafka: Cluster) -> None:
    """A run that continues another one publishes the further signings of the world, changes of known artists among them."""
    ports = KafkaPorts(project, kafka)
    source = load_source(project.product(ONBOARDINGS), seed=8)
    assert source is not None
    for limit in (285, 10):
        before = stored([ONBOARDINGS], ports, kafka=CONNECTIONS)
        run_sources([source], ports, limit=limit, skip={source.address: before[ONBOARDINGS]}, kafka=CONNECTIONS)
    told = {each.id: (each.record or {})["change"] for each in islice(iter(source.events), 295)}
    assert {each.id: each.data["change"] for each in ports.history(ONBOARDINGS)} == told
    assert len(set(told.values())) > 1
