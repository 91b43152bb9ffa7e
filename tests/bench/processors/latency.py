"""How long it takes from publishing an order to reading the line that was derived of it, at a fixed rate.

The order's id is the nanosecond at which it was handed to the publisher. The job is `transform`; the reader is a
committed one, so that for the exactly-once engines the time up to the commit is part of it.

As a program it is the publisher: `python -m tests.bench.processors.latency SPEC RATE SECONDS`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from meshport.kafka.config import KafkaConfig
from meshport.ports.publisher import Publisher
from tests.bench.processors.mesh import Session, orders_port, ports
from tests.bench.processors.orders import orders
from tests.bench.processors.peers import Runner
from tests.bench.processors.schemas import PARTITIONS
from tests.bench.processors.spec import Spec
from tests.bench.processors.watch import RunFailed, started

_WARM_S: Final = 5
_MEASURED_S: Final = 8
_READY_S: Final = 60
_LATE_S: Final = 15
_TICK_S: Final = 0.001
# Behind the frame of five bytes: the length of the first field, the order's id, in one byte (19 digits), and its text.
_ID: Final = slice(6, 25)


@dataclass(frozen=True)
class Latency:
    """Milliseconds from publish to derived event.

    Attributes:
        p50: the median.
        p99: 99 of 100 were no slower.
    """

    p50: float
    p99: float


def latency(session: Session, runner: Runner, rate: int, folder: Path, number: int) -> Latency:
    """Run `transform` on a runner while orders come at a rate.

    Args:
        session: whose broker is used.
        runner: who does it.
        rate: orders a second.
        folder: for state and words of the runner.
        number: tells this measurement's input topic from others.

    Raises:
        RunFailed: outputs did not come.
    """
    session.orders_publisher(number)
    spec = session.spec("transform", number, folder)
    seconds = _WARM_S + _MEASURED_S
    count = rate * seconds
    with _reader(spec) as reader, started(runner.command(spec), folder / "run.log"):
        _ready(session, reader, number)
        command = [sys.executable, "-m", f"{__package__}.latency", spec.to_json(), str(rate), str(seconds)]
        with started(command, folder / "publisher.log"):
            arrived = _arrivals(reader, count)
    begin = min(sent for sent, _ in arrived) + _WARM_S * 1_000_000_000
    cuts = quantiles([(at - sent) / 1e6 for sent, at in arrived if sent >= begin], n=100)
    return Latency(cuts[49], cuts[98])


@contextmanager
def _reader(spec: Spec) -> Iterator[Consumer]:
    consumer = Consumer(
        {
            "bootstrap.servers": spec.bootstrap_servers,
            "group.id": f"latency-{spec.run}",
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 10,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(spec.output, each, OFFSET_BEGINNING) for each in range(PARTITIONS)])
    yield consumer
    consumer.close()


def _ready(session: Session, reader: Consumer, number: int) -> None:
    """Wait until the runner answers: an order of each partition comes out."""
    with session.orders_publisher(number) as publisher:
        for order in session.orders(PARTITIONS):
            publisher.publish(order)
    deadline, left = time.monotonic() + _READY_S, PARTITIONS
    while left:
        message = reader.poll(0.5)
        if message is not None and message.error() is None:
            left -= 1
        if time.monotonic() > deadline:
            raise RunFailed(f"no outputs after {_READY_S} s")


def _arrivals(reader: Consumer, count: int) -> list[tuple[int, int]]:
    """(sent, read) of each output, nanoseconds."""
    arrived: list[tuple[int, int]] = []
    deadline = time.monotonic() + _WARM_S + _MEASURED_S + _LATE_S
    while len(arrived) < count:
        head = reader.poll(0.5)
        messages = [] if head is None else [head, *reader.consume(500, 0)]
        now = time.time_ns()
        arrived += [(int(value[_ID]), now) for each in messages if each.error() is None and (value := each.value())]
        if time.monotonic() > deadline:
            raise RunFailed(f"{len(arrived)} of {count} outputs")
    return arrived


def publish(text: str, rate: str, seconds: str) -> None:
    """Publish orders at a rate, a few each millisecond."""
    spec = Spec.from_json(text)
    count = int(rate) * int(seconds)
    template = list(orders(1000, Session.today()))
    with Publisher(orders_port(spec.events), ports(spec), kafka=KafkaConfig(properties={"linger.ms": 1})) as publisher:
        begun, sent = time.perf_counter(), 0
        while sent < count:
            due = min(count, int((time.perf_counter() - begun) * int(rate)))
            for number in range(sent, due):
                publisher.publish(template[number % 1000] | {"order_id": str(time.time_ns())})
            sent = due
            time.sleep(_TICK_S)


if __name__ == "__main__":
    publish(*sys.argv[1:])
