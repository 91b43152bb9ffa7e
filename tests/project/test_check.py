"""What a process reads is derived from it, and `inputPorts` has to declare no less."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import DescriptorError, NotRegistered, ProcessError, UnknownCluster
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.process.logic.fields_read import InputContract, fields_read
from meshport.process.logic.load import operator_of
from meshport.process.logic.one_cluster import PortCluster, refuse_other_clusters
from meshport.process.logic.operators import Aggregate, Apply, Derive, Filter, Flatten, Operator
from meshport.process.logic.pipeline import Pipeline
from meshport.product import Step
from meshport.project.check import Contracts, check_process
from meshport.project.project import Project

INPUT, TABLE = Address("football", "events"), Address("football", "players")
CONTRACTS = {
    INPUT: InputContract(("id", "player", "minute", "shot", "tags", "at"), ("player",), "at"),
    TABLE: InputContract(("player", "name", "team", "since"), ("player",), "since", compacted=True),
}
JOIN: dict[str, Any] = {"join": {"with": str(TABLE), "on": "player", "take": {"who": "name"}}}


def read(*steps: Mapping[str, Any] | Operator, contracts: dict[Address, InputContract] = CONTRACTS) -> dict[str, str]:
    """The fields read of each input, joined by spaces."""
    operators = tuple(operator_of(Step.model_validate(each)) if isinstance(each, Mapping) else each for each in steps)
    found = fields_read(Pipeline(INPUT, operators), contracts)
    return {address.product: " ".join(paths) for address, paths in found.paths.items()} | (
        {} if found.complete else {"python": "sees whole records"}
    )


COUNT: dict[str, Any] = {"aggregate": {"by": ["id"], "values": {"n": "count()"}}}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([COUNT], "id at"),
        ([{"aggregate": {"by": ["player"], "values": {"n": "count()", "last": "max(minute)"}}}], "player minute at"),
        ([{"filter": "shot.xg > 0.1 and not (shot.freeze.count in (1, 2))"}, COUNT], "id shot.freeze.count shot.xg at"),
        ([{"filter": "shot is None or shot.xg > 0.1"}, COUNT], "id shot.xg at"),
        ([{"filter": "shot is not None"}, COUNT], "id shot at"),
        ([{"derive": {"late": "max(minute, 90) if minute > 45 else coalesce(minute, 0)"}}, COUNT], "id minute at"),
        ([{"derive": {"minute": "minute + 1"}}, {"select": ["minute"]}], "minute at"),
        ([{"select": ["id", "minute"]}, COUNT], "id minute at"),
        ([{"rename": {"shot": "s"}}, {"filter": "s.xg > 0.1"}, COUNT], "id shot.xg at"),
        ([{"flatten": "tags"}, {"filter": "tags.weight > 1"}, COUNT], "id tags.weight at"),
        ([{"flatten": "tags"}, COUNT], "id tags at"),
        ([{"deduplicate": {"within": "1h", "by": ["minute"]}}, COUNT], "id minute at"),
        ([{"filter": "minute > 3"}], "id player minute shot tags at"),
        ([{"select": ["minute"]}], "minute at"),
    ],
    ids=str,
)
def test_declared_steps_tell_what_they_read(steps: list[dict[str, Any]], expected: str) -> None:
    """Operands, keys, the event time, what is looked up, and what comes out unchanged are read; nothing else is."""
    assert read(*steps) == {"events": expected}


def test_a_join_reads_its_table_by_key_and_time() -> None:
    """Of a joined product the fields taken are read, its key, and its time, by which the row of a moment is found."""
    assert read(JOIN, COUNT) == {"events": "id player at", "players": "player name since"}
    stream = {"join": {"with": str(TABLE), "on": "player", "within": "1h", "take": {"who": "name"}}}
    assert read(stream, {"select": ["who"]}) == {"events": "player at", "players": "player name since"}


def test_a_compacted_input_is_read_by_its_key() -> None:
    """An aggregate over a compacted input replaces what a row contributed before, by the row's key."""
    rows = {INPUT: InputContract(("id", "player"), ("player",), None, compacted=True)}
    assert read(COUNT, contracts=rows) == {"events": "id player"}
    assert read({"select": ["id"]}, contracts=rows) == {"events": "id"}


@pytest.mark.parametrize(
    ("operators", "expected"),
    [
        ((Filter(lambda record: record["minute"] > 3), Aggregate(("id",), {"n": "count()"})), "id at"),
        ((Derive({"x": lambda record: record["minute"]}), Aggregate(("id",), {"n": "sum(x)"})), "id at"),
        ((Filter("minute > 3"), Apply(lambda state, _: (state, []), ("player",))), "player minute at"),
        ((Flatten(lambda record: [dict(record)]), Aggregate(("id",), {"n": "count()"})), "at"),
    ],
    ids=["filter", "derive", "apply", "flatten"],
)
def test_a_python_function_sees_whole_records(operators: tuple[Operator, ...], expected: str) -> None:
    """What a function of the product's own reads is not derived: only the rest is, and `complete` is false."""
    assert read(*operators) == {"events": expected, "python": "sees whole records"}


# --- inputPorts

SHOT = {"type": "record", "name": "Shot", "fields": [{"name": "xg", "type": "double"}]}
EVENT: dict[str, Any] = {
    "type": "record",
    "name": "Event",
    "fields": [
        {"name": "player", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "minute", "type": "int"},
        {"name": "shot", "type": ["null", SHOT]},
    ],
}
CHANCES: dict[str, Any] = {
    "type": "record",
    "name": "Chances",
    "fields": [
        {"name": "player", "type": "string"},
        {"name": "best", "type": ["null", "double"], "default": None},
    ],
}
PROCESS: dict[str, Any] = {
    "steps": [
        {"derive": {"xg": "coalesce(shot.xg, 0.0)"}},
        {"aggregate": {"by": ["player"], "values": {"best": "max(xg)"}}},
    ]
}


def project(root: Path, fields: list[str] | None, process: dict[str, Any] = PROCESS) -> Project:
    """A source and an aggregate that declares these input fields; None declares all."""
    port: dict[str, Any] = {"address": str(INPUT)} | ({} if fields is None else {"fields": fields})
    shared = {"description": "d", "owner": "o"}
    source = shared | {
        "address": str(INPUT), "id": str(uuid4()), "archetype": "source-aligned",
        "outputPorts": [{"name": "events", "key": "player", "time": "at"}],
    }  # fmt: skip
    derived = shared | {
        "address": "mesh://football/chances", "id": str(uuid4()), "archetype": "aggregate", "inputPorts": [port],
        "outputPorts": [{"name": "events", "key": "player", "cleanup": "compact"}], "process": process,
    }  # fmt: skip
    for kind, name, document, schema in (
        ("producers", "events", source, EVENT),
        ("processors", "chances", derived, CHANCES),
    ):
        folder = root / kind / "football" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "product.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        contract = root / "schemas" / "football" / f"{name}.events.avsc"
        contract.parent.mkdir(parents=True, exist_ok=True)
        contract.write_text(json.dumps(schema), encoding="utf-8")
    (root / "processors" / "football" / "chances" / "logic.py").write_text(LOGIC, encoding="utf-8")
    return Project(root)


LOGIC = """
from meshport.process.logic.operators import Aggregate, Derive


def pipeline():
    return [Derive({"xg": lambda event: event["minute"] / 90}), Aggregate(by=("player",), values={"best": "max(xg)"})]


def keep(state, event):
    return event.data, [{"player": event.data["player"], "best": None}]
"""


def nowhere(address: Address) -> Binding:
    """A registry without products."""
    raise NotRegistered(f"nothing is registered at {address}")


def check(found: Project) -> None:
    """Check each product as `apply` does."""
    for each in found.products:
        check_process(each, Contracts(found.products, nowhere))


@pytest.mark.parametrize(
    "fields", [None, ["player", "at", "shot"], ["player", "at", "shot.xg"], ["minute", "shot", "at", "player"]], ids=str
)
def test_a_declaration_that_covers_what_is_read_passes(tmp_path: Path, fields: list[str] | None) -> None:
    """All fields, the record or the path within it, and more than is read: each covers the process."""
    check(project(tmp_path, fields))


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        (["player", "at"], "'shot.xg'"),
        (["player", "shot"], "'at'"),
        (["at", "shot"], "'player'"),
        (["minute"], "'player', 'at', 'shot.xg'"),
    ],
    ids=str,
)
def test_a_declaration_that_leaves_out_a_field_is_refused(tmp_path: Path, fields: list[str], missing: str) -> None:
    """An operand, the time or a key that `fields` leaves out is named, with the line and the list that would be right."""
    with pytest.raises(DescriptorError) as refused:
        check(project(tmp_path, fields))
    assert f"the process reads {missing} of {INPUT}, which its `fields` do not name" in refused.value.message
    file = tmp_path / "processors" / "football" / "chances" / "product.yaml"
    assert refused.value.file == str(file)
    line = file.read_text(encoding="utf-8").splitlines()[(refused.value.line or 0) - 1]
    assert line.strip() == "fields:" or line.strip().startswith("- ")
    whole = ", ".join(fields + missing.replace("'", "").split(", "))
    assert str(refused.value.hint).startswith(f"fields: [{whole}]")


def test_a_declared_field_has_to_exist(tmp_path: Path) -> None:
    """A field that the input does not have is refused, also while the input is not registered yet."""
    with pytest.raises(DescriptorError, match="has no field 'shots'") as refused:
        check(project(tmp_path, ["player", "at", "shot", "shots"]))
    assert refused.value.hint == "did you mean 'shot'?"


def test_a_declared_path_has_to_exist(tmp_path: Path) -> None:
    """A path within a record is checked to its end, since a misspelt one would protect nothing."""
    with pytest.raises(DescriptorError, match=r"has no field 'shot\.xgg'"):
        check(project(tmp_path, ["player", "at", "shot", "shot.xgg"]))


def test_every_field_is_declared_alone(tmp_path: Path) -> None:
    """`*` covers whatever is read; beside a field it is refused, with its line."""
    check(project(tmp_path, ["*"]))
    with pytest.raises(DescriptorError, match=r"product\.yaml:\d+: .*write it alone"):
        check(project(tmp_path, ["*", "player"]))


def test_the_port_that_is_read_has_to_be_named(tmp_path: Path) -> None:
    """A process that reads another line of a product than `inputPorts` names is refused: nothing would protect it."""
    found = project(tmp_path, None)
    file = tmp_path / "processors" / "football" / "chances" / "product.yaml"
    text = file.read_text(encoding="utf-8").replace(
        "address: mesh://football/events", "address: mesh://football/events/events@2"
    )
    file.write_text(text.replace("process:", "process:\n  input: mesh://football/events/events@1"), encoding="utf-8")
    with pytest.raises(DescriptorError, match="which no entry of inputPorts names"):
        check(Project(found.root))


@pytest.mark.parametrize("fields", [None, ["player", "at", "minute"], ["player", "at"]], ids=str)
def test_python_reads_what_it_declares(tmp_path: Path, fields: list[str] | None) -> None:
    """A Python function's input counts as what `fields` declares, and as every field where they are left out."""
    check(project(tmp_path, fields, {"python": "logic.py:pipeline"}))
    check(project(tmp_path, fields, {"steps": [{"apply": {"function": "logic.py:keep", "by": ["player"]}}]}))


def test_beside_python_the_rest_is_derived(tmp_path: Path) -> None:
    """Steps around a Python function are derived all the same: its key has to be declared."""
    with pytest.raises(DescriptorError, match=r"reads 'player', 'at' of"):
        check(project(tmp_path, ["minute"], {"python": "logic.py:pipeline"}))


def test_a_process_that_cannot_run_is_refused_first(tmp_path: Path) -> None:
    """A field that the input does not have is named before the declaration is judged."""
    process = {"steps": [{"aggregate": {"by": ["player"], "values": {"best": "max(weight)"}}}]}
    with pytest.raises(ProcessError, match="no field 'weight'"):
        check(project(tmp_path, ["minute"], process))


def on_clusters(root: Path, source: str | None, derived: str | None) -> Project:
    """A project whose source and aggregate name these clusters."""
    project(root, None)
    for kind, name, cluster in (("producers", "events", source), ("processors", "chances", derived)):
        file = root / kind / "football" / name / "product.yaml"
        declared = yaml.safe_load(file.read_text(encoding="utf-8"))
        declared["outputPorts"][0] |= {"cluster": cluster} if cluster else {}
        file.write_text(yaml.safe_dump(declared, sort_keys=False), encoding="utf-8")
    return Project(root)


def test_a_processor_on_two_clusters_is_refused(tmp_path: Path) -> None:
    """A processor whose output is on another cluster than its input is refused at its line, with what to do."""
    with pytest.raises(ProcessError) as refused:
        check(on_clusters(tmp_path, "eu", "us"))
    file = tmp_path / "processors" / "football" / "chances" / "product.yaml"
    number = 1 + file.read_text(encoding="utf-8").splitlines().index("  cluster: us")
    assert refused.value.message.startswith(
        f"{file}:{number}: mesh://football/chances/events@1 is on the cluster us, and reads "
        "mesh://football/events/events@1 from the cluster eu: "
    )
    assert refused.value.hint is not None
    assert "declare `cluster: eu` at football/chances/events@1" in refused.value.hint


@pytest.mark.parametrize(("source", "derived"), [("eu", "eu"), (None, None), (None, "eu"), ("eu", None)])
def test_one_cluster_passes(tmp_path: Path, source: str | None, derived: str | None) -> None:
    """A processor on one cluster passes; one that names no cluster may be the other, as long as no servers are known."""
    check(on_clusters(tmp_path, source, derived))


def test_a_cluster_without_a_name_is_known_by_its_servers(tmp_path: Path) -> None:
    """Where connections are known, a cluster with a name and the default cluster are one if they have the same servers."""
    found = on_clusters(tmp_path, None, "eu")
    derived = found.product(Address("football", "chances"))
    known = KafkaClusters(KafkaConfig("a:9092"), {"eu": KafkaConfig("a:9092")})
    check_process(derived, Contracts(found.products, nowhere, known))
    apart = KafkaClusters(KafkaConfig("a:9092"), {"eu": KafkaConfig("b:9092")})
    with pytest.raises(
        ProcessError, match=r"the cluster eu \(b:9092\), and reads .* from the default cluster \(a:9092\)"
    ):
        check_process(derived, Contracts(found.products, nowhere, apart))
    unknown = KafkaClusters(KafkaConfig("a:9092"), {"us": KafkaConfig("b:9092")})
    with pytest.raises(UnknownCluster, match="no connection is known to the Kafka cluster eu, only to us"):
        check_process(derived, Contracts(found.products, nowhere, unknown))


def test_two_inputs_on_two_clusters_are_brought_to_one() -> None:
    """Where the inputs themselves are on two clusters, no cluster of the output would do, and the hint says to copy one."""
    output = Address("shop", "totals", "events", 1)
    inputs = {Address("shop", name, "events", 1): PortCluster(name) for name in ("eu", "us")}
    with pytest.raises(ProcessError) as refused:
        refuse_other_clusters(output, PortCluster("eu"), inputs)
    assert refused.value.hint == (
        "bring all of its inputs to one cluster: copy shop/us/events@1 (with MirrorMaker 2, say) to a product on the cluster "
        "eu, and read that"
    )
