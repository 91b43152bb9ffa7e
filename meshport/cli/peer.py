"""The options of a command that reads another registry, and its login."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr

from meshport.errors import RegistryUnavailable
from meshport.registry import ConfluentSubjects
from meshport.registry.login import RegistryLogin, netrc_login

AUTH_VARIABLE: Final = "MESHPORT_PEER_AUTH"
TOKEN_VARIABLE: Final = "MESHPORT_PEER_TOKEN"  # noqa: S105 - the name of a variable

PeerNetrcOption = Annotated[
    Path | None,
    typer.Option(
        "--peer-netrc",
        metavar="FILE",
        envvar="MESHPORT_PEER_NETRC",
        help="The other registry's login, as a netrc file has it. Or MESHPORT_PEER_AUTH=user:password, or MESHPORT_PEER_TOKEN.",
    ),
]
PeerCaOption = Annotated[
    Path | None,
    typer.Option(
        "--peer-ca",
        metavar="FILE",
        envvar="MESHPORT_PEER_CA",
        help="The authorities of the other registry's certificate.",
    ),
]
PeerCertificateOption = Annotated[
    Path | None,
    typer.Option(
        "--peer-certificate",
        metavar="FILE",
        envvar="MESHPORT_PEER_CERTIFICATE",
        help="A client certificate for the other registry, in PEM.",
    ),
]
PeerKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--peer-key",
        metavar="FILE",
        envvar="MESHPORT_PEER_KEY",
        help="The key of that certificate, where it is in a file of its own.",
    ),
]


def peer_login(
    url: str,
    *,
    netrc: Path | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> RegistryLogin:
    """Return the login of another registry, from the options of a command and the environment. No secret is an option.

    Raises:
        BadParameter: there are two logins.
        FileError: the netrc file has none for the host.
    """
    auth, token = os.environ.get(AUTH_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    given = [name for name, value in ((AUTH_VARIABLE, auth), (TOKEN_VARIABLE, token), ("--peer-netrc", netrc)) if value]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} are two logins; give one")
    user: str | None = None
    password: SecretStr | None = None
    if netrc is not None:
        user, password = netrc_login(netrc, urlsplit(url).hostname or "")
    elif auth:
        user, colon, secret = auth.partition(":")
        if not colon:
            raise typer.BadParameter(f"{AUTH_VARIABLE} has no colon; write user:password")
        password = SecretStr(secret)
    return RegistryLogin(user, password, SecretStr(token) if token else None, ca, certificate, key)


def open_peer(url: str, login: RegistryLogin) -> ConfluentSubjects:
    """Return a client of another registry.

    Raises:
        RegistryUnavailable: the URL is none.
        FileError: a certificate cannot be read.
    """
    if "://" not in url:
        raise RegistryUnavailable(
            f"{url!r} is no URL of a registry", url=url, hint="http://host:port/path, as Confluent's clients take it"
        )
    return ConfluentSubjects.at(url, login)
