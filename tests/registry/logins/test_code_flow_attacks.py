"""Logins at an OpenID provider with a browser, over HTTP: what another person or a lying provider could try."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx2
import pytest
from sqlalchemy import create_engine, text

from meshport_registry.settings import database_url
from tests.plain_http import plain_http
from tests.registry.door import bearer
from tests.registry.issuer import AUDIENCE, Issuer, signed_with_the_public_key, unsigned
from tests.registry.logins.browser import (
    CALLBACK,
    CLIENT,
    PAGE,
    SESSION,
    begin,
    come_back,
    known,
    log_in,
    refused,
    served,
    tokens,
)


@pytest.mark.parametrize("state", ["", "x", "A" * 43, "\N{GREEK SMALL LETTER ALPHA}" * 43])
def test_a_forged_state(person: httpx2.Client, provider: Issuer, state: str) -> None:
    """An answer with a state that this browser did not begin with is refused, and the provider is not asked."""
    asked = begin(person)
    before = len(provider.redeemed)
    refused(come_back(person, provider, asked | {"state": state}), "has begun no such login")
    beginning = asked["state"][:8] + state[8:]
    refused(come_back(person, provider, asked | {"state": beginning}), "has begun no such login")
    assert len(provider.redeemed) == before


def test_a_login_of_another_browser(person: httpx2.Client, provider: Issuer, registry: str) -> None:
    """A browser that is sent to the answer of a login that another person began does not become that person (login CSRF)."""
    with plain_http(registry) as attacker:
        asked = begin(attacker)
        refused(come_back(person, provider, asked), "has begun no such login")
        begin(person)
        refused(come_back(person, provider, asked), "has begun no such login")
    assert known(person) is None


def test_a_code_of_another_login(person: httpx2.Client, provider: Issuer, registry: str) -> None:
    """A stolen code does not fit the verifier of the thief's own login (code injection, RFC 9700, section 4.5)."""
    with plain_http(registry) as thief:
        stolen = begin(person)
        code = provider.code(stolen["code_challenge"], **tokens(provider, stolen))
        own = begin(thief)
        refused(thief.get(CALLBACK, params={"code": code, "state": own["state"]}, headers=PAGE), "invalid_grant")


def test_a_code_counts_once(person: httpx2.Client, provider: Issuer) -> None:
    """The browser forgets what it began, and the provider refuses the code of a browser that does not."""
    asked = begin(person)
    kept = dict(person.cookies)
    code = provider.code(asked["code_challenge"], **tokens(provider, asked))
    answer = {"code": code, "state": asked["state"]}
    assert person.get(CALLBACK, params=answer, headers=PAGE).status_code == 303
    refused(person.get(CALLBACK, params=answer, headers=PAGE), "has begun no such login")
    person.cookies.update(kept)
    refused(person.get(CALLBACK, params=answer, headers=PAGE), "invalid_grant")


def test_id_tokens_that_name_no_caller(person: httpx2.Client, provider: Issuer) -> None:
    """Each ID token that a lying provider, or another one, could give is refused with the reason."""
    now = provider.claims()["iat"]

    def claims(asked: dict[str, str]) -> dict[str, Any]:
        return provider.claims(aud=CLIENT, nonce=asked["nonce"])

    cases: dict[str, tuple[Any, str]] = {
        "a wrong nonce": (lambda a: provider.token(**claims(a) | {"nonce": "x"}), "is of another login (nonce)"),
        "no nonce": (lambda a: provider.token(**claims(a) | {"nonce": None}), "has no claim nonce"),
        "a wrong audience": (lambda a: provider.token(**claims(a) | {"aud": AUDIENCE}), "for another audience"),
        "another client's": (lambda a: provider.token(**claims(a) | {"azp": "other"}), "to another client (azp)"),
        "several audiences": (
            lambda a: provider.token(**claims(a) | {"aud": [CLIENT, "b"]}),
            "to another client (azp)",
        ),
        "another issuer": (lambda a: provider.token(**claims(a) | {"iss": "https://evil.example"}), "another issuer"),
        "ended": (lambda a: provider.token(**claims(a) | {"exp": now - 60}), "has ended (exp)"),
        "no iat": (lambda a: provider.token(**claims(a) | {"iat": None}), "has no claim iat"),
        "no sub": (lambda a: provider.token(**claims(a) | {"sub": None}), "has no claim sub"),
        "the anonymous": (lambda a: provider.token(**claims(a) | {"sub": "anonymous"}), "has no name of a caller"),
        "an access token": (lambda a: provider.token(headers={"typ": "at+jwt"}, **claims(a)), "of a type"),
        "alg=none": (lambda a: unsigned(claims(a)), "no key of the provider"),
        "by the public key": (lambda a: signed_with_the_public_key(claims(a)), "no key of the provider"),
        "no signature": (lambda a: f"{provider.token(**claims(a)).rpartition('.')[0]}.", "wrong signature"),
        "no token": (lambda _: "x", "no JSON Web Token"),
    }
    for name, (token, why) in cases.items():
        asked = begin(person)
        refused(come_back(person, provider, asked, id_token=token(asked)), why)
        assert known(person) is None, name
    refused(come_back(person, provider, begin(person), scope="openid"), "gave no ID token", 503)


def test_the_answer_is_of_the_provider(person: httpx2.Client, provider: Issuer) -> None:
    """`iss` is checked where it is sent (RFC 9207); a refusal of the provider is shown as text, and only to who began it."""
    for further, why in (
        ({"iss": "https://evil.example", "code": "x"}, "of another provider"),
        ({"error": "access_denied", "error_description": "<b>no\x07</b>"}, "access_denied: &lt;b&gt;no &lt;/b&gt;"),
        ({}, "has no code"),
    ):
        answer = {"state": begin(person)["state"], **further}
        refused(person.get(CALLBACK, params=answer, headers=PAGE), why)
    refused(person.get(CALLBACK, params={"error": "<i>", "state": "x"}, headers=PAGE), "has begun no such login")
    state = begin(person)["state"]
    refused(person.get(f"{CALLBACK}?state={state}&state={state}&code=x", headers=PAGE), "twice")
    asked = begin(person)
    code = provider.code(asked["code_challenge"], **tokens(provider, asked))
    answer = {"code": code, "state": asked["state"], "iss": provider.url}
    assert person.get(CALLBACK, params=answer, headers=PAGE).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        "https://example.org/",
        "//example.org",
        "/\\example.org",
        "/catalog\\..",
        "/api/v1/keys",
        "/catalogue",
        "/catalog/login",
        "/catalog/login/start?next=/catalog",
        "/\tx",
        "javascript:x",
        "x" * 3000,
    ],
)
def test_a_login_goes_on_at_the_catalog_only(person: httpx2.Client, provider: Issuer, path: str) -> None:
    """A link to the login that names another place leads home: no open redirect, and no loop."""
    assert log_in(person, provider, path).headers["location"] == "/"


def test_a_place_that_is_forged_within_the_browser(person: httpx2.Client, provider: Issuer) -> None:
    """The path to go on at is checked again when the browser brings it back."""
    asked = begin(person)
    (name,) = [each for each in person.cookies if each.startswith("meshport-begun-")]
    parts = person.cookies[name].split(".")
    evil = base64.urlsafe_b64encode(b"https://evil.example/").decode().rstrip("=")
    person.cookies.delete(name)
    person.cookies.set(name, ".".join((*parts[:3], evil)))
    assert come_back(person, provider, asked).headers["location"] == "/"


def test_the_cookie_of_a_login(person: httpx2.Client, provider: Issuer, registry: str) -> None:
    """It is HttpOnly and SameSite, has no token in it, and no other text is one; the APIs take it in no form."""
    asked = begin(person)
    id_token = tokens(provider, asked)["id_token"]
    entered = come_back(person, provider, asked, id_token=id_token)
    (given,) = [each for each in entered.headers.get_list("set-cookie") if each.startswith(f"{SESSION}=")]
    content, *attributes = given.partition("=")[2].split("; ")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]
    assert id_token.split(".")[1] not in content
    for path in ("/api/v1/dataproducts", "/subjects"):
        assert person.get(path).status_code == 401
        assert person.get(path, headers=bearer(content)).status_code == 401
    secret, _, key = content.partition(".")
    other_letter = "B" if secret.startswith("A") else "A"
    with plain_http(registry) as other:
        for forged in (
            f"{other_letter}{secret[1:]}.{key}",
            secret,
            f"{secret}.",
            f"{secret}.{key}.",
            "x",
            "'; DROP TABLE x",
        ):
            other.cookies.set(SESSION, forged)
            assert known(other) is None, forged
            other.cookies.delete(SESSION)


def test_the_database_has_nothing_that_the_registry_takes(provider: Issuer, sqlite: str) -> None:
    """Of a login it has a hash, and the ID token encrypted by what the cookie has alone."""
    with served(provider, sqlite) as url, plain_http(url) as person:
        asked = begin(person)
        id_token = tokens(provider, asked)["id_token"]
        come_back(person, provider, asked, id_token=id_token)
        secret, _, key = person.cookies[SESSION].partition(".")
        with create_engine(database_url(sqlite)).connect() as connection:
            (row,) = connection.execute(text("SELECT * FROM browser_session")).all()
    stored = " ".join(map(str, row))
    assert hashlib.sha256(secret.encode()).hexdigest() in stored
    for kept in (secret, key, id_token, id_token.split(".")[2]):
        assert kept not in stored


def test_a_login_fixes_no_session(person: httpx2.Client, provider: Issuer, registry: str) -> None:
    """A cookie that somebody put into a browser is not that of its next login, and ends with it (session fixation)."""
    with plain_http(registry) as attacker:
        log_in(attacker, provider, sub="eve@example.org")
        planted = attacker.cookies[SESSION]
        person.cookies.set(SESSION, planted, domain="127.0.0.1", path="/")
        log_in(person, provider)
        assert person.cookies[SESSION] != planted
        assert known(person) == "ann@example.org"
        assert known(attacker) is None
