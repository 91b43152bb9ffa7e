"""The search: what it finds, typos and all, how it is narrowed, and that it is as new as the request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from uuid import UUID

import httpx2
import pytest
from sqlalchemy import Connection

from meshport.catalog import Deprecation, Removal, Retirement
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport.search import SearchPage
from meshport_registry import Settings, running
from meshport_registry.search.entry import MOST_FIELDS
from meshport_registry.search.index import MOST_WORDS, Entry, EntryPart, Query, SearchIndex
from meshport_registry.search.live import LiveIndex
from meshport_registry.search.words import words
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.plain_http import plain_http
from tests.registry.schemas import plays, product, schema


def find(http: httpx2.Client, text: str = "", **narrowed: str | int) -> SearchPage:
    """Search, and return the page."""
    answer = http.get("/api/v1/search", params={"q": text, **narrowed})
    assert answer.status_code == 200, answer.text
    return SearchPage.model_validate_json(answer.content)


def keys(page: SearchPage) -> list[str]:
    """Return the addresses of what was found, as `domain/product`."""
    return [each.address.key for each in page.items]


@pytest.fixture
def airline(registry: Registry) -> None:
    """Register three products of an airline."""
    delay = schema(
        {"name": "airportCode", "type": "string", "doc": "As IATA has it, such as ZRH."},
        {
            "name": "leg",
            "type": {"type": "record", "name": "Leg", "fields": [{"name": "tail_number", "type": "string"}]},
        },
    )
    registry.register(
        product(
            "mesh://operations/departures",
            displayName="Départs",
            description="Every flight as it left the gate.",
            owner="flight-ops",
            tags=["punctuality"],
            outputPorts=[{"key": "airportCode"}],
        ),
        {"events@1": delay},
    )
    registry.register(
        product(
            "mesh://sales/bookings",
            description="Seats on flights.",
            owner="sales",
            classification="restricted",
            outputPorts=[{"key": "booking_id", "topic": "LEGACY.seats"}],
        ),
        {"events@1": schema("booking_id")},
    )
    registry.register(
        product(
            "mesh://network/delays",
            "mesh://operations/departures",
            description="Late ones.",
            outputPorts=[{"key": "hour"}],
        ),
        {"events@1": schema("hour")},
    )


@pytest.mark.usefixtures("airline")
def test_every_part_of_a_product_finds_it(http: httpx2.Client) -> None:
    """Name, tag, owner, field at any depth, `doc`, topic and description; in any case, by a beginning, without an accent."""
    for text in ("departs", "DEPARTURES", "punctual", "flight-ops", "airport code", "tail_number", "zrh", "gate"):
        assert keys(find(http, text)) == ["operations/departures"], text
    assert keys(find(http, "legacy")) == ["sales/bookings"]
    page = find(http, "tail airport")
    assert page.items[0].fields == ("airportCode", "leg.tail_number")
    assert (page.total, page.every_word, page.read_as, page.complete) == (1, True, {}, True)


@pytest.mark.usefixtures("airline")
@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("deprtures", {"deprtures": ("departures",)}),
        ("bokings", {"bokings": ("bookings",)}),
        ("punctaulity", {"punctaulity": ("punctuality",)}),
        ("airprot", {"airprot": ("airport",)}),
        ("punktual", {"punktual": ("punctuality",)}),
    ],
)
def test_a_typo_is_forgiven_and_said(http: httpx2.Client, text: str, read_as: dict[str, tuple[str, ...]]) -> None:
    """A letter that is missing, two that are exchanged, a wrong one in a word that is still being typed."""
    page = find(http, text)
    assert (page.read_as, page.total) == (read_as, 1)


@pytest.mark.usefixtures("airline")
def test_what_is_more_important_comes_first(http: httpx2.Client) -> None:
    """A name before a description; and where no product has every word, those with some."""
    assert keys(find(http, "flight")) == ["operations/departures", "sales/bookings"]
    page = find(http, "flight seats nonsense")
    assert (keys(page), page.every_word) == (["sales/bookings", "operations/departures"], False)
    assert find(http, "xyzzy").total == 0


@pytest.mark.usefixtures("airline")
def test_facets_say_what_narrowing_would_leave(http: httpx2.Client) -> None:
    """Each value with the number of products that it and the other conditions leave."""
    page = find(http)
    assert keys(page) == ["network/delays", "operations/departures", "sales/bookings"]
    assert page.facets["domain"] == {"network": 1, "operations": 1, "sales": 1}
    assert page.facets["archetype"] == {"source-aligned": 2, "aggregate": 1}
    narrowed = find(http, domain="sales")
    assert keys(narrowed) == ["sales/bookings"]
    assert narrowed.facets["domain"] == page.facets["domain"]
    assert narrowed.facets["archetype"] == {"source-aligned": 1}
    both = find(http, archetype="source-aligned", classification="internal")
    assert keys(both) == ["operations/departures"]
    assert both.facets["classification"] == {"internal": 1, "restricted": 1}
    assert keys(find(http, tag="punctuality")) == ["operations/departures"]
    assert keys(find(http, owner="sales", status="active")) == ["sales/bookings"]
    second = find(http, offset=1, limit=1)
    assert (keys(second), second.total) == (["operations/departures"], 3)


def test_a_search_is_as_new_as_its_request(new_database: Callable[[], str]) -> None:
    """On any node: what is registered, changed, deprecated, retired and dropped is found so by the next request."""
    settings = Settings(database=new_database(), port=0, bootstrap_servers="k:1")
    with running(settings) as one, running(settings) as two, Registry(one, keep=0) as registry, plain_http(two) as http:
        assert find(http, "plays").total == 0
        declared, schemas = plays()
        registry.register(declared, schemas)
        assert keys(find(http, "plays")) == ["player/plays"]
        registry.register(declared.model_copy(update={"description": "Tracks that were heard."}), schemas)
        assert keys(find(http, "heard")) == ["player/plays"]
        guid = UUID(registry.product(declared.address).guid)
        registry.deprecate(guid, Deprecation(on=utc_today()))
        assert find(http, "plays", status="deprecated").total == 1
        registry.retire(guid, Retirement())
        assert find(http, "plays").items[0].status == "retired"
        registry.drop(guid, Removal())
        assert find(http, "plays").total == 0


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ("q=" + "x" * 201, 422),
        ("limit=101", 422),
        ("status=odd", 422),
        ("sort=name", 422),
        ("q=%00", 422),
        ("q=%F0%9F%98%80", 200),
    ],
)
def test_parameters_are_bounded(http: httpx2.Client, parameters: str, status: int) -> None:
    """As everywhere in the mesh API: what is not known or out of range is refused."""
    assert http.get(f"/api/v1/search?{parameters}").status_code == status


def test_words_are_parts_of_names() -> None:
    """Humps, underscores and hyphens part words; accents and case do not count; a long one is cut."""
    assert words("artistId HTTPServer plays-by_artist v2") == (
        "artist",
        "id",
        "http",
        "server",
        "plays",
        "by",
        "artist",
        "v2",
    )
    assert words("Zürich ÎLE Straße משתמש") == ("zurich", "ile", "straße", "משתמש")
    assert words("x" * 100) == ("x" * 40,)


def entry(number: int) -> Entry:
    """Return the entry of a product."""
    key = f"shop/orders-{number}"
    return Entry(str(number), key, "shop", key, "", "aggregate", "me", "active", "internal", (), (), {})


def test_the_index_is_bounded() -> None:
    """Of a contract with 100,000 words the least important are left out, and entries that were replaced are counted."""
    index = SearchIndex()
    index.put(entry(1), {f"w{number}": EntryPart.DOC for number in range(100_000)} | {"name": EntryPart.NAME})
    assert index.find(Query(("name",)), offset=0, limit=9).total == 1
    found = sum(index.find(Query((f"w{number}",)), offset=0, limit=1).total for number in range(99_900, 100_000))
    assert found == 0
    for _ in range(3):
        index.put(entry(1), {"other": EntryPart.NAME})
    assert (len(index), index.dead) == (1, 3)
    assert index.find(Query(("name",)), offset=0, limit=9).total == 0
    assert index.find(Query(("other",)), offset=0, limit=9).total == 1
    assert MOST_WORDS < 10_000


def test_a_hostile_contract_is_read_in_part(registry: Registry, http: httpx2.Client) -> None:
    """Of 2,000 fields the first are named in what was found, and the product is still found by its name."""
    many = schema(*(f"f{number}" for number in range(2000)))
    registry.register(product("mesh://hostile/fields", outputPorts=[{"key": "f0"}]), {"events@1": many})
    page = find(http, "hostile f1")
    assert keys(page) == ["hostile/fields"]
    assert 1 <= len(page.items[0].fields) <= 10
    assert MOST_FIELDS < 2000


def test_a_search_during_the_first_reading_is_answered(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read so far is searched, and the answer says that it is not all."""
    store = RegistryStore(database_url(database)).open()
    monkeypatch.setattr("meshport_registry.search.live._PATIENCE_S", 0.01)

    async def search() -> tuple[bool, bool]:
        index, gate = LiveIndex(store), asyncio.Event()
        read = store.read

        async def slow(work: Callable[[Connection], object]) -> object:
            await gate.wait()
            return await read(work)

        monkeypatch.setattr(store, "read", slow)
        index.start()
        before = await index.ask(lambda found: found.complete)
        gate.set()
        monkeypatch.setattr("meshport_registry.search.live._PATIENCE_S", 60)
        after = await index.ask(lambda found: found.complete)
        await index.close()
        return before, after

    assert asyncio.run(search()) == (False, True)
    store.close()
