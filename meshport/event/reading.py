"""The schema that an event's record is resolved to, for each schema that events are written with.

A subscriber declares one. A processor reads into the contract of its input, so that a default is a default: an event that
was written before a field came has the field's default.
"""

from __future__ import annotations

from typing import Protocol

from meshport.codec.readable import readable
from meshport.errors import SchemaError
from meshport.schema import Schema


class ReaderSchemas(Protocol):
    """Chooses the schema that records are resolved to."""

    @property
    def schema(self) -> Schema:
        """The schema of data that names none."""

    def for_writer(self, writer: Schema) -> Schema:
        """Return the schema that records of a writer's schema are resolved to."""


class OneSchema:
    """One schema for the records of every writer.

    Args:
        schema: of the reader.
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def for_writer(self, writer: Schema) -> Schema:  # noqa: ARG002 - the same for all
        """See `ReaderSchemas`."""
        return self.schema


class ContractReader:
    """The contract of a port, as far as each writer's schema can give it.

    A field that the writer's schema does not have takes its default. A field without a default, or with a type that the
    writer's cannot be read as, is left out of the record: only a reader that needs it fails. Fields that the contract does
    not have are dropped. A record of another name than the contract's is none of it, and is read as it was written.

    Args:
        contract: of the port.
        needed: the contract cut down to the fields that the reader needs; by default all of it. Records of other schemas
            than the contract are resolved to these fields alone, so that no other field can fail.
        always: whether records of the contract itself are cut down as well.
    """

    def __init__(self, contract: Schema, needed: Schema | None = None, *, always: bool = False) -> None:
        self.schema = contract
        self._needed = needed or contract
        self._targets = {} if always else {contract.fingerprint: contract}

    def for_writer(self, writer: Schema) -> Schema:
        """See `ReaderSchemas`."""
        known = self._targets.get(writer.fingerprint)
        if known is None:
            try:
                known = readable(writer, self._needed) or writer
            except SchemaError:
                known = writer  # it is not safe to decode, which its decoder reports
            self._targets[writer.fingerprint] = known
        return known


def reader_schemas(reader: Schema | ReaderSchemas | None) -> ReaderSchemas | None:
    """Return the schemas that a reader asks for; None where each record keeps its writer's."""
    return OneSchema(reader) if isinstance(reader, Schema) else reader
