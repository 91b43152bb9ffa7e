"""The mesh API, through the library's client."""

from __future__ import annotations

import json
from datetime import date
from uuid import UUID, uuid4

import httpx2
import pytest

from meshport.address import Address
from meshport.catalog import Deprecation, Retirement
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.product import Product, Status
from meshport.registry import Registry
from meshport.schema import Schema
from tests.registry.schemas import plays, product, record, schema

SESSIONS = {"events@1": schema("user", "length", name="mesh.Session")}


def mesh(registry: Registry) -> None:
    """Register three products: plays -> sessions -> related."""
    registry.register(*plays(tags=["audio"]))
    registry.register(product("mesh://listening/sessions", "mesh://player/plays:user,track"), SESSIONS)
    registry.register(product("mesh://recommendations/related", "mesh://listening/sessions/events@1"), SESSIONS)


def refused(registry: Registry, declared: Product, schemas: dict[str, Schema]) -> tuple[str, ...]:
    """Return the findings of a refused registration."""
    with pytest.raises(RegistrationRefused) as error:
        registry.register(declared, schemas)
    return error.value.findings


def test_a_registered_product_resolves_to_its_binding(registry: Registry) -> None:
    """The binding has everything that a client needs, and its names follow from the address."""
    declared, schemas = plays(slaProperties=[{"property": "timeliness", "value": 30, "unit": "s"}])
    registration = registry.register(declared, schemas)
    binding = registry.resolve("mesh://player/plays")
    assert binding == registry.resolve("player/plays/events") == registry.resolve("player/plays/events@1")
    assert binding == registration.product.bindings[0]
    assert str(binding.address) == "mesh://player/plays/events@1"
    assert (binding.topic, binding.subject) == ("player.plays.events.v1", "player.plays.events.v1-value")
    assert (binding.bootstrap_servers, binding.partitions, binding.key) == ("kafka:9092", 4, ("user",))
    assert binding.schema_text == schemas["events@1"].text
    assert binding.fingerprint == schemas["events@1"].fingerprint
    assert registry.by_id(binding.schema_id) == schemas["events@1"]
    assert binding.slo == {"timeliness": {"value": 30.0, "unit": "s"}}


def test_a_product_is_found_by_its_guid_and_by_its_address(registry: Registry, http: httpx2.Client) -> None:
    """The response has the fields of common data catalogs beside the whole descriptor."""
    declared, schemas = plays(
        displayName="Plays", sourceCodeLocation="https://git.example/plays", requiredSecurityGroup="listeners"
    )
    registry.register(declared, schemas)
    answer = http.get(f"/api/v1/dataproducts/{declared.id}").json()
    expected = {
        "dataProductGUID": str(declared.id),
        "owner": "team-player",
        "displayName": "Plays",
        "sourceCodeLocation": "https://git.example/plays",
        "description": "The plays.",
        "readableDataProductKey": "player/plays",
        "requiredSecurityGroup": "listeners",
    }
    assert expected.items() <= answer.items()
    assert answer["createDate"] == answer["createDate"].strip()
    found = registry.product(declared.id)
    assert found == registry.product("mesh://player/plays") == registry.product(str(declared.id))
    assert found.descriptor == declared
    with pytest.raises(NotRegistered):
        registry.product(uuid4())


def test_registering_again_changes_nothing(registry: Registry) -> None:
    """Registering the same product again changes nothing, its dates included."""
    first = registry.register(*plays())
    again = registry.register(*plays())
    assert first.changed
    assert again.changed == ()
    assert again.product == first.product
    assert again.ports == first.ports


def test_a_dry_run_returns_the_changes_and_writes_nothing(registry: Registry, http: httpx2.Client) -> None:
    """A dry run lists each change, and accepts inputs that the same apply registers first."""
    plan = registry.register(*plays(), dry_run=True)
    assert plan.dry_run
    assert [str(each) for each in plan.changed][-1] == "events@1.topic: player.plays.events.v1"
    assert plan.ports[0].schema_id is None
    assert http.get("/subjects?deleted=true").json() == []
    with pytest.raises(NotRegistered):
        registry.resolve("player/plays")
    derived = product("mesh://listening/sessions", "mesh://player/plays:user")
    assert registry.register(derived, SESSIONS, dry_run=True).unresolved == (Address("player", "plays"),)
    assert "mesh://player/plays is not registered" in refused(registry, derived, SESSIONS)[0]


def test_a_binding_names_the_topic_id_that_was_registered_last(registry: Registry, http: httpx2.Client) -> None:
    """A registration without ids, and ids of other topics, change nothing; what is no id of Kafka is refused."""
    topic, first, second = "player.plays.events.v1", "A" * 22, "b9+/_-" + "c" * 16
    registry.register(*plays())
    assert registry.resolve("player/plays").topic_id is None
    done = registry.register(*plays(), topic_ids={topic: first, "player.plays.events.v1.g2": second})
    assert [str(each) for each in done.changed] == [f"events@1.topic_id: {first}"]
    assert registry.register(*plays()).changed == ()
    assert registry.resolve("player/plays").topic_id == first
    done = registry.register(*plays(), topic_ids={topic: second})
    assert [str(each) for each in done.changed] == [f"events@1.topic_id: {first} -> {second}"]
    assert registry.resolve("player/plays").topic_id == second
    with pytest.raises(RegistrationRefused):
        registry.register(*plays(), topic_ids={topic: "no id of Kafka"})
    body = http.get("/api/v1/resolve/player/plays").json()
    assert (body["topic"], body["topic_id"]) == (topic, second)


def test_an_update_is_planned_and_done_in_the_same_words(registry: Registry) -> None:
    """A new owner and a new version of the schema are two changes, in a dry run as in the registration."""
    registry.register(*plays())
    changed, schemas = plays(owner="team-b")[0], {"events@1": schema("user", "track", "device?")}
    plan = registry.register(changed, schemas, dry_run=True)
    done = registry.register(changed, schemas)
    assert [each.item for each in done.changed] == ["descriptor.owner", "events@1.schema_id"]
    assert plan.changed == done.changed
    assert done.ports[0].version == 2
    binding = registry.resolve("player/plays")
    assert (binding.owner, binding.schema_id) == ("team-b", done.ports[0].schema_id)
    assert done.product.update_date > done.product.create_date


def test_address_and_guid_belong_together_for_ever(registry: Registry) -> None:
    """An address never gets another GUID, and a GUID never another address."""
    registry.register(*plays())
    (other_guid,) = refused(registry, *plays(id=str(uuid4())))
    assert "an id never changes" in other_guid
    renamed = product("mesh://player/streams", id=str(plays()[0].id))
    (other_address,) = refused(registry, renamed, plays()[1])
    assert "an address is permanent" in other_address


def test_the_contract_is_held_at_the_level_of_the_archetype(registry: Registry) -> None:
    """A source-aligned product is FULL_TRANSITIVE unless the descriptor sets a level, and every broken reader is a finding."""
    registry.register(*plays())
    declared, _ = plays()
    (finding,) = refused(registry, declared, {"events@1": schema("user", "track", "device")})
    assert finding.startswith("READER_FIELD_MISSING_DEFAULT_VALUE at device: ")
    assert "[backward]" in finding
    (finding,) = refused(registry, declared, {"events@1": schema("user")})
    assert finding.startswith("READER_FIELD_MISSING_DEFAULT_VALUE at track: ")
    assert "[forward]" in finding
    loose = product("mesh://player/streams", outputPorts=[{"key": "user", "compatibility": "BACKWARD"}])
    registry.register(loose, plays()[1])
    assert registry.register(loose, {"events@1": schema("user")}).ports[0].version == 2


def test_partitions_key_and_ports_do_not_change_under_a_topic(registry: Registry) -> None:
    """A change of partitions, key or port is refused with all findings at once, and nothing is written."""
    registry.register(*plays())
    changed = product(outputPorts=[{"key": "track", "partitions": 8}])
    findings = refused(registry, changed, {"events@1": schema("track")})
    assert {"PARTITIONS_ADDED at partitions", "KEY_CHANGED at key"} < {each.partition(":")[0] for each in findings}
    assert any("[forward]" in each for each in findings)
    gone = product(outputPorts=[{"name": "other", "key": "user"}])
    (finding,) = refused(registry, gone, {"other@1": schema("user")})
    assert finding.startswith("PORT_REMOVED: the output port 'events@1' is gone")
    assert registry.product("player/plays").descriptor == plays()[0]


@pytest.mark.parametrize(
    ("ports", "schemas", "finding"),
    [
        ([{"key": "usr"}], {"events@1": schema("user")}, "did you mean 'user'?"),
        ([{"time": "at"}], {"events@1": schema("user")}, "the time field 'at'"),
        ([{"key": "user"}], {}, "no schema is given for events@1"),
        ([{}], {"events@1": schema("user"), "extra@1": schema("user")}, "extra@1, which is no output port"),
        ([{}], {"events@1": Schema('"string"')}, "records with fields"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(
    registry: Registry, ports: list[dict[str, str]], schemas: dict[str, Schema], finding: str
) -> None:
    """A key or time that is no field of the schema is refused, and so is a port without exactly one schema."""
    assert finding in "; ".join(refused(registry, product(outputPorts=ports), schemas))


def test_a_service_level_is_measured_by_a_field_of_the_schema(registry: Registry) -> None:
    """A level whose `element` the schema lacks, or whose type holds no such values, is refused by its place."""
    levels = [{"property": "drift", "value": 20, "unit": "percent", "element": "user, trck"}]
    declared = product(slaProperties=[*levels, {"property": "completeness", "value": 99, "element": "user"}])
    findings = refused(registry, declared, {"events@1": schema("user", "track")})
    assert findings == (
        "events@1: slaProperties[0]: the element 'trck' of drift is not in mesh.Play; did you mean 'track'?",
        "events@1: slaProperties[1]: the element 'user' of completeness is a string, which holds no numbers of facts; "
        "name an int or long that grows by one with each fact",
    )


def test_inputs_are_checked_against_what_they_read(registry: Registry) -> None:
    """An input port has to be registered, and its schema has to have the fields that are read."""
    registry.register(*plays())
    for source, finding in (
        ("player/play", "not registered"),
        ("player/plays/other", "player/plays/other is not registered"),
        ("player/plays/events@2", "events@2 is not registered"),
        ("player/plays:usr", "has no field 'usr'; did you mean 'user'?"),
    ):
        assert finding in "; ".join(refused(registry, product("mesh://listening/sessions", source), SESSIONS)), source


def test_a_product_without_a_cluster_is_refused(registry: Registry) -> None:
    """A product may name a cluster of its own, and another cluster is a change."""
    moved = registry.register(*plays(), bootstrap_servers="other:9092")
    assert moved.product.bindings[0].bootstrap_servers == "other:9092"
    back = registry.register(*plays())
    assert [each.item for each in back.changed] == ["events@1.bootstrap_servers"]
    assert registry.resolve("player/plays").bootstrap_servers == "kafka:9092"


def test_the_live_major_is_the_highest_that_is_not_retired(registry: Registry) -> None:
    """Of two majors an address without one resolves to the newer, until that is retired."""
    declared = product(outputPorts=[{"key": "user"}, {"major": 2, "key": "track"}])
    registry.register(declared, {"events@1": schema("user", "track"), "events@2": schema("track")})
    assert registry.resolve("player/plays").address.major == 2
    assert registry.resolve("player/plays/events@1").key == ("user",)
    registry.retire(declared.id, Retirement(port="events@2"))
    assert registry.resolve("player/plays").address.major == 1
    with pytest.raises(NotRegistered, match="events@2 is retired"):
        registry.resolve("player/plays/events@2")
    only_first = product(outputPorts=[{"key": "user"}])
    assert registry.register(only_first, {"events@1": schema("user", "track")}).product.bindings[1].address.major == 2


def test_producers_do_not_register_by_themselves(registry: Registry, http: httpx2.Client) -> None:
    """A product's subject accepts its own schema again, and refuses a new one, a delete, a level and a mode."""
    binding = registry.register(*plays()).product.bindings[0]
    path = f"/subjects/{binding.subject}"
    again = http.post(f"{path}/versions", json={"schema": record("user", "track")})
    assert again.json()["id"] == binding.schema_id
    for answer in (
        http.post(f"{path}/versions", json={"schema": record("user", "track", "x?")}),
        http.delete(path),
        http.delete(f"{path}/versions/1"),
        http.put(f"/config/{binding.subject}", json={"compatibility": "NONE"}),
        http.put(f"/mode/{binding.subject}", json={"mode": "IMPORT"}),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (422, 42205)
    assert http.get(f"/config/{binding.subject}").json() == {"compatibilityLevel": "FULL_TRANSITIVE"}
    assert "meshport apply" in http.post(f"{path}/versions", json={"schema": record("x")}).json()["message"]


def test_lineage_and_readers_agree(registry: Registry) -> None:
    """Lineage goes both ways over several steps; a reader without fields reads all of them."""
    mesh(registry)
    lineage = registry.lineage("listening/sessions")
    assert [(each.address.key, each.distance) for each in lineage.nodes] == [
        ("player/plays", -1),
        ("listening/sessions", 0),
        ("recommendations/related", 1),
    ]
    edges = [(each.source.key, each.reader.key, each.fields) for each in lineage.edges]
    assert edges == [
        ("listening/sessions", "recommendations/related", ()),
        ("player/plays", "listening/sessions", ("track", "user")),
    ]
    (reader,) = registry.readers("player/plays/events@1")
    assert (reader.address.key, reader.fields) == ("listening/sessions", ("user", "track"))
    (reader,) = registry.readers("listening/sessions")
    assert (reader.reads.key, reader.fields) == ("listening/sessions/events@1", ())
    assert registry.readers("recommendations/related") == ()
    with pytest.raises(NotRegistered):
        registry.readers("player/plays/other")


def test_products_can_be_searched(registry: Registry) -> None:
    """A search matches words in any order and attributes, in pages, and a percent sign is an ordinary character."""
    mesh(registry)
    assert [each.address.key for each in registry.search().items] == [
        "listening/sessions",
        "player/plays",
        "recommendations/related",
    ]
    assert [each.address.key for each in registry.search("AUDIO plays").items] == ["player/plays"]
    assert registry.search("100%").total == 0
    assert registry.search(tag="audio").total == registry.search(archetype="source-aligned").total == 1
    assert registry.search(owner="team-player", status="active").total == 3
    assert [each.address.key for each in registry.search(domain="listening").items] == ["listening/sessions"]
    page = registry.search(offset=1, limit=1)
    assert (page.total, [each.address.key for each in page.items]) == (3, ["player/plays"])


def test_a_product_is_deprecated_and_then_retired(registry: Registry, http: httpx2.Client) -> None:
    """A deprecation has a day and a successor; a retirement is refused while a product that `force` does not name reads it."""
    mesh(registry)
    guid = UUID(registry.product("player/plays").guid)
    registry.register(product("mesh://player/streams"), plays()[1])
    wanted = Deprecation(on=date(2030, 1, 1), successor=Address("player", "streams"))
    registry.deprecate(guid, wanted)
    binding = registry.resolve("player/plays")
    assert (binding.status, binding.deprecated_on) == ("deprecated", date(2030, 1, 1))
    assert binding.successor == Address("player", "streams")
    with pytest.raises(RegistrationRefused) as error:
        registry.retire(guid, Retirement())
    assert error.value.findings == ("mesh://listening/sessions reads mesh://player/plays/events (owner team-player)",)
    retired = registry.retire(guid, Retirement(force=(Address("listening", "sessions"),)))
    assert retired.descriptor.status == "retired"
    with pytest.raises(NotRegistered, match="its successor is mesh://player/streams"):
        registry.resolve("player/plays")
    answer = http.get("/api/v1/resolve/player/plays")
    assert (answer.status_code, answer.json()["successor"]) == (410, "mesh://player/streams")
    assert registry.by_id(binding.schema_id).field_names == ("user", "track")
    reader = product("mesh://listening/others", "mesh://player/plays")
    assert "its successor is mesh://player/streams" in refused(registry, reader, SESSIONS)[0]


def test_a_lifecycle_never_goes_back_by_an_apply(registry: Registry) -> None:
    """A deprecated product stays deprecated although its descriptor says active, and a note reports it."""
    declared, schemas = plays()
    registry.register(declared, schemas)
    registry.deprecate(declared.id, Deprecation(on=date(2030, 1, 1)))
    again = registry.register(declared, schemas)
    assert again.changed == ()
    assert again.notes == (
        "the status stays deprecated, though the descriptor says active (`meshport deprecate player/plays --undo`)",
    )
    assert registry.resolve("player/plays").status == "deprecated"


def test_a_deprecation_can_be_taken_back_and_a_retirement_cannot(registry: Registry, http: httpx2.Client) -> None:
    """`activate` undoes a deprecation, and is refused for a draft and after the retirement."""
    declared, schemas = plays()
    registry.register(declared.model_copy(update={"status": Status.DRAFT}), schemas)
    with pytest.raises(RegistrationRefused, match="is a draft, not deprecated"):
        registry.activate(declared.id)
    registry.register(declared, schemas)
    registry.deprecate(declared.id, Deprecation(on=date(2030, 1, 1)))
    assert registry.resolve("player/plays").status == "deprecated"
    assert registry.activate(declared.id).descriptor.status == "active"
    assert http.post(f"/api/v1/dataproducts/{declared.id}/activate").json()["descriptor"]["status"] == "active"
    assert registry.resolve("player/plays").deprecated_on is None
    registry.retire(declared.id, Retirement())
    assert http.post(f"/api/v1/dataproducts/{declared.id}/activate").status_code == 409
    with pytest.raises(RegistrationRefused, match="retired already"):
        registry.deprecate(declared.id, Deprecation(on=date(2030, 1, 1)))


def test_errors_name_what_was_found_and_what_would_be_right(http: httpx2.Client, registry: Registry) -> None:
    """Every error of the mesh API has the same four fields."""
    registry.register(*plays())
    no_port = {"descriptor": json.loads(plays()[0].model_dump_json(by_alias=True)), "schemas": {"events": "{}"}}
    asked: list[tuple[str, str, int, object]] = [
        ("GET", "resolve/player/play", 404, None),
        ("GET", "resolve/Player/plays", 422, None),
        ("GET", "resolve/player/plays?major=2", 422, None),
        ("GET", "dataproducts/1", 422, None),
        ("GET", "schemas/abc", 422, None),
        ("GET", f"schemas/{'0' * 64}", 404, None),
        ("GET", "dataproducts?limit=0", 422, None),
        ("GET", "nowhere", 404, None),
        ("POST", "dataproducts", 422, {"descriptor": {}, "schemas": {}}),
        ("POST", "dataproducts", 422, no_port),
    ]
    for method, path, status, body in asked:
        answer = http.request(method, f"/api/v1/{path}", json=body)
        assert answer.status_code == status, path
        assert {"error", "message", "hint", "findings"} <= answer.json().keys(), path
        assert answer.headers["content-type"] == "application/json"
    assert "mesh://player/plays" in http.get("/api/v1/resolve/player/play").json()["hint"]


def test_openapi_describes_every_route(http: httpx2.Client) -> None:
    """The hot routes are answered without the framework, and are in its OpenAPI."""
    paths = http.get("/openapi.json").json()["paths"]
    assert {
        "/schemas/ids/{schema_id}",
        "/api/v1/resolve/{domain}/{product}/{port}",
        "/subjects/{subject}/versions",
        "/api/v1/dataproducts/{guid}",
    } <= paths.keys()
    answer = paths["/api/v1/resolve/{domain}/{product}"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Binding")
