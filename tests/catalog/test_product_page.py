"""The page of a product: what it says of the product, its lines and its contract, and asking for access."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect

from meshport.address import Address
from meshport.product import Product
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema
from meshport.seen_readers import GroupReport, GroupReports
from meshport_registry.catalog.contract import MAX_DOC, MOST_FIELDS, fields_of
from tests.catalog.browser import Reader, follow
from tests.catalog.pages import AS_BROWSER
from tests.registry.schemas import product, schema

DEEP = {
    "type": "record",
    "name": "shop.Order",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}, "default": 0},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Line",
                    "fields": [
                        {"name": "sku", "type": "string", "classification": "public"},
                        {"name": "parent", "type": ["null", "shop.Line"], "default": None},
                        {"name": "notes", "type": {"type": "map", "values": {"type": "array", "items": "string"}}},
                    ],
                },
            },
        },
        {"name": "gift", "type": ["null", "shop.Line", "string"], "default": None},
        {"name": "state", "type": {"type": "enum", "name": "State", "symbols": [f"S{number}" for number in range(20)]}},
        {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 16}},
    ],
}


def view(http: httpx2.Client, path: str) -> dict[str, Any]:
    """Return the JSON of a page."""
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_contract_is_told_in_words() -> None:
    """Types in words, fields inside of others with their paths, and a record in itself once."""
    found = {each.path: each for each in fields_of(parse_schema(json.dumps(DEEP)).form)}
    assert {path: each.type for path, each in found.items()} == {
        "id": "UUID",
        "day": "date",
        "price": "decimal number, 2 after the point",
        "lines": "list of record Line",
        "lines[].sku": "text",
        "lines[].parent": "record Line",
        "lines[].notes": "map to list of text",
        "gift": "record Line or text",
        "gift.sku": "text",
        "gift.parent": "record Line",
        "gift.notes": "map to list of text",
        "state": "one of S0, S1, S2, S3, S4, S5, S6, S7, S8, S9, S10, S11 and 8 more",
        "hash": "16 bytes",
    }
    assert [path for path, each in found.items() if each.optional] == ["lines[].parent", "gift", "gift.parent"]
    assert (found["lines[].sku"].classification, found["lines[].sku"].depth) == ("public", 1)
    assert (found["day"].default, found["gift"].avro) == (True, "null | shop.Line | string")


@pytest.mark.parametrize(
    "form", ["string", ["null", "string"], {"type": "array", "items": "int"}, {"type": "enum", "name": "E"}]
)
def test_what_is_no_record_has_no_fields(form: Any) -> None:
    """A contract may be any Avro type."""
    assert list(fields_of(form)) == []


def test_contracts_are_walked_within_bounds() -> None:
    """Neither many fields nor deep ones nor long docs take more than their share."""
    wide = {
        "type": "record",
        "name": "W",
        "fields": [{"name": f"f{n}", "type": "int", "doc": "x" * 30_000} for n in range(12_000)],
    }
    found = list(fields_of(wide))
    assert (len(found), len(found[0].doc)) == (MOST_FIELDS, MAX_DOC)
    deep: Any = "int"
    for number in range(200):
        deep = {"type": "record", "name": f"R{number}", "fields": [{"name": "f", "type": deep}]}
    assert max(each.depth for each in fields_of(deep)) < 30


def test_the_page_shows_who_reads_and_shares_each_field(http: httpx2.Client) -> None:
    """Readers by what they declare, polysemes with the other products that have them, key, time and classification."""
    details = view(http, "/catalog/products/operations/departures")["details"]
    rows = {each["path"]: each for each in details["port"]["fields"]}
    assert rows["left_at"]["read_by"] == ["mesh://network/delays-by-airport"]
    assert rows["gate"]["read_by"] == []
    assert "mesh://sales/bookings" in rows["flight_id"]["shared_by"]
    assert rows["flight_id"]["of_the_key"]
    assert rows["scheduled_at"]["is_the_time"]
    assert [each["name"] for each in details["port"]["promises"]] == ["timeliness 30 s"]
    assert {each["address"] for each in details["port"]["readers"]} == {
        "mesh://network/delays-by-airport",
        "mesh://network/old-delays",
        "mesh://network/punctuality",
    }
    page = http.get("/catalog/products/sales/bookings", headers=AS_BROWSER).text
    assert '<span class="badge restricted">restricted</span>' in page
    assert "Members of <code>sales-readers</code> may read it already" in page


def test_the_page_lists_readers_that_are_not_declared(registry: Registry, http: httpx2.Client) -> None:
    """Who was seen to read the port follows those that declare it, marked, with the time; markup in a name is text."""
    line, now = Address.parse("operations/departures/events@1"), datetime.now(UTC)
    groups = ("<b>billing</b>", "meshport.process.network.delays-by-airport.events.v1")
    for minutes, committed in ((1, 1), (0, 2)):
        found = tuple(GroupReport(name=each, committed=committed) for each in groups)
        registry.report_groups(line, GroupReports(at=now - timedelta(minutes=minutes), groups=found))
    seen = view(http, "/catalog/products/operations/departures")["details"]["port"]["seen"]
    assert [(each["name"], each["declared"], each["state"]) for each in seen["readers"]] == [
        ("network/delays-by-airport", True, "seen"),
        ("network/old-delays", True, "unobserved"),
        ("network/punctuality", True, "unobserved"),
        ("<b>billing</b>", False, "seen"),
    ]
    page = http.get("/catalog/products/operations/departures", headers=AS_BROWSER).text
    section = " ".join(page.partition('<h2 id="readers">')[2].partition("</section>")[0].split())
    assert '<a href="/catalog/products/network/delays-by-airport">network/delays-by-airport</a>' in section
    assert "not observed yet" in section
    assert '<li class="undeclared"> <span class="quiet">group</span> <code>&lt;b&gt;billing&lt;/b&gt;</code>' in section
    assert '<span class="badge undeclared">not declared</span>' in section
    assert f'read <time datetime="{now:%Y-%m-%dT%H:%M:%S}Z"' in section
    assert "Consumer groups are observed since" in section


def test_the_page_of_a_deprecated_product_leads_on(reader: Reader) -> None:
    """It says until when, and its successor is a link."""
    page = reader.open("/catalog/products/network/old-delays")
    expect(page.get_by_text("readers should have left by 2030-06-30")).to_be_visible()
    follow(page.get_by_role("link", name="network/delays-by-airport").first)
    expect(page.get_by_role("heading", name="Delays by airport")).to_be_visible()


def test_every_line_of_a_port_has_its_contract(registry: Registry, http: httpx2.Client) -> None:
    """The live major is shown first; another one by its link, and one that is not there is an error."""
    ports = [
        {"key": "id", "deprecatedOn": "2031-01-01"},
        {"key": "id", "major": 2, "liveFrom": "2030-01-01"},
        {"name": "raw", "key": "id", "retention": "36h"},
    ]
    registry.register(
        product("mesh://lines-shown/orders", outputPorts=ports),
        {"events@1": schema("id"), "events@2": schema("id", "second"), "raw@1": schema("id", "raw")},
    )
    path = "/catalog/products/lines-shown/orders"
    details = view(http, path)["details"]
    assert [(each["port"], each["major"], each["live"], each["shown"]) for each in details["lines"]] == [
        ("events", 1, True, True),
        ("events", 2, False, False),
        ("raw", 1, True, False),
    ]
    assert [each["name"] for each in view(http, f"{path}?port=events&major=2")["details"]["port"]["fields"]] == [
        "id",
        "second",
    ]
    page = http.get(f"{path}?port=raw", headers=AS_BROWSER).text
    assert "every event, 1 day 12 hours" in page
    assert "becomes live on 2030-01-01" in page
    assert http.get(f"{path}?port=nothing").status_code == http.get(f"{path}?port=raw&major=7").status_code == 404


def test_snippets_read_this_port_of_this_registry(http: httpx2.Client) -> None:
    """Each has the address or topic, the brokers and the registry as the reader reached it; Python's is Python."""
    port = view(http, "/catalog/products/operations/departures")["details"]["port"]
    found = {each["name"]: each["code"] for each in port["snippets"]}
    url = str(http.base_url).rstrip("/")
    assert all(url in code for code in found.values())
    assert all("operations.departures.events.v1" in found[name] for name in ("Java", "JavaScript", "kcat", "Flink SQL"))
    assert all("kafka.example.com:9092" in found[name] for name in ("Java", "JavaScript", "kcat", "Flink SQL"))
    assert '"operations/departures/events@1"' in found["Python"]
    ast.parse(found["Python"])
    assert "  `left_at` TIMESTAMP(3),\n  `gate` STRING,\n  `cause` STRING\n" in found["Flink SQL"]


def test_no_snippet_has_a_foreign_host_with_quotes(http: httpx2.Client) -> None:
    """The header `Host` is the client's own word; what is no word of a URL stands in no code."""
    answer = http.get("/catalog/products/player/plays", headers={"host": 'a");alert(1)//'})
    assert "alert" not in answer.text


def test_a_person_asks_for_access(reader: Reader, registry: Registry) -> None:
    """By the form: the request waits for the owner, and the page shows it; a second one is refused on a page that says why."""
    page = reader.open("/catalog/products/sales/bookings")
    page.get_by_label("What for?").fill("<b>churn</b>")
    page.get_by_label("Who is to read it?").fill("marketing/churn")
    page.get_by_label("Until").fill("2031-05-01")
    follow(page.get_by_role("button", name="Ask sales"))
    expect(page.locator("#access + .rows")).to_contain_text("marketing/churn")
    (asked,) = registry.access.list(Address("sales", "bookings"))
    assert (asked.purpose, asked.state, str(asked.wanted_until)) == (
        "<b>churn</b>",
        "requested",
        "2031-05-01 23:59:59.999999+00:00",
    )
    page.get_by_label("What for?").fill("again")
    page.get_by_label("Who is to read it?").fill("marketing/churn")
    follow(page.get_by_role("button", name="Ask sales"))
    expect(page.get_by_text("waits already")).to_be_visible()


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"purpose": "", "reader": "a/b"}, 422),
        ({"purpose": "x", "reader": "a/b", "until": "soon"}, 422),
        ({"purpose": "x", "reader": "a/b", "port": "No Port"}, 422),
        ({"purpose": "x", "reader": "a/b", "port": "nothing"}, 422),
        ({"purpose": "x" * 70_000}, 422),
        ({"purpose": "x\0y", "reader": "a/b"}, 422),
    ],
)
def test_a_form_that_says_nothing_useful_is_refused(http: httpx2.Client, fields: dict[str, str], status: int) -> None:
    """With a page that says what is wrong, for a browser; nothing is asked for."""
    answer = http.post("/catalog/access/player/plays", data=fields, headers=AS_BROWSER)
    assert answer.status_code == status
    assert "<h1>This cannot be understood</h1>" in answer.text


def hostile() -> tuple[Product, dict[str, Schema]]:
    """Return a product whose every text is an attack, with as many fields as a contract may have."""
    attack = "</script><script>document.title='stolen'</script><img src=x onerror=alert(1)>{{ 7*7 }}"
    backwards = "\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe \N{ARABIC LETTER SEEN}\N{ARABIC LETTER LAM}"
    fields: list[str | dict[str, Any]] = [
        {"name": "id", "type": "string", "doc": attack},
        {"name": "long", "type": "string", "doc": "word " * 20_000},
        {"name": "turned", "type": {"type": "string", "polyseme": attack}, "doc": backwards},
        {"name": "x" * 300, "type": "string", "classification": attack},
    ]
    fields += [{"name": f"field_{number}", "type": "int"} for number in range(4900)]
    declared = product(
        "mesh://hostile-page/attack",
        displayName=attack,
        description=f"{attack} {backwards} " + "y" * 100_000,
        owner=attack,
        contact="javascript:alert(1)",
        sourceCodeLocation="javascript:alert(1)",
        tags=[attack, '"><script>', "a&b=c"],
        outputPorts=[{"key": "id"}],
    )
    return declared, {"events@1": schema(*fields, name="hostile.Attack")}


def test_a_hostile_product_is_shown_harmless(
    window: Callable[..., Reader], registry: Registry, http: httpx2.Client
) -> None:
    """Scripts, 4,900 fields, text from right to left and 100 kB of it: shown as text, in a window of 400 pixels, searched."""
    registry.register(*hostile())
    reader = window(viewport={"width": 400, "height": 800})
    path = "/catalog/products/hostile-page/attack"
    page = reader.open(path)
    assert page.title().startswith("</script><script>document.title='stolen'")
    assert page.locator("tbody tr").count() == 4904
    assert page.locator("main script, main img, a[href^='javascript']").count() == 0
    assert reader.wider_than_the_window() <= 0
    for other in ("/", "/catalog/domains/hostile-page", "/catalog/search?q=hostile+attack", "/catalog/search?q=script"):
        reader.open(other)
        assert reader.wider_than_the_window() <= 0, other
        assert page.locator("main img, main script").count() == 0, other
    assert reader.refused == []
    assert "{{ 7*7 }}" in http.get(path, headers=AS_BROWSER).text
    links = set(re.findall(r'href="([^"]+)"', http.get(path, headers=AS_BROWSER).text))
    assert {each for each in links if not re.match(r"/|#", each)} == set()
    assert json.loads(http.get(path).content)["product"]["owner"].startswith("</script>")
