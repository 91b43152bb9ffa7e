"""API keys in the database: making, rotating, revoking and listing them."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select, update

from meshport.api_keys import ApiKey, ApiKeyRequest, NewApiKey
from meshport_registry import tables
from meshport_registry.errors import Conflict, NotInMesh, RequestRefused
from meshport_registry.identity.caller import unfit_group, unfit_name
from meshport_registry.store import instant, now_us

DEFAULT_LIFE: Final = timedelta(days=365)
KEYS_REVISION: Final = "keys_revision"
"""The setting that counts the changes of keys, so that each process knows when to read them again."""
# Without characters that people confuse, and without `_`, which ends the id in a key's text.
_ID_CHARACTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_ID_LENGTH: Final = 12
_SECRET_BYTES: Final = 32


def hash_of(secret: str) -> str:
    """Return what is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(connection: Connection, wanted: ApiKeyRequest, *, by: str, today: date) -> NewApiKey:
    """Make a key.

    Args:
        connection: the writing transaction.
        wanted: whose key it is, and its last day.
        by: the name of the caller who makes it.
        today: the current day (UTC).

    Raises:
        RequestRefused: the name or a group is one that no key gives, or the last day is past.
    """
    findings = [found for found in (unfit_name(wanted.name), *map(unfit_group, wanted.groups)) if found]
    if wanted.until is not None and wanted.until < today:
        findings.append(f"{wanted.until} is past; today is {today} (UTC)")
    if findings:
        raise RequestRefused(f"the key cannot be made: {findings[0]}", findings=tuple(findings))
    last = wanted.until or today + DEFAULT_LIFE
    ends = datetime.combine(last, time(), UTC) + timedelta(days=1)
    return _make(connection, wanted.name, wanted.groups, ends=_microseconds(ends), by=by)


def rotate_key(connection: Connection, key_id: str, *, overlap: timedelta, by: str) -> NewApiKey:
    """Make a new key for the caller of a key, for as long as that one was made for, and let the old one end.

    Args:
        connection: the writing transaction.
        key_id: of the old key.
        overlap: how long the old key stays valid, if it does not end before.
        by: the name of the caller who rotates it.

    Raises:
        NotInMesh: there is no such key.
        Conflict: it is revoked.
    """
    row = _require(connection, key_id)
    if row.revoked_at is not None:
        raise Conflict(f"the key {key_id} is revoked", hint="make a new key: meshport registry key create")
    now, own = now_us(), tables.api_key
    made = _make(
        connection, row.name, tuple(json.loads(row.groups)), ends=now + row.ends_at - row.created_at, by=by
    )  # fmt: skip
    ends = min(row.ends_at, now + int(overlap / timedelta(microseconds=1)))
    connection.execute(update(own).where(own.c.id == key_id).values(ends_at=ends))
    return made


def revoke_key(connection: Connection, key_id: str) -> ApiKey:
    """Revoke a key for good. Revoking it again changes nothing.

    Raises:
        NotInMesh: there is no such key.
    """
    _require(connection, key_id)
    own = tables.api_key
    connection.execute(
        update(own).where(own.c.id == key_id, own.c.revoked_at.is_(None)).values(revoked_at=now_us())
    )  # fmt: skip
    count_change(connection)
    return _key(_require(connection, key_id))


def all_keys(connection: Connection) -> tuple[ApiKey, ...]:
    """Return every key that was ever made, newest first."""
    own = tables.api_key
    return tuple(map(_key, connection.execute(select(own).order_by(own.c.created_at.desc(), own.c.id))))


def any_key(connection: Connection) -> bool:
    """Whether a key was ever made, valid or not: a registry whose last key ended stays closed."""
    return connection.execute(select(tables.api_key.c.id).limit(1)).first() is not None


def keys_revision(connection: Connection) -> int:
    """Return the number of changes of keys so far."""
    own = tables.setting.c
    value = connection.execute(select(own.value).where(own.name == KEYS_REVISION)).scalar()
    return 0 if value is None else int(value)


def count_change(connection: Connection) -> None:
    """Count a change of keys."""
    own = tables.setting
    if (revision := keys_revision(connection)) == 0:
        connection.execute(insert(own).values(name=KEYS_REVISION, value="1"))
    else:
        connection.execute(update(own).where(own.c.name == KEYS_REVISION).values(value=str(revision + 1)))


def _make(connection: Connection, name: str, groups: tuple[str, ...], *, ends: int, by: str) -> NewApiKey:
    key_id = "".join(secrets.choice(_ID_CHARACTERS) for _ in range(_ID_LENGTH))
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    connection.execute(
        insert(tables.api_key).values(
            id=key_id,
            name=name,
            groups=json.dumps(sorted(set(groups))),
            hash=hash_of(secret),
            created_at=now_us(),
            created_by=by,
            ends_at=ends,
        )
    )
    count_change(connection)
    return NewApiKey(**_key(_require(connection, key_id)).model_dump(), secret=secret)


def _require(connection: Connection, key_id: str) -> Row[Any]:
    own = tables.api_key
    row = connection.execute(select(own).where(own.c.id == key_id)).one_or_none()
    if row is None:
        raise NotInMesh(f"there is no key {key_id!r}", hint="list them: meshport registry key list")
    return row


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        groups=tuple(json.loads(row.groups)),
        created_at=instant(row.created_at),
        created_by=row.created_by,
        ends_at=instant(row.ends_at),
        revoked_at=None if row.revoked_at is None else instant(row.revoked_at),
    )


def _microseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000
