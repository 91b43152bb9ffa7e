"""A registry's schemas as values: every version of every subject with its id, and the levels and modes.

They are read through Confluent's API of any registry, written to a folder, and imported into this one. The service takes them
in parts (`POST /api/v1/import`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from meshport.product.descriptor import Compatibility

AVRO: Final = "AVRO"
MODES: Final = ("READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT")
"""The modes of Confluent's registry that this one has too."""

SubjectVersionKey = tuple[str, int]
"""A subject and the number of one of its versions."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SchemaReferenceCopy(_Part):
    """A reference of a schema to a type that a version of another subject defines.

    Attributes:
        name: by which the schema refers to the type; for Avro the type's full name.
        subject: that defines the type.
        version: of that subject.
    """

    name: str
    subject: str
    version: int

    @property
    def key(self) -> SubjectVersionKey:
        """The version that defines the type."""
        return self.subject, self.version


class VersionCopy(_Part):
    """One version of a subject.

    Attributes:
        subject: its name.
        version: the version number.
        id: of the schema, which Confluent's serializers write into records.
        schema_text: the schema as the registry answers it.
        references: of the schema.
        deleted: whether the version is soft deleted.
        kind: AVRO, JSON or PROTOBUF.
        metadata: Confluent's metadata of the version, where it has some.
        rules: Confluent's rule set of the version, where it has one.
    """

    subject: str
    version: int = Field(ge=1)
    id: int = Field(ge=0)
    schema_text: str = Field(alias="schema", repr=False)
    references: tuple[SchemaReferenceCopy, ...] = ()
    deleted: bool = False
    kind: str = Field(default=AVRO, alias="schemaType")
    metadata: dict[str, Any] | None = None
    rules: dict[str, Any] | None = Field(default=None, alias="ruleSet")

    @property
    def key(self) -> SubjectVersionKey:
        """The subject and the version number."""
        return self.subject, self.version


class SubjectCopy(_Part):
    """A subject with every version that its registry shows.

    Attributes:
        name: of the subject.
        level: its own compatibility level, or None if it has none.
        mode: its own mode, or None if it has none.
        versions: oldest first.
    """

    name: str
    level: Compatibility | None = None
    mode: str | None = None
    versions: tuple[VersionCopy, ...] = ()


class RegistrySnapshot(_Part):
    """The schemas of a registry.

    Attributes:
        source: the URL of the registry, without user and password.
        level: the compatibility level of subjects that have none of their own.
        mode: the mode of subjects that have none of their own; None where the registry has no modes.
        subjects: by name.
        notes: what the registry has that the snapshot leaves out.
    """

    source: str
    level: Compatibility
    mode: str | None = None
    subjects: tuple[SubjectCopy, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def versions(self) -> dict[SubjectVersionKey, VersionCopy]:
        """Every version by subject and number."""
        return {each.key: each for each in self.each_version()}

    def each_version(self) -> Iterator[VersionCopy]:
        """Yield every version, by subject and number."""
        for subject in self.subjects:
            yield from subject.versions


class SettingCopy(_Part):
    """The level and the mode to set.

    Attributes:
        subject: whose; None for those of subjects that have none of their own.
        level: the compatibility level; None removes the subject's own.
        mode: the mode; None removes the subject's own.
    """

    subject: str | None = None
    level: Compatibility | None = None
    mode: str | None = None


class ImportBatch(_Part):
    """The body of `POST /api/v1/import`: a part of another registry.

    Attributes:
        versions: a version that another one refers to was imported by an earlier request.
        settings: levels and modes.
    """

    versions: tuple[VersionCopy, ...] = ()
    settings: tuple[SettingCopy, ...] = ()


class ImportCounts(BaseModel):
    """The response to `POST /api/v1/import`.

    Attributes:
        versions: how many versions were added.
        further_ids: how many schemas got a further id.
        deletions: how many versions were soft deleted, or are no longer.
        settings: how many levels and modes were set.
        unchanged: how many versions were there already.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    versions: int = 0
    further_ids: int = 0
    deletions: int = 0
    settings: int = 0
    unchanged: int = 0

    def __add__(self, other: ImportCounts) -> ImportCounts:
        """Return the sums."""
        return ImportCounts(**{name: getattr(self, name) + getattr(other, name) for name in ImportCounts.model_fields})
