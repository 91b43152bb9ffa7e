"""Errors about what a project declares: addresses, descriptors, schemas, records and events."""

from __future__ import annotations

from meshport.errors.base import MeshError, with_facts


@with_facts
class AddressError(MeshError, ValueError):
    """Raised for text that is no mesh address.

    Attributes:
        text: the text, or the part of it that is wrong.
    """

    text: str | None = None


@with_facts
class DescriptorError(MeshError, ValueError):
    """Raised when a product.yaml cannot be read as a product. The message begins with file and line.

    Attributes:
        file: the descriptor; "" if it is not read from a file.
        line: the line of the finding, counted from 1.
    """

    file: str = ""
    line: int | None = None

    def __post_init__(self) -> None:
        where = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        self.message = where + self.message
        super().__post_init__()


@with_facts
class ProjectError(MeshError):
    """Raised for a folder that is no mesh project, and for a file of a project that is missing or cannot be used.

    Attributes:
        file: the file or folder.
    """

    file: str | None = None


@with_facts
class FileError(MeshError, ValueError):
    """Raised for a file of records that cannot be read as a whole, whatever single records of it are.

    The message begins with the file's name and the line.

    Attributes:
        file: the file's name; "" if it is not known.
        line: the line of the finding, counted from 1; None if it is about no line.
    """

    file: str = ""
    line: int | None = None

    def __post_init__(self) -> None:
        at = f"line {self.line}: " if self.line else ""
        self.message = (f"{self.file}: " if self.file else "") + at + self.message
        super().__post_init__()


@with_facts
class PolicyError(MeshError, ValueError):
    """Raised for a text of policies that is not Cedar, and for a policy that does not fit the mesh or its domain.

    Attributes:
        file: the file of the policy; None where it is known by no file.
        findings: the single reasons, one text each.
    """

    file: str | None = None
    findings: tuple[str, ...] = ()


@with_facts
class SchemaError(MeshError, ValueError):
    """Raised for a schema that is not valid Avro, or that a few hostile bytes could expand to gigabytes.

    Attributes:
        source: the file, or another name of the schema, as the message begins with it.
        rule: the id of the gate's rule that refuses the schema (`DECODING_BOMB`); None if it is not valid Avro.
    """

    source: str | None = None
    rule: str | None = None


class CodecError(MeshError, ValueError):
    """Root of the errors of encoding and decoding records."""


@with_facts
class EncodeError(CodecError):
    """Raised for a record that does not fit its schema.

    Attributes:
        field: the path of the field (`price.amount`); "" for the record itself.
    """

    field: str = ""


@with_facts
class DecodeError(CodecError):
    """Raised for bytes that are not what their schema says.

    Attributes:
        offset: the number of the byte at which the error was found, counted from 0; -1 if it is not known.
    """

    offset: int = -1


@with_facts
class EventError(MeshError, ValueError):
    """Raised for a Kafka message that is no CloudEvent, and for attributes that make none.

    Attributes:
        attribute: the name of the attribute or header that is missing or wrong.
    """

    attribute: str | None = None


@with_facts
class WrongPartition(EventError):  # noqa: N818 - names a finding
    """Raised for an event in another partition than that of its key, where a result needs all events of a key in one.

    Attributes:
        key: the record key; None where the event has none.
        partition: the partition that the event is in.
        expected: the partition of its key; None where the event has no key.
        partitions: the number of partitions of the topic.
    """

    key: bytes | None = None
    partition: int | None = None
    expected: int | None = None
    partitions: int | None = None


@with_facts
class GateError(MeshError, ValueError):
    """Raised for a question that the gate cannot answer, such as one about a rule that does not exist.

    Attributes:
        rule: the id of the rule that was asked for.
        address: the address that was asked about.
    """

    rule: str | None = None
    address: str | None = None
