"""The page of a product's lineage, and its drawing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import httpx2

from meshport.registry import Registry
from meshport.service_levels import JudgedLevel, LevelState, MeasuredLevels
from meshport_registry.catalog.lineage_graph import Graph
from tests.catalog.browser import Reader, follow
from tests.catalog.pages import AS_BROWSER

PAGE = "/catalog/lineage/listening/plays-by-artist"


def test_the_lineage_is_drawn_and_told(reader: Reader) -> None:
    """Products and fields are drawn, and each stands in the tables with a link to its own lineage; a field narrows both."""
    page = reader.open(PAGE)
    page.locator("#drawing[data-drawn]").wait_for()
    assert page.locator("#drawing canvas").count() > 0
    rows = page.get_by_role("region", name="Table of fields").locator("tbody tr").all_inner_texts()
    assert "artists/onboardings rate_per_play\taggregated sum(earned)\tlistening/plays-by-artist royalty" in rows
    page.get_by_role("button", name="Zoom in").click()
    page.locator("select[name=field]").select_option("royalty")
    page.get_by_label("also what filters").check()
    follow(page.get_by_role("button", name="Show", exact=True))
    page.wait_for_url("**field=royalty&influences=true")
    narrowed = page.get_by_role("region", name="Table of fields").locator("tbody tr").all_inner_texts()
    assert 0 < len(narrowed) < len(rows)
    assert not any("label" in each for each in narrowed)
    follow(page.get_by_role("region", name="Table of products").get_by_role("link", name="payments/artist-royalties"))
    page.wait_for_url("**/catalog/lineage/payments/artist-royalties")
    assert reader.refused == []


def test_a_box_of_the_drawing_leads_to_its_page(reader: Reader) -> None:
    """A click on a product or a field in the drawing opens the lineage of it."""
    page = reader.open("/catalog/lineage/artists/onboardings?field=rate_per_play")
    page.locator("#drawing[data-drawn]").wait_for()
    place = page.locator("#drawing").bounding_box()
    assert place is not None
    # The three products stand side by side in the middle of the drawing; the field of the middle one is in its centre.
    page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.wait_for_url("**/catalog/lineage/listening/plays-by-artist?field=royalty")


def test_boxes_stand_in_columns_and_do_not_overlap(http: httpx2.Client) -> None:
    """Each product is in the column of its distance, with its fields below it, and no two boxes cover each other."""
    view = http.get(f"{PAGE}?influences=true").json()
    graph = Graph.model_validate(view["graph"])
    ids = {each.id for each in graph.nodes}
    assert all({each.source, each.target} <= ids for each in graph.edges)
    columns: dict[float, list[float]] = {}
    for each in graph.nodes:
        columns.setdefault(each.x, []).append(each.y)
    assert len(columns) == 3
    for heights in columns.values():
        assert all(after - before >= 24 for before, after in pairwise(heights))
    assert {each.how for each in graph.edges} >= {"copied", "aggregated", "joins"}


def test_a_product_without_neighbours_has_no_drawing(reader: Reader) -> None:
    """A product that is alone says so, instead of an empty drawing; an unknown field is refused with the nearest one."""
    page = reader.open("/catalog/lineage/operations/gates")
    assert "It reads no other product, and none reads it." in page.locator("main").inner_text()
    assert page.locator("#drawing").count() == 0
    page = reader.open("/catalog/lineage/operations/departures?field=gat")
    assert "did you mean 'gate'?" in page.locator("main").inner_text()


def test_health_is_on_the_lineage(http: httpx2.Client, registry: Registry) -> None:
    """A product whose promises are broken, as measured, says so in the drawing and in the table."""
    now = datetime.now(UTC)
    level = JudgedLevel(property="timeliness", promised="30 s", state=LevelState.BROKEN, since=now, reason="late")
    measured = MeasuredLevels(at=now, valid_until=now + timedelta(hours=1), levels=(level,))
    registry.service_levels.report("artists/onboardings/events", measured)
    page = http.get(PAGE, headers=AS_BROWSER).text
    assert '<span class="badge broken">broken</span>' in page
    labels = [each["label"] for each in http.get(PAGE).json()["graph"]["nodes"] if each["kind"] == "product"]
    assert labels == [
        "broken: artists/onboardings",
        "player/plays",
        "listening/plays-by-artist",
        "payments/artist-royalties",
    ]
