"""How a client logs in to a registry, apart from the registry's URL."""

from __future__ import annotations

import netrc
import ssl
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from meshport.errors import FileError


@dataclass(frozen=True)
class RegistryLogin:
    """A login of one registry, and the certificates of its connection.

    Attributes:
        user: of HTTP basic authentication; for Confluent's cloud the API key.
        password: of the user.
        token: a bearer token, in place of the user.
        ca: the file of the authorities that the registry's certificate is checked by; None for the system's.
        certificate: the client's own, in PEM.
        key: of the client's certificate, where it is in another file.
    """

    user: str | None = None
    password: SecretStr | None = None
    token: SecretStr | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def basic(self) -> tuple[str, str] | None:
        """User and password of HTTP basic authentication, if there are some."""
        return (self.user, self.password.get_secret_value() if self.password else "") if self.user else None

    @property
    def headers(self) -> dict[str, str]:
        """The header of the token, if there is one."""
        return {"authorization": f"Bearer {self.token.get_secret_value()}"} if self.token else {}

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
