"""Changes of subjects: registering, deleting, levels and modes. Every function runs in the writing transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from meshport.product import Compatibility
from meshport_registry import tables
from meshport_registry.contracts import Candidate, Reference, insert_contract, known_id, load, read_candidate
from meshport_registry.errors import (
    Incompatible,
    InvalidMode,
    NotPermitted,
    ReferenceExists,
    SubjectNotSoftDeleted,
    SubjectSoftDeleted,
    VersionNotFound,
    VersionNotSoftDeleted,
    VersionSoftDeleted,
)
from meshport_registry.store import now_us
from meshport_registry.subjects import (
    DEFAULT_LEVEL,
    LATEST,
    History,
    Mode,
    Subject,
    compare,
    find_history,
    find_subject,
    global_settings,
    level_of,
    mode_of,
    referenced_by,
    subject_not_found,
)

_INSERT_VERSION: Final = insert(tables.version)
_INSERT_SUBJECT: Final = insert(tables.subject).returning(tables.subject.c.id)


@dataclass(frozen=True, slots=True)
class Registered:
    """Where a schema stands after it was registered.

    Attributes:
        id: of the schema.
        version: of the subject.
        subject_id: the subject's row.
        created: whether the subject has this version since now.
    """

    id: int
    version: int
    subject_id: int
    created: bool


def register(
    connection: Connection,
    name: str,
    text: str,
    references: Sequence[Reference] = (),
    *,
    wanted_id: int | None = None,
    wanted_version: int | None = None,
) -> Registered:
    """Register a schema as Confluent's registry does; the same schema again is answered what it was answered before.

    Args:
        connection: the writing transaction.
        name: the subject.
        text: the schema.
        references: what it refers to.
        wanted_id: its id elsewhere; for a subject in mode IMPORT only.
        wanted_version: its version elsewhere; for a subject in mode IMPORT only.

    Raises:
        SchemaError: no valid Avro.
        InvalidSchema: a reference leads nowhere.
        NotPermitted: the mode forbids it, or the subject is a data product's.
        Incompatible: the level forbids it.
    """
    candidate = read_candidate(connection, text, references)
    history = find_history(connection, name)
    known = known_id(connection, candidate)
    if (same := already(history, known)) and wanted_id in {None, known}:
        return same
    subject, everywhere = history.subject, global_settings(connection)
    if subject is not None and subject.owner is not None:
        raise NotPermitted(
            f"subject '{name}' is the contract of the data product {subject.owner}: "
            "producers do not register by themselves",
            hint="change the product's schema file, then run `meshport apply`",
        )
    mode = mode_of(subject, everywhere)
    refuse_read_only(name, mode)
    if mode is Mode.IMPORT:
        _refuse_overwriting(connection, history, known, wanted_id, wanted_version)
        number = wanted_version or history.next_number
        return put_version(connection, history, candidate, number, known=known, wanted_id=wanted_id)
    if wanted_id is not None:
        raise NotPermitted(f"subject '{name}' is not in import mode, so that no id can be given")
    return add_version(connection, history, candidate, level_of(subject, everywhere), known=known)


def already(history: History, schema_id: int | None) -> Registered | None:
    """Where a schema stands in a subject, if it has a live version there."""
    same = history.of_schema(schema_id)
    if same is None or history.subject is None:
        return None
    return Registered(same.schema_id, same.number, history.subject.id, created=False)


def add_version(
    connection: Connection, history: History, candidate: Candidate, level: Compatibility, *, known: int | None
) -> Registered:
    """Make a schema the next version of a subject, if its level allows.

    Args:
        connection: the writing transaction.
        history: the subject as it is.
        candidate: the schema.
        level: the level to hold.
        known: the schema's id, if it has one already.

    Raises:
        Incompatible: the level forbids it.
    """
    report = compare(connection, candidate, history.live, level)
    if not report.compatible:
        findings = tuple(str(finding) for finding in report.findings)
        raise Incompatible(
            f'Schema being registered is incompatible with an earlier schema for subject "{history.name}", '
            f"details: [{'; '.join(findings)}], compatibility: {level}",
            findings=findings,
        )
    return put_version(connection, history, candidate, history.next_number, known=known)


def put_version(
    connection: Connection,
    history: History,
    candidate: Candidate,
    number: int,
    *,
    known: int | None,
    wanted_id: int | None = None,
) -> Registered:
    """Make a schema a version of a subject; whoever calls has judged it.

    Args:
        connection: the writing transaction.
        history: the subject as it is.
        candidate: the schema.
        number: of the version.
        known: the schema's id, if it has one already.
        wanted_id: its id in the registry that it is imported from.
    """
    schema_id = insert_contract(connection, candidate, wanted=wanted_id) if known is None else known
    subject_id = history.subject.id if history.subject else make_subject(connection, history.name)
    if any(each.schema_id == known for each in history.versions):
        # Confluent forgets the soft-deleted version of a schema that is registered again.
        connection.execute(
            delete(tables.version).where(
                tables.version.c.subject_id == subject_id, tables.version.c.schema_id == schema_id
            )
        )
    connection.execute(
        _INSERT_VERSION,
        {"subject_id": subject_id, "version": number, "schema_id": schema_id, "deleted": False, "created_at": now_us()},
    )
    return Registered(schema_id, number, subject_id, created=True)


def _refuse_overwriting(
    connection: Connection, history: History, known: int | None, wanted_id: int | None, wanted_version: int | None
) -> None:
    """An import takes ids and versions over from another registry, where they are free here."""
    if wanted_id is not None and known not in {None, wanted_id}:
        raise NotPermitted(f"the schema has id {known} here and cannot also have id {wanted_id}")
    if wanted_id is not None and known is None and wanted_id in load(connection, [wanted_id]):
        raise NotPermitted(f"overwriting schema {wanted_id} is not permitted")
    if any(each.number == wanted_version for each in history.versions):
        raise NotPermitted(f"overwriting version {wanted_version} of subject '{history.name}' is not permitted")


def make_subject(connection: Connection, name: str) -> int:
    """Make a subject's row; it exists for Confluent's API once it has a version."""
    return int(connection.execute(_INSERT_SUBJECT, {"name": name}).scalar_one())


def delete_version(connection: Connection, name: str, number: int, *, permanent: bool) -> int:
    """Delete a version: softly at first, for good the second time. Its schema stays readable by id.

    Raises:
        SubjectNotFound: no such subject.
        VersionNotFound: no such version.
        VersionSoftDeleted: it is deleted already.
        VersionNotSoftDeleted: to be deleted for good it has to be deleted first.
        ReferenceExists: another schema refers to it.
        NotPermitted: the mode forbids it, or the subject is a data product's.
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
    """Delete every version of a subject: softly at first, for good the second time.

    Raises:
        SubjectNotFound: no such subject.
        SubjectSoftDeleted: it is deleted already.
        SubjectNotSoftDeleted: to be deleted for good it has to be deleted first.
        ReferenceExists: another schema refers to it.
        NotPermitted: the mode forbids it, or the subject is a data product's.
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


def _deletable(connection: Connection, name: str) -> History:
    history = find_history(connection, name)
    subject = history.subject
    if subject is None or not history.versions:
        raise subject_not_found(name)
    if subject.owner is not None:
        raise NotPermitted(
            f"subject '{name}' is the contract of the data product {subject.owner}, whose events name it",
            hint="retire the product or the port instead",
        )
    refuse_read_only(name, mode_of(subject, global_settings(connection)))
    return history


def _remove(connection: Connection, history: History, numbers: list[int], *, permanent: bool) -> None:
    if users := referenced_by(connection, history.name, numbers):
        raise ReferenceExists(
            f"one or more references exist to subject '{history.name}', versions {numbers}: from the schemas {users}"
        )
    table, subject_id = tables.version, history.subject.id if history.subject else None
    rows = (table.c.subject_id == subject_id) & table.c.version.in_(numbers)
    connection.execute(delete(table).where(rows) if permanent else update(table).where(rows).values(deleted=True))


def set_level(connection: Connection, name: str | None, level: Compatibility | None) -> Compatibility:
    """Set the level of a subject, or of all that have none of their own; None takes it back.

    Returns:
        The level that held before.

    Raises:
        NotPermitted: the subject is a data product's, whose descriptor says the level.
        SubjectNotFound: there is no level to take back.
    """
    everywhere = global_settings(connection)
    if name is None:
        _set_global(connection, "level", level)
        return everywhere.level or DEFAULT_LEVEL
    subject = _configurable(connection, name, "compatibility")
    if level is None and (subject is None or subject.level is None):
        raise subject_not_found(name)
    subject_id = subject.id if subject else make_subject(connection, name)
    connection.execute(update(tables.subject).where(tables.subject.c.id == subject_id).values(level=level))
    return level_of(subject, everywhere)


def set_mode(connection: Connection, name: str | None, mode: Mode | None, *, force: bool = False) -> Mode:
    """Set the mode of a subject, or of all that have none of their own; None takes it back.

    Returns:
        The mode that held before.

    Raises:
        InvalidMode: READONLY_OVERRIDE for one subject.
        NotPermitted: IMPORT while there are schemas, without `force`; or the subject is a data product's.
        SubjectNotFound: there is no mode to take back.
    """
    everywhere = global_settings(connection)
    subject = _configurable(connection, name, "mode") if name is not None else None
    if mode is Mode.IMPORT and not force:
        rows = select(func.count()).select_from(tables.version)
        if name is not None:
            rows = rows.where(tables.version.c.subject_id == (subject.id if subject else None))
        if connection.execute(rows).scalar():
            raise NotPermitted(f"{name or 'the registry'} holds schemas already", hint="import with force=true")
    if name is None:
        _set_global(connection, "mode", mode)
        return mode_of(None, everywhere)
    if mode is Mode.READONLY_OVERRIDE:
        raise InvalidMode("READONLY_OVERRIDE holds for the whole registry", hint="READONLY for one subject")
    if mode is None and (subject is None or subject.mode is None):
        raise subject_not_found(name)
    subject_id = subject.id if subject else make_subject(connection, name)
    connection.execute(update(tables.subject).where(tables.subject.c.id == subject_id).values(mode=mode))
    return mode_of(subject, everywhere)


def _configurable(connection: Connection, name: str, what: str) -> Subject | None:
    subject = find_subject(connection, name)
    if subject is not None and subject.owner is not None:
        raise NotPermitted(
            f"subject '{name}' takes its {what} from the data product {subject.owner}",
            hint="change the product's descriptor, then run `meshport apply`",
        )
    return subject


def _set_global(connection: Connection, name: str, value: str | None) -> None:
    connection.execute(delete(tables.setting).where(tables.setting.c.name == name))
    if value is not None:
        connection.execute(insert(tables.setting).values(name=name, value=value))


def refuse_read_only(name: str, mode: Mode) -> None:
    """Refuse a change of a subject in read-only mode.

    Raises:
        NotPermitted: it is in one.
    """
    if mode in {Mode.READONLY, Mode.READONLY_OVERRIDE}:
        raise NotPermitted(f"subject '{name}' is in read-only mode")
