"""Collects for the ledger what a campaign has left, from Kafka or from a harness in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from meshport.event import Event
from meshport.kafka.producer import Message
from meshport.ports.subscriber import Subscriber
from meshport.process.engines.memory import Harness
from meshport.process.engines.memory_ports import PortRegistry
from meshport.process.state.changelog import ChangelogRecord
from meshport.process.wire.input import InputMessage
from meshport.process.wire.plan import Plan
from tests.process.topics import Topics

Wire = Literal["once", "repeats"]
"""What a committed reader may find: every output once (batch engine), or repeats under the same id (faust engine)."""

_REMEMBER = 2_000_000
_QUIET = 3


@dataclass(frozen=True)
class Evidence:
    """What was published, and what the topics of a processor hold.

    Attributes:
        plan: of the processor.
        ports: schemas.
        wire: what is promised.
        published: every message that was acknowledged, in the order of publishing.
        source: the input, partition by partition.
        output: the output port as a committed reader has it, partition by partition.
        read: the output port as our `Subscriber` gives it; None where there is no Kafka to subscribe to.
        late: the late port.
        quarantine: as `late`.
        changelogs: the entries of each partition, by the topic that the stage reads.
    """

    plan: Plan
    ports: PortRegistry
    wire: Wire
    published: Sequence[Message]
    source: Sequence[InputMessage]
    output: Sequence[InputMessage]
    read: Sequence[Event] | None
    late: Sequence[InputMessage]
    quarantine: Sequence[InputMessage]
    changelogs: dict[str, list[list[ChangelogRecord]]]


def of_harness(harness: Harness, published: Sequence[Message], wire: Wire) -> Evidence:
    """What a harness holds."""
    plan, log = harness.plan, harness.log
    return _gathered(plan, harness.ports, wire, published, harness.outputs, None, log.entries)


def of_kafka(topics: Topics, published: Sequence[Message], wire: Wire) -> Evidence:
    """What a processor's topics hold."""
    return _gathered(
        topics.plan, topics.ports, wire, published, topics.stored, subscribed(topics), topics.log.entries
    )  # fmt: skip


def subscribed(topics: Topics) -> list[Event]:
    """Return the events of the output port as a subscriber that leaves out repeats reads them."""
    ends = {number: end for number, (_, end) in topics.log.bounds(topics.plan.output.topic).items()}
    found: list[Event] = []
    quiet = 0
    with Subscriber(topics.plan.output.address, topics.ports, remember=_REMEMBER) as subscriber:
        for batch in subscriber.batches(5000, wait_s=0.5):
            found += batch
            for event in batch:
                if event.offset + 1 >= ends[event.partition]:
                    ends.pop(event.partition)
            # Transaction markers and repeats may follow the last event; then empty batches are the end.
            quiet = 0 if batch else quiet + 1
            if not ends or quiet == _QUIET:
                break
    return found


def _gathered(
    plan: Plan,
    ports: PortRegistry,
    wire: Wire,
    published: Sequence[Message],
    stored: Callable[[str], list[InputMessage]],
    read: Sequence[Event] | None,
    entries: Callable[[str, int], Iterable[ChangelogRecord]],
) -> Evidence:
    changelogs = {
        stage.topic: [list(entries(stage.changelog, number)) for number in range(stage.partitions)]
        for stage in plan.stages
    }
    return Evidence(
        plan, ports, wire, published,
        stored(plan.source.topic), stored(plan.output.topic), read,
        stored(plan.late_topic), stored(plan.quarantine_topic), changelogs,
    )  # fmt: skip
