"""The gate at the registry: whole contracts judged on request, and at every registration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx2
import pytest

from meshport.catalog import ProductPast, Retirement, declaring
from meshport.compat import RULES, Contract, Outcome, Past, State, Verdict, Version, judge_port
from meshport.errors import RegistrationRefused
from meshport.product import Product, Status
from meshport.product.lines import utc_today
from meshport.registry import Registry
from meshport.schema import Schema
from meshport_registry.errors import Incompatible
from meshport_registry.gate import gate_judgement
from meshport_registry.judging import Judged, JudgeFirst, write_judged
from meshport_registry.product_declaration import ProductDeclaration
from meshport_registry.product_registration import register_product
from meshport_registry.products import DefaultCluster
from meshport_registry.schemas import read_plain
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.registry.schemas import plays, product, record, schema, waiver_of_track

RULE = "READER_FIELD_MISSING_DEFAULT_VALUE"


def rules(verdict: Verdict) -> list[tuple[str, str]]:
    """Return rule and path of each finding that refuses."""
    return [(each.rule, each.path) for each in verdict.findings if each.refuses]


def refused(registry: Registry, declared: Product, schemas: dict[str, Schema], **more: Any) -> tuple[str, ...]:
    """Return the findings of a refused registration."""
    with pytest.raises(RegistrationRefused) as error:
        registry.register(declared, schemas, **more)
    return error.value.findings


def test_an_unregistered_product_is_new(registry: Registry, http: httpx2.Client) -> None:
    """A port that is not registered gets the outcome `new`, and nothing is written."""
    (verdict,) = registry.judge(*plays())
    assert (str(verdict.address), verdict.outcome, verdict.findings) == ("mesh://player/plays/events@1", "new", ())
    assert http.get("/api/v1/dataproducts").json()["total"] == 0


def test_each_outcome_has_its_word(registry: Registry) -> None:
    """The same contract is unchanged, an optional field is compatible, and a lost field breaks the readers that are named."""
    registry.register(*plays())
    registry.register(
        product("mesh://listening/sessions", "mesh://player/plays:user"), {"events@1": schema("user", name="mesh.S")}
    )
    registry.register(
        product("mesh://payments/royalties", "mesh://player/plays:track"), {"events@1": schema("user", name="mesh.R")}
    )
    declared, schemas = plays()
    assert [each.outcome for each in registry.judge(declared, schemas)] == [Outcome.UNCHANGED]
    (verdict,) = registry.judge(declared, {"events@1": schema("user", "track", "device?")})
    assert (verdict.outcome, verdict.versions) == (Outcome.COMPATIBLE, (1,))
    (verdict,) = registry.judge(declared, {"events@1": schema("user")})
    assert (verdict.outcome, verdict.passes, rules(verdict)) == (Outcome.BREAKING, False, [(RULE, "track")])
    assert {each.address.key: each.breaks for each in verdict.readers} == {
        "listening/sessions": (),
        "payments/royalties": (f"{RULE} track",),
    }


def test_a_new_port_is_new_and_a_dropped_one_breaks(registry: Registry) -> None:
    """Declared ports come first, then dropped ones; readers that name no major are readers of a new major."""
    registry.register(*plays())
    registry.register(
        product("mesh://listening/sessions", "mesh://player/plays"), {"events@1": schema("user", name="mesh.S")}
    )
    day = (utc_today() + timedelta(days=90)).isoformat()
    two = product(outputPorts=[{"key": "user"}, {"major": 2, "key": "user", "liveFrom": day}])
    first, second = registry.judge(two, plays()[1] | {"events@2": schema("user")})
    assert (first.outcome, second.outcome) == (Outcome.COMPATIBLE, Outcome.NEW)
    assert [each.address.key for each in second.readers] == ["listening/sessions"]
    only_second = product(outputPorts=[{"major": 2, "key": "user"}])
    new, gone = registry.judge(only_second, {"events@2": schema("user")})
    assert (new.outcome, gone.outcome, gone.address.major) == (Outcome.NEW, Outcome.BREAKING, 1)


def test_ports_and_schemas_have_to_match(registry: Registry) -> None:
    """A port without a schema, or a schema without a port, is refused without a verdict."""
    with pytest.raises(RegistrationRefused) as error:
        registry.judge(plays()[0], {"other@1": schema("user")})
    assert set(error.value.findings) == {
        "a schema is given for other@1, which is no output port",
        "no schema is given for events@1",
    }


def test_a_breaking_registration_is_refused_by_rule_id(registry: Registry, http: httpx2.Client) -> None:
    """A refusal is a 409 with findings that begin with their rule, and with every verdict; a dry run gets the same."""
    registry.register(*plays())
    declared, broken = plays()[0], {"events@1": schema("user")}
    (finding,) = refused(registry, declared, broken)
    assert finding.startswith(f"{RULE} at track: ")
    assert refused(registry, declared, broken, dry_run=True) == (finding,)
    body = {
        "descriptor": json.loads(declared.model_dump_json(by_alias=True)),
        "schemas": {"events@1": record("user")},
    }
    for query in ("", "?dry_run=true"):
        answer = http.post(f"/api/v1/dataproducts{query}", json=body)
        assert (answer.status_code, answer.json()["error"]) == (409, "incompatible")
        assert answer.json()["findings"] == [finding]
        verdicts = [Verdict.model_validate(each) for each in answer.json()["verdicts"]]
        assert verdicts == list(registry.judge(declared, broken))
        checked = http.post("/api/v1/gate/check", json=body)
        assert (checked.status_code, checked.json()["verdicts"]) == (200, answer.json()["verdicts"])
    assert registry.resolve("player/plays").fingerprint == plays()[1]["events@1"].fingerprint


def test_each_promise_around_the_schema_has_its_rule(registry: Registry) -> None:
    """A change of product.yaml alone is refused too, and a finding of the product is reported once for all its ports."""
    declared, schemas = plays(
        outputPorts=[{"key": "user", "retention": "30d"}, {"name": "skips", "key": "user"}], classification="restricted"
    )
    schemas |= {"skips@1": schema("user", name="mesh.Skip")}
    registry.register(declared, schemas)
    changed = product(
        outputPorts=[{"key": "track", "retention": "7d", "partitions": 8}, {"name": "skips", "key": "user"}],
        classification="public",
    )
    found = [each.partition(":")[0] for each in refused(registry, changed, schemas)]
    assert sorted(found) == [
        "CLASSIFICATION_LOWERED at classification",
        "KEY_CHANGED at key",
        "PARTITIONS_ADDED at partitions",
        "RETENTION at retention",
    ]
    assert found == [each.partition(":")[0] for each in refused(registry, changed, schemas, dry_run=True)]
    assert registry.product("player/plays").descriptor == declared


def test_a_warning_is_noted_and_lets_pass(registry: Registry) -> None:
    """Another owner is a note, once, and refuses nothing."""
    declared, schemas = plays()
    registry.register(declared, schemas)
    other = plays(owner="team-b")[0]
    (note,) = registry.register(other, schemas).notes
    assert note.startswith("OWNER_CHANGED at owner: ")
    assert note.endswith("; a warning")
    assert registry.register(other, schemas).notes == ()


def test_every_port_is_judged(registry: Registry) -> None:
    """The findings of all ports are reported at once, and the message names each address."""
    ports = product(outputPorts=[{"key": "user"}, {"name": "skips", "key": "user"}])
    whole = {"events@1": schema("user", "track"), "skips@1": schema("user", "at", name="mesh.Skip")}
    registry.register(ports, whole)
    with pytest.raises(RegistrationRefused, match=r"plays/events@1, mesh://player/plays/skips@1 would not be") as error:
        registry.register(ports, {"events@1": schema("user"), "skips@1": schema("user", name="mesh.Skip")})
    assert [each.partition(":")[0] for each in error.value.findings] == [f"{RULE} at track", f"{RULE} at at"]
    assert len(registry.by_id(registry.resolve("player/plays").schema_id).field_names) == 2


def test_a_schema_that_the_gate_refuses_to_read_is_a_finding(registry: Registry, http: httpx2.Client) -> None:
    """A decoding bomb breaks its rule on every route, and text that is no schema is an invalid schema."""
    declared = plays()[0]
    binding = registry.register(*plays()).product.bindings[0]
    body = {"descriptor": json.loads(declared.model_dump_json(by_alias=True)), "schemas": {"events@1": bomb()}}
    answer = http.post("/api/v1/gate/check", json=body)
    assert answer.status_code == 200, answer.text
    (verdict,) = [Verdict.model_validate(each) for each in answer.json()["verdicts"]]
    ((rule, _),) = rules(verdict)
    assert verdict.outcome is Outcome.BREAKING
    answer = http.post("/api/v1/dataproducts", json=body)
    assert (answer.status_code, answer.json()["findings"][0].partition(":")[0]) == (409, rule)
    asked = http.post(f"/compatibility/subjects/{binding.subject}/versions?verbose=true", json={"schema": bomb()})
    assert asked.json()["is_compatible"] is False
    assert asked.json()["messages"][0].startswith(f"{rule}: ")
    http.post("/subjects/plain/versions", json={"schema": record("user")})
    plain = http.post("/compatibility/subjects/plain/versions", json={"schema": bomb()})
    assert (plain.status_code, plain.json()["error_code"]) == (422, 42201)
    plain = http.post("/compatibility/subjects/plain/versions?verbose=true", json={"schema": bomb()})
    assert (plain.json()["is_compatible"], len(plain.json()["messages"])) == (False, 1)
    body["schemas"] = {"events@1": "{"}
    for path in ("gate/check", "dataproducts"):
        assert http.post(f"/api/v1/{path}", json=body).json()["error"] == "invalid-schema"


def bomb() -> str:
    """Return a schema of thirty nested records of two fields each: 2^30 values of no bytes."""
    kind: Any = {"type": "record", "name": "mesh.R0", "fields": []}
    for number in range(1, 31):
        fields = [{"name": "a", "type": kind}, {"name": "b", "type": f"mesh.R{number - 1}"}]
        kind = {"type": "record", "name": f"mesh.R{number}", "fields": fields}
    return record("user", "track", {"name": "many", "type": ["null", kind], "default": None})


def test_a_break_of_the_version_before_does_not_count_again(registry: Registry) -> None:
    """A waived break is settled: the next version is not refused for it, even at a transitive level."""
    declared = plays()[0]
    registry.register(*plays())
    waiver = registry.waivers.record(waiver_of_track())
    registry.register(declared, {"events@1": schema("user")})
    registry.waivers.revoke(waiver.id)
    later = {"events@1": schema("user", "device?")}
    (verdict,) = registry.judge(declared, later)
    assert verdict.outcome is Outcome.COMPATIBLE
    assert {each.state for each in verdict.findings} <= {State.SETTLED}
    done = registry.register(declared, later)
    assert done.ports[0].version == 3
    assert all(each.endswith("; the version before does so already") for each in done.notes)


def test_a_retired_port_may_leave_the_descriptor(registry: Registry) -> None:
    """A port leaves the descriptor once it is retired, and has its history when it comes back."""
    both = product(outputPorts=[{"key": "user"}, {"name": "skips", "key": "user", "retention": "7d"}])
    schemas = {"events@1": schema("user", "track"), "skips@1": schema("user", "at", name="mesh.Skip")}
    registry.register(both, schemas)
    one, events = product(outputPorts=[{"key": "user"}]), {"events@1": schemas["events@1"]}
    _, gone = registry.judge(one, events)
    assert gone.outcome is Outcome.BREAKING
    assert refused(registry, one, events)
    registry.retire(both.id, Retirement(port="skips@1"))
    assert [each.address.port for each in registry.judge(one, events)] == ["events"]
    assert registry.register(one, events).product.bindings[1].status is Status.RETIRED
    assert registry.judge(one, events)[0].outcome is Outcome.UNCHANGED
    assert registry.past("player/plays").ports[1].status is Status.RETIRED
    broken = events | {"skips@1": schema("user", name="mesh.Skip")}
    assert rules(registry.judge(both, broken)[1]) == [(RULE, "at")]
    assert [each.partition(":")[0] for each in refused(registry, both, broken)] == [f"{RULE} at at"]
    assert [each.findings for each in registry.judge(both, schemas)] == [(), ()]
    assert registry.register(both, schemas).ports[1].version == 1


def test_going_back_to_an_older_version_is_a_change(registry: Registry) -> None:
    """The current version is the bound one, not the highest; a version that a product goes back to keeps its number."""
    loose = product(outputPorts=[{"key": "user", "compatibility": "BACKWARD"}])
    wide, narrow = {"events@1": schema("user", "track")}, {"events@1": schema("user")}
    registry.register(loose, wide)
    registry.register(loose, narrow)
    assert refused(registry, loose, wide)
    optional = {"events@1": schema("user", "track?")}
    assert registry.register(loose, optional).ports[0].version == 3
    assert registry.register(loose, narrow).ports[0].version == 2
    past = registry.past("player/plays")
    assert [each.number for each in past.ports[0].versions] == [1, 3, 2]
    assert registry.judge(loose, narrow)[0].outcome is Outcome.UNCHANGED


def test_a_subject_older_than_its_product_is_compared_with(registry: Registry, http: httpx2.Client) -> None:
    """A new product's contract is compared with what a producer registered in its subject before."""
    http.post("/subjects/player.plays.events.v1-value/versions", json={"schema": record("user", "track", "at")})
    findings = refused(registry, *plays())
    assert [each.partition(":")[0] for each in findings] == [f"{RULE} at at"]


def test_the_past_of_a_product_gives_the_same_verdict_elsewhere(registry: Registry, http: httpx2.Client) -> None:
    """A client with the past of a product, or a file of it, gets the registry's own verdict from the same engine."""
    declared, first = plays()
    registry.register(declared, first)
    registry.register(declared, {"events@1": schema("user", "track", "device?")})
    registry.register(
        product("mesh://listening/sessions", "mesh://player/plays:track"), {"events@1": schema("user", name="mesh.S")}
    )
    candidate = schema("user", "device?")
    text = http.get("/api/v1/gate/past/player/plays").text
    saved = ProductPast.model_validate_json(text, extra="ignore")
    assert (
        saved == registry.past("player/plays") == ProductPast.model_validate_json(saved.model_dump_json(by_alias=True))
    )
    (line,) = saved.ports
    assert [each.number for each in line.versions] == [1, 2]
    versions = tuple(Version(each.number, Schema(each.schema_text)) for each in line.versions)
    before = Contract(declaring(saved.product, line.port), line.port, versions[-1].schema)
    past = Past(before, versions, line.readers, line.waivers)
    after = Contract(declared, declared.output_ports[0], candidate)
    verdict = judge_port(past, after, declared, today=utc_today())
    assert (verdict,) == registry.judge(declared, {"events@1": candidate})
    assert verdict.readers[0].breaks
    assert http.get("/api/v1/gate/past/player/play").status_code == 404


def test_the_rules_can_be_asked_for(http: httpx2.Client) -> None:
    """The route of rules lists every row of the engine's table with its manual page."""
    answer = http.get("/api/v1/gate/rules").json()
    assert [each["id"] for each in answer] == list(RULES)
    assert all(each["purpose"] and each["manual"] and each["breaks"] for each in answer)


@pytest.fixture
def store(database: str) -> Iterator[RegistryStore]:
    """Yield a node on the same database as the service."""
    opened = RegistryStore(database_url(database)).open()
    yield opened
    opened.close()


def test_a_judgement_from_before_the_transaction_is_used_while_it_holds(
    registry: Registry, store: RegistryStore
) -> None:
    """A transaction uses an earlier judgement while its input is the same, and asks for another one if it has changed."""
    product_, schemas = plays()
    registry.register(product_, schemas)
    waiver = registry.waivers.record(waiver_of_track())
    wanted = ProductDeclaration(product_, {("events", 1): read_plain(record("user"))}, "k:1")
    judged, first = Judged(), store.read_now(lambda c: gate_judgement(c, wanted, utc_today()))
    judged.add(first, first.run())
    assert first.run()[0].passes

    def again() -> tuple[Verdict, ...]:
        return store.read_now(lambda c: judged.result(gate_judgement(c, wanted, utc_today())))

    def judged_again() -> Verdict:
        with pytest.raises(JudgeFirst) as changed:
            again()
        verdicts: tuple[Verdict, ...] = changed.value.judgement.run()
        return verdicts[0]

    assert again() is again()
    registry.register(
        product("mesh://listening/sessions", "mesh://player/plays"), {"events@1": schema("user", name="mesh.S")}
    )
    assert [len(each.readers) for each in (first.run()[0], judged_again())] == [0, 1]
    registry.waivers.revoke(waiver.id)
    assert not judged_again().passes
    with pytest.raises(Incompatible):
        asyncio.run(
            write_judged(store, lambda c, known: register_product(c, wanted, DefaultCluster(), known), judged=judged)
        )
    registry.register(product_, {"events@1": schema("user", "track", "device?")})
    assert judged_again().versions == (2, 1)


def test_of_contracts_that_exclude_one_another_one_wins(registry: Registry) -> None:
    """Of eight clients that change one field to eight types at once, one succeeds."""
    declared, schemas = plays()
    registry.register(declared, schemas)
    kinds = ["int", "long", "float", "double", "string", "bytes", "boolean", {"type": "array", "items": "int"}]

    def attempt(kind: Any) -> bool:
        candidate = schema("user", "track", {"name": "x", "type": ["null", kind], "default": None})
        try:
            registry.register(declared, {"events@1": candidate})
        except RegistrationRefused as error:
            return not error.findings
        return True

    with ThreadPoolExecutor(len(kinds)) as pool:
        assert sum(pool.map(attempt, kinds)) == 1
    assert len(registry.past("player/plays").ports[0].versions) == 2
