"""The page of a contract's versions."""

from __future__ import annotations

import httpx2

from tests.catalog.browser import Reader, follow
from tests.catalog.pages import AS_BROWSER

PAGE = "/catalog/versions/operations/gates"


def test_any_two_versions_can_be_compared(reader: Reader) -> None:
    """The newest change is shown first; a person chooses two other versions and sees what changed, and the verdict of then."""
    page = reader.open(PAGE)
    assert page.locator(".changes li").all_inner_texts() == ["removed stand is removed; it was text"]
    found = page.get_by_role("region", name="What the gate found").inner_text()
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in found
    assert "error, waived" in found
    assert "nobody reads the stand, says the survey" in page.get_by_role("region", name="Table of waivers").inner_text()
    page.get_by_label("Compare", exact=False).first.select_option("version 1")
    page.get_by_label("with").select_option("version 2")
    follow(page.get_by_role("button", name="Compare"))
    page.wait_for_url("**against=1&number=2")
    changes = page.locator(".changes li").all_inner_texts()
    assert [each.split("\n")[0] for each in changes] == [
        "doc gate is described otherwise",
        "added closed is new: text or null, with the default null",
    ]
    follow(page.get_by_role("link", name="what changed in version 3"))
    page.wait_for_url("**number=3")


def test_the_page_is_there_as_json(http: httpx2.Client) -> None:
    """A client that asks for no HTML gets what the page shows; versions that are not there are refused on both."""
    view = http.get(PAGE).json()
    assert [each["number"] for each in view["history"]["versions"]] == [3, 2, 1]
    assert [each["text"] for each in view["comparison"]["changes"]] == ["stand is removed; it was text"]
    assert view["comparison"]["verdict"]["findings"][0]["state"] == "waived"
    first = http.get(f"{PAGE}?port=events&major=1&number=1", headers=AS_BROWSER)
    assert (first.status_code, "From version" in first.text) == (200, False)
    assert http.get(f"{PAGE}?number=9").status_code == 404
