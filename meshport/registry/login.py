"""How a client logs in to a registry, apart from the registry's URL."""

from __future__ import annotations

import netrc
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import SecretStr

from meshport.errors import FileError

TOKEN_VARIABLE: Final = "MESHPORT_REGISTRY_TOKEN"  # noqa: S105 - the name of a variable
"""The variable with the API key or the token that a process shows to its registry."""
CA_VARIABLE: Final = "MESHPORT_REGISTRY_CA"
"""The variable with the file of the authorities of the registry's certificate."""
CERTIFICATE_VARIABLE: Final = "MESHPORT_REGISTRY_CERTIFICATE"
"""The variable with the file of a client certificate for the registry, PEM."""
KEY_VARIABLE: Final = "MESHPORT_REGISTRY_KEY"
"""The variable with the file of the key of that certificate, where it is in a file of its own."""


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


def environment_login(environment: Mapping[str, str]) -> RegistryLogin:
    """Return the login that a process has for its registry, from `TOKEN_VARIABLE` and the variables beside it.

    Args:
        environment: of the process.
    """
    token, ca, certificate, key = (
        environment.get(name) for name in (TOKEN_VARIABLE, CA_VARIABLE, CERTIFICATE_VARIABLE, KEY_VARIABLE)
    )
    return RegistryLogin(
        token=SecretStr(token) if token else None,
        ca=Path(ca) if ca else None,
        certificate=Path(certificate) if certificate else None,
        key=Path(key) if key else None,
    )


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
