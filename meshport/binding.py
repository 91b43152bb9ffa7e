"""The binding of an address: kept by the registry, resolved by every client."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from meshport.newer import OrNewer, OrUnread, UnreadValue
from meshport.product.archive import Archive
from meshport.product.day import Day
from meshport.product.descriptor import Product, Status
from meshport.product.input_port import AddressText
from meshport.product.migration import Migration
from meshport.service_levels import LevelSummary

PortEnvelope = Literal["cloudevents", "none"]
"""What the events of a topic are: CloudEvents, or messages of other writers."""

TopicId = Annotated[str, Field(pattern="^[A-Za-z0-9+/_-]{22}$")]
"""Kafka's id of a topic: a UUID in base64 (KIP-516)."""


class Continuation(BaseModel):
    """One re-binding: where the readers of one generation continue in the next, without a gap and without a repeat.

    Attributes:
        generation: the number of the earlier generation.
        topic: the topic of the earlier generation.
        ends: by partition of the earlier generation, the offset after its last event that counts; an event that is written
            there later is in the next generation as well.
        begins: by partition of the next generation, the offset to continue at.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    generation: int
    topic: str
    ends: dict[int, int]
    begins: dict[int, int]


class Binding(BaseModel):
    """What an output port's address leads to now.

    Attributes:
        address: the full address (port and major given).
        bootstrap_servers: of the Kafka cluster: `host:port[,host:port...]`.
        cluster: the name of that cluster, under which a reader may have a connection of its own; None where it has none.
        topic: the topic of its events.
        topic_id: the id that Kafka gave the topic when it was made (KIP-516), as the product was last applied; None where the
            cluster gives none, or where none was registered.
        partitions: how many the topic has.
        key: the fields of the record key, in order.
        time: the field that holds the time at which the fact happened.
        type: the CloudEvents type.
        envelope: `none` for a topic whose events are no CloudEvents; see `meshport.product.OutputPort`.
        subject: the registry's subject of the value's schema.
        schema_id: the numeric id under that registry: a cache of this registry, never an identity.
        fingerprint: SHA-256 of the schema's canonical form, 64 lower-case hex digits: the schema's identity.
        schema_text: the Avro schema itself, references inlined.
        generation: 1, or more after a rebuild.
        continues: the earlier generations that are kept, oldest first; each leads to the next, the last to this one.
        live_from: the day (UTC) from which an address without a major leads to this line; None for all time.
        status: of the line: deprecated or retired where the line or its whole product is.
        deprecated_on: the day by which readers should have left, the earlier of the line's and the product's.
        successor: the address that its readers move to: the port's next major, or the one that replaces the product.
        archive: where its events are archived; None where they are not.
        migration: how the events of an earlier line are read as events of this one; None where they are not.
        service_levels: how the port's promises are kept, as measured; None where nothing was ever measured.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: AddressText
    bootstrap_servers: str
    cluster: str | None = None
    topic: str
    topic_id: str | None = None
    partitions: int
    key: tuple[str, ...] = ()
    time: str | None = None
    type: str
    envelope: OrNewer[PortEnvelope] = "cloudevents"
    subject: str
    schema_id: int
    fingerprint: str
    schema_text: str = Field(repr=False)
    cleanup: str = "delete"
    generation: int = 1
    continues: tuple[Continuation, ...] = ()
    live_from: Day | None = None
    status: OrNewer[Status] = Status.ACTIVE
    deprecated_on: Day | None = None
    successor: AddressText | None = None
    owner: str
    slo: dict[str, Any] = Field(default_factory=dict)
    archive: Annotated[Archive, OrUnread("archive")] | None = None
    migration: Annotated[Migration, OrUnread("migration")] | None = None
    service_levels: LevelSummary | None = None


class RegisteredProduct(BaseModel):
    """A product as `GET /api/v1/dataproducts/{guid}` returns it: the fields that data catalogs use, and the whole descriptor.

    A `descriptor` of a newer registry that this version cannot read raises `NewerRegistry` when it is used.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    guid: str = Field(alias="dataProductGUID")
    create_date: datetime = Field(alias="createDate")
    update_date: datetime = Field(alias="updateDate")
    owner: str
    display_name: str = Field(alias="displayName")
    source_code_location: str | None = Field(alias="sourceCodeLocation")
    description: str
    readable_key: str = Field(alias="readableDataProductKey")
    required_security_group: str | None = Field(alias="requiredSecurityGroup")
    descriptor: Annotated[Product, OrUnread("descriptor")]
    bindings: tuple[Binding, ...] = ()

    @property
    def is_readable(self) -> bool:
        """Whether this version can read the descriptor."""
        return not isinstance(self.descriptor, UnreadValue)
