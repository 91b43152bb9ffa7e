"""Every page as a person meets it in a real browser: accessible, by keyboard, narrow, dark, and within the policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.catalog.browser import Reader
from tests.catalog.pages import ERRORS, PAGES

Window = Callable[..., Reader]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(window: Window, scheme: str) -> None:
    """On every page and every error, in both colour schemes; and the browser refuses nothing of them."""
    reader = window(color_scheme=scheme)
    found: dict[str, Any] = {}
    for path in (*PAGES, *ERRORS):
        reader.open(path)
        found[path] = reader.findings()
    assert {path: each for path, each in found.items() if each} == {}
    assert [each for each in reader.refused if "Failed to load resource" not in each] == []


def test_a_narrow_window_shows_all(window: Window) -> None:
    """At 400 pixels no page is wider than its window."""
    reader = window(viewport={"width": 400, "height": 800})
    wide = {path: reader.wider_than_the_window() for path in (*PAGES, *ERRORS) if reader.open(path)}
    assert {path: pixels for path, pixels in wide.items() if pixels > 0} == {}


def test_the_keyboard_reaches_every_link(reader: Reader) -> None:
    """Tab goes through all that can be used, the link over the bar first, and what has the focus can be seen."""
    page = reader.open("/catalog/products/player/plays")
    usable = page.evaluate(
        "() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]"
        ".filter(each => each.checkVisibility() && each.type !== 'hidden').length"
    )
    reached = []
    for _ in range(usable):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " return [e.tagName, e.textContent.trim(), s.outlineStyle !== 'none' && s.outlineWidth !== '0px'] }"
            )
        )
    assert reached[0][1] == "Skip to the content"
    assert all(seen for _, _, seen in reached), reached
    assert "BODY" not in {tag for tag, _, _ in reached}


def test_times_are_in_the_readers_zone(window: Window) -> None:
    """A time is shown as the reader's clock has it, and UTC stands in its title; without scripts it is UTC."""
    page = window(timezone_id="Pacific/Auckland").open("/catalog/products/player/plays")
    shown = page.locator("time").first
    instant, title = shown.get_attribute("datetime"), shown.get_attribute("title")
    assert instant is not None
    assert title == f"{instant[:10]} {instant[11:16]} UTC"
    expected = page.evaluate(
        "text => new Intl.DateTimeFormat('en-GB', {dateStyle: 'medium', timeStyle: 'short', timeZone: 'Pacific/Auckland'})"
        ".format(new Date(text))",
        instant,
    )
    assert shown.inner_text() == expected
    plain = window(java_script_enabled=False).open("/catalog/products/player/plays")
    assert plain.locator("time").first.inner_text() == title


def test_a_page_prints_without_the_bar(reader: Reader) -> None:
    """On paper there is nothing to press."""
    page = reader.open("/catalog/domains/player")
    page.emulate_media(media="print")
    assert not page.locator(".bar").is_visible()
    assert page.get_by_role("heading", name="player").is_visible()
