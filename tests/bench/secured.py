"""Publishing to a broker with TLS, SCRAM-SHA-512 and ACLs, beside the same broker without them.

Both are embedded ones with the same settings, and run at the same time; all ways of publishing take turns. The publisher
logs in as the principal `producer`, so that the authorizer has ACLs to look up. The client alone stands beside the same: what
TLS costs it and the broker is no cost of ours.

Embedded brokers start quickly, as the JVM compiles them with C1 alone, which has no intrinsics for AES: TLS would cost several
times what it costs on a broker as people run it. Those of this bench are compiled as by default.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from unittest import mock

import platformdirs
import pyarrow as pa
from confluent_kafka import Producer

from meshport.codec import codec_for
from meshport.columnar import arrow_schema
from meshport.event import EventWriter
from meshport.kafka.config import KafkaConfig
from meshport.local.cluster import open_cluster
from meshport.local.secured import OPERATOR, SecuredListeners
from meshport.ports.publisher import Publisher
from tests.bench.figures import Figure, say
from tests.bench.ports import EVENTS, ORDER, PRODUCER, each_of, encoded, orders, produce_all, rates_in_turns
from tests.connections import read_properties, remembered
from tests.mesh_session import Mesh, open_test_mesh

_WARM_UP: Final = 3  # rounds in which the brokers compile what TLS needs
_FIGURES: Final = {"publish": "publish", "batch": "publish batch", "client": "publish client"}


def figures() -> Iterator[Figure]:
    """Events a second over TLS beside those without, of the publisher, of its batches and of the client alone."""
    cache = platformdirs.user_cache_path("meshport")
    ways: dict[str, Callable[[], float]] = {}
    with ExitStack() as opened:
        opened.enter_context(mock.patch("meshport.local.embedded.QUICK_START", ()))
        plain = opened.enter_context(open_cluster(None, cache_dir=cache))
        secured = opened.enter_context(open_cluster(None, cache_dir=cache, listeners=SecuredListeners))
        opened.enter_context(remembered(secured.principals[OPERATOR]))
        for name, cluster, login in (
            ("plain", plain, plain.config),
            ("TLS", secured, read_properties(secured.principals["producer"])),
        ):
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            mesh = opened.enter_context(open_test_mesh(folder, cluster.bootstrap_servers))
            ways |= {f"{way}, {name}": publish_all for way, publish_all in _ways(mesh, login, opened).items()}
        for _ in range(_WARM_UP):
            for publish_all in ways.values():
                publish_all()
        rates = rates_in_turns(EVENTS, ways)
    for way, figure in _FIGURES.items():
        pairs = zip(rates[f"{way}, TLS"], rates[f"{way}, plain"], strict=True)
        say(
            f"{figure} over TLS and SCRAM, of plain, by rounds: {', '.join(f'{tls / bare:.2f}' for tls, bare in pairs)}"
        )
        values = (statistics.median(rates[f"{way}, {name}"]) for name in ("TLS", "plain"))
        value, peer = values
        yield Figure(f"{figure} over TLS and SCRAM", value, "events/s", "plain", peer)


def _ways(mesh: Mesh, login: KafkaConfig, opened: ExitStack) -> dict[str, Callable[[], float]]:
    """Return the ways to publish all orders with a login, each to a topic of its own, as functions that give seconds."""
    records = orders(EVENTS)
    binding, of_batches, of_client = (mesh.product(ORDER, key="customer", time="ordered_at") for _ in range(3))
    publisher = opened.enter_context(Publisher(binding.address, mesh.registry, kafka=login))
    batches = opened.enter_context(Publisher(of_batches.address, mesh.registry, kafka=login))
    table = pa.Table.from_pylist(records, schema=arrow_schema(batches.schema))
    codec = codec_for(publisher.schema)
    writer = EventWriter(source=str(binding.address), type=binding.type, codec=codec, schema_id=binding.schema_id)
    messages = [encoded(writer, record) for record in records]
    client = Producer(login.at(mesh.bootstrap_servers).client_properties(PRODUCER))
    return {
        "publish": lambda: each_of(publisher.publish, records, publisher.flush),
        "batch": lambda: each_of(batches.publish_batch, [table], batches.flush),
        "client": lambda: produce_all(client, of_client.topic, messages),
    }
