"""docs/catalog.md: its commands are run against a registry, and its table has every page that the catalog has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest
from fastapi.routing import APIRoute

from meshport.registry import Registry
from meshport_registry import Settings, create_app, running
from tests.docs.shell import shell
from tests.registry.schemas import product, schema

ROOT: Final = Path(__file__).parents[2]
TEXT: Final = (ROOT / "docs/catalog.md").read_text(encoding="utf-8")
# Pages that are no reading: the forms of the login, and files.
NO_READING: Final = ("/catalog/login", "/catalog/static")


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog's URL is printed, the search finds a product despite a typo, and a page has its JSON."""
    monkeypatch.setenv(
        "BROWSER", "true"
    )  # a program that does nothing, in place of the browser of whoever runs the tests
    with running(Settings(database=f"sqlite:///{tmp_path / 'r.db'}", port=0, bootstrap_servers="k:1")) as url:
        with Registry(url) as registry:
            declared = product("mesh://operations/departures", outputPorts=[{"key": "flight"}])
            registry.register(declared, {"events@1": schema("flight")})
        opened, searched, page = (
            shell(block, tmp_path, MESHPORT_REGISTRY=url)
            for block in re.findall(r"^```sh\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
        )
    assert [line for line in opened.splitlines() if line.startswith("http")] == [
        f"{url}/",
        f"{url}/catalog/products/operations/departures",
    ]
    assert json.loads(searched)["read_as"] == {"departurs": ["departures"]}
    assert json.loads(page)["product"]["address"] == "mesh://operations/departures"


def test_the_table_has_every_page(tmp_path: Path) -> None:
    """Each page that is read is a row of the table, and each row is a page."""
    routes = create_app(Settings(database=f"sqlite:///{tmp_path / 'r.db'}")).router.routes
    pages = {
        each.path
        for each in routes
        if isinstance(each, APIRoute) and "Catalog" in each.tags and "GET" in (each.methods or ())
    }
    rows = re.findall(r"^\| (`/.*?) \|", TEXT, re.MULTILINE)
    named = {path for row in rows for path in re.findall(r"`(/[^`]*)`", row)}
    assert named == {each for each in pages if not each.startswith(NO_READING)}
