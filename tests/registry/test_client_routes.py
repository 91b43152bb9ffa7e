"""Every route of the mesh API has a method of the client, which asks that route."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import httpx2
import pytest
from pydantic import BaseModel
from starlette.routing import compile_path

from meshport.address import Address
from meshport.api_keys import ApiKeyRequest
from meshport.catalog import Deprecation, Removal, Retirement
from meshport.errors import NotRegistered
from meshport.generations import Phase, Switch
from meshport.grants import AccessRequest, GrantApproval, GrantedAcl
from meshport.port_profile import PortProfile
from meshport.problems import ProblemReportRequest
from meshport.processor_reports import ProcessorReport
from meshport.quarantine_report import QuarantineReport
from meshport.registry import Registry
from meshport.replay_jobs import ReplayProgress
from meshport.seen_readers import GroupReports
from meshport.service_levels import MeasuredLevels
from meshport.snapshot import ImportBatch
from meshport_registry.rights.route_table import ROUTES
from tests.registry.replay_requests import replay_request
from tests.registry.schemas import plays, waiver_of_track

API: Final = "/api/v1"
GUID: Final = UUID("6f0c2f4e-93a1-4a39-8e0c-2f6a1d7f1c55")
LINE: Final = Address.parse("player/plays/events@1")
HOUR: Final = (datetime(2026, 1, 1, 0, tzinfo=UTC), datetime(2026, 1, 1, 1, tzinfo=UTC))
OF_LINE: Final = "{domain}/{product}/{port}"

NOT_ASKED: Final = {("GET", f"{API}/gate/rules"): "the library has the rules: `meshport.compat.RULES`"}
"""Routes without a method, each with the reason."""


def empty(model: type[BaseModel], **given: Any) -> Any:
    """Return an object of a model with no other fields than given: what is sent does not matter here."""
    return model.model_construct(**given)


CALLS: Final[dict[tuple[str, str], Callable[[Registry], object]]] = {
    ("POST", "/dataproducts"): lambda r: r.register(*plays()),
    ("GET", "/dataproducts"): lambda r: r.search(),
    ("GET", "/dataproducts/by-address/{domain}/{product}"): lambda r: r.product(LINE),
    ("GET", "/dataproducts/{guid}"): lambda r: r.product(GUID),
    ("POST", "/dataproducts/{guid}/deprecate"): lambda r: r.deprecate(GUID, empty(Deprecation)),
    ("POST", "/dataproducts/{guid}/retire"): lambda r: r.retire(GUID, Retirement()),
    ("POST", "/dataproducts/{guid}/activate"): lambda r: r.activate(GUID),
    ("POST", "/dataproducts/{guid}/drop"): lambda r: r.drop(GUID, Removal()),
    ("GET", "/resolve/{domain}/{product}"): lambda r: r.resolve("player/plays"),
    ("GET", f"/resolve/{OF_LINE}"): lambda r: r.resolve(LINE),
    ("GET", "/lineage/{domain}/{product}"): lambda r: r.lineage(LINE),
    ("GET", "/lineage/{domain}/{product}/fields"): lambda r: r.field_lineage(LINE),
    ("GET", "/readers/{domain}/{product}"): lambda r: r.readers("player/plays"),
    ("GET", f"/readers/{OF_LINE}"): lambda r: r.readers(LINE),
    ("GET", "/seen-readers/{domain}/{product}"): lambda r: r.seen_readers("player/plays"),
    ("GET", f"/seen-readers/{OF_LINE}"): lambda r: r.seen_readers(LINE),
    ("PUT", f"/seen-readers/{OF_LINE}"): lambda r: r.report_groups(LINE, empty(GroupReports)),
    ("GET", "/schemas/{fingerprint}"): lambda r: r.by_fingerprint("0" * 64),
    ("GET", "/export/{format}"): lambda r: r.export("odps"),
    ("GET", "/products/{domain}/{product}/export/{format}"): lambda r: r.export("odps", LINE),
    ("GET", "/search"): lambda r: r.find("plays"),
    ("POST", "/gate/check"): lambda r: r.judge(*plays()),
    ("GET", "/gate/past/{domain}/{product}"): lambda r: r.past(LINE),
    ("GET", f"/versions/{OF_LINE}"): lambda r: r.versions(LINE),
    ("GET", f"/versions/{OF_LINE}/{{number}}"): lambda r: r.compare(LINE, 2, 1),
    ("POST", "/waivers"): lambda r: r.waivers.record(waiver_of_track()),
    ("GET", "/waivers"): lambda r: r.waivers.list(),
    ("POST", "/waivers/{number}/revoke"): lambda r: r.waivers.revoke(1),
    ("GET", f"/generations/{OF_LINE}"): lambda r: r.generations(LINE).list(),
    ("POST", f"/generations/{OF_LINE}/open"): lambda r: r.generations(LINE).open(holder="a", seconds=1, made_by="b"),
    ("POST", f"/generations/{OF_LINE}/{{number}}/hold"): lambda r: r.generations(LINE).hold(
        1, holder="a", seconds=1, phase=Phase.BUILD
    ),
    ("POST", f"/generations/{OF_LINE}/{{number}}/release"): lambda r: r.generations(LINE).release(1, holder="a"),
    ("POST", f"/generations/{OF_LINE}/{{number}}/switch"): lambda r: r.generations(LINE).switch(1, empty(Switch)),
    ("POST", f"/generations/{OF_LINE}/{{number}}/abandon"): lambda r: r.generations(LINE).abandon(1, holder="a"),
    ("POST", f"/generations/{OF_LINE}/{{number}}/retire"): lambda r: r.generations(LINE).retire(1),
    ("GET", "/service-levels"): lambda r: list(r.service_levels.all()),
    ("GET", f"/service-levels/{OF_LINE}"): lambda r: r.service_levels.of(LINE),
    ("GET", f"/service-levels/{OF_LINE}/history"): lambda r: r.service_levels.history(LINE),
    ("PUT", f"/service-levels/{OF_LINE}"): lambda r: r.service_levels.report(LINE, empty(MeasuredLevels)),
    ("GET", f"/service-levels/{OF_LINE}/counts"): lambda r: r.service_levels.counts(LINE),
    ("POST", f"/service-levels/{OF_LINE}/counts"): lambda r: r.service_levels.report_count(LINE, *HOUR, 1),
    ("GET", f"/processors/{OF_LINE}"): lambda r: r.processors.of(LINE),
    ("PUT", f"/processors/{OF_LINE}"): lambda r: r.processors.report(LINE, empty(ProcessorReport)),
    ("GET", f"/quarantine/{OF_LINE}"): lambda r: r.processors.quarantine(LINE),
    ("PUT", f"/quarantine/{OF_LINE}"): lambda r: r.processors.report_quarantine(empty(QuarantineReport, address=LINE)),
    ("GET", f"/profiles/{OF_LINE}"): lambda r: r.service_levels.profile(LINE),
    ("PUT", f"/profiles/{OF_LINE}"): lambda r: r.service_levels.report_profile(empty(PortProfile, address=LINE)),
    ("GET", "/access"): lambda r: r.access.list(),
    ("POST", "/access"): lambda r: r.access.request(AccessRequest(address=LINE, purpose="a")),
    ("POST", "/access/{number}/grant"): lambda r: r.access.grant(1, GrantApproval()),
    ("POST", "/access/{number}/refuse"): lambda r: r.access.refuse(1, "a"),
    ("POST", "/access/{number}/revoke"): lambda r: r.access.revoke(1, "a"),
    ("GET", "/access/readers"): lambda r: r.access.readers(),
    ("POST", "/access/readers"): lambda r: r.access.readings_of(plays()[0]),
    ("GET", "/access/acls"): lambda r: r.access.acls(),
    ("POST", "/access/acls"): lambda r: r.access.note_acls(added=[empty(GrantedAcl)]),
    ("GET", "/problems"): lambda r: r.problems.list(),
    ("POST", "/problems"): lambda r: r.problems.open(ProblemReportRequest(address=LINE, title="a")),
    ("POST", "/problems/{number}/answer"): lambda r: r.problems.answer(1, "a"),
    ("POST", "/problems/{number}/close"): lambda r: r.problems.close(1, "a"),
    ("POST", "/problems/{number}/withdraw"): lambda r: r.problems.withdraw(1, "a"),
    ("GET", "/replays"): lambda r: r.replays.list(),
    ("POST", "/replays"): lambda r: r.replays.start(replay_request()),
    ("GET", "/replays/{job}"): lambda r: r.replays.get("a"),
    ("POST", "/replays/{job}/approve"): lambda r: r.replays.approve("a"),
    ("POST", "/replays/{job}/pause"): lambda r: r.replays.pause("a"),
    ("POST", "/replays/{job}/resume"): lambda r: r.replays.resume("a"),
    ("POST", "/replays/{job}/cancel"): lambda r: r.replays.cancel("a", "b"),
    ("PUT", "/replays/{job}/progress"): lambda r: r.replays.report("a", ReplayProgress(positions={}, events=0)),
    ("GET", "/glossary"): lambda r: r.glossary.read(),
    ("PUT", "/glossary/{domain}"): lambda r: r.glossary.declare("player", {}),
    ("POST", "/import"): lambda r: r.import_batch(ImportBatch()),
    ("GET", "/keys"): lambda r: r.keys.list(),
    ("POST", "/keys"): lambda r: r.keys.create(ApiKeyRequest(name="a")),
    ("POST", "/keys/{key_id}/rotate"): lambda r: r.keys.rotate("a", overlap_hours=1),
    ("POST", "/keys/{key_id}/revoke"): lambda r: r.keys.revoke("a"),
    ("GET", "/policies"): lambda r: r.policies.applied(),
    ("GET", "/policies/history"): lambda r: r.policies.history(),
    ("PUT", "/policies"): lambda r: r.policies.apply(None, {}),
    ("PUT", "/policies/{domain}"): lambda r: r.policies.apply("player", {}),
    ("GET", "/audit"): lambda r: list(r.audit.entries()),
}  # fmt: skip


def test_every_route_has_a_call() -> None:
    """What the registry serves below `/api/v1` is in the table, and nothing else is."""
    served = {each for each in ROUTES if each[1].startswith(API)}
    assert {(verb, f"{API}{path}") for verb, path in CALLS} == served - NOT_ASKED.keys()


@pytest.mark.parametrize("route", CALLS, ids=" ".join)
def test_the_call_asks_its_route(route: tuple[str, str]) -> None:
    """A method sends one request, to the path and with the verb of its route."""
    asked: list[tuple[str, str]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append((request.method, request.url.path))
        return httpx2.Response(404, json={"error": "not-found", "message": "there is nothing"})

    with Registry("http://registry", transport=httpx2.MockTransport(answer)) as registry, suppress(NotRegistered):
        CALLS[route](registry)
    ((verb, path),) = asked
    assert verb == route[0]
    assert compile_path(f"{API}{route[1]}")[0].fullmatch(path), path


def test_policies_that_were_applied_are_listed(registry: Registry) -> None:
    """The history has each application, newest first, and no more than asked for."""
    for text in ("", 'forbid (principal, action == Action::"waive", resource);'):
        registry.policies.apply(None, {"policies/a.cedar": text})
    assert [list(each.texts.values()) for each in registry.policies.history()] == [
        ['forbid (principal, action == Action::"waive", resource);'],
        [""],
    ]
    assert len(registry.policies.history(limit=1)) == 1
