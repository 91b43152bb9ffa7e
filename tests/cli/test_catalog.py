"""`meshport catalog`: the URL of the catalog, which a browser is sent to."""

from __future__ import annotations

import json
import webbrowser
from urllib.parse import urlparse

import pytest

from meshport.address import Address
from tests.cli.running import Run
from tests.mesh_session import Mesh
from tests.plain_http import plain_http

ORDER = {"type": "record", "name": "catalog_command.Order", "fields": [{"name": "id", "type": "string"}]}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the URLs that a browser is sent to; there is none on a machine that tests."""
    urls: list[str] = []

    def open_it(url: str) -> bool:
        urls.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", open_it)
    return urls


def test_the_catalog_is_opened(cli: Run, in_memory_mesh: Mesh, opened: list[str]) -> None:
    """The home page, or that of a product by any form of its address; the URL is printed, and leads to a page."""
    address: Address = in_memory_mesh.product(ORDER, name="orders", key="id").address
    registry = ["--registry", in_memory_mesh.url]
    for arguments in ([], [address.of_product.key], [str(address)]):
        ended = cli("catalog", *arguments, *registry)
        assert (ended.code, ended.out) == (0, f"{opened[-1]}\n")
        with plain_http(in_memory_mesh.url) as http:
            page = http.get(urlparse(opened[-1]).path, headers={"accept": "text/html"})
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(opened) == 3
    printed = cli("catalog", "--no-browser", "--json", *registry)
    assert (json.loads(printed.out), len(opened)) == ({"url": f"{in_memory_mesh.url}/"}, 3)


def test_without_a_browser_the_url_is_for_the_person(
    cli: Run, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command says so and ends well; a product that is not there, and a registry that does not answer, are errors."""
    monkeypatch.setattr(webbrowser, "open", lambda _url: False)
    ended = cli("catalog", "--registry", in_memory_mesh.url)
    assert ended.code == 0
    assert "open the URL yourself" in ended.err
    assert cli("catalog", "shop/nothing-there", "--registry", in_memory_mesh.url).code != 0
    assert cli("catalog", "--registry", "http://127.0.0.1:1").code == 3
