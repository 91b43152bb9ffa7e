"""The page of what is going on at a product, and the forms of who may change it."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import httpx2
import pytest

from meshport.address import Address
from meshport.grants import AccessRequest, GrantApproval
from meshport.registry import Registry
from meshport.seen_readers import GroupReport, GroupReports
from tests.catalog.browser import Reader, follow
from tests.catalog.pages import AS_BROWSER
from tests.registry.schemas import product, schema

STANDS = "mesh://operations/stands"
PAGE = "/catalog/activity/operations/stands"


@pytest.fixture
def stands(registry: Registry) -> str:
    """Register a product of this test's own, and return the path of its page."""
    declared = product(STANDS, owner="flight-operations", outputPorts=[{"key": "stand"}])
    registry.register(declared, {"events@1": schema("stand", "flight")})
    return PAGE


def test_the_owner_decides_about_requests(reader: Reader, registry: Registry, stands: str) -> None:
    """A request for access is granted and revoked by forms; each step is on the page and in the audit."""
    asked = registry.access.request(
        AccessRequest(address=f"{STANDS}/events", reader="mia@example.org", purpose="a board for passengers")
    )
    page = reader.open(stands)
    waiting = page.locator("main").inner_text()
    assert "mia@example.org" in waiting
    assert "a board for passengers" in waiting
    follow(page.get_by_role("button", name="Grant"))
    table = page.get_by_role("region", name="Table of grants")
    assert "granted" in table.inner_text()
    table.get_by_text("Revoke").first.click()
    table.get_by_label("Because").fill("the board is done")
    follow(table.get_by_role("button", name="Revoke"))
    assert page.get_by_role("status").inner_text() == "The grant is revoked."
    assert "the board is done" in table.inner_text()
    entries = page.get_by_role("region", name="Table of audit entries").locator("tbody tr").all_inner_texts()
    assert f"/catalog/grants/{asked.id}/revoke" in entries[0]
    assert reader.findings() == []
    assert reader.refused == []


def test_a_product_is_deprecated_waived_and_retired_by_forms(
    http: httpx2.Client, registry: Registry, stands: str
) -> None:
    """The forms do what the API does: deprecation and its undoing, a waiver, and a retirement that the address confirms."""

    def post(what: str, **fields: str) -> httpx2.Response:
        form = {"content-type": "application/x-www-form-urlencoded"}
        return http.post(f"{stands}/{what}", content=urlencode(fields), headers=AS_BROWSER | form)

    assert post("deprecate", on="2031-01-31").headers["location"] == f"{stands}?done=deprecated"
    assert registry.product(STANDS.removeprefix("mesh://")).descriptor.status == "deprecated"
    assert post("activate").status_code == 303
    assert registry.product(STANDS.removeprefix("mesh://")).descriptor.status == "active"
    reason = {"line": "events@1", "rule": "READER_FIELD_MISSING_DEFAULT_VALUE", "path": "flight", "reason": "unused"}
    until = http.get(stands).json()["soon"]
    assert post("waive", **reason, approver="Ada", until=until).status_code == 303
    assert [(each.path, each.approver) for each in registry.waivers.list(f"{STANDS}/events@1")][:1] == [
        ("flight", "Ada")
    ]
    wrong = post("waive", **reason, until="someday")
    assert (wrong.status_code, "until" in wrong.text) == (422, True)
    unsure = post("retire", confirm="mesh://operations/gates")
    assert (unsure.status_code, "is not retired" in unsure.text) == (422, True)


PIERS = "mesh://operations/piers"


def test_the_form_that_retires_says_what_that_would_meet(reader: Reader, registry: Registry) -> None:
    """It names readers, products downstream and grants; a reader that is not ticked prevents it, and a line goes by itself."""
    ports = [{"name": "events", "key": "pier"}, {"name": "events", "key": "pier", "major": 2, "liveFrom": "2020-01-01"}]
    pier = schema("pier", "gate")
    registry.register(product(PIERS, outputPorts=ports), {"events@1": pier, "events@2": schema("pier")})
    for address, reads in (("mesh://network/pier-use", PIERS), ("mesh://planning/piers", "mesh://network/pier-use")):
        registry.register(product(address, reads, outputPorts=[{"key": "pier"}]), {"events@1": pier})
    asked = registry.access.request(AccessRequest(address=f"{PIERS}/events", reader="lou@example.org", purpose="a map"))
    registry.access.grant(asked.id, GrantApproval(until=asked.requested_at.replace(year=asked.requested_at.year + 1)))
    board = GroupReports(at=datetime.now(UTC), groups=(GroupReport(name="pier-board", committed=7, live=True),))
    registry.report_groups(Address.parse(f"{PIERS}/events@2"), board)

    page = reader.open("/catalog/activity/operations/piers")
    page.get_by_text("Retire it").click()
    form = page.locator("form", has=page.get_by_role("button", name="Retire"))
    text = form.inner_text()
    for named in (
        "network/pier-use",
        "team-player",
        "planning/piers",
        "lou@example.org",
        "group pier-board",
        "retire operations/piers --plan",
    ):
        assert named in text, named
    assert reader.findings() == []
    form.get_by_label("Its address, to confirm").fill(PIERS)
    follow(form.get_by_role("button", name="Retire"))
    assert "mesh://network/pier-use" in page.locator("main").inner_text()
    assert registry.product(Address.parse(PIERS)).descriptor.status == "active"

    page = reader.open("/catalog/activity/operations/piers")
    page.get_by_text("Retire it").click()
    form = page.locator("form", has=page.get_by_role("button", name="Retire"))
    form.get_by_label("What is retired").select_option("events@1")
    form.get_by_label("Its address, to confirm").fill(f"{PIERS}/events@1")
    follow(form.get_by_role("button", name="Retire"))
    assert page.get_by_role("status").inner_text() == "The line is retired."
    assert [each.status for each in registry.product(Address.parse(PIERS)).bindings] == ["retired", "active"]

    page.get_by_text("Retire it").click()
    form.get_by_label("network/pier-use").check()
    form.get_by_label("Its address, to confirm").fill(PIERS)
    follow(form.get_by_role("button", name="Retire"))
    assert page.get_by_role("status").inner_text() == "The product is retired."
    assert registry.product(Address.parse(PIERS)).descriptor.status == "retired"


def test_a_form_of_another_site_changes_nothing(http: httpx2.Client, registry: Registry, stands: str) -> None:
    """A browser that another site makes send a form says so, and is refused."""
    foreign = AS_BROWSER | {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
    answer = http.post(f"{stands}/deprecate", data={"on": "2031-01-31"}, headers=foreign)
    assert answer.status_code == 403
    assert registry.product(STANDS.removeprefix("mesh://")).descriptor.status == "active"
