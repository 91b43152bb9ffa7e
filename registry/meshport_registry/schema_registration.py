"""Registering a schema in a subject, as Confluent's registry does. Every function runs in the writing transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, delete, insert

from meshport.compat.judgement import DefaultsJudgement
from meshport.product import Compatibility
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import Incompatible, InvalidSchema, InvalidVersion, NotPermitted, StoreBusy
from meshport_registry.judging import Judged
from meshport_registry.schema_ids import IMPORT_CEILING
from meshport_registry.schemas import CandidateSchema, find_references, insert_schema, load, registered_id
from meshport_registry.store import now_us
from meshport_registry.subject_settings import (
    effective_level,
    effective_mode,
    insert_subject,
    refuse_read_only,
    registry_settings,
)
from meshport_registry.subjects import Mode, SubjectHistory, find_history, history_judgement
from meshport_registry.values import MAX_INT

_INSERT_VERSION: Final = insert(tables.version)


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """The version of a subject that has a schema after its registration.

    Attributes:
        id: the id of the schema.
        version: the version number.
        subject_id: the id of the subject's row.
        created: whether this registration added the version.
    """

    id: int
    version: int
    subject_id: int
    created: bool


def register_schema(
    connection: Connection,
    name: str,
    candidate: CandidateSchema,
    judged: Judged,
    *,
    wanted_id: int | None = None,
    wanted_version: int | None = None,
) -> RegisteredVersion:
    """Register a schema in a subject. Registering the same schema again returns the version that it has.

    Args:
        connection: the writing transaction.
        name: the subject.
        candidate: the schema.
        judged: the judgements that were made of it.
        wanted_id: its id in the registry that it is imported from; only for a subject in mode IMPORT.
        wanted_version: its version there; in another mode than IMPORT the next one.

    Raises:
        InvalidSchema: a reference cannot be resolved any more, or the version is not the next one.
        JudgeFirst: its compatibility is to be judged before.
        NotPermitted: the mode forbids it, or the subject belongs to a data product.
        Incompatible: the subject's level forbids it.
    """
    if find_references(connection, candidate.references) != candidate.referenced:
        raise StoreBusy("a version that the schema refers to was replaced meanwhile", hint="try again")
    history = find_history(connection, name)
    known = registered_id(connection, candidate)
    same = history.like(candidate, known)
    if (
        same is not None
        and history.subject is not None
        and wanted_id in {None, same.schema_id}
        and wanted_version in {None, same.number}
    ):
        return RegisteredVersion(same.schema_id, same.number, history.subject.id, created=False)
    subject, settings = history.subject, registry_settings(connection)
    if subject is not None and subject.owner is not None:
        raise NotPermitted(
            f"subject '{name}' is the contract of the data product {subject.owner}: "
            "producers do not register by themselves",
            hint="change the product's schema file, then run `meshport apply`",
        )
    mode = effective_mode(subject, settings)
    refuse_read_only(name, mode)
    if mode is Mode.IMPORT:
        if wanted_id is None:
            raise NotPermitted(f"Subject {name} in context . is not in read-write mode", hint="an import gives the id")
        _refuse_overwriting(connection, history, known, wanted_id, wanted_version)
        number = wanted_version or history.next_number
        return _recorded(
            connection, name, insert_version(connection, history, candidate, number, known=known, wanted_id=wanted_id)
        )
    if wanted_id is not None:
        raise NotPermitted(f"Subject {name} in context . is not in import mode", hint="send no id")
    if wanted_version not in {None, history.next_number} or same:
        raise InvalidSchema(
            "Version is not one more than previous version", hint=f"the next one is {history.next_number}"
        )
    level = effective_level(subject, settings)
    return _recorded(connection, name, add_version(connection, history, candidate, level, judged, known=known))


def _recorded(connection: Connection, name: str, added: RegisteredVersion) -> RegisteredVersion:
    summary = f"version {added.version} of subject {name} is registered"
    record(connection, MeshChange.of_subject(MeshChangeKind.SCHEMA_REGISTERED, name, summary, item=added.version))
    return added


def existing_version(history: SubjectHistory, schema_id: int | None) -> RegisteredVersion | None:
    """Return the live version of a subject that has this schema, or None."""
    same = history.of_schema(schema_id)
    if same is None or history.subject is None:
        return None
    return RegisteredVersion(same.schema_id, same.number, history.subject.id, created=False)


def add_version(
    connection: Connection,
    history: SubjectHistory,
    candidate: CandidateSchema,
    level: Compatibility,
    judged: Judged,
    *,
    known: int | None,
) -> RegisteredVersion:
    """Make a schema the next version of a subject if a compatibility level allows it.

    Args:
        connection: the writing transaction.
        history: the subject before the change.
        candidate: the schema.
        level: the level to check at.
        judged: the judgements that were made of it.
        known: the id of the schema, or None if it is not registered under any subject.

    Raises:
        SchemaError: a default is no value of its field. A schema that is registered already, also by an import, is not judged.
        Incompatible: the level forbids it.
        JudgeFirst: its defaults or its compatibility are to be judged before.
    """
    if known is None:
        judged.result(DefaultsJudgement(candidate.schema))
    report = judged.result(history_judgement(connection, candidate, history.live, level))
    if not report.compatible:
        findings = tuple(str(finding) for finding in report.findings)
        raise Incompatible(
            f'Schema being registered is incompatible with an earlier schema for subject "{history.name}", '
            f"details: [{'; '.join(findings)}], compatibility: {level}",
            findings=findings,
        )
    return insert_version(connection, history, candidate, history.next_number, known=known)


def insert_version(
    connection: Connection,
    history: SubjectHistory,
    candidate: CandidateSchema,
    number: int,
    *,
    known: int | None,
    wanted_id: int | None = None,
) -> RegisteredVersion:
    """Insert a schema as a version of a subject, without any check.

    Args:
        connection: the writing transaction.
        history: the subject before the change.
        candidate: the schema, which the caller has checked.
        number: the version number.
        known: the id of the schema, or None if it is not registered under any subject.
        wanted_id: the id of the schema in the registry that it is imported from.

    Raises:
        InvalidVersion: the number is beyond 32 bits.
    """
    if number > MAX_INT:
        raise InvalidVersion(f"subject '{history.name}' has no version number left; the last one is {MAX_INT}")
    schema_id = insert_schema(connection, candidate, wanted=wanted_id) if known is None else known
    subject_id = history.subject.id if history.subject else insert_subject(connection, history.name)
    if any(each.schema_id == known for each in history.versions):
        # Confluent's registry drops the soft-deleted version of a schema that is registered again.
        connection.execute(
            delete(tables.version).where(
                tables.version.c.subject_id == subject_id, tables.version.c.schema_id == schema_id
            )
        )
    connection.execute(
        _INSERT_VERSION,
        {"subject_id": subject_id, "version": number, "schema_id": schema_id, "deleted": False, "created_at": now_us()},
    )
    return RegisteredVersion(schema_id, number, subject_id, created=True)


def _refuse_overwriting(
    connection: Connection,
    history: SubjectHistory,
    known: int | None,
    wanted_id: int | None,
    wanted_version: int | None,
) -> None:
    """Refuse an import whose id or version number is taken in this registry, or leaves the subject no next version."""
    if wanted_version is not None and wanted_version > IMPORT_CEILING:
        raise InvalidVersion(
            f"version {wanted_version} of subject '{history.name}' would leave too few numbers for the next ones",
            hint=f"at most {IMPORT_CEILING}",
        )
    if wanted_id is not None and known not in {None, wanted_id}:
        raise NotPermitted(f"the schema has id {known} here and cannot also have id {wanted_id}")
    if wanted_id is not None and known is None and wanted_id in load(connection, [wanted_id]):
        raise NotPermitted(f"overwriting schema {wanted_id} is not permitted")
    if same := history.of_schema(known):
        raise NotPermitted(f"subject '{history.name}' has this schema as version {same.number} already")
    if any(each.number == wanted_version for each in history.versions):
        raise NotPermitted(f"overwriting version {wanted_version} of subject '{history.name}' is not permitted")
