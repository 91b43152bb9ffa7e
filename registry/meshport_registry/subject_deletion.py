"""Deleting subjects and versions: softly first, then permanently. Every function runs in the writing transaction.

The order of the checks, and what each one refuses, are those of Confluent's registry 8.5
(`AbstractSchemaRegistry.validateDeleteSchemaVersion`, `KafkaSchemaRegistry.deleteSubject`). A schema stays readable by
its id even after a permanent delete, because records on Kafka still name it.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, true, update

from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import (
    NotPermitted,
    ReferenceExists,
    SubjectNotSoftDeleted,
    SubjectSoftDeleted,
    VersionNotSoftDeleted,
    VersionSoftDeleted,
)
from meshport_registry.subject_names import LATEST
from meshport_registry.subject_settings import effective_mode, refuse_read_only, registry_settings
from meshport_registry.subjects import SubjectHistory, find_history, referenced_by, subject_not_found, version_not_found


def delete_version(connection: Connection, name: str, number: int, *, permanent: bool) -> int:
    """Delete one version of a subject and return its number.

    Args:
        connection: the writing transaction.
        name: the subject.
        number: the version number, or `LATEST`.
        permanent: remove a version that is soft deleted.

    Raises:
        SubjectNotFound: the subject has no version.
        VersionNotFound: the subject has no such version.
        VersionSoftDeleted: the version is soft deleted already.
        VersionNotSoftDeleted: `permanent` was asked for a version that is not soft deleted.
        ReferenceExists: another schema refers to the version.
        NotPermitted: the mode forbids it, or the subject belongs to a data product.
    """
    history = _history(connection, name)
    if number == LATEST:  # of what is not soft deleted, so that no permanent delete takes it
        number = max((each.number for each in history.live), default=LATEST)
    found = next((each for each in history.versions if each.number == number), None)
    if found is None:
        raise version_not_found(number)
    if not permanent and found.deleted:
        raise VersionSoftDeleted(
            f"Subject '{name}' Version {number} was soft deleted.", hint="Set permanent=true to delete permanently"
        )
    _refuse_protected(connection, history)
    _refuse_referenced(connection, history, [number], permanent=permanent)
    if permanent and not found.deleted:
        raise VersionNotSoftDeleted(
            f"Subject '{name}' Version {number} was not deleted first before being permanently deleted"
        )
    _remove(connection, history, [number], permanent=permanent)
    summary = f"version {number} of subject {name} is deleted{' for good' if permanent else ''}"
    record(connection, MeshChange.of_subject(MeshChangeKind.SCHEMA_DELETED, name, summary, item=number))
    return number


def delete_subject(connection: Connection, name: str, *, permanent: bool) -> list[int]:
    """Delete every version of a subject and return their numbers.

    Args:
        connection: the writing transaction.
        name: the subject.
        permanent: remove the versions of a subject that is soft deleted.

    Raises:
        SubjectNotFound: the subject has no version.
        SubjectSoftDeleted: the subject is soft deleted already.
        SubjectNotSoftDeleted: `permanent` was asked for a subject that is not soft deleted.
        ReferenceExists: another schema refers to a version of it.
        NotPermitted: the mode forbids it, or the subject belongs to a data product.
    """
    history = _history(connection, name)
    live = [each.number for each in history.live]
    if not permanent and not live:
        raise SubjectSoftDeleted(f"Subject '{name}' was soft deleted.", hint="Set permanent=true to delete permanently")
    _refuse_protected(connection, history)
    numbers = [each.number for each in history.versions] if permanent else live
    _refuse_referenced(connection, history, numbers, permanent=permanent, beside=name)
    if permanent and live:
        raise SubjectNotSoftDeleted(f"Subject '{name}' was not deleted first before being permanently deleted")
    _remove(connection, history, numbers, permanent=permanent)
    summary = f"subject {name} is deleted{' for good' if permanent else ''}"
    record(connection, MeshChange.of_subject(MeshChangeKind.SCHEMA_DELETED, name, summary))
    return numbers


def clear_for_import(connection: Connection, name: str | None) -> None:
    """Delete permanently what is soft deleted, so that an import finds every id and version number free.

    Args:
        connection: the writing transaction.
        name: the subject to import; None for every subject.

    Raises:
        NotPermitted: there are versions that are not soft deleted.
        ReferenceExists: another schema refers to a version.
    """
    own = tables.version.c
    rows = tables.subject.c.name == name if name is not None else true()
    found = connection.execute(
        select(tables.subject.c.name, own.deleted).join(tables.version).where(rows).distinct()
    ).all()
    if any(not row.deleted for row in found):
        raise NotPermitted("Cannot import since found existing subjects", hint="import with force=true")
    for row in found:
        history = find_history(connection, row.name)
        numbers = [each.number for each in history.versions]
        _refuse_referenced(connection, history, numbers, permanent=True)
        _remove(connection, history, numbers, permanent=True)


def _history(connection: Connection, name: str) -> SubjectHistory:
    history = find_history(connection, name)
    if not history.versions:
        raise subject_not_found(name)
    return history


def _refuse_protected(connection: Connection, history: SubjectHistory) -> None:
    subject = history.subject
    if subject is not None and subject.owner is not None:
        raise NotPermitted(
            f"subject '{history.name}' is the contract of the data product {subject.owner}, whose events name it",
            hint="retire the product or the port instead",
        )
    refuse_read_only(history.name, effective_mode(subject, registry_settings(connection)))


def _refuse_referenced(
    connection: Connection, history: SubjectHistory, numbers: list[int], *, permanent: bool, beside: str | None = None
) -> None:
    """Refuse to delete versions that schemas refer to. For a permanent delete, soft-deleted schemas count as well.

    Args:
        connection: the writing transaction.
        history: the subject.
        numbers: the versions to delete.
        permanent: whether the delete is permanent.
        beside: a subject whose own references do not count, because it is deleted as a whole.
    """
    if users := referenced_by(connection, history.name, numbers, deleted=permanent, beside=beside):
        raise ReferenceExists(
            f"One or more references exist to the schema of subject '{history.name}', versions {numbers}: "
            f"from the schemas {users}"
        )


def _remove(connection: Connection, history: SubjectHistory, numbers: list[int], *, permanent: bool) -> None:
    """Remove versions. A subject keeps its level and its mode until its last version is permanently deleted."""
    table, subject_id = tables.version, history.subject.id if history.subject else None
    rows = (table.c.subject_id == subject_id) & table.c.version.in_(numbers)
    connection.execute(delete(table).where(rows) if permanent else update(table).where(rows).values(deleted=True))
    if permanent and len(numbers) == len(history.versions):
        connection.execute(
            update(tables.subject).where(tables.subject.c.id == subject_id).values(level=None, mode=None)
        )
