"""The search page: found while typing, narrowed, and reached by the keyboard."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
from playwright.sync_api import expect

from tests.catalog.browser import Reader, follow
from tests.catalog.pages import AS_BROWSER


def test_products_are_found_while_typing(reader: Reader) -> None:
    """From the home page, without a key to send it: with a typo that is said, an address to share, and none of the map."""
    page = reader.open("/")
    page.keyboard.type("deprtures")
    expect(page.get_by_role("status")).to_have_text("1 product")
    expect(page.locator("#results")).to_contain_text("No product has deprtures; these have departures.")
    expect(page.get_by_role("link", name="Departures")).to_be_visible()
    assert page.url.endswith("/catalog/search?q=deprtures")
    expect(page.get_by_role("heading", name="Domains")).to_have_count(0)
    page.keyboard.press("Control+A")
    page.keyboard.type("artist royalt")
    first = page.locator(".products > li h2").first
    expect(first).to_have_text("Artist royalties")
    expect(page.get_by_role("searchbox")).to_be_focused()
    assert reader.findings() == []
    page.reload()
    expect(page.get_by_role("searchbox")).to_have_value("artist royalt")
    assert reader.refused == []


def test_a_search_works_without_scripts(window: Callable[..., Reader]) -> None:
    """The form is a form, and narrowing is links: the chosen value stays chosen, and is removed by its own link."""
    page = window(java_script_enabled=False).open("/")
    page.get_by_role("searchbox").fill("flight")
    follow(page.get_by_role("button", name="Search"))
    facets = page.get_by_label("Narrow the search")
    follow(facets.get_by_role("link", name="sales"))
    assert page.get_by_role("status").inner_text() == "1 product"
    assert facets.get_by_role("link", name="sales", exact=True).get_attribute("aria-current") == "true"
    follow(page.get_by_role("button", name="Search"))
    assert page.get_by_role("status").inner_text() == "1 product"
    follow(facets.get_by_role("link", name="Remove sales"))
    assert page.get_by_role("status").inner_text() != "1 product"


def test_a_key_goes_to_the_search_from_every_page(reader: Reader) -> None:
    """The key `/`, but not where it is typed; the result of nothing says what to do."""
    page = reader.open("/catalog/products/player/plays")
    page.keyboard.press("/")
    page.keyboard.type("xyzzy/zyxxyz")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("Nothing found")
    expect(page.get_by_role("searchbox")).to_have_value("xyzzy/zyxxyz")
    expect(page.get_by_role("link", name="See the whole mesh")).to_be_visible()


def test_pages_of_a_list_keep_the_search(http: httpx2.Client) -> None:
    """The links to the pages before and after have the words and what narrows them; the JSON has them as well."""
    found = http.get("/catalog/search", params={"q": "e", "status": "active", "limit": 2, "offset": 2}).json()
    assert found["before"] == "/catalog/search?q=e&status=active&limit=2"
    assert found["after"] == "/catalog/search?q=e&status=active&limit=2&offset=4"
    assert (len(found["found"]["items"]), found["found"]["complete"]) == (2, True)
    page = http.get("/catalog/search?q=%3Cscript%3E&owner=%22x", headers=AS_BROWSER).text
    assert 'value="&lt;script&gt;"' in page
    assert 'name="owner" value="&#34;x"' in page
