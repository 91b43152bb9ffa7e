"""A reader's passage through the earlier lines and the generations of a port: each is read to its end, then the next.

A re-binding names for each partition the end of the old generation and the offset of the new one after the same outputs
(`meshport.binding.Continuation`). An earlier line ends at a time, and the next one is read from its beginning
(`meshport.ports.earlier_lines`). A group moves as a whole, once all of its offsets are at the end, so that no partition is read
in two topics at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import KafkaError, RegistryError, TopicError
from meshport.ports.earlier_lines import EarlierLine
from meshport.ports.resolver import Resolver

_NONE: Final[Mapping[str, Mapping[int, int]]] = MappingProxyType({})

LOOK_S: Final = 5.0
"""The seconds after which a reader asks the registry again whether its address was bound to another generation."""


@dataclass(frozen=True, slots=True)
class PortGeneration:
    """One generation of a port, as a reader passes it.

    Attributes:
        topic: the generation's topic.
        begins: by partition, the first offset for a reader that has read the generation before; None for the oldest that is
            kept.
        ends: by partition, the offset after the last event that counts; None for the generation that is bound, and for an
            earlier line before it is known where it ends.
        line: the earlier line whose generation it is; None for one of the port's own.
    """

    topic: str
    begins: Mapping[int, int] | None
    ends: Mapping[int, int] | None
    line: EarlierLine | None = None

    def is_read(self, offsets: Mapping[int, int]) -> bool:
        """Return whether these offsets are at the end of all partitions; False where the generation has no end."""
        return self.ends is not None and all(offsets.get(partition, -1) >= end for partition, end in self.ends.items())

    def counts(self, partition: int, offset: int) -> bool:
        """Return whether a message counts; one that was written after the generation's end is in the next one as well."""
        return self.ends is None or offset < self.ends.get(partition, 0)


def generations_of_port(
    binding: Binding, lines: Sequence[EarlierLine] = (), ends: Mapping[str, Mapping[int, int]] = _NONE
) -> tuple[PortGeneration, ...]:
    """Return all generations that are kept, oldest first; the last is the one that is bound.

    Args:
        binding: the port's.
        lines: its earlier lines, oldest first.
        ends: by topic of an earlier line's bound generation, where it ends.
    """
    earlier = [each for line in lines for each in _generations(line.binding, line, ends.get(line.binding.topic))]
    return (*earlier, *_generations(binding, None, None))


def _generations(
    binding: Binding, line: EarlierLine | None, ends: Mapping[int, int] | None
) -> Iterator[PortGeneration]:
    begins: Mapping[int, int] | None = None
    for each in binding.continues:
        yield PortGeneration(each.topic, begins, each.ends, line)
        begins = each.begins
    yield PortGeneration(binding.topic, begins, ends, line)


class GenerationCursor:
    """The generation that a reader is in.

    Args:
        binding: the port's.
        committed: returns the offsets that the reader's group has committed in a topic; None for a reader without a group.
        lines: the port's earlier lines, oldest first.
        ends: where those end that are over; see `generations_of_port`.
        begins: the topic where a reader begins that has committed nothing; by default that of the bound generation.

    Attributes:
        continued: whether the reader has read the generation before to its end.
    """

    def __init__(
        self,
        binding: Binding,
        committed: Callable[[str], Mapping[int, int]] | None,
        lines: Sequence[EarlierLine] = (),
        ends: Mapping[str, Mapping[int, int]] = _NONE,
        begins: str | None = None,
    ) -> None:
        self._lines = lines
        self._ends = dict(ends)
        self._generations = generations_of_port(binding, lines, ends)
        self._index = [each.topic for each in self._generations].index(begins or binding.topic)
        self.continued = False
        self._next_line = False
        if committed is not None:
            self._find(committed)

    def _find(self, committed: Callable[[str], Mapping[int, int]]) -> None:
        """Find the oldest generation in which the group has committed offsets and is not at the end."""
        last = len(self._generations) - 1
        for index, generation in enumerate(self._generations[:-1]):
            if index < self._index and self.continued:
                continue  # of an earlier line's successor, one that was replaced
            try:
                offsets = committed(generation.topic)
            except TopicError:
                offsets = {}  # its topic was retired after the binding was resolved
            if offsets and not generation.is_read(offsets):
                self._index = index
                return
            if offsets:
                self._index = index
                self.advance()
            elif self.continued and self._index == index:
                return
        if self._index < last and not self.continued and committed(self._generations[last].topic):
            self._index = last

    @property
    def current(self) -> PortGeneration:
        """The generation that is read now."""
        return self._generations[self._index]

    def rebind(self, binding: Binding) -> None:
        """Continue under another binding of the port.

        Raises:
            KafkaError: the generation that is read was retired, so that the registry does not know any more where it
                continues.
        """
        generations = generations_of_port(binding, self._lines, self._ends)
        topics = [each.topic for each in generations]
        if self.current.topic not in topics:
            raise KafkaError(
                f"{self.current.topic} was retired while it was read, and {binding.address} is bound to {binding.topic}",
                topic=self.current.topic,
                hint="begin there under a new group",
            )
        self._generations, self._index = generations, topics.index(self.current.topic)

    def end_at(self, ends: Mapping[int, int]) -> None:
        """Note where the generation that is read ends, one of an earlier line.

        Args:
            ends: by partition, the offset after the last event that counts.
        """
        found = replace(self.current, ends=ends)
        self._ends[found.topic] = ends
        self._generations = tuple(found if each.topic == found.topic else each for each in self._generations)

    def advance(self) -> PortGeneration:
        """Move to the next generation, and return it."""
        line = self.current.line
        self._index += 1
        self._next_line = self.current.line is not line
        while self._next_line and self._is_replaced(self._index):
            self._index += 1  # the bound generation of a line has all of it
        self.continued = True
        return self.current

    def _is_replaced(self, index: int) -> bool:
        return index + 1 < len(self._generations) and self._generations[index + 1].line is self._generations[index].line

    def begins(self, partitions: int) -> dict[int, int]:
        """Return the offset of each partition at which a reader of the generation before continues."""
        if self._next_line:
            return dict.fromkeys(range(partitions), 0)
        return dict(self.current.begins or {})

    def first_offset(self, partition: int) -> int | None:
        """Return the offset at which a reader of the generation before continues; None where it has not read that one."""
        if not self.continued:
            return None
        if self._next_line:
            return 0
        begins = self.current.begins
        return begins.get(partition) if begins is not None else None


class BindingWatch:
    """Resolves an address again and again in the background, so that reading never waits for the registry.

    Args:
        address: with its major.
        resolver: a registry.
        look_s: seconds between two requests.

    Attributes:
        found: the newest binding; None before the first.
    """

    def __init__(self, address: Address, resolver: Resolver, look_s: float = LOOK_S) -> None:
        self.found: Binding | None = None
        self._address = address
        self._resolver = resolver
        self._look_s = look_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"watch {address.key}", daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(self._look_s):
            try:
                self.found = self._resolver.resolve(self._address)
            except RegistryError:
                continue  # the reader keeps the binding that it has

    def close(self) -> None:
        """Stop resolving."""
        self._done.set()
