"""The audit: which calls are entered, that each has one entry, and that no entry can be changed or removed unseen."""

from __future__ import annotations

import httpx2

from meshport.audit import AuditOutcome, AuditPage
from meshport.registry import Registry
from tests.registry.schemas import plays, waiver_of_track
from tests.registry.sheet import V1, register


def page(http: httpx2.Client, **query: str | int) -> AuditPage:
    """Return a page of the audit."""
    return AuditPage.model_validate_json(http.get("/api/v1/audit", params=query).content)


def test_a_change_has_one_entry(http: httpx2.Client, registry: Registry) -> None:
    """A change is entered with its caller, and a dry run and a question are not."""
    registry.register(*plays(), dry_run=True)
    registry.register(*plays())
    registry.waive(waiver_of_track())
    assert register(http, "a", V1).status_code == 200
    http.get("/subjects")
    assert [(each.caller, each.by, each.outcome) for each in page(http).entries] == [
        ("anonymous", "anonymous", AuditOutcome.ALLOWED)
    ] * 3
