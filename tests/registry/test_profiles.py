"""Profiles of ports, as an observer reports them to the registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
import pytest

from meshport.address import Address
from meshport.catalog import Removal
from meshport.errors import NotRegistered
from meshport.port_profile import MASK, FieldProfile, PortProfile, SampleEvent
from meshport.registry import Registry
from tests.registry.schemas import plays

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PORT = Address.parse("player/plays/events@1")


def profile(at: datetime = NOON, events: int = 3) -> PortProfile:
    """Return a profile of the plays."""
    return PortProfile(
        address=PORT,
        taken_at=at,
        events=events,
        fields=(FieldProfile(path="user", classification="restricted", masked=True, values=3, nulls=0, distinct=2),),
        samples=(SampleEvent(id="1", time=at, partition=0, offset=1, data={"user": MASK}),),
    )


def test_the_newest_profile_is_kept(registry: Registry) -> None:
    """A profile replaces an older one of its line; an older one that comes late changes nothing; a dropped product has none."""
    declared, schemas = plays()
    registry.register(declared, schemas)
    levels = registry.service_levels
    with pytest.raises(NotRegistered, match="no observer reported a profile"):
        levels.profile("player/plays/events")
    assert levels.report_profile(profile()) == profile()
    newer = profile(NOON + timedelta(minutes=5), events=7)
    assert levels.report_profile(newer) == newer
    assert levels.report_profile(profile()) == newer
    assert levels.profile("player/plays/events") == levels.profile(PORT) == newer
    registry.drop(declared.id, Removal(unused=("player.plays.events.v1",)))
    registry.register(declared, schemas)
    with pytest.raises(NotRegistered):
        levels.profile(PORT)


def test_a_profile_is_of_the_port_that_it_names(registry: Registry, http: httpx2.Client) -> None:
    """A profile of another port, of no port or of too much is refused, and reports have no entry in the audit."""
    registry.register(*plays())
    other = profile().model_copy(update={"address": Address.parse("player/skips/events@1")})
    path = "/api/v1/profiles/player/plays/events"
    answer = http.put(path, content=other.model_dump_json(), headers={"content-type": "application/json"})
    assert (answer.status_code, "player/skips/events@1" in answer.json()["message"]) == (422, True)
    with pytest.raises(NotRegistered):
        registry.service_levels.report_profile(other)
    long = profile().model_dump(mode="json") | {"samples": profile().model_dump(mode="json")["samples"] * 6}
    assert http.put(path, json=long).status_code == 422
    before = http.get("/api/v1/audit").json()["head"]["number"]
    registry.service_levels.report_profile(profile())
    assert http.get("/api/v1/audit").json()["head"]["number"] == before
