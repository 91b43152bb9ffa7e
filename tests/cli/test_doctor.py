"""`meshport doctor`: what is wrong between the shell, the registry, the cluster and the project, each with the next step."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from meshport.cli.doctor import VARIABLES, unknown_variables
from meshport.kafka.admin import Admin
from tests.cli.running import Ended, Run
from tests.cli.shop import order, write_shop
from tests.mesh_session import READING, Mesh
from tests.repository import ROOT
from tests.testing.declared import write

NOWHERE = "http://127.0.0.1:1"


def found(ended: Ended, state: str) -> list[dict[str, Any]]:
    """The findings of a state, without the variables of the suite, which have no effect on commands."""
    return [each for each in ended.lines if each["state"] == state and "has no effect" not in each["what"]]


def test_an_empty_folder(cli: Run) -> None:
    """Without registry, Kafka and project each is named once, with the way to give it; the exit code is 1."""
    ended = cli("doctor", "--json")
    assert ended.code == 1
    assert [(each["area"], each["next"]) for each in found(ended, "wrong")] == [
        ("shell", "--registry URL, MESHPORT_REGISTRY, or `meshport up` in this project"),
        ("cluster", "--kafka-config FILE, [clusters.NAME] in meshport.toml, or `meshport up`"),
    ]
    assert [each["area"] for each in found(ended, "skipped")] == ["project", "registry"]
    shown = cli("doctor")
    assert "wrong    shell: no registry was named, and no mesh runs here\n         -> --registry URL" in shown.out
    assert "2 wrong, " in shown.err


def test_a_registry_that_does_not_answer(cli: Run, tmp_path: Path) -> None:
    """It is asked once: what needs it is skipped, the project's files are checked all the same."""
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    ended = cli("doctor", "--registry", NOWHERE, "--kafka", "127.0.0.1:1", "--json")
    assert ended.code == 1
    wrong = found(ended, "wrong")
    assert [each["area"] for each in wrong] == ["registry", "cluster"]
    assert f"the registry at {NOWHERE} did not answer" in wrong[0]["what"]
    assert "no broker answers at 127.0.0.1:1" in wrong[1]["what"]
    assert any("1 of 1 product well-formed" in each["what"] for each in found(ended, "ok"))
    assert [each["area"] for each in found(ended, "skipped")] == ["project"]


def test_a_project_that_is_wrong(cli: Run, tmp_path: Path) -> None:
    """A file that cannot be read is named with its line, as `check` names it."""
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    file = tmp_path / "producers/shop/orders/product.yaml"
    file.write_text(file.read_text() + "ownr: me\n")
    ended = cli("doctor", "--registry", NOWHERE, "--json")
    assert [each["what"] for each in found(ended, "wrong") if "product.yaml" in each["what"]]


def test_a_connection_that_cannot_be_read(cli: Run) -> None:
    """The variable is named, and no Kafka is asked."""
    ended = cli("doctor", "--registry", NOWHERE, "--json", MESHPORT_KAFKA_ACKS="1")
    assert any("MESHPORT_KAFKA_ACKS" in each["what"] for each in found(ended, "wrong"))
    assert any("no Kafka was asked" in each["what"] for each in found(ended, "skipped"))


def test_variables_that_nothing_reads() -> None:
    """A misspelled variable has no effect, which the doctor says, with the nearest one that has."""
    given = {"MESHPORT_REGISTY": "x", "MESHPORT_KAFKA_SASL_PASSWORD": "y", "MESHPORT_CACHE": "z", "PATH": "/bin"}
    (warning,) = unknown_variables(given)
    assert "MESHPORT_REGISTY has no effect" in warning.what
    assert warning.next == "did you mean MESHPORT_REGISTRY?"


def test_every_variable_is_known() -> None:
    """Each variable that the sources read is in the doctor's list."""
    folders = (ROOT / "meshport", ROOT / "registry/meshport_registry")
    texts = [file.read_text(encoding="utf-8") for folder in folders for file in folder.rglob("*.py")]
    read = {name for text in texts for name in re.findall(r'"(MESHPORT_[A-Z_]*[A-Z])"', text)}
    assert read <= VARIABLES


@pytest.mark.kafka
class TestOnAMesh:
    """With the session's registry and Kafka."""

    @pytest.fixture
    def address(self, tmp_path: Path, cli: Run) -> str:
        """A project with a source and a product that is derived from it; nothing is applied."""
        assert cli("init").code == 0
        domain = f"d{uuid4().hex[:8]}"
        port = {"name": "events", "key": "sensor", "time": "at", "partitions": 1}
        write(tmp_path, f"{domain}/readings", READING, port)
        write(
            tmp_path,
            f"{domain}/warm",
            READING,
            port,
            inputPorts=[{"address": f"mesh://{domain}/readings"}],
            process={"input": f"mesh://{domain}/readings", "steps": [{"filter": "celsius > 20"}]},
        )
        return f"{domain}/warm"

    def test_from_files_to_a_processor(self, on_mesh: Run, mesh: Mesh, address: str) -> None:
        """What is missing is found step by step: products that are not registered, a processor that does not run, a topic."""
        source = address.replace("/warm", "/readings")
        kafka = ["--kafka", mesh.bootstrap_servers]
        before = on_mesh("doctor", *kafka, "--json")
        assert before.code == 0, before.out
        assert [(each["what"], each["next"]) for each in found(before, "warning")] == [
            (f"{name} is not registered", "`meshport apply` registers it") for name in (source, address)
        ]
        assert on_mesh("apply", *kafka).code == 0
        applied = on_mesh("doctor", *kafka, "--json")
        assert applied.code == 0, applied.out
        (warning,) = found(applied, "warning")
        assert warning["what"] == f"{address}/events@1: no processor runs; 0 events of its inputs unread"
        assert warning["next"] == f"`meshport run {address}/events@1`"
        Admin(mesh.kafka).delete_topic(mesh.registry.resolve(source).topic)
        gone = on_mesh("doctor", *kafka, "--json")
        assert gone.code == 1
        assert any(
            each["area"] == "product" and each["what"].startswith(f"{source}/events@1: its topic")
            for each in found(gone, "wrong")
        )

    def test_what_is_declared_otherwise(self, on_mesh: Run, mesh: Mesh, address: str, tmp_path: Path) -> None:
        """A product whose file was changed since it was applied is named with what would change."""
        kafka = ["--kafka", mesh.bootstrap_servers]
        assert on_mesh("apply", *kafka).code == 0
        file = tmp_path / "processors" / address / "product.yaml"
        file.write_text(file.read_text().replace("owner: o", "owner: another"))
        (changed,) = [
            each for each in found(on_mesh("doctor", *kafka, "--json"), "warning") if each["area"] == "project"
        ]
        assert changed["what"].startswith(f"{address} is registered otherwise than declared here: ")
        assert "owner" in changed["what"]
