"""A processor's stored state at the gate: from files, revisions and the registry, without running a product's code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshport.address import Address
from meshport.catalog import WaiverRequest
from meshport.compat import Finding, State
from meshport.errors import DescriptorError, RegistrationRefused
from meshport.gate.docket import docket
from meshport.gate.lines import FindingLines
from meshport.gate.sources import parse_against
from meshport.process import load_pipeline
from meshport.process.logic.operators import Apply
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.gate.repositories import Mesh, record

TODAY = datetime.now(UTC).date()
STATE = "schemas/shop/revenue.state.avsc"
COUNT = {"name": "orders", "type": "long"}
AGGREGATE = "aggregate: {by: [id], window: {tumbling: 1h}, values: {orders: count()}}"
APPLY = f"apply: {{function: logic.py:total, by: [id], state: {STATE}}}"


def declare(mesh: Mesh, *steps: str, process: str = "") -> None:
    """Write the derived product with these steps."""
    listed = "".join(f"    - {each}\n" for each in steps)
    more = process or f"  steps:\n{listed}"
    mesh.product("shop/revenue", record("Revenue"), reads={"shop/orders": []}, more=f"process:\n{more}")


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    """Orders, and revenue by an aggregate, committed on main."""
    made = Mesh.make(tmp_path / "mesh")
    made.product("shop/orders", record("Order", "cents"))
    declare(made, "filter: cents > 0", AGGREGATE)
    made.commit("first")
    return made


def found(mesh: Mesh, *, against: str = "main", registry: Registry | None = None) -> list[Finding]:
    """Return what the gate finds, with file and line."""

    def known() -> Registry:
        assert registry is not None, "nobody may ask a registry"
        return registry

    project = mesh.project
    lines = FindingLines(project)
    asked = [Address.parse("shop/revenue")] if registry else []
    cases = docket(project, asked, parse_against(against, project, known)).cases
    return [each for case in cases for each in lines.of(case.verdict(TODAY), case.product).findings]


def told(mesh: Mesh, **given: Any) -> list[tuple[str, str]]:
    """Return rule and path of what the gate finds."""
    return [(each.rule, each.path) for each in found(mesh, **given)]


def test_the_step_that_changed_is_named_with_its_line(mesh: Mesh) -> None:
    """A changed step is found offline with its line, and the advice says how to compute the product anew."""
    declare(mesh, "filter: cents > 0", "filter: cents < 100", AGGREGATE.replace("1h", "1d"))
    (only,) = found(mesh)
    assert (only.rule, only.path, only.refuses) == ("PROCESS_STATE_CHANGED", "process.aggregate", True)
    assert "the windows were tumbling 1h and would be tumbling 1d" in only.message
    assert "`meshport rebuild shop/revenue`" in only.advice
    assert "`meshport gate waive shop/revenue/events@1 --rule PROCESS_STATE_CHANGED" in only.advice
    assert only.pointer == "/process/steps/2/aggregate"
    lines = (mesh.root / "processors/shop/revenue/product.yaml").read_text().splitlines()
    assert only.line == next(number for number, line in enumerate(lines, 1) if "aggregate:" in line)


def test_a_schema_of_a_state_is_compared_as_a_file(mesh: Mesh) -> None:
    """A change of the state's schema file is found against a revision, another checkout, and through a common type."""
    mesh.schema("common/country", {"type": "enum", "name": "Country", "namespace": "common", "symbols": ["ZZ", "DE"]})
    where = {"name": "where", "type": "common.Country"}
    mesh.schema("shop/revenue.state", record("State", COUNT, where))
    declare(mesh, APPLY)
    mesh.commit("a function")
    assert found(mesh) == []
    mesh.schema("shop/revenue.state", record("State", COUNT, where, {"name": "cents", "type": "long", "default": 0}))
    assert told(mesh) == []
    mesh.schema("shop/revenue.state", record("State", COUNT, where, {"name": "cents", "type": "long"}))
    (only,) = found(mesh)
    assert (only.rule, only.path) == ("PROCESS_STATE_UNREADABLE", "process.apply.state.cents")
    assert "READER_FIELD_MISSING_DEFAULT_VALUE" in only.message
    mesh.schema("shop/revenue.state", record("State", COUNT, where))
    mesh.schema("common/country", {"type": "enum", "name": "Country", "namespace": "common", "symbols": ["ZZ"]})
    assert told(mesh) == [("PROCESS_STATE_UNREADABLE", "process.apply.state.where")]


def test_another_checkout_has_its_own_schemas(mesh: Mesh, tmp_path: Path) -> None:
    """A state's schema is compared with that of a folder, wherever below schemas/ it is."""
    other = Mesh.make(tmp_path / "other")
    for each in (mesh, other):
        each.product("shop/orders", record("Order", "cents"))
        each.schema("state", record("State", COUNT))
        declare(each, APPLY.replace(STATE, "schemas/state.avsc"))
    for name in ("orders", "revenue"):  # the same products
        kind = "producers" if name == "orders" else "processors"
        file = f"{kind}/shop/{name}/product.yaml"
        (other.root / file).write_text((mesh.root / file).read_text())
    assert told(mesh, against=str(other.root)) == []
    mesh.schema("state", record("State", COUNT | {"type": "string"}))
    assert told(mesh, against=str(other.root)) == [("PROCESS_STATE_UNREADABLE", "process.apply.state.orders")]


def test_a_line_that_is_not_built_any_more_keeps_its_state(mesh: Mesh) -> None:
    """A live new major starts with an empty state, so that the old state does not count; before its day it still does."""
    reads: dict[str, list[str]] = {"shop/orders": []}
    process = f"process:\n  steps:\n    - {AGGREGATE.replace('1h', '1d')}\n"
    for day, expected in ((TODAY, set()), (TODAY + timedelta(days=30), {"PROCESS_STATE_CHANGED"})):
        line = (
            f"- name: events\n  - {{name: events, major: 2, liveFrom: {day}, schema: schemas/shop/revenue.events.avsc}}"
        )
        mesh.product("shop/revenue", record("Revenue"), reads=reads, ports=line, more=process)
        assert {rule for rule, _ in told(mesh)} - {"MAJOR_MOVES_READERS", "LINE_DATES"} == expected


def test_python_is_never_run(mesh: Mesh) -> None:
    """The Python of a process is never run, in no revision; a change of it is a warning and passes."""
    (mesh.root / "processors/shop/revenue/logic.py").write_text("raise SystemExit('was run')\n")
    declare(mesh, process="  python: logic.py:steps\n")
    mesh.commit("python")
    declare(mesh, process="  python: logic.py:others\n")
    (only,) = found(mesh)
    assert (only.rule, only.path, only.refuses) == ("PROCESS_STATE_UNKNOWN", "process.python", False)


@pytest.mark.parametrize("wrong", ["{", '{"type": "unheard-of"}'])
def test_a_state_without_a_schema_is_no_candidate(mesh: Mesh, wrong: str) -> None:
    """A missing state schema is an error that names the descriptor, the line and the file."""
    declare(mesh, APPLY)
    with pytest.raises(DescriptorError, match=r"product.yaml:\d+: the schema of the state: .*revenue.state.avsc"):
        mesh.project.descriptor("processors/shop/revenue/product.yaml")
    mesh.schema("shop/revenue.state", wrong)
    with pytest.raises(DescriptorError, match=r"product.yaml:\d+: the schema of the state: .*revenue.state.avsc"):
        mesh.project.descriptor("processors/shop/revenue/product.yaml")


def test_a_pipeline_has_the_schema_of_its_project(mesh: Mesh) -> None:
    """The processor checks its states against the schema that the gate judged."""
    mesh.schema("shop/revenue.state", record("State", COUNT))
    (mesh.root / "processors/shop/revenue/logic.py").write_text("def total(state, event):\n    return state, []\n")
    declare(mesh, APPLY)
    product = mesh.project.product(Address.parse("shop/revenue"))
    grouping = load_pipeline(product.product, product.folder).grouping
    assert isinstance(grouping, Apply)
    assert grouping.schema is not None
    assert grouping.schema.field_names == ("id", "orders")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry of one's own."""
    settings = Settings(database=f"sqlite:///{tmp_path / 'registry.db'}", port=0, bootstrap_servers="kafka:9092")
    with running(settings) as url, Registry(url) as client:
        yield client


def register(mesh: Mesh, registry: Registry) -> None:
    """Bring all of a project into the registry."""
    for each in mesh.project.products:
        schemas = {f"{name}@{major}": schema for (name, major), schema in each.schemas.items()}
        registry.register(each.product, schemas)


def test_the_registry_has_the_schema_and_not_the_file(mesh: Mesh, registry: Registry) -> None:
    """Registry and command line judge the registered state alike, until a waiver records a rebuild."""
    mesh.schema("shop/revenue.state", record("State", COUNT))
    declare(mesh, APPLY)
    register(mesh, registry)
    process = registry.past("shop/revenue").product.process
    assert process is not None
    assert process.applied is not None
    assert json.loads(process.applied.state or "")["name"] == "shop.State"
    mesh.schema("shop/revenue.state", record("State", COUNT | {"type": "string"}))
    path = "process.apply.state.orders"
    assert told(mesh, against="registry", registry=registry) == [("PROCESS_STATE_UNREADABLE", path)]
    with pytest.raises(RegistrationRefused, match="PROCESS_STATE_UNREADABLE"):
        register(mesh, registry)
    registry.waivers.record(
        WaiverRequest(
            address=Address.parse("shop/revenue/events@1"),
            rule="PROCESS_STATE_UNREADABLE",
            path=path,
            approver="Ada",
            reason="it will be rebuilt",
            until=TODAY + timedelta(days=7),
        )
    )
    (waived,) = found(mesh, against="registry", registry=registry)
    assert waived.state is State.WAIVED
    register(mesh, registry)
    assert told(mesh, against="registry", registry=registry) == []


@pytest.mark.parametrize("state", [STATE, '{"type": "unheard-of"}'])
def test_the_registry_takes_no_state_that_it_cannot_judge(mesh: Mesh, registry: Registry, state: str) -> None:
    """The registry refuses a state that is a file name or no schema, since it could not compare it."""
    mesh.schema("shop/revenue.state", record("State", COUNT))
    declare(mesh, APPLY)
    orders, revenue = mesh.project.products
    registry.register(orders.product, {"events@1": orders.schemas["events", 1]})
    assert revenue.product.process is not None
    unread = revenue.product.model_copy(update={"process": revenue.product.process.with_state(state)})
    with pytest.raises(RegistrationRefused, match="the schema of the state that `apply` keeps"):
        registry.register(unread, {"events@1": revenue.schemas["events", 1]})
