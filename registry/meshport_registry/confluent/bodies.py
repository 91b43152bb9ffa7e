"""Request bodies of Confluent's API, read as its registry reads them.

Jackson, with which Confluent's registry reads JSON, takes a number for text and text for a number, and passes over
fields that it does not know.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict, WithJsonSchema
from sqlalchemy import Connection

from meshport.compat.judgement import SchemaReading
from meshport.product import Compatibility
from meshport.schema import is_plain_json
from meshport_registry.errors import InvalidLevel, InvalidMode, InvalidRuleSet, InvalidSchema, NotPermitted
from meshport_registry.schemas import (
    CandidateSchema,
    Reference,
    StoredSchema,
    find_references,
    plain,
    read_plain,
    referenced_types,
)
from meshport_registry.store import RegistryStore
from meshport_registry.subject_names import read_subject
from meshport_registry.subjects import Mode
from meshport_registry.values import MAX_INT, MAX_REFERENCES, Int

# Parsing 4 kB takes about 100 microseconds, as much as a call of a thread.
_SMALL_SCHEMA: Final = 4096
_DIGITS: Final = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
# Settings of Confluent's registry that change what it does, and that this registry does not have.
_NOT_KEPT: Final = (
    "alias",
    "aliasForDeks",
    "normalize",
    "validateFields",
    "validateNewSchemas",
    "validateRules",
    "compatibilityPolicy",
    "compatibilityGroup",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
)


def _java_text(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _java_number(value: Any) -> Any:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return int(value)
    return int(value) if isinstance(value, float) and abs(value) <= MAX_INT else value


Text = Annotated[str, BeforeValidator(_java_text), WithJsonSchema({"type": ["string", "number", "boolean"]})]
Number = Annotated[
    Int,
    Strict(),
    BeforeValidator(_java_number),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": -(2**31), "maximum": MAX_INT},
                {"type": "string", "pattern": "^[+-]?[0-9]{1,9}$"},
            ]
        }
    ),
]


class SchemaReference(BaseModel):
    """A reference of a schema to a type that a version of another subject defines."""

    name: Text | None = None
    subject: Text | None = None
    version: Number | None = None

    def read(self) -> Reference:
        """Return the reference.

        Raises:
            InvalidSchema: a part of it is missing.
        """
        if not self.name or not self.subject or self.version is None:
            raise InvalidSchema(
                f"the reference {self.model_dump()} has no name, no subject or no version", hint="give all three"
            )
        return Reference(self.name, read_subject(self.subject), self.version)


class SchemaBody(BaseModel):
    """A schema in Confluent's format. A field that is `null` counts as absent."""

    model_config = ConfigDict(populate_by_name=True, extra="ignore")

    text: Text | None = Field(default=None, alias="schema")
    kind: Text | None = Field(default=None, alias="schemaType")
    references: Annotated[list[SchemaReference], Field(max_length=MAX_REFERENCES)] | None = None
    id: Number | None = None
    version: Number | None = None
    metadata: dict[str, Any] | None = None
    rules: dict[str, Any] | None = Field(default=None, alias="ruleSet")

    @property
    def is_empty(self) -> bool:
        """Whether the body has no schema, or one without text."""
        return not (self.text or "").strip()

    @property
    def wanted_id(self) -> int | None:
        """The id that the schema is to have; a negative one is none."""
        return self.id if self.id is not None and self.id >= 0 else None

    @property
    def wanted_version(self) -> int | None:
        """The version that the schema is to have; one that is not positive is none."""
        return self.version if self.version is not None and self.version > 0 else None

    def check(self) -> tuple[Reference, ...]:
        """Return the references, after refusing everything that this registry would not keep.

        Raises:
            InvalidSchema: the schema is not Avro, comes with metadata, or has a reference without a part.
            InvalidRuleSet: the schema comes with a rule set.
        """
        if (self.kind or "AVRO").upper() != "AVRO":
            raise InvalidSchema(f"schemas of type {self.kind} are not taken", hint="data products have Avro contracts")
        if self.rules and any(self.rules.values()):
            raise InvalidRuleSet("a rule set would not be applied by this registry", hint="send no ruleSet")
        if self.metadata and any(self.metadata.values()):
            raise InvalidSchema("metadata is not kept by this registry", hint="send no metadata")
        references = tuple(
            dict.fromkeys(each.read() for each in self.references or ())
        )  # one that is given twice is one
        names = [each.name for each in references]
        if doubled := next((each for each in names if names.count(each) > 1), None):
            raise InvalidSchema(
                f"the references lead from {doubled!r} to two versions", hint="one reference for each name"
            )
        return references


class LevelBody(BaseModel):
    """The body of `PUT /config`. Without `compatibility` it changes nothing; null removes the level."""

    model_config = ConfigDict(extra="allow")

    compatibility: Text | None = None

    @property
    def changes(self) -> bool:
        """Whether the body sets or removes the level."""
        return "compatibility" in self.model_fields_set

    def level(self) -> Compatibility | None:
        """Return the level, after refusing everything that this registry would not keep.

        Raises:
            InvalidLevel: the text is no level.
            NotPermitted: the body has a setting that this registry does not have.
        """
        for name in _NOT_KEPT:
            if (self.model_extra or {}).get(name):
                raise NotPermitted(f"this registry has no setting `{name}`", hint="set `compatibility` alone")
        if self.compatibility is None:
            return None
        try:
            return Compatibility(self.compatibility.upper())
        except ValueError as error:
            known = ", ".join(each.lower() for each in Compatibility)
            raise InvalidLevel(
                f"invalid compatibility level {self.compatibility[:80]!r}; valid values are {known}"
            ) from error


class ModeBody(BaseModel):
    """The body of `PUT /mode`. A mode that is null or left out removes the one that is set."""

    text: Text | None = Field(default=None, alias="mode")

    @property
    def mode(self) -> Mode | None:
        """The mode.

        Raises:
            InvalidMode: the text is no mode.
        """
        if self.text is None:
            return None
        try:
            return Mode(self.text.upper())
        except ValueError as error:
            raise InvalidMode(f"invalid mode {self.text[:80]!r}; valid values are {', '.join(Mode)}") from error

    @property
    def echo(self) -> dict[str, str | None]:
        """The body as it was sent, which is the response."""
        return {"mode": self.text} if self.model_fields_set else {}


def references_of(schema: StoredSchema) -> list[SchemaReference]:
    """Return the references of a registered schema as a request has them."""
    return [SchemaReference(name=each.name, subject=each.subject, version=each.version) for each in schema.references]


async def candidate_of(store: RegistryStore, body: SchemaBody) -> CandidateSchema:
    """Parse the schema of a request.

    Raises:
        SchemaError: the text is not valid Avro.
        InvalidSchema: the schema is empty or of another type than Avro, or a reference cannot be resolved.
        InvalidRuleSet: the schema comes with a rule set.
    """
    references = body.check()
    if body.is_empty:
        raise InvalidSchema("Empty schema")
    text = body.text or ""
    if not references:
        return read_plain(text) if len(text) < _SMALL_SCHEMA else plain(await store.judge(SchemaReading(text)))

    def find(connection: Connection) -> tuple[tuple[int, ...], SchemaReading, bool]:
        ids = find_references(connection, references)
        return ids, SchemaReading(text, *referenced_types(connection, ids)), is_plain_json(text)

    ids, reading, readable = await store.read(find)
    schema = await store.judge(reading)
    candidate = CandidateSchema(text, schema, references, ids)
    return candidate if readable else candidate.normalized
