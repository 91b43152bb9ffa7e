"""Two majors beside each other: which one an address leads to, on which day, and who counts as its reader."""

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
    """A second line beside the first."""
    return [{"key": "user"} | old, {"key": "user", "major": 2} | ({"liveFrom": live_from} if live_from else {})]


def two_lines(registry: Registry, live_from: date | None = LATER, **old: Any) -> None:
    """`player/plays` with both lines."""
    registry.register(product(outputPorts=two_ports(live_from, **old)), SCHEMAS)


@pytest.fixture
def store(database: str, service: str) -> Iterator[RegistryStore]:
    """The service's database, opened a second time."""
    assert service
    store = RegistryStore(database_url(database)).open()
    yield store
    store.close()


def test_a_second_line_moves_nobody_before_its_day(registry: Registry) -> None:
    """Readers that name no major stay where they are; the new line is there for those who name it."""
    registry.register(*plays())
    before = registry.resolve("player/plays")
    two_lines(registry)
    assert registry.resolve("player/plays") == registry.resolve("player/plays/events") == before
    second = registry.resolve("player/plays/events@2")
    assert (second.topic, second.live_from, second.status) == ("player.plays.events.v2", LATER, "active")


def test_a_line_whose_day_is_today_or_past_is_live(registry: Registry) -> None:
    """From its day on the new line is what an address without a major leads to."""
    for number, (day, major) in enumerate(((LATER, 1), (utc_today(), 2), (utc_today() - ONE, 2), (None, 2))):
        name = f"mesh://player/plays-{number}"
        registry.register(product(name, outputPorts=two_ports(day)), SCHEMAS)
        assert registry.resolve(name).address.major == major


def test_a_line_that_ends_says_when_and_where_to(registry: Registry) -> None:
    """The old line's binding is deprecated, with its day and the next line, while its product stays active."""
    two_lines(registry, deprecatedOn=END)
    old, new = registry.product("player/plays").bindings
    assert (old.status, old.deprecated_on, str(old.successor)) == ("deprecated", END, "mesh://player/plays/events@2")
    assert (new.status, new.deprecated_on, new.successor) == ("active", None, None)
    assert registry.product("player/plays").descriptor.status == "active"


def test_a_product_that_ends_before_its_line_says_so(registry: Registry) -> None:
    """The nearer of two ends is told; a line that has no end of its own has its product's."""
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


def test_a_line_that_ended_names_the_next(registry: Registry) -> None:
    """Who asks for a retired line by its major is told where its readers went, also once it left the descriptor."""
    two_lines(registry, utc_today())
    registry.retire(product().id, Retirement(port="events@1"))
    for _ in "ab":
        with pytest.raises(NotRegistered, match="its successor is mesh://player/plays/events@2"):
            registry.resolve("player/plays/events@1")
        only = product(outputPorts=[{"key": "user", "major": 2, "liveFrom": utc_today()}])
        registry.register(only, {"events@2": SCHEMAS["events@2"]})
    assert registry.resolve("player/plays").address.major == 2


def test_the_live_line_does_not_end_before_the_next_one_is_live(registry: Registry) -> None:
    """Retiring it would move its readers before their day: refused, unless they are named; then nothing else is left."""
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


def test_the_next_line_is_led_to_where_nothing_else_is_left(registry: Registry) -> None:
    """An address is never without a line while one is there."""
    two_lines(registry)
    registry.retire(product().id, Retirement(port="events@1"))
    assert registry.resolve("player/plays").address.major == 2


def test_readers_count_for_the_line_they_read_and_those_they_will_be_moved_to(
    registry: Registry, store: RegistryStore
) -> None:
    """Who names no major counts for the live line and every later one; who names one, for that alone."""
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


def test_a_kept_answer_ends_with_its_day(registry: Registry, store: RegistryStore) -> None:
    """At midnight UTC an address leads to the line whose day it is, though nothing was written, and not before."""
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
            today = LATER - ONE  # a clock that was put right
            assert await major() == 1
        finally:
            answers.close()

    asyncio.run(work())


def test_an_answer_on_its_way_at_midnight_is_not_kept(registry: Registry, store: RegistryStore) -> None:
    """What was asked for before midnight and found after it is answered as of the day of the question, and asked again."""
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

        store.read = slow  # type: ignore[method-assign] # the one place at which midnight can be put
        try:
            bodies = [await answers.body(PLAYS) for _ in range(2)]
        finally:
            answers.close()
        return [int(json.loads(each)["address"].partition("@")[2]) for each in bodies]

    assert asyncio.run(work()) == [1, 2]
