"""`init`, `new`, `check` and `apply`: a user's own project."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.address import Address
from meshport.project.project import Project
from tests.cli.running import Run
from tests.mesh_session import Mesh

SAMPLE = [
    {"date": "2001/01/01 00:47", "delay": 66, "origin": "DTW"},
    {"date": "2001/01/01 01:10", "delay": -5, "origin": "HNL"},
]


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A file of two flights."""
    file = tmp_path / "flights.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in SAMPLE), encoding="utf-8")
    return file


@pytest.fixture
def departures(cli: Run, sample: Path) -> Run:
    """A project with one product, read off the sample."""
    assert cli("init").code == 0
    ended = cli("new", "operations/departures", "--sample", str(sample), "--key", "origin", "--time", "date")
    assert (ended.code, ended.out) == (0, "")
    return cli


def test_init_says_what_it_made(cli: Run, tmp_path: Path) -> None:
    """`init` names what it made, and the second time that there is nothing to do; inside of a project it is refused."""
    assert "made producers\n" in cli("init").err
    assert "a mesh project already; nothing to do" in cli("init").err
    inner = cli("init", str(tmp_path / "schemas" / "inner"))
    assert inner.code == 2
    assert "stands in the project" in inner.err


@pytest.mark.parametrize(
    "arguments", [["new", "a/b"], ["check"], ["apply"], ["run", "a/b"]], ids=lambda arguments: str(arguments[0])
)
def test_outside_of_a_project_a_verb_says_how_to_make_one(cli: Run, arguments: list[str]) -> None:
    """Verbs that need a project end with 2 where there is none."""
    ended = cli(*arguments)
    assert ended.code == 2
    assert "stands in no mesh project" in ended.err
    assert "`meshport init`" in ended.err


def test_a_newcomers_products_are_well_formed(departures: Run, tmp_path: Path) -> None:
    """A source from a sample and an hourly aggregate of it: written by two commands, and well-formed."""
    values = ["--value", "mean_delay=mean(delay)", "--value", "max_delay=max(delay)"]
    made = departures(
        "new", "network/delays", "--from", "operations/departures", "--by", "origin", "--window", "1h", *values
    )
    assert made.code == 0
    assert "wrote processors/network/delays/product.yaml" in made.err
    checked = departures("check")
    assert checked.code == 0
    assert "2 products well-formed" in checked.err
    product = Project.find(tmp_path).product(Address("network", "delays"))
    names = product.schema(product.product.default_port).field_names
    assert set(names) == {"origin", "window_start", "window_end", "mean_delay", "max_delay"}
    assert product.product.default_port.key_fields == ("origin", "window_start")


def test_an_aggregate_reaches_fields_within_records(cli: Run, tmp_path: Path) -> None:
    """A field within a record is named by its path in every option, and its last name is that of the key."""
    shots = [
        {"id": f"e{n}", "class": "x", "at": f"2026-03-01T12:0{n}:00Z", "shot": {"xg": 0.5, "by": {"name": "A"}}}
        for n in range(2)
    ]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(each) + "\n" for each in shots), encoding="utf-8")
    cli("init")
    cli("new", "football/events", "--sample", "shots.jsonl", "--key", "id", "--time", "at")
    made = cli(
        "new", "football/xg", "--from", "football/events", "--where", 'class == "x" and shot is not None',
        "--by", "shot.by.name", "--window", "1h", "--value", "xg=sum(shot.xg)",
    )  # fmt: skip
    assert (made.code, cli("check").code) == (0, 0), made.err
    product = Project.find(tmp_path).product(Address("football", "xg"))
    assert product.product.default_port.key_fields == ("name", "window_start")
    assert product.schema(product.product.default_port).field_names == ("name", "window_start", "window_end", "xg")
    assert product.product.input_ports[0].fields == ("class", "at", "shot.by.name", "shot.xg")


def test_contracts_follow_their_processes(departures: Run, tmp_path: Path) -> None:
    """After a step was added, `check` names `check --write`, which writes the contract, and that of the product built on it."""
    assert departures("new", "network/late", "--from", "operations/departures", "--where", "delay > 15").code == 0
    assert departures("new", "network/later", "--from", "network/late", "--where", "delay > 60").code == 0
    file = tmp_path / "processors" / "network" / "late" / "product.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("filter: delay > 15", "derive: {hours: delay / 60}"), encoding="utf-8")
    refused = departures("check")
    assert refused.code == 2
    assert "the pipeline makes the field 'hours', which network.Late does not have" in refused.err
    assert "hint: `meshport check --write` writes a contract that fits the process" in refused.err
    file = tmp_path / "processors" / "network" / "later" / "product.yaml"
    text = file.read_text(encoding="utf-8").replace("  - delay\n", "  - delay\n  - hours\n")
    file.write_text(text, encoding="utf-8")
    written = departures("check", "--write")
    assert written.code == 0, written.err
    for contract in ("late", "later"):
        assert f"wrote schemas/network/{contract}.events.avsc: hours (double) is added" in written.err
    assert "3 products well-formed" in departures("check").err
    assert "wrote" not in departures("check", "--write").err


def test_the_field_of_a_service_level_is_in_the_contract(departures: Run, tmp_path: Path) -> None:
    """`check` names the file and line of an `element` that the contract lacks, and the field that was meant."""
    file = tmp_path / "producers" / "operations" / "departures" / "product.yaml"
    text = file.read_text(encoding="utf-8")
    level = "slaProperties:\n  - property: drift\n    value: 20\n    unit: percent\n    element: dely\n"
    file.write_text(text + level, encoding="utf-8")
    refused = departures("check")
    assert refused.code == 2
    line = len(text.splitlines()) + 5
    assert f"producers/operations/departures/product.yaml:{line}: port 'events' of mesh://operations/departures" in (
        refused.err
    )
    assert "the element 'dely' of drift is not in operations.Departure" in refused.err
    assert "hint: did you mean 'delay'?" in refused.err
    file.write_text(file.read_text(encoding="utf-8").replace("dely", "delay"), encoding="utf-8")
    assert departures("check").code == 0


def test_nothing_is_overwritten(departures: Run, tmp_path: Path) -> None:
    """A product that is there stays, to the byte."""
    file = tmp_path / "producers" / "operations" / "departures" / "product.yaml"
    before = file.read_bytes()
    ended = departures("new", "operations/departures")
    assert ended.code == 2
    assert "exists already" in ended.err
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["new", "a/b/c"], "names a port; a product's address is mesh://a/b"),
        (["new", "a/b", "--archetype", "aggregate"], "an aggregate product is built from others; name its input"),
        (["new", "a/b", "--sample", "nowhere.csv"], "nowhere.csv cannot be read: No such file"),
        (["new", "a/b", "--key", "zz"], "the key field 'zz' is not in"),
        (["new", "a/b", "--by", "x"], "name its input"),
        (["new", "a/b", "--from", "operations/departures", "--sample", "x"], "follows from its input's"),
        (["new", "a/b", "--from", "operations/departures", "--key", "x"], "follow from how it is built"),
        (["new", "a/b", "--from", "operations/departures", "--archetype", "source-aligned"], "built from no other one"),
        (["new", "a/b", "--from", "operations/departures", "--by", "origin"], "needs what is computed"),
        (["new", "a/b", "--from", "operations/departures", "--value", "n=count()"], "needs what it is aggregated by"),
        (["new", "a/b", "--from", "operations/departures", "--by", "origin", "--value", "n"], "'n' names no value"),
        (
            ["new", "a/b", "--from", "operations/departures", "--by", "origin", "--value", "n=avg(delay)"],
            "'avg(delay)' is no aggregation",
        ),
        (
            ["new", "a/b", "--from", "operations/departures", "--by", "origin", "--value", "n=max(dely)"],
            "did you mean 'delay'?",
        ),
        (
            ["new", "a/b", "--from", "operations/departures", "--by", "orign", "--value", "n=count()"],
            "no field 'orign'",
        ),
        (
            [
                "new",
                "a/b",
                "--from",
                "operations/departures",
                "--by",
                "origin",
                "--value",
                "n=count()",
                "--value",
                "n=max(delay)",
            ],
            "'n' is given twice",
        ),
        (
            [
                "new",
                "a/b",
                "--from",
                "operations/departures",
                "--by",
                "origin",
                "--value",
                "n=count()",
                "--window",
                "1w",
            ],
            "'1w' is no length of time",
        ),
        (
            [
                "new",
                "a/b",
                "--from",
                "operations/departures",
                "--by",
                "origin",
                "--value",
                "n=count()",
                "--window",
                "0s",
            ],
            "a tumbling window of no length",
        ),
        (["new", "a/b", "--from", "operations/departures", "--where", "delay >"], "'delay >' is no expression"),
    ],
)
def test_a_product_that_cannot_be_is_refused(departures: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    """What `new` cannot make ends with 2 and a reason, and nothing is written."""
    ended = departures(*arguments)
    assert ended.code == 2
    assert told in " ".join(ended.err.replace("│", " ").split())
    assert not list(tmp_path.glob("*/a/**/*"))


def test_check_names_file_and_line(departures: Run, tmp_path: Path) -> None:
    """A fault in a descriptor is named with file, line and what would be right."""
    file = tmp_path / "producers" / "operations" / "departures" / "product.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("owner:", "ownr:"), encoding="utf-8")
    ended = departures("check")
    assert (ended.code, ended.out) == (2, "")
    line = (
        file.read_text(encoding="utf-8")
        .splitlines()
        .index(next(x for x in file.read_text(encoding="utf-8").splitlines() if x.startswith("ownr:")))
        + 1
    )
    assert f"error: {file}:{line}: unknown key 'ownr'\nhint: did you mean 'owner'?" in ended.err


def test_apply_needs_a_kafka(departures: Run) -> None:
    """Without a Kafka that is named or runs here, `apply` ends with 2 and how to name one."""
    ended = departures("apply", "--registry", "http://127.0.0.1:1")
    assert ended.code == 2
    assert "MESHPORT_KAFKA" in ended.err


@pytest.mark.kafka
def test_apply_plans_then_does(on_mesh: Run, mesh: Mesh) -> None:
    """`--plan` shows the changes and makes none; `apply` makes them, once; `--json` is one object per product."""
    domain = f"d{uuid4().hex[:8]}"
    kafka = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    assert on_mesh("init").code == 0
    assert on_mesh("new", f"{domain}/things").code == 0
    planned = on_mesh("apply", "--plan", "--json", **kafka)
    (plan,) = planned.lines
    assert (plan["address"], plan["applied"]) == (f"mesh://{domain}/things", False)
    assert plan["topics"][0] == {
        "topic": f"{domain}.things.events.v1",
        "cluster": None,
        "new": True,
        "partitions": 4,
        "replicas": 1,
        "config": {"cleanup.policy": "delete", "retention.ms": "-1"},
        "changes": [
            {"setting": "cleanup.policy", "before": None, "inherited": False, "after": "delete"},
            {"setting": "retention.ms", "before": None, "inherited": False, "after": "-1"},
        ],
    }
    assert f"make topic {domain}.things.events.v1 (4 partitions, 1 replica" in planned.err
    assert "1 of 1 product would change; nothing was done" in planned.err
    assert on_mesh("resolve", f"{domain}/things").code == 1
    (done,) = on_mesh("apply", "--json", **kafka).lines
    assert done["applied"]
    assert "0 of 1 product changed" in on_mesh("apply", **kafka).err
    (resolved,) = on_mesh("resolve", f"{domain}/things", "--json").lines
    assert resolved["topic"] == f"{domain}.things.events.v1"


@pytest.mark.kafka
def test_a_process_that_cannot_be_run_is_refused_before_anything_is_done(
    on_mesh: Run, mesh: Mesh, tmp_path: Path
) -> None:
    """`check` and `apply` of a process that reads a field which its input does not have end with 2, and name file and field."""
    domain = f"d{uuid4().hex[:8]}"
    on_mesh("init")
    on_mesh("new", f"{domain}/things")
    derive = ["--from", f"{domain}/things", "--by", "id", "--value", "n=count()"]
    assert on_mesh("new", f"{domain}/counts", *derive).code == 0
    file = tmp_path / "processors" / domain / "counts" / "product.yaml"
    text = file.read_text(encoding="utf-8")
    assert "count()" in text
    file.write_text(text.replace("count()", "max(weight)"), encoding="utf-8")
    for verb in ("check", "apply"):
        ended = on_mesh(verb, MESHPORT_KAFKA=mesh.bootstrap_servers)
        assert ended.code == 2
        assert str(file) in ended.err
        assert "'weight'" in ended.err
    assert on_mesh("resolve", f"{domain}/things").code == 1


@pytest.mark.kafka
def test_an_incompatible_change_is_refused_with_its_reasons(on_mesh: Run, mesh: Mesh, tmp_path: Path) -> None:
    """`apply` of a contract that would break readers ends with 1 and names each reason."""
    domain = f"d{uuid4().hex[:8]}"
    kafka = {"MESHPORT_KAFKA": mesh.bootstrap_servers}
    on_mesh("init")
    on_mesh("new", f"{domain}/things")
    assert on_mesh("apply", **kafka).code == 0
    (tmp_path / "one.jsonl").write_text('{"id": "a", "happened_at": "2026-01-01T00:00:00Z"}\n', encoding="utf-8")
    assert on_mesh("publish", f"{domain}/things", "--from", "one.jsonl").code == 0
    contract = tmp_path / "schemas" / domain / "things.events.avsc"
    contract.write_text(contract.read_text(encoding="utf-8").replace('"string"', '"long"'), encoding="utf-8")
    ended = on_mesh("apply", **kafka)
    assert (ended.code, ended.out) == (1, "")
    assert "TYPE_MISMATCH at id: " in ended.err
    assert "[backward, forward]" in ended.err
