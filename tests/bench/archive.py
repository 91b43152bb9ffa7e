"""The archive of a port beside the topic: filling it, reading it, asking it, and the bytes that it takes.

`archive:20` is of 20 million events; 1 by default. Filling stands beside a plain consumer that decodes with fastavro and writes
Parquet, and beside reading the topic alone; a replay from the archive beside the same replay from the topic; a query beside
DuckDB on the bare files. The topic's bytes are those of its segments, compressed as the client's default is: not at all.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import duckdb
import fastavro
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from meshport.address import Address
from meshport.archiving import CommitSize, PortArchive
from meshport.binding import Binding
from meshport.codec import PREFIX_BYTES, codec_for
from meshport.columnar import arrow_schema
from meshport.event import EventWriter
from meshport.kafka.config import PLAINTEXT
from meshport.local.cluster import open_cluster
from meshport.ports.replay import Replay
from meshport.ports.scan import TopicRange, history_reader, read_range
from meshport.query import Table
from meshport.schema import parse_schema
from tests.bench.figures import Figure, say
from tests.bench.ports import CONSUMER, ORDER, PRODUCER, encoded, orders
from tests.mesh_session import Mesh, open_test_mesh

_MADE: Final = 100_000
_QUERY: Final = "SELECT product, count(*) AS n, sum(cents) AS s FROM {} GROUP BY product"


@contextmanager
def one_broker() -> Iterator[tuple[Mesh, Path]]:
    """A mesh over one embedded broker, and the folder of both; the broker's is `kafka` in it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_cluster(
            None, cache_dir=platformdirs.user_cache_path("meshport"), data_dir=Path(folder) / "kafka"
        ) as cluster,
        open_test_mesh(Path(folder), cluster.bootstrap_servers) as mesh,
    ):
        yield mesh, Path(folder)


def figures(millions: str = "1") -> Iterator[Figure]:
    """The figures of one port, on one embedded broker.

    Args:
        millions: of events.
    """
    count = round(float(millions) * 1_000_000)
    with one_broker() as (mesh, folder):
        store = folder / "archive"
        port: dict[str, Any] = {
            "key": "customer",
            "time": "ordered_at",
            "partitions": 4,
            "archive": {"store": store.as_uri()},
        }
        binding = mesh.product(ORDER, **port)
        say(f"{count:,} events are published first")
        fill(binding, count)
        yield from _measured(mesh, binding, folder, store, count)


def _measured(mesh: Mesh, binding: Binding, folder: Path, store: Path, count: int) -> Iterator[Figure]:
    name = f"archive of {count:,} events"
    topic_s = _seconds(lambda: _read(mesh, binding), count)
    parquet_s = _seconds(lambda: _write_parquet(binding, folder / "plain.parquet", count), count)
    archive_s = _seconds(lambda: _archive(mesh, binding), count)
    yield Figure(f"{name}: filled", count / archive_s, "1/s", "a consumer that writes Parquet", count / parquet_s)
    yield Figure(f"{name}: filled", count / archive_s, "1/s", "reading the topic", count / topic_s)
    in_topic = sum(each.stat().st_size for each in (folder / "kafka").rglob("*.log") if binding.topic in str(each))
    in_archive = sum(each.stat().st_size for each in store.rglob("*") if each.is_file())
    yield Figure(f"{name}: size", in_archive / count, "B", "the topic", in_topic / count)
    asked = Table(binding.address, mesh.registry)
    query_s = _seconds(lambda: asked.sql(_QUERY.format("log")).to_arrow().num_rows)
    events_s = _seconds(lambda: asked.sql(_QUERY.format("events")).to_arrow().num_rows)
    bare = f"read_parquet('{store}/**/*.parquet')"
    bare_s = _seconds(lambda: len(duckdb.execute(_QUERY.format(bare)).fetchall()))
    yield Figure(f"{name}: query of the log", query_s, "s", "DuckDB on the bare files", bare_s)
    yield Figure(f"{name}: query of the events, each once", events_s, "s", "DuckDB on the bare files", bare_s)
    replay_topic_s = _seconds(lambda: _replay(mesh, binding), count)
    _delete_all(mesh, binding)
    replay_s = _seconds(lambda: _replay(mesh, binding), count)
    yield Figure(f"{name}: replay from it", count / replay_s, "1/s", "the same from the topic", count / replay_topic_s)


def _seconds(measured: Callable[[], int], expected: int | None = None) -> float:
    began = time.perf_counter()
    found = measured()
    took = time.perf_counter() - began
    if expected is not None and found != expected:
        raise AssertionError(f"{found} of {expected}")
    return took


def fill(binding: Binding, count: int) -> None:
    """Publish so many orders as the client itself does."""
    codec = codec_for(parse_schema(binding.schema_text))
    writer = EventWriter(source=str(binding.address), type=binding.type, codec=codec, schema_id=binding.schema_id)
    client = Producer({"bootstrap.servers": binding.bootstrap_servers, **PRODUCER})
    for begin in range(0, count, _MADE):
        later = timedelta(milliseconds=40 * begin)
        for record in orders(min(_MADE, count - begin)):
            value, key, headers = encoded(writer, record | {"ordered_at": record["ordered_at"] + later})
            while True:
                try:
                    client.produce(binding.topic, value, key, headers=headers)
                    break
                except BufferError:
                    client.poll(0.05)
        client.poll(0)
    if left := client.flush(300):
        raise AssertionError(f"{left} are not stored")


def _read(mesh: Mesh, binding: Binding) -> int:
    with history_reader(mesh.kafka) as reader:
        bounds = reader.bounds(binding.topic)
        return sum(len(each) for each in read_range(reader, TopicRange.within(binding.topic, bounds)))


def _write_parquet(binding: Binding, file: Path, count: int) -> int:
    schema = arrow_schema(parse_schema(binding.schema_text))
    avro = fastavro.parse_schema(ORDER)
    reader = Consumer({"bootstrap.servers": binding.bootstrap_servers, "group.id": "plain", **CONSUMER})
    reader.subscribe([binding.topic])
    done = 0
    rows: list[Any] = []
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while done < count:
            for message in reader.consume(5000, 1.0):
                rows.append(fastavro.schemaless_reader(BytesIO((message.value() or b"")[PREFIX_BYTES:]), avro, None))
                done += 1
            if len(rows) >= _MADE or done >= count:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows = []
    reader.close()
    return done


def _archive(mesh: Mesh, binding: Binding) -> int:
    archiver = PortArchive.of(Address.parse(str(binding.address)), mesh.registry).archiver(
        mesh.registry, PLAINTEXT, CommitSize()
    )
    archiver.catch_up()
    archiver.close()
    return archiver.archived


def _replay(mesh: Mesh, binding: Binding) -> int:
    with Replay(binding.address, mesh.registry) as replay:
        return sum(1 for _ in replay.history())


def _delete_all(mesh: Mesh, binding: Binding) -> None:
    with history_reader(mesh.kafka) as reader:
        partitions = reader.partitions(binding.topic)
    all_of_them = [TopicPartition(binding.topic, each, OFFSET_END) for each in partitions]
    admin = AdminClient(mesh.kafka.client_properties({}))  # answers come for as long as it is there
    for each in admin.delete_records(all_of_them).values():
        each.result(timeout=60)
