"""A newcomer's mesh: a project made and run with Meshport's commands alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Self

from meshport.address import Address
from meshport.errors import TopicError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.received import ReceivedMessage, headers_of
from meshport.local.lag import LagMonitor, ProductLag
from meshport.ports.scan import read_topic
from meshport.project.project import Project
from meshport.registry import Registry
from tests.e2e import flights
from tests.e2e.flights import Flight, Totals
from tests.running import Up, lines, meshport
from tests.waiting import wait_for

DEPARTURES = "operations/departures"
DELAYS = "network/delays-by-airport"


_FLIGHTS = """\
address: mesh://{address}
id: {id}
archetype: aggregate
description: Flights of some length.
owner: network
inputPorts:
- address: mesh://operations/departures
outputPorts:
- name: events
  key: origin
  time: date
process:
  python: logic.py:steps
"""


class Newcomer:
    """A new user in an empty directory.

    Attributes:
        folder: the project.
        commands: what was typed in it.
        written: lines that were written by hand.
        published: every flight that was published.
        up: the mesh, while it runs.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.commands: list[str] = []
        self.written = 0
        self.published: list[Flight] = []
        self.up: Up

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "up"):
            self.up.end()

    def type(self, *arguments: str, expect: int = 0) -> CompletedProcess[str]:
        """Type a command."""
        self.commands.append(arguments[0])
        return meshport(self.folder, *arguments, expect=expect)

    def write(self, file: str, text: str) -> None:
        """Write a file by hand."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        self.written += len(text.splitlines())

    def make(self, sample: Path) -> None:
        """The source and the aggregate of the issue."""
        self.type("init")
        self.type("new", DEPARTURES, "--sample", str(sample), "--key", "origin", "--time", "date")
        self.type(
            "new", DELAYS, "--from", DEPARTURES, "--by", "origin", "--window", "1h",
            "--value", "mean_delay=mean(delay)", "--value", "max_delay=max(delay)",
        )  # fmt: skip

    def start(self, *arguments: str) -> None:
        """Run `meshport up` in another terminal."""
        self.commands.append("up")
        self.up = Up(self.folder, *arguments)

    def publish(self, file: Path) -> dict[str, Any]:
        """Publish a file of flights; return the output of the command."""
        self.published += flights.read(file)
        (facts,) = lines(self.type("publish", DEPARTURES, "--from", str(file), "--json").stdout)
        return facts

    def publish_some(self, some: Sequence[Flight]) -> None:
        """Publish flights, all of which are to be stored."""
        file = flights.write(self.folder.with_name("some.jsonl"), some)
        assert self.publish(file)["stored"] == len(some)

    def registry(self) -> Registry:
        """A client of the mesh's registry."""
        return Registry(self.up.facts["registry_url"])

    def standing(self, address: str) -> ProductLag:
        """How far a product is."""
        with self.registry() as registry:
            products = [each for each in Project(self.folder).products if each.product.address.key == address]
            with closing(LagMonitor(products, registry)) as watch:
                return watch.lags()[0]

    def write_product(self, address: str, id: str, logic: str) -> None:
        """Write by hand a product of some of the flights, by Python of its own."""
        folder = f"processors/{address}"
        self.write(f"{folder}/product.yaml", _FLIGHTS.format(address=address, id=id))
        self.write(f"{folder}/logic.py", logic)
        contract = (self.folder / "schemas/operations/departures.events.avsc").read_text()
        self.write(f"schemas/{address}.events.avsc", contract.replace("operations.Departures", "network.Flight"))

    def count(self, topic: str) -> int:
        """How many messages a topic holds."""
        return len(self.stored(topic))

    def offsets(self, topic: str) -> int:
        """How many offsets a topic has taken in: messages, and markers of transactions."""
        with Consumer(KafkaConfig(self.up.facts["bootstrap_servers"])) as looking:
            return sum(looking.end_offsets(topic).values())

    def await_stored(self, address: str, count: int) -> None:
        """Wait until a port has taken in so many events."""
        with self.registry() as registry:
            topic = registry.resolve(Address.parse(address)).topic
        wait_for(lambda: self.offsets(topic) >= count, lambda: self.up.said)

    def settle(self, *addresses: str) -> None:
        """Wait until these processors have begun, nothing waits for them, and nothing more comes of them."""
        with self.registry() as registry:
            named = [each for each in Project(self.folder).products if each.product.address.key in addresses]
            with closing(LagMonitor(named, registry)) as watch:

                def waiting() -> str:
                    try:
                        return ", ".join(str(each) for each in watch.lags() if each.waiting)
                    except TopicError as error:
                        return error.message  # a processor makes its own topics when it begins

                wait_for(lambda: not waiting(), lambda: f"{waiting()}\n{self.up.said}")

    def tail(self, address: str) -> list[dict[str, Any]]:
        """All events of a port, as the command shows them."""
        return lines(meshport(self.folder, "tail", address, "--from-beginning", "--until-end", "--json").stdout)

    def delays(self) -> Totals:
        """Return the last row of each key of the aggregate, once its processor has reached the end of its input."""
        self.settle(DELAYS)
        rows = [event["data"] for event in self.tail(DELAYS)]
        return {(row["origin"], row["window_start"]): (row["mean_delay"], row["max_delay"]) for row in rows}

    def truth(self) -> Totals:
        """Return the same aggregate of all published flights, computed by sqlite3."""
        return flights.totals(self.published)

    def stored(self, topic: str) -> list[ReceivedMessage]:
        """The messages of a topic."""
        kafka = KafkaConfig(self.up.facts["bootstrap_servers"])
        return [message for messages in read_topic(kafka, topic) for message in messages]


def headers(message: ReceivedMessage) -> dict[str, str]:
    """The headers of a message as text."""
    return {name: (value or b"").decode() for name, value in headers_of(message) or ()}


def as_flight(event: dict[str, Any]) -> Flight:
    """The flight of an event that `meshport` shows, as the file had it."""
    return {**event["data"], "date": event["data"]["date"].replace("-", "/").replace("T", " ")[:16]}
