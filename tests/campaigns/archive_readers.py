"""An archive read by engines that know nothing of Meshport: DuckDB, Polars and Apache Spark find what was published."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import platformdirs
import polars
from pyiceberg.table import StaticTable

from meshport.local.embedded import EmbeddedKafka
from meshport.ports.publisher import Publisher
from tests.archive.archives import archived
from tests.campaigns.outcome import Outcome, say
from tests.connections import CONNECTIONS
from tests.generate.builds import program
from tests.interop.environments import environment
from tests.mesh_session import open_test_mesh
from tests.ports.readings import reading

_TESTS: Final = Path(__file__).parents[1]
_POM: Final = _TESTS / "archive" / "spark" / "pom.xml"
_PROGRAM: Final = _TESTS / "interop" / "python" / "spark_figures.py"
_QUERY: Final = (
    "SELECT sensor, count(*) AS n, sum(celsius) AS total, min(_kafka_offset) AS first FROM events "
    "WHERE NOT _retracted GROUP BY sensor ORDER BY sensor"
)


def run(events: int) -> list[Outcome]:
    """Archive so many readings, and have each engine count and add them by sensor."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport")) as kafka,
        open_test_mesh(Path(folder), kafka.bootstrap_servers) as mesh,
    ):
        store = Path(folder) / "archive"
        binding = mesh.product(partitions=1, archive={"store": store.as_uri()})
        half = events // 2
        with Publisher(binding.address, mesh.registry, kafka=CONNECTIONS) as publisher:
            publisher.publish_batch(reading(number) for number in range(half))
            publisher.flush()
            archived(mesh, binding, store)
            publisher.publish_batch(reading(number) for number in range(half, events))
            publisher.flush()
        table = archived(mesh, binding, store)
        return [_compared(name, ask, table.location, events) for name, ask in _ENGINES.items()]


def _compared(name: str, ask: Callable[[str], list[dict[str, Any]]], table: str, events: int) -> Outcome:
    begun = time.monotonic()
    found = ask(table)
    expected = [
        {
            "sensor": f"s{each}",
            "n": len(range(each, events, 10)),
            "total": float(sum(range(each, events, 10))),
            "first": each,
        }
        for each in range(10)
    ]
    count, total = (sum(each[what] for each in found) for what in ("n", "total"))
    say(f"{name}: {count:,} events, sum {total:,.0f}: {'equal' if found == expected else f'NOT equal: {found}'}")
    return Outcome(name, f"{count:,} events", None, time.monotonic() - begun, right=found == expected)


def _duckdb(table: str) -> list[dict[str, Any]]:
    found = StaticTable.from_metadata(table).scan().to_duckdb("events").sql(_QUERY)
    return [dict(zip(found.columns, each, strict=True)) for each in found.fetchall()]


def _polars(table: str) -> list[dict[str, Any]]:
    os.environ["POLARS_ICEBERG_PLANNER"] = "pyiceberg"  # the other one is a package of its own
    context = polars.SQLContext(events=polars.scan_iceberg(table))
    rows: Iterable[dict[str, Any]] = context.execute(_QUERY, eager=True).to_dicts()
    return [*rows]


def _spark(table: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        classes = Path(folder) / "classes"
        wanted = ["-q", "-B", "-f", str(_POM), "dependency:build-classpath"]
        subprocess.run([program("mvn"), *wanted, f"-Dmdep.outputFile={classes}"], check=True)
        jars = classes.read_text().replace(":", ",")
    command: list[str | Path] = [environment("pyspark") / "python", _PROGRAM, jars, table, _QUERY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        causes = [line for line in done.stderr.splitlines() if "Exception" in line or line.startswith("Caused by")]
        raise RuntimeError("\n".join(causes[:10]) or done.stderr[-3000:])
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return rows


_ENGINES: Final = {"DuckDB": _duckdb, "Polars": _polars, "Apache Spark": _spark}
