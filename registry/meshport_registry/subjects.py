"""Subjects, their versions, and the queries over them. This module only reads.

The statements of the hot paths are module constants, because SQLAlchemy takes longer to build one than SQLite takes to
run it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, bindparam, exists, false, func, select, true

from meshport.compat import Version
from meshport.compat.judgement import HistoryJudgement
from meshport.product import Compatibility
from meshport_registry import tables
from meshport_registry.errors import (
    SchemaNotFound,
    SubjectNotFound,
    VersionNotFound,
)
from meshport_registry.schemas import CandidateSchema, StoredSchema, load, parsed_schemas, registered_id
from meshport_registry.subject_names import LATEST

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
        tables.schema.c.references,
    )
    .outerjoin(tables.binding, tables.binding.c.subject_id == tables.subject.c.id)
    .outerjoin(tables.version, tables.version.c.subject_id == tables.subject.c.id)
    .outerjoin(tables.schema, tables.schema.c.id == tables.version.c.schema_id)
    .where(tables.subject.c.name == bindparam("name"))
    .order_by(tables.version.c.version)
)


class Mode(StrEnum):
    """Which changes a subject accepts (Confluent's modes)."""

    READWRITE = "READWRITE"
    READONLY = "READONLY"
    READONLY_OVERRIDE = "READONLY_OVERRIDE"
    IMPORT = "IMPORT"


@dataclass(frozen=True, slots=True)
class Subject:
    """A row of the table of subjects.

    Attributes:
        id: the row's id.
        name: the subject's name.
        level: the subject's own compatibility level, or None if it has none.
        mode: the subject's own mode, or None if it has none.
        owner: the GUID of the data product that the subject belongs to, or None.
    """

    id: int
    name: str
    level: Compatibility | None
    mode: Mode | None
    owner: str | None


@dataclass(frozen=True, slots=True)
class SubjectVersion:
    """One version of a subject.

    Attributes:
        number: the version number, dense from 1 within the subject.
        schema_id: the id of the version's schema.
        fingerprint: the fingerprint of the version's schema.
        deleted: whether the version is soft deleted.
        references: the references of the version's schema, as they are stored; None where it has none, or were not read.
    """

    number: int
    schema_id: int
    fingerprint: str
    deleted: bool
    references: str | None = None


@dataclass(frozen=True, slots=True)
class SubjectHistory:
    """A subject with all of its versions, as a change finds it.

    Attributes:
        name: the subject's name.
        subject: the subject's row, or None if it has no row yet.
        versions: every version, oldest first, soft-deleted ones included.
    """

    name: str
    subject: Subject | None
    versions: tuple[SubjectVersion, ...]

    @property
    def live(self) -> list[SubjectVersion]:
        """The versions that are not soft deleted, oldest first."""
        return [each for each in self.versions if not each.deleted]

    @property
    def next_number(self) -> int:
        """The number of the next version. The number of a soft-deleted version is not reused."""
        return max((each.number for each in self.versions), default=0) + 1

    def find(self, number: int, *, deleted: bool = False) -> SubjectVersion | None:
        """Return a version by its number, or None; `LATEST` is the newest that is not soft deleted."""
        if number == LATEST:
            return self.live[-1] if self.live else None
        return next((each for each in self.versions if each.number == number and (deleted or not each.deleted)), None)

    def of_schema(self, schema_id: int | None) -> SubjectVersion | None:
        """Return the live version that has this schema, or None."""
        return next((each for each in self.live if each.schema_id == schema_id), None)

    def like(
        self, candidate: CandidateSchema, schema_id: int | None, *, deleted: bool = False
    ) -> SubjectVersion | None:
        """Return the newest version that a client means by a schema, or None.

        It has the schema, perhaps by a further id, or the same one with references, if the client sent everything inlined
        (`ParsedSchema.canLookup` of Confluent's registry).

        Args:
            candidate: the schema.
            schema_id: its id, or None if it is not registered.
            deleted: include the soft-deleted versions.
        """
        every = [each for each in reversed(self.versions) if deleted or not each.deleted]
        same = next((each for each in every if each.schema_id == schema_id), None)
        if same is None:
            alike = (each for each in every if each.fingerprint == candidate.schema.fingerprint)
            stored = candidate.stored_references
            same = next((each for each in alike if stored is None or each.references == stored), None)
        return same


def find_subject(connection: Connection, name: str) -> Subject | None:
    """Return a subject's row, whether it has versions or not, or None if there is no row."""
    row = connection.execute(_SUBJECT, {"name": name}).one_or_none()
    return None if row is None else _subject(row)


def find_history(connection: Connection, name: str) -> SubjectHistory:
    """Return a subject with every version, soft-deleted ones included."""
    rows = connection.execute(_HISTORY, {"name": name}).all()
    if not rows:
        return SubjectHistory(name, None, ())
    versions = tuple(
        SubjectVersion(row.version, row.schema_id, row.fingerprint, row.deleted, row.references)
        for row in rows
        if row.version is not None
    )
    return SubjectHistory(name, _subject(rows[0]), versions)


def _subject(row: Row[Any]) -> Subject:
    level = Compatibility(row.level) if row.level else None
    return Subject(row.id, row.name, level, Mode(row.mode) if row.mode else None, row.guid)


def list_versions(connection: Connection, name: str, *, deleted: bool = False, deleted_only: bool = False) -> list[int]:
    """Return the version numbers of a subject.

    Args:
        connection: to the database.
        name: the subject.
        deleted: include the soft-deleted versions.
        deleted_only: return the soft-deleted versions alone.

    Raises:
        SubjectNotFound: the subject has no version, or none but soft-deleted ones that were not asked for.
    """
    history = find_history(connection, name)
    if not (history.versions if deleted or deleted_only else history.live):
        raise subject_not_found(name)
    return [each.number for each in history.versions if (each.deleted if deleted_only else deleted or not each.deleted)]


def find_version(
    connection: Connection, name: str, number: int, *, deleted: bool = False
) -> tuple[SubjectVersion, StoredSchema]:
    """Return one version of a subject with its schema.

    Args:
        connection: to the database.
        name: the subject.
        number: the version number, or `LATEST`, which no soft-deleted version is.
        deleted: include the soft-deleted versions.

    Raises:
        SubjectNotFound: the subject has no version.
        VersionNotFound: the subject has versions, but not this one.
    """
    history = find_history(connection, name)
    if not (history.versions if deleted else history.live):
        raise subject_not_found(name)
    found = history.find(number, deleted=deleted)
    if found is None:
        raise version_not_found(number)
    return found, load(connection, [found.schema_id])[found.schema_id]


def find_registered(
    connection: Connection, name: str, candidate: CandidateSchema, *, deleted: bool = False
) -> tuple[SubjectVersion, StoredSchema]:
    """Return the version under which a schema is registered in a subject.

    Raises:
        SubjectNotFound: the subject has no version.
        SchemaNotFound: no version of the subject has this schema.
    """
    history = find_history(connection, name)
    if not (history.versions if deleted else history.live):
        raise subject_not_found(name)
    found = history.like(candidate, registered_id(connection, candidate), deleted=deleted)
    if found is None:
        raise SchemaNotFound("Schema not found", hint=f"it is not registered under subject '{name}'")
    return found, load(connection, [found.schema_id])[found.schema_id]


def list_subjects(
    connection: Connection,
    *,
    prefix: str = "",
    deleted: bool = False,
    deleted_only: bool = False,
    after: str | None = None,
    offset: int = 0,
    limit: int,
) -> list[str]:
    """Return the names of the subjects that have versions, in order.

    Args:
        connection: to the database.
        prefix: return only the names that begin with it; `:*:` in front of it is ignored.
        deleted: include subjects all of whose versions are soft deleted.
        deleted_only: return those subjects alone.
        after: return only the names that follow this one.
        offset: the number of names to skip.
        limit: the number of names to return, at most.
    """
    name, versions = tables.subject.c.name, tables.version.c.subject_id == tables.subject.c.id
    every, live = exists().where(versions), exists().where(versions, tables.version.c.deleted.is_(False))
    query = (
        select(name)
        .where(every & ~live if deleted_only else every if deleted else live)
        .where(name.startswith(prefix.removeprefix(":*:"), autoescape=True))
        .where(true() if after is None else name > after)
        .order_by(name)
    )
    return [found for (found,) in connection.execute(query.offset(offset).limit(limit))]


def list_schemas(
    connection: Connection, *, prefix: str = "", deleted: bool = False, latest: bool = False, offset: int, limit: int
) -> list[tuple[str, SubjectVersion]]:
    """Return versions with their subjects, ordered by subject and version.

    Args:
        connection: to the database.
        prefix: of the subjects' names; `:*:` in front of it is ignored.
        deleted: include the soft-deleted versions.
        latest: return only the newest version of each subject.
        offset: the number of rows to skip.
        limit: the number of rows to return, at most.
    """
    query = (
        select(
            tables.subject.c.name,
            tables.version.c.version,
            tables.version.c.deleted,
            tables.schema.c.id,
            tables.schema.c.fingerprint,
        )
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
        (row.name, SubjectVersion(row.version, row.id, row.fingerprint, row.deleted))
        for row in connection.execute(query.offset(offset).limit(limit))
    ]


def versions_using(
    connection: Connection, schema_id: int, *, subject: str = "", deleted: bool = False
) -> list[tuple[str, int]]:
    """Return the (subject, version number) pairs that have a schema.

    Raises:
        SchemaNotFound: no schema has this id.
    """
    if not load(connection, [schema_id]):
        raise SchemaNotFound(f"Schema {schema_id} not found")
    rows = connection.execute(
        select(tables.subject.c.name, tables.version.c.version)
        .join(tables.version)
        .where(tables.version.c.schema_id == schema_id)
        .where(true() if deleted else tables.version.c.deleted.is_(False))
        .where(tables.subject.c.name == subject if subject else true())
        .order_by(tables.subject.c.name, tables.version.c.version)
    )
    return [(name, number) for name, number in rows]


def referenced_by(
    connection: Connection, name: str, numbers: Sequence[int], *, deleted: bool = False, beside: str | None = None
) -> list[int]:
    """Return the ids of the schemas that refer to one of these versions of a subject.

    Args:
        connection: to the database.
        name: the subject.
        numbers: its versions.
        deleted: count schemas all of whose versions are soft deleted as well.
        beside: a subject whose own schemas do not count.
    """
    rows = connection.execute(
        select(tables.reference.c.schema_id)
        .join(tables.version, tables.version.c.schema_id == tables.reference.c.schema_id)
        .join(tables.subject, tables.subject.c.id == tables.version.c.subject_id)
        .where(
            tables.reference.c.subject == name,
            tables.reference.c.version.in_(numbers) if numbers else false(),
            true() if deleted else tables.version.c.deleted.is_(False),
            true() if beside is None else tables.subject.c.name != beside,
        )
        .distinct()
        .order_by(tables.reference.c.schema_id)
    )
    return [number for (number,) in rows]


def history_judgement(
    connection: Connection,
    candidate: CandidateSchema,
    history: Sequence[SubjectVersion],
    level: Compatibility,
) -> HistoryJudgement:
    """Return the judgement of a schema against versions of a subject at a compatibility level.

    Args:
        connection: to the database.
        candidate: the schema to register.
        history: the versions to compare it with, oldest first; a level that is not transitive takes the last one.
        level: the level.
    """
    if level is Compatibility.NONE:
        history = ()
    elif not level.endswith("_TRANSITIVE"):
        history = history[-1:]
    schemas = parsed_schemas(connection, [each.fingerprint for each in history])
    versions = tuple(Version(each.number, schema) for each, schema in zip(history, schemas, strict=True))
    return HistoryJudgement(candidate.schema, versions, level)


def subject_not_found(name: str) -> SubjectNotFound:
    """Return the error for a subject that has no version."""
    return SubjectNotFound(f"Subject '{name[:200]}' not found.")


def version_not_found(number: int) -> VersionNotFound:
    """Return the error for a version that the subject does not have."""
    return VersionNotFound(f"Version {number} not found.")
