"""The data product descriptor: what one product.yaml may say.

Field names follow the Bitol standards where they have one: ODPS 1.0 (id, status, description, tags, inputPorts,
outputPorts) and ODCS 3.1 (slaProperties, classification). JSON Schema for editors: `Product.model_json_schema()`.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from meshport.address import Address
from meshport.product.duration import format_duration, parse_duration
from meshport.product.processing import Processing


class Model(BaseModel):
    """Base of the descriptor's models: camelCase outside, frozen, unknown keys refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class Archetype(StrEnum):
    """What a data product is made from (data mesh literature): facts, other products, or one consumer's need."""

    SOURCE_ALIGNED = "source-aligned"
    AGGREGATE = "aggregate"
    CONSUMER_ALIGNED = "consumer-aligned"


class Compatibility(StrEnum):
    """The seven compatibility levels, named as Confluent's registry names them."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @classmethod
    def default_for(cls, archetype: Archetype) -> Compatibility:
        """Facts are kept and replayed for ever; an aggregate less so; a consumer's own view can be regenerated."""
        return {
            Archetype.SOURCE_ALIGNED: cls.FULL_TRANSITIVE,
            Archetype.AGGREGATE: cls.FULL,
            Archetype.CONSUMER_ALIGNED: cls.FORWARD_TRANSITIVE,
        }[archetype]


class Status(StrEnum):
    """Lifecycle of a product (ODPS `status`)."""

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
"""How long events are kept: a length of time, or None, written `forever`."""


def _address(value: Any) -> Any:
    return Address.parse(value) if isinstance(value, str) else value


AddressText = Annotated[
    Address,
    BeforeValidator(_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["mesh://player/plays", "mesh://player/plays/events@1"]}),
]
"""An address, written as text."""


def _of_product(address: Address) -> Address:
    if address.port is not None:
        raise ValueError(f"{address} names a port; a product's address is {address.of_product}")
    return address


class InputPort(Model):
    """A port of another product that this one reads.

    Attributes:
        address: what is read.
        fields: the fields that are read; empty means all of them, and the gate counts it so.
    """

    address: AddressText
    fields: tuple[str, ...] = ()


class OutputPort(Model):
    """A port that others subscribe to: one contract, one topic.

    Attributes:
        name: the port's word in its address.
        major: the contract's major line.
        schema_file: the Avro file, relative to the project; by default the one whose path mirrors the address.
        key: the field whose value is the record key, so that events of one key keep their order; a list makes a
            composite key of the values joined by `|`.
        time: the field that says when the fact happened (`ce_time`); without one the publisher gives the time.
        type: the CloudEvents type; by default `<domain>.<product>.<port>.v<major>`.
        compatibility: default by archetype.
        partitions: of the topic. It never changes under one generation, since keys would move.
        retention: how long events are kept on Kafka; None, written `forever`, for all time.
        cleanup: `delete` keeps every event for the retention, `compact` the last of each key.
    """

    name: str = "events"
    major: int = Field(default=1, ge=1)
    schema_file: str | None = Field(default=None, alias="schema")
    key: str | tuple[str, ...] | None = None
    time: str | None = None
    type: str | None = None
    compatibility: Compatibility | None = None
    partitions: int = Field(default=4, ge=1, le=4096)
    retention: Retention = None
    cleanup: Literal["delete", "compact"] = "delete"

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields of the record key, in order; empty for a port without a key."""
        return () if self.key is None else (self.key,) if isinstance(self.key, str) else self.key

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.cleanup == "compact" and not self.key_fields:
            raise ValueError(
                f"port {self.name!r} is compacted but has no key; compaction keeps the last record of each key"
            )
        return self


class ServiceLevel(Model):
    """One service level objective (ODCS `slaProperties`).

    Attributes:
        property: what is promised: timeliness, intervalOfChange, completeness, availability, ...
        value: the promised figure.
        unit: of the figure (s, m, h, d, percent).
        port: the port it holds for; None for all.
    """

    property: str
    value: float
    unit: str | None = None
    port: str | None = None


class Product(Model):
    """A data product as its team declares it.

    Attributes:
        address: `mesh://<domain>/<product>`; permanent.
        id: a GUID that never changes, even if all else does.
        archetype: decides the defaults of compatibility.
        source_code_location: where the code that builds the product lives.
        required_security_group: who may read it.
        deprecated_on: the day after which readers should have gone; asks for `status: deprecated`.
        successor: the address that replaces a deprecated product.
        source: `<file>:<callable>` of a source-aligned product that the mesh can run itself, relative to the
            product's folder.
        process: how a derived product is built from its input ports.
    """

    address: Annotated[AddressText, AfterValidator(_of_product)]
    id: UUID
    archetype: Archetype
    display_name: str | None = None
    description: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    contact: str | None = None
    source_code_location: str | None = None
    required_security_group: str | None = None
    tags: tuple[str, ...] = ()
    classification: Literal["public", "internal", "confidential", "restricted"] = "internal"
    status: Status = Status.ACTIVE
    deprecated_on: date | None = None
    successor: AddressText | None = None
    input_ports: tuple[InputPort, ...] = ()
    output_ports: tuple[OutputPort, ...] = Field(min_length=1)
    sla_properties: tuple[ServiceLevel, ...] = ()
    source: str | None = None
    process: Processing | None = None

    @property
    def default_port(self) -> OutputPort:
        """The port that the product's bare address means: the first one."""
        return self.output_ports[0]

    def port(self, name: str | None = None, major: int | None = None) -> OutputPort | None:
        """The port of that name at that major; the default port, and the highest major, where None is given."""
        named = [port for port in self.output_ports if port.name == (name or self.default_port.name)]
        if major is not None:
            named = [port for port in named if port.major == major]
        return max(named, key=lambda port: port.major, default=None)

    def port_address(self, port: OutputPort) -> Address:
        """The full address of one of this product's ports."""
        return self.address.at(port.name, port.major)

    def compatibility(self, port: OutputPort) -> Compatibility:
        """The level that the port's contract is held to."""
        return port.compatibility or Compatibility.default_for(self.archetype)

    def event_type(self, port: OutputPort) -> str:
        """The CloudEvents `type` of the port's events."""
        return port.type or f"{self.address.domain}.{self.address.product}.{port.name}.v{port.major}"

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [(port.name, port.major) for port in self.output_ports]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"the output port {twice[0]}@{twice[1]} is declared twice")
        for port in self.output_ports:
            self.port_address(port)  # a port's name has to make an address
        if self.archetype is Archetype.SOURCE_ALIGNED and (self.input_ports or self.process):
            raise ValueError(
                "a source-aligned product holds facts of its own domain; it has no inputPorts and no process"
            )
        if self.archetype is not Archetype.SOURCE_ALIGNED and not self.input_ports:
            raise ValueError(
                f"an {self.archetype} product is built from others; name them in inputPorts".replace("an c", "a c")
            )
        if self.archetype is not Archetype.SOURCE_ALIGNED and self.source:
            raise ValueError(
                f"`source` belongs to source-aligned products; this one is {self.archetype}: use `process`"
            )
        if self.deprecated_on is not None and self.status not in {Status.DEPRECATED, Status.RETIRED}:
            raise ValueError(
                f"deprecatedOn is given but status is {self.status}; a deprecated product says so in status"
            )
        if self.process:
            declared = {port.address.of_product for port in self.input_ports}
            for address in self.process.addresses:
                if address.of_product not in declared:
                    raise ValueError(f"process reads {address}, which is not among the inputPorts")
        return self
