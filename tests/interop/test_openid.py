"""Logins at a real OpenID provider: a person's with a browser and with a device code, renewed, after a rotation of its keys."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
from pydantic import SecretStr

from meshport.errors import LoginRefused
from meshport.registry.kept_logins import KeptLogin, KeptLogins, OpenIdSession
from meshport.registry.openid import OpenIdProvider
from meshport_registry import OidcSettings, Settings, TlsSettings, running
from tests.cli.running import Ended, process
from tests.interop.openid_provider import (
    CLIENT,
    REGISTRY_AUDIENCE,
    OpenIdServer,
    openid_server,
)
from tests.interop.packages import installed
from tests.interop.person import browser_of, log_in
from tests.registry.certificates import Authority

ANN, BEN = "ann@example.org", "ben@example.org"


class Secured(NamedTuple):
    """A registry with HTTPS that takes the provider's tokens."""

    url: str
    authority: Path
    provider: OpenIdServer

    def run(self, home: Path, *arguments: str, **environment: str) -> Ended:
        """Run `meshport ...` as the user of a home directory."""
        settings = {"MESHPORT_REGISTRY": self.url, "XDG_CONFIG_HOME": str(home / "config")} | environment
        with process(*arguments, "--registry-ca", str(self.authority), cwd=home, **settings) as started:
            out, err = started.communicate()
        return Ended(started.returncode, out.decode(), err.decode())

    def log_in(self, home: Path, person: str) -> Ended:
        """Run `meshport login` as a person who has a browser."""
        asked = ("--oidc-issuer", self.provider.url, "--oidc-client-id", CLIENT, "--oidc-audience", REGISTRY_AUDIENCE)
        return self.run(home, "login", *asked, "--json", BROWSER=browser_of(person))

    def kept(self, home: Path) -> tuple[KeptLogins, KeptLogin]:
        """Return the login that is kept in a home directory."""
        logins = KeptLogins(home / "config" / "meshport" / "logins")
        found = logins.find(self.url)
        assert found is not None
        return logins, found


@pytest.fixture(scope="module")
def provider(tool: Callable[[str], str]) -> Iterator[OpenIdServer]:
    """A provider."""
    node = tool("node")
    installed(tool("npm"), "openid")
    with openid_server(node) as served:
        yield served


@pytest.fixture(scope="module")
def registry(provider: OpenIdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A registry with HTTPS that takes the provider's access tokens."""
    folder = tmp_path_factory.mktemp("registry")
    authority = Authority(folder)
    server = authority.server()
    settings = Settings(
        database=f"sqlite:///{folder / 'registry.db'}",
        port=0,
        tls=TlsSettings(certificate=server.certificate, key=server.key),
        oidc=OidcSettings(issuer=provider.url, audience=REGISTRY_AUDIENCE),
    )
    with running(settings) as url:
        yield Secured(url, authority.file, provider)


def test_a_person_logs_in_with_a_browser(registry: Secured, tmp_path: Path) -> None:
    """After `meshport login` the commands of this user are the person's, with their groups; after `logout` they are refused."""
    assert registry.run(tmp_path, "search").code == 1
    done = registry.log_in(tmp_path, ANN)
    assert done.code == 0, done.err
    assert done.lines[0]["registry"] == registry.url
    assert done.lines[0]["renewed"] is True
    assert registry.run(tmp_path, "search").code == 0
    made = registry.run(tmp_path, "registry", "key", "create", "billing/invoices", "--json")
    assert made.code == 0, made.err
    assert made.lines[0]["created_by"] == ANN
    (file,) = (tmp_path / "config" / "meshport" / "logins").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    _, kept = registry.kept(tmp_path)
    assert kept.token is not None
    assert kept.token.get_secret_value() not in done.out + done.err + made.out + made.err
    assert kept.refresh is not None
    left = registry.run(tmp_path, "logout")
    assert left.code == 0
    assert "logged out" in left.err
    assert registry.run(tmp_path, "search").code == 1
    assert kept.client is not None
    with OpenIdProvider(kept.client) as asked, pytest.raises(LoginRefused) as ended:
        asked.refresh(kept.refresh)
    assert ended.value.reason == "invalid_grant"


def test_what_a_person_may_not_do(registry: Secured, tmp_path: Path) -> None:
    """A person without the group of those who administer is refused, though the login is good."""
    assert registry.log_in(tmp_path, BEN).code == 0
    refused = registry.run(tmp_path, "registry", "key", "list")
    assert refused.code == 1
    assert BEN in refused.err


def test_a_person_logs_in_with_another_machines_browser(provider: OpenIdServer, tmp_path: Path) -> None:
    """With `--device` the command shows a page and a code, and waits; without an audience it shows the ID token."""
    settings = Settings(
        database=f"sqlite:///{tmp_path / 'registry.db'}",
        port=0,
        oidc=OidcSettings(issuer=provider.url, audience=CLIENT),
    )
    asked = ("--device", "--oidc-issuer", provider.url, "--oidc-client-id", CLIENT)
    with running(settings) as url:
        environment = {"MESHPORT_REGISTRY": url, "XDG_CONFIG_HOME": str(tmp_path / "config")}
        with process("login", *asked, cwd=tmp_path, **environment) as command:
            assert command.stderr is not None
            page = next(filter(None, (re.search(rb"or open (\S+)", line) for line in command.stderr)))
            log_in(page[1].decode(), ANN)
            command.communicate()
            assert command.returncode == 0
        with process("registry", "key", "list", cwd=tmp_path, **environment) as command:
            command.communicate()
            assert command.returncode == 0


def test_a_login_outlives_a_rotation_of_the_keys(registry: Secured, tmp_path: Path) -> None:
    """Once the registry knows that the provider has other keys, the old token is refused, and the client shows a new one."""
    ann, ben = tmp_path / "ann", tmp_path / "ben"
    ann.mkdir()
    ben.mkdir()
    assert registry.log_in(ann, ANN).code == 0
    _, before = registry.kept(ann)
    assert before.token is not None
    registry.provider.rotate()
    assert registry.log_in(ben, BEN).code == 0
    old = {"MESHPORT_REGISTRY_TOKEN": before.token.get_secret_value()}
    refused = registry.run(ann, "search", **old)
    assert refused.code == 1
    assert "signed by no key of the provider" in refused.err
    assert registry.run(ann, "registry", "key", "list").code == 0
    _, after = registry.kept(ann)
    assert after.token != before.token


def test_one_process_renews_for_all(registry: Secured, tmp_path: Path) -> None:
    """Of many that find a token ended, one asks the provider, which would end the login at a second use of a refresh token."""
    assert registry.log_in(tmp_path, ANN).code == 0
    logins, kept = registry.kept(tmp_path)
    ended = kept.model_copy(update={"ends_at": 1.0})
    logins.keep(ended)
    sessions = [OpenIdSession(logins, ended) for _ in range(8)]
    got: list[SecretStr] = []
    threads = [threading.Thread(target=lambda each=each: got.append(each.current())) for each in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(sessions)
    assert set(got) == {registry.kept(tmp_path)[1].token}
    assert got[0] != kept.token
    assert registry.run(tmp_path, "search").code == 0


@pytest.mark.parametrize("wrong", ["http://192.0.2.1", "ftp://127.0.0.1", "nonsense"])
def test_a_provider_that_others_could_be(registry: Secured, tmp_path: Path, wrong: str) -> None:
    """A provider without HTTPS elsewhere is not asked."""
    refused = registry.run(tmp_path, "login", "--oidc-issuer", wrong, "--oidc-client-id", CLIENT)
    assert refused.code == 1
    assert "neither a URL of HTTPS" in refused.err


def test_a_registry_that_takes_no_such_login(registry: Secured, tmp_path: Path) -> None:
    """A login that the registry does not take is not kept."""
    asked = ("--oidc-issuer", registry.provider.url, "--oidc-client-id", CLIENT)
    refused = registry.run(tmp_path, "login", *asked, BROWSER=browser_of(ANN))
    assert refused.code == 1
    assert "is for another audience" in refused.err
    assert not list((tmp_path / "config" / "meshport").glob("logins/*.json"))


def test_the_browsers_answer_is_of_this_login(registry: Secured, tmp_path: Path) -> None:
    """A code with another state, or of another provider, gets 404, and the login goes on."""
    asked: tuple[Any, ...] = ("--oidc-issuer", registry.provider.url, "--oidc-client-id", CLIENT)
    asked += ("--oidc-audience", REGISTRY_AUDIENCE, "--registry-ca", str(registry.authority))
    settings = {"MESHPORT_REGISTRY": registry.url, "XDG_CONFIG_HOME": str(tmp_path / "config"), "BROWSER": "true"}
    with process("login", *asked, cwd=tmp_path, **settings) as command:
        assert command.stderr is not None
        page = next(filter(None, (re.search(rb"browser: (\S+)", line) for line in command.stderr)))[1].decode()
        query = httpx2.URL(page).params
        redirect = query["redirect_uri"]
        for forged in (
            {"code": "x"},
            {"code": "x", "state": "x", "iss": registry.provider.url},
            {"code": "x", "state": query["state"]},
            {"code": "x", "state": query["state"], "iss": "https://other.example.org"},
        ):
            assert httpx2.get(redirect, params=forged).status_code == 404
        log_in(page, ANN)
        command.communicate()
        assert command.returncode == 0
    assert query["code_challenge_method"] == "S256"
