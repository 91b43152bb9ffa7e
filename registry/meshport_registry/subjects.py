"""What the registry knows about subjects: their versions, levels and modes. Reads only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, and_, bindparam, false, func, select, true

from meshport.compat import HistoryReport, check_history
from meshport.compat import Version as Known
from meshport.product import Compatibility
from meshport_registry import tables
from meshport_registry.contracts import Candidate, Contract, contract_of, known_id, load, schemas_of
from meshport_registry.errors import (
    InvalidSubject,
    InvalidVersion,
    LevelNotConfigured,
    ModeNotConfigured,
    SchemaNotFound,
    SubjectNotFound,
    VersionNotFound,
)

# Confluent's registry starts with this level, and clients rely on it.
DEFAULT_LEVEL: Final = Compatibility.BACKWARD
LATEST: Final = -1
_LONGEST_SUBJECT: Final = 500
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")


# Statements of the hot paths are made once: SQLAlchemy takes longer to put one together than SQLite to run it.
_SUBJECT: Final = (
    select(tables.subject, tables.binding.c.guid)
    .outerjoin(tables.binding, tables.binding.c.subject_id == tables.subject.c.id)
    .where(tables.subject.c.name == bindparam("name"))
)
_HISTORY: Final = (
    select(
        tables.subject,
        tables.binding.c.guid,
        tables.version.c.version,
        tables.version.c.schema_id,
        tables.version.c.deleted,
        tables.schema.c.fingerprint,
    )
    .outerjoin(tables.binding, tables.binding.c.subject_id == tables.subject.c.id)
    .outerjoin(tables.version, tables.version.c.subject_id == tables.subject.c.id)
    .outerjoin(tables.schema, tables.schema.c.id == tables.version.c.schema_id)
    .where(tables.subject.c.name == bindparam("name"))
    .order_by(tables.version.c.version)
)
_SETTINGS: Final = select(tables.setting)


class Mode(StrEnum):
    """What a subject lets happen to it (Confluent's modes)."""

    READWRITE = "READWRITE"
    READONLY = "READONLY"
    READONLY_OVERRIDE = "READONLY_OVERRIDE"
    IMPORT = "IMPORT"


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject's row.

    Attributes:
        id: of the row.
        name: the subject.
        level: its own level, if it has one.
        mode: its own mode, if it has one.
        owner: the GUID of the data product whose contract it holds, if it belongs to one.
    """

    id: int
    name: str
    level: Compatibility | None
    mode: Mode | None
    owner: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a subject.

    Attributes:
        number: dense from 1 within the subject.
        schema_id: the schema that it names.
        fingerprint: of that schema.
        deleted: whether it is soft deleted.
    """

    number: int
    schema_id: int
    fingerprint: str
    deleted: bool


@dataclass(frozen=True, slots=True)
class History:
    """A subject as a change finds it.

    Attributes:
        name: the subject.
        subject: its row, if it has one.
        versions: oldest first, the soft-deleted ones among them.
    """

    name: str
    subject: Subject | None
    versions: tuple[Version, ...]

    @property
    def live(self) -> list[Version]:
        """The versions that are not deleted."""
        return [each for each in self.versions if not each.deleted]

    @property
    def next_number(self) -> int:
        """The number of the next version; that of a soft-deleted one is not given again."""
        return max((each.number for each in self.versions), default=0) + 1

    def of_schema(self, schema_id: int | None) -> Version | None:
        """The live version with this schema."""
        return next((each for each in self.live if each.schema_id == schema_id), None)


@dataclass(frozen=True, slots=True)
class Globals:
    """The registry-wide level and mode, None where nobody set them."""

    level: Compatibility | None
    mode: Mode | None


def subject_of(text: str) -> str:
    """A subject's name as a client wrote it.

    Raises:
        InvalidSubject: it is empty, unprintable, too long, or of a context other than the default one.
    """
    name = text.removeprefix(":.:")
    if not name or len(name) > _LONGEST_SUBJECT or _UNPRINTABLE.search(name):
        raise InvalidSubject(f"the subject {name[:40]!r} is empty, unprintable or longer than {_LONGEST_SUBJECT}")
    if name.startswith(":."):
        raise InvalidSubject(f"the subject {name!r} names a context", hint='this registry has the default context, "."')
    return name


def version_of(text: str) -> int:
    """A version number, or `LATEST` for `latest` and `-1`.

    Raises:
        InvalidVersion: neither.
    """
    if text in {"latest", "-1"}:
        return LATEST
    if not re.fullmatch(r"[1-9][0-9]{0,9}", text) or int(text) > 2**31 - 1:
        raise InvalidVersion(
            f"the specified version '{text}' is not a valid version id",
            hint='allowed values are between [1, 2^31-1] and the string "latest"',
        )
    return int(text)


def find_subject(connection: Connection, name: str) -> Subject | None:
    """A subject's row, whether it has versions or not."""
    row = connection.execute(_SUBJECT, {"name": name}).one_or_none()
    return None if row is None else _subject(row)


def find_history(connection: Connection, name: str) -> History:
    """A subject with every version, the soft-deleted ones among them."""
    rows = connection.execute(_HISTORY, {"name": name}).all()
    if not rows:
        return History(name, None, ())
    versions = tuple(
        Version(row.version, row.schema_id, row.fingerprint, row.deleted) for row in rows if row.version is not None
    )
    return History(name, _subject(rows[0]), versions)


def _subject(row: Row[Any]) -> Subject:
    level = Compatibility(row.level) if row.level else None
    return Subject(row.id, row.name, level, Mode(row.mode) if row.mode else None, row.guid)


def versions(connection: Connection, name: str, *, deleted: bool = False, deleted_only: bool = False) -> list[int]:
    """The version numbers of a subject.

    Raises:
        SubjectNotFound: it has none.
    """
    found = [
        each.number
        for each in find_history(connection, name).versions
        if (each.deleted if deleted_only else deleted or not each.deleted)
    ]
    if not found:
        raise subject_not_found(name)
    return found


def find_version(connection: Connection, name: str, number: int, *, deleted: bool = False) -> tuple[Version, Contract]:
    """One version of a subject.

    Args:
        connection: to the database.
        name: the subject.
        number: the version, or `LATEST`.
        deleted: whether a soft-deleted version counts.

    Raises:
        SubjectNotFound: the subject has no version.
        VersionNotFound: it has not this one.
    """
    every = [each for each in find_history(connection, name).versions if deleted or not each.deleted]
    if not every:
        raise subject_not_found(name)
    if number == LATEST:
        found = every[-1]
    else:
        found = next((each for each in every if each.number == number), every[-1])
        if found.number != number:
            raise VersionNotFound(f"version {number} not found")
    return found, load(connection, [found.schema_id])[found.schema_id]


def lookup(
    connection: Connection, name: str, candidate: Candidate, *, deleted: bool = False
) -> tuple[Version, Contract]:
    """The version under which a schema is registered.

    Raises:
        SubjectNotFound: the subject has no version.
        SchemaNotFound: it has none with this schema.
    """
    every = [each for each in find_history(connection, name).versions if deleted or not each.deleted]
    if not every:
        raise subject_not_found(name)
    known = known_id(connection, candidate)
    found = next((each for each in every if each.schema_id == known), None)
    if found is None:
        raise SchemaNotFound(f"the schema is not registered under subject '{name}'")
    return found, load(connection, [found.schema_id])[found.schema_id]


def list_subjects(
    connection: Connection, *, prefix: str = "", deleted: bool = False, deleted_only: bool = False
) -> list[str]:
    """Names of the subjects that have versions, in order."""
    wanted: Any = tables.version.c.deleted.is_(False)
    if deleted or deleted_only:
        wanted = true()
    query = select(tables.subject.c.name).join(tables.version).where(wanted).distinct()
    names = [name for (name,) in connection.execute(query) if name.startswith(prefix.removeprefix(":*:"))]
    if deleted_only:
        names = sorted(set(names) - set(list_subjects(connection)))
    return sorted(names)


def list_schemas(
    connection: Connection, *, prefix: str = "", deleted: bool = False, latest: bool = False, offset: int, limit: int
) -> list[tuple[str, Version, Contract]]:
    """Schemas with their subjects and versions, in order of both."""
    query = (
        select(tables.subject.c.name, tables.version.c.version, tables.version.c.deleted, tables.schema)
        .select_from(tables.version)
        .join(tables.subject)
        .join(tables.schema)
        .where(true() if deleted else tables.version.c.deleted.is_(False))
        .where(tables.subject.c.name.startswith(prefix.removeprefix(":*:"), autoescape=True))
        .order_by(tables.subject.c.name, tables.version.c.version)
    )
    if latest:
        newest = (
            select(tables.version.c.subject_id, func.max(tables.version.c.version).label("newest"))
            .where(true() if deleted else tables.version.c.deleted.is_(False))
            .group_by(tables.version.c.subject_id)
            .subquery()
        )
        query = query.join(
            newest,
            and_(newest.c.subject_id == tables.version.c.subject_id, newest.c.newest == tables.version.c.version),
        )
    return [
        (row.name, Version(row.version, row.id, row.fingerprint, row.deleted), contract_of(row))
        for row in connection.execute(paged(query, offset, limit))
    ]


def uses(connection: Connection, schema_id: int, *, subject: str = "", deleted: bool = False) -> list[tuple[str, int]]:
    """The (subject, version) pairs that name a schema.

    Raises:
        SchemaNotFound: no schema has this id.
    """
    if not load(connection, [schema_id]):
        raise SchemaNotFound(f"schema {schema_id} not found")
    rows = connection.execute(
        select(tables.subject.c.name, tables.version.c.version)
        .join(tables.version)
        .where(tables.version.c.schema_id == schema_id)
        .where(true() if deleted else tables.version.c.deleted.is_(False))
        .where(tables.subject.c.name == subject if subject else true())
        .order_by(tables.subject.c.name, tables.version.c.version)
    )
    return [(name, number) for name, number in rows]


def referenced_by(connection: Connection, name: str, numbers: Sequence[int]) -> list[int]:
    """Ids of the schemas, in versions that are not deleted, which refer to one of these versions."""
    rows = connection.execute(
        select(tables.reference.c.schema_id)
        .join(tables.version, tables.version.c.schema_id == tables.reference.c.schema_id)
        .where(
            tables.reference.c.subject == name,
            tables.reference.c.version.in_(numbers) if numbers else false(),
            tables.version.c.deleted.is_(False),
        )
        .distinct()
        .order_by(tables.reference.c.schema_id)
    )
    return [number for (number,) in rows]


def global_settings(connection: Connection) -> Globals:
    """The registry-wide level and mode."""
    found: dict[str, str] = {row.name: row.value for row in connection.execute(_SETTINGS)}
    level, mode = found.get("level"), found.get("mode")
    return Globals(Compatibility(level) if level else None, Mode(mode) if mode else None)


def level_of(subject: Subject | None, everywhere: Globals) -> Compatibility:
    """The level that a subject is held to."""
    return (subject.level if subject else None) or everywhere.level or DEFAULT_LEVEL


def mode_of(subject: Subject | None, everywhere: Globals) -> Mode:
    """The mode that a subject is in."""
    if everywhere.mode is Mode.READONLY_OVERRIDE:
        return everywhere.mode
    return (subject.mode if subject else None) or everywhere.mode or Mode.READWRITE


def configured_level(connection: Connection, name: str, *, or_global: bool) -> Compatibility:
    """The level set for a subject.

    Raises:
        LevelNotConfigured: none is set, and the global one was not asked for.
    """
    subject = find_subject(connection, name)
    if not or_global and (subject is None or subject.level is None):
        raise LevelNotConfigured(f"subject '{name}' does not have subject-level compatibility configured")
    return level_of(subject, global_settings(connection))


def configured_mode(connection: Connection, name: str, *, or_global: bool) -> Mode:
    """The mode set for a subject.

    Raises:
        ModeNotConfigured: none is set, and the global one was not asked for.
    """
    subject = find_subject(connection, name)
    if not or_global and (subject is None or subject.mode is None):
        raise ModeNotConfigured(f"subject '{name}' does not have subject-level mode configured")
    return mode_of(subject, global_settings(connection))


def compare(
    connection: Connection,
    candidate: Candidate,
    history: Sequence[Version],
    level: Compatibility,
) -> HistoryReport:
    """The verdict on a candidate against versions of a subject, oldest first."""
    if level is Compatibility.NONE or not history:
        return HistoryReport(level, (), ())
    if not level.endswith("_TRANSITIVE"):
        history = history[-1:]
    schemas = schemas_of(connection, [each.fingerprint for each in history])
    versions = [Known(each.number, schema) for each, schema in zip(history, schemas, strict=True)]
    return check_history(candidate.schema, versions, level)


def subject_not_found(name: str) -> SubjectNotFound:
    """The error for a subject without versions."""
    return SubjectNotFound(f"subject '{name}' not found")


def paged(query: Select[Any], offset: int, limit: int) -> Select[Any]:
    """A page of a query; Confluent's clients ask for `limit=-1` where they want everything."""
    query = query.offset(offset) if offset > 0 else query
    # SQLite takes no OFFSET without a LIMIT; SQLAlchemy writes `LIMIT -1` for it.
    return query if limit < 0 else query.limit(limit)
