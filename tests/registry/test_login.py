"""How a client logs in to a registry: what the environment says, what `meshport login` kept, and what goes nowhere."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from pydantic import SecretStr

from meshport.api_keys import ApiKeyRequest, NewApiKey
from meshport.errors import FileError, LoginRefused, RegistrationRefused, RegistryUnavailable
from meshport.registry import Registry, RegistryLogin
from meshport.registry.kept_logins import KeptLogin, KeptLogins
from meshport.registry.login import TokenFile, registry_login
from meshport.registry.requests import registry_url
from meshport_registry import Settings, TlsSettings, running
from meshport_registry.identity.offline import KeysInDatabase
from tests.registry.certificates import Authority

Served = tuple[str, NewApiKey]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No login of the one who runs the tests counts."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("TOKEN", "CA", "CERTIFICATE", "KEY", "HEADER"):
        monkeypatch.delenv(f"MESHPORT_REGISTRY_{name}", raising=False)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority of certificates."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def https(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry with HTTPS, a client authority and one API key."""
    database = f"sqlite:///{tmp_path_factory.mktemp('https') / 'registry.db'}"
    with KeysInDatabase(database) as keys:
        key = keys.create(ApiKeyRequest(name="billing/invoices"))
    server = authority.server()
    tls = TlsSettings(certificate=server.certificate, key=server.key, client_ca=authority.file)
    with running(Settings(database=database, port=0, tls=tls)) as url:
        yield url, key


def headers_seen(login: RegistryLogin, *answers: int) -> list[str | None]:
    """Return the header Authorization of each request that one call makes."""
    seen: list[str | None] = []
    statuses = iter(answers)

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("authorization"))
        status = next(statuses, 200)
        return httpx2.Response(status, json={"products": [], "total": 0} if status == 200 else {"message": "no"})

    with (
        suppress(RegistrationRefused, RegistryUnavailable),
        Registry("http://127.0.0.1:1", transport=httpx2.MockTransport(answer), login=login) as registry,
    ):
        registry.search()
    return seen


def test_the_environment_logs_in_over_https(
    https: Served, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token and an authority in the environment are enough for `Registry(url)`; without each of them it is refused."""
    url, key = https
    with pytest.raises(RegistryUnavailable, match="did not answer"), Registry(url) as registry:
        registry.search()
    monkeypatch.setenv("MESHPORT_REGISTRY_CA", str(authority.file))
    nothing = pytest.raises(RegistrationRefused, match="no API key, token or client certificate")
    with nothing as refused, Registry(url) as registry:
        registry.search()
    assert refused.value.status == 401
    monkeypatch.setenv("MESHPORT_REGISTRY_TOKEN", key.text)
    with Registry(url) as registry:
        assert registry.search().total == 0


def test_a_client_certificate_logs_in(https: Served, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of the registry's client authority is a login."""
    files = authority.sign("client", common=("billing",))
    monkeypatch.setenv("MESHPORT_REGISTRY_CA", str(authority.file))
    monkeypatch.setenv("MESHPORT_REGISTRY_CERTIFICATE", str(files.certificate))
    monkeypatch.setenv("MESHPORT_REGISTRY_KEY", str(files.key))
    with Registry(https[0]) as registry:
        assert registry.search().total == 0
    monkeypatch.setenv("MESHPORT_REGISTRY_KEY", "nowhere.pem")
    with pytest.raises(FileError, match="cannot be used"):
        Registry(https[0])


def test_a_kept_login_is_of_one_registry(tmp_path: Path) -> None:
    """A login is found by the URL of its registry, however that is written, and by no other; only its user can read it."""
    logins = KeptLogins()
    logins.keep(KeptLogin(registry="https://registry.example.com", token=SecretStr("first")))
    logins.keep(KeptLogin(registry="https://registry.example.com", token=SecretStr("second")))
    for same in ("https://registry.example.com/", "https://REGISTRY.example.com:443"):
        token = registry_login(registry_url(same), {}).token
        assert isinstance(token, SecretStr)
        assert token.get_secret_value() == "second"
    for other in ("https://registry.example.com:8443", "https://registry.example.com/b", "http://127.0.0.1:1"):
        assert registry_login(registry_url(other), {}).token is None
    folder = tmp_path / "config" / "meshport" / "logins"
    (file,) = folder.iterdir()
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)
    file.write_text("{")
    with pytest.raises(FileError, match="log in again"):
        registry_login("https://registry.example.com", {})
    logins.forget("https://registry.example.com")
    assert registry_login("https://registry.example.com", {}).token is None


def test_the_environment_wins_over_a_kept_login() -> None:
    """MESHPORT_REGISTRY_TOKEN counts before the kept login, and a user in the URL before both."""
    url = "https://registry.example.com"
    KeptLogins().keep(KeptLogin(registry=url, token=SecretStr("kept")))
    token = registry_login(url, {"MESHPORT_REGISTRY_TOKEN": "given\n"}).token
    assert isinstance(token, SecretStr)
    assert token.get_secret_value() == "given"
    with_user = "https://ann:secret@registry.example.com"
    assert registry_login(with_user, {"MESHPORT_REGISTRY_TOKEN": "given"}).token is None


@pytest.mark.parametrize("url", ["http://registry:8081", "http://10.0.0.1:8081"])
@pytest.mark.parametrize(
    "given", [{"MESHPORT_REGISTRY_TOKEN": "secret"}, {"MESHPORT_REGISTRY_HEADER": "X-Key: secret"}]
)
def test_a_login_does_not_go_by_http(url: str, given: dict[str, str]) -> None:
    """A token or a header is refused for a registry elsewhere without TLS, before anything is sent."""
    with pytest.raises(LoginRefused, match="readable on the network") as refused:
        registry_login(url, given)
    assert "secret" not in str(refused.value)
    assert registry_login("http://localhost:8081", given).has_files is False


def test_a_header_for_a_gateway() -> None:
    """A header goes along with every request; one that is none is refused without being shown."""
    login = registry_login("https://registry.example.com", {"MESHPORT_REGISTRY_HEADER": "X-Key: s3cret value"})
    assert login.headers == {"X-Key": "s3cret value"}
    assert "s3cret" not in repr(login)
    for wrong in ("s3cret", "X Key: s3cret", "X-Key: s3cret\r\nHost: elsewhere", "X-Key:"):
        with pytest.raises(LoginRefused, match="is no header") as refused:
            registry_login("https://registry.example.com", {"MESHPORT_REGISTRY_HEADER": wrong})
        assert "s3cret" not in str(refused.value)


def test_a_token_that_is_replaced_in_its_file(tmp_path: Path) -> None:
    """The file is read for each request, and once more where the registry refuses what was in it."""
    file = tmp_path / "token"
    file.write_text("first\n")
    login = RegistryLogin(token=TokenFile(file))
    assert headers_seen(login) == ["Bearer first"]
    assert headers_seen(login, 401) == ["Bearer first"]
    file.write_text("second")
    assert headers_seen(login) == ["Bearer second"]
    for wrong in ("", "two words", "ö"):
        file.write_text(wrong)
        with pytest.raises(FileError, match=r"has no token|no ASCII"):
            headers_seen(login)


class Renewing:
    """A source whose tokens are numbered."""

    def __init__(self, last: int) -> None:
        self._number, self._last = 1, last

    def current(self) -> SecretStr:
        """Return the token."""
        return SecretStr(str(self._number))

    def renewed(self, refused: SecretStr) -> SecretStr | None:
        """Return the next, up to the last."""
        assert refused == self.current()
        if self._number == self._last:
            return None
        self._number += 1
        return self.current()


@pytest.mark.parametrize(
    ("last", "answers", "seen"),
    [
        (1, [401], ["Bearer 1"]),
        (2, [401], ["Bearer 1", "Bearer 2"]),
        (9, [401, 401, 401], ["Bearer 1", "Bearer 2"]),
        (9, [403], ["Bearer 1"]),
        (9, [503], ["Bearer 1"]),
    ],
)
def test_a_refused_token_is_renewed_once(last: int, answers: list[int], seen: list[str]) -> None:
    """After 401 a request is sent once more with the next token; after any other answer it is not."""
    assert headers_seen(RegistryLogin(token=Renewing(last)), *answers) == seen


@pytest.mark.parametrize("show", [repr, str, lambda login: str(vars(login))])
def test_a_login_does_not_show_itself(show: Callable[[RegistryLogin], str]) -> None:
    """Neither a login nor its model shows a secret."""
    given = {"MESHPORT_REGISTRY_TOKEN": "s3cret", "MESHPORT_REGISTRY_HEADER": "X-Key: s3cret"}
    assert "s3cret" not in show(registry_login("https://registry.example.com", given))
    kept = KeptLogin(registry="https://registry.example.com", token=SecretStr("s3cret"), refresh=SecretStr("s3cret"))
    assert "s3cret" not in repr(kept)
    assert "s3cret" not in str(kept.model_dump())
