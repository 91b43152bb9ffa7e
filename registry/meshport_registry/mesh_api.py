"""The mesh API, `/api/v1`: products, addresses, lineage, lifecycle."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import unquote
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy import Connection, select

from meshport import __version__
from meshport.address import Address
from meshport.binding import Binding, RegisteredProduct
from meshport.catalog import (
    Deprecation,
    Health,
    Lineage,
    ProductPage,
    ProductRegistration,
    Reader,
    RegisteredSchema,
    Registration,
    Retirement,
)
from meshport.compat import Verdict
from meshport.product import Archetype, Status
from meshport.product.descriptor import AddressText
from meshport.product.lines import utc_today
from meshport_registry import tables
from meshport_registry.answers import BindingAnswers
from meshport_registry.contracts import contract_of
from meshport_registry.declaration import declared, unmatched
from meshport_registry.errors import Refused, SchemaNotFound
from meshport_registry.gate import judge
from meshport_registry.lifecycle import activate, deprecate, retire
from meshport_registry.lineage import lineage, readers
from meshport_registry.products import Cluster, Search, registered, require_address, require_guid, search
from meshport_registry.publication import publish
from meshport_registry.store import Store, Work


class Problem(BaseModel):
    """How the mesh API answers an error.

    Attributes:
        error: the kind, a word that scripts may rely on.
        message: what was found.
        hint: what would be right.
        findings: the single reasons; those of the gate begin with the id of a rule.
        verdicts: of the gate on each port, where it refused.
    """

    error: str
    message: str
    hint: str | None = None
    findings: list[str] = []
    verdicts: list[Verdict] = []


class ListQuery(BaseModel):
    """What a list is narrowed to, and the page of it."""

    q: str | None = Field(default=None, description="words that all stand in address, name, description, owner or tags")
    address: AddressText | None = None
    domain: str | None = None
    archetype: Archetype | None = None
    tag: str | None = None
    owner: str | None = None
    status: Status | None = None
    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=50, ge=1, le=1000)

    def search(self) -> Search:
        """The same as the words of the store."""
        return Search(self.q, self.address, self.domain, self.archetype, self.owner, self.status, self.tag)


async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


async def _cluster(request: Request) -> Cluster:
    cluster: Cluster = request.app.state.cluster
    return cluster


async def _bindings(request: Request) -> BindingAnswers:
    bindings: BindingAnswers = request.app.state.bindings
    return bindings


Database = Annotated[Store, Depends(_store)]
OwnCluster = Annotated[Cluster, Depends(_cluster)]
Word = Annotated[str, Path(examples=["player"]), AfterValidator(unquote)]
Major = Annotated[int | None, Query(ge=1, description="the contract's major; by default the live one")]

router = APIRouter(
    prefix="/api/v1",
    tags=["Mesh"],
    responses={404: {"model": Problem}, 409: {"model": Problem}, 422: {"model": Problem}},
)


def as_json(model: BaseModel, *, status: int = 200) -> Response:
    """A model as it answers; it is valid already, so the framework need not check it a second time."""
    return Response(model.model_dump_json(by_alias=True), status, media_type="application/json")


@router.post("/dataproducts", response_model=Registration)
async def register_product(
    store: Database, cluster: OwnCluster, body: ProductRegistration, dry_run: Annotated[bool, Query()] = False
) -> Any:
    """Register a product or bring it up to date; with `dry_run`, say what that would change and write nothing."""
    wanted = await store.compute(lambda: declared(body))
    judged = None if any(unmatched(wanted)) else await store.read(lambda c: judge(c, wanted, utc_today()))
    return as_json(await store.write(lambda c: publish(c, wanted, cluster, judged=judged, dry_run=dry_run)))


@router.get("/dataproducts", response_model=ProductPage)
async def list_products(store: Database, wanted: Annotated[ListQuery, Query()]) -> Any:
    """Products by address, narrowed by words and attributes."""
    return as_json(
        await store.read(lambda c: search(c, wanted.search(), offset=wanted.offset, limit=wanted.limit)),
    )


@router.get("/dataproducts/by-address/{domain}/{product}", response_model=RegisteredProduct)
async def product_by_address(store: Database, cluster: OwnCluster, domain: Word, product: Word) -> Any:
    """A product by its address."""
    address = Address(domain, product)
    return as_json(await store.read(lambda c: registered(c, require_address(c, address), cluster)))


@router.get("/dataproducts/{guid}", response_model=RegisteredProduct)
async def product_by_guid(store: Database, cluster: OwnCluster, guid: UUID) -> Any:
    """A product by its GUID."""
    return as_json(await store.read(lambda c: registered(c, require_guid(c, str(guid)), cluster)))


@router.post("/dataproducts/{guid}/deprecate", response_model=RegisteredProduct)
async def deprecate_product(store: Database, cluster: OwnCluster, guid: UUID, body: Deprecation) -> Any:
    """Say until when readers should have gone, and where to."""
    return as_json(await _change(store, cluster, guid, lambda c: deprecate(c, str(guid), body)))


@router.post("/dataproducts/{guid}/retire", response_model=RegisteredProduct)
async def retire_product(store: Database, cluster: OwnCluster, guid: UUID, body: Retirement) -> Any:
    """End a product, or one of its ports; refused while somebody reads it who is not named in `force`."""
    return as_json(await _change(store, cluster, guid, lambda c: retire(c, str(guid), body)))


@router.post("/dataproducts/{guid}/activate", response_model=RegisteredProduct)
async def activate_product(store: Database, cluster: OwnCluster, guid: UUID) -> Any:
    """Take a deprecation back."""
    return as_json(await _change(store, cluster, guid, lambda c: activate(c, str(guid))))


async def _change(store: Store, cluster: Cluster, guid: UUID, change: Work[None]) -> RegisteredProduct:
    def work(connection: Connection) -> RegisteredProduct:
        change(connection)
        return registered(connection, require_guid(connection, str(guid)), cluster)

    return await store.write(work)


@router.get("/resolve/{domain}/{product}", response_model=Binding)
@router.get("/resolve/{domain}/{product}/{port}", response_model=Binding)
async def resolve_address(
    bindings: Annotated[BindingAnswers, Depends(_bindings)],
    domain: Word,
    product: Word,
    port: str | None = None,
    major: Major = None,
) -> Any:
    """What stands behind an address now; 410 with a successor, where it is retired."""
    address = Address(domain, product, port, major if port else None)
    if major is not None and port is None:
        raise Refused(f"{address} names a major and no port", hint=f"resolve /{domain}/{product}/<port>?major={major}")
    return Response(await bindings.body(address), media_type="application/json")


@router.get("/lineage/{domain}/{product}", response_model=Lineage)
async def product_lineage(store: Database, domain: Word, product: Word) -> Any:
    """Everything that a product is made from, and everything that is made from it."""
    address = Address(domain, product)
    return as_json(await store.read(lambda c: lineage(c, address)))


@router.get("/readers/{domain}/{product}", response_model=list[Reader])
@router.get("/readers/{domain}/{product}/{port}", response_model=list[Reader])
async def product_readers(
    store: Database, domain: Word, product: Word, port: str | None = None, major: Major = None
) -> Any:
    """The products that read a product or one of its ports, and the fields that they read."""
    address = Address(domain, product, port, major if port else None)
    return await store.read(lambda c: readers(c, address))


@router.get("/schemas/{fingerprint}", response_model=RegisteredSchema)
async def schema_by_fingerprint(store: Database, fingerprint: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Any:
    """A schema by its identity, the SHA-256 of its canonical form."""

    def work(connection: Connection) -> RegisteredSchema:
        table = tables.schema
        row = connection.execute(
            select(table).where(table.c.fingerprint == fingerprint).order_by(table.c.id).limit(1)
        ).one_or_none()
        if row is None:
            raise SchemaNotFound(f"no schema has the fingerprint {fingerprint}")
        text = contract_of(row).schema.text
        return RegisteredSchema(fingerprint=fingerprint, guid=row.guid, id=row.id, schema_text=text)

    return as_json(await store.read(work))


health_router = APIRouter(tags=["Mesh"])


@health_router.get("/health", response_model=Health)
async def health(store: Database) -> Any:
    """Whether the database answers."""
    await store.read(lambda c: c.execute(select(1)).scalar())
    return as_json(Health(status="ok", version=__version__, database=store.url.get_backend_name()))
