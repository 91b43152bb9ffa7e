"""Deleting subjects and versions: softly first, then permanently. Every function runs in the writing transaction.

A schema stays readable by its id even after a permanent delete, because records on Kafka still name it.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, update

from meshport_registry import tables
from meshport_registry.errors import (
    NotPermitted,
    ReferenceExists,
    SubjectNotSoftDeleted,
    SubjectSoftDeleted,
    VersionNotFound,
    VersionNotSoftDeleted,
    VersionSoftDeleted,
)
from meshport_registry.subject_settings import effective_mode, global_settings, refuse_read_only
from meshport_registry.subjects import LATEST, SubjectHistory, find_history, referenced_by, subject_not_found


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
    history = _deletable(connection, name)
    if number == LATEST:
        number = max((each.number for each in history.versions if each.deleted == permanent), default=0)
    found = next((each for each in history.versions if each.number == number), None)
    if found is None:
        raise VersionNotFound(f"version {number} not found")
    if permanent and not found.deleted:
        raise VersionNotSoftDeleted(
            f"subject '{name}' version {number} was not deleted first before being permanently deleted"
        )
    if not permanent and found.deleted:
        raise VersionSoftDeleted(
            f"subject '{name}' version {number} was soft deleted; set permanent=true to delete permanently"
        )
    _remove(connection, history, [number], permanent=permanent)
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
    history = _deletable(connection, name)
    live = [each.number for each in history.live]
    if permanent and live:
        raise SubjectNotSoftDeleted(f"subject '{name}' was not deleted first before being permanently deleted")
    if not permanent and not live:
        raise SubjectSoftDeleted(f"subject '{name}' was soft deleted; set permanent=true to delete permanently")
    numbers = [each.number for each in history.versions] if permanent else live
    _remove(connection, history, numbers, permanent=permanent)
    connection.execute(update(tables.subject).where(tables.subject.c.name == name).values(level=None, mode=None))
    return numbers


def _deletable(connection: Connection, name: str) -> SubjectHistory:
    history = find_history(connection, name)
    subject = history.subject
    if subject is None or not history.versions:
        raise subject_not_found(name)
    if subject.owner is not None:
        raise NotPermitted(
            f"subject '{name}' is the contract of the data product {subject.owner}, whose events name it",
            hint="retire the product or the port instead",
        )
    refuse_read_only(name, effective_mode(subject, global_settings(connection)))
    return history


def _remove(connection: Connection, history: SubjectHistory, numbers: list[int], *, permanent: bool) -> None:
    if users := referenced_by(connection, history.name, numbers):
        raise ReferenceExists(
            f"one or more references exist to subject '{history.name}', versions {numbers}: from the schemas {users}"
        )
    table, subject_id = tables.version, history.subject.id if history.subject else None
    rows = (table.c.subject_id == subject_id) & table.c.version.in_(numbers)
    connection.execute(delete(table).where(rows) if permanent else update(table).where(rows).values(deleted=True))
