"""The Avro schemas of any registry with Confluent's API, with the types that they refer to spelled out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from meshport.errors import NotRegistered, SchemaError
from meshport.registry.subjects import ConfluentSubjects, SchemaAnswer
from meshport.schema import CommonTypes, Schema, parse_schema
from meshport.schema.canonical import take_apart
from meshport.snapshot import AVRO, SchemaReferenceCopy, SubjectVersionKey, VersionCopy


class PeerSchemas:
    """Looks schemas up in a registry by the ids that its serializers write; each is asked for once.

    It is a `meshport.event.SchemaSource`. Registries have no look-up by fingerprint: only those that were read are known by it.

    Args:
        subjects: the registry.
    """

    def __init__(self, subjects: ConfluentSubjects) -> None:
        self._subjects = subjects
        self._by_id: dict[int, Schema | None] = {}
        self._versions: dict[SubjectVersionKey, VersionCopy] = {}

    def by_id(self, schema_id: int) -> Schema:
        """Return the schema of a numeric id.

        Raises:
            NotRegistered: the registry has no schema of that id.
            SchemaError: it is no Avro schema.
            RegistryUnavailable: the registry did not answer.
        """
        if schema_id not in self._by_id:
            answer = self._subjects.schema(schema_id)
            self._by_id[schema_id] = None if answer is None else self.resolved(answer, f"schema {schema_id}")
        found = self._by_id[schema_id]
        if found is None:
            raise NotRegistered(f"{self._subjects.url} has no schema with the id {schema_id}", url=self._subjects.url)
        return found

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """Return a schema that was read, by its SHA-256 fingerprint; raise NotRegistered where none has it."""
        for schema in self._by_id.values():
            if schema is not None and schema.fingerprint == fingerprint:
                return schema
        raise NotRegistered(f"no schema that was read has the fingerprint {fingerprint}", url=self._subjects.url)

    def by_guid(self, guid: UUID) -> Schema:
        """Raise NotRegistered: schemas of a peer are found by their ids."""
        raise NotRegistered(f"the schema {guid} is not looked up in {self._subjects.url}", url=self._subjects.url)

    def version(self, found: VersionCopy) -> Schema:
        """Return the schema of a version.

        Raises:
            SchemaError: it is no Avro schema, or refers to one that is not there.
        """
        if found.id not in self._by_id:
            self._by_id[found.id] = self._parse(
                found.schema_text, found.kind, found.references, f"{found.subject} version {found.version}"
            )
        schema = self._by_id[found.id]
        assert schema is not None  # noqa: S101 - it was read above
        return schema

    def resolved(self, answer: SchemaAnswer, source: str) -> Schema:
        """Return a schema that the registry answered.

        Raises:
            SchemaError: as `version`.
        """
        return self._parse(answer.text, (answer.kind or AVRO).upper(), answer.reference_copies, source)

    def _parse(self, text: str, kind: str, references: Iterable[SchemaReferenceCopy], source: str) -> Schema:
        if kind != AVRO:
            raise SchemaError(f"{source} is a schema of {kind}", source=source, hint="contracts are Avro schemas")
        named: dict[str, Any] = {}
        for each in references:
            defined = self.version(self._version_of(each.key, source))
            take_apart(defined.form, named)
        return parse_schema(text, common=CommonTypes(named=named) if named else None, source=source)

    def _version_of(self, key: SubjectVersionKey, source: str) -> VersionCopy:
        if key not in self._versions:
            for each in self._subjects.subject(key[0], deleted=True):
                self._versions[each.key] = each
        found = self._versions.get(key)
        if found is None:
            raise SchemaError(f"{source} refers to version {key[1]} of {key[0]}, which is not there", source=source)
        return found
