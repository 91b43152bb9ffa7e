"""The logins of browsers at the OpenID provider, as rows of the database: every registry process knows them, a logout ends one.

The cookie is `<secret>.<key>`. The database has the SHA-256 of the secret (256 random bits), and the ID token encrypted by the
key (Fernet: AES-128-CBC with HMAC-SHA-256). So a reader of the database finds nothing that the registry takes.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from cryptography.fernet import Fernet, InvalidToken
from pydantic import SecretStr
from sqlalchemy import Connection, delete, insert, select

from meshport_registry import tables
from meshport_registry.identity.caller import Caller
from meshport_registry.identity.keys import hash_of
from meshport_registry.store import now_us

_SECRET_BYTES: Final = 32
_COOKIE: Final = re.compile(r"([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})")
# A longer one makes the URL of a logout too long for some servers (RFC 9110, section 4.1: 8000 octets).
_LONGEST_ID_TOKEN: Final = 6000


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A login that has not ended.

    Attributes:
        caller: who logged in, with the groups of that moment.
        id_token: of the provider, which a logout there names; None where it was too long to be kept.
    """

    caller: Caller
    id_token: SecretStr | None = field(repr=False)


def begin_session(
    connection: Connection, issuer: str, caller: Caller, id_token: SecretStr, *, lasts: timedelta
) -> SecretStr:
    """Keep a login, and forget those that have ended.

    Args:
        connection: the writing transaction.
        issuer: of the ID token.
        caller: whom it names.
        id_token: what the provider gave.
        lasts: how long the login counts.

    Returns:
        The content of the browser's cookie.
    """
    own, now = tables.browser_session, now_us()
    connection.execute(delete(own).where(own.c.ends_at <= now))
    secret, key = secrets.token_urlsafe(_SECRET_BYTES), Fernet.generate_key()
    text = id_token.get_secret_value()
    connection.execute(
        insert(own).values(
            hash=hash_of(secret),
            issuer=issuer,
            name=caller.name,
            groups=json.dumps(sorted(caller.groups)),
            id_token=Fernet(key).encrypt(text.encode()).decode() if len(text) <= _LONGEST_ID_TOKEN else None,
            created_at=now,
            ends_at=now + int(lasts / timedelta(microseconds=1)),
        )
    )
    return SecretStr(f"{secret}.{key.decode().rstrip('=')}")


def find_session(connection: Connection, issuer: str, cookie: str) -> BrowserSession | None:
    """Return the login of a cookie; None where there is none, where it has ended, or was made at another provider."""
    match = _COOKIE.fullmatch(cookie)
    if match is None:
        return None
    own = tables.browser_session
    row = connection.execute(select(own).where(own.c.hash == hash_of(match[1]))).one_or_none()
    if row is None or row.ends_at <= now_us() or row.issuer != issuer:
        return None
    caller = Caller(row.name, frozenset(json.loads(row.groups)), "token")
    return BrowserSession(caller, _decrypted(row.id_token, match[2]))


def end_session(connection: Connection, cookie: str) -> None:
    """Forget the login of a cookie, if there is one."""
    if (match := _COOKIE.fullmatch(cookie)) is not None:
        own = tables.browser_session
        connection.execute(delete(own).where(own.c.hash == hash_of(match[1])))


def _decrypted(encrypted: str | None, key: str) -> SecretStr | None:
    if encrypted is None:
        return None
    try:
        return SecretStr(Fernet(f"{key}=").decrypt(encrypted).decode())
    except (InvalidToken, ValueError):  # a cookie with another key than the one that it was given with
        return None
