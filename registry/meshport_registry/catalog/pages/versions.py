"""The page of a contract's versions: what changed between two of them, and what the gate found then."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from meshport.address import Address
from meshport.compat import RULES, Finding
from meshport.compat.port_history import PortVersions, VersionComparison
from meshport_registry.catalog.frame import PageView, show
from meshport_registry.catalog.heading import ProductHeading, product_at
from meshport_registry.catalog.lines import LineChoice, lines_to_choose
from meshport_registry.catalog.routing import page_router
from meshport_registry.mesh_api import Major, Segment
from meshport_registry.port_versions import PlannedComparison, plan_comparison, port_versions
from meshport_registry.state import Database
from meshport_registry.values import MAX_INT

router = page_router()

Number = Annotated[int | None, Query(ge=1, le=MAX_INT)]


class VersionsView(PageView):
    """The page of a contract's versions.

    Attributes:
        lines: the ports and majors that there are.
        history: of the one that is shown.
        comparison: of the two versions that are shown; None where there is one only.
        further: what the gate found when the newer one was registered, and does not find between these two.
        purposes: what each rule protects that found something, by its id.
    """

    title: str
    product: ProductHeading
    lines: tuple[LineChoice, ...]
    history: PortVersions
    comparison: VersionComparison | None
    further: tuple[Finding, ...]
    purposes: dict[str, str]


@router.get("/catalog/versions/{domain}/{product}")
async def versions(
    request: Request,
    store: Database,
    domain: Segment,
    product: Segment,
    *,
    port: str | None = None,
    major: Major = None,
    number: Number = None,
    against: Number = None,
) -> Response:
    """Show the versions of a port's contract, and compare two of them: by default the newest with the one before."""
    address = Address(domain, product, port, major if port else None)

    def read(
        connection: Connection,
    ) -> tuple[ProductHeading, tuple[LineChoice, ...], PortVersions, PlannedComparison | None]:
        heading, _ = product_at(connection, domain, product)
        history = port_versions(connection, address)
        one = number or history.versions[0].number
        is_first = against is None and one == history.versions[-1].number
        planned = None if is_first else plan_comparison(connection, history.address, one, against)
        return heading, lines_to_choose(connection, address, history.address), history, planned

    heading, lines, history, planned = await store.read(read)
    comparison = None if planned is None else planned.result(await store.judge(planned.judgement))
    found = () if comparison is None else comparison.verdict.findings
    known = {(each.rule, each.path) for each in found}
    then = () if comparison is None else comparison.verdict_then.findings
    further = tuple(each for each in then if (each.rule, each.path) not in known)
    view = VersionsView(
        title=f"Versions of {heading.display_name}",
        product=heading,
        lines=lines,
        history=history,
        comparison=comparison,
        further=further,
        purposes={each.rule: RULES[each.rule].purpose for each in (*found, *further) if each.rule in RULES},
    )
    return await show(request, "versions.html", view)
