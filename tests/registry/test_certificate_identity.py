"""HTTPS at the registry's door: its files, and client certificates that name a caller."""

from __future__ import annotations

import ssl
from pathlib import Path

import httpx2
import pytest
from cryptography import x509

from meshport.errors import RegistryUnavailable
from meshport_registry import Settings, TlsSettings, running
from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.certificates import caller_of
from tests.registry.certificates import Authority, Files
from tests.registry.door import CONFLUENT, MESH, bearer, made_key, refusal


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
