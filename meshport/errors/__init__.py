"""The errors of Meshport, one tree.

    MeshError
    ├── AddressError              text that is no mesh address
    ├── DescriptorError           a product.yaml that cannot be read as a product
    ├── ProjectError              a folder that is no mesh project, or a file missing from one
    ├── FileError                 a file of records that cannot be read as a whole
    ├── PolicyError               policies that are not Cedar, or do not fit the mesh or their domain
    ├── SchemaError               a schema that is not valid Avro, or not safe to decode
    ├── CodecError
    │   ├── EncodeError           a record that does not fit its schema
    │   └── DecodeError           bytes that are not what their schema says
    ├── EventError                a Kafka message that is no CloudEvent, or attributes that make none
    │   └── WrongPartition        an event in another partition than that of its key
    ├── KafkaError
    │   ├── BrokerUnavailable     no broker answers, or one could not be started
    │   ├── KafkaConfigError      a property of a connection that cannot be used, or a file of them
    │   │   └── UnknownCluster    a cluster without a connection of its name
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
    │   ├── RegistrationRefused   the registry refused: incompatible, conflicting or invalid
    │   ├── LoginRefused          a login that cannot be made, has ended, or would be readable on the network
    │   ├── NewerRegistry         a value of a newer registry that is needed and not known here
    │   └── AuditBroken           entries of an audit that were changed, removed, added or moved
    ├── OutboxUnavailable         the database of an outbox does not answer, or has no outbox
    ├── ShardLost                 a shard of an outbox that another relay has taken
    ├── GateError                 a question that the gate cannot answer: no such rule
    ├── MetricsUnavailable        metrics that cannot be served: the port is taken
    ├── PublishError              an event that was refused; nothing of it is stored
    ├── ReplayError               a replay whose bounds cannot be served
    ├── ArchiveError              an archive that cannot be opened, or cannot take or give back what its topic has
    ├── QueryError                a question to a port's past that is wrong, or that the port cannot answer
    ├── LevelsNotMet              a port whose service levels are below what its reader requires
    └── ProcessError              a processor whose declaration or state cannot be run
        └── StateDamaged          stored state that is not what its checkpoint says

The message of an error names what was found, where, and what would be right. The facts in the message are attributes of
the error too. A constructor takes the message and, by keyword, the attributes of its class. A fact that the raising code
does not know is None. Errors can be pickled, and `repr` shows the message and every known fact.
"""

from __future__ import annotations

from meshport.errors.archive import ArchiveError, QueryError
from meshport.errors.base import MeshError
from meshport.errors.contract import (
    AddressError,
    CodecError,
    DecodeError,
    DescriptorError,
    EncodeError,
    EventError,
    FileError,
    GateError,
    PolicyError,
    ProjectError,
    SchemaError,
    WrongPartition,
)
from meshport.errors.kafka import (
    BrokerUnavailable,
    DeliveryUnknown,
    HistoryMissing,
    HistoryUndecided,
    JarRejected,
    KafkaConfigError,
    KafkaError,
    MemberFenced,
    PartitionsAdded,
    TopicError,
    TopicRemade,
    TransactionAborted,
    UnknownCluster,
)
from meshport.errors.metrics import MetricsUnavailable
from meshport.errors.outbox import OutboxUnavailable, ShardLost
from meshport.errors.ports import LevelsNotMet, PublishError, ReplayError
from meshport.errors.process import ProcessError, StateDamaged
from meshport.errors.registry import (
    AuditBroken,
    LoginRefused,
    NewerRegistry,
    NotRegistered,
    RegistrationRefused,
    RegistryError,
    RegistryUnavailable,
)

__all__ = [
    "AddressError",
    "ArchiveError",
    "AuditBroken",
    "BrokerUnavailable",
    "CodecError",
    "DecodeError",
    "DeliveryUnknown",
    "DescriptorError",
    "EncodeError",
    "EventError",
    "FileError",
    "GateError",
    "HistoryMissing",
    "HistoryUndecided",
    "JarRejected",
    "KafkaConfigError",
    "KafkaError",
    "LoginRefused",
    "MemberFenced",
    "MeshError",
    "MetricsUnavailable",
    "NewerRegistry",
    "NotRegistered",
    "OutboxUnavailable",
    "PartitionsAdded",
    "ProcessError",
    "PolicyError",
    "ProjectError",
    "PublishError",
    "QueryError",
    "RegistrationRefused",
    "RegistryError",
    "RegistryUnavailable",
    "ReplayError",
    "LevelsNotMet",
    "SchemaError",
    "ShardLost",
    "StateDamaged",
    "TopicError",
    "TopicRemade",
    "TransactionAborted",
    "UnknownCluster",
    "WrongPartition",
]
