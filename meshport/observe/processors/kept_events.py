"""Reading the quarantined and late events of processors, as far as a report of them needs it.

A look reads nothing of a processor whose topics are as they were. Of others it reads all where that is little, so that events are
counted and those that were redriven are known; of more it reads the newest, and counts offsets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from meshport.address import late_name, quarantine_name, redrive_name
from meshport.errors import MeshError
from meshport.kafka.received import ReceivedMessage, headers_of
from meshport.kafka.topic_partition import TopicPartition
from meshport.observe.levels.cluster_reader import Bounds, ClusterReader
from meshport.observe.processors.processed_port import ProcessedPort, WholeMesh
from meshport.process.runtime.quarantine import Origin, QuarantinedEvent, quarantined_event
from meshport.processor_reports import KeptEvents
from meshport.quarantine_report import LONGEST_REASON, MOST_BYTES, MOST_ENTRIES, QuarantineEntry
from meshport.rfc3339 import instant

__all__ = ["Kept", "KeptReader", "entry_of"]

_COUNTED: Final = 2_000
"""So many offsets of a processor's topics are read; of more the newest."""
_NEWEST: Final = 3 * MOST_ENTRIES  # offsets of a partition: some are markers of transactions
_LONGEST_NAME: Final = 300


@dataclass(frozen=True)
class Kept:
    """What a processor keeps.

    Attributes:
        quarantined: None where the topic cannot be read.
        late: None where the topic cannot be read.
        entries: the newest of both, newest first.
    """

    quarantined: KeptEvents | None
    late: KeptEvents | None
    entries: tuple[QuarantineEntry, ...] = ()


class _Entry(NamedTuple):
    """One of the newest events of a topic: when it was written there, and what brings it back."""

    written: tuple[int, int, int]
    origin: Origin | None
    redriven_before: int
    entry: QuarantineEntry


@dataclass
class _Found:
    """What was read of one processor's topics."""

    port: ProcessedPort
    whole: bool
    counts: Counter[str] = field(default_factory=Counter)
    newest: dict[str, list[_Entry]] = field(default_factory=dict)
    failed: list[tuple[Origin, int]] = field(default_factory=list)
    redriven: dict[Origin, int] = field(default_factory=dict)

    def note(self, message: ReceivedMessage, mesh: WholeMesh) -> None:
        """Take up a message of one of the topics."""
        topic, built = message.topic(), self.port.binding.topic
        try:
            event = quarantined_event(message.key(), message.value(), headers_of(message) or ())
            origin = event.origin
        except (MeshError, ValueError, TypeError):  # something else wrote the message
            event, origin = None, None
        if topic == redrive_name(built):
            if origin is not None:
                self.redriven[origin] = message.offset()
            return
        self.counts[topic] += 1
        if event is None or origin is None:
            return
        late = topic == late_name(built)
        if not late:
            self.failed.append((origin, event.redriven_before))
        written = (message.timestamp()[1], message.partition(), message.offset())
        own = self.newest.setdefault(topic, [])
        if len(own) < MOST_ENTRIES or written > own[-1].written:
            entry = entry_of(event, self.port, mesh, late=late)
            own.append(_Entry(written, None if late else origin, event.redriven_before, entry))
            own.sort(key=lambda each: each.written, reverse=True)
            del own[MOST_ENTRIES:]

    def is_redriven(self, origin: Origin | None, before: int) -> bool:
        """Return whether an event was redriven after it was quarantined."""
        return origin is not None and self.redriven.get(origin, -1) >= before

    def entries(self) -> tuple[QuarantineEntry, ...]:
        """Return the newest events of both kinds, newest first."""
        every = sorted(
            (each for own in self.newest.values() for each in own), key=lambda each: each.written, reverse=True
        )
        return tuple(
            each.entry.model_copy(update={"redriven": True})
            if self.is_redriven(each.origin, each.redriven_before)
            else each.entry
            for each in every
        )


class KeptReader:
    """Reads the quarantined and late events of the processors of one cluster.

    Args:
        cluster: the connection.
    """

    def __init__(self, cluster: ClusterReader) -> None:
        self._cluster = cluster
        self._before: dict[str, tuple[Bounds, Kept]] = {}

    def look(self, ports: Sequence[ProcessedPort], mesh: WholeMesh) -> dict[str, Kept]:
        """Return what processors keep, by the topic that they build.

        Args:
            ports: that they build.
            mesh: which knows the ports that events came from.

        Raises:
            KafkaError: the cluster did not answer.
        """
        bounds = self._cluster.bounds({name: count for each in ports for name, count in each.kept_topics.items()})
        own = {
            each.binding.topic: {at: bound for at, bound in bounds.items() if at.topic in each.kept_topics}
            for each in ports
        }
        changed = [each for each in ports if not self._is_as_before(each, own[each.binding.topic])]
        found = {each.binding.topic: _Found(each, _is_little(own[each.binding.topic])) for each in changed}
        self._read(found, bounds, mesh)
        unread = set(self._cluster.unread) if changed else set()
        for topic, each in found.items():
            unread_of = {at for at in unread if at.topic in each.port.kept_topics}
            # What could not be read yet is read at the next look: an open transaction may hide it.
            seen = {} if unread_of else own[topic]
            self._before[topic] = seen, self._kept(each, own[topic], unread_of)
        self._before = {topic: self._before[topic] for topic in own}
        return {topic: kept for topic, (_, kept) in self._before.items()}

    def _is_as_before(self, port: ProcessedPort, own: Bounds) -> bool:
        before = self._before.get(port.binding.topic)
        return before is not None and before[0] == own and bool(own)

    def _read(self, found: dict[str, _Found], bounds: Bounds, mesh: WholeMesh) -> None:
        owners = {name: each for each in found.values() for name in each.port.kept_topics}
        begins = {
            at: first if owners[at.topic].whole else max(first, end - _NEWEST)
            for at, (first, end) in bounds.items()
            if at.topic in owners
        }
        for messages in self._cluster.read(begins, bounds):
            for message in messages:
                owners[message.topic()].note(message, mesh)

    def _kept(self, found: _Found, own: Bounds, unread: set[TopicPartition]) -> Kept:
        topic = found.port.binding.topic
        redriven = None
        if found.whole and not unread:
            redriven = sum(found.is_redriven(*each) for each in found.failed)
        return Kept(
            self._count(quarantine_name(topic), found, own, unread, redriven),
            self._count(late_name(topic), found, own, unread, None),
            found.entries(),
        )

    def _count(
        self, topic: str, found: _Found, own: Bounds, unread: set[TopicPartition], redriven: int | None
    ) -> KeptEvents | None:
        spans = [end - first for at, (first, end) in own.items() if at.topic == topic]
        if not spans:
            return None if self._cluster.refuses(topic) else KeptEvents()
        if found.whole and not any(each.topic == topic for each in unread):
            return KeptEvents(events=found.counts[topic], redriven=redriven)
        return KeptEvents(events=sum(spans), at_most=True)


def _is_little(own: Bounds) -> bool:
    return sum(end - first for first, end in own.values()) <= _COUNTED


def entry_of(event: QuarantinedEvent, built: ProcessedPort, mesh: WholeMesh, *, late: bool) -> QuarantineEntry:
    """Return an event as it is reported: cut, and without what its contract says is not to be shown.

    Args:
        event: of the quarantine or late topic.
        built: the port whose processor kept it.
        mesh: which knows the port that it came from.
        late: whether it came late.
    """
    source = mesh.port_of(event.topic)
    withheld = source.secret if source is not None else f"no product of the mesh has the topic {event.topic}"
    if event.window is not None:
        withheld = withheld or built.port.secret
    key, value = (None, None) if withheld else (event.key, event.value)
    return QuarantineEntry(
        late=late,
        topic=event.topic[:_LONGEST_NAME],
        partition=event.partition,
        offset=event.offset,
        stored_at=_instant(event.stored_at),
        source=None if source is None else source.binding.address,
        window=None if event.window is None else "" if withheld else event.window[:_LONGEST_NAME],
        error=None if event.error is None else event.error[:_LONGEST_NAME],
        reason="" if built.closed else event.reason[:LONGEST_REASON],
        key=None if key is None else key[:MOST_BYTES].hex(),
        value=None if value is None else value[:MOST_BYTES].hex(),
        key_bytes=None if event.key is None else len(event.key),
        value_bytes=event.size if event.original is not None else None if event.value is None else len(event.value),
        withheld=withheld or (f"they are too large to be kept: {event.original}" if event.original is not None else ""),
    )


def _instant(stored_at: str | None) -> datetime | None:
    try:
        return None if stored_at is None else instant(stored_at)
    except ValueError:  # after the year 9999
        return None
