"""People log in to the catalog at a real OpenID provider, in a real browser, at two registries on one database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from meshport.catalog import ProductRegistration
from meshport.local.kraft import free_ports
from meshport_registry import BrowserLogin, OidcSettings, Settings, running
from tests.catalog.browser import Reader, chromium, follow
from tests.interop.openid_provider import CATALOG, REGISTRY_AUDIENCE, OpenIdServer, openid_server
from tests.interop.packages import installed
from tests.plain_http import plain_http
from tests.registry.door import bearer, made_key
from tests.registry.schemas import product, schema

ANN, BEN = "ann@example.org", "ben@example.org"
PLAYS = "/catalog/activity/player/plays"


class TwoRegistries(NamedTuple):
    """Two registries on one database, whose people log in at a provider."""

    first: str
    second: str
    provider: OpenIdServer


@pytest.fixture(scope="module")
def mesh(tool: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoRegistries]:
    """Serve them; the group `mesh-admins`, in which ann is, owns the product player/plays."""
    database = f"sqlite:///{tmp_path_factory.mktemp('catalog-login') / 'registry.db'}"
    key = made_key(database, "keeper", "mesh-admins").text
    node = tool("node")
    installed(tool("npm"), "openid")
    ports = free_ports(2, ())
    first, second = (f"http://127.0.0.1:{port}" for port in ports)
    with ExitStack() as stack:
        provider = stack.enter_context(openid_server(node, catalogs=(first, second)))
        browser = BrowserLogin(client_id=CATALOG, client_secret=provider.secret)
        oidc = OidcSettings(issuer=provider.url, audience=REGISTRY_AUDIENCE, browser=browser)
        for port in ports:
            stack.enter_context(
                running(Settings(database=database, port=port, oidc=oidc, bootstrap_servers="kafka.example.com:9092"))
            )
        body = ProductRegistration(descriptor=product(owner="mesh-admins"), schemas={"events@1": schema("user").text})
        sent = body.model_dump_json(by_alias=True, exclude_none=True)
        with plain_http(first) as admin:
            headers = bearer(key) | {"content-type": "application/json"}
            assert admin.post("/api/v1/dataproducts", content=sent, headers=headers).status_code == 200
        yield TwoRegistries(first, second, provider)


@pytest.fixture(scope="module")
def browser(mesh: TwoRegistries) -> Iterator[Browser]:  # noqa: ARG001 - Chromium's driver has the event loop once it runs
    """Run Chromium."""
    with chromium() as running_browser:
        yield running_browser


def at_the_provider(page: Page, person: str) -> None:
    """Do there what a person does: give name and password, and agree."""
    page.locator("input[name=login]").fill(person)
    page.locator("input[name=password]").fill("any")
    follow(page.locator("button[type=submit]"))
    follow(page.get_by_role("button", name=re.compile("continue", re.IGNORECASE)))


def test_a_person_logs_in_acts_and_logs_out(browser: Browser, mesh: TwoRegistries, tmp_path: Path) -> None:
    """By keyboard to the provider and back to the page that was asked for; ann retires what her group owns; then out of both."""
    reader = Reader(browser, mesh.first, viewport={"width": 1000, "height": 760})
    page = reader.open(PLAYS)
    page.get_by_role("heading", name="Log in", exact=True).wait_for()
    assert reader.findings() == []
    page.screenshot(path=tmp_path / "login.png", animations="disabled", caret="hide")
    page.keyboard.press("Enter")
    at_the_provider(page, ANN)
    page.wait_for_url(f"{mesh.first}{PLAYS}")
    assert page.get_by_text(ANN).first.get_attribute("title") == "mesh-admins, people"
    cookies = {each["name"]: each for each in page.context.cookies(mesh.first)}
    assert (cookies["meshport-session"]["httpOnly"], cookies["meshport-session"]["sameSite"]) == (True, "Lax")
    assert not [name for name in cookies if name.startswith("meshport-begun-")]
    assert "meshport-session" not in page.evaluate("document.cookie")
    page.goto(f"{mesh.second}{PLAYS}")  # a browser sends the cookies of a host to all of its ports
    page.get_by_text("Deprecate it", exact=True).click()
    page.locator("form[action$='/deprecate'] input[name=on]").fill("2031-01-31")
    follow(page.locator("form[action$='/deprecate'] button"))
    page.get_by_text("deprecated").first.wait_for()
    page.goto(f"{mesh.first}/catalog/glossary")
    follow(page.get_by_role("button", name="Log out"))
    follow(page.get_by_role("button", name=re.compile("yes, sign me out", re.IGNORECASE)))
    page.wait_for_url(f"{mesh.first}/catalog/login")
    assert reader.findings() == []
    page.goto(f"{mesh.second}{PLAYS}")
    page.get_by_role("heading", name="Log in", exact=True).wait_for()
    follow(page.get_by_role("link", name="Log in at"))
    page.locator("input[name=login]").wait_for()  # the login at the provider has ended too
    # The provider's own pages ask for fonts of another host, and a page to log in is an answer of 401.
    assert [each for each in reader.refused if "Failed to load resource" not in each] == []
    reader.close()


def test_a_person_without_the_right_is_shown_no_form(browser: Browser, mesh: TwoRegistries) -> None:
    """Ben, who is in no group of owners, reads the page and is refused the change."""
    reader = Reader(browser, mesh.first)
    page = reader.open(f"/catalog/login?next={PLAYS}")
    follow(page.get_by_role("link", name="Log in at"))
    at_the_provider(page, BEN)
    page.wait_for_url(f"{mesh.first}{PLAYS}")
    assert page.locator("form[action$='/retire']").count() == 0
    answer = page.request.post(f"{PLAYS}/retire", form={"sure": "x"}, headers={"origin": mesh.first})
    assert answer.status == 403
    reader.close()


def test_a_person_who_refuses_is_told(browser: Browser, mesh: TwoRegistries) -> None:
    """Who cancels at the provider comes back to the page to log in, with what the provider said."""
    reader = Reader(browser, mesh.first)
    page = reader.open("/catalog/login")
    follow(page.get_by_role("link", name="Log in at"))
    follow(page.get_by_role("link", name=re.compile("cancel", re.IGNORECASE)))
    page.get_by_role("status").get_by_text("the provider refused the login: access_denied").wait_for()
    assert reader.findings() == []
    reader.close()


def test_the_provider_gives_a_code_once(mesh: TwoRegistries) -> None:
    """The answer of a real login is refused in another browser, and a second time in its own."""
    with plain_http(mesh.first) as person, plain_http(mesh.first) as other:
        led = person.get("/catalog/login/start").headers["location"]
        answer = _answer_of(led, ANN)
        assert answer.params["iss"] == mesh.provider.url
        path = f"{answer.path}?{answer.query.decode()}"
        assert other.get(path).status_code == 401
        kept = dict(person.cookies)
        elsewhere = path.replace("iss=http", "iss=https")
        assert "of another provider" in person.get(elsewhere).text
        person.cookies.update(kept)
        assert person.get(path).status_code == 303
        assert person.get("/catalog", headers={"accept": "text/html"}).text.count(ANN) == 1
        person.cookies.update(kept)
        assert "invalid_grant" in person.get(path).text


def _answer_of(url: str, who: str) -> httpx2.URL:
    """Go through the pages of the provider; return the URL to which it leads the browser at last."""
    with httpx2.Client(trust_env=False) as browser:
        answer, host = browser.get(url), httpx2.URL(url).port
        while True:
            while answer.is_redirect:
                there = answer.url.join(answer.headers["location"])
                if there.port != host:
                    return there
                answer = browser.get(there)
            form = re.search(r'<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>', answer.text, re.DOTALL)
            assert form is not None, answer.text
            fields = dict(re.findall(r'name="([^"]*)" value="([^"]*)"', form[2])) | {"login": who, "password": "any"}
            answer = browser.post(answer.url.join(form[1]), data=fields)
