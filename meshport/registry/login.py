"""How a client logs in to a registry, apart from the registry's URL.

`registry_login` finds the login of this process: of the environment, else the one that `meshport login` kept.

| variable | is |
|---|---|
| `MESHPORT_REGISTRY_TOKEN` | an API key, or a token of the registry's OpenID provider |
| `MESHPORT_REGISTRY_CA` | the file of the authorities that the registry's certificate is checked by |
| `MESHPORT_REGISTRY_CERTIFICATE`, `MESHPORT_REGISTRY_KEY` | the files of the client's own certificate and of its key |
| `MESHPORT_REGISTRY_HEADER` | a further header, `Name: value`, as a gateway before the registry asks for |
"""

from __future__ import annotations

import netrc
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from meshport.errors import FileError, LoginRefused
from meshport.registry.kept_logins import KeptLogin, KeptLogins, OpenIdSession
from meshport.safe_url import is_safe_url

TOKEN_VARIABLE: Final = "MESHPORT_REGISTRY_TOKEN"  # noqa: S105 - the name of a variable
CA_VARIABLE: Final = "MESHPORT_REGISTRY_CA"
CERTIFICATE_VARIABLE: Final = "MESHPORT_REGISTRY_CERTIFICATE"
KEY_VARIABLE: Final = "MESHPORT_REGISTRY_KEY"
HEADER_VARIABLE: Final = "MESHPORT_REGISTRY_HEADER"
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e][\x20-\x7e]*)")  # RFC 9110, 5.1 and 5.5


class TokenSource(Protocol):
    """Has the bearer token of a login, which changes."""

    def current(self) -> SecretStr:
        """Return the token."""

    def renewed(self, refused: SecretStr) -> SecretStr | None:
        """Return another token than one that the registry refused, or None where there is none."""


class TokenFile:
    """The token in a file, read each time: the issuer of the token replaces it before it ends.

    Args:
        file: has the token and nothing else.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def current(self) -> SecretStr:
        """Return the token.

        Raises:
            FileError: the file cannot be read, or has no token.
        """
        try:
            text = self._file.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no ASCII"
            raise FileError(f"the token in {self._file} cannot be read: {why}", file=str(self._file)) from None
        if not text or not text.isprintable() or " " in text:
            raise FileError(f"{self._file} has no token", file=str(self._file), hint="the token and nothing else")
        return SecretStr(text)

    def renewed(self, refused: SecretStr) -> SecretStr | None:
        """Return the token that has replaced the refused one meanwhile, or None."""
        token = self.current()
        return None if token == refused else token


@dataclass(frozen=True)
class RegistryLogin:
    """A login of one registry, and the certificates of its connection.

    Attributes:
        user: of HTTP basic authentication; for Confluent's cloud the API key.
        password: of the user.
        token: a bearer token, in place of the user, or where it comes from.
        header: a further header, its name and its value.
        ca: the file of the authorities that the registry's certificate is checked by; None for the system's.
        certificate: the client's own, in PEM.
        key: of the client's certificate, where it is in another file.
    """

    user: str | None = None
    password: SecretStr | None = None
    token: SecretStr | TokenSource | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    header: tuple[str, SecretStr] | None = None

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password of HTTP basic authentication, if there are some."""
        return (self.user, self.password.get_secret_value() if self.password else "") if self.user else None

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request, besides that of the user or the token."""
        return {self.header[0]: self.header[1].get_secret_value()} if self.header else {}

    @property
    def has_files(self) -> bool:
        """Whether a connection has other certificates than the system's."""
        return self.ca is not None or self.certificate is not None

    def tls(self) -> ssl.SSLContext:
        """Return the settings of a TLS connection with these certificates.

        Raises:
            FileError: a certificate or a key cannot be read.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            files = ", ".join(str(each) for each in (self.ca, self.certificate, self.key) if each)
            raise FileError(
                f"the certificates in {files} cannot be used: {error.strerror or error}", hint="files in PEM"
            ) from None
        return context


def registry_login(
    url: str,
    environment: Mapping[str, str] | None = None,
    *,
    token: SecretStr | TokenSource | None = None,
) -> RegistryLogin:
    """Return the login of this process at a registry. A user and a password in the URL take the place of any token.

    Args:
        url: of the registry, as `meshport.registry.requests.registry_url` returns it, or with a user.
        environment: the variables; those of this process by default.
        token: in place of the environment's and of the one that is kept.

    Raises:
        LoginRefused: a token or header would go to the registry by HTTP, and the registry is not on this machine.
        FileError: the kept login cannot be read.
    """
    variables = os.environ if environment is None else environment

    def file(name: str) -> Path | None:
        return Path(variables[name]) if variables.get(name) else None

    if token is None and "@" not in urlsplit(url).netloc:
        text = variables.get(TOKEN_VARIABLE, "").strip()
        token = SecretStr(text) if text else _kept(KeptLogins(), url)
    header = _header(variables.get(HEADER_VARIABLE, "").strip())
    if token is not None or header is not None:
        safe_to_log_in(url)
    return RegistryLogin(
        token=token,
        ca=file(CA_VARIABLE),
        certificate=file(CERTIFICATE_VARIABLE),
        key=file(KEY_VARIABLE),
        header=header,
    )


def safe_to_log_in(url: str) -> None:
    """Raise LoginRefused if a login would go to a registry by HTTP, and the registry is not on this machine."""
    if not is_safe_url(url):
        shown = url.rpartition("@")[2]
        raise LoginRefused(
            f"the login of {shown} would be readable on the network",
            url=shown,
            hint="https://, or http:// for a registry on this machine",
        )


def kept_token(logins: KeptLogins, login: KeptLogin) -> SecretStr | TokenSource | None:
    """Return the token of a kept login, or where it comes from."""
    if login.token_file is not None:
        return TokenFile(login.token_file)
    return login.token if login.client is None else OpenIdSession(logins, login)


def _kept(logins: KeptLogins, url: str) -> SecretStr | TokenSource | None:
    login = logins.find(url)
    return None if login is None else kept_token(logins, login)


def _header(text: str) -> tuple[str, SecretStr] | None:
    if not text:
        return None
    match = _HEADER.fullmatch(text)
    if match is None:
        raise LoginRefused(f"{HEADER_VARIABLE} is no header", hint="Name: value")
    return match[1], SecretStr(match[2])


def netrc_login(file: Path, host: str) -> tuple[str, SecretStr]:
    """Return user and password of a host from a file as curl's `--netrc-file` takes it.

    Raises:
        FileError: the file cannot be read, or has none for the host. The message has no part of the file.
    """
    try:
        found = netrc.netrc(str(file)).authenticators(host)
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror}", file=str(file)) from error
    except netrc.NetrcParseError as error:
        raise FileError(f"{file} is no netrc file: line {error.lineno}", file=str(file)) from None
    if found is None:
        raise FileError(
            f"{file} has no login for {host}", file=str(file), hint=f"machine {host} login USER password PASSWORD"
        )
    return found[0], SecretStr(found[2] or "")
