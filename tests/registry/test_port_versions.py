"""The versions of a contract, what changed between two of them, and the lineage of fields."""

from __future__ import annotations

import httpx2

from meshport.compat.port_history import PortVersions, VersionComparison
from meshport.field_flows import FieldFlows
from meshport.registry import Registry
from tests.registry.schemas import product, schema, waiver_of_track

DEPARTURES = "mesh://operations/departures"
DELAYS = "mesh://network/delays"
LONG = {"name": "delay", "type": "long"}
CARRIER = [{"key": "carrier"}]
AIRLINES = {
    "process": {
        "steps": [
            {"filter": "delay > 0"},
            {"aggregate": {"by": ["carrier"], "values": {"worst": "max(delay)", "flights": "count()"}}},
        ]
    }
}


def departures(registry: Registry) -> None:
    """Register a product whose contract has three versions; the third one needed a waiver."""
    declared = product(DEPARTURES, outputPorts=[{"key": "flight"}])
    for fields in (("flight", "carrier", "track", LONG), ("flight", "carrier", "track", "gate?", LONG)):
        registry.register(declared, {"events@1": schema(*fields)})
    registry.waivers.record(waiver_of_track(address=f"{DEPARTURES}/events@1"))
    registry.register(declared, {"events@1": schema("flight", "carrier", "gate?", LONG)})


def compared(http: httpx2.Client, one: int, other: int | None = None) -> VersionComparison:
    """Return the comparison of two versions of the departures, or of one and the version before."""
    against = "" if other is None else f"?against={other}"
    answer = http.get(f"/api/v1/versions/operations/departures/events/{one}{against}")
    assert answer.status_code == 200, answer.text
    return VersionComparison.model_validate(answer.json())


def test_two_versions_are_compared_with_the_verdict_of_then(registry: Registry, http: httpx2.Client) -> None:
    """Any two versions show their differences in words, and the findings and waivers of the day of the newer one."""
    departures(registry)
    listed = PortVersions.model_validate(http.get("/api/v1/versions/operations/departures/events").json())
    assert [(each.number, each.bound) for each in listed.versions] == [(3, True), (2, False), (1, False)]
    (waiver,) = listed.waivers

    added = compared(http, 2)
    assert [each.text for each in added.changes] == ["gate is new: text or null, with the default null"]
    assert (added.verdict.outcome, added.verdict.findings) == ("compatible", ())

    assert http.post(f"/api/v1/waivers/{waiver.id}/revoke").status_code == 200  # later, which changes nothing of then
    both = compared(http, 3, 1)
    assert (both.older.number, both.newer.number) == (1, 3)
    assert [each.kind for each in both.changes] == ["added", "removed"]
    (finding,) = both.verdict.findings
    assert (finding.rule, finding.path, finding.state, finding.waiver) == (
        "READER_FIELD_MISSING_DEFAULT_VALUE",
        "track",
        "waived",
        waiver.id,
    )
    assert finding.advice
    assert both.verdict_then.versions == (2, 1)


def test_versions_that_are_not_there_are_named(registry: Registry, http: httpx2.Client) -> None:
    """A version that the port does not have, and a comparison with itself, are refused with the versions that there are."""
    registry.register(product(DEPARTURES, outputPorts=[{"key": "flight"}]), {"events@1": schema("flight")})
    for path in ("1", "1?against=7", "7"):
        answer = http.get(f"/api/v1/versions/operations/departures/events/{path}")
        assert (answer.status_code, "it has 1" in answer.json()["message"]) == (404, True)


def test_fields_are_followed_through_the_mesh(registry: Registry, http: httpx2.Client) -> None:
    """Flows of fields go upstream and downstream as processes declare them; one field shows only what is connected to it."""
    registry.register(
        product(DEPARTURES, outputPorts=[{"key": "flight"}]), {"events@1": schema("flight", "carrier", LONG)}
    )
    registry.register(
        product(DELAYS, f"{DEPARTURES}:carrier,delay", outputPorts=CARRIER, **AIRLINES),
        {"events@1": schema("carrier", {"name": "worst", "type": "long"}, {"name": "flights", "type": "long"})},
    )
    by_hand = {"process": {"python": "logic.py:steps"}}
    registry.register(
        product("mesh://planning/ranking", DELAYS, outputPorts=CARRIER, **by_hand),
        {"events@1": schema("carrier", "rank")},
    )

    def flows(path: str) -> FieldFlows:
        answer = http.get(f"/api/v1/lineage/{path}")
        assert answer.status_code == 200, answer.text
        return FieldFlows.model_validate(answer.json())

    found = flows("network/delays/fields")
    assert [(each.source_field, each.field, each.how, each.by) for each in found.flows] == [
        ("carrier", "carrier", "copied", ""),
        ("delay", "worst", "aggregated", "max(delay)"),
        ("delay", "", "filters", "delay > 0"),
        ("carrier", "", "groups", "by carrier"),
    ]
    assert [(each.address.of_product.key, each.distance, each.unknown) for each in found.products] == [
        ("operations/departures", -1, ()),
        ("network/delays", 0, ()),
        ("planning/ranking", 1, ("carrier", "rank")),
    ]
    registry.register(
        product("mesh://network/carriers", outputPorts=[{"key": "carrier", "cleanup": "compact"}]),
        {"events@1": schema("carrier", "name")},
    )
    joined = {"with": "mesh://network/carriers", "on": "carrier", "take": {"airline": "name"}}
    derived = {"derive": {"said": 'airline + ": " + flight'}}
    registry.register(
        product(
            "mesh://planning/board",
            DEPARTURES,
            "mesh://network/carriers",
            outputPorts=[{"key": "flight"}],
            process={"input": DEPARTURES, "steps": [{"join": joined}, derived, {"select": ["flight", "said"]}]},
        ),
        {"events@1": schema("flight", "said")},
    )
    # What flows from one input is known though the other one is no part of this lineage.
    assert [each.field for each in flows("network/carriers/fields?field=name").flows] == ["said"]
    one = flows("operations/departures/fields?field=delay")
    assert [(each.reader.of_product.key, each.field) for each in one.flows] == [
        ("network/delays", "worst"),
        ("network/delays", ""),
    ]
    flight = flows("operations/departures/fields?field=flight")
    assert [(each.field, each.how) for each in flight.flows] == [("flight", "copied"), ("said", "derived")]
    assert [each.address.product for each in flight.products] == ["departures", "board"]
    answer = http.get("/api/v1/lineage/operations/departures/fields?field=delai")
    assert (answer.status_code, answer.json()["hint"]) == (404, "did you mean 'delay'?")
