"""What the registry answers about products beyond their bindings: pages, plans, readers, lineage."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from meshport.binding import RegisteredProduct
from meshport.product.descriptor import AddressText, Archetype, OutputPort, Product, Status


class _CatalogResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ProductRegistration(BaseModel):
    """What `POST /api/v1/dataproducts` takes.

    Attributes:
        descriptor: the product as its team declares it.
        schemas: the Avro schema of each output port, by `<port>@<major>`; shared types inlined.
        bootstrap_servers: the cluster of the product's topics; None for the registry's own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    descriptor: Product
    schemas: dict[str, str]
    bootstrap_servers: str | None = None


class Deprecation(BaseModel):
    """What `POST .../deprecate` takes: the day after which readers should have gone, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on: date
    successor: AddressText | None = None


class Retirement(BaseModel):
    """What `POST .../retire` takes.

    Attributes:
        port: `<port>@<major>`, to retire one line of a product; None for the whole product.
        successor: the address that replaces it.
        force: the addresses of the readers that are left behind by intent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: str | None = None
    successor: AddressText | None = None
    force: tuple[AddressText, ...] = ()


class RegistrationChange(_CatalogResponse):
    """One thing that a registration changes.

    Attributes:
        item: what: `descriptor.owner`, `events@1.schema`, ...
        before: None for what is new.
        after: None for what goes.
    """

    item: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        return (
            f"{self.item}: {self.before} -> {self.after}" if self.before is not None else f"{self.item}: {self.after}"
        )


class PortVersion(_CatalogResponse):
    """The contract of one port after a registration.

    Attributes:
        schema_id: None in a plan, for a schema that has no id yet.
    """

    address: AddressText
    topic: str
    subject: str
    schema_id: int | None
    version: int
    fingerprint: str


class Registration(_CatalogResponse):
    """The answer to a registration, or to its dry run.

    Attributes:
        product: as it stands after.
        ports: in the descriptor's order.
        changed: empty where everything was so already.
        unresolved: inputs that nobody has registered yet; only a dry run lets them pass.
        notes: what the author should know.
        dry_run: whether nothing was written.
    """

    product: RegisteredProduct
    ports: tuple[PortVersion, ...]
    changed: tuple[RegistrationChange, ...] = ()
    unresolved: tuple[AddressText, ...] = ()
    notes: tuple[str, ...] = ()
    dry_run: bool = False


class ProductSummary(_CatalogResponse):
    """A product in a list."""

    guid: str
    address: AddressText
    display_name: str
    description: str
    archetype: Archetype
    owner: str
    status: Status
    tags: tuple[str, ...] = ()
    classification: str


class ProductPage(_CatalogResponse):
    """A page of a list; `total` counts all that were found."""

    items: tuple[ProductSummary, ...]
    total: int
    offset: int
    limit: int


class Reader(_CatalogResponse):
    """A product that reads a port.

    Attributes:
        address: of the reader.
        reads: the port, with its major where the reader is bound to one.
        fields: that are read; empty means all of them.
    """

    address: AddressText
    reads: AddressText
    fields: tuple[str, ...] = ()
    archetype: Archetype
    owner: str
    contact: str | None = None
    status: Status


class WaiverRequest(BaseModel):
    """What `POST /api/v1/waivers` takes: one change of one port that is to pass, though a rule refuses it.

    Attributes:
        address: of the port, its major given.
        rule: the id of the rule that refuses.
        path: the field or key, as the finding names it; "" for the whole part.
        approver: the person who answers for it.
        reason: why it has to be.
        until: the last day on which it holds (UTC).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: AddressText
    rule: str = Field(min_length=1)
    path: str = ""
    approver: str = Field(min_length=1)
    reason: str = Field(min_length=1)
    until: date


class Waiver(_CatalogResponse):
    """A breaking change that somebody approved; see `WaiverRequest`. It is void by itself after its day.

    Attributes:
        id: its number in the registry.
        created_at: when it was recorded.
        revoked_at: when it was taken back, if it was.
    """

    id: int
    address: AddressText
    rule: str
    path: str = ""
    approver: str
    reason: str
    until: date
    created_at: datetime
    revoked_at: datetime | None = None

    def holds(self, today: date) -> bool:
        """Whether it lets anything pass on that day."""
        return self.revoked_at is None and today <= self.until


class SchemaVersion(_CatalogResponse):
    """One version of a port's schema.

    Attributes:
        number: dense from 1 in the registry.
        fingerprint: SHA-256 of the canonical form.
        schema_text: the canonical form, references inlined.
    """

    number: int
    fingerprint: str
    schema_text: str = Field(repr=False)


class PortPast(_CatalogResponse):
    """What the readers of one port rely on.

    Attributes:
        port: its entry in the descriptor; where that has dropped it, the entry that its binding still keeps.
        status: of the line; a retired one may be dropped from the descriptor, any other may not.
        versions: of its schema, oldest first; the last one is what stands.
        readers: whoever is known to read it.
        waivers: that were ever recorded for it, newest first.
    """

    port: OutputPort
    status: Status
    versions: tuple[SchemaVersion, ...]
    readers: tuple[Reader, ...] = ()
    waivers: tuple[Waiver, ...] = ()


class ProductPast(_CatalogResponse):
    """A product as its readers know it: whatever a change of it is judged by.

    Attributes:
        product: the descriptor that is registered.
        ports: every line that it has or had, those of the descriptor first.
    """

    product: Product
    ports: tuple[PortPast, ...]

    def declaring(self, port: OutputPort) -> Product:
        """The descriptor with that port's entry, though it may have dropped it since."""
        return declaring(self.product, port)


def declaring(product: Product, port: OutputPort) -> Product:
    """A descriptor with a port's entry, though it may have dropped it since."""
    if port in product.output_ports:
        return product
    return product.model_copy(update={"output_ports": (*product.output_ports, port)})


class LineageNode(_CatalogResponse):
    """A product in a lineage.

    Attributes:
        distance: steps from the product that was asked for: negative upstream, positive downstream.
    """

    address: AddressText
    archetype: Archetype
    owner: str
    status: Status
    distance: int


class LineageEdge(_CatalogResponse):
    """`reader` reads these fields of `source`; no fields means all of them."""

    source: AddressText
    reader: AddressText
    fields: tuple[str, ...] = ()


class Lineage(_CatalogResponse):
    """Everything that a product is made from, and everything that is made from it."""

    address: AddressText
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]


class RegisteredSchema(_CatalogResponse):
    """A schema by its identity.

    Attributes:
        id: in the registry that answered: a cache, never an identity.
        schema_text: the canonical form.
    """

    fingerprint: str
    guid: str
    id: int
    schema_text: str = Field(repr=False)


class Health(_CatalogResponse):
    """The state of a registry process: `status` is `ok` where its database answers."""

    status: str
    version: str
    database: str
