"""The readers of a port as the brokers and the registry see them, for `meshport readers` and `meshport retire --plan`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import Reader
from meshport.errors import NotRegistered
from meshport.kafka.clusters import KafkaAccess
from meshport.observe.lag import GroupLags
from meshport.observe.levels.cluster_reader import ClusterReader
from meshport.observe.readers import ObservedReader, observed_readers
from meshport.process.wire.plan import processor_group
from meshport.registry import Registry
from meshport.seen_readers import LineReaders, ReaderKind, SeenReader

__all__ = ["observed_of", "reader_row", "records_left"]


def observed_of(
    mesh: Registry, bindings: Iterable[Binding], declared: Iterable[Reader], kafka: KafkaAccess
) -> Iterator[ObservedReader]:
    """Yield the readers of ports, as their brokers and the registry name them.

    Raises:
        KafkaError: a cluster did not answer, or shows no groups.
        RegistryUnavailable: the registry did not answer.
    """
    declared = list(declared)
    processors: dict[str, Address] = {}
    for each in declared:
        try:
            processors |= {processor_group(one.topic): each.address for one in mesh.product(each.address).bindings}
        except NotRegistered:
            continue
    for binding in bindings:
        own = [each for each in declared if _reads(each.reads, binding.address)]
        topics = {binding.topic, *(each.topic for each in binding.continues)}
        with GroupLags(kafka.to(binding)) as lags:
            yield from observed_readers(lags, topics, own, processors)


def records_left(binding: Binding, kafka: KafkaAccess) -> int:
    """Return how many offsets the topic of a port still has.

    Raises:
        KafkaError: the cluster did not answer.
    """
    with ClusterReader(kafka.to(binding)) as cluster:
        bounds = cluster.bounds({binding.topic: binding.partitions})
    return sum(end - first for _, (first, end) in bounds.items())


def seen_text(reader: SeenReader) -> str:
    """Return a reader that was seen, on one line for people."""
    who = reader.name if reader.kind is ReaderKind.PRODUCT else f"{reader.kind} {reader.name}"
    does = "reads" if reader.declared or reader.reads_lately else "asked for"
    what = ", ".join(reader.fields) or ("everything" if reader.declared or reader.subscribed_at else "it")
    known = (reader.owner if reader.declared else "not declared", reader.caller and f"as {reader.caller}")
    return f"{who}  {does} {what}  ({'; '.join(filter(None, [*known, reader.words()]))})"


def seen_facts(line: LineReaders, reader: SeenReader) -> dict[str, Any]:
    """Return a reader that was seen as JSON data."""
    return {
        "address": str(Address.parse(reader.name)) if reader.kind is ReaderKind.PRODUCT else None,
        **reader.model_dump(mode="json"),
        "last_seen": reader.last_seen,
        "line": str(line.address),
        "observed_since": line.observed_since,
    }


def reader_row(reader: ObservedReader) -> list[str]:
    """Return the cells of a reader for people."""
    who = "undeclared" if reader.product is None else reader.product.key
    does = "reads" if reader.is_live else "reads nothing now" if reader.group else "has no group"
    unread = "-" if reader.unread is None else str(reader.unread)
    return [who, reader.group or "-", does, unread, ", ".join(reader.clients) or "-"]


def _reads(read: Address, port: Address) -> bool:
    return read.of_product == port.of_product and read.port in {None, port.port} and read.major in {None, port.major}
