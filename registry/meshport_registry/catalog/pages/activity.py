"""The page of what is going on at a product: generations, access, the audit, and what the caller may change."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import Query
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport.audit import AuditEntry
from meshport.binding import Binding
from meshport.compat import RULES
from meshport.generations import Generations
from meshport.grants import Grant, GrantState, PortReader
from meshport.policy import Action
from meshport.product import Product, Status
from meshport.product.lines import utc_today
from meshport_registry.access.grants import grants
from meshport_registry.access.readers import Readings, port_readers
from meshport_registry.audit.chain import newest_about
from meshport_registry.catalog.allowed import AllowedActions, allowed_actions, may_do
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.heading import ProductHeading, product_at
from meshport_registry.catalog.processing import ShownProcessor, shown_processor
from meshport_registry.catalog.retirement import RetirementPlan, retirement_plan
from meshport_registry.catalog.routing import page_router
from meshport_registry.generations import generations
from meshport_registry.mesh_api import Segment
from meshport_registry.products import DefaultCluster, bindings_of, lines_of, live_line, require_address
from meshport_registry.state import Database

router = page_router()

_GRANTS: Final = 50
_ENTRIES: Final = 20
_DONE: Final = {
    "deprecated": "The product is deprecated.",
    "activated": "The deprecation is undone.",
    "retired": "The product is retired.",
    "line-retired": "The line is retired.",
    "waived": "The waiver is recorded.",
    "granted": "Access is granted.",
    "refused": "The request is refused.",
    "revoked": "The grant is revoked.",
}


class AuditLine(BaseModel):
    """An entry of the audit; see `meshport.audit.AuditEntry`."""

    model_config = ConfigDict(frozen=True)

    number: int
    at: datetime
    caller: str
    by: str
    action: str
    outcome: str
    detail: str

    @classmethod
    def of(cls, entry: AuditEntry) -> AuditLine:
        """Return the line of an entry."""
        return cls.model_validate(entry.model_dump(include=set(cls.model_fields)))


class ActivityView(PageView):
    """What is going on at a product.

    Attributes:
        done: what the caller just did, as a sentence; "" after nothing.
        may: what the caller may do.
        may_read: whether the caller may read the events of the product.
        processors: those that build the lines of the product, which are not retired.
        ports: the bindings of the product.
        generations: those of each line that is not retired.
        readers: products that read it, and whether policies or a grant permit it.
        requests: for access, that wait for the owner.
        grants: what became of requests, newest first.
        audit: the newest entries about the product, newest first; None where the caller may not see them.
        rules: those that can be waived.
        retirement: what the retirement of the product would meet.
        soon: a day in a month, YYYY-MM-DD, which forms propose.
    """

    title: str
    product: ProductHeading
    done: str
    may: AllowedActions
    may_read: bool
    processors: tuple[ShownProcessor, ...]
    ports: tuple[Binding, ...]
    generations: tuple[Generations, ...]
    readers: tuple[PortReader, ...]
    requests: tuple[Grant, ...]
    grants: tuple[Grant, ...]
    audit: tuple[AuditLine, ...] | None
    rules: tuple[str, ...]
    retirement: RetirementPlan
    soon: str


@router.get("/catalog/activity/{domain}/{product}")
async def activity(
    request: Request,
    store: Database,
    domain: Segment,
    product: Segment,
    *,
    done: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Show what is going on at a product."""
    address = Address(domain, product)
    policies, local = request.app.state.guard.decisions.policies, request.app.state.door is None

    def read(connection: Connection) -> ActivityView:
        heading, declared = product_at(connection, domain, product)
        bindings = bindings_of(connection, require_address(connection, address), DefaultCluster())
        every = tuple(Readings(connection, policies, local=local).with_forbids(grants(connection, address)))
        waiting = tuple(each for each in every if each.state is GrantState.REQUESTED)
        return ActivityView(
            title=f"Activity of {heading.display_name}",
            product=heading,
            done=_DONE.get(done, ""),
            may=AllowedActions(),
            may_read=False,
            processors=_processors(connection, declared, bindings),
            ports=bindings,
            generations=tuple(
                generations(connection, each.address) for each in bindings if each.status is not Status.RETIRED
            ),
            readers=port_readers(connection, policies, address, local=local),
            requests=waiting,
            grants=tuple(each for each in every if each.state is not GrantState.REQUESTED)[:_GRANTS],
            audit=tuple(AuditLine.of(each) for each in newest_about(connection, f'Product::"{address.key}"', _ENTRIES)),
            rules=tuple(each.id for each in RULES.values() if each.waivable),
            retirement=retirement_plan(connection, address, bindings, every),
            soon=(utc_today() + timedelta(days=30)).isoformat(),
        )

    view = await store.read(read)
    may = await allowed_actions(request, address)
    may_read = await may_do(request, Action.READ, address)
    view = view.model_copy(update={"may": may, "may_read": may_read, "audit": view.audit if may.audit else None})
    return await show(request, "activity.html", view)


def _processors(connection: Connection, product: Product, bindings: tuple[Binding, ...]) -> tuple[ShownProcessor, ...]:
    """Return the processors that there are: that of the live line, and of others while they are observed."""
    lines = lines_of(bindings, product.address)
    live = live_line(lines, utc_today())
    found = {
        major: shown_processor(connection, product, each.address)
        for major, each in lines.items()
        if each.status is not Status.RETIRED
    }
    return tuple(
        each for major, each in found.items() if each is not None and (major == live or each.status.is_current)
    )
