"""Logging in to the catalog of a registry that knows identities, with a browser's cookie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

import httpx2
import pytest
from playwright.sync_api import Browser

from meshport_registry import OidcSettings, Settings, running
from tests.catalog.browser import Reader, follow
from tests.catalog.pages import AS_BROWSER
from tests.plain_http import plain_http
from tests.registry.door import bearer, made_key
from tests.registry.issuer import AUDIENCE, issuer

LOGIN: Final = "/catalog/login"
OWN: Final = {"sec-fetch-site": "same-origin"}


class Guarded(NamedTuple):
    """A registry that knows identities: its URL, a key, and a token of its OpenID provider."""

    url: str
    key: str
    token: str


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Serve a registry with a key of ann's, an admin, and an OpenID provider."""
    database = f"sqlite:///{tmp_path_factory.mktemp('login') / 'registry.db'}"
    key = made_key(database, "ann", "mesh-admins").text
    with ExitStack() as stack:
        provider = stack.enter_context(issuer())
        oidc = OidcSettings(issuer=provider.url, audience=AUDIENCE)
        url = stack.enter_context(running(Settings(database=database, port=0, bootstrap_servers="k:1", oidc=oidc)))
        yield Guarded(url, key, provider.token(sub="bob@example.org", groups=["readers"]))


@pytest.fixture
def anyone(guarded: Guarded) -> Iterator[httpx2.Client]:
    """Yield a client of that registry that shows nothing."""
    with plain_http(guarded.url) as client:
        yield client


def cookie_of(answer: httpx2.Response) -> str:
    """Return the cookie that an answer sets, without its attributes."""
    return answer.headers["set-cookie"].partition(";")[0]


def test_a_page_asks_who_is_there_and_goes_on_there(anyone: httpx2.Client, guarded: Guarded) -> None:
    """A browser without a login gets the form, no window of its own; after it, it is led to where it wanted to be."""
    asked = anyone.get("/catalog?x=1&y=<b>", headers=AS_BROWSER)
    assert asked.status_code == 401
    assert asked.headers.get_list("www-authenticate") == ['Bearer realm="meshport"']
    assert 'name="next" value="/catalog?x=1&amp;y=%3Cb%3E"' in asked.text
    entered = anyone.post(LOGIN, data={"secret": f" {guarded.key}\n", "next": "/catalog?x=1"}, headers=OWN)
    assert (entered.status_code, entered.headers["location"]) == (303, "/catalog?x=1")
    attributes = entered.headers["set-cookie"].split("; ")[1:]
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]
    page = anyone.get("/catalog", headers=AS_BROWSER | {"cookie": cookie_of(entered)})
    assert page.status_code == 200
    assert ">ann</span>" in page.text


def test_by_https_the_cookie_is_for_https_alone(anyone: httpx2.Client, guarded: Guarded) -> None:
    """Behind a proxy with HTTPS the browser's origin says so."""
    host = guarded.url.partition("://")[2]
    entered = anyone.post(LOGIN, data={"secret": guarded.key}, headers={"origin": f"https://{host}"})
    assert "Secure" in entered.headers["set-cookie"].split("; ")


def test_a_token_of_the_provider_logs_in_as_well(anyone: httpx2.Client, guarded: Guarded) -> None:
    """The form takes what `Authorization: Bearer` takes."""
    entered = anyone.post(LOGIN, data={"secret": guarded.token}, headers=OWN)
    page = anyone.get("/", headers=AS_BROWSER | {"cookie": cookie_of(entered)})
    assert ">bob@example.org</span>" in page.text


@pytest.mark.parametrize("secret", ["", "mpk_abc_def", "no\x01key", "key;Path=/", "ключ", "x" * 5000])
def test_what_names_nobody_is_refused(anyone: httpx2.Client, guarded: Guarded, secret: str) -> None:
    """The form comes again with the reason, sets no cookie, and the attempt is in the audit."""
    refused = anyone.post(LOGIN, data={"secret": secret}, headers=AS_BROWSER | OWN)
    assert refused.status_code == 401
    assert 'id="secret"' in refused.text
    assert "set-cookie" not in refused.headers
    newest = anyone.get("/api/v1/audit", headers=bearer(guarded.key)).json()["entries"][-1]
    assert (newest["outcome"], newest["caller"]) == ("refused", "anonymous")
    assert newest["detail"].startswith("POST /catalog/login: 401")


def test_the_apis_take_no_cookie(anyone: httpx2.Client, guarded: Guarded) -> None:
    """A page of another site cannot use a browser's login at the APIs."""
    headers = {"cookie": f"meshport={guarded.key}"}
    for path in ("/api/v1/dataproducts", "/subjects", "/%63atalog", "/openapi.json"):
        assert anyone.get(path, headers=headers).status_code == 401, path
    assert anyone.get("/catalog", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "https://example.org"}, 403),
        ({"origin": "null"}, 403),
        (OWN, 303),
        ({}, 303),
    ],
)
def test_a_form_of_another_site_is_refused(
    anyone: httpx2.Client, guarded: Guarded, headers: dict[str, str], status: int
) -> None:
    """By `Sec-Fetch-Site`, or by `Origin` where a browser does not send that."""
    assert anyone.post(LOGIN, data={"secret": guarded.key}, headers=headers).status_code == status
    assert anyone.post("/catalog/logout", data={}, headers=headers).status_code in {status, 415}


@pytest.mark.parametrize(
    "path", ["https://example.org/", "//example.org", "/\\example.org", "/api/v1/keys", "/catalogue", "/\tx", "x"]
)
def test_a_login_goes_on_at_the_catalog_only(anyone: httpx2.Client, guarded: Guarded, path: str) -> None:
    """An address that leads elsewhere, given with a link to the form, leads home."""
    entered = anyone.post(LOGIN, data={"secret": guarded.key, "next": path}, headers=OWN)
    assert entered.headers["location"] == "/"


def test_a_person_logs_in_and_out(browser: Browser, guarded: Guarded) -> None:
    """In a real browser, by keyboard: the form has the focus, and after the logout the pages ask again."""
    reader = Reader(browser, guarded.url)
    page = reader.open("/catalog/domains/nothing")
    assert reader.findings() == []
    page.keyboard.type("mpk_wrong_key")
    page.keyboard.press("Enter")
    page.get_by_role("status").wait_for()
    page.get_by_label("API key or token").fill(guarded.key)
    page.keyboard.press("Enter")
    follow(page.get_by_role("button", name="Log out"))
    page.get_by_role("heading", name="Log in").wait_for()
    assert page.context.cookies() == []
    reader.close()


def test_an_open_registry_asks_nobody(http: httpx2.Client) -> None:
    """Without identities there is nothing to log in to: the form leads home, and no page offers it."""
    assert http.post(LOGIN, data={"secret": "x"}).headers["location"] == "/"
    assert "Log in" not in http.get("/", headers=AS_BROWSER).text
