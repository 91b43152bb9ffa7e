"""Who reads a port, as the registry sees it: who asks for it, and the consumer groups that an observer reports."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text

from meshport.address import Address
from meshport.catalog import Removal
from meshport.errors import NotRegistered
from meshport.grants import AccessRequest, GrantApproval
from meshport.ports.async_mesh import for_threads
from meshport.ports.resolver import subscriber_resolver
from meshport.registry import AsyncRegistry, Registry
from meshport.seen_readers import (
    GroupReport,
    GroupReports,
    LineReaders,
    ReaderKind,
    ReaderState,
    SeenReader,
    SubscriberName,
)
from meshport_registry import Settings, running
from meshport_registry.seen_readers import asking, rows
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.registry.door import bearer, made_key, served
from tests.registry.schemas import plays, product, schema
from tests.waiting import PATIENCE_S, wait_for

LINE = Address.parse("player/plays/events@1")


@cache
def now() -> datetime:
    """Return the time at which these tests began: a module is imported long before its tests run."""
    return datetime.now(UTC)


@pytest.fixture(autouse=True)
def quick_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write what was noted at once, and each time."""
    monkeypatch.setattr(asking, "EVERY_S", 0.02)
    monkeypatch.setattr(asking, "_AGAIN_US", 0)


def seen(registry: Registry, of: str = "player/plays/events@1") -> dict[str, SeenReader]:
    """Return the readers of a line by name."""
    (line,) = registry.seen_readers(of)
    return {each.name: each for each in line.readers}


def appears(registry: Registry, name: str, way: str = "subscribed_at") -> SeenReader:
    """Wait until a reader was seen in a way, and return it."""
    wait_for(lambda: name in (found := seen(registry)) and getattr(found[name], way), f"{name} in {way}")
    return seen(registry)[name]


def reported(registry: Registry, at: datetime, *groups: GroupReport) -> LineReaders:
    """Report groups of the plays."""
    return registry.report_groups(LINE, GroupReports(at=at, groups=groups))


def change(database: str, statement: str) -> None:
    """Change rows of the database."""
    store = RegistryStore(database_url(database)).open()
    try:
        asyncio.run(store.write(lambda connection: connection.execute(text(statement)) and None))
    finally:
        store.close()


def past(database: str, days: int) -> None:
    """Make everything that was seen so many days older, and the observation as well."""
    micros = days * 86_400_000_000
    times = ("first_at", "last_at", "read_at", "members_at", "subscribed_at", "resolved_at", "schema_at")
    change(database, f"UPDATE seen_reader SET {', '.join(f'{each} = {each} - {micros}' for each in times)}")
    change(database, f"UPDATE line_observation SET since = since - {micros}")


def register_readers(registry: Registry) -> None:
    """Register the plays and two products that declare to read them."""
    registry.register(*plays())
    registry.register(
        product("mesh://listening/sessions", "mesh://player/plays:user", owner="team-listening"),
        {"events@1": schema("user", name="mesh.S")},
    )
    registry.register(
        product("mesh://payments/royalties", "mesh://player/plays:track"),
        {"events@1": schema("user", name="mesh.R")},
    )


def test_a_subscriber_names_itself(registry: Registry) -> None:
    """A subscriber is a reader that is not declared, with its group and the fields of its reader schema."""
    registry.register(*plays())
    assert registry.resolve_as(LINE, SubscriberName(group="billing", fields=("user", "track"))).address == LINE
    found = appears(registry, "billing")
    assert (found.kind, found.declared, found.state, found.fields, found.groups) == (
        ReaderKind.GROUP,
        False,
        ReaderState.SEEN,
        ("user", "track"),
        ("billing",),
    )
    assert found.reads_lately
    registry.resolve_as(LINE, SubscriberName(client="dashboards"))
    assert appears(registry, "dashboards").kind is ReaderKind.CLIENT
    first = seen(registry)["billing"]
    registry.resolve_as(LINE, SubscriberName(group="billing", fields=("user",)))
    wait_for(lambda: seen(registry)["billing"].fields == ("user",), "the newest reader schema")
    again = seen(registry)["billing"]
    assert again.first_seen == first.first_seen
    assert again.last_seen is not None
    assert first.last_seen is not None
    assert again.last_seen >= first.last_seen


def test_a_subscriber_of_an_event_loop_names_itself(registry: Registry) -> None:
    """A subscriber whose thread asks by the registry client of an event loop is known by its group and fields as well."""
    registry.register(*plays())

    async def ask() -> None:
        async with AsyncRegistry(registry.url, timeout=PATIENCE_S) as mesh:
            named = subscriber_resolver(for_threads(mesh), "loops", schema("user"))
            assert (await asyncio.to_thread(named.resolve, LINE)).address == LINE

    asyncio.run(ask())
    assert appears(registry, "loops").fields == ("user",)


def test_a_kept_binding_hides_no_subscriber(service: str) -> None:
    """Subscribers of one process share what was resolved, and each is known by its own group all the same."""
    with Registry(service, keep=3600, timeout=PATIENCE_S) as registry:
        registry.register(*plays())
        registry.resolve(LINE)
        for group in ("first", "second"):
            registry.resolve_as(LINE, SubscriberName(group=group))
        appears(registry, "first")
        appears(registry, "second")


def test_who_asks_is_known_by_its_program(registry: Registry, http: httpx2.Client) -> None:
    """Other clients are known by their User-Agent, by what they asked for; a Meshport client that only looks is not."""
    registry.register(*plays())
    number = registry.resolve(LINE).schema_id
    java = {"user-agent": "Java/17.0.1"}
    assert http.get(f"/schemas/ids/{number}", headers=java).status_code == 200
    assert http.get(f"/schemas/ids/{number}?format=resolved", headers={"user-agent": "Go"}).status_code == 200
    assert http.get("/api/v1/resolve/player/plays", headers=java).status_code == 200
    assert http.get("/api/v1/resolve/player/nothing", headers={"user-agent": "lost"}).status_code == 404
    assert appears(registry, "Go", "schema_at").resolved_at is None
    found = appears(registry, "Java/17.0.1", "resolved_at")
    assert found.schema_at is not None
    assert (found.kind, found.reads_lately) == (ReaderKind.CLIENT, False)
    assert seen(registry).keys() == {"Go", "Java/17.0.1"}


def test_a_known_caller_is_named(database: str) -> None:
    """A caller with a login is named by it, also beside its group; a product that asks for its own port is no reader."""
    keys = {name: made_key(database, name, "player", "mesh-admins") for name in ("ann", "player/plays", "pia")}
    with served(Settings(database=database, port=0, bootstrap_servers="kafka:9092")) as http:
        url = str(http.base_url)

        def ask(name: str, **more: str) -> None:
            headers = {**bearer(keys[name].text), **more}
            assert http.get("/api/v1/resolve/player/plays/events?major=1", headers=headers).status_code == 200

        host = url.removeprefix("http://")
        with Registry(f"http://{keys['ann'].id}:{keys['ann'].secret}@{host}", keep=0, timeout=PATIENCE_S) as registry:
            registry.register(*plays())
            ask("player/plays")
            ask("pia", **{"meshport-reader": "group=reports"})
            ask("pia")
            ask("ann")
            assert appears(registry, "ann", "resolved_at").kind is ReaderKind.CALLER
            found = appears(registry, "reports", "resolved_at")
            assert (found.caller, found.kind) == ("pia", ReaderKind.GROUP)
            assert seen(registry).keys() == {"ann", "reports"}


def test_groups_read_where_their_offsets_move(registry: Registry) -> None:
    """A group is seen to read from the report on in which it has committed other offsets; members are seen at once."""
    registry.register(*plays())
    before = now() - timedelta(minutes=3)
    (idle,) = reported(registry, before, GroupReport(name="billing", committed=10)).readers
    assert (idle.state, idle.read_at, idle.words()) == (ReaderState.UNOBSERVED, None, "not observed yet")
    (live,) = reported(
        registry, before + timedelta(minutes=1), GroupReport(name="billing", committed=10, live=True)
    ).readers
    assert (live.read_at, live.members_at) == (None, before + timedelta(minutes=1))
    moved = before + timedelta(minutes=2)
    line = reported(registry, moved, GroupReport(name="billing", committed=12))
    assert (line.readers[0].read_at, line.observed_since, line.observed_at) == (moved, before, moved)
    late = reported(registry, before, GroupReport(name="billing", committed=99), GroupReport(name="late", committed=1))
    assert late == line
    assert line.readers[0].words() == f"read {moved:%Y-%m-%d}"


def test_declared_readers_are_matched_by_group_and_caller(registry: Registry) -> None:
    """The group of a product's processor, and groups that are named after it, are the product's; others stay undeclared."""
    register_readers(registry)
    groups = ("meshport.process.listening.sessions.events.v1", "payments.royalties.nightly", "payments.other")
    for minutes, committed in ((2, 1), (1, 2)):
        reported(
            registry,
            now() - timedelta(minutes=minutes),
            *(GroupReport(name=each, committed=committed) for each in groups),
        )
    found = seen(registry)
    assert list(found) == ["listening/sessions", "payments/royalties", "payments.other"]
    sessions, royalties = found["listening/sessions"], found["payments/royalties"]
    assert (sessions.groups, sessions.fields, sessions.owner) == (groups[:1], ("user",), "team-listening")
    assert (royalties.groups, royalties.declared, royalties.state) == (groups[1:2], True, ReaderState.SEEN)
    assert not found["payments.other"].declared


def test_a_granted_reader_is_declared(registry: Registry) -> None:
    """A person whom the owner granted the port is declared, and is seen by a group that begins with its name."""
    registry.register(*plays())
    wanted = AccessRequest(address=LINE.of_product, reader="ann", purpose="a survey")
    asked = registry.access.request(wanted)
    assert seen(registry) == {}
    registry.access.grant(asked.id, GrantApproval(until=datetime(2100, 1, 1, tzinfo=UTC)))
    assert (seen(registry)["ann"].state, seen(registry)["ann"].kind) == (ReaderState.UNOBSERVED, ReaderKind.CALLER)
    reported(
        registry, now(), GroupReport(name="ann.survey", committed=1, live=True), GroupReport(name="anna", live=True)
    )
    found = seen(registry)
    assert (found["ann"].groups, found["ann"].declared, found["anna"].declared) == (("ann.survey",), True, False)


def test_silence_is_said_after_thirty_observed_days(registry: Registry, database: str) -> None:
    """A declared reader is silent once the port was observed for 30 days without it; not before, and not when nobody observes."""
    register_readers(registry)
    group = GroupReport(name="payments.royalties", committed=1, live=True)
    assert {each.state for each in seen(registry).values()} == {ReaderState.UNOBSERVED}
    reported(registry, now() - timedelta(minutes=9), group)
    past(database, 29)
    assert seen(registry)["listening/sessions"].state is ReaderState.UNOBSERVED
    past(database, 2)
    found = seen(registry)
    assert {each.state for each in found.values()} == {ReaderState.SILENT}
    assert found["listening/sessions"].words() == "nothing for 30 days"
    assert found["payments/royalties"].words().startswith("nothing for 30 days, had members ")
    reported(registry, now(), group)
    assert seen(registry)["payments/royalties"].state is ReaderState.SEEN
    change(database, f"UPDATE line_observation SET at = at - {2 * 86_400_000_000}")
    assert seen(registry)["listening/sessions"].state is ReaderState.UNOBSERVED


def test_a_gap_in_the_observation_begins_it_anew(registry: Registry, database: str) -> None:
    """After more than a week without a report a group may have come and gone, so that the 30 days begin again."""
    registry.register(*plays())
    for gap, anew in ((6, False), (8, True)):
        change(database, "DELETE FROM line_observation")
        first = now() - timedelta(days=gap)
        reported(registry, first)
        assert reported(registry, now()).observed_since == (now() if anew else first)


def test_a_flood_of_names_pushes_no_reader_out(
    registry: Registry, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line keeps a bounded number of clients; new ones take the place of those alone that were not seen for 30 days."""
    monkeypatch.setitem(rows.MOST, ReaderKind.CLIENT, 3)
    registry.register(*plays())
    registry.resolve_as(LINE, SubscriberName(client="first"))
    appears(registry, "first")
    for number in range(8):
        registry.resolve_as(LINE, SubscriberName(client=f"flood-{number}"))
    registry.resolve_as(LINE, SubscriberName(group="billing"))
    appears(registry, "billing")
    found = [each for each in seen(registry).values() if each.kind is ReaderKind.CLIENT]
    assert len(found) == 3
    assert "first" in {each.name for each in found}
    past(database, 31)
    registry.resolve_as(LINE, SubscriberName(client="first"))
    registry.resolve_as(LINE, SubscriberName(client="later"))
    appears(registry, "later")
    assert len([each for each in seen(registry).values() if each.kind is ReaderKind.CLIENT]) == 3
    assert seen(registry)["first"].state is ReaderState.SEEN
    past(database, 91)
    assert seen(registry) == {}


def test_hostile_headers_say_nothing(registry: Registry, http: httpx2.Client) -> None:
    """A header that is none, too long, or has control characters is passed over, and the answer is the same."""
    registry.register(*plays())
    path = "/api/v1/resolve/player/plays/events?major=1"
    whole = http.get(path).content
    for value in ("x" * 9000, "group=" + "g" * 300, "group=%00%07", "&".join(f"field={n}" for n in range(300)), "%ff"):
        assert http.get(path, headers={"meshport-reader": value, "user-agent": ""}).content == whole
    registry.resolve_as(LINE, SubscriberName(group="the last one"))
    appears(registry, "the last one")
    assert seen(registry).keys() - {"the last one"} <= {http.headers["user-agent"]}


def test_a_report_is_of_a_line_that_there_is(registry: Registry, http: httpx2.Client) -> None:
    """An unknown line, two reports in one and wrong bodies are refused; reports have no entry in the audit."""
    registry.register(*plays())
    with pytest.raises(NotRegistered):
        registry.report_groups(Address.parse("player/plays/events@2"), GroupReports(at=now()))
    with pytest.raises(NotRegistered):
        registry.seen_readers("player/nothing")
    path = "/api/v1/seen-readers/player/plays/events"
    for body in ({}, {"at": "2026-03-01"}, {"at": now().isoformat(), "groups": [{"name": ""}]}):
        assert http.put(path, json=body).status_code == 422
    many = {"at": now().isoformat(), "groups": [{"name": f"g{number}"} for number in range(501)]}
    assert http.put(path, json=many).status_code == 422
    before = http.get("/api/v1/audit").json()["head"]["number"]
    reported(registry, now())
    assert http.get("/api/v1/audit").json()["head"]["number"] == before


def test_a_dropped_product_leaves_no_readers(registry: Registry) -> None:
    """A product of the same name begins without readers and without an observation."""
    declared, schemas = plays()
    registry.register(declared, schemas)
    reported(registry, now(), GroupReport(name="billing", committed=1, live=True))
    registry.drop(declared.id, Removal(unused=("player.plays.events.v1",)))
    registry.register(declared, schemas)
    (line,) = registry.seen_readers("player/plays")
    assert (line.readers, line.observed_since) == ((), None)


def test_a_breaking_change_names_readers_that_are_not_declared(registry: Registry) -> None:
    """The gate names them for a change that breaks, and for no other; verdict and refusal stay as they are."""
    register_readers(registry)
    reported(registry, now() - timedelta(minutes=1), GroupReport(name="billing", committed=1))
    reported(registry, now(), GroupReport(name="billing", committed=2))
    registry.resolve_as(LINE, SubscriberName(group="reports", fields=("track",)))
    appears(registry, "reports")
    declared, _ = plays()
    (verdict,) = registry.judge(declared, {"events@1": schema("user")})
    assert [str(each) for each in verdict.also_read_by] == [
        f"read by group 'billing' (not declared; last read {now():%Y-%m-%d})",
        f"read by group 'reports' (not declared; last subscribed {datetime.now(UTC):%Y-%m-%d}; fields track)",
    ]
    assert not verdict.passes
    (whole,) = registry.judge(declared, {"events@1": schema("user", "track", "device?")})
    assert (whole.passes, whole.also_read_by) == (True, ())
    (port,) = registry.past("player/plays").ports
    assert port.undeclared == verdict.also_read_by


def test_what_waits_is_written_at_the_end(new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that stops writes who has asked since the last write."""
    monkeypatch.setattr(asking, "EVERY_S", 3600)
    settings = Settings(database=new_database(), port=0, bootstrap_servers="kafka:9092")
    with running(settings) as url, Registry(url, keep=0, timeout=PATIENCE_S) as registry:
        registry.register(*plays())
        registry.resolve_as(LINE, SubscriberName(group="billing"))
        assert seen(registry) == {}
    with running(settings) as url, Registry(url, keep=0, timeout=PATIENCE_S) as registry:
        assert seen(registry).keys() == {"billing"}


def test_no_answer_fails_of_what_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the database takes no write, addresses are resolved, and who asked is written later."""
    failing = [True]
    keep: Any = vars(asking)["_keep"]

    def fail_at_first(connection: Any, **given: Any) -> None:
        if failing[0]:
            raise RuntimeError("the disk is full")
        keep(connection, **given)

    monkeypatch.setattr(asking, "_keep", fail_at_first)
    settings = Settings(database=f"sqlite:///{tmp_path / 'registry.db'}", port=0, bootstrap_servers="kafka:9092")
    with running(settings) as url, Registry(url, keep=0, timeout=PATIENCE_S) as registry:
        registry.register(*plays())
        for number in range(20):
            assert registry.resolve_as(LINE, SubscriberName(group=f"g{number}")).address == LINE
        assert seen(registry) == {}
        failing[0] = False
        wait_for(lambda: len(seen(registry)) == 20, "all of them")


def test_the_answer_is_json_as_documented(http: httpx2.Client, registry: Registry) -> None:
    """A product's readers come by line, a port's for the live line or that of a major."""
    register_readers(registry)
    lines = http.get("/api/v1/seen-readers/player/plays").json()
    assert lines == http.get("/api/v1/seen-readers/player/plays/events").json()
    assert lines == http.get("/api/v1/seen-readers/player/plays/events?major=1").json()
    assert [each["address"] for each in lines] == ["mesh://player/plays/events@1"]
    assert [(each["name"], each["kind"], each["reads"]) for each in lines[0]["readers"]] == [
        ("listening/sessions", "product", "mesh://player/plays/events"),
        ("payments/royalties", "product", "mesh://player/plays/events"),
    ]
    json.dumps(lines)
