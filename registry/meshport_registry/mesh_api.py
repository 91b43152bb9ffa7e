"""Routes of the mesh API, `/api/v1`: products, addresses, lineage and lifecycle."""

from __future__ import annotations

from typing import Annotated, Any, Final
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
    Removal,
    Retirement,
)
from meshport.compat import Verdict
from meshport.field_flows import FieldFlows
from meshport.product import Archetype, Status
from meshport.product.input_port import AddressText
from meshport.product.lines import utc_today
from meshport_registry import product_registration, tables
from meshport_registry.access.readers import Readings
from meshport_registry.errors import RequestRefused, SchemaNotFound
from meshport_registry.field_flows import field_flows
from meshport_registry.gate import gate_judgement
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.judging import Judged, write_judged
from meshport_registry.lifecycle import activate, deprecate, retire
from meshport_registry.lineage import lineage, readers
from meshport_registry.negotiation import EVERY_CHECK, MESH_CHECKS
from meshport_registry.product_declaration import read_declaration, unmatched
from meshport_registry.products import (
    DefaultCluster,
    ProductFilter,
    registered_product,
    require_address,
    require_guid,
    search,
)
from meshport_registry.removal import drop
from meshport_registry.rights.visible import SeenProducts
from meshport_registry.schemas import stored_schema
from meshport_registry.state import Bindings, Database, OwnCluster
from meshport_registry.store import RegistryStore, Work
from meshport_registry.values import MAX_INT, BoundedRoute, Count


class Problem(BaseModel):
    """The body of an error response of the mesh API.

    Attributes:
        error: the kind of the error, a word that scripts may rely on.
        message: what was found.
        hint: what would be right.
        findings: the single reasons; those of the gate begin with the id of a rule.
        verdicts: the gate's verdict on each port, if the gate refused.
        successor: the address that replaces a retired one.
    """

    error: str
    message: str
    hint: str | None = None
    findings: list[str] = []
    verdicts: list[Verdict] = []
    successor: str | None = None


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "The path is not well encoded.",
        401: "Nobody said who asks, or not in a way that is valid.",
        403: "No policy permits the caller this.",
        404: "What the path names is not registered.",
        409: "The change contradicts what is registered, or would break a reader.",
        410: "The address is retired.",
        413: "The body is too large.",
        415: "The body is not JSON.",
        422: "The request cannot be read, or contradicts itself or what is registered.",
        500: "The database did not answer.",
        503: "Too many writes are waiting.",
    }.items()
}
"""The error responses of the mesh API, for the OpenAPI document."""


class ListQuery(BaseModel):
    """The query parameters of a list of products: a filter and a page."""

    q: str | None = Field(
        default=None, description="words that all appear in address, name, description, owner or tags"
    )
    address: AddressText | None = None
    domain: str | None = None
    archetype: Archetype | None = None
    tag: str | None = None
    owner: str | None = None
    status: Status | None = None
    offset: Count = 0
    limit: int = Field(default=50, ge=1, le=1000)

    def matching(self) -> ProductFilter:
        """Return the filter."""
        return ProductFilter(self.q, self.address, self.domain, self.archetype, self.owner, self.status, self.tag)


Segment = Annotated[str, Path(examples=["player"]), AfterValidator(unquote)]
Major = Annotated[int | None, Query(ge=1, le=MAX_INT, description="the contract's major; by default the live one")]


async def _line(domain: Segment, product: Segment, port: Segment, major: Major = None) -> Address:
    return Address(domain, product, port, major)


Line = Annotated[Address, Depends(_line)]
"""A port of the path, with the major of the query; without one it is the live one."""

router = APIRouter(
    route_class=BoundedRoute,
    dependencies=MESH_CHECKS,
    prefix="/api/v1",
    tags=["Mesh"],
    responses=PROBLEMS,
)


def as_json(model: BaseModel, *, status: int = 200) -> Response:
    """Return a model as a JSON response, without the second validation that the framework would make."""
    return Response(model.model_dump_json(by_alias=True), status, media_type="application/json")


@router.post("/dataproducts", response_model=Registration)
async def register_product(
    request: Request,
    store: Database,
    cluster: OwnCluster,
    caller: CurrentCaller,
    body: ProductRegistration,
    *,
    dry_run: Annotated[bool, Query()] = False,
) -> Any:
    """Register a product or update it. With `dry_run`, answer what that would change and write nothing.

    An input port that its process may not read is a request for access, which the answer's notes name.
    """
    policies, local = request.app.state.guard.decisions.policies, request.app.state.door is None
    declaration = await read_declaration(store, body)
    judged = Judged()
    if not any(unmatched(declaration)):
        judgement = await store.read(lambda c: gate_judgement(c, declaration, utc_today()))
        judged.add(judgement, await store.judge(judgement))

    def work(connection: Connection, judged: Judged) -> Registration:
        answer = product_registration.register_product(connection, declaration, cluster, judged, dry_run=dry_run)
        asked = Readings(connection, policies, local=local).ask(answer.product.descriptor, caller.name)
        return answer.model_copy(update={"notes": (*answer.notes, *asked)}) if asked else answer

    return as_json(await write_judged(store, work, judged=judged))


@router.get("/dataproducts", response_model=ProductPage)
async def list_products(store: Database, seen: SeenProducts, query: Annotated[ListQuery, Query()]) -> Any:
    """A page of the products that match a filter and that the caller may discover, ordered by address."""
    return as_json(
        await store.read(lambda c: search(c, query.matching(), offset=query.offset, limit=query.limit, seen=seen)),
    )


@router.get("/dataproducts/by-address/{domain}/{product}", response_model=RegisteredProduct)
async def product_by_address(store: Database, cluster: OwnCluster, domain: Segment, product: Segment) -> Any:
    """A product by its address."""
    address = Address(domain, product)
    return as_json(await store.read(lambda c: registered_product(c, require_address(c, address), cluster)))


@router.get("/dataproducts/{guid}", response_model=RegisteredProduct)
async def product_by_guid(store: Database, cluster: OwnCluster, guid: UUID) -> Any:
    """A product by its GUID."""
    return as_json(await store.read(lambda c: registered_product(c, require_guid(c, str(guid)), cluster)))


@router.post("/dataproducts/{guid}/deprecate", response_model=RegisteredProduct)
async def deprecate_product(store: Database, cluster: OwnCluster, guid: UUID, body: Deprecation) -> Any:
    """Deprecate a product: record the day after which it may go, and its successor."""
    return as_json(await _change(store, cluster, guid, lambda c: deprecate(c, str(guid), body)))


@router.post("/dataproducts/{guid}/retire", response_model=RegisteredProduct)
async def retire_product(store: Database, cluster: OwnCluster, guid: UUID, body: Retirement) -> Any:
    """Retire a product, or one of its lines; refused while a product that `force` does not name reads it."""
    return as_json(await _change(store, cluster, guid, lambda c: retire(c, str(guid), body)))


@router.post("/dataproducts/{guid}/activate", response_model=RegisteredProduct)
async def activate_product(store: Database, cluster: OwnCluster, guid: UUID) -> Any:
    """Undo a deprecation."""
    return as_json(await _change(store, cluster, guid, lambda c: activate(c, str(guid))))


@router.post("/dataproducts/{guid}/drop", response_model=RegisteredProduct)
async def drop_product(store: Database, cluster: OwnCluster, guid: UUID, body: Removal) -> Any:
    """Remove an unused or retired product, and return it as it was; refused while a product reads it."""

    def work(connection: Connection) -> RegisteredProduct:
        dropped = registered_product(connection, require_guid(connection, str(guid)), cluster)
        drop(connection, str(guid), body)
        return dropped

    return as_json(await store.write(work))


async def _change(store: RegistryStore, cluster: DefaultCluster, guid: UUID, change: Work[None]) -> RegisteredProduct:
    def work(connection: Connection) -> RegisteredProduct:
        change(connection)
        return registered_product(connection, require_guid(connection, str(guid)), cluster)

    return await store.write(work)


@router.get("/resolve/{domain}/{product}", response_model=Binding)
@router.get("/resolve/{domain}/{product}/{port}", response_model=Binding)
async def resolve_address(
    bindings: Bindings,
    domain: Segment,
    product: Segment,
    port: str | None = None,
    major: Major = None,
) -> Any:
    """The binding of an address; 410 with its successor if it is retired."""
    address = Address(domain, product, port, major if port else None)
    if major is not None and port is None:
        raise RequestRefused(
            f"{address} names a major and no port", hint=f"resolve /{domain}/{product}/<port>?major={major}"
        )
    return Response(await bindings.body(address), media_type="application/json")


@router.get("/lineage/{domain}/{product}", response_model=Lineage)
async def product_lineage(store: Database, domain: Segment, product: Segment) -> Any:
    """Every product upstream and downstream of a product, with the fields that each reads."""
    address = Address(domain, product)
    return as_json(await store.read(lambda c: lineage(c, address)))


@router.get("/lineage/{domain}/{product}/fields", response_model=FieldFlows)
async def product_field_lineage(
    store: Database,
    domain: Segment,
    product: Segment,
    field: Annotated[str | None, Query(description="only what leads to this field, and from it")] = None,
) -> Any:
    """What the fields of a product are made from, and what is made from them, as declared processes say."""
    address = Address(domain, product)
    return as_json(await store.read(lambda c: field_flows(c, address, field=field)))


@router.get("/readers/{domain}/{product}", response_model=list[Reader])
@router.get("/readers/{domain}/{product}/{port}", response_model=list[Reader])
async def product_readers(
    store: Database, domain: Segment, product: Segment, port: str | None = None, major: Major = None
) -> Any:
    """The products that read a product or one of its ports, and the fields that they read."""
    address = Address(domain, product, port, major if port else None)
    return await store.read(lambda c: readers(c, address))


@router.get("/schemas/{fingerprint}", response_model=RegisteredSchema)
async def schema_by_fingerprint(store: Database, fingerprint: Annotated[str, Path(pattern="^[0-9a-f]{64}$")]) -> Any:
    """A schema by its fingerprint, the SHA-256 of its canonical form."""

    def work(connection: Connection) -> RegisteredSchema:
        table = tables.schema
        row = connection.execute(
            select(table).where(table.c.fingerprint == fingerprint).order_by(table.c.id).limit(1)
        ).one_or_none()
        if row is None:
            raise SchemaNotFound(f"no schema has the fingerprint {fingerprint}")
        text = stored_schema(row).schema.text
        return RegisteredSchema(
            fingerprint=fingerprint, guid=row.guid, id=row.id, schema_text=text, author_text=row.text
        )

    return as_json(await store.read(work))


# A probe may add what its load balancer likes to the query.
health_router = APIRouter(route_class=BoundedRoute, dependencies=EVERY_CHECK, tags=["Mesh"], responses=PROBLEMS)


@health_router.get("/health", response_model=Health)
async def health(store: Database) -> Any:
    """Whether the database answers."""
    await store.read(lambda c: c.execute(select(1)).scalar())
    return as_json(Health(status="ok", version=__version__, database=store.url.get_backend_name()))
