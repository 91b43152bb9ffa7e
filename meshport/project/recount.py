"""Compare derived products with a separate computation over the source events.

A derived product may have a `recount.py` with a function `recount(sources)`. Its argument has the events of every
source-aligned product that the product is built from, directly or through other products, by the address that `inputPorts`
name (`mesh://<domain>/<product>`), partition by partition in offset order. The function returns the records that the
product's default port should hold. It shares no code with the processor, so that each is evidence for the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import ProjectError
from meshport.event import ContractReader, Event
from meshport.event.record import event_time, record_key
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.history import Missing
from meshport.ports.replay import Replay
from meshport.ports.subscriber import BadEvent, Mesh
from meshport.process import load_pipeline
from meshport.process.logic.state_shape import needs_key_partition
from meshport.process.wire.partitioner import KeyPartition
from meshport.product import Archetype
from meshport.product.loading import load_callable
from meshport.project.project import Project, ProjectProduct
from meshport.schema import Schema, parse_schema

FILE: Final = "recount.py"
_SHOWN: Final = 5
# Sums of doubles differ in their last bits with the order of their terms; all other values have to be equal.
_RELATIVE: Final = 1e-9

Recount = Callable[[Mapping[str, Sequence[Event]]], Iterable[Mapping[str, Any]]]
"""Takes source events by address; returns the records that the port should hold: of a compacted port, the latest per key."""


@dataclass(frozen=True, slots=True)
class RecountDifference:
    """One value that differs between the port and the recount.

    Attributes:
        key: of the record; with the event's time on a port that is not compacted.
        field: the field; None if only one side has the record.
        expected: the value of the recount; None for a record that should not exist.
        found: the value in the port; None for a record that is missing.
    """

    key: str
    field: str | None
    expected: Any
    found: Any

    def __str__(self) -> str:
        if self.field is not None:
            return f"{self.key}: {self.field} is {self.found!r}, the recount says {self.expected!r}"
        return f"{self.key}: " + ("is missing" if self.found is None else "should not be there")


@dataclass(frozen=True, slots=True)
class RecountVerdict:
    """The comparison of one derived product with its recount.

    Attributes:
        address: of the product.
        expected: the number of records that the recount returned.
        found: the number of records in the port; of keys, if it is compacted.
        wrong: the number of records that differ, are missing or should not exist.
        differing: the first few differences.
    """

    address: Address
    expected: int
    found: int
    wrong: int
    differing: tuple[RecountDifference, ...]

    @property
    def agrees(self) -> bool:
        """Whether the port holds what the recount returned."""
        return not self.wrong


@dataclass(frozen=True, slots=True)
class RecountReport:
    """The comparisons of a project's derived products.

    Attributes:
        verdicts: of the derived products that have a recount.
        without: the derived products that have none.
        events: the number of source events that were read.
        unreadable: the number of messages in source ports that are no events. A recount leaves them out, as processors
            quarantine them.
        misplaced: the number of events in another partition than that of their key, in ports of which a processor groups or
            de-duplicates by the key. A recount leaves them out, as processors quarantine them.
    """

    verdicts: tuple[RecountVerdict, ...]
    without: tuple[Address, ...]
    events: int
    unreadable: int = 0
    misplaced: int = 0

    @property
    def agrees(self) -> bool:
        """Whether all of them agree."""
        return all(each.agrees for each in self.verdicts)


def load_recount(product: ProjectProduct) -> Recount | None:
    """Return the recount of a product, or None if it has none.

    Raises:
        ProjectError: its `recount.py` cannot be loaded.
    """
    return load_callable(product.folder, f"{FILE}:recount") if (product.folder / FILE).is_file() else None


def recount(
    project: Project,
    mesh: Mesh,
    *,
    only: Iterable[Address] | None = None,
    missing: Missing = Missing.REFUSE,
    on_progress: Callable[[Address, int, int], None] | None = None,
    kafka: KafkaAccess = PLAINTEXT,
) -> RecountReport:
    """Recount the derived products of a project and compare their topics.

    The processors have to have reached the end of their inputs. All source events are held in memory, about 1 KB each.

    Args:
        project: the project.
        mesh: a registry.
        only: the products to compare; by default every derived one.
        missing: whether to recount where part of a port's history is removed.
        on_progress: called with (address, offsets read, offsets in all) while a topic is read.
        kafka: the connections to Kafka; servers that they name win over the bindings'.

    Raises:
        ProjectError: a recount cannot be loaded or fails, or returns two records of one key.
        NotRegistered: a port is not registered.
        HistoryMissing: part of a port's history is removed, and `missing` does not allow it.
        DecodeError, EventError: a message in a derived port is no event of it.
    """
    asked = set(only) if only is not None else None
    derived = [
        each
        for each in project.products
        if each.product.archetype is not Archetype.SOURCE_ALIGNED and (asked is None or each.product.address in asked)
    ]
    counted = [each for each in derived if load_recount(each) is not None]
    sources = dict.fromkeys(address for each in counted for address in source_ports(each, project))
    bad: list[BadEvent] = []
    events = {address: _read(address, mesh, missing, on_progress, kafka, on_bad=bad.append) for address in sources}

    def history(address: Address) -> Sequence[Event]:
        return events[address] if address in events else _read(address, mesh, missing, on_progress, kafka)

    verdicts = tuple(recount_product(each, project, mesh.resolve, history) for each in counted)
    without = tuple(each.product.address for each in derived if each not in counted)
    misplaced = {
        (port, *position)
        for each in counted
        for port, positions in _misplaced(each, project, mesh.resolve, events).items()
        for position in positions
    }
    return RecountReport(verdicts, without, sum(map(len, events.values())), len(bad), len(misplaced))


def recount_product(
    product: ProjectProduct,
    project: Project,
    resolve: Callable[[Address], Binding],
    history: Callable[[Address], Sequence[Event]],
) -> RecountVerdict:
    """Recount one derived product and compare it.

    Args:
        product: of the project.
        project: the project.
        resolve: returns the binding of an address.
        history: returns the events of a port, partition by partition in offset order.

    Raises:
        ProjectError: the product has no recount, it fails, or it returns two records of one key.
    """
    address, function = product.product.address, load_recount(product)
    if function is None:
        raise ProjectError(f"{address} brings no {FILE}", hint="a function `recount(sources)` that gives its records")
    events = {source: history(source) for source in source_ports(product, project)}
    sources: dict[str, Sequence[Event]] = {str(source): there for source, there in events.items()}
    for source, misplaced in _misplaced(product, project, resolve, events).items():
        if misplaced:
            sources[str(source)] = [each for each in events[source] if (each.partition, each.offset) not in misplaced]
    return compare(address, resolve(address), _expected(function, sources, product), history(address))


def source_ports(product: ProjectProduct, project: Project) -> list[Address]:
    """Return the ports at the beginning of a product's lineage: source-aligned ones, and those of other projects."""
    return list(dict.fromkeys(port for _, port in _source_readers(product, project)))


def _source_readers(product: ProjectProduct, project: Project) -> Iterator[tuple[ProjectProduct, Address]]:
    """Yield the ports at the beginning of a product's lineage, each with a product that reads it."""
    here = {each.product.address: each for each in project.products}
    passed: set[Address] = set()

    def walk(each: ProjectProduct) -> Iterator[tuple[ProjectProduct, Address]]:
        for port in each.product.input_ports:
            inner = here.get(port.address.of_product)
            if inner is None or inner.product.archetype is Archetype.SOURCE_ALIGNED:
                yield each, port.address
            elif inner.product.address not in passed:
                passed.add(inner.product.address)
                yield from walk(inner)

    yield from walk(product)


def _misplaced(
    product: ProjectProduct,
    project: Project,
    resolve: Callable[[Address], Binding],
    sources: Mapping[Address, Sequence[Event]],
) -> dict[Address, set[tuple[int, int]]]:
    """Return the (partition, offset) of events that a processor of the lineage quarantines for their partition, by port."""
    found: dict[Address, set[tuple[int, int]]] = {}
    for reader, port in _source_readers(product, project):
        if reader.product.process is None:
            continue
        pipeline, source = load_pipeline(reader.product, reader.folder), resolve(port)
        if pipeline.input != port or not needs_key_partition(pipeline, source, resolve(reader.product.address)):
            continue
        by_partition: dict[int, list[Event]] = {}
        for event in sources[port]:
            by_partition.setdefault(event.partition, []).append(event)
        found[port] = {
            (partition, events[index].offset)
            for partition, events in by_partition.items()
            for index in KeyPartition(partition, source.partitions).wrong([event.key for event in events])
        }
    return found


def compare(
    address: Address, binding: Binding, expected: Iterable[Mapping[str, Any]], events: Sequence[Event]
) -> RecountVerdict:
    """Compare the records of a recount with the events of a port.

    Of a compacted port the latest record of each key counts. On any other port a record is identified by its key and the
    time of its event.

    Args:
        address: of the product, for the verdict.
        binding: of the port.
        expected: the records of the recount.
        events: of the port, each partition in offset order.

    Raises:
        ProjectError: the recount returned two records of one key.
    """
    name = _RecordNames(binding)
    wanted: dict[str, Mapping[str, Any]] = {}
    for record in expected:
        if (key := name.of_record(record)) in wanted:
            raise ProjectError(f"the recount of {address} gives two records of {key}")
        wanted[key] = record
    held: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event.data is None:
            held.pop(name.of_event(event), None)
        else:
            held[name.of_event(event)] = event.data
    wrong = 0
    differing: list[RecountDifference] = []
    for key in sorted(wanted.keys() | held.keys()):
        found = list(_differences(key, wanted.get(key), held.get(key)))
        wrong += bool(found)
        differing += found[: max(0, _SHOWN - len(differing))]
    return RecountVerdict(address, len(wanted), len(held), wrong, tuple(differing))


class _RecordNames:
    """Names the records of a port, each by its key, with the event time unless the port is compacted."""

    def __init__(self, binding: Binding) -> None:
        self._compacted = binding.cleanup == "compact"
        schema = parse_schema(binding.schema_text)
        self._key = record_key(binding.key, schema)
        self._time = event_time(binding.time, schema) if binding.time else None

    def of_record(self, record: Mapping[str, Any]) -> str:
        key = (self._key(record) or b"").decode()
        return key if self._compacted else self._at(key, record)

    def of_event(self, event: Event) -> str:
        key = (event.key or b"").decode(errors="backslashreplace")
        return key if self._compacted or event.data is None else self._at(key, event.data)

    def _at(self, key: str, record: Mapping[str, Any]) -> str:
        if self._time is not None:
            return f"{key} at {self._time(record).astimezone(UTC).isoformat()}"
        return f"{key} {sorted(record.items())!r}"


def _differences(
    key: str, expected: Mapping[str, Any] | None, found: Mapping[str, Any] | None
) -> Iterator[RecountDifference]:
    if expected is None or found is None:
        yield RecountDifference(key, None, expected, found)
        return
    for field in dict.fromkeys([*expected, *found]):
        one, other = expected.get(field), found.get(field)
        if not _same(one, other):
            yield RecountDifference(key, field, one, other)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_RELATIVE) or (math.isnan(one) and math.isnan(other))
    return bool(one == other)


def _expected(
    function: Recount, events: Mapping[str, Sequence[Event]], product: ProjectProduct
) -> list[Mapping[str, Any]]:
    try:
        return list(function(events))
    except Exception as error:  # a process edge: the code is the product's own
        raise ProjectError(
            f"{product.folder / FILE} failed: {type(error).__name__}: {error}",
            hint="recount(sources) gives the records of the port; sources holds " + (", ".join(events) or "nothing"),
        ) from error


def _read(
    address: Address,
    mesh: Mesh,
    missing: Missing,
    on_progress: Callable[[Address, int, int], None] | None,
    kafka: KafkaAccess,
    *,
    on_bad: Callable[[BadEvent], None] | None = None,
) -> list[Event]:
    def report(read: int, total: int) -> None:
        if on_progress is not None:
            on_progress(address, read, total)

    # As processors read it, so that an event from before a field came has the field's default.
    contract = ContractReader(Schema(mesh.resolve(address).schema_text))
    with Replay(address, mesh, reader=contract, on_bad=on_bad, missing=missing, kafka=kafka) as replay:
        return sorted(replay.history(progress=report), key=lambda event: (event.partition, event.offset))
