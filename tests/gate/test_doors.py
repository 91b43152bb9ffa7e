"""One corpus through every door of the gate: git, file, mesh API, registration and Confluent's API give the same verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import httpx2
import pytest
import yaml

from meshport.address import Address, subject_name
from meshport.compat import RULES, Severity, State, Verdict
from meshport.compat.corpus import Fixture, fixtures
from meshport.gate.before import PastSource
from meshport.gate.docket import docket
from meshport.gate.sources import parse_against
from meshport.project.project import Project
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.plain_http import plain_http
from tests.repository import git

# A registry that had the contract before LOGICAL_TYPE_IGNORED was a rule may hold it; none takes it any more.
_NOT_REGISTERED = ("LOGICAL_TYPE", "ignored")
CORPUS = [each for rule in RULES for each in fixtures(rule) if (rule, each.name) != _NOT_REGISTERED]


@dataclass(frozen=True)
class DoorVerdict:
    """A door's verdict on a change: whether it passes, the rules that refuse it, and the rules that only warn."""

    passes: bool
    refusing: frozenset[str]
    warning: frozenset[str] = frozenset()


class AddressedFixture:
    """A fixture with an address of its own, so that the whole corpus fits into one mesh."""

    def __init__(self, fixture: Fixture) -> None:
        self.fixture = fixture
        self.slug = f"{fixture.rule}-{fixture.name}".lower().replace("_", "-")
        self.before = self._addressed(fixture.before[0])
        self.after = self._addressed(fixture.after[0])
        self.schemas = [*fixture.earlier, fixture.before[1]]
        self.candidate = fixture.after[1]

    @property
    def expected(self) -> DoorVerdict:
        """The verdict that the fixture declares."""
        refusing = frozenset(each for each in self.fixture.finds if RULES[each].severity is Severity.ERROR)
        return DoorVerdict(not refusing, refusing, self.fixture.finds - refusing)

    @property
    def address(self) -> Address:
        """The product's address, as its readers know it."""
        return Address.parse(self.before["address"])

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The ports that it reads, before or after."""
        return [*self.before.get("inputPorts", ()), *self.after.get("inputPorts", ())]

    @property
    def schema_alone(self) -> bool:
        """Whether only the schema changes, which is all that Confluent's API can judge."""
        return self.before == self.after and not self.fixture.gone

    def _addressed(self, document: dict[str, Any]) -> dict[str, Any]:
        address = Address.parse(document["address"])
        name = self.slug if address.product == "orders" else f"{self.slug}-{address.product}"
        known = str(document["id"])
        own = str(uuid5(NAMESPACE_URL, self.slug + known.lower()))
        place = {"address": f"mesh://{address.domain}/{name}", "id": own if known.islower() else own.upper()}
        text = json.dumps(document | place, default=str)  # YAML reads a day as a date
        for verdict_of, here in (('"shop.orders.', f'"{address.domain}.{name}.'), ('"Orders."', f'"{name}."')):
            text = text.replace(verdict_of, here)
        return dict(json.loads(text))


def port_of(document: dict[str, Any]) -> str:
    """Return `<port>@<major>` of a descriptor's first port."""
    port = document["outputPorts"][0]
    return f"{port['name']}@{port.get('major', 1)}"


def write(root: Path, document: dict[str, Any], schema: Any) -> None:
    """Write a product into a project; all of its ports have the same schema."""
    address = Address.parse(document["address"])
    kind = "producers" if document["archetype"] == "source-aligned" else "processors"
    for other in ("producers", "processors"):
        shutil.rmtree(root / other / address.domain / address.product, ignore_errors=True)
    folder = root / kind / address.domain / address.product
    folder.mkdir(parents=True)
    file = f"schemas/{address.domain}/{address.product}.avsc"
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps(schema, indent=1))
    ports = [port | {"schema": file} for port in document["outputPorts"]]
    (folder / "product.yaml").write_text(yaml.safe_dump(document | {"outputPorts": ports}, sort_keys=False))


@pytest.fixture(scope="module")
def corpus() -> list[AddressedFixture]:
    """Every fixture of every rule."""
    return [AddressedFixture(each) for each in CORPUS]


@pytest.fixture(scope="module")
def project(corpus: list[AddressedFixture], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A repository whose history is the corpus's history, and whose work tree contains the candidates."""
    root = tmp_path_factory.mktemp("corpus")
    for name in ("producers", "processors", "schemas/common"):
        (root / name).mkdir(parents=True)
        (root / name / ".keep").touch()
    for name, kind in set(polysemes([each.schemas for each in corpus] + [each.candidate for each in corpus])):
        (root / f"schemas/common/{name}.avsc").write_text(json.dumps({"type": kind, "polyseme": name}))
    git(root, "init", "--initial-branch=main")
    for step in range(max(len(each.schemas) for each in corpus)):
        for each in corpus:
            # Those with a shorter history begin later, so that all of them end with `before`.
            write(root, each.before, each.schemas[min(step, len(each.schemas) - 1)])
        git(root, "add", ".")
        git(root, "commit", f"--message={step}")
    for each in corpus:
        address = each.address
        if each.after["address"] != each.before["address"] or each.fixture.gone == "product":
            shutil.rmtree(root / "producers" / address.domain / address.product)
            (root / "schemas" / address.domain / f"{address.product}.avsc").unlink()
        if each.fixture.gone != "product":
            write(root, each.after, each.candidate)
    return Project(root)


def polysemes(form: Any) -> Iterator[tuple[str, str]]:
    """Return name and type of every global identifier that some schemas link to."""
    if isinstance(form, list):
        for each in form:
            yield from polysemes(each)
    elif isinstance(form, dict):
        if "polyseme" in form:
            yield form["polyseme"], form["type"]
        for each in form.values():
            yield from polysemes(each)


@pytest.fixture(scope="module")
def service(corpus: list[AddressedFixture], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry that has the corpus's history."""
    database = tmp_path_factory.mktemp("registry") / "registry.db"
    with (
        running(Settings(database=f"sqlite:///{database}", port=0, bootstrap_servers="kafka:9092")) as url,
        plain_http(url) as http,
    ):
        for address in {port["address"] for each in corpus for port in each.inputs}:
            source = Fixture("", "", {}).before[0] | {"address": address, "id": str(uuid5(NAMESPACE_URL, address))}
            register(http, source, Fixture("", "", {}).before[1])
        for each in corpus:
            free = [port | {"compatibility": "NONE"} for port in each.before["outputPorts"]]
            for schema in each.schemas:
                register(http, each.before | {"outputPorts": free}, schema)
            register(http, each.before, each.schemas[-1])
        yield url


def declaration(document: dict[str, Any], schema: Any) -> dict[str, Any]:
    """Return the body of a request to the mesh API."""
    ports = [f"{port['name']}@{port.get('major', 1)}" for port in document["outputPorts"]]
    return {"descriptor": document, "schemas": dict.fromkeys(ports, json.dumps(schema))}


def register(http: httpx2.Client, document: dict[str, Any], schema: Any) -> None:
    """Register a product."""
    answer = http.post("/api/v1/dataproducts", json=declaration(document, schema))
    assert answer.status_code == 200, f"{document['address']}: {answer.text}"


def verdict_of(verdicts: Iterable[Verdict]) -> DoorVerdict:
    """Return several verdicts as one."""
    findings = [each for verdict in verdicts for each in verdict.findings if each.state is State.STANDS]
    return DoorVerdict(
        all(not each.refuses for each in findings),
        frozenset(each.rule for each in findings if each.severity is Severity.ERROR),
        frozenset(each.rule for each in findings if each.severity is Severity.WARNING),
    )


def by_docket(project: Project, source: PastSource, *addresses: Address) -> dict[str, DoorVerdict]:
    """Return the command line's verdicts, by product."""
    found: dict[str, list[Verdict]] = {}
    today = datetime.now(UTC).date()
    for case in docket(project, addresses, source).cases:
        found.setdefault(case.address.of_product.key, []).append(case.verdict(today))
    return {key: verdict_of(verdicts) for key, verdicts in found.items()}


def differing(corpus: list[AddressedFixture], door: dict[str, DoorVerdict]) -> list[str]:
    """Return the fixtures on which a door's verdict differs from the declared one."""
    wrong = []
    for each in corpus:
        found = door.get(each.address.key, DoorVerdict(True, frozenset()))
        if found != each.expected:
            wrong.append(f"{each.fixture.rule}/{each.fixture.name}: {found}, not {each.expected}")
    return wrong


def test_the_corpus_is_worth_the_name(corpus: list[AddressedFixture]) -> None:
    """The corpus has every rule, changes that break and changes that do not, and each has its own address."""
    assert {each.fixture.rule for each in corpus} == set(RULES)
    assert len({each.slug for each in corpus}) == len(corpus) > 100
    assert {each.expected.passes for each in corpus} == {True, False}


def test_git(corpus: list[AddressedFixture], project: Project) -> None:
    """`--against main` judges the work tree by a revision and its history, offline, as the fixtures declare."""

    def no_registry() -> Registry:
        raise AssertionError("a comparison with git asks nobody")

    assert differing(corpus, by_docket(project, parse_against("main", project, no_registry))) == []


def test_registry(corpus: list[AddressedFixture], project: Project, service: str) -> None:
    """`--against registry` judges by the registry's past, as the fixtures declare."""
    with Registry(service) as registry:
        source = parse_against("registry", project, lambda: registry)
        addresses = [each.address for each in corpus]
        assert differing(corpus, by_docket(project, source, *addresses)) == []


def test_file(corpus: list[AddressedFixture], project: Project, service: str, tmp_path: Path) -> None:
    """`--against FILE` judges by a saved answer of the registry, as the fixtures declare."""
    door: dict[str, DoorVerdict] = {}
    with plain_http(service) as http:
        for each in corpus:
            file = tmp_path / f"{each.slug}.json"
            file.write_text(http.get(f"/api/v1/gate/past/{each.address.key}").text)
            source = parse_against(str(file), project, lambda: pytest.fail("a file asks nobody"))
            door |= by_docket(project, source, each.address)
    assert differing(corpus, door) == []


def test_mesh_api(corpus: list[AddressedFixture], service: str) -> None:
    """`POST /api/v1/gate/check` judges in the registry what would be registered, as the fixtures declare."""
    door: dict[str, DoorVerdict] = {}
    declared = [each for each in corpus if each.fixture.gone != "product"]  # nothing is registered for it
    with plain_http(service) as http:
        for each in declared:
            answer = http.post("/api/v1/gate/check", json=declaration(each.after, each.candidate))
            assert answer.status_code == 200, f"{each.slug}: {answer.text}"
            door[each.address.key] = verdict_of(Verdict.model_validate(one) for one in answer.json()["verdicts"])
    assert differing(declared, door) == []


def test_registration(corpus: list[AddressedFixture], service: str) -> None:
    """A registration and its dry run refuse exactly what the gate refuses."""
    door: dict[str, DoorVerdict] = {}
    declared = [each for each in corpus if each.fixture.gone != "product"]
    with plain_http(service) as http:
        for each in declared:
            answer = http.post(
                "/api/v1/dataproducts", params={"dry_run": True}, json=declaration(each.after, each.candidate)
            )
            refusing = frozenset(rule_of(one) for one in answer.json().get("findings", ()))
            assert answer.status_code == (409 if refusing else 200), f"{each.slug}: {answer.text}"
            door[each.address.key] = DoorVerdict(not refusing, refusing, each.expected.warning)
    assert differing(declared, door) == []


def test_confluent(corpus: list[AddressedFixture], service: str) -> None:
    """`POST /compatibility/subjects/S/versions?verbose=true` judges a product's subject by the whole contract."""
    door: dict[str, DoorVerdict] = {}
    schemas = [each for each in corpus if each.schema_alone]
    assert len(schemas) > 50
    with plain_http(service) as http:
        for each in schemas:
            name, _, major = port_of(each.before).partition("@")
            subject = subject_name(each.address.at(name, int(major)))
            answer = http.post(
                f"/compatibility/subjects/{subject}/versions?verbose=true", json={"schema": json.dumps(each.candidate)}
            )
            assert answer.status_code == 200, f"{each.slug}: {answer.text}"
            verdict = answer.json()
            refusing = frozenset(rule_of(one) for one in verdict["messages"])
            door[each.address.key] = DoorVerdict(verdict["is_compatible"], refusing, each.expected.warning)
    assert differing(schemas, door) == []


def rule_of(message: str) -> str:
    """Return the rule id at the beginning of a message."""
    return message.split(maxsplit=1)[0].rstrip(":")
