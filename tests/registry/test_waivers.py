"""Waivers: recorded, listed, applied and expired."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from meshport.catalog import Waiver, WaiverRequest
from meshport.compat import RULES, Outcome, State
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.registry.schemas import plays, product, schema, waiver_of_track

RULE = "READER_FIELD_MISSING_DEFAULT_VALUE"
WITHOUT_TRACK = {"events@1": schema("user")}


def test_a_waiver_is_recorded_and_listed(registry: Registry) -> None:
    """Waivers are listed newest first, of the mesh, a product, a port or a line, with everything that was recorded."""
    registry.register(*plays())
    registry.register(product("mesh://player/streams"), plays()[1])
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    first = registry.waivers.record(waiver_of_track())
    assert first.model_dump(include=set(WaiverRequest.model_fields)) == waiver_of_track().model_dump()
    assert before <= first.created_at <= datetime.now(UTC)
    second = registry.waivers.record(waiver_of_track(address="player/streams/events@1"))
    assert registry.waivers.list() == (second, first)
    for address in ("player/plays", "player/plays/events", "player/plays/events@1"):
        assert registry.waivers.list(address) == (first,)
    assert registry.waivers.list("player/plays/other") == registry.waivers.list("player/plays/events@2") == ()
    with pytest.raises(NotRegistered):
        registry.waivers.list("player/play")


@pytest.mark.parametrize(
    ("other", "finding"),
    [
        ({"address": "player/plays/events"}, "names no major; a waiver is for one port, as in mesh://player/plays/ev"),
        ({"address": "player/plays/events@2"}, "events@2 is not registered; there are mesh://player/plays/events@1"),
        ({"address": "player/play/events@1"}, "mesh://player/play/events@1 is not registered"),
        ({"rule": "READER_FIELD_MISSING_DEFAULT"}, f"is no rule of the gate; did you mean {RULE}?"),
        ({"until": utc_today() - timedelta(days=2)}, "is past; today is"),
        ({"until": utc_today() + timedelta(days=368)}, "is more than 366 days away"),
    ],
)
def test_a_waiver_that_cannot_hold_is_refused(registry: Registry, other: dict[str, object], finding: str) -> None:
    """A waiver needs a registered port, a rule of the table and a day within a year."""
    registry.register(*plays())
    with pytest.raises(RegistrationRefused) as error:
        registry.waivers.record(waiver_of_track(**other))
    assert finding in error.value.findings[0]
    assert registry.waivers.list() == ()


def test_some_rules_cannot_be_waived(registry: Registry) -> None:
    """A rule that protects the mesh itself cannot be waived."""
    registry.register(*plays())
    strict = [rule.id for rule in RULES.values() if not rule.waivable]
    assert strict
    for rule in strict:
        with pytest.raises(RegistrationRefused, match=f"{rule} cannot be waived"):
            registry.waivers.record(waiver_of_track(rule=rule))


def test_all_findings_of_a_waiver_are_reported_at_once(registry: Registry) -> None:
    """A wrong port, rule and day are three findings."""
    with pytest.raises(RegistrationRefused) as error:
        registry.waivers.record(waiver_of_track(rule="NONE", until=date(2020, 1, 1)))
    assert len(error.value.findings) == 3


def test_a_waiver_lets_one_change_pass(registry: Registry) -> None:
    """A waived change is registered with a note, and any other change is still refused."""
    registry.register(*plays())
    waiver = registry.waivers.record(waiver_of_track())
    declared = plays()[0]
    (verdict,) = registry.judge(declared, WITHOUT_TRACK)
    (finding,) = verdict.findings
    assert (verdict.outcome, finding.state, finding.waiver) == (Outcome.COMPATIBLE, State.WAIVED, waiver.id)
    assert verdict.waivers == (waiver,)
    with pytest.raises(RegistrationRefused) as error:
        registry.register(declared, {"events@1": schema("user", "title")})
    assert [each.partition(":")[0] for each in error.value.findings] == [f"{RULE} at title"]
    done = registry.register(declared, WITHOUT_TRACK)
    assert done.ports[0].version == 2
    assert done.notes[0].startswith(f"events@1: {RULE} at track")
    assert done.notes[0].endswith(f"waived by Ada until {waiver.until}")


def test_a_revoked_waiver_lets_nothing_pass(registry: Registry) -> None:
    """A revoked waiver has the time of its revocation and stays in the list; revoking it again changes nothing."""
    registry.register(*plays())
    waiver = registry.waivers.record(waiver_of_track())
    revoked = registry.waivers.revoke(waiver.id)
    assert revoked.revoked_at is not None
    assert revoked.revoked_at >= waiver.created_at
    assert registry.waivers.revoke(waiver.id) == revoked
    assert registry.waivers.list("player/plays") == (revoked,)
    with pytest.raises(RegistrationRefused):
        registry.register(plays()[0], WITHOUT_TRACK)
    with pytest.raises(NotRegistered, match="there is no waiver 99"):
        registry.waivers.revoke(99)


@pytest.mark.parametrize(("days", "passes"), [(0, True), (-1, False)], ids=["last-day", "day-after"])
def test_a_waiver_expires_after_its_day(tmp_path: Path, days: int, passes: bool) -> None:
    """A waiver is in force on its last day, and not on the next."""
    file = tmp_path / "registry.db"
    with (
        running(Settings(database=f"sqlite:///{file}", port=0, bootstrap_servers="k:1")) as url,
        Registry(url) as client,
    ):
        client.register(*plays())
        waiver = client.waivers.record(waiver_of_track())
        change_until(file, waiver, utc_today() + timedelta(days=days))
        attempt: Callable[[], object] = lambda: client.register(plays()[0], WITHOUT_TRACK)  # noqa: E731 - as it is asked twice
        if passes:
            attempt()
        else:
            with pytest.raises(RegistrationRefused):
                attempt()
        (shown,) = client.waivers.list()
        assert shown.revoked_at is None


def change_until(file: Path, waiver: Waiver, day: date) -> None:
    """Move the day of a waiver into the past."""
    with sqlite3.connect(file) as database:
        database.execute("UPDATE waiver SET until = ? WHERE id = ?", (day.isoformat(), waiver.id))
    database.close()
