"""Compatibility levels and modes, of one subject and of a whole context.

A subject without its own takes those of the default context, and that takes those of the global context
(`InMemoryCache.mode` and `config` of Confluent's registry).

`set_level` and `set_mode` run in the writing transaction; everything else only reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

from meshport.product import Compatibility
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import LevelNotConfigured, ModeNotConfigured, NotPermitted
from meshport_registry.subject_names import DEFAULT_CONTEXT, GLOBAL_CONTEXT
from meshport_registry.subjects import Mode, Subject, find_subject

# Confluent's registry starts with this level, and clients rely on it.
_DEFAULT_LEVEL: Final = Compatibility.BACKWARD
_SETTINGS: Final = select(tables.setting)
_INSERT_SUBJECT: Final = insert(tables.subject).returning(tables.subject.c.id)


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What is set for a whole context: the default one, or the global one, which applies after it. None if it was never set.

    Attributes:
        level: the compatibility level of the default context.
        mode: the mode of the default context.
        global_level: the level of the global context.
        global_mode: the mode of the global context.
    """

    level: Compatibility | None
    mode: Mode | None
    global_level: Compatibility | None
    global_mode: Mode | None


def registry_settings(connection: Connection) -> RegistrySettings:
    """Return the level and the mode of each context."""
    found: dict[str, str] = {row.name: row.value for row in connection.execute(_SETTINGS)}
    levels = [Compatibility(value) if (value := found.get(name)) else None for name in ("level", "global-level")]
    modes = [Mode(value) if (value := found.get(name)) else None for name in ("mode", "global-mode")]
    return RegistrySettings(levels[0], modes[0], levels[1], modes[1])


def effective_level(subject: Subject | None, settings: RegistrySettings) -> Compatibility:
    """Return the level that the versions of a subject are checked at."""
    return (subject.level if subject else None) or settings.level or settings.global_level or _DEFAULT_LEVEL


def effective_mode(subject: Subject | None, settings: RegistrySettings) -> Mode:
    """Return the mode that a subject is in. READONLY_OVERRIDE of a context wins over the subject's own mode."""
    if Mode.READONLY_OVERRIDE in {settings.mode, settings.global_mode}:
        return Mode.READONLY_OVERRIDE
    return (subject.mode if subject else None) or settings.mode or settings.global_mode or Mode.READWRITE


def configured_level(connection: Connection, name: str | None, *, or_global: bool) -> Compatibility:
    """Return the level that is set for a subject or a context.

    Args:
        connection: to the database.
        name: the subject; None for the default context; `GLOBAL_CONTEXT`.
        or_global: return the level in force if none is set.

    Raises:
        LevelNotConfigured: the subject has no level of its own, and `or_global` is false.
    """
    settings = registry_settings(connection)
    if name is None:
        return effective_level(None, settings) if or_global else settings.level or _DEFAULT_LEVEL
    if name == GLOBAL_CONTEXT:
        return settings.global_level or _DEFAULT_LEVEL
    subject = find_subject(connection, name)
    if not or_global and (subject is None or subject.level is None):
        raise LevelNotConfigured(f"Subject '{name[:200]}' does not have subject-level compatibility configured")
    return effective_level(subject, settings)


def configured_mode(connection: Connection, name: str | None, *, or_global: bool) -> Mode:
    """Return the mode that is set for a subject or a context.

    Args:
        connection: to the database.
        name: the subject; None for the default context; `GLOBAL_CONTEXT`.
        or_global: return the mode in force if none is set.

    Raises:
        ModeNotConfigured: the subject has no mode of its own, and `or_global` is false.
    """
    settings = registry_settings(connection)
    if name is None:
        return effective_mode(None, settings) if or_global else settings.mode or Mode.READWRITE
    if name == GLOBAL_CONTEXT:
        return settings.global_mode or Mode.READWRITE
    subject = find_subject(connection, name)
    if or_global:
        return effective_mode(subject, settings)
    if subject is None or subject.mode is None:
        raise ModeNotConfigured(f"Subject '{name[:200]}' does not have subject-level mode configured")
    return subject.mode


def set_level(connection: Connection, name: str | None, level: Compatibility | None) -> None:
    """Set or remove a compatibility level.

    Args:
        connection: the writing transaction.
        name: the subject; None for the default context; `GLOBAL_CONTEXT`.
        level: the level; None removes it.

    Raises:
        NotPermitted: the mode is read-only, or the subject belongs to a data product, whose descriptor sets the level.
    """
    settings = registry_settings(connection)
    if name is None or name == GLOBAL_CONTEXT:
        refuse_read_only(name or DEFAULT_CONTEXT, configured_mode(connection, name, or_global=True))
        _set_global(connection, "level" if name is None else "global-level", level)
        _record(connection, MeshChangeKind.LEVEL_CHANGED, None, "compatibility level", level)
        return
    subject = _configurable(connection, name, "compatibility")
    refuse_read_only(name, effective_mode(subject, settings))
    _set_own(connection, name, subject, level=level)
    _record(connection, MeshChangeKind.LEVEL_CHANGED, name, "compatibility level", level)


def set_mode(connection: Connection, name: str | None, mode: Mode | None) -> None:
    """Set or remove a mode. A read-only mode does not forbid it, because nothing else could end that mode.

    Args:
        connection: the writing transaction.
        name: the subject; None for the default context; `GLOBAL_CONTEXT`.
        mode: the mode; None removes it.

    Raises:
        NotPermitted: the subject belongs to a data product.
    """
    if name is None or name == GLOBAL_CONTEXT:
        _set_global(connection, "mode" if name is None else "global-mode", mode)
    else:
        _set_own(connection, name, _configurable(connection, name, "mode"), mode=mode)
    of = None if name == GLOBAL_CONTEXT else name
    _record(connection, MeshChangeKind.MODE_CHANGED, of, "mode", mode)


def take_settings(connection: Connection, name: str | None, level: Compatibility | None, mode: Mode | None) -> None:
    """Set or remove level and mode as another registry has them; no mode forbids it.

    Args:
        connection: the writing transaction.
        name: a subject that belongs to no data product; None for the default context.
        level: the level; None removes it.
        mode: the mode; None removes it.
    """
    if name is None:
        _set_global(connection, "level", level)
        _set_global(connection, "mode", mode)
    else:
        _set_own(connection, name, find_subject(connection, name), level=level, mode=mode)


def remove_every_mode(connection: Connection) -> None:
    """Remove the mode of the default context, and that of each of its subjects that belongs to no data product."""
    owned = select(tables.binding.c.subject_id)
    connection.execute(update(tables.subject).where(tables.subject.c.id.not_in(owned)).values(mode=None))
    _set_global(connection, "mode", None)
    _record(connection, MeshChangeKind.MODE_CHANGED, None, "mode", None)


def _record(connection: Connection, kind: MeshChangeKind, name: str | None, what: str, value: str | None) -> None:
    of = "every subject that has none of its own" if name is None else f"subject {name}"
    summary = f"the {what} of {of} is removed" if value is None else f"the {what} of {of} is {value}"
    record(connection, MeshChange.of_subject(kind, name, summary))


def refuse_read_only(name: str, mode: Mode) -> None:
    """Refuse a change of a subject that is in read-only mode.

    Raises:
        NotPermitted: the mode is READONLY or READONLY_OVERRIDE.
    """
    if mode in {Mode.READONLY, Mode.READONLY_OVERRIDE}:
        raise NotPermitted(f"Subject {name} in context . is in read-only mode")


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


def _set_own(connection: Connection, name: str, subject: Subject | None, **setting: str | None) -> None:
    if subject is None and not any(setting.values()):
        return  # there is nothing to remove
    subject_id = subject.id if subject else insert_subject(connection, name)
    connection.execute(update(tables.subject).where(tables.subject.c.id == subject_id).values(**setting))


def _set_global(connection: Connection, name: str, value: str | None) -> None:
    connection.execute(delete(tables.setting).where(tables.setting.c.name == name))
    if value is not None:
        connection.execute(insert(tables.setting).values(name=name, value=value))
