"""The frame of every page: who gets HTML, what its headers permit, and the files that it is made of."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import httpx2
import pytest
from fastapi.routing import APIRoute

from meshport_registry import Settings, create_app
from meshport_registry.catalog import frame, static_files
from tests.catalog.pages import AS_BROWSER, ERRORS, PAGES

VENDORED = {
    static_files.FOLDER / "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",  # 2.0.11
    static_files.FOLDER
    / "cytoscape.min.js": "71fa9ebec21a7ca2c40cff6aacc30d1f6464e363662ad4b2c197e1adc770cd94",  # 3.35.0
    Path(__file__).parent / "vendored" / "axe.min.js": (
        "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"  # 4.14.1
    ),
}


@pytest.mark.parametrize("path", PAGES)
def test_each_page_is_html_for_a_browser_and_json_for_all_others(http: httpx2.Client, path: str) -> None:
    """The same view is rendered or written; only `/` belongs to Confluent's clients, as an empty object."""
    page = http.get(path, headers=AS_BROWSER)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.text.startswith("<!doctype html>")
    plain = http.get(path)
    if path == "/":
        assert (plain.headers["content-type"], plain.json()) == ("application/vnd.schemaregistry.v1+json", {})
    else:
        assert plain.headers["content-type"] == "application/json"
        assert f"<title>{plain.json()['title']} · Meshport</title>" in page.text


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("text/html", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        ("application/json, text/html;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=high", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_html_is_for_who_names_it(http: httpx2.Client, accept: str, html: bool) -> None:
    """Content negotiation by the qualities of RFC 9110; a client that takes anything is none for people."""
    answer = http.get("/catalog", headers={"accept": accept})
    assert answer.headers["content-type"].startswith("text/html") is html


@pytest.mark.parametrize("path", [*PAGES, *ERRORS, "/catalog/static/catalog.css"])
def test_each_answer_permits_nothing_from_outside_and_nothing_inline(http: httpx2.Client, path: str) -> None:
    """The content security policy has no exception, also on errors and files."""
    answer = http.get(path, headers=AS_BROWSER)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'self'"
    assert not re.search(r"unsafe|nonce|sha256|data:|https?:|\*", answer.headers["content-security-policy"])
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers["content-type"].startswith("text/html"):
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", answer.text)


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/nothing", 404, "There is nothing here"),
        ("/catalog/products/network/delays-by-port", 404, "There is nothing here"),
        ("/catalog/products/UPPER/case", 422, "This cannot be understood"),
        ("/catalog/domains/network?offset=-1", 422, "This cannot be understood"),
    ],
)
def test_an_error_is_a_page_for_a_browser_and_json_for_all_others(
    http: httpx2.Client, path: str, status: int, title: str
) -> None:
    """The page says what was found and what would be right, as the JSON does."""
    page, plain = http.get(path, headers=AS_BROWSER), http.get(path)
    assert page.status_code == plain.status_code == status
    assert f"<h1>{title}</h1>" in page.text
    assert plain.headers["content-type"].endswith("json")
    if path.endswith("port"):
        link = '<a href="/catalog/products/network/delays-by-airport">mesh://network/delays-by-airport</a>'
        assert f"did you mean {link}?" in page.text
        assert plain.json()["hint"] == "did you mean mesh://network/delays-by-airport?"


def test_the_apis_answer_a_browser_with_json(http: httpx2.Client) -> None:
    """A person who opens an address of an API sees its error as it is."""
    for path in ("/api/v1/dataproducts/by-address/player/nothing", "/subjects/nothing/versions"):
        answer = http.get(path, headers=AS_BROWSER)
        assert (answer.status_code, answer.headers["content-type"].endswith("json")) == (404, True)


def test_the_files_are_kept_by_their_content(http: httpx2.Client) -> None:
    """A page names each file by a digest of its content, under which a browser keeps it; no other file is served."""
    page = http.get("/", headers=AS_BROWSER).text
    named = set(re.findall(r"(?:href|src)=\"(/catalog/static/[^\"]+)\"", page))
    assert {each.partition("?")[0].rpartition("/")[2] for each in named} >= {"catalog.css", "htmx.min.js", "times.js"}
    for each in named:
        assert http.get(each).headers["cache-control"] == "public, max-age=31536000, immutable"
    assert http.get("/catalog/static/catalog.css").headers["cache-control"] == "no-cache"
    for other in ("nothing.css", "..%2Fframe.py", "%2Fetc%2Fpasswd"):
        assert http.get(f"/catalog/static/{other}").status_code == 404


@pytest.mark.parametrize("path", VENDORED, ids=lambda path: path.name)
def test_the_files_of_others_are_as_they_were_published(path: Path) -> None:
    """Each has its digest here and its licence beside it."""
    assert hashlib.sha256(path.read_bytes()).hexdigest() == VENDORED[path]
    assert list(path.parent.glob(f"{path.name.partition('.')[0]}.LICENSE.txt"))


def test_every_page_is_looked_at(tmp_path: Path) -> None:
    """`PAGES` has a path of each route of a page, so that what holds for pages is shown of all of them."""
    routes = create_app(Settings(database=f"sqlite:///{tmp_path / 'r.db'}")).router.routes
    shown = [
        each
        for each in routes
        if isinstance(each, APIRoute)
        and "Catalog" in each.tags
        and "GET" in (each.methods or ())
        and "static" not in each.path
        and each.path not in {"/catalog/login/start", "/catalog/login/callback"}  # they redirect, and show no page
    ]
    assert [
        each.path for each in shown if not any(each.path_regex.match(path.partition("?")[0]) for path in PAGES)
    ] == []


def test_templates_escape_and_miss_nothing() -> None:
    """All that a template prints is escaped, no template says otherwise, and a name that is not there is an error."""
    made = frame.environment()
    assert made.autoescape is True
    assert made.from_string("{{ text }}").render(text="<b>") == "&lt;b&gt;"
    for name in made.list_templates():
        assert made.loader is not None
        source = made.loader.get_source(made, name)[0]
        assert not re.search(r"\|\s*safe|autoescape|Markup", source), name
    with pytest.raises(Exception, match="'nothing' is undefined"):
        made.from_string("{{ nothing }}").render()


def test_the_configuration_of_htmx_is_json(http: httpx2.Client) -> None:
    """A configuration that htmx cannot read is none, and it would add a style that the policy refuses."""
    found = re.search(r"name=\"htmx-config\" content='([^']+)'", http.get("/", headers=AS_BROWSER).text)
    assert found is not None
    assert json.loads(found[1])["includeIndicatorStyles"] is False
