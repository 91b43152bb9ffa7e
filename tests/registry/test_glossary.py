"""The glossary: terms that domains declare, polysemes that contracts link to, and the products that use them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from meshport.address import Address
from meshport.errors import ProjectError
from meshport.glossary import GlossaryTerm, TermUse
from meshport.project.glossary import glossary_plans, missing_field, project_glossary
from meshport.project.project import Project
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.running import Run
from tests.registry.schemas import product, schema
from tests.registry.test_changes import events, follow

FLIGHT = {"name": "flight", "type": {"type": "string", "polyseme": "flight_id"}}
DELAY = GlossaryTerm(
    definition="minutes after the scheduled time",
    used_in=(TermUse(Address("operations", "departures", "events", 1), "delay"),),
)
YAML = """
operations:
  flight_id: {}
  delay:
    definition: minutes after the scheduled time
    owner: timekeepers
    usedIn: [operations/departures/events@1#delay]
network:
  hub:
    definition: an airport where people change
"""


def flights(registry: Registry) -> None:
    """Register two products that link to a polyseme, and one that does not."""
    leg = {"name": "leg", "type": {"type": "record", "name": "Leg", "fields": [FLIGHT]}}
    registry.register(product("mesh://operations/departures"), {"events@1": schema("user", FLIGHT, leg)})
    registry.register(product("mesh://network/delays"), {"events@1": schema("user", FLIGHT)})
    registry.register(product("mesh://network/airports"), {"events@1": schema("user")})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a glossary and a polyseme."""
    common = tmp_path / "schemas" / "common"
    common.mkdir(parents=True)
    common.joinpath("flight_id.avsc").write_text('{"type": "string", "polyseme": "flight_id", "doc": "One flight."}')
    (tmp_path / "glossary.yaml").write_text(YAML)
    return Project(tmp_path)


def test_terms_are_declared_found_and_replaced(database: str, registry: Registry) -> None:
    """A term has its definition and products; a polyseme is found without a declaration too; each change is news, once."""
    follow(registry)
    flights(registry)
    (link,) = registry.glossary.read().entries
    assert (link.name, link.polyseme, link.domain, link.linked_by_total) == ("flight_id", True, None, 2)
    assert [each.key for each in link.linked_by] == ["network/delays", "operations/departures"]
    assert [each.key for each in link.linked_fields] == [
        "network/delays/events@1#flight",
        "operations/departures/events@1#flight",
        "operations/departures/events@1#leg.flight",
    ]
    flight = GlossaryTerm(definition="One flight.", owner="timekeepers", polyseme=True)
    for _ in range(2):
        registry.glossary.declare("operations", {"flight_id": flight, "delay": DELAY})
    delay, link = registry.glossary.read().entries
    assert (delay.declared, link.declared) == (DELAY, flight)
    assert (link.domain, link.linked_by_total, delay.linked_by_total) == ("operations", 2, 0)
    assert [each.name for each in registry.glossary.read("SCHEDULED").entries] == ["delay"]
    assert registry.glossary.read(domain="network").entries == ()
    assert [each.name for each in registry.glossary.declare("operations", {"delay": DELAY}).entries] == ["delay"]
    assert [each.domain for each in registry.glossary.read("flight").entries] == [None]
    news = [(each["kind"], each["about"], each["changed"]) for each in events(database)[-2:]]
    assert news == [
        ("GLOSSARY_CHANGED", "domain:operations", ["delay", "flight_id"]),
        ("GLOSSARY_CHANGED", "domain:operations", ["flight_id"]),
    ]


def test_what_is_no_term_is_refused(http: httpx2.Client) -> None:
    """A domain, a name or a definition that cannot be is named, and nothing is written."""
    path, right = "/api/v1/glossary/operations", {"definition": "a flight"}
    assert http.put("/api/v1/glossary/Opera%20tions", json={"terms": {}}).status_code in {400, 422}
    wrongs: list[dict[str, Any]] = [
        {"": right},
        {"\n": right},
        {"a": {}},
        {"a": {"definition": ""}},
        {"a": right | {"b": 1}},
        {"a": right | {"used_in": ["operations/departures#"]}},
        {"a": right | {"used_in": ["operations/departures#a b"]}},
    ]
    for wrong in wrongs:
        assert http.put(path, json={"terms": wrong}).status_code == 422, wrong
    assert http.get("/api/v1/glossary").json()["entries"] == []


def test_a_project_declares_its_glossary(sqlite: str, project: Project, cli: Run) -> None:
    """Its plan has what is new, changed and removed, and nothing once it is applied; the command shows the terms."""
    terms = project_glossary(project)
    assert terms["operations"]["flight_id"] == GlossaryTerm(definition="One flight.", polyseme=True)
    with running(Settings(database=sqlite, port=0, bootstrap_servers="k:1")) as url, Registry(url) as registry:
        flights(registry)
        network, operations = glossary_plans(terms, registry.glossary)
        assert (network.changed, operations.changed) == (("hub is new",), ("flight_id is new", "delay is new"))
        for each in (network, operations):
            registry.glossary.declare(each.domain, each.terms)
        assert not any(each.changed for each in glossary_plans(terms, registry.glossary))
        other = {"network": {}, "operations": terms["operations"] | {"delay": DELAY}}
        plans = glossary_plans(other, registry.glossary)
        assert [each.changed for each in plans] == [("hub is removed",), ("delay is changed",)]
        shown = cli("glossary", "--registry", url)
        found = cli("glossary", "airport", "--json", "--registry", url)
        nothing = cli("glossary", "weather", "--registry", url)
    assert "timekeepers" in shown.out
    assert "network/delays/events@1#flight, operations/departures/events@1#flight" in shown.out
    assert "operations/departures/events@1#delay" in shown.out
    assert [each["name"] for each in found.lines] == ["hub"]
    assert "the glossary has no such term" in nothing.err


def test_the_reference_mesh_says_what_its_words_mean() -> None:
    """Its glossary is well-formed, and has a definition of each of its polysemes."""
    project = Project(Path(__file__).parents[2])
    terms = {name: term for own in project_glossary(project).values() for name, term in own.items()}
    assert {name for name, term in terms.items() if term.polyseme} == set(project.common.polysemes)
    products = {each.product.address for each in project.products}
    assert {use.address.of_product for term in terms.values() for use in term.used_in} <= products


def test_a_field_that_its_product_has_not_is_named() -> None:
    """A term of a project is used in fields that the products of the project have; the nearest field is named."""
    project = Project(Path(__file__).parents[2])
    use = TermUse.parse("player/plays#artist_idd")
    assert missing_field(project, use) == "mesh://player/plays has no field artist_idd; did you mean artist_id?"
    assert missing_field(project, TermUse.parse("player/plays#artist_id")) is None
    assert missing_field(project, TermUse.parse("of-others/plays#anything")) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a: [", "cannot be read"),
        ("a: {b: {definition: c, owners: d}}", "a.b.owners: Extra inputs are not permitted"),
        ("a: {b: {}}", "terms.b.definition: String should have at least 1 character"),
        ("a: {b: {definition: c, usedIn: [d]}}", "a.b.usedIn.0"),
        ("[1]", "dictionary"),
    ],
)
def test_a_file_that_is_no_glossary_is_named(project: Project, text: str, found: str) -> None:
    """The error has the file, the key and what would be right."""
    (project.root / "glossary.yaml").write_text(text)
    with pytest.raises(ProjectError, match=found) as refused:
        project_glossary(project)
    assert "glossary.yaml" in str(refused.value)
