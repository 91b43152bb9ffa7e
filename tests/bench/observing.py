"""What observing costs: `python -m tests.bench observing[:SECONDS]`.

A process publishes 10,000 events a second to a port with five promises. The observer looks at it every ten seconds in a process
of its own, as `meshport observe` does; beside it, a consumer reads every event and looks at none. Both figures are the CPU of
these processes as a share of one core.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from multiprocessing.synchronize import Event as Stop
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import platformdirs

from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.topic_partition import TopicPartition
from meshport.local.cluster import open_cluster
from meshport.observe.levels.observer import INTERVAL_S, Observer
from meshport.ports.publisher import Publisher
from meshport.product import Product
from meshport.project.apply import carry_out, plan
from meshport.project.project import ProjectProduct
from meshport.registry import Registry
from meshport.schema import parse_schema
from meshport_registry import Settings, running
from tests.bench.figures import Figure, say

RATE: Final = 10_000
SECONDS: Final = 60
ADDRESS: Final = "mesh://operations/departures"
CONTRACT: Final = parse_schema(
    json.dumps(
        {
            "type": "record",
            "name": "Departure",
            "namespace": "operations",
            "fields": [
                {"name": "number", "type": "long"},
                {"name": "delay_minutes", "type": "int"},
                {"name": "terminal", "type": "string"},
                {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            ],
        }
    )
)
PROMISES: Final[list[dict[str, Any]]] = [
    {"property": "timeliness", "value": 1, "unit": "m"},
    {"property": "intervalOfChange", "value": 1, "unit": "m"},
    {"property": "completeness", "value": 99.5, "unit": "percent", "element": "number"},
    {"property": "uniqueness", "value": 99.5, "unit": "percent"},
    {"property": "drift", "value": 20, "unit": "percent"},
]


def figures(seconds: str = str(SECONDS)) -> Iterator[Figure]:
    """CPU of the observer beside that of a consumer that reads everything, in percent of one core."""
    with (
        open_cluster(None, cache_dir=platformdirs.user_cache_path("meshport")) as cluster,
        tempfile.TemporaryDirectory() as folder,
    ):
        settings = Settings(
            database=f"sqlite:///{Path(folder) / 'registry.db'}", port=0, bootstrap_servers=cluster.bootstrap_servers
        )
        with running(settings) as url:
            _register(url, cluster.config)
            used = _measure(url, cluster.bootstrap_servers, float(seconds))
    for name, found in used.items():
        say(f"{name}: {found['cpu']:.2f} s of CPU in {found['wall']:.1f} s, {found['events']:.0f} events")
    own, plain = (100 * used[name]["cpu"] / used[name]["wall"] for name in ("observer", "consumer"))
    yield Figure("CPU of observing 10,000 events/s", own, "% of one core", "a consumer that reads all", plain)


def _register(url: str, kafka: KafkaConfig) -> None:
    product = Product.model_validate(
        {
            "address": ADDRESS,
            "id": str(uuid4()),
            "archetype": "source-aligned",
            "description": "of the bench",
            "owner": "bench",
            "outputPorts": [{"name": "events", "time": "at", "partitions": 4}],
            "slaProperties": PROMISES,
        }
    )
    with Registry(url) as registry:
        (planned,) = plan([ProjectProduct(product, Path(), {("events", 1): CONTRACT})], registry, ClusterAdmins(kafka))
        carry_out(planned, registry, ClusterAdmins(kafka))


def _measure(url: str, servers: str, seconds: float) -> dict[str, dict[str, float]]:
    spawned = multiprocessing.get_context("spawn")
    answers, stop = spawned.Queue(), spawned.Event()
    works: list[Callable[..., None]] = [_publish, _observe, _consume]
    processes = [spawned.Process(target=each, args=(url, servers, stop, answers)) for each in works]
    for each in processes:
        each.start()
    time.sleep(seconds)
    stop.set()
    found = dict(answers.get(timeout=120) for _ in processes)
    for each in processes:
        each.join()
    return found


def _publish(url: str, servers: str, stop: Stop, answers: Any) -> None:
    number = 0
    begun = time.monotonic()
    with Registry(url) as registry, Publisher(ADDRESS, registry, kafka=KafkaConfig(servers)) as publisher:
        while not stop.is_set():
            now = datetime.now(UTC)
            due = int((time.monotonic() - begun) * RATE)
            for each in range(number, due):
                publisher.publish({"number": each, "delay_minutes": each % 60, "terminal": "ABC"[each % 3], "at": now})
            number = max(number, due)
            time.sleep(0.02)
    _answer(answers, "publisher", begun, number)


def _observe(url: str, servers: str, stop: Stop, answers: Any) -> None:
    with Registry(url) as registry, Observer(registry, KafkaConfig(servers)) as observer:
        observer.look()
        before, begun, events = _cpu_s(), time.monotonic(), 0
        while not stop.wait(INTERVAL_S):
            events += sum(each.events for each in observer.look())
    _answer(answers, "observer", begun, events, before)


def _consume(url: str, servers: str, stop: Stop, answers: Any) -> None:
    with Registry(url) as registry:
        topic = registry.resolve(ADDRESS).topic
    with Consumer(KafkaConfig(servers)) as consumer:
        consumer.assign({TopicPartition(topic, each): end for each, end in consumer.end_offsets(topic).items()})
        before, begun, events = _cpu_s(), time.monotonic(), 0
        while not stop.is_set():
            events += len(consumer.read(5_000, 0.2))
    _answer(answers, "consumer", begun, events, before)


def _answer(answers: Any, name: str, begun: float, events: int, before: float = 0.0) -> None:
    answers.put((name, {"cpu": _cpu_s() - before, "wall": time.monotonic() - begun, "events": float(events)}))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
