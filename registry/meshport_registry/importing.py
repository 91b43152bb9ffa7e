"""Importing a part of another registry: versions with their numbers and ids, levels and modes.

Unlike a registration in mode IMPORT, an import is judged by no level and refused by no mode, may be repeated, takes soft-deleted
versions, and gives a schema a further id. It never gives an id or a version another schema.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, update

from meshport.compat.judgement import SchemaReading
from meshport.schema import is_plain_json
from meshport.snapshot import AVRO, MODES, ImportBatch, ImportCounts, SettingCopy, VersionCopy
from meshport_registry import tables
from meshport_registry.changes.change import MESH, MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import Conflict, RequestRefused
from meshport_registry.schema_ids import IMPORT_CEILING
from meshport_registry.schemas import (
    CandidateSchema,
    Reference,
    find_references,
    insert_further_id,
    insert_schema,
    load,
    referenced_types,
    registered_id,
)
from meshport_registry.store import RegistryStore, now_us
from meshport_registry.subject_names import parse_subject
from meshport_registry.subject_settings import insert_subject, take_settings
from meshport_registry.subjects import Mode, SubjectHistory, find_history, find_subject
from meshport_registry.values import MAX_INT, MAX_REFERENCES

_INSERT_VERSION: Final = insert(tables.version)


async def read_batch(store: RegistryStore, batch: ImportBatch) -> list[CandidateSchema]:
    """Return the schemas of the versions of a batch, parsed outside of the writing transaction.

    Raises:
        RequestRefused: a name, a number, a mode or a type is none of this registry's.
        InvalidSubject: a subject has a name that no subject has here.
        InvalidSchema: a reference leads to no version.
        SchemaError: a text is not valid Avro.
    """
    findings = [*_unfit(batch)]
    if findings:
        raise RequestRefused(f"nothing was imported: {findings[0]}", findings=tuple(findings))
    for name in {each.subject for each in batch.versions} | {each.subject for each in batch.settings}:
        if name is not None:
            parse_subject(name)
    return [await _candidate(store, each) for each in batch.versions]


def _unfit(batch: ImportBatch) -> list[str]:
    found = []
    for each in batch.versions:
        what = f"version {each.version} of subject '{each.subject[:200]}'"
        if each.kind != AVRO or each.metadata or each.rules:
            found.append(f"{what} is no plain Avro schema")
        if each.version > IMPORT_CEILING:
            found.append(f"{what} would leave too few numbers for the next ones; at most {IMPORT_CEILING}")
        if each.id > MAX_INT:
            found.append(f"{what} has the id {each.id}; at most {MAX_INT}")
        if len(each.references) > MAX_REFERENCES:
            found.append(f"{what} has {len(each.references)} references; at most {MAX_REFERENCES}")
        found += [
            f"{what} refers to version {one.version}" for one in each.references if not 1 <= one.version <= MAX_INT
        ]
    found += [f"{each.mode[:80]!r} is no mode" for each in batch.settings if each.mode not in {None, *MODES}]  # type: ignore[index]
    return found


async def _candidate(store: RegistryStore, version: VersionCopy) -> CandidateSchema:
    references = tuple(Reference(each.name, each.subject, each.version) for each in version.references)
    source = f"version {version.version} of subject '{version.subject}'"

    def find(connection: Connection) -> tuple[tuple[int, ...], SchemaReading]:
        ids = find_references(connection, references, deleted=True)
        return ids, SchemaReading(version.schema_text, *referenced_types(connection, ids), source=source)

    ids, reading = await store.read(find) if references else ((), SchemaReading(version.schema_text, source=source))
    schema = await store.judge(reading)
    candidate = CandidateSchema(version.schema_text, schema, references, ids)
    return candidate if is_plain_json(version.schema_text) else candidate.normalized


def import_batch(connection: Connection, batch: ImportBatch, candidates: Sequence[CandidateSchema]) -> ImportCounts:
    """Write a batch, all of it or nothing.

    Args:
        connection: the writing transaction.
        batch: the versions and settings.
        candidates: the schemas of the versions, in their order.

    Raises:
        Conflict: an id or a version has another schema here; `findings` names each of them.
    """
    work = _Import(connection)
    for version, candidate in zip(batch.versions, candidates, strict=True):
        work.take(version, candidate)
    for setting in batch.settings:
        work.set(setting)
    if work.clashes:
        raise Conflict(f"nothing was imported: {work.clashes[0]}", findings=tuple(work.clashes))
    counts = ImportCounts(**work.counts)
    parts = [f"{number} {name.replace('_', ' ')}" for name, number in work.counts.items() if number]
    if counts != ImportCounts(unchanged=counts.unchanged):
        summary = f"imported from another registry: {', '.join(parts)}"
        record(connection, MeshChange(kind=MeshChangeKind.IMPORTED, about=MESH, summary=summary))
    return counts


@dataclass
class _Import:
    connection: Connection
    clashes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ImportCounts.model_fields, 0))

    def take(self, version: VersionCopy, candidate: CandidateSchema) -> None:
        """Write one version, or add its clash."""
        if find_references(self.connection, candidate.references, deleted=True) != candidate.referenced:
            return self._clash(version, "what it refers to was replaced meanwhile")
        history = find_history(self.connection, version.subject)
        known = next((each for each in history.versions if each.number == version.version), None)
        if reason := self._id_clash(version, candidate):
            return self._clash(version, reason)
        if known is not None and not self._is_of(known.schema_id, candidate):
            return self._clash(version, f"the version has another schema here, with the id {known.schema_id}")
        added = self._give_id(version, candidate)
        self.counts["further_ids"] += added == "further"
        owned = history.subject is not None and history.subject.owner is not None
        if known is None and not owned:
            return self._add(version, history)
        if known is not None and known.deleted != version.deleted and not owned:
            self._mark(history, version)
            self.counts["deletions"] += 1
        elif added is None:
            self.counts["unchanged"] += 1
        return None

    def _clash(self, version: VersionCopy, reason: str) -> None:
        self.clashes.append(f"version {version.version} of subject '{version.subject}': {reason}")

    def _is_of(self, schema_id: int, candidate: CandidateSchema) -> bool:
        stored = load(self.connection, [schema_id])[schema_id]
        return (stored.schema.fingerprint, stored.references) == (candidate.schema.fingerprint, candidate.references)

    def _id_clash(self, version: VersionCopy, candidate: CandidateSchema) -> str | None:
        if version.id in load(self.connection, [version.id]) and not self._is_of(version.id, candidate):
            return f"the id {version.id} has another schema here"
        return None

    def _give_id(self, version: VersionCopy, candidate: CandidateSchema) -> str | None:
        """Insert the schema under its id unless it is there; return `new`, `further` or None."""
        if version.id in load(self.connection, [version.id]):
            return None
        if registered_id(self.connection, candidate) is None:
            insert_schema(self.connection, candidate, wanted=version.id)
            return "new"
        insert_further_id(self.connection, candidate, version.id)
        return "further"

    def _add(self, version: VersionCopy, history: SubjectHistory) -> None:
        own = tables.version.c
        same = next((each for each in history.versions if each.schema_id == version.id), None)
        if same is not None and not same.deleted:
            return self._clash(version, f"its schema {version.id} is version {same.number} here")
        subject_id = history.subject.id if history.subject else insert_subject(self.connection, version.subject)
        if same is not None:  # as a registration does: see `insert_version`
            self.connection.execute(
                delete(tables.version).where(own.subject_id == subject_id, own.version == same.number)
            )
        row: dict[str, Any] = {
            "subject_id": subject_id,
            "version": version.version,
            "schema_id": version.id,
            "deleted": version.deleted,
            "created_at": now_us(),
        }
        self.connection.execute(_INSERT_VERSION, row)
        self.counts["versions"] += 1
        return None

    def _mark(self, history: SubjectHistory, version: VersionCopy) -> None:
        assert history.subject is not None  # noqa: S101 - it has the version
        own = tables.version.c
        rows = (own.subject_id == history.subject.id) & (own.version == version.version)
        self.connection.execute(update(tables.version).where(rows).values(deleted=version.deleted))

    def set(self, setting: SettingCopy) -> None:
        """Set a level and a mode; those of a data product's subject are its descriptor's."""
        subject = None if setting.subject is None else find_subject(self.connection, setting.subject)
        if subject is not None and subject.owner is not None:
            return
        mode = Mode(setting.mode) if setting.mode else None
        take_settings(self.connection, setting.subject, setting.level, mode)
        self.counts["settings"] += 1
