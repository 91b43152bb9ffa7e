"""A reader's passage through the generations of a port: each is read to its end, then the next from where it continues.

A re-binding names for each partition the end of the old generation and the offset of the new one after the same outputs
(`meshport.binding.Continuation`). A group moves as a whole, once all of its offsets are at the end, so that no partition
is read in two generations at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import KafkaError, RegistryError, TopicError
from meshport.ports.resolver import Resolver

LOOK_S: Final = 5.0
"""The seconds after which a reader asks the registry again whether its address was bound to another generation."""


@dataclass(frozen=True, slots=True)
class PortGeneration:
    """One generation of a port, as a reader passes it.

    Attributes:
        topic: the generation's topic.
        begins: by partition, the first offset for a reader that has read the generation before; None for the oldest that is
            kept.
        ends: by partition, the offset after the last event that counts; None for the generation that is bound.
    """

    topic: str
    begins: Mapping[int, int] | None
    ends: Mapping[int, int] | None

    def is_read(self, offsets: Mapping[int, int]) -> bool:
        """Return whether these offsets are at the end of all partitions; False where the generation has no end."""
        return self.ends is not None and all(offsets.get(partition, -1) >= end for partition, end in self.ends.items())

    def counts(self, partition: int, offset: int) -> bool:
        """Return whether a message counts; one that was written after the generation's end is in the next one as well."""
        return self.ends is None or offset < self.ends.get(partition, 0)


def generations_of_port(binding: Binding) -> tuple[PortGeneration, ...]:
    """Return all generations that are kept, oldest first; the last is the one that is bound."""
    begins: Mapping[int, int] | None = None
    passed = []
    for each in binding.continues:
        passed.append(PortGeneration(each.topic, begins, each.ends))
        begins = each.begins
    return (*passed, PortGeneration(binding.topic, begins, None))


class GenerationCursor:
    """The generation that a reader is in.

    Args:
        binding: the port's.
        committed: returns the offsets that the reader's group has committed in a topic; None for a reader without a group,
            which begins with the generation that is bound.

    Attributes:
        continued: whether the reader has read the generation before to its end.
    """

    def __init__(self, binding: Binding, committed: Callable[[str], Mapping[int, int]] | None) -> None:
        self._generations = generations_of_port(binding)
        self._index = len(self._generations) - 1
        self.continued = False
        if committed is not None:
            self._find(committed)

    def _find(self, committed: Callable[[str], Mapping[int, int]]) -> None:
        """Find the oldest generation in which the group has committed offsets and is not at the end."""
        for index, generation in enumerate(self._generations[:-1]):
            try:
                offsets = committed(generation.topic)
            except TopicError:
                offsets = {}  # its topic was retired after the binding was resolved
            if offsets and not generation.is_read(offsets):
                self._index = index
                return
            self.continued = bool(offsets)

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
        generations = generations_of_port(binding)
        topics = [each.topic for each in generations]
        if self.current.topic not in topics:
            raise KafkaError(
                f"{self.current.topic} was retired while it was read, and {binding.address} is bound to {binding.topic}",
                topic=self.current.topic,
                hint="begin there under a new group",
            )
        self._generations, self._index = generations, topics.index(self.current.topic)

    def advance(self) -> PortGeneration:
        """Move to the next generation, and return it."""
        self._index += 1
        self.continued = True
        return self.current

    def first_offset(self, partition: int) -> int | None:
        """Return the offset at which a reader of the generation before continues; None where it has not read that one."""
        begins = self.current.begins
        return begins.get(partition) if self.continued and begins is not None else None


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
