"""The state of processors on the pages of products, and the page of what they quarantined."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest

from meshport.address import Address
from meshport.registry import Registry
from tests.catalog.browser import Reader
from tests.catalog.pages import AS_BROWSER
from tests.catalog.processors import LOOKED, report
from tests.registry.schemas import product, schema

QUARANTINE = "/catalog/quarantine/network/punctuality"
ACTIVITY = "/catalog/activity/network/punctuality"


def test_a_stopped_processor_is_named_wherever_its_product_is_shown(reader: Reader) -> None:
    """The product, its activity and the lineage say in words that it is stopped, since when, and what waits."""
    facts = reader.open("/catalog/products/network/punctuality").locator("dl.facts").first.inner_text()
    assert "stopped its group has no member, since" in facts
    assert "12 events wait, the oldest for 3 seconds" in facts
    assert "3 events, 1 of them redriven" in facts
    page = reader.open(ACTIVITY)
    assert "meshport run network/punctuality" in page.locator("main").inner_text()
    assert "meshport.process.network.punctuality.events.v1" in page.locator("main").inner_text()
    rows = page.get_by_role("region", name="Table of partitions").locator("tbody tr").all_inner_texts()
    assert [each.split("\t")[1:] for each in rows] == [
        ["0", "9", "3 seconds", "none"],
        ["1", "3", "less than a second", "none"],
        ["2", "0", "nothing waits", "none"],
        ["0", "only its member knows", "not known", "none"],
    ]
    table = reader.open("/catalog/lineage/network/punctuality").get_by_role("region", name="Table of products")
    (row,) = [each for each in table.locator("tbody tr").all_inner_texts() if "network/punctuality" in each]
    assert "stopped" in row
    assert "2 events in quarantine" in row
    assert reader.refused == []


def test_a_running_processor_is_shown_with_its_members(http: httpx2.Client) -> None:
    """The page's JSON has the report, and its words; a source has no processor."""
    found = http.get("/catalog/activity/listening/plays-by-artist").json()["processors"]
    assert [(each["status"]["state"], each["headline"]) for each in found] == [("running", "2 members")]
    assert found[0]["backlog"] == "12 events wait, the oldest for 3 seconds"
    assert http.get("/catalog/activity/operations/gates").json()["processors"] == []
    assert http.get("/catalog/products/operations/gates").json()["details"]["port"]["processor"] is None


def test_the_drawing_says_stopped(http: httpx2.Client) -> None:
    """The health of a node is a word of its label, not its colour alone."""
    nodes = http.get("/catalog/lineage/operations/departures").json()["graph"]["nodes"]
    labels = {each["id"]: each["label"] for each in nodes if each["kind"] == "product"}
    assert labels["network/punctuality"] == "stopped: network/punctuality"
    assert labels["network/delays-by-airport"] == "network/delays-by-airport"


def test_quarantined_bytes_are_shown_as_text(reader: Reader) -> None:
    """What others wrote is shown and never run: text where it can be printed, else bytes; with the command to redrive it."""
    page = reader.open(QUARANTINE)
    events = page.locator("section[aria-labelledby=quarantined] > details")
    assert events.count() == 3
    first = events.nth(0).inner_text()
    assert "<script>alert(1)</script>" in first
    assert "field airport: <b>'x'</b> is no IATA code" in first
    back = (
        "meshport redrive network/punctuality/events@1 --topic operations.departures.events.v1 --partition 1 --offset 7"
    )
    assert back in first
    events.nth(1).locator("summary").first.click()
    second = events.nth(1).inner_text()
    assert "0000  00 01 fe 3c 73 63 72 69 70 74 3e 00 01 fe 3c 73  ...<script>...<s" in second
    assert "3,300 bytes, the first 1,024" in second
    events.nth(2).locator("summary").first.click()
    third = events.nth(2).inner_text()
    assert "redriven" in third
    assert "It is empty." in third
    assert "meshport redrive" not in third
    late = page.locator("section[aria-labelledby=late]").inner_text()
    assert "\u202e" not in late
    assert "behind the watermark" in late
    assert page.locator("main script, main img").count() == 0
    assert reader.findings() == []
    assert reader.refused == []


def test_confidential_bytes_are_not_shown(http: httpx2.Client) -> None:
    """The page says why they are not, and which command shows them to who may read the topics."""
    path = "/catalog/quarantine/listening/plays-by-artist"
    page = http.get(path, headers=AS_BROWSER).text
    assert "not shown" in page
    assert "is confidential" in page
    assert "meshport quarantine listening/plays-by-artist/events@1 --json" in page
    (shown,) = http.get(path).json()["quarantined"]
    assert (shown["key"], shown["value"], shown["entry"]["value_bytes"]) == (None, None, 2048)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/catalog/quarantine/operations/gates", "No processor makes"),
        ("/catalog/quarantine/recommendations/related-artists", "No observer looked yet"),
        ("/catalog/activity/recommendations/related-artists", "no observer reported on it"),
    ],
)
def test_what_is_missing_is_said(http: httpx2.Client, path: str, says: str) -> None:
    """A product without a processor, and one that no observer looked at, have pages that say so and what to do."""
    assert says in http.get(path, headers=AS_BROWSER).text


def test_an_old_report_does_not_look_like_now(
    window: Callable[..., Reader], registry: Registry, http: httpx2.Client
) -> None:
    """A report that has ended is shown with its time as what was then; the state is not known, and nothing is stopped."""
    address = Address.parse("mesh://network/old-news/events@1")
    news = product("mesh://network/news", owner="network-planning", outputPorts=[{"key": "airport"}])
    registry.register(news, {"events@1": schema("airport", "seen")})
    declared = product(
        "mesh://network/old-news",
        "mesh://network/news:airport,seen",
        archetype="aggregate",
        owner="network-planning",
        outputPorts=[{"key": "airport"}],
        process={"input": "mesh://network/news", "steps": [{"select": ["airport"]}]},
    )
    registry.register(declared, {"events@1": schema("airport")})
    registry.processors.report(address, report(address, 2, until=LOOKED + timedelta(minutes=2)))
    reader = window()
    for path in ("activity", "products"):
        text = reader.open(f"/catalog/{path}/network/old-news").locator("main").inner_text()
        assert "not known not observed lately; then: 2 members" in text
        assert "running" not in text
    shown = reader.open("/catalog/activity/network/old-news")
    assert "No observer has looked since" in shown.locator(".hint").first.inner_text()
    assert reader.findings() == []
    nodes = http.get("/catalog/lineage/network/old-news").json()["graph"]["nodes"]
    assert {each["processor"] for each in nodes if each["id"] == "network/old-news"} == {"unknown"}
