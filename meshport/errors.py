"""The errors of Meshport, one tree.

    MeshError
    ├── AddressError              text that is no mesh address
    ├── DescriptorError           a product.yaml that cannot be read as a product
    ├── ProjectError              a folder that is no mesh project, or lacks what was asked of it
    ├── SchemaError               a schema that is not valid Avro, or not safe to decode
    ├── CodecError
    │   ├── EncodeError           a record that does not fit its schema
    │   └── DecodeError           bytes that are not what their schema says
    ├── EventError                a Kafka message that is no CloudEvent, or attributes that make none
    ├── KafkaError
    │   ├── BrokerUnavailable     no broker answers, or one could not be started
    │   ├── JarRejected           a jar of the embedded broker that is not the locked one
    │   ├── TopicError            a topic that is missing or could not be made
    │   ├── DeliveryUnknown       the broker did not say whether an event is stored
    │   └── TransactionAborted    a transaction that came to nothing
    ├── RegistryError
    │   ├── RegistryUnavailable   the registry did not answer
    │   ├── NotRegistered         no such product, address, subject or schema
    │   └── RegistrationRefused   the registry refused: incompatible, conflicting or invalid
    ├── GateError                 a question that the gate cannot answer: no such rule
    ├── PublishError              an event that was refused before it reached the broker
    ├── ReplayError               a replay whose bounds cannot be served
    └── ProcessError              a processor whose declaration or state cannot be run

Every class carries its facts as attributes; the message says what was found, where, and what would be right.
"""

from __future__ import annotations


class MeshError(Exception):
    """Root of everything that Meshport raises by intent.

    Args:
        message: what was found and where.
        hint: what would be right; shown on a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class AddressError(MeshError, ValueError):
    """Raised for text that is no mesh address."""


class DescriptorError(MeshError, ValueError):
    """Raised when a product.yaml cannot be read as a product.

    Args:
        message: what was found.
        file: the descriptor.
        line: 1-based line of the finding, where one is known.
    """

    def __init__(self, message: str, *, file: str = "", line: int | None = None, hint: str | None = None) -> None:
        where = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        super().__init__(where + message, hint=hint)
        self.file = file
        self.line = line


class ProjectError(MeshError):
    """Raised for a folder that is no mesh project, or that lacks what was asked of it."""


class SchemaError(MeshError, ValueError):
    """Raised for a schema that is not valid Avro, or that hostile bytes could turn into a bomb.

    Args:
        message: what was found and where.
        hint: what would be right.
        rule: id of the gate's rule that refuses it (`DECODING_BOMB`); None for what is no schema at all.
    """

    def __init__(self, message: str, *, hint: str | None = None, rule: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.rule = rule


class CodecError(MeshError, ValueError):
    """Root of the errors between bytes and records."""


class EncodeError(CodecError):
    """Raised for a record that does not fit its schema; `field` is its path (`price.amount`), "" for the record."""

    def __init__(self, message: str, *, field: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class DecodeError(CodecError):
    """Raised for bytes that are not what their schema says; `offset` is the byte at which that was seen, -1 if unknown."""

    def __init__(self, message: str, *, offset: int = -1, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.offset = offset


class EventError(MeshError, ValueError):
    """Raised for a Kafka message that is no CloudEvent, or for attributes that make none."""


class KafkaError(MeshError):
    """Root of the errors that come from a Kafka cluster."""


class BrokerUnavailable(KafkaError):  # noqa: N818 - names a state, as ConnectionRefusedError's siblings do
    """Raised when no broker answers, or when one could not be started."""


class JarRejected(KafkaError):  # noqa: N818 - names a verdict
    """Raised when a jar of the embedded broker does not have the locked SHA-256."""


class TopicError(KafkaError):
    """Raised when a topic is missing, or could not be made as declared."""


class DeliveryUnknown(KafkaError):  # noqa: N818 - names an outcome
    """Raised when the broker did not say whether an event is stored (librdkafka's POSSIBLY_PERSISTED)."""


class TransactionAborted(KafkaError):  # noqa: N818 - names an outcome
    """Raised when a transaction came to nothing: no committed reader ever sees what was sent in it. Do it again."""


class RegistryError(MeshError):
    """Root of the errors between the library and a registry."""


class RegistryUnavailable(RegistryError):  # noqa: N818 - names a state
    """Raised when the registry did not answer; never to be read as a yes."""


class NotRegistered(RegistryError, LookupError):  # noqa: N818 - names a state
    """Raised when the registry knows no such product, address, subject or schema."""


class RegistrationRefused(RegistryError):  # noqa: N818 - names a verdict
    """Raised when the registry refuses a registration; `findings` holds its reasons, one text each."""

    def __init__(self, message: str, *, findings: tuple[str, ...] = (), hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.findings = findings

    def __str__(self) -> str:
        # A single reason stands in the message already.
        reasons = "".join(f"\n  - {each}" for each in self.findings if each not in self.message)
        return self.message + reasons + (f"\nhint: {self.hint}" if self.hint else "")


class GateError(MeshError, ValueError):
    """Raised for a question that the gate cannot answer, such as one about a rule that there is not."""


class PublishError(MeshError):
    """Raised when an event is refused before it reaches the broker; nothing of it was stored."""


class ReplayError(MeshError):
    """Raised when the bounds of a replay cannot be served."""


class ProcessError(MeshError):
    """Raised when a processor's declaration or state cannot be run."""
