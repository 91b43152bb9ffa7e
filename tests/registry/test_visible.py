"""Lists and searches have the products that their caller may discover, and no trace of the others."""

from __future__ import annotations

import asyncio
from functools import partial
from uuid import UUID

import httpx2
import pytest

from meshport.address import Address
from meshport.catalog import Deprecation, Removal
from meshport.grants import AccessRequest, GrantApproval
from meshport.policy import MESH, Action, PolicySet
from meshport.problems import ProblemReportRequest
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport_registry.identity.caller import LOCAL, Caller
from meshport_registry.products import ProductFilter, search
from meshport_registry.rights.applied import apply_policies
from meshport_registry.rights.decisions import Decisions
from meshport_registry.rights.known import product_at
from meshport_registry.rights.visible import VisibleProducts
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.catalog.pages import AS_BROWSER
from tests.registry.schemas import product, schema

HIDDEN = 'forbid (principal, action == Action::"discover", resource is Product) when { resource.classification == "restricted" };'
POLYSEME = {"name": "ticket", "type": "string", "polyseme": "ticket-number"}


@pytest.fixture
def sales(registry: Registry) -> None:
    """Register products of three domains; one of them is restricted, and reads another."""
    for address, reads, more in (
        ("mesh://operations/departures", (), {"tags": ["punctuality"]}),
        ("mesh://operations/gates", (), {}),
        ("mesh://sales/bookings", ("mesh://operations/gates",), {"classification": "restricted"}),
        ("mesh://network/delays", ("mesh://operations/departures",), {}),
    ):
        declared = product(address, *reads, outputPorts=[{"key": "ticket"}], **more)
        registry.register(declared, {"events@1": schema(POLYSEME, name="tests.Thing")})


def hide(http: httpx2.Client, text: str = HIDDEN) -> None:
    """Apply a policy in place of those before."""
    texts = {"policies/hide.cedar": text} if text else {}
    assert http.put("/api/v1/policies", json={"texts": texts}).status_code == 200


@pytest.mark.usefixtures("sales")
def test_a_search_has_no_trace_of_what_is_hidden(http: httpx2.Client) -> None:
    """Neither items nor total, facets or corrected words; a page begins where the one before ends."""

    def find(text: str = "", **more: str | int) -> dict[str, object]:
        found: dict[str, object] = http.get("/api/v1/search", params={"q": text, **more}).json()
        return found

    assert find("bokings")["read_as"] == {"bokings": ["bookings"]}
    hide(http)
    assert (find("bookings")["total"], find("bokings")["read_as"]) == (0, {})
    found = find()
    assert found["total"] == 3
    assert found["facets"] == {
        "domain": {"operations": 2, "network": 1},
        "archetype": {"source-aligned": 2, "aggregate": 1},
        "status": {"active": 3},
        "classification": {"internal": 3},
    }
    pages = [find(offset=at, limit=1)["items"] for at in range(4)]
    assert [[each["address"] for each in page] for page in pages] == [  # type: ignore[attr-defined]
        ["mesh://network/delays"],
        ["mesh://operations/departures"],
        ["mesh://operations/gates"],
        [],
    ]
    hide(http, "")
    assert find("bookings")["total"] == 1


@pytest.mark.usefixtures("sales")
def test_lists_and_pages_have_no_trace_of_what_is_hidden(http: httpx2.Client, registry: Registry) -> None:
    """The list of products, the home page, a domain's page, polysemes, the glossary, problem reports, exports."""
    registry.problems.open(ProblemReportRequest(address=Address.parse("sales/bookings"), title="Late.", text="Very."))

    def texts() -> dict[str, str]:
        paths = ("/", "/catalog/products/network/delays", "/catalog/glossary", "/catalog/search")
        api = ("/api/v1/dataproducts", "/api/v1/glossary", "/api/v1/problems", "/api/v1/export/odps", "/api/v1/search")
        return {path: http.get(path, headers=AS_BROWSER).text for path in paths} | {
            path: http.get(path).text for path in api
        }

    assert [path for path, text in texts().items() if "bookings" not in text and path != "/"] == []
    hide(http)
    assert [path for path, text in texts().items() if "bookings" in text or "sales" in text] == []
    assert http.get("/catalog/domains/sales", headers=AS_BROWSER).status_code == 404
    listed = http.get("/api/v1/dataproducts", params={"offset": 1, "limit": 1}).json()
    assert (listed["total"], [each["address"] for each in listed["items"]]) == (3, ["mesh://operations/departures"])
    hide(http, "")
    assert [path for path, text in texts().items() if "bookings" not in text and path != "/"] == []


ANN = Caller("ann", frozenset({"team-player"}), "key")
GATES = Caller("operations/gates", frozenset({"guests"}), "certificate")
CALLERS = (ANN, GATES, Caller("eve", frozenset(), "token"), LOCAL)
POLICIES = (
    HIDDEN,
    'forbid (principal, action, resource in Domain::"operations");',
    'forbid (principal, action, resource == Product::"operations/gates") unless { principal in Group::"team-player" };',
    'forbid (principal, action, resource is Product) unless { principal == resource.service };',
    'forbid (principal, action, resource is Product) unless { resource.service == Caller::"operations/departures" };',
    'forbid (principal, action, resource is Product) unless { resource.grantedTo.contains(principal) };',
    'forbid (principal, action, resource) when { resource is Product && resource.status == "deprecated" };',
    'forbid (principal, action, resource is Product) when { resource == Product::"network/delays" };',
    'forbid (principal in Group::"guests", action, resource is Product) when { resource.owners.contains(Group::"team-player") };',
    'forbid (principal, action, resource is Product) when { context has by && context.by == "token" };',
)  # fmt: skip


@pytest.mark.usefixtures("sales")
def test_what_is_seen_is_what_is_decided(registry: Registry, database: str) -> None:
    """By every policy and caller, and after every change, the products seen are those that a decision about each permits."""
    store = RegistryStore(database_url(database)).open()
    decisions = Decisions(store)
    visible = VisibleProducts(store, decisions)

    async def compare() -> None:
        await decisions.refresh(within=0)
        page = await store.read(lambda c: search(c, ProductFilter(), offset=0, limit=100))
        keys = {each.address.key for each in page.items}
        for caller in CALLERS:
            decided = set()
            for key in keys:
                resource = await store.read(partial(product_at, address=Address.parse(key)))
                if (await decisions.decide(caller, Action.DISCOVER, resource)).allowed:
                    decided.add(key)
            seen = await visible.of(caller)
            assert (keys if seen is None else set(seen)) == decided, (caller, decisions.policies.texts)

    async def apply(text: str) -> None:
        await store.write(lambda c: apply_policies(c, None, {"policies/a.cedar": text}, "ann"))

    async def check() -> None:
        for text in POLICIES:
            await apply(text)
            await compare()
        asked = registry.access.request(
            AccessRequest(address=Address.parse("operations/gates"), reader="ann", purpose="x")
        )
        until = asked.requested_at.replace(year=asked.requested_at.year + 1)
        registry.access.grant(asked.id, GrantApproval(until=until))
        gates = UUID(registry.product(Address.parse("operations/gates")).guid)
        registry.deprecate(gates, Deprecation(on=utc_today()))
        registry.register(
            product("mesh://operations/crews", owner="guests", outputPorts=[{"key": "ticket"}]),
            {"events@1": schema(POLYSEME, name="tests.Thing")},
        )
        delays = registry.product(Address.parse("network/delays"))
        registry.drop(UUID(delays.guid), Removal(unused=tuple(each.topic for each in delays.bindings)))
        for text in POLICIES:
            await apply(text)
            await compare()

    try:
        asyncio.run(check())
    finally:
        store.close()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("", True),
        ('forbid (principal, action == Action::"read", resource in Domain::"player");', True),
        ('permit (principal, action == Action::"discover", resource in Domain::"player");', True),
        (
            'forbid (principal, action == Action::"discover", resource == Mesh::"mesh") when { context has by };',
            False,
        ),
        ('forbid (principal in Group::"none", action, resource is Product);', False),
    ],
)
def test_no_product_is_decided_about_where_none_differs(text: str, same: bool) -> None:
    """A known caller sees all by the built-in permit, unless a forbid could be about what it discovers."""
    policies = PolicySet.of({"policies/a.cedar": text})
    decided = policies.decide("ann", frozenset(), Action.DISCOVER, MESH, {"by": "token"})
    assert policies.same_for_every_product(decided, Action.DISCOVER) is same


def test_a_permit_that_looks_at_the_product_is_not_the_same_for_all() -> None:
    """A caller that is permitted the mesh by its resource is decided about product by product."""
    text = 'permit (principal, action == Action::"discover", resource) when { resource == Mesh::"mesh" };'
    policies = PolicySet.of({"policies/a.cedar": text})
    decided = policies.decide("anonymous", frozenset(), Action.DISCOVER, MESH, {"by": "anonymous"})
    assert decided.allowed
    assert not policies.same_for_every_product(decided, Action.DISCOVER)
