"""Pictures of the catalog, taken in a real browser: those of docs/ are made by this test.

`MESHPORT_SCREENSHOTS=docs/images` writes them there; otherwise they are only looked at for being pictures of their size.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import pytest
from playwright.sync_api import Page

from tests.catalog.browser import Reader


class Shot(NamedTuple):
    """A picture: its name, the page, the size and colours of the window, and what is done on the page first."""

    name: str
    path: str
    height: int
    how: Mapping[str, Any] = MappingProxyType({})
    first: Callable[[Page], object] = lambda _: None


def _type(page: Page) -> None:
    page.get_by_role("searchbox").press_sequentially("plays by artits")
    page.get_by_text("No product has artits").wait_for()


SHOTS: Final = (
    Shot("catalog-home", "/", 900),
    Shot(
        "catalog-search",
        "/",
        620,
        first=_type,
    ),
    Shot("catalog-product", "/catalog/products/player/plays", 1000),
    Shot("catalog-dark", "/catalog/products/listening/plays-by-artist", 1000, {"color_scheme": "dark"}),
    Shot("catalog-narrow", "/catalog/products/player/plays", 800, {"width": 400}),
    Shot("catalog-access", "/catalog/products/player/plays#access", 700),
    Shot("catalog-error", "/catalog/products/player/playz", 500),
)


@pytest.mark.parametrize("shot", SHOTS, ids=lambda shot: shot.name)
def test_a_picture_is_taken(window: Callable[..., Reader], tmp_path: Path, shot: Shot) -> None:
    """Each kind of page, as it is shown."""
    how = dict(shot.how)
    size = {"width": how.pop("width", 1160), "height": shot.height}
    reader = window(viewport=size, timezone_id="Europe/Zurich", **how)
    page = reader.open(shot.path)
    shot.first(page)
    page.wait_for_load_state("networkidle")
    kept = Path(os.environ.get("MESHPORT_SCREENSHOTS") or tmp_path)
    file = kept / f"{shot.name}.png"
    page.screenshot(path=file, animations="disabled", caret="hide")
    header = file.read_bytes()[:24]
    assert (header[:8], int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == (
        b"\x89PNG\r\n\x1a\n",
        size["width"],
        size["height"],
    )
