"""A real Chromium for the tests of the catalog, started once in a process.

Without one the tests are skipped; with MESHPORT_REQUIRE_BROWSER=1 in the environment they fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.waiting import PATIENCE_S

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
# A sandbox of its own does not work in a container; nothing of another's is opened here.
_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking")
_AXE: Final = Path(__file__).parent / "vendored" / "axe.min.js"
_SERIOUS: Final = frozenset({"serious", "critical"})


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium while the context is open."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        if os.environ.get("MESHPORT_REQUIRE_BROWSER") == "1":
            pytest.fail("MESHPORT_REQUIRE_BROWSER=1, and there is no chromium on the path")
        pytest.skip("there is no chromium on the path")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_S * 1000)
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def follow(target: Locator) -> None:
    """Click a link, or the button of a form, and wait until its document has replaced this one."""
    with target.page.expect_navigation():
        target.click()


class Reader:
    """A person with a browser window.

    Args:
        browser: that runs.
        url: of the registry.
        how: options of the window: `color_scheme`, `viewport`, `timezone_id`, `java_script_enabled`.

    Attributes:
        page: the window's page.
        refused: what the browser refused to load or run, and what failed in its scripts.
    """

    def __init__(self, browser: Browser, url: str, **how: Any) -> None:
        self.context: BrowserContext = browser.new_context(base_url=url, **{"locale": "en-GB", **how})
        self.context.set_default_timeout(PATIENCE_S * 1000)
        self.page: Page = self.context.new_page()
        self.refused: list[str] = []
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.refused.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        """Keep an error of the console, but for a search that a later one replaces (`hx-sync`): htmx logs these two for it."""
        if message.type == "error" and not message.text.startswith(("htmx:afterRequest,", "htmx:sendAbort,")):
            self.refused.append(message.text)

    def open(self, path: str) -> Page:
        """Open a page of the catalog."""
        self.page.goto(path)
        return self.page

    def findings(self) -> list[str]:
        """Return what axe finds serious or critical on the page, one line each."""
        self.page.evaluate(_AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("async () => (await axe.run()).violations")
        return [
            f"{each['id']}: {node['target']}: {node['failureSummary']}"
            for each in found
            if each["impact"] in _SERIOUS
            for node in each["nodes"]
        ]

    def wider_than_the_window(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width

    def close(self) -> None:
        """Close the window."""
        self.context.close()
