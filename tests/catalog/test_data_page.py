"""The page of a port's data."""

from __future__ import annotations

import httpx2

from tests.catalog.browser import Reader
from tests.catalog.pages import AS_BROWSER

PAGE = "/catalog/data/operations/gates"


def test_fields_and_events_are_shown(reader: Reader) -> None:
    """Each field has its nulls, range, frequent values and spread; the events are there as text, whatever is in them."""
    page = reader.open(PAGE)
    rows = {each.split("\t")[0]: each for each in page.locator("table tbody tr").all_inner_texts()}
    assert "0 %" in rows["gate"]
    assert "97.5 %" in rows["closed"]
    assert "late <b>crew</b> 9" in rows["closed"]
    assert page.get_by_role("img", name="How the values of at are spread").locator("rect").count() == 10
    first = page.locator("details").first
    assert '"gate": "B10"' in first.inner_text()
    assert page.locator("details").count() == 5
    assert reader.refused == []


def test_a_port_without_an_observer_says_so(http: httpx2.Client) -> None:
    """Where nobody reported, the page says what would; its JSON has no profile."""
    path = "/catalog/data/player/plays"
    assert "Nobody looked at its events yet" in http.get(path, headers=AS_BROWSER).text
    assert http.get(path).json()["profile"] is None
