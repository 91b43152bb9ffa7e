"""A browser that logs in at an OpenID provider, by requests over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx2
from pydantic import SecretStr

from meshport.local.kraft import free_ports
from meshport_registry import BrowserLogin, OidcSettings, Settings, running
from tests.registry.issuer import AUDIENCE, Issuer

CLIENT: Final = "catalog"
SECRET: Final = "s3cret & more"
START: Final = "/catalog/login/start"
CALLBACK: Final = "/catalog/login/callback"
SESSION: Final = "meshport-session"
PAGE: Final = {"accept": "text/html"}
OWN: Final = {"sec-fetch-site": "same-origin"}


@contextmanager
def served(provider: Issuer, database: str, *, public: str | None = None, **how: Any) -> Iterator[str]:
    """Serve a registry that logs people in at a provider, and yield its URL."""
    (port,) = free_ports(1, ())
    browser = BrowserLogin(**{"client_id": CLIENT, "client_secret": SecretStr(SECRET), **how.pop("browser", {})})
    oidc = OidcSettings(issuer=provider.url, audience=AUDIENCE, browser=browser, **how.pop("oidc", {}))
    settings = Settings(database=database, port=port, public_url=public, oidc=oidc, bootstrap_servers="k:1", **how)
    with running(settings):
        yield f"http://127.0.0.1:{port}"


def begin(browser: httpx2.Client, next_path: str = "/catalog") -> dict[str, str]:
    """Begin a login, and return the parameters with which the provider is asked."""
    led = browser.get(START, params={"next": next_path}, headers=PAGE)
    assert led.status_code == 303, led.text
    return dict(httpx2.URL(led.headers["location"]).params)


def tokens(provider: Issuer, asked: dict[str, str], **changes: Any) -> dict[str, str]:
    """Return what an honest provider gives for a code, with changes of the claims."""
    return {"id_token": provider.token(**{"aud": CLIENT, "nonce": asked["nonce"], **changes})}


def come_back(browser: httpx2.Client, provider: Issuer, asked: dict[str, str], **answer: Any) -> httpx2.Response:
    """Come back from the provider with a code; `answer` is what is given for it, by default as an honest provider does."""
    code = provider.code(asked["code_challenge"], **(answer or tokens(provider, asked)))
    return browser.get(CALLBACK, params={"code": code, "state": asked["state"]}, headers=PAGE)


def log_in(browser: httpx2.Client, provider: Issuer, next_path: str = "/catalog", **changes: Any) -> httpx2.Response:
    """Log in as a person of the provider."""
    asked = begin(browser, next_path)
    return come_back(browser, provider, asked, **tokens(provider, asked, **changes))


def refused(answer: httpx2.Response, why: str, status: int = 401) -> None:
    """Check that an answer is the page to log in again, with the reason, and gives no login."""
    assert answer.status_code == status, answer.text
    assert why in answer.text
    assert "Log in at" in answer.text
    assert not any(each.startswith(f"{SESSION}=") for each in answer.headers.get_list("set-cookie"))


def known(browser: httpx2.Client) -> str | None:
    """Return who a browser is to the catalog; None where it has to log in."""
    page = browser.get("/catalog", headers=PAGE)
    if page.status_code == 401:
        return None
    return page.text.partition('<span class="quiet" title="')[2].partition(">")[2].partition("<")[0]
