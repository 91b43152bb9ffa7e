"""Two majors of a port: which one an address resolves to, on which day, and which products are readers of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

import pytest

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import Deprecation, Retirement
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport_registry.lineage import readers
from meshport_registry.products import DefaultCluster
from meshport_registry.response_cache import BindingResponseCache
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.registry.schemas import plays, product, schema

ONE = timedelta(days=1)
LATER = utc_today() + 30 * ONE
END = LATER + 60 * ONE
SCHEMAS = {"events@1": schema("user", "track"), "events@2": schema("user", "song")}
SESSIONS = {"events@1": schema("user", "length", name="mesh.Session")}
PLAYS = Address("player", "plays")


def two_ports(live_from: date | None = LATER, **old: Any) -> list[dict[str, Any]]:
    """Return a second line for the product."""
    return [{"key": "user"} | old, {"key": "user", "major": 2} | ({"liveFrom": live_from} if live_from else {})]


def two_lines(registry: Registry, live_from: date | None = LATER, **old: Any) -> None:
    """Return `player/plays` with both lines."""
    registry.register(product(outputPorts=two_ports(live_from, **old)), SCHEMAS)


@pytest.fixture
def store(database: str, service: str) -> Iterator[RegistryStore]:
    """Open the service's database a second time."""
    assert service
    store = RegistryStore(database_url(database)).open()
    yield store
    store.close()


def test_a_second_line_moves_no_reader_before_its_day(registry: Registry) -> None:
    """Before its day, a new line is resolved by its major alone."""
    registry.register(*plays())
    before = registry.resolve("player/plays")
    two_lines(registry)
    assert registry.resolve("player/plays") == registry.resolve("player/plays/events") == before
    second = registry.resolve("player/plays/events@2")
    assert (second.topic, second.live_from, second.status) == ("player.plays.events.v2", LATER, "active")


def test_a_line_whose_day_is_today_or_past_is_live(registry: Registry) -> None:
    """From its day on, an address without a major resolves to the new line."""
    for number, (day, major) in enumerate(((LATER, 1), (utc_today(), 2), (utc_today() - ONE, 2), (None, 2))):
        name = f"mesh://player/plays-{number}"
        registry.register(product(name, outputPorts=two_ports(day)), SCHEMAS)
        assert registry.resolve(name).address.major == major


def test_a_deprecated_line_has_its_day_and_its_successor(registry: Registry) -> None:
    """The old line is deprecated, with its day and the next line as successor, while its product stays active."""
    two_lines(registry, deprecatedOn=END)
    old, new = registry.product("player/plays").bindings
    assert (old.status, old.deprecated_on, str(old.successor)) == ("deprecated", END, "mesh://player/plays/events@2")
    assert (new.status, new.deprecated_on, new.successor) == ("active", None, None)
    assert registry.product("player/plays").descriptor.status == "active"


def test_a_line_ends_with_its_product_if_that_ends_earlier(registry: Registry) -> None:
    """A line ends on the earlier of its own day and its product's."""
    two_lines(registry, deprecatedOn=END)
    registry.register(product("mesh://player/streams"), {"events@1": SCHEMAS["events@1"]})
    guid = product().id
    registry.deprecate(guid, Deprecation(on=END - ONE, successor=Address("player", "streams")))
    old, new = registry.product("player/plays").bindings
    assert (old.deprecated_on, new.deprecated_on) == (END - ONE, END - ONE)
    assert (str(old.successor), str(new.successor)) == ("mesh://player/plays/events@2", "mesh://player/streams")
    registry.retire(guid, Retirement())
    with pytest.raises(NotRegistered, match="its successor is mesh://player/streams"):
        registry.resolve("player/plays/events@1")


def test_a_retired_line_names_the_next(registry: Registry) -> None:
    """A retired line resolves to 410 with its successor, even after the descriptor has dropped it."""
    two_lines(registry, utc_today())
    registry.retire(product().id, Retirement(port="events@1"))
    for _ in "ab":
        with pytest.raises(NotRegistered, match="its successor is mesh://player/plays/events@2"):
            registry.resolve("player/plays/events@1")
        only = product(outputPorts=[{"key": "user", "major": 2, "liveFrom": utc_today()}])
        registry.register(only, {"events@2": SCHEMAS["events@2"]})
    assert registry.resolve("player/plays").address.major == 2


def test_the_live_line_does_not_end_before_the_next_one_is_live(registry: Registry) -> None:
    """Retiring the live line before the next one's day is refused, unless `force` names its readers."""
    two_lines(registry)
    registry.register(product("mesh://listening/sessions", "mesh://player/plays:user"), SESSIONS)
    guid, reader = product().id, Address("listening", "sessions")
    with pytest.raises(RegistrationRefused) as refused:
        registry.retire(guid, Retirement(port="events@1"))
    assert "mesh://listening/sessions reads" in refused.value.findings[0]
    registry.retire(guid, Retirement(port="events@2"))
    two_lines(registry)
    registry.retire(guid, Retirement(port="events@1", force=(reader,)))
    with pytest.raises(NotRegistered):
        registry.resolve("player/plays")


def test_the_next_line_is_live_once_no_other_is_left(registry: Registry) -> None:
    """An address without a major resolves as long as one line is not retired."""
    two_lines(registry)
    registry.retire(product().id, Retirement(port="events@1"))
    assert registry.resolve("player/plays").address.major == 2


def test_readers_count_for_the_line_they_read_and_those_they_will_be_moved_to(
    registry: Registry, store: RegistryStore
) -> None:
    """A product that names no major reads the live line and every later one; a product that names one reads that line."""
    two_lines(registry)
    for name, source in (
        ("bare", "player/plays"),
        ("first", "player/plays/events@1"),
        ("next", "player/plays/events@2"),
    ):
        registry.register(product(f"mesh://listening/{name}", f"mesh://{source}:user"), SESSIONS)

    def names(line: str, today: date) -> list[str]:
        found = store.read_now(lambda connection: readers(connection, Address.parse(line), today=today))
        return [each.address.product for each in found]

    asked = [names(f"player/plays/events@{major}", day) for day in (LATER - ONE, LATER) for major in (1, 2)]
    assert asked == [["bare", "first"], ["bare", "next"], ["first"], ["bare", "next"]]
    assert names("player/plays", LATER) == names("player/plays/events", LATER) == ["bare", "first", "next"]
    assert [each.address.product for each in registry.readers("player/plays/events@2")] == ["bare", "next"]


def test_a_cached_binding_ends_with_its_day(registry: Registry, store: RegistryStore) -> None:
    """At midnight UTC an address starts to resolve to the line whose day begins, although nothing was written."""
    two_lines(registry)
    today = LATER - ONE
    day: Callable[[], date] = lambda: today  # noqa: E731 - the injected clock, read when asked

    async def work() -> None:
        nonlocal today
        answers = BindingResponseCache(store, DefaultCluster(), today=day)

        async def major(text: str = "player/plays") -> int | None:
            return Binding.model_validate(json.loads(await answers.body(Address.parse(text)))).address.major

        try:
            assert [await major(), await major(), await major("player/plays/events@1")] == [1, 1, 1]
            today = LATER
            assert [await major(), await major(), await major("player/plays/events@1")] == [2, 2, 1]
            today = LATER - ONE  # a clock that is set back
            assert await major() == 1
        finally:
            answers.close()

    asyncio.run(work())


def test_a_binding_in_flight_at_midnight_is_not_cached(registry: Registry, store: RegistryStore) -> None:
    """A response that was computed across midnight is of the day of the request, and is not cached."""
    two_lines(registry)
    today = LATER - ONE

    async def work() -> list[int]:
        nonlocal today
        answers = BindingResponseCache(store, DefaultCluster(), today=lambda: today)
        read = store.read

        async def slow(work: Callable[[Any], Any]) -> Any:
            nonlocal today
            found = await read(work)
            if isinstance(found, bytes):
                today, store.read = LATER, read  # type: ignore[method-assign] # as below
                await answers.body(Address.parse("player/plays/events@1"))
            return found

        store.read = slow  # type: ignore[method-assign] # the only await at which midnight can pass
        try:
            bodies = [await answers.body(PLAYS) for _ in range(2)]
        finally:
            answers.close()
        return [int(json.loads(each)["address"].partition("@")[2]) for each in bodies]

    assert asyncio.run(work()) == [1, 2]
