"""The data product descriptor: the models of a product.yaml.

Field names follow the Bitol standards where they have one: ODPS 1.0 (id, status, description, tags, inputPorts,
outputPorts) and ODCS 3.1 (slaProperties, classification). JSON Schema for editors: `meshport.product.json_schema`.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from meshport.address import Address, subject_name, topic_name
from meshport.product.archive import Archive
from meshport.product.day import Day
from meshport.product.duration import format_duration, parse_duration
from meshport.product.input_port import AddressText, Disagreement, InputPort, Model
from meshport.product.lines import live_major, misdated, mismigrated, utc_today
from meshport.product.migration import Migration
from meshport.product.processing import Processing
from meshport.product.topic_settings import TopicConfig, broken_promises

TOPIC_NAME: Final = "^[A-Za-z0-9._-]{1,249}$"
"""The names that Kafka takes for topics (`org.apache.kafka.common.internals.Topic`)."""
CLUSTER_NAME: Final = "^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""The names of Kafka clusters: bare keys of TOML, so that meshport.toml has them as `[clusters.NAME]`."""


class Archetype(StrEnum):
    """A product's kind, as the data mesh literature has them: of facts, of other products, or for one consumer's need."""

    SOURCE_ALIGNED = "source-aligned"
    AGGREGATE = "aggregate"
    CONSUMER_ALIGNED = "consumer-aligned"


class Compatibility(StrEnum):
    """The seven compatibility levels, under the names of Confluent's Schema Registry."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @classmethod
    def default_for(cls, archetype: Archetype) -> Compatibility:
        """Return the default level of an archetype.

        Facts are kept and replayed for ever, an aggregate less so, and a consumer's own view can be regenerated.
        """
        return {
            Archetype.SOURCE_ALIGNED: cls.FULL_TRANSITIVE,
            Archetype.AGGREGATE: cls.FULL,
            Archetype.CONSUMER_ALIGNED: cls.FORWARD_TRANSITIVE,
        }[archetype]


class Protection(StrEnum):
    """The readers that the gate protects from a change of a port's schema.

    Attributes:
        EVERYONE: all readers, known or not; the default.
        DECLARED: the products that declare the port as an input port; a change of fields that none of them reads passes.
    """

    EVERYONE = "everyone"
    DECLARED = "declared-readers"


class Status(StrEnum):
    """A product's position in its lifecycle (ODPS `status`)."""

    DRAFT = "draft"
    ACTIVE = "active"
    DEPRECATED = "deprecated"
    RETIRED = "retired"


Retention = Annotated[
    timedelta | None,
    BeforeValidator(lambda value: None if value == "forever" else parse_duration(value)),
    PlainSerializer(lambda value: "forever" if value is None else format_duration(value), return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d)|forever)$", "default": "forever"}),
]
"""How long events are kept: a duration, or None, written `forever`."""


def _of_product(address: Address) -> Address:
    if address.port is not None:
        raise ValueError(f"{address} names a port; a product's address is {address.of_product}")
    return address


_KEY_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1, "uniqueItems": True},
        {"type": "null"},
    ]
}


def _key(value: Any) -> Any:
    fields = [value] if isinstance(value, str) else value
    if value is None or (
        isinstance(fields, list | tuple) and fields and all(isinstance(each, str) and each for each in fields)
    ):
        if value is not None and len(set(fields)) < len(fields):
            raise ValueError(f"the key names a field twice: {', '.join(fields)}")
        return tuple(value) if isinstance(value, list) else value
    raise ValueError(f"{value!r} is no key; write a field's name, or a list of them")


def _port_word(name: str) -> str:
    Address("domain", "product", name)  # raises AddressError for a word that an address cannot have
    return name


class OutputPort(Model):
    """A port that others subscribe to: one contract, one topic.

    Attributes:
        name: the port's name in its address.
        major: the contract's major version.
        schema_file: the Avro file, relative to the project; by default the one whose path mirrors the address.
        key: the field whose value is the record key, so that events of one key keep their order; a list makes a
            composite key of the values joined by `|`.
        time: the field that holds the event time (`ce_time`); without one the publisher gives the time.
        type: the CloudEvents type; by default `<domain>.<product>.<port>.v<major>`.
        compatibility: the level of the contract; by default that of the archetype.
        protects: the readers that the gate protects from a change of the schema: everyone, or only declared readers, in the
            fields that they name.
        topic: the name of a topic that was there before the product and is adopted as it is (`meshport adopt`): `apply` neither
            makes nor changes it, but for settings that this entry declares. By default the mesh names the topic and makes it.
        envelope: `none` where the topic's events are no CloudEvents: an event's id is made of its topic, partition and offset,
            its source is the port's address, and its time is that of `time`, or Kafka's timestamp. By default `cloudevents`.
        cluster: the name of the Kafka cluster that holds the topic; by default the cluster that products are applied to.
        partitions: the topic's partition count. It never changes within a generation, since keys would move.
        retention: how long Kafka keeps events: a length of time, or `forever`.
        cleanup: `delete` keeps every event for the retention, `compact` the last event of each key.
        replication_factor: on how many brokers each partition is kept; by default on as many as `replication.factor` of the
            connection says, else on three where the cluster has as many, else on one. Of three, two have to store an event
            (`min.insync.replicas`).
        compression: how the broker keeps batches (`compression.type`); by default as their producer compressed them.
        config: further settings of the topic, by Kafka's names. Those that would break a promise are refused.
        replay: `approval` where a replay job of the port waits for the owner of the product to approve it.
        archive: where its events are kept for ever as a table; by default they are not.
        migration: how the events of an earlier major line are read as events of this one; by default they are not.
        live_from: of a higher major, the day (UTC) from which an address without a major resolves to this line; until
            then only the address with the major does. By default at once.
        deprecated_on: the day after which readers should have moved to the next major.
    """

    name: Annotated[str, AfterValidator(_port_word)] = "events"
    major: int = Field(default=1, ge=1, le=999_999_999)
    schema_file: str | None = Field(default=None, alias="schema")
    key: Annotated[
        str | tuple[str, ...] | None, BeforeValidator(_key), WithJsonSchema(_KEY_SCHEMA | {"default": None})
    ] = None
    time: str | None = None
    type: str | None = None
    compatibility: Compatibility | None = None
    protects: Protection = Field(
        default=Protection.EVERYONE,
        description="the readers that the gate protects: everyone, or only declared-readers, in the fields that they name",
    )
    topic: str | None = Field(
        default=None,
        pattern=TOPIC_NAME,
        description="the name of an existing topic that is adopted as it is; by default the mesh names the topic and makes it",
    )
    envelope: Literal["cloudevents", "none"] | None = Field(
        default=None,
        description="none where the topic's events are no CloudEvents; by default cloudevents",
    )
    cluster: str | None = Field(
        default=None,
        pattern=CLUSTER_NAME,
        description="the name of the Kafka cluster that holds the topic, as meshport.toml has it; by default the cluster that "
        "products are applied to",
    )
    partitions: int = Field(default=4, ge=1, le=4096)
    retention: Retention = None
    cleanup: Literal["delete", "compact"] = "delete"
    replication_factor: int | None = Field(default=None, ge=1, le=32_767)
    compression: Literal["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"] | None = None
    config: TopicConfig = None
    replay: Literal["approval"] | None = Field(
        default=None, description="approval where a replay job waits for the owner of the product to approve it"
    )
    archive: Archive | None = Field(
        default=None, description="keep its events for ever in an Apache Iceberg table, beside the topic"
    )
    migration: Migration | None = Field(
        default=None, description="read the events of an earlier major line as events of this one"
    )
    live_from: Day | None = Field(
        default=None,
        description="the day (UTC) from which an address without a major leads to this line; without it, at once",
    )
    deprecated_on: Day | None = Field(
        default=None, description="the day after which readers should have moved to the port's next major"
    )

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields of the record key, in order; empty for a port without one."""
        return () if self.key is None else (self.key,) if isinstance(self.key, str) else self.key

    @property
    def adopted(self) -> bool:
        """Whether the topic was there before the product, and belongs to others as well."""
        return self.topic is not None

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.topic in {".", ".."}:
            raise Disagreement(f"{self.topic!r} is no name of a topic", "topic")
        if self.envelope == "none" and self.topic is None:
            raise Disagreement(
                f"port {self.name!r} has `envelope: none`, but no `topic`: the topics that the mesh makes hold CloudEvents\n"
                "hint: name the topic that is there already, or leave `envelope` out",
                "envelope",
            )
        if self.cleanup == "compact" and not self.key_fields:
            raise Disagreement(
                f"port {self.name!r} is compacted but has no key; compaction keeps the last record of each key",
                "cleanup",
            )
        for name, why, instead in broken_promises(self):
            raise Disagreement(f"`{name}: {(self.config or {})[name]}` {why}\nhint: {instead}", "config", name)
        return self


class ServiceLevel(Model):
    """One service level objective (ODCS `slaProperties`).

    Attributes:
        property: what is promised: timeliness, intervalOfChange, completeness, availability, ...
        value: the objective.
        unit: the value's unit (s, m, h, d, percent).
        port: the port that it applies to; by default all of them.
        element: the field that it is measured by, or several with commas: for completeness the field that numbers the facts,
            for drift the fields whose values are watched.
    """

    property: str
    value: float = Field(allow_inf_nan=False)
    unit: str | None = None
    port: str | None = None
    element: str | None = None


class Product(Model):
    """A data product as its team declares it.

    Attributes:
        address: `mesh://<domain>/<product>`; permanent.
        id: a GUID that never changes, even if all else does.
        archetype: source-aligned, aggregate or consumer-aligned; determines the default compatibility.
        display_name: the name that people read.
        description: a sentence about what the product holds.
        owner: the team that answers for the product.
        contact: where its readers reach the owner: a mail address, a channel.
        source_code_location: the location of the code that builds the product.
        required_security_group: the group whose members may read it.
        tags: words by which it is found.
        classification: how sensitive its data is.
        status: the product's position in its lifecycle.
        deprecated_on: the day after which readers should have left; requires `status: deprecated`.
        successor: the address that replaces a deprecated product.
        input_ports: the ports of other products that it reads; none for a source-aligned product.
        output_ports: the ports that others read. The first one is the default port, which `process` builds.
        sla_properties: the service level objectives that it promises.
        source: `<file>:<callable>` of a source-aligned product that the mesh can run itself, relative to the
            product's folder.
        process: how a derived product is built from its input ports.
    """

    address: Annotated[AddressText, AfterValidator(_of_product)] = Field(description="mesh://<domain>/<product>")
    id: UUID = Field(description="a GUID that never changes, such as `uuidgen` gives")
    archetype: Archetype = Field(description="source-aligned, aggregate or consumer-aligned")
    display_name: str | None = None
    description: str = Field(min_length=1, description="a sentence about what the product holds")
    owner: str = Field(min_length=1, description="the team that answers for the product")
    contact: str | None = None
    source_code_location: str | None = None
    required_security_group: str | None = None
    tags: tuple[str, ...] = ()
    classification: Literal["public", "internal", "confidential", "restricted"] = "internal"
    status: Status = Status.ACTIVE
    deprecated_on: date | None = None
    successor: AddressText | None = None
    input_ports: tuple[InputPort, ...] = ()
    output_ports: tuple[OutputPort, ...] = Field(min_length=1, description="at least one port: `- name: events`")
    sla_properties: tuple[ServiceLevel, ...] = ()
    source: str | None = None
    process: Processing | None = None

    @property
    def default_port(self) -> OutputPort:
        """The port that the product's address without a port resolves to: the first one."""
        return self.output_ports[0]

    def port(
        self, name: str | None = None, major: int | None = None, *, today: date | None = None
    ) -> OutputPort | None:
        """Return a port; by default the default port at its live major.

        Args:
            name: the port's name.
            major: the contract's major version.
            today: the day (UTC) on which the live major is live; by default the current one.

        Returns:
            The port; None where the product has no such port or major.
        """
        lines = self.lines(name)
        if major is None:
            major = live_major({each.major: each.live_from for each in lines.values()}, today or utc_today())
        return None if major is None else lines.get(major)

    def lines(self, name: str | None = None) -> dict[int, OutputPort]:
        """Return the major lines of a port, by major; by default those of the default port."""
        return {port.major: port for port in self.output_ports if port.name == (name or self.default_port.name)}

    def port_address(self, port: OutputPort) -> Address:
        """Return the full address of one of this product's ports."""
        return self.address.at(port.name, port.major)

    def compatibility(self, port: OutputPort) -> Compatibility:
        """Return the compatibility level of a port's contract."""
        return port.compatibility or Compatibility.default_for(self.archetype)

    def topic(self, port: OutputPort, *, generation: int = 1) -> str:
        """Return the topic of a port: the one that it adopts, or the one that the mesh makes for a generation of it."""
        return port.topic or topic_name(self.port_address(port), generation=generation)

    def subject(self, port: OutputPort) -> str:
        """Return the registry's subject of a port's schema, `<topic>-value` (Confluent's TopicNameStrategy).

        The other writers of an adopted topic find it by the topic's own name.
        """
        return f"{port.topic}-value" if port.topic else subject_name(self.port_address(port))

    def event_type(self, port: OutputPort) -> str:
        """Return the CloudEvents `type` of a port's events."""
        return port.type or f"{self.address.domain}.{self.address.product}.{port.name}.v{port.major}"

    @model_validator(mode="after")
    def _ports_agree(self) -> Self:
        lines: set[tuple[str, int]] = set()
        for index, port in enumerate(self.output_ports):
            if (port.name, port.major) in lines:
                raise Disagreement(
                    f"the output port {port.name}@{port.major} is declared twice", "outputPorts", index, "name"
                )
            lines.add((port.name, port.major))
            self.port_address(port)  # raises AddressError where the parts together are too long
        read: set[Address] = set()
        for index, reads in enumerate(self.input_ports):
            if reads.address.of_product == self.address:
                raise Disagreement(f"{self.address} cannot read itself", "inputPorts", index, "address")
            if reads.address in read:
                raise Disagreement(
                    f"{reads.address} is read twice; name its fields once", "inputPorts", index, "address"
                )
            read.add(reads.address)
        names = {name for name, _ in lines}
        for index, level in enumerate(self.sla_properties):
            if level.port is not None and level.port not in names:
                raise Disagreement(
                    f"there is no port {level.port!r}; the output ports are {', '.join(sorted(names))}",
                    "slaProperties",
                    index,
                    "port",
                )
        return self

    @model_validator(mode="after")
    def _dates_agree(self) -> Self:
        for index, key, message in misdated(self.output_ports):
            raise Disagreement(message, "outputPorts", index, key)
        for index, key, message in mismigrated(self.output_ports):
            raise Disagreement(message, "outputPorts", index, "migration", key)
        return self

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.archetype is Archetype.SOURCE_ALIGNED:
            for given, key in ((self.input_ports, "inputPorts"), (self.process, "process")):
                if given:
                    raise Disagreement(
                        "a source-aligned product holds facts of its own domain; it has no inputPorts and no process",
                        key,
                    )
        else:
            article = "an" if self.archetype is Archetype.AGGREGATE else "a"
            if not self.input_ports:
                raise Disagreement(
                    f"{article} {self.archetype} product is built from others; name them in inputPorts", "archetype"
                )
            if self.source:
                raise Disagreement(
                    f"`source` belongs to source-aligned products; this one is {self.archetype}: use `process`",
                    "source",
                )
        if self.deprecated_on is not None and self.status not in {Status.DEPRECATED, Status.RETIRED}:
            raise Disagreement(
                f"deprecatedOn is given but status is {self.status}; a deprecated product says so in status",
                "deprecatedOn",
            )
        if self.process and self.default_port.topic is not None:
            index = self.output_ports.index(self.default_port)
            raise Disagreement(
                f"the port {self.default_port.name!r} adopts the topic {self.default_port.topic}, and `process` would write "
                "into it beside its other writers\nhint: let the mesh make the topic, or leave `process` out",
                *("outputPorts", index, "topic"),
            )
        if self.process:
            declared = {port.address.of_product for port in self.input_ports}
            for address in self.process.addresses:
                if address.of_product not in declared:
                    raise Disagreement(f"process reads {address}, which is not among the inputPorts", "process")
            for index, step in enumerate(self.process.steps):
                if step.aggregate and step.aggregate.emit == "batch" and self.default_port.cleanup != "compact":
                    raise Disagreement(
                        "`emit: batch` leaves out an output that a later one of its key replaces; the port would have to be "
                        "a table: `cleanup: compact`",
                        *("process", "steps", index, "aggregate", "emit"),
                    )
        return self
