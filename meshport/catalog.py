"""Models of the mesh API: registrations, lists of products, readers, lineage and waivers."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from meshport.binding import RegisteredProduct, TopicId
from meshport.differences import differences
from meshport.newer import OrNewer
from meshport.product.day import Day
from meshport.product.descriptor import Archetype, OutputPort, Product, Status
from meshport.product.input_port import AddressText
from meshport.seen_readers import UndeclaredReader


class _CatalogResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ProductRegistration(BaseModel):
    """The body of `POST /api/v1/dataproducts`.

    Attributes:
        descriptor: the product as its team declares it.
        schemas: the Avro schema of each output port, by `<port>@<major>`; shared types inlined.
        bootstrap_servers: of the cluster of the ports that name none; None for the registry's default cluster.
        clusters: the bootstrap servers of the clusters that ports name, by name.
        topic_ids: Kafka's ids of the product's topics, by topic; a topic that is not named keeps the id that it has.
        unused: the topics of the product that hold no event and that no consumer group reads, as the caller found: without a
            declared reader, the contract of their lines may change at will.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    descriptor: Product
    schemas: dict[str, str]
    bootstrap_servers: str | None = None
    clusters: dict[str, str] = Field(default={}, max_length=100)
    topic_ids: dict[str, TopicId] | None = None
    unused: tuple[str, ...] = Field(default=(), max_length=100)


class Deprecation(BaseModel):
    """The body of `POST .../deprecate`.

    Attributes:
        on: the day after which the product may go; its readers should have moved by then.
        successor: the address that readers move to.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    on: Day
    successor: AddressText | None = None


class Retirement(BaseModel):
    """The body of `POST .../retire`.

    Attributes:
        port: `<port>@<major>`, to retire one line of a product; None for the whole product.
        successor: the address that replaces it.
        force: the addresses of readers that do not prevent the retirement.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: str | None = None
    successor: AddressText | None = None
    force: tuple[AddressText, ...] = ()


class Removal(BaseModel):
    """The body of `POST .../drop`.

    Attributes:
        unused: the topics of the product that hold no event and that no consumer group reads, as the caller found; not needed
            for a retired product.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    unused: tuple[str, ...] = Field(default=(), max_length=100)


class RegistrationChange(_CatalogResponse):
    """One thing that a registration changes.

    Attributes:
        item: its name: `descriptor.owner`, `events@1.schema`, ...
        before: the registered value; None for a new item.
        after: the declared value; None for a dropped item.
    """

    item: str
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        return "; ".join(differences(self.item, self.before, self.after))


class PortVersion(_CatalogResponse):
    """The contract of one port after a registration.

    Attributes:
        address: of the port, with its major.
        topic: the topic that the address is bound to.
        subject: the subject of the value's schema.
        schema_id: the id of the schema; None in a dry run if the schema has no id yet.
        version: the version number in the subject.
        fingerprint: SHA-256 of the canonical form.
    """

    address: AddressText
    topic: str
    subject: str
    schema_id: int | None
    version: int
    fingerprint: str


class Registration(_CatalogResponse):
    """The response to a registration or to its dry run.

    Attributes:
        product: the product after the registration.
        ports: its output ports in the descriptor's order.
        changed: what the registration changed; empty if it changed nothing.
        unresolved: input ports that are not registered yet. Only a dry run accepts them.
        notes: remarks to the author, such as a finding of the gate that lets the change pass.
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
    archetype: OrNewer[Archetype]
    owner: str
    status: OrNewer[Status]
    tags: tuple[str, ...] = ()
    classification: str


class ProductPage(_CatalogResponse):
    """A page of a list of products.

    Attributes:
        items: the products of the page.
        total: the number of products that match, on all pages.
        offset: the number of products before the page.
        limit: the most products that a page has.
    """

    items: tuple[ProductSummary, ...]
    total: int
    offset: int
    limit: int


class Reader(_CatalogResponse):
    """A product that reads a port.

    Attributes:
        address: of the reader.
        reads: the port that it reads, with a major if the reader names one.
        fields: the fields that it declares, and those that its declared steps read; empty for all of them.
        archetype: of the reader.
        owner: of the reader.
        contact: of the reader's owner.
        status: of the reader.
    """

    address: AddressText
    reads: AddressText
    fields: tuple[str, ...] = ()
    archetype: OrNewer[Archetype]
    owner: str
    contact: str | None = None
    status: OrNewer[Status]


class WaiverRequest(BaseModel):
    """The body of `POST /api/v1/waivers`: one change of one port that is to pass although a rule refuses it.

    Attributes:
        address: of the port, with its major.
        rule: the id of the rule.
        path: the field or key, as the finding names it; "" for a finding without one.
        approver: the person who is responsible for the waiver. At a registry that knows its callers it is the caller, and
            need not be given.
        reason: why the change is necessary.
        until: the last day (UTC) of the waiver.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: AddressText
    rule: str = Field(min_length=1)
    path: str = ""
    approver: str | None = Field(default=None, min_length=1)
    reason: str = Field(min_length=1)
    until: Day


class Waiver(_CatalogResponse):
    """A recorded waiver; see `WaiverRequest`. It expires after its day.

    Attributes:
        id: its number in the registry.
        created_at: when it was recorded.
        revoked_at: when it was revoked; None if it was not.
    """

    id: int
    address: AddressText
    rule: str
    path: str = ""
    approver: str
    reason: str
    until: Day
    created_at: datetime
    revoked_at: datetime | None = None

    def holds(self, today: date) -> bool:
        """Whether the waiver is in force on that day (UTC)."""
        return self.revoked_at is None and today <= self.until


class SchemaVersion(_CatalogResponse):
    """One version of a port's schema.

    Attributes:
        number: the version number, dense from 1 in the registry.
        fingerprint: SHA-256 of the canonical form.
        schema_text: the canonical form, references inlined.
    """

    number: int
    fingerprint: str
    schema_text: str = Field(repr=False)


class PortPast(_CatalogResponse):
    """What the readers of one port rely on.

    Attributes:
        port: its entry in the descriptor, or one made from its binding if the descriptor has dropped it.
        status: of the line; the descriptor may drop a retired line only.
        versions: of its schema, oldest first; the last one is the bound one.
        readers: the products that are known to read it.
        waivers: every waiver that was ever recorded for it, newest first.
        undeclared: who was seen to read it in the last 30 days, or to ask for it, and is not declared.
    """

    port: OutputPort
    status: OrNewer[Status]
    versions: tuple[SchemaVersion, ...]
    readers: tuple[Reader, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    undeclared: tuple[UndeclaredReader, ...] = ()


class ProductPast(_CatalogResponse):
    """What the gate judges a change of a product by.

    Attributes:
        product: the registered descriptor.
        ports: every line that the product has or had, those of the descriptor first.
    """

    product: Product
    ports: tuple[PortPast, ...]

    def declaring(self, port: OutputPort) -> Product:
        """Return the descriptor with an entry for this port, even if the descriptor has dropped it."""
        return declaring(self.product, port)


def declaring(product: Product, port: OutputPort) -> Product:
    """Return a descriptor with an entry for this port, even if the descriptor has dropped it."""
    if port in product.output_ports:
        return product
    return product.model_copy(update={"output_ports": (*product.output_ports, port)})


class LineageNode(_CatalogResponse):
    """A product in a lineage.

    Attributes:
        distance: the number of steps from the product that was asked for, negative upstream, positive downstream.
    """

    address: AddressText
    archetype: OrNewer[Archetype]
    owner: str
    status: OrNewer[Status]
    distance: int


class LineageEdge(_CatalogResponse):
    """One product reads another.

    Attributes:
        source: the product that is read.
        reader: the product that reads it.
        fields: the fields that it reads; empty for all of them.
    """

    source: AddressText
    reader: AddressText
    fields: tuple[str, ...] = ()


class Lineage(_CatalogResponse):
    """A product with every product upstream and downstream of it.

    Attributes:
        address: of the product.
        nodes: the products, itself included, ordered by distance.
        edges: which of them read which.
    """

    address: AddressText
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]


class PolicyTexts(BaseModel):
    """The body of `PUT /api/v1/policies` and `PUT /api/v1/policies/{domain}`: all policies of the mesh or of a domain.

    Attributes:
        texts: in Cedar's language, by the path of their file in the project; none removes the policies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: dict[str, str] = Field(max_length=100)


class PoliciesOfScope(_CatalogResponse):
    """The policies of the mesh or of a domain, as they were applied.

    Attributes:
        number: of this application; a higher one replaces it.
        domain: whose own policies they are; None for the global ones.
        texts: by file.
        version: of the set of all policies from then on.
        applied_by: the name of the caller.
        applied_at: when.
    """

    number: int
    domain: str | None
    texts: dict[str, str]
    version: str
    applied_by: str
    applied_at: datetime


class AppliedPolicies(_CatalogResponse):
    """The policies that decide at a registry, beside the built-in ones.

    Attributes:
        version: of the set.
        scopes: those of the mesh, and of each domain.
    """

    version: str
    scopes: tuple[PoliciesOfScope, ...]

    def texts(self, domain: str | None) -> dict[str, str]:
        """Return the policies of a domain by file, or of the mesh for None."""
        return next((each.texts for each in self.scopes if each.domain == domain), {})


class RegisteredSchema(_CatalogResponse):
    """A registered schema.

    Attributes:
        fingerprint: SHA-256 of the canonical form, the schema's identity.
        guid: the first 128 bits of the fingerprint.
        id: the id in the registry that answered; another registry may give another.
        schema_text: the canonical form.
        author_text: the schema as its author wrote it, where it may refer to schemas of other subjects.
    """

    fingerprint: str
    guid: str
    id: int
    schema_text: str = Field(repr=False)
    author_text: str = Field(repr=False)


class Health(_CatalogResponse):
    """The state of a registry process.

    Attributes:
        status: `ok` if its database answers.
        version: of Meshport.
        database: `sqlite` or `postgresql`.
    """

    status: str
    version: str
    database: str
