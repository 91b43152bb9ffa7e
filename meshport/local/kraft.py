"""Parts of a KRaft cluster on one machine: ports, settings, the record of a formatted directory, the end of a log."""

from __future__ import annotations

import base64
import json
import random
import re
import shutil
import socket
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from meshport.errors import BrokerUnavailable

__all__ = [
    "HOST",
    "MOST_BROKERS",
    "FormattedDirectory",
    "broker_settings",
    "format_storage",
    "free_ports",
    "is_free",
    "last_words",
    "random_id",
    "write_properties",
]

HOST = "127.0.0.1"
MOST_BROKERS = 3
FREE_PORTS = range(20_000, 32_000)  # below the ephemeral ranges of operating systems
LAST_LINES = 15
# The features of a new cluster, as StorageTool of the locked Kafka writes them. The same bytes serve every node and cluster.
BOOTSTRAP_CHECKPOINT = Path(__file__).with_name("bootstrap.checkpoint")

_ALARM = re.compile(r" (?:ERROR|FATAL) |^Exception in thread|^Error[: ]")


class FormattedDirectory:
    """The content of `cluster.json`: a directory whose brokers were formatted and have run."""

    def __init__(self, cluster_id: str, brokers: int, version: str, ports: tuple[int, ...]) -> None:
        self.cluster_id = cluster_id
        self.brokers = brokers
        self.version = version
        self.ports = ports

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the record of a directory; None where no start in it has succeeded."""
        try:
            text = json.loads((folder / "cluster.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return cls(text["cluster_id"], text["brokers"], text["kafka"], tuple(text["ports"]))

    def write(self, folder: Path) -> None:
        """Write the record, by one atomic rename."""
        text = {
            "cluster_id": self.cluster_id,
            "brokers": self.brokers,
            "kafka": self.version,
            "ports": self.ports,
        }
        draft = folder / "cluster.json.new"
        draft.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
        draft.replace(folder / "cluster.json")

    def check(self, brokers: int, folder: Path) -> None:
        """Refuse another number of brokers: the quorum and the replicas are those of the formatted ones.

        Raises:
            BrokerUnavailable: the number differs.
        """
        if brokers != self.brokers:
            raise BrokerUnavailable(
                f"{folder} holds a cluster of {self.brokers} broker(s), and {brokers} were asked for",
                hint=f"start it with {self.brokers}, or give another directory",
            )


def broker_settings(brokers: int) -> dict[str, str | int]:
    """Return the settings that all brokers share: short timeouts and small buffers, for development and tests."""
    replicas = 1 if brokers < MOST_BROKERS else 3
    in_sync = 1 if brokers < MOST_BROKERS else 2
    return {
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "transaction.state.log.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        # A killed broker keeps its partitions' leadership until its session ends. Where no other broker can lead them, a short
        # session only takes them from a broker that a busy machine holds up: Kafka's default, 9 s.
        "broker.session.timeout.ms": 9000 if brokers == 1 else 4000,
        "broker.heartbeat.interval.ms": 500,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        "log.segment.delete.delay.ms": 1000,
        "log.cleaner.backoff.ms": 1000,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,  # the default takes 128 MB of the heap at once
        "num.network.threads": 2,
        "num.io.threads": 2,
    }


def write_properties(file: Path, settings: Mapping[str, str | int]) -> None:
    """Write a file of settings, as `kafka.Kafka` reads it."""
    file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()), encoding="utf-8")


def format_storage(folder: Path, cluster_id: str, node: int) -> None:
    """Make a new storage directory of a node: the two files that `kafka-storage format` writes (version 1 of the format).

    StorageTool takes a JVM, which is a third of what the start of a broker costs.

    Args:
        folder: the directory; what an interrupted start left in it is removed.
        cluster_id: of the cluster, as `random_id` returns it.
        node: id of the broker and controller.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    facts = {"version": 1, "cluster.id": cluster_id, "node.id": node, "directory.id": random_id()}
    text = "".join(f"{key}={value}\n" for key, value in facts.items())
    (folder / "meta.properties").write_text(text, encoding="utf-8")
    shutil.copyfile(BOOTSTRAP_CHECKPOINT, folder / BOOTSTRAP_CHECKPOINT.name)


def random_id() -> str:
    """Return a new id, in the form of Kafka's Uuid: 22 characters of URL-safe base64, the first of them no dash.

    Kafka's tools would read an id that begins with a dash as an option.
    """
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def is_free(port: int) -> bool:
    """Return whether a broker could listen on this port of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Java does: a port in TIME_WAIT is free
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_ports(count: int, taken: Iterable[int]) -> tuple[int, ...]:
    """Choose free ports of the loopback interface.

    Args:
        count: how many.
        taken: ports that are not to be chosen.

    Returns:
        Different ports in ascending order.

    Raises:
        BrokerUnavailable: there are not enough.
    """
    excluded = set(taken)
    chosen: list[int] = []
    for port in random.sample(FREE_PORTS, k=len(FREE_PORTS)):
        if port not in excluded and is_free(port):
            chosen.append(port)
            if len(chosen) == count:
                return tuple(sorted(chosen))
    raise BrokerUnavailable(f"no {count} free ports of {HOST} between {FREE_PORTS[0]} and {FREE_PORTS[-1]}")


def last_words(folder: Path, *logs: str) -> str:
    """Return what a broker logged before it ended: the lines from its first error on, else its last lines.

    Args:
        folder: the broker's directory.
        logs: its log files, the most informative first.

    Returns:
        At most `LAST_LINES` lines.
    """
    texts = [text.splitlines() for text in log_texts(folder, *logs)]
    for lines in texts:
        for number, line in enumerate(lines):
            if _ALARM.search(line):
                return "\n".join(lines[number : number + LAST_LINES])
    lines = next(filter(None, texts), ["(it wrote nothing)"])
    return "\n".join(lines[-LAST_LINES:])


def log_texts(folder: Path, *logs: str) -> list[str]:
    """Return what is in a broker's log files, one text for each; "" of one that is not there."""
    return [_text(folder / log) for log in logs]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
