"""Tokens of an OpenID provider at the registry's door: which are taken, and how they name a caller."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from meshport_registry import OidcSettings, Settings
from meshport_registry.identity.door import open_door
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.registry.door import CONFLUENT, MESH, bearer, made_key, refusal, served
from tests.registry.issuer import AUDIENCE, Issuer, issuer, rsa_key, signed_with_the_public_key, token_part, unsigned


@pytest.fixture
def provider() -> Iterator[Issuer]:
    """Serve an issuer."""
    with issuer() as served:
        yield served


def oidc(provider: Issuer, **more: str) -> OidcSettings:
    """Return the settings of an issuer."""
    return OidcSettings(issuer=provider.url, audience=AUDIENCE, **more)


def test_a_token_of_the_provider_opens_both_apis(sqlite: str, provider: Issuer) -> None:
    """Tokens by RSA and by elliptic curves are taken; the key set is fetched once for many of them."""
    with served(Settings(database=sqlite, port=0, oidc=oidc(provider))) as client:
        for kid in ("rsa-1", "ec-1"):
            for path in (CONFLUENT, MESH):
                assert client.get(path, headers=bearer(provider.token(kid))).status_code == 200
        assert client.get(MESH, headers=bearer(provider.token(aud=["other", AUDIENCE]))).status_code == 200
        refusal(client.get(CONFLUENT))
    assert provider.requests == ["/.well-known/openid-configuration", "/jwks"]


def _stranger_token(provider: Issuer, headers: dict[str, object]) -> str:
    stranger = rsa_key(2)
    return jwt.encode(provider.claims(), stranger, "RS256", headers=headers)


def test_tokens_that_should_not_open_the_door(sqlite: str, provider: Issuer) -> None:
    """Each forged, ended or misdirected token is refused in both APIs' forms, with the reason that is safe to say."""
    good = provider.token()
    head, claims, signature = good.split(".")
    other = token_part(provider.claims(sub="eve@example.org"))
    now = provider.claims()["iat"]
    cases = {
        "ended": (provider.token(exp=now - 60), "has ended (exp)"),
        "not yet valid": (provider.token(nbf=now + 600), "is not valid yet"),
        "another audience": (provider.token(aud="other"), "another audience"),
        "another issuer": (provider.token(iss="https://evil.example"), "another issuer"),
        "no exp": (provider.token(exp=None), "no claim exp"),
        "no aud": (provider.token(aud=None), "no claim aud"),
        "no iss": (provider.token(iss=None), "no claim iss"),
        "no sub": (provider.token(sub=None), "no claim sub"),
        "alg=none": (unsigned(provider.claims()), "no key of the provider"),
        "by HMAC with the public key": (signed_with_the_public_key(provider.claims()), "no key of the provider"),
        "RSA header, key of a curve": (f"{token_part({'alg': 'RS256', 'kid': 'ec-1'})}.{claims}.{signature}", "no key"),
        "unknown kid": (_stranger_token(provider, {"kid": "rsa-9"}), "no key of the provider"),
        "a stranger's key under a known kid": (_stranger_token(provider, {"kid": "rsa-1"}), "wrong signature"),
        "a stranger's key in the header": (
            _stranger_token(provider, {"kid": "rsa-1", "jku": "http://127.0.0.1:1/", "jwk": {"kty": "RSA"}}),
            "wrong signature",
        ),
        "other claims": (f"{head}.{other}.{signature}", "wrong signature"),
        "no signature": (f"{head}.{claims}.", "wrong signature"),
        "no kid": (_stranger_token(provider, {}), "wrong signature"),
        "crit": (provider.token(headers={"crit": ["x"], "x": 1}), "a type that"),
        "a logout token": (provider.token(headers={"typ": "logout+jwt"}), "a type that"),
        "two parts": (f"{head}.{claims}", "no JSON Web Token"),
        "no JSON": ("a.b.c", "no JSON Web Token"),
        "deep": (f"{base64.urlsafe_b64encode(b'[' * 1500).decode()}.e.e", "no JSON Web Token"),
        "long": (good + "A" * 17_000, "no JSON Web Token"),
        "anonymous": (provider.token(sub="anonymous"), "no name of a caller"),
        "an exp of no time": (provider.token(exp="soon"), "is not valid"),
        "an endless exp": (provider.token(exp=float("inf")), "is not valid"),
    }
    with served(Settings(database=sqlite, port=0, oidc=oidc(provider))) as client:
        assert client.get(MESH, headers=bearer(good)).status_code == 200
        for name, (token, reason) in cases.items():
            for path in (MESH, CONFLUENT):
                message = refusal(client.get(path, headers=bearer(token)))
                assert reason in message, name
                assert token not in message
        assert client.get(MESH, headers=bearer(good)).status_code == 200


def test_a_rotated_key_of_the_provider_is_found_and_an_old_one_forgotten(sqlite: str, provider: Issuer) -> None:
    """A token by a new key is taken at once; when the old key is gone, its tokens are refused although they were taken."""
    old = provider.token()
    with served(Settings(database=sqlite, port=0, oidc=oidc(provider))) as client:
        assert client.get(MESH, headers=bearer(old)).status_code == 200
        del provider.keys["rsa-1"]
        provider.keys["rsa-2"] = rsa_key(2)
        assert client.get(MESH, headers=bearer(provider.token("rsa-2"))).status_code == 200
        assert "no key of the provider" in refusal(client.get(MESH, headers=bearer(old)))


def test_unknown_keys_make_the_registry_ask_its_provider_a_few_times_only(sqlite: str, provider: Issuer) -> None:
    """However many tokens of unknown keys come, the provider is asked thrice, and the others still pass."""
    token = _stranger_token(provider, {"kid": "rsa-9"})
    with served(Settings(database=sqlite, port=0, oidc=oidc(provider))) as client:
        for _ in range(50):
            refusal(client.get(MESH, headers=bearer(token)))
        assert client.get(MESH, headers=bearer(provider.token())).status_code == 200
    assert provider.requests.count("/jwks") == 4


def test_a_key_set_that_is_not_safe_is_not_used(sqlite: str, provider: Issuer) -> None:
    """Short RSA keys, keys for encryption and symmetric keys verify nothing; without a usable key the answer is 503."""
    good = provider.token()
    public = provider.public_keys()["keys"]
    symmetric = {"kty": "oct", "kid": "rsa-1", "k": "AAAA"}
    short = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(9, 1024).public_key())) | {"kid": "rsa-1"}
    for keys in ([symmetric], [short], [each | {"use": "enc"} for each in public], public * 60, "none"):
        provider.jwks = {"keys": keys}
        with served(Settings(database=sqlite, port=0, oidc=oidc(provider))) as client:
            answer = client.get(MESH, headers=bearer(good))
            assert (answer.status_code, answer.json()["error"]) == (503, "identity-unavailable")


def test_a_provider_that_does_not_answer_lets_nobody_in(sqlite: str, provider: Issuer) -> None:
    """While the provider cannot be asked a token gets a 503, never a pass; keys of the registry's own still count."""
    key = made_key(sqlite)
    nowhere = OidcSettings(issuer="http://127.0.0.1:9", audience=AUDIENCE)
    with served(Settings(database=sqlite, port=0, oidc=nowhere)) as client:
        assert client.get(MESH, headers=bearer(provider.token())).status_code == 503
        assert client.get(CONFLUENT, headers=bearer(provider.token())).json()["error_code"] == 50003
        assert client.get(MESH, headers=bearer(key.text)).status_code == 200


@pytest.mark.parametrize(
    ("claims", "more", "name", "groups"),
    [
        ({}, {}, "ann@example.org", {"billing-team"}),
        ({"groups": "ops"}, {}, "ann@example.org", {"ops"}),
        ({"groups": ["a", "local", 5, "x\n"]}, {}, "ann@example.org", {"a"}),
        ({"groups": None}, {}, "ann@example.org", set()),
        ({"realm_access": {"roles": ["r"]}}, {"groups_claim": "realm_access.roles"}, "ann@example.org", {"r"}),
        ({"https://x.org/groups": ["r"]}, {"groups_claim": "https://x.org/groups"}, "ann@example.org", {"r"}),
        (
            {"email": "bo@example.org", "email_verified": True},
            {"name_claim": "email"},
            "bo@example.org",
            {"billing-team"},
        ),
    ],
)
def test_the_caller_of_a_token(
    provider: Issuer, claims: dict[str, Any], more: dict[str, str], name: str, groups: set[str], tmp_path: Path
) -> None:
    """Name and groups come from the configured claims; no token gives the group local."""
    store = RegistryStore(database_url(f"sqlite:///{tmp_path / 'registry.db'}")).open()
    try:
        door = open_door(Settings(oidc=oidc(provider, **more)), store)
        assert door is not None
        token = provider.token(**claims)
        found = asyncio.run(door.identify({"headers": [(b"authorization", f"Bearer {token}".encode())], "state": {}}))
    finally:
        store.close()
    assert (found.name, found.groups, found.by) == (name, frozenset(groups), "token")


def test_an_email_address_that_is_not_verified_names_nobody(sqlite: str, provider: Issuer) -> None:
    """Where callers are named by email, the provider has to have verified it."""
    token = provider.token(email="ann@example.org", email_verified=False)
    with served(Settings(database=sqlite, port=0, oidc=oidc(provider, name_claim="email"))) as client:
        assert "not verified" in refusal(client.get(MESH, headers=bearer(token)))


def test_an_issuer_is_reached_safely() -> None:
    """An issuer is a URL of HTTPS, or of this machine."""
    for url in ("http://login.example.org", "login.example.org", "ftp://x", "https://", "http://[::1"):
        with pytest.raises(ValueError, match="is no URL of HTTPS"):
            OidcSettings(issuer=url, audience="x")
    assert OidcSettings(issuer="https://login.example.org/realms/a", audience="x").issuer.endswith("/a")
