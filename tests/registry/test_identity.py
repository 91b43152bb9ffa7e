"""Who gets through the registry's door, by which credentials, and how a caller is named."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import update

from meshport.api_keys import ApiKeyRequest, NewApiKey
from meshport.errors import RegistryUnavailable
from meshport_registry import OidcSettings, Settings, TlsSettings, running, tables
from meshport_registry.audit.pacing import Pacing
from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.certificates import caller_of
from meshport_registry.identity.credentials import KeyShown
from meshport_registry.identity.door import open_door
from meshport_registry.identity.known_keys import FRESH_S, KnownKeys
from meshport_registry.identity.offline import KeysInDatabase
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.plain_http import plain_http
from tests.registry.certificates import Authority, Files
from tests.registry.issuer import AUDIENCE, Issuer, issuer, rsa_key

CONFLUENT = "/subjects"
MESH = "/api/v1/dataproducts"


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """Return the URL of an empty SQLite database, for tests in which the database plays no part."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def provider() -> Iterator[Issuer]:
    """Serve an issuer."""
    with issuer() as served:
        yield served


def made_key(database: str, name: str = "billing/invoices", *groups: str) -> NewApiKey:
    """Make a key by the database alone, as on a registry's host."""
    with KeysInDatabase(database) as keys:
        return keys.create(ApiKeyRequest(name=name, groups=groups))


def bearer(token: str) -> dict[str, str]:
    """Return the header of a bearer token."""
    return {"authorization": f"Bearer {token}"}


@contextmanager
def served(settings: Settings) -> Iterator[httpx2.Client]:
    """Serve a registry and yield a client of it."""
    with running(settings) as url, plain_http(url) as client:
        yield client


def refusal(answer: httpx2.Response) -> str:
    """Return the message of a 401, which is in the form of the API that was asked and names what would be accepted."""
    assert answer.status_code == 401
    assert [each.partition(" ")[0] for each in answer.headers.get_list("www-authenticate")] == ["Bearer", "Basic"]
    problem = answer.json()
    if answer.request.url.path.startswith("/api/"):
        assert problem["error"] == "unauthenticated"
        assert problem["hint"]
    else:
        assert problem["error_code"] == 40101
    return str(problem["message"])


def test_a_registry_without_identities_answers_everyone(sqlite: str) -> None:
    """Without a key, a provider or an authority every caller is anonymous in the group local, whatever it shows."""
    with served(Settings(database=sqlite, port=0)) as client:
        assert client.get(CONFLUENT).status_code == 200
        assert client.get(CONFLUENT, headers=bearer("nothing")).status_code == 200


def test_a_key_opens_both_apis_as_bearer_and_by_basic(sqlite: str) -> None:
    """A key is taken as a bearer token and, for Confluent's clients, as user and password."""
    key = made_key(sqlite)
    with served(Settings(database=sqlite, port=0)) as client:
        for path in (CONFLUENT, MESH, "/schemas/types"):
            assert client.get(path, headers=bearer(key.text)).status_code == 200
            assert client.get(path, auth=(key.id, key.secret)).status_code == 200
            assert "no API key, token or client certificate" in refusal(client.get(path)).replace("shows ", "")


def test_wrong_keys_are_refused_alike(sqlite: str) -> None:
    """A wrong secret and an unknown id get the same answer; a header that is no credential is refused too."""
    key = made_key(sqlite)
    wrong = [
        bearer(f"mpk_{key.id}_{'A' * 43}"),
        bearer(f"mpk_{'a' * 12}_{key.secret}"),
        bearer(f"mpk_{key.id}"),
        bearer(key.text + "A"),
    ]
    with served(Settings(database=sqlite, port=0)) as client:
        messages = {refusal(client.get(MESH, headers=each)) for each in wrong}
        assert messages == {"the API key is not known"}
        for value in ("", "Bearer", "Digest x", "Basic !!!", "Basic " + base64.b64encode(b"no colon").decode()):
            refusal(client.get(CONFLUENT, headers={"authorization": value}))
        both = [("authorization", f"Bearer {key.text}"), ("authorization", "Bearer x")]
        refusal(client.get(CONFLUENT, headers=both))


def test_a_key_ends_by_itself(database: str) -> None:
    """A key is refused after its last instant, and the one who shows its secret learns why."""
    key = made_key(database)
    store = RegistryStore(database_url(database)).open()
    asyncio.run(store.write(lambda c: c.execute(update(tables.api_key).values(ends_at=1_000_000))))
    store.close()
    with served(Settings(database=database, port=0)) as client:
        assert "ended at 1970-01-01T00:00:01" in refusal(client.get(MESH, headers=bearer(key.text)))


def test_a_revoked_key_is_refused_by_this_process_at_once(database: str) -> None:
    """The request after the one that revokes a key is refused, and a rotated key lives on beside the new one."""
    admin = made_key(database, "ann@example.org", "mesh-admins")
    with served(Settings(database=database, port=0)) as client:
        client.headers.update(bearer(admin.text))
        made = client.post("/api/v1/keys", json={"name": "shop/orders", "groups": ["shop"]})
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        old = NewApiKey.model_validate_json(made.content)
        assert old.created_by == "ann@example.org"
        rotated = client.post(f"/api/v1/keys/{old.id}/rotate", json={"overlap_hours": 1})
        new = NewApiKey.model_validate_json(rotated.content)
        assert (new.name, new.groups) == ("shop/orders", ("shop",))
        for key in (old, new):
            assert client.get(CONFLUENT, headers=bearer(key.text)).status_code == 200
        assert client.post(f"/api/v1/keys/{old.id}/revoke", json={}).status_code == 200
        assert "is revoked" in refusal(client.get(MESH, headers=bearer(old.text)))
        assert client.get(CONFLUENT, headers=bearer(new.text)).status_code == 200
        assert client.post(f"/api/v1/keys/{old.id}/rotate", json={}).status_code == 409
        at_once = client.post(f"/api/v1/keys/{new.id}/rotate", json={"overlap_hours": 0})
        assert at_once.status_code == 201
        assert "ended at" in refusal(client.get(MESH, headers=bearer(new.text)))
        listed = client.get("/api/v1/keys")
        assert old.secret not in listed.text
        assert {each["id"] for each in listed.json()} >= {admin.id, old.id, new.id}


def test_a_key_that_another_process_revokes_is_refused(database: str) -> None:
    """Another process learns of a revocation with its next look at the database, a second after the one before."""
    key, now = made_key(database), [0.0]
    store = RegistryStore(database_url(database)).open()
    known = KnownKeys(store, clock=lambda: now[0])

    def ask() -> str:
        return asyncio.run(known.caller(KeyShown(key.id, key.secret))).name

    try:
        assert ask() == "billing/invoices"
        with KeysInDatabase(database) as keys:
            keys.revoke(key.id)
        now[0] += FRESH_S
        with pytest.raises(Unauthenticated, match="is revoked"):
            ask()
    finally:
        store.close()


def test_only_hashes_of_secrets_are_stored(tmp_path: Path) -> None:
    """The database has no secret of a key, in whichever form."""
    sqlite = f"sqlite:///{tmp_path / 'registry.db'}"
    key = made_key(sqlite)
    stored = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert key.secret.encode() not in stored
    assert key.secret not in repr(key)


def test_nobody_gets_a_reserved_name_or_group(sqlite: str) -> None:
    """No key gives the name anonymous or the group local, which stand for callers without identity."""
    admin = made_key(sqlite, "ann@example.org", "mesh-admins")
    with served(Settings(database=sqlite, port=0)) as client:
        client.headers.update(bearer(admin.text))
        for body in ({"name": "anonymous"}, {"name": "x", "groups": ["local"]}, {"name": "x", "until": "2020-01-01"}):
            assert client.post("/api/v1/keys", json=body).status_code == 422


def test_keys_are_for_those_who_administer(sqlite: str) -> None:
    """A caller outside of mesh-admins neither sees nor makes keys."""
    key = made_key(sqlite, "shop/orders", "shop")
    with served(Settings(database=sqlite, port=0)) as client:
        client.headers.update(bearer(key.text))
        for answer in (client.get("/api/v1/keys"), client.post("/api/v1/keys", json={"name": "x"})):
            assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


def test_a_registry_whose_only_key_is_revoked_stays_closed(database: str) -> None:
    """A key that ended or was revoked still means that callers have identities."""
    key = made_key(database)
    with KeysInDatabase(database) as keys:
        keys.revoke(key.id)
    with served(Settings(database=database, port=0)) as client:
        refusal(client.get(CONFLUENT))


def test_probes_need_no_identity_and_nothing_else_is_open(sqlite: str) -> None:
    """`/health` is open in exactly this spelling; pages, unknown paths and HEAD are not."""
    made_key(sqlite)
    with served(Settings(database=sqlite, port=0)) as client:
        assert client.get("/health").status_code == 200
        for path in ("/", "/docs", "/openapi.json", "/no/such/path", "/health/", "/schemas/ids/1"):
            assert client.get(path).status_code == 401
        head = client.head(CONFLUENT)
        assert (head.status_code, head.content) == (401, b"")


def test_anonymous_callers_pass_where_they_are_allowed(sqlite: str) -> None:
    """With `allow_anonymous` a request that shows nothing passes the door; one that shows a wrong key does not."""
    made_key(sqlite)
    with served(Settings(database=sqlite, port=0, allow_anonymous=True)) as client:
        assert client.get("/health").status_code == 200
        assert "administer" in refusal(client.get("/api/v1/keys"))
        refusal(client.get(CONFLUENT, headers=bearer("mpk_a_b")))


def test_other_machines_are_let_in_only_with_identities(sqlite: str) -> None:
    """A registry that knows no identities does not listen on other interfaces, unless that is said."""
    with (
        pytest.raises(RegistryUnavailable, match="it knows no identities"),
        running(Settings(database=sqlite, host="0.0.0.0", port=0)),
    ):
        pass
    with running(Settings(database=sqlite, host="0.0.0.0", port=0, allow_anonymous=True)):
        pass
    made_key(sqlite)
    with running(Settings(database=sqlite, host="0.0.0.0", port=0)):
        pass


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


def _none_token(provider: Issuer) -> str:
    return jwt.encode(provider.claims(), "", "none", headers={"kid": "rsa-1"})


def _hmac_token(provider: Issuer) -> str:
    """Return a token that is signed by HMAC with the text of the public key as its secret."""
    key = provider.keys["rsa-1"].public_key()
    secret = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = _part({"alg": "HS256", "kid": "rsa-1", "typ": "JWT"}) + "." + _part(provider.claims())
    signed = hmac.new(secret, head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"


def _part(document: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def _stranger_token(provider: Issuer, headers: dict[str, object]) -> str:
    stranger = rsa_key(2)
    return jwt.encode(provider.claims(), stranger, "RS256", headers=headers)


def test_tokens_that_should_not_open_the_door(sqlite: str, provider: Issuer) -> None:
    """Each forged, ended or misdirected token is refused in both APIs' forms, with the reason that is safe to say."""
    good = provider.token()
    head, claims, signature = good.split(".")
    other = _part(provider.claims(sub="eve@example.org"))
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
        "alg=none": (_none_token(provider), "no key of the provider"),
        "by HMAC with the public key": (_hmac_token(provider), "no key of the provider"),
        "RSA header, key of a curve": (f"{_part({'alg': 'RS256', 'kid': 'ec-1'})}.{claims}.{signature}", "no key"),
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


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority."""
    return Authority(tmp_path)


def secured(database: str, authority: Authority, *, clients: bool = True) -> Settings:
    """Return the settings of a registry over HTTPS."""
    server = authority.server()
    tls = TlsSettings(certificate=server.certificate, key=server.key, client_ca=authority.file if clients else None)
    return Settings(database=database, port=0, tls=tls)


def https(url: str, authority: Authority, files: Files | None = None) -> httpx2.Client:
    """Return a client that trusts an authority, with a certificate of its own or none."""
    context = ssl.create_default_context(cafile=str(authority.file))
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    return httpx2.Client(base_url=url, verify=context, trust_env=False)


def test_https_without_client_certificates(sqlite: str, authority: Authority) -> None:
    """Over HTTPS a key opens the door, and who trusts another authority does not connect."""
    key = made_key(sqlite)
    with running(secured(sqlite, authority, clients=False)) as url, https(url, authority) as client:
        assert url.startswith("https://")
        assert client.get(CONFLUENT, headers=bearer(key.text)).status_code == 200
        large = client.post("/subjects/x/versions", content=b"x" * 5_000_000, headers=bearer(key.text))
        assert large.status_code == 413
        with httpx2.Client(verify=True, trust_env=False) as stranger, pytest.raises(httpx2.ConnectError):
            stranger.get(f"{url}{CONFLUENT}")


def test_a_client_certificate_names_a_caller(sqlite: str, authority: Authority, tmp_path: Path) -> None:
    """A certificate of the authority opens the door; one of another authority ends the connection; none needs a key."""
    key = made_key(sqlite)
    files = authority.sign("client", common=("billing/invoices",), units=("billing-team", "local"))
    other = tmp_path / "other"
    other.mkdir()
    foreign = Authority(other, "other").sign("client", common=("billing/invoices",))
    with running(secured(sqlite, authority)) as url:
        with https(url, authority, files) as client:
            assert client.get(CONFLUENT).status_code == 200
            assert client.get(MESH).status_code == 200
            refusal(client.get(CONFLUENT, headers=bearer("mpk_a_b")))
        with https(url, authority) as client:
            refusal(client.get(CONFLUENT))
            assert client.get(CONFLUENT, headers=bearer(key.text)).status_code == 200
        with https(url, authority, foreign) as client, pytest.raises(httpx2.HTTPError):
            client.get(CONFLUENT)


URI = x509.UniformResourceIdentifier("spiffe://example.org/billing/invoices")
MAIL = x509.RFC822Name("ann@example.org")


@pytest.mark.parametrize(
    ("common", "san", "name"),
    [
        (("svc",), (), "svc"),
        (("svc",), (MAIL,), "ann@example.org"),
        (("svc",), (MAIL, URI), "billing/invoices"),
        (("svc",), (x509.DNSName("a.example.org"),), "svc"),
        ((), (), None),
        (("a", "b"), (), None),
        (("svc",), (URI, x509.UniformResourceIdentifier("spiffe://example.org/x")), None),
        (("anonymous",), (), None),
    ],
)
def test_the_name_of_a_certificate(
    authority: Authority, common: tuple[str, ...], san: tuple[x509.GeneralName, ...], name: str | None
) -> None:
    """The SPIFFE id counts before the email address, and that before the common name; two of a kind name nobody."""
    files = authority.sign("client", common=common, units=("ops", "local"), san=san)
    decoded = ssl._ssl._test_decode_cert(str(files.certificate))  # type: ignore[attr-defined]
    if name is None:
        with pytest.raises(Unauthenticated, match="the client certificate has"):
            caller_of(decoded)
    else:
        found = caller_of(decoded)
        assert (found.name, found.groups, found.by) == (name, frozenset({"ops"}), "certificate")


def test_files_of_tls_that_cannot_be_used(sqlite: str, authority: Authority, tmp_path: Path) -> None:
    """A missing file, a key of another certificate and a file that is no PEM are named before anything is served."""
    server, other = authority.server(), authority.sign("other", common=("x",))
    nothing = tmp_path / "nothing.pem"
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for tls in (
        TlsSettings(certificate=nothing, key=server.key),
        TlsSettings(certificate=server.certificate, key=other.key),
        TlsSettings(certificate=broken, key=server.key),
        TlsSettings(certificate=server.certificate, key=server.key, client_ca=broken),
    ):
        with (
            pytest.raises(RegistryUnavailable, match=r"cannot be used|no certificates of authorities"),
            running(Settings(database=sqlite, port=0, tls=tls)),
        ):
            pass


def test_changes_on_the_host_are_in_the_audit(database: str) -> None:
    """A key that is made by the database alone is in the audit, with the user of the operating system."""
    key = made_key(database, "ann@example.org", "mesh-admins")
    with served(Settings(database=database, port=0)) as client:
        entries = client.get("/api/v1/audit", headers=bearer(key.text)).json()["entries"]
    assert [(each["by"], each["action"], each["outcome"]) for each in entries] == [("host", "administer", "allowed")]


def test_a_rotation_keeps_the_length_of_a_key(sqlite: str) -> None:
    """The new key is valid for as long as the old one was made for."""
    old = made_key(sqlite)
    with KeysInDatabase(sqlite) as keys:
        new = keys.rotate(old.id, overlap_hours=24)
    assert abs((new.ends_at - new.created_at) - (old.ends_at - old.created_at)) < timedelta(seconds=1)


def test_refusals_are_delayed_only_in_a_flood() -> None:
    """A thousand refusals are answered at once, further ones at 100 a second, each within two seconds; ten a second return."""
    now = [0.0]
    pacing = Pacing(clock=lambda: now[0])
    assert [pacing.next_wait() for _ in range(1000)] == [0.0] * 1000
    assert pacing.crowded
    assert [round(pacing.next_wait(), 3) for _ in range(3)] == [0.01, 0.02, 0.03]
    assert max(pacing.next_wait() for _ in range(1000)) == 2.0
    now[0] += 1
    assert [pacing.next_wait() for _ in range(10)] == [0.0] * 10
    assert pacing.next_wait() > 0
