"""Settings of a registry process. The caller passes all of them; none is read from the environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from meshport.safe_url import is_loopback, is_safe_url
from meshport_registry.connections import ConnectionLimits

DEFAULT_DATABASE: Final = "sqlite:///meshport-registry.db"


class BrowserLogin(BaseModel):
    """How people log in to the catalog at the OpenID provider.

    Attributes:
        client_id: what the provider knows the registry by.
        client_secret: of that client; None for a public one.
        scope: what the provider is asked for, separated by spaces.
        hours: after how many hours a login ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = Field(default=None, min_length=1)
    scope: str = "openid"
    hours: int = Field(default=8, ge=1, le=168)

    @field_validator("scope")
    @classmethod
    def _of_openid(cls, scope: str) -> str:
        if "openid" not in scope.split():
            raise ValueError(f"the scope {scope!r} has no `openid`, without which a provider gives no ID token")
        return " ".join(scope.split())


class OidcSettings(BaseModel):
    """The OpenID provider whose tokens the registry takes.

    Attributes:
        issuer: its URL, exactly as the claim `iss` of its tokens has it; HTTPS, or HTTP on this machine.
        audience: what the claim `aud` of a token must contain.
        groups_claim: the claim with the groups of a caller; a path with dots goes into objects, as `realm_access.roles`.
        name_claim: the claim with the name of a caller. `sub` is the one that no provider lets a user change.
        browser: how people log in to the catalog there; None where they show a key or a token of their own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    audience: str = Field(min_length=1)
    groups_claim: str = Field(default="groups", min_length=1)
    name_claim: str = Field(default="sub", min_length=1)
    browser: BrowserLogin | None = None

    @field_validator("issuer")
    @classmethod
    def _reachable_safely(cls, issuer: str) -> str:
        if not is_safe_url(issuer):
            raise ValueError(f"the issuer {issuer!r} is no URL of HTTPS, nor one of HTTP on this machine")
        return issuer


class TlsSettings(BaseModel):
    """The files of HTTPS, all PEM.

    Attributes:
        certificate: the certificate of the registry, followed by those between it and its authority.
        key: its private key, not encrypted.
        client_ca: the authorities whose client certificates name callers; None asks for no client certificate.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path
    key: Path
    client_ca: Path | None = None


class Settings(BaseModel):
    """Settings of one registry process.

    Attributes:
        database: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host/name`; a secret,
            because it may contain a password.
        host: the interface to listen on.
        port: the port to listen on; 0 takes a free one.
        bootstrap_servers: the Kafka cluster of every binding that names none of its own.
        public_url: the URL at which clients reach the registry, if it is not `http://host:port`: without a path. Browsers come
            back to it from the OpenID provider.
        longest_queue: the number of writes that may wait; a further write gets the response 503.
        connections: what one connection may send and how slowly, and how many there may be.
        tls: the certificate of HTTPS; None for HTTP.
        oidc: the OpenID provider whose tokens name callers; None for no tokens.
        allow_anonymous: lets callers that show nothing come in, from other machines too. Where identities are configured,
            policies decide what such a caller may do.
        metrics: `PORT` or `HOST:PORT` at which metrics and readiness are served; None serves none.
    """

    # hide_input_in_errors: pydantic's errors would quote the URL with its password.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    database: SecretStr = SecretStr(DEFAULT_DATABASE)
    host: str = "127.0.0.1"
    port: int = Field(default=8081, ge=0, le=65535)
    bootstrap_servers: str | None = None
    public_url: str | None = None
    longest_queue: int = Field(default=1000, ge=1)
    connections: ConnectionLimits = ConnectionLimits()
    tls: TlsSettings | None = None
    oidc: OidcSettings | None = None
    allow_anonymous: bool = False
    metrics: str | None = None

    @field_validator("database")
    @classmethod
    def _known_database(cls, database: SecretStr) -> SecretStr:
        database_url(database)
        return database

    @field_validator("public_url")
    @classmethod
    def _of_a_host(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if (
            parts.scheme not in {"http", "https"}
            or not parts.hostname
            or parts.path.strip("/")
            or set("?#@") & set(url)
        ):
            raise ValueError(f"{url!r} is no URL of a host alone, such as https://mesh.example.com")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _browsers_come_back(self) -> Self:
        if self.oidc is None or self.oidc.browser is None:
            return self
        if self.public_url is None and not (self.listens_here_only and self.port):
            raise ValueError("a login at the provider needs the public URL, to which browsers come back from it")
        if not is_safe_url(self.url):
            raise ValueError(f"logins need HTTPS, and browsers reach the registry at {self.url}")
        return self

    @property
    def url(self) -> str:
        """The URL at which clients reach the registry."""
        return self.public_url or f"{self.scheme}://{self.host}:{self.port}"

    @property
    def scheme(self) -> str:
        """`https` or `http`."""
        return "https" if self.tls else "http"

    @property
    def listens_here_only(self) -> bool:
        """Whether only this machine can reach the registry."""
        return is_loopback(self.host)


def database_url(database: SecretStr | str) -> URL:
    """Return the SQLAlchemy URL of a database, with the driver that this service uses.

    A password among the parameters (`?password=`, as libpq takes it) becomes the password of the URL, because
    SQLAlchemy hides no other.

    Raises:
        ValueError: the database is neither SQLite in a file nor PostgreSQL. The message contains no password.
    """
    text = database.get_secret_value() if isinstance(database, SecretStr) else database
    shape = "write sqlite:///file.db or postgresql://user:password@host/name"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        # `from None`: the error of SQLAlchemy, or of int() for a port, quotes the text.
        shown = repr(_without_password(text)) if "://" in text else "a text without ://"
        raise ValueError(f"{shown} is no database URL; {shape}") from None
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return url.set(drivername="sqlite+pysqlite")
        case "sqlite":
            raise ValueError(f"a registry in memory forgets every id that Kafka still holds; {shape}")
        case "postgresql":
            password = url.query.get("password", url.password)
            return url.set(
                drivername="postgresql+psycopg",
                password=password if isinstance(password, str) else password[-1] if password else None,
                query={name: value for name, value in url.query.items() if name != "password"},
            )
        case other:
            raise ValueError(f"{other!r} is no database of this registry; {shape}")


def _without_password(text: str) -> str:
    """Replace what follows the first colon after the scheme, up to the last `@` if there is one, and the parameters."""
    return re.sub(r"(?s)\?.*", "?***", re.sub(r"(?s):(?!//)(?:.*(@)|.*)", r":***\1", text, count=1))
