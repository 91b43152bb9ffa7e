"""A registry with a mesh, and a browser that looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Browser

from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.catalog.browser import Reader, chromium
from tests.catalog.seed import register_mesh
from tests.plain_http import plain_http
from tests.waiting import PATIENCE_S


@pytest.fixture(scope="session")
def catalog_mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a registry that has the mesh of `seed.py`, and yield its URL. A test may add products with addresses of its own."""
    database = f"sqlite:///{tmp_path_factory.mktemp('catalog') / 'registry.db'}"
    with running(Settings(database=database, port=0, bootstrap_servers="kafka.example.com:9092")) as url:
        with Registry(url, keep=0, timeout=PATIENCE_S) as registry:
            register_mesh(registry)
        yield url


@pytest.fixture(scope="session")
def http(catalog_mesh: str) -> Iterator[httpx2.Client]:
    """Yield a client of that registry."""
    with plain_http(catalog_mesh) as client:
        yield client


@pytest.fixture(scope="session")
def registry(catalog_mesh: str) -> Iterator[Registry]:
    """Yield the library's client of that registry, without its cache of bindings."""
    with Registry(catalog_mesh, keep=0, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Run Chromium, once for the tests of a file: while it runs, its driver has the event loop of the thread."""
    with chromium() as running_browser:
        yield running_browser


@pytest.fixture
def window(browser: Browser, catalog_mesh: str) -> Iterator[Callable[..., Reader]]:
    """Return a function that opens a window on the mesh; its options are those of `Reader`."""
    opened: list[Reader] = []

    def open_one(url: str = catalog_mesh, **how: Any) -> Reader:
        opened.append(Reader(browser, url, **how))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def reader(window: Callable[..., Reader]) -> Reader:
    """Open a window of the usual size."""
    return window()
