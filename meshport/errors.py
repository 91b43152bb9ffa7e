"""The errors of Meshport, one tree.

    MeshError
    ├── AddressError              text that is no mesh address
    ├── DescriptorError           a product.yaml that cannot be read as a product
    ├── ProjectError              a folder that is no mesh project, or a file missing from one
    ├── SchemaError               a schema that is not valid Avro, or not safe to decode
    ├── CodecError
    │   ├── EncodeError           a record that does not fit its schema
    │   └── DecodeError           bytes that are not what their schema says
    ├── EventError                a Kafka message that is no CloudEvent, or attributes that make none
    │   └── WrongPartition        an event in another partition than that of its key
    ├── KafkaError
    │   ├── BrokerUnavailable     no broker answers, or one could not be started
    │   ├── JarRejected           a jar of the embedded broker that is not the locked one
    │   ├── TopicError            a topic that is missing or could not be created
    │   │   ├── TopicRemade       a topic that was deleted and made again under its readers
    │   │   └── PartitionsAdded   a topic with more partitions than its reader can take up
    │   ├── HistoryMissing        history that was asked for and is removed from the log
    │   ├── HistoryUndecided      history that was asked for and waits for an open transaction
    │   ├── DeliveryUnknown       the broker did not report whether an event is stored
    │   ├── TransactionAborted    a transaction that was aborted
    │   └── MemberFenced          a group member whose name another member has
    ├── RegistryError
    │   ├── RegistryUnavailable   the registry did not answer
    │   ├── NotRegistered         a product, address, subject or schema that is not registered
    │   └── RegistrationRefused   the registry refused: incompatible, conflicting or invalid
    ├── GateError                 a question that the gate cannot answer: no such rule
    ├── PublishError              an event that was refused; nothing of it is stored
    ├── ReplayError               a replay whose bounds cannot be served
    └── ProcessError              a processor whose declaration or state cannot be run
        └── StateDamaged          stored state that is not what its checkpoint says

The message of an error names what was found, where, and what would be right. The facts in the message are attributes of
the error too. A constructor takes the message and, by keyword, the attributes of its class. A fact that the raising code
does not know is None. Errors can be pickled, and `repr` shows the message and every known fact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar, dataclass_transform

_E = TypeVar("_E", bound=BaseException)

_UNKNOWN: Final = (None, "", (), -1)
"""The values of an attribute whose fact is not known; `repr` leaves them out."""


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
def _with_facts(kind: type[_E]) -> type[_E]:
    """Make the constructor of an error class: the message, and by keyword the attributes of the class and its parents.

    Two errors are equal if they are one object, as exceptions are.
    """
    return dataclass(kw_only=True, eq=False, repr=False)(kind)


@_with_facts
class MeshError(Exception):
    """Root of every error that Meshport raises on purpose.

    Attributes:
        message: what was found and where.
        hint: what would be right; shown on a line of its own.
    """

    message: str = field(kw_only=False)
    hint: str | None = None

    def __post_init__(self) -> None:
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message

    def __repr__(self) -> str:
        known = {name: each for name, each in vars(self).items() if name != "message" and each not in _UNKNOWN}
        facts = "".join(f", {name}={each!r}" for name, each in known.items())
        return f"{type(self).__name__}({self.message!r}{facts})"

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException's own calls the constructor with `args`, which hold the message alone.
        return _unpickled, (type(self), self.args), vars(self)


def _unpickled(kind: type[MeshError], args: tuple[Any, ...]) -> MeshError:
    """Return an error without attributes, which pickle sets next."""
    return kind.__new__(kind, *args)


@_with_facts
class AddressError(MeshError, ValueError):
    """Raised for text that is no mesh address.

    Attributes:
        text: the text, or the part of it that is wrong.
    """

    text: str | None = None


@_with_facts
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


@_with_facts
class ProjectError(MeshError):
    """Raised for a folder that is no mesh project, and for a file of a project that is missing or cannot be used.

    Attributes:
        file: the file or folder.
    """

    file: str | None = None


@_with_facts
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


@_with_facts
class EncodeError(CodecError):
    """Raised for a record that does not fit its schema.

    Attributes:
        field: the path of the field (`price.amount`); "" for the record itself.
    """

    field: str = ""


@_with_facts
class DecodeError(CodecError):
    """Raised for bytes that are not what their schema says.

    Attributes:
        offset: the number of the byte at which the error was found, counted from 0; -1 if it is not known.
    """

    offset: int = -1


@_with_facts
class EventError(MeshError, ValueError):
    """Raised for a Kafka message that is no CloudEvent, and for attributes that make none.

    Attributes:
        attribute: the name of the attribute or header that is missing or wrong.
    """

    attribute: str | None = None


@_with_facts
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


@_with_facts
class KafkaError(MeshError):
    """Root of the errors that come from a Kafka cluster.

    Attributes:
        topic: the topic.
        partition: the partition of the topic.
        offset: the offset in the partition.
        code: the client's name of the error (`_TRANSPORT`, `UNKNOWN_TOPIC_OR_PART`), if the client reported one.
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    code: str | None = None


@_with_facts
class BrokerUnavailable(KafkaError):  # noqa: N818 - names a state, as ConnectionRefusedError's siblings do
    """Raised when no broker answers, or when one could not be started.

    Attributes:
        servers: the bootstrap servers.
    """

    servers: str | None = None


@_with_facts
class JarRejected(KafkaError):  # noqa: N818 - names a verdict
    """Raised when a jar of the embedded broker does not have the locked SHA-256, or is not in the lock.

    Attributes:
        file: the jar.
        expected: the locked SHA-256.
        found: the SHA-256 of the file.
    """

    file: str | None = None
    expected: str | None = None
    found: str | None = None


class TopicError(KafkaError):
    """Raised when a topic is missing, or could not be created as declared."""


@_with_facts
class TopicRemade(TopicError):  # noqa: N818 - names what happened
    """Raised when a topic was deleted and made again: what was read, or is kept as state, belongs to another log.

    Attributes:
        group: the consumer group that has read the earlier log.
        expected_id: Kafka's id of the topic whose log was read; None if it is not known.
        found_id: Kafka's id of the present topic; None if it is not known.
    """

    group: str | None = None
    expected_id: str | None = None
    found_id: str | None = None


@_with_facts
class PartitionsAdded(TopicError):  # noqa: N818 - names what happened
    """Raised when a topic got more partitions than a processor was planned for, and its logic cannot take them up.

    Attributes:
        planned: the number of partitions that the processor was planned for.
        found: the number of partitions that the topic has.
    """

    planned: int | None = None
    found: int | None = None


@_with_facts
class HistoryMissing(KafkaError):  # noqa: N818 - names a state
    """Raised when history that a reader asks for is no longer in the log: retention, or a request, deleted its records.

    Attributes:
        offset: the first offset of the partition that is left.
        recorded: when the first record that is left was recorded; None if no record is left, or if it is not known.
        asked: the offset, or the time, from which the reader asked for the history.
    """

    recorded: datetime | None = None
    asked: int | datetime | None = None


@_with_facts
class HistoryUndecided(KafkaError):  # noqa: N818 - names a state
    """Raised when history that a reader asks for lies after a transaction that is still open.

    Kafka returns no record from there on, not even of transactions that are committed, until that one ends
    (`isolation.level=read_committed`, the last stable offset).

    Attributes:
        offset: the last stable offset: the first offset that cannot be read.
        end: the end of the log, after the last offset that cannot be read.
    """

    end: int | None = None


@_with_facts
class DeliveryUnknown(KafkaError):  # noqa: N818 - names an outcome
    """Raised when the broker did not report whether an event is stored (librdkafka's POSSIBLY_PERSISTED).

    Attributes:
        ids: the ids of the events that are not stored for certain, where they are known.
    """

    ids: tuple[str, ...] = ()


class TransactionAborted(KafkaError):  # noqa: N818 - names an outcome
    """Raised when a transaction was aborted. No `read_committed` consumer sees a record of it; the caller repeats it."""


class MemberFenced(KafkaError):  # noqa: N818 - names a state
    """Raised when a consumer group has another member under the name of this one, as far as its coordinator knows."""


@_with_facts
class RegistryError(MeshError):
    """Root of the errors between the library and a registry.

    Attributes:
        url: the URL of the registry, or of the request.
        status: the HTTP status of the answer; None if there was no answer.
    """

    url: str | None = None
    status: int | None = None


class RegistryUnavailable(RegistryError):  # noqa: N818 - names a state
    """Raised when the registry did not answer, or not as a registry of this version does. It is never a pass."""


@_with_facts
class NotRegistered(RegistryError, LookupError):  # noqa: N818 - names a state
    """Raised for a product, address, subject or schema that the registry does not have, or that is retired.

    Attributes:
        successor: the address that replaces a retired one.
    """

    successor: str | None = None


@_with_facts
class RegistrationRefused(RegistryError):  # noqa: N818 - names a verdict
    """Raised when the registry refuses a request.

    Attributes:
        findings: the single reasons, one text each; those of the gate begin with the id of a rule.
    """

    findings: tuple[str, ...] = ()

    def __str__(self) -> str:
        # The message repeats a single reason.
        reasons = "".join(f"\n  - {each}" for each in self.findings if each not in self.message)
        return self.message + reasons + (f"\nhint: {self.hint}" if self.hint else "")


@_with_facts
class GateError(MeshError, ValueError):
    """Raised for a question that the gate cannot answer, such as one about a rule that does not exist.

    Attributes:
        rule: the id of the rule that was asked for.
        address: the address that was asked about.
    """

    rule: str | None = None
    address: str | None = None


@_with_facts
class PublishError(MeshError):
    """Raised when an event is refused, by the publisher or by the broker; nothing of it is stored.

    Attributes:
        address: the address that the event was for.
        field: the field of the record that is missing or wrong.
        ids: the ids of the events that are refused, where they are known.
    """

    address: str | None = None
    field: str | None = None
    ids: tuple[str, ...] = ()


@_with_facts
class ReplayError(MeshError):
    """Raised when the bounds of a replay cannot be served.

    Attributes:
        topic: the topic.
        partition: the partition of the bound.
        offset: the offset of the bound.
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


@_with_facts
class ProcessError(MeshError):
    """Raised when a processor's declaration or state cannot be run.

    Attributes:
        address: the product of the processor, or the port at fault.
        topic: the topic that the processor reads or keeps its state in.
        partition: the partition of the topic.
        offset: the offset in the partition.
    """

    address: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


class StateDamaged(ProcessError):  # noqa: N818 - names a state
    """Raised when the changelog of a processor does not hold the state that its checkpoint describes.

    Attributes:
        offset: the input offset of the checkpoint.
    """
