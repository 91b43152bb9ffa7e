"""Compatibility levels and modes, of one subject and of the whole registry.

`set_level` and `set_mode` run in the writing transaction; everything else only reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from meshport.product import Compatibility
from meshport_registry import tables
from meshport_registry.errors import InvalidMode, LevelNotConfigured, ModeNotConfigured, NotPermitted
from meshport_registry.subjects import Mode, Subject, find_subject, subject_not_found

# Confluent's registry starts with this level, and clients rely on it.
_DEFAULT_LEVEL: Final = Compatibility.BACKWARD
_SETTINGS: Final = select(tables.setting)
_INSERT_SUBJECT: Final = insert(tables.subject).returning(tables.subject.c.id)


@dataclass(frozen=True, slots=True)
class GlobalSettings:
    """The level and the mode of the whole registry, each None if it was never set."""

    level: Compatibility | None
    mode: Mode | None


def global_settings(connection: Connection) -> GlobalSettings:
    """Return the level and the mode of the whole registry."""
    found: dict[str, str] = {row.name: row.value for row in connection.execute(_SETTINGS)}
    level, mode = found.get("level"), found.get("mode")
    return GlobalSettings(Compatibility(level) if level else None, Mode(mode) if mode else None)


def effective_level(subject: Subject | None, defaults: GlobalSettings) -> Compatibility:
    """Return the level that the versions of a subject are checked at."""
    return (subject.level if subject else None) or defaults.level or _DEFAULT_LEVEL


def effective_mode(subject: Subject | None, defaults: GlobalSettings) -> Mode:
    """Return the mode that a subject is in. READONLY_OVERRIDE of the registry wins over the subject's own mode."""
    if defaults.mode is Mode.READONLY_OVERRIDE:
        return defaults.mode
    return (subject.mode if subject else None) or defaults.mode or Mode.READWRITE


def configured_level(connection: Connection, name: str, *, or_global: bool) -> Compatibility:
    """Return the level that is set for a subject.

    Args:
        connection: to the database.
        name: the subject.
        or_global: return the registry's level if the subject has none of its own.

    Raises:
        LevelNotConfigured: the subject has no level of its own, and `or_global` is false.
    """
    subject = find_subject(connection, name)
    if not or_global and (subject is None or subject.level is None):
        raise LevelNotConfigured(f"subject '{name}' does not have subject-level compatibility configured")
    return effective_level(subject, global_settings(connection))


def configured_mode(connection: Connection, name: str, *, or_global: bool) -> Mode:
    """Return the mode that is set for a subject.

    Args:
        connection: to the database.
        name: the subject.
        or_global: return the registry's mode if the subject has none of its own.

    Raises:
        ModeNotConfigured: the subject has no mode of its own, and `or_global` is false.
    """
    subject = find_subject(connection, name)
    if not or_global and (subject is None or subject.mode is None):
        raise ModeNotConfigured(f"subject '{name}' does not have subject-level mode configured")
    return effective_mode(subject, global_settings(connection))


def set_level(connection: Connection, name: str | None, level: Compatibility | None) -> Compatibility:
    """Set or remove a compatibility level.

    Args:
        connection: the writing transaction.
        name: the subject; None for the whole registry.
        level: the level; None removes it.

    Returns:
        The level that was in force before.

    Raises:
        NotPermitted: the subject belongs to a data product, whose descriptor sets the level.
        SubjectNotFound: there is no level to remove.
    """
    defaults = global_settings(connection)
    if name is None:
        _set_global(connection, "level", level)
        return effective_level(None, defaults)
    subject = _configurable(connection, name, "compatibility")
    if level is None and (subject is None or subject.level is None):
        raise subject_not_found(name)
    subject_id = subject.id if subject else insert_subject(connection, name)
    connection.execute(update(tables.subject).where(tables.subject.c.id == subject_id).values(level=level))
    return effective_level(subject, defaults)


def set_mode(connection: Connection, name: str | None, mode: Mode | None, *, force: bool = False) -> Mode:
    """Set or remove a mode.

    Args:
        connection: the writing transaction.
        name: the subject; None for the whole registry.
        mode: the mode; None removes it.
        force: allow IMPORT although there are schemas.

    Returns:
        The mode that was in force before.

    Raises:
        InvalidMode: READONLY_OVERRIDE was asked for one subject.
        NotPermitted: IMPORT while there are schemas, without `force`; or the subject belongs to a data product.
        SubjectNotFound: there is no mode to remove.
    """
    defaults = global_settings(connection)
    subject = _configurable(connection, name, "mode") if name is not None else None
    if mode is Mode.IMPORT and not force:
        rows = select(func.count()).select_from(tables.version)
        if name is not None:
            rows = rows.where(tables.version.c.subject_id == (subject.id if subject else None))
        if connection.execute(rows).scalar():
            raise NotPermitted(f"{name or 'the registry'} holds schemas already", hint="import with force=true")
    if name is None:
        _set_global(connection, "mode", mode)
        return effective_mode(None, defaults)
    if mode is Mode.READONLY_OVERRIDE:
        raise InvalidMode("READONLY_OVERRIDE holds for the whole registry", hint="READONLY for one subject")
    if mode is None and (subject is None or subject.mode is None):
        raise subject_not_found(name)
    subject_id = subject.id if subject else insert_subject(connection, name)
    connection.execute(update(tables.subject).where(tables.subject.c.id == subject_id).values(mode=mode))
    return effective_mode(subject, defaults)


def refuse_read_only(name: str, mode: Mode) -> None:
    """Refuse a change of a subject that is in read-only mode.

    Raises:
        NotPermitted: the mode is READONLY or READONLY_OVERRIDE.
    """
    if mode in {Mode.READONLY, Mode.READONLY_OVERRIDE}:
        raise NotPermitted(f"subject '{name}' is in read-only mode")


def insert_subject(connection: Connection, name: str) -> int:
    """Insert a subject's row and return its id. Confluent's API shows the subject once it has a version."""
    return int(connection.execute(_INSERT_SUBJECT, {"name": name}).scalar_one())


def _configurable(connection: Connection, name: str, setting: str) -> Subject | None:
    subject = find_subject(connection, name)
    if subject is not None and subject.owner is not None:
        raise NotPermitted(
            f"subject '{name}' takes its {setting} from the data product {subject.owner}",
            hint="change the product's descriptor, then run `meshport apply`",
        )
    return subject


def _set_global(connection: Connection, name: str, value: str | None) -> None:
    connection.execute(delete(tables.setting).where(tables.setting.c.name == name))
    if value is not None:
        connection.execute(insert(tables.setting).values(name=name, value=value))
