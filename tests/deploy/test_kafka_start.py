"""`deploy/kafka/start.sh`, by which compose.yml starts its only broker, on a real Kafka without an engine."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
import yaml

from meshport.errors import KafkaError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.probe import ClusterProbe
from meshport.local.jars import ensure_jars, read_lock
from meshport.local.java import find_java
from meshport.local.kraft import free_ports
from tests.deploy.composed import COMPOSE
from tests.kafka.open_transaction import leave_open, read_after
from tests.waiting import patiently, wait_for

START: Final = COMPOSE.parent / "kafka" / "start.sh"
RUN: Final = Path(__file__).parent / "stand_ins" / "kafka" / "docker" / "run"
FENCED: Final = "The broker was killed, and its controller has fenced it."


class ComposedBroker:
    """The broker of compose.yml on ports of its own, started by its script; the image's command is that of the stand-in."""

    def __init__(self, folder: Path, jars: Path) -> None:
        port, inner = free_ports(2, ())
        self.kafka = KafkaConfig(f"127.0.0.1:{port}")
        self.log = folder / "log"
        for each in ("data", "config", "mounted"):
            (folder / each).mkdir()
        service: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]["kafka"]
        self._environment = {
            **os.environ,
            **service["environment"],
            "KAFKA_LISTENERS": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{inner}",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": f"1@127.0.0.1:{inner}",
            "KAFKA_LOG_DIRS": str(folder / "data"),
            # So that it ends the transaction of the test at once, while its partitions have no leader.
            "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "1000",
            "KAFKA_HEAP_OPTS": "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1",
            "STAND_IN_JAVA": str(find_java(os.environ.get("JAVA_HOME")).executable),
            "STAND_IN_CLASS_PATH": os.pathsep.join(map(str, ensure_jars(jars, read_lock()))),
            "STAND_IN_CONFIG": str(folder / "config"),
            "STAND_IN_MOUNTED": str(folder / "mounted"),
            "TMPDIR": str(folder),
        }

    @contextmanager
    def run(self) -> Iterator[subprocess.Popen[bytes]]:
        """The container's first process, which is the broker in the end; killed at the end of the context."""
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                ["bash", START, RUN], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def await_answer(self) -> None:
        """Wait until it answers clients."""
        probe = ClusterProbe(self.kafka)
        for _ in patiently(lambda: f"the broker to answer:\n{self.log.read_text(encoding='utf-8')}"):
            try:
                probe.look(0.5)
            except KafkaError:
                continue
            return


@pytest.fixture
def broker(tmp_path: Path, jars: Path) -> ComposedBroker:
    """One that has never run."""
    return ComposedBroker(tmp_path, jars)


@pytest.mark.kafka
def test_a_broker_that_was_killed_is_fenced_before_it_starts(broker: ComposedBroker) -> None:
    """What follows an open transaction is read after the kill; nothing is fenced at the first start."""
    topic = f"t{uuid4().hex[:8]}"
    with broker.run():
        broker.await_answer()
        assert FENCED not in broker.log.read_text(encoding="utf-8")
        Admin(broker.kafka).ensure_topic(topic, 1, {})
        never = leave_open(broker.kafka, topic)
    with broker.run():
        broker.await_answer()
        assert broker.log.read_text(encoding="utf-8").startswith(FENCED)
        assert read_after(broker.kafka, topic) == [b"after"]
    del never


@pytest.mark.kafka
def test_a_broker_that_was_stopped_starts_at_once(broker: ComposedBroker) -> None:
    """SIGTERM, with which an engine stops a container, reaches the broker, and the next start fences nothing."""
    with broker.run() as process:
        broker.await_answer()
        process.terminate()
        wait_for(lambda: process.poll() is not None, "the broker to end")
    with broker.run():
        broker.await_answer()
        assert FENCED not in broker.log.read_text(encoding="utf-8")
