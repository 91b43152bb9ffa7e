"""Recounting: what a derived product holds against what a separate computation makes of the source events.

A derived product may bring a `recount.py` with a function `recount(sources)`. It gets the events of every source-aligned
product that stands behind the product, however many products lie between, by address as `inputPorts` name it
(`mesh://<domain>/<product>`), each partition in its order and one partition after the other. It gives the records that the
product's default port should hold. It shares no code with the processor, so that the two can prove each other.
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
from meshport.event import Event
from meshport.ports.publisher import event_time, record_key
from meshport.ports.replay import Replay
from meshport.ports.subscriber import BadEvent, Mesh
from meshport.product import Archetype
from meshport.product.loading import load_callable
from meshport.project.project import Project, ProjectProduct
from meshport.schema import parse_schema

FILE: Final = "recount.py"
_SHOWN: Final = 5
# Two sums of doubles in different order differ in their last bits; anything else has to be equal.
_RELATIVE: Final = 1e-9

Recount = Callable[[Mapping[str, Sequence[Event]]], Iterable[Mapping[str, Any]]]
"""Source events by address -> the records that the port should hold; of a compacted port, the latest of each key."""


@dataclass(frozen=True, slots=True)
class RecountDifference:
    """One value that the port and the recount do not agree on.

    Attributes:
        key: of the record; on a port that is not compacted, with the event's time.
        field: None where one side has no such record at all.
        expected: by the recount; None for a record that should not be there.
        found: in the port; None for a record that is not there.
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
    """How one derived product came out.

    Attributes:
        address: of the product.
        expected: how many records the recount gives.
        found: how many the port holds; of a compacted port, keys.
        wrong: how many records differ, are missing or should not be there.
        differing: the first few differences.
    """

    address: Address
    expected: int
    found: int
    wrong: int
    differing: tuple[RecountDifference, ...]

    @property
    def agrees(self) -> bool:
        """Whether port and recount hold the same."""
        return not self.wrong


@dataclass(frozen=True, slots=True)
class RecountReport:
    """The verdicts of a project.

    Attributes:
        verdicts: of the derived products that bring a recount.
        without: the derived products that bring none.
        events: how many source events were read.
        unreadable: how many messages of the source ports are no events; they are left out, as the processors set them
            aside.
    """

    verdicts: tuple[RecountVerdict, ...]
    without: tuple[Address, ...]
    events: int
    unreadable: int = 0

    @property
    def agrees(self) -> bool:
        """Whether all of them agree."""
        return all(each.agrees for each in self.verdicts)


def load_recount(product: ProjectProduct) -> Recount | None:
    """The recount that a product brings along, or None.

    Raises:
        ProjectError: its `recount.py` cannot be loaded.
    """
    return load_callable(product.folder, f"{FILE}:recount") if (product.folder / FILE).is_file() else None


def recount(
    project: Project,
    mesh: Mesh,
    *,
    only: Iterable[Address] | None = None,
    on_progress: Callable[[Address, int, int], None] | None = None,
) -> RecountReport:
    """Recount the derived products of a project, as their topics stand now.

    The processors have to have come to the end of their inputs. All source events are held in memory, about 1 KB each.

    Args:
        project: whose products.
        mesh: a registry.
        only: these products; by default every derived one.
        on_progress: called with (address, offsets read, offsets in all) while a topic is read.

    Raises:
        ProjectError: a recount cannot be loaded or fails, or gives two records of one key.
        NotRegistered: a port is not registered.
        DecodeError, EventError: a derived port holds what is no event of it.
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
    events = {address: _read(address, mesh, on_progress, on_bad=bad.append) for address in sources}

    def history(address: Address) -> Sequence[Event]:
        return events[address] if address in events else _read(address, mesh, on_progress)

    verdicts = tuple(recount_product(each, project, mesh.resolve, history) for each in counted)
    without = tuple(each.product.address for each in derived if each not in counted)
    return RecountReport(verdicts, without, sum(map(len, events.values())), len(bad))


def recount_product(
    product: ProjectProduct,
    project: Project,
    resolve: Callable[[Address], Binding],
    history: Callable[[Address], Sequence[Event]],
) -> RecountVerdict:
    """Recount one derived product.

    Args:
        product: of the project; it brings a recount.
        project: the project.
        resolve: returns the binding of an address.
        history: returns the events of a port, each partition in its order and one partition after the other.

    Raises:
        ProjectError: there is no recount, it fails, or it gives two records of one key.
    """
    address, function = product.product.address, load_recount(product)
    if function is None:
        raise ProjectError(f"{address} brings no {FILE}", hint="a function `recount(sources)` that gives its records")
    sources = {str(source): history(source) for source in source_ports(product, project)}
    return compare(address, resolve(address), _expected(function, sources, product), history(address))


def source_ports(product: ProjectProduct, project: Project) -> list[Address]:
    """The ports that a product is built from in the end: source-aligned ones, and those of other projects."""
    here = {each.product.address: each for each in project.products}
    found: dict[Address, None] = {}
    passed: set[Address] = set()

    def walk(each: ProjectProduct) -> None:
        for port in each.product.input_ports:
            inner = here.get(port.address.of_product)
            if inner is None or inner.product.archetype is Archetype.SOURCE_ALIGNED:
                found[port.address] = None
            elif inner.product.address not in passed:
                passed.add(inner.product.address)
                walk(inner)

    walk(product)
    return list(found)


def compare(
    address: Address, binding: Binding, expected: Iterable[Mapping[str, Any]], events: Sequence[Event]
) -> RecountVerdict:
    """Set the records of a recount against the events of the port.

    Of a compacted port the latest record of each key counts. On any other, a record is told from the others by its key
    and the time of its event.

    Args:
        address: how the verdict names the product.
        binding: of the port.
        expected: by the recount.
        events: of the port, each partition in its order.

    Raises:
        ProjectError: the recount gives two records of one key.
    """
    name = _Name(binding)
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


class _Name:
    """What tells a record of a port from its others."""

    def __init__(self, binding: Binding) -> None:
        self._compacted = binding.cleanup == "compact"
        self._key = record_key(binding.key)
        self._time = event_time(binding.time, parse_schema(binding.schema_text)) if binding.time else None

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
    on_progress: Callable[[Address, int, int], None] | None,
    *,
    on_bad: Callable[[BadEvent], None] | None = None,
) -> list[Event]:
    def told(read: int, total: int) -> None:
        if on_progress is not None:
            on_progress(address, read, total)

    with Replay(address, mesh, on_bad=on_bad) as replay:
        return sorted(replay.history(progress=told), key=lambda event: (event.partition, event.offset))
