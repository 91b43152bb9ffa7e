"""What stands behind an address: the binding that the registry holds and that every client resolves."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from meshport.product.descriptor import AddressText, Product, Status


class Continuation(BaseModel):
    """One re-binding: where those who read the generation before go on, so that they miss nothing and get nothing twice.

    Attributes:
        generation: the one before.
        topic: of that one.
        ends: by partition, the offset behind the last event of it that counts; whatever may be written there later is
            in the generation after as well.
        begins: by partition of the generation after, the offset to go on at.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    generation: int
    topic: str
    ends: dict[int, int]
    begins: dict[int, int]


class Binding(BaseModel):
    """One output port as it can be reached now.

    Attributes:
        address: the full address (port and major given).
        bootstrap_servers: of the cluster, as Kafka clients take them.
        topic: where its events are.
        partitions: of the topic.
        key: the fields of the record key, in order.
        time: the field that says when the fact happened.
        type: the CloudEvents type.
        subject: the registry's subject of the value's schema.
        schema_id: the numeric id under that registry: a cache of this registry, never an identity.
        fingerprint: SHA-256 of the schema's canonical form, 64 lower-case hex digits: the schema's identity.
        schema_text: the Avro schema itself, references inlined.
        generation: 1, or more after a rebuild.
        continues: the generations before that are kept, oldest first; each leads to the next, the last to this one.
        live_from: the day (UTC) from which on an address without a major leads to this line; None for all time.
        status: of the line: deprecated or retired where the line or its whole product is.
        deprecated_on: the day after which readers should have left, the nearer of the line's and the product's.
        successor: where its readers move: the port's next major, or the address that replaces the product.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    address: AddressText
    bootstrap_servers: str
    topic: str
    partitions: int
    key: tuple[str, ...] = ()
    time: str | None = None
    type: str
    subject: str
    schema_id: int
    fingerprint: str
    schema_text: str = Field(repr=False)
    cleanup: str = "delete"
    generation: int = 1
    continues: tuple[Continuation, ...] = ()
    live_from: date | None = None
    status: Status = Status.ACTIVE
    deprecated_on: date | None = None
    successor: AddressText | None = None
    owner: str
    slo: dict[str, Any] = Field(default_factory=dict)


class RegisteredProduct(BaseModel):
    """A product as `GET /api/v1/dataproducts/{guid}` answers it: the fields of the field's catalogs, and the whole descriptor."""

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
    descriptor: Product
    bindings: tuple[Binding, ...] = ()
