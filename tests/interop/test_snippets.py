"""The lines to copy from a product's page, run as they are printed, as far as their tools are here.

JavaScript's run on Node. Those of Java are compiled, and run until the client looks for Confluent's deserializer, which Maven
Central does not have. Those of kcat run with `-s value=avro -r URL` only where kcat was built with Avro; Debian's was not, and
runs the rest. Those of Flink SQL are parsed by Flink's own parser; no Flink runs them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from meshport_registry.catalog.snippets import snippets
from tests.interop.orders import ORDER, Published
from tests.interop.packages import installed
from tests.interop.tools import do_without
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.kafka
JAVA = Path(__file__).parent / "java"
_IMPORTS = """\
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
"""


def code(orders: Published, name: str) -> str:
    """Return the lines for a language or tool."""
    (found,) = (each.code for each in snippets(orders.binding, orders.registry_url) if each.name == name)
    return found


def ids(text: str) -> set[str]:
    """Return the ids of the orders that a text shows."""
    return set(re.findall(r"order-\d+", text))


def all_ids(orders: Published) -> set[str]:
    """Return the ids of all orders."""
    return {str(each["order_id"]) for each in orders.records.values() if each}


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, str]]:
    """Return a function that compiles lines of Java in a class `Snippet`, and returns the folder and the class path."""
    maven = shutil.which("mvn") or do_without("there is no mvn on the path")
    if not shutil.which("javac"):
        do_without("there is no javac on the path")

    def build(lines: str) -> tuple[Path, str]:
        folder = tmp_path_factory.mktemp("java") / "snippets"
        shutil.copytree(JAVA, folder)
        body = (
            f"{_IMPORTS}\npublic class Snippet {{\n  public static void main(String[] arguments) {{\n{lines}  }}\n}}\n"
        )
        (folder / "src/main/java/Snippet.java").write_text(body, encoding="utf-8")
        wanted = [maven, "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classes"]
        got = subprocess.run(wanted, cwd=folder, capture_output=True, text=True, check=False)
        if "Could not transfer" in got.stdout or "Could not resolve" in got.stdout:
            do_without(f"Maven does not get what tests/interop/java needs: {got.stdout.strip()}")
        assert got.returncode == 0, got.stdout
        return folder, f"target/classes:{(folder / 'classes').read_text()}"

    return build


def test_the_lines_of_javascript_read_every_event(
    orders: Published, tool: Callable[[str], str], tmp_path: Path
) -> None:
    """Node runs them with KafkaJS and Confluent's registry client, and they write every event with all of its fields."""
    npm = tool("npm")
    (tmp_path / "read.js").write_text(code(orders, "JavaScript"), encoding="utf-8")
    packages = os.pathsep.join(str(installed(npm, each)) for each in ("typescript", "javascript"))
    shown, missing = "", all_ids(orders)
    with subprocess.Popen(
        [tool("node"), "read.js"],
        cwd=tmp_path,
        env=os.environ | {"NODE_PATH": packages, "KAFKAJS_NO_PARTITIONER_WARNING": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdout is not None
        killer = threading.Timer(PATIENCE_S, program.kill)
        killer.start()
        try:
            while missing - ids(shown) and (line := program.stdout.readline()):
                shown += line
        finally:
            killer.cancel()
            program.kill()
    assert ids(shown) == all_ids(orders)
    assert all(f"{each['name']}: " in shown for each in ORDER["fields"])


def test_the_lines_of_kcat_read_every_event(orders: Published, tool: Callable[[str], str]) -> None:
    """The shell runs them to the end of the topic, and every value is there, as text where kcat knows Avro."""
    tool("kcat")
    line = code(orders, "kcat")
    features = subprocess.run(["kcat", "-V"], capture_output=True, text=True, check=False).stdout
    if not re.search(r"\bAvro\b", features):
        line, avro = line.replace(f" -s value=avro -r {orders.registry_url}", ""), line
        assert line != avro
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert ids(done.stdout.decode(errors="replace")) == all_ids(orders)


def test_the_lines_of_java_are_java(orders: Published, classes: Callable[[str], tuple[Path, str]]) -> None:
    """They compile against Apache's client, and start up to the deserializer, which is Confluent's."""
    folder, path = classes(code(orders, "Java"))
    run = subprocess.run(
        ["java", "-cp", path, "Snippet"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert run.returncode == 1
    wanted = "Class io.confluent.kafka.serializers.KafkaAvroDeserializer could not be found"
    assert wanted in run.stderr, run.stderr


def test_the_lines_of_flink_are_its_sql(orders: Published, classes: Callable[[str], tuple[Path, str]]) -> None:
    """Flink's parser reads them: a table with a column for each field, and a query of it; what is no SQL it refuses."""
    folder, path = classes("")
    wide = {
        "type": "record",
        "name": "Wide",
        "fields": [
            {"name": "group", "type": ["null", {"type": "map", "values": "int"}]},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "legs", "type": {"type": "array", "items": {"type": "record", "name": "Leg", "fields": [
                {"name": "order", "type": {"type": "fixed", "name": "Hash", "size": 4}},
                {"name": "due", "type": {"type": "int", "logicalType": "date"}},
                {"name": "next", "type": ["null", "Leg"]},
            ]}}},
        ],
    }  # fmt: skip
    other = Published(
        orders.binding.model_copy(update={"schema_text": json.dumps(wide)}), orders.registry_url, orders.records
    )

    def parse(text: str) -> subprocess.CompletedProcess[str]:
        command = ["java", "-cp", path, "ParseFlinkSql"]
        return subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, check=False)

    for each, columns in ((orders, len(ORDER["fields"])), (other, 3)):
        parsed = parse(code(each, "Flink SQL"))
        assert (parsed.returncode, parsed.stdout) == (0, f"CREATE_TABLE {columns}\nSELECT\n"), parsed.stderr
    assert parse(code(orders, "Flink SQL").replace("WITH (", "WITH")).returncode == 1
