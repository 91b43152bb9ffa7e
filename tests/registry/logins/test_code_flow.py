"""Logins at an OpenID provider with a browser, over HTTP: what a person does, and what the registry is set to."""

from __future__ import annotations

import base64
import hashlib
from contextlib import ExitStack
from typing import Any
from urllib.parse import unquote_plus

import httpx2
import pytest
from pydantic import ValidationError
from sqlalchemy import create_engine, text

from meshport.catalog import ProductRegistration
from meshport_registry import BrowserLogin, OidcSettings, Settings, running
from meshport_registry.settings import database_url
from tests.plain_http import plain_http
from tests.registry.door import bearer, made_key
from tests.registry.issuer import Issuer, issuer
from tests.registry.logins.browser import (
    CALLBACK,
    CLIENT,
    OWN,
    PAGE,
    SECRET,
    SESSION,
    START,
    begin,
    come_back,
    known,
    log_in,
    refused,
    served,
    tokens,
)
from tests.registry.schemas import product, schema


def test_a_person_is_led_to_the_provider_and_back(person: httpx2.Client, provider: Issuer, registry: str) -> None:
    """The request has all that RFC 6749, 7636 and OpenID Connect ask for; the login leads to the page that was asked for."""
    asked = begin(person, "/catalog/search?q=x&y=<b>")
    assert {name: asked[name] for name in ("client_id", "response_type", "scope", "code_challenge_method")} == {
        "client_id": CLIENT,
        "response_type": "code",
        "scope": "openid",
        "code_challenge_method": "S256",
    }
    assert asked["redirect_uri"] == registry + CALLBACK
    assert min(len(asked[name]) for name in ("state", "nonce", "code_challenge")) == 43
    entered = come_back(person, provider, asked)
    assert (entered.status_code, entered.headers["location"]) == (303, "/catalog/search?q=x&y=<b>")
    assert entered.headers["cache-control"] == "no-store"
    assert known(person) == "ann@example.org"
    form, authorization = provider.redeemed[-1]
    assert hashlib.sha256(form["code_verifier"].encode()).digest() == base64.urlsafe_b64decode(
        asked["code_challenge"] + "="
    )
    assert authorization is not None
    user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    assert (unquote_plus(user), unquote_plus(password)) == (CLIENT, SECRET)
    assert "client_secret" not in form


def test_another_login_takes_no_part_of_this_one(person: httpx2.Client, provider: Issuer) -> None:
    """Each login has a state, a nonce and a verifier of its own; several at once, of several tabs, end each at its page."""
    first, second = begin(person, "/catalog/glossary"), begin(person, "/catalog")
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
    assert come_back(person, provider, first).headers["location"] == "/catalog/glossary"
    assert come_back(person, provider, second).headers["location"] == "/catalog"


def test_a_browser_keeps_few_logins_that_it_began(person: httpx2.Client, provider: Issuer) -> None:
    """However often a login is begun, the browser keeps the last four, and they can be finished."""
    begun = [begin(person) for _ in range(9)]
    assert sum(name.startswith("meshport-begun-") for name in person.cookies) == 4
    assert come_back(person, provider, begun[-1]).status_code == 303
    refused(come_back(person, provider, begun[0]), "has begun no such login")


def test_a_logout_ends_the_login(person: httpx2.Client, provider: Issuer, registry: str) -> None:
    """Who kept the cookie is not known any more; a logout that a page of another site sends is refused."""
    log_in(person, provider)
    kept = person.cookies[SESSION]
    assert person.post("/catalog/logout", data={}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert known(person) == "ann@example.org"
    left = person.post("/catalog/logout", data={"x": ""}, headers=OWN)
    assert (left.status_code, left.headers["location"]) == (303, "/")
    assert SESSION not in person.cookies
    with plain_http(registry) as other:
        other.cookies.set(SESSION, kept)
        assert known(other) is None


def test_a_logout_goes_on_at_the_provider(provider: Issuer, sqlite: str) -> None:
    """Where the provider has a logout, a page leads there with the ID token, by no redirect of a form."""
    provider.endpoints["end_session_endpoint"] = f"{provider.url}/logout"
    try:
        with served(provider, sqlite) as url, plain_http(url) as person:
            asked = begin(person)
            given = tokens(provider, asked)
            come_back(person, provider, asked, **given)
            left = person.post("/catalog/logout", data={"x": ""}, headers=OWN | {"accept": "application/json"})
    finally:
        del provider.endpoints["end_session_endpoint"]
    assert (left.status_code, left.headers["cache-control"]) == (200, "no-store")
    assert "form-action 'self'" in left.headers["content-security-policy"]
    there = httpx2.URL(left.json()["url"])
    assert dict(there.params) == {
        "client_id": CLIENT,
        "post_logout_redirect_uri": f"{url}/catalog/login",
        "id_token_hint": given["id_token"],
    }


def test_two_registries_know_a_login(provider: Issuer, database: str) -> None:
    """A login that one process gave counts at the other, and a logout at the one ends it at the other."""
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(plain_http(stack.enter_context(served(provider, database)))) for _ in range(2)
        )
        log_in(first, provider, groups=["mesh-admins"])
        second.cookies.set(SESSION, first.cookies[SESSION])
        assert known(second) == "ann@example.org"
        second.post("/catalog/logout", data={"x": ""}, headers=OWN)
        assert known(first) is None


def test_an_ended_login_leads_back(provider: Issuer, sqlite: str) -> None:
    """The page to log in leads to the page that was asked for, a form to its own page, a search of htmx to the whole page."""
    with served(provider, sqlite) as url, plain_http(url) as person:
        log_in(person, provider)
        with create_engine(database_url(sqlite)).begin() as connection:
            connection.execute(text("UPDATE browser_session SET ends_at = 1"))
        ended = person.get("/catalog/search?q=a%20b", headers=PAGE)
        refused(ended, "the login has ended")
        assert f'href="{url}/catalog/login/start?next=%2Fcatalog%2Fsearch%3Fq%3Da%2520b"' in ended.text
        part = person.get("/catalog/search?q=a", headers=PAGE | {"hx-request": "true"})
        assert (part.status_code, part.headers["hx-refresh"]) == (401, "true")
        for referer, next_path in ((f"{url}/catalog/glossary?q=1", "/catalog/glossary?q=1"), ("https://evil/", "/")):
            sent = person.post("/catalog/problems/a/b", data={"title": "x"}, headers=PAGE | OWN | {"referer": referer})
            assert sent.status_code == 401
            assert f'name="next" value="{next_path}"' in sent.text
        log_in(person, provider)
        with create_engine(database_url(sqlite)).connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM browser_session")).scalar_one() == 1


def test_by_https_the_cookies_are_of_this_host_and_https_alone(provider: Issuer, sqlite: str) -> None:
    """Behind a proxy the public URL says so: `__Host-`, which no other host of the domain can set, and `Secure`."""
    with served(provider, sqlite, public="https://mesh.example.com/") as url, plain_http(url) as browser:
        led = browser.get(START)
        assert httpx2.URL(led.headers["location"]).params["redirect_uri"] == f"https://mesh.example.com{CALLBACK}"
        (begun,) = led.headers.get_list("set-cookie")
        assert begun.startswith("__Host-meshport-begun-")
        assert begun.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax", "Secure", "Max-Age=600"]
        asked = dict(httpx2.URL(led.headers["location"]).params)
        code = provider.code(asked["code_challenge"], **tokens(provider, asked))
        shown = {"cookie": begun.partition(";")[0]}
        entered = browser.get(CALLBACK, params={"code": code, "state": asked["state"]}, headers=shown)
        (session,) = [each for each in entered.headers.get_list("set-cookie") if "meshport-session" in each]
        assert session.startswith("__Host-meshport-session=")
        assert session.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
        content = session.partition(";")[0]
        assert browser.get("/catalog", headers=PAGE | {"cookie": content}).status_code == 200
        planted = content.removeprefix("__Host-")
        assert browser.get("/catalog", headers=PAGE | {"cookie": planted}).status_code == 401


@pytest.mark.parametrize(
    ("browser", "methods", "shown"),
    [
        ({"client_secret": None}, None, {"client_id": CLIENT}),
        ({}, ["client_secret_post"], {"client_id": CLIENT, "client_secret": SECRET}),
    ],
    ids=["a public client", "a secret in the form"],
)
def test_how_a_client_shows_itself(
    provider: Issuer, sqlite: str, browser: dict[str, Any], methods: list[str] | None, shown: dict[str, str]
) -> None:
    """A public client has PKCE alone; a secret is in the form where the provider does not take HTTP basic."""
    name = "token_endpoint_auth_methods_supported"
    provider.endpoints |= {} if methods is None else {name: methods}
    try:
        with served(provider, sqlite, browser=browser) as url, plain_http(url) as person:
            assert log_in(person, provider).status_code == 303
    finally:
        provider.endpoints.pop(name, None)
    form, authorization = provider.redeemed[-1]
    assert authorization is None
    assert {key: form[key] for key in form if key.startswith("client")} == shown


def test_claims_that_the_id_token_lacks(provider: Issuer, sqlite: str) -> None:
    """Name and groups come from the userinfo endpoint then; what it says of another person is refused."""
    oidc = {"name_claim": "email", "groups_claim": "realm_access.roles"}
    with served(provider, sqlite, oidc=oidc) as url, plain_http(url) as person:
        provider.userinfo = {"sub": "ann-1", "email": "ann@example.org", "realm_access": {"roles": ["mesh-admins"]}}
        assert log_in(person, provider, sub="ann-1").status_code == 303
        page = person.get("/catalog", headers=PAGE)
        assert 'title="mesh-admins">ann@example.org</span>' in page.text
        provider.userinfo["sub"] = "eve-1"
        refused(log_in(person, provider, sub="ann-1"), "for another person", 503)
        provider.userinfo |= {"sub": "ann-1", "email_verified": False}
        refused(log_in(person, provider, sub="ann-1"), "has not verified")


def test_a_person_acts_by_their_rights(provider: Issuer, sqlite: str) -> None:
    """Who logged in may do in the catalog what policies permit them, and no more; the audit names them at each step."""
    key = made_key(sqlite, "admin", "mesh-admins", "player").text
    body = ProductRegistration(descriptor=product(owner="player"), schemas={"events@1": schema("user").text})
    sent = body.model_dump_json(by_alias=True, exclude_none=True)
    deprecate, day = "/catalog/activity/player/plays/deprecate", {"on": "2031-01-31"}
    with served(provider, sqlite) as url, ExitStack() as stack:
        owner, reader, admin = (stack.enter_context(plain_http(url)) for _ in range(3))
        admin.headers |= bearer(key)
        kind = {"content-type": "application/json"}
        assert admin.post("/api/v1/dataproducts", content=sent, headers=kind).status_code == 200
        log_in(owner, provider, sub="ann@example.org", groups=["player"])
        log_in(reader, provider, sub="bob@example.org", groups=["guests"])
        assert reader.post(deprecate, data=day, headers=OWN).status_code == 403
        assert owner.post(deprecate, data=day, headers={"sec-fetch-site": "cross-site"}).status_code == 403
        assert owner.post(deprecate, data=day, headers=OWN).status_code == 303
        owner.post("/catalog/logout", data={"x": ""}, headers=OWN)
        assert owner.post(deprecate, data=day, headers=PAGE | OWN).status_code == 401
        refused(owner.get(CALLBACK, params={"state": "x", "code": "hush"}, headers=PAGE), "has begun no such login")
        entries = admin.get("/api/v1/audit").json()["entries"]
    told = [(each["caller"], each["action"], each["outcome"], each["detail"]) for each in entries]
    assert [each[:3] for each in told[2:]] == [
        ("ann@example.org", "log-in", "allowed"),
        ("bob@example.org", "log-in", "allowed"),
        ("bob@example.org", "retire", "refused"),
        ("ann@example.org", "retire", "refused"),
        ("ann@example.org", "retire", "allowed"),
        ("ann@example.org", "log-out", "allowed"),
        ("anonymous", "POST", "refused"),
        ("anonymous", "log-in", "refused"),
    ]
    assert told[2][3] == f"GET {CALLBACK}"
    assert told[-1][3].startswith(f"GET {CALLBACK}: 401: this browser has begun no such login")
    assert "hush" not in str(entries)


def test_a_provider_that_does_not_answer(sqlite: str) -> None:
    """The page says which provider, why and what to do, and the key still logs in; the login works once it answers again."""
    key = made_key(sqlite, "ann", "mesh-admins").text
    with ExitStack() as stack, issuer() as provider:
        url = stack.enter_context(served(provider, sqlite))
        person = stack.enter_context(plain_http(url))
        provider.jwks = {"keys": []}
        down = person.get(START, params={"next": "/catalog/glossary"}, headers=PAGE)
        refused(down, f"{provider.url} did not answer as one does: {provider.url}/jwks has no key", 503)
        assert "try again in a minute" in down.text
        assert 'name="next" value="/catalog/glossary"' in down.text
        entered = person.post("/catalog/login", data={"secret": key}, headers=OWN)
        assert entered.status_code == 303
        assert known(person) == "ann"


def test_a_provider_that_stops_between(provider: Issuer, person: httpx2.Client) -> None:
    """A token endpoint that fails is no refusal of the person, and its answer is not shown."""
    asked = begin(person)
    provider.codes["broken"] = asked["code_challenge"], {"id_token": None}
    answer = {"code": "broken", "state": asked["state"]}
    refused(person.get(CALLBACK, params=answer, headers=PAGE), "gave no ID token", 503)


def test_a_registry_without_such_logins(sqlite: str) -> None:
    """The routes say so, and the form offers the key alone."""
    made_key(sqlite, "ann", "mesh-admins")
    with running(Settings(database=sqlite, port=0)) as url, plain_http(url) as person:
        assert person.get(START, headers=PAGE).status_code == 404
        assert "--oidc-client-id" in person.get(CALLBACK).text
        assert "Log in at" not in person.get("/catalog/login", headers=PAGE).text
        person.cookies.set(SESSION, "A" * 43 + "." + "A" * 43)
        assert known(person) is None


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"host": "0.0.0.0"}, "needs the public URL"),
        ({"port": 0}, "needs the public URL"),
        ({"public_url": "http://mesh.example.com"}, "logins need HTTPS"),
        ({"public_url": "https://mesh.example.com/below"}, "URL of a host alone"),
        ({"public_url": "https://mesh.example.com?x"}, "URL of a host alone"),
        ({"public_url": "https://ann@mesh.example.com"}, "URL of a host alone"),
        ({"public_url": "mesh.example.com"}, "URL of a host alone"),
    ],
)
def test_settings_that_no_login_can_have(how: dict[str, Any], why: str) -> None:
    """A registry that browsers could not come back to, or not safely, does not start."""
    oidc = OidcSettings(issuer="https://login.example.com", audience="x", browser=BrowserLogin(client_id=CLIENT))
    with pytest.raises(ValidationError, match=why):
        Settings(oidc=oidc, **how)
    with pytest.raises(ValidationError, match="no `openid`"):
        BrowserLogin(client_id=CLIENT, scope="profile")
