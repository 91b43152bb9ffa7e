"""Logins at an OpenID provider with a browser, over HTTP: what a provider or another person could try, and what is refused."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from urllib.parse import unquote_plus

import httpx2
import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import create_engine, text

from meshport.catalog import ProductRegistration
from meshport.local.kraft import free_ports
from meshport_registry import BrowserLogin, OidcSettings, Settings, running
from meshport_registry.settings import database_url
from tests.plain_http import plain_http
from tests.registry.door import bearer, made_key
from tests.registry.issuer import AUDIENCE, Issuer, issuer, signed_with_the_public_key, unsigned
from tests.registry.schemas import product, schema

CLIENT: Final = "catalog"
SECRET: Final = "s3cret & more"
START: Final = "/catalog/login/start"
CALLBACK: Final = "/catalog/login/callback"
SESSION: Final = "meshport-session"
PAGE: Final = {"accept": "text/html"}
OWN: Final = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def provider() -> Iterator[Issuer]:
    """Serve a provider that gives what a test has it give."""
    with issuer() as served:
        yield served


@contextmanager
def served(provider: Issuer, database: str, *, public: str | None = None, **how: Any) -> Iterator[str]:
    """Serve a registry that logs people in at a provider, and yield its URL."""
    (port,) = free_ports(1, ())
    browser = BrowserLogin(**{"client_id": CLIENT, "client_secret": SecretStr(SECRET), **how.pop("browser", {})})
    oidc = OidcSettings(issuer=provider.url, audience=AUDIENCE, browser=browser, **how.pop("oidc", {}))
    settings = Settings(database=database, port=port, public_url=public, oidc=oidc, bootstrap_servers="k:1", **how)
    with running(settings):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def registry(provider: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve a registry that logs people in at the provider, with a key of an admin."""
    with served(provider, f"sqlite:///{tmp_path_factory.mktemp('flow') / 'registry.db'}") as url:
        yield url


@pytest.fixture
def person(registry: str) -> Iterator[httpx2.Client]:
    """Yield a browser: a client that keeps its cookies and follows no redirect."""
    with plain_http(registry) as client:
        yield client


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
    with plain_http(registry) as other:
        for forged in (f"A{secret[1:]}.{key}", secret, f"{secret}.", f"{secret}.{key}.", "x", "'; DROP TABLE x"):
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
