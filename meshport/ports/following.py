"""The way of a reader through the generations of a port: each is read to its end, then the next from where it goes on.

A re-binding says for each partition where the old generation ends and where the new one goes on, with the same outputs
on either side (`meshport.binding.Continuation`). A group moves as a whole once all of its places are at the end, so that
no partition is read in two generations at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import KafkaError, NotRegistered, RegistryUnavailable, TopicError
from meshport.ports.resolver import Resolver

LOOK_S: Final = 5.0
"""How often a reader asks whether its address was bound anew."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One generation on the way.

    Attributes:
        topic: what is read.
        begins: by partition, where those begin who come from the generation before; None for the oldest that is kept.
        ends: by partition, the offset behind the last event that counts; None for the generation that is bound.
    """

    topic: str
    begins: Mapping[int, int] | None
    ends: Mapping[int, int] | None

    def is_read(self, places: Mapping[int, int]) -> bool:
        """Whether these places are at the end of all partitions; never where there is no end yet."""
        return self.ends is not None and all(places.get(partition, -1) >= end for partition, end in self.ends.items())

    def counts(self, partition: int, offset: int) -> bool:
        """Whether a message is one of this generation; what was written behind its end is in the next one as well."""
        return self.ends is None or offset < self.ends.get(partition, 0)


def legs_of(binding: Binding) -> tuple[Leg, ...]:
    """All generations that are kept, oldest first; the last is the one that is bound."""
    begins: Mapping[int, int] | None = None
    legs = []
    for each in binding.continues:
        legs.append(Leg(each.topic, begins, each.ends))
        begins = each.begins
    return (*legs, Leg(binding.topic, begins, None))


class Way:
    """Where a reader is on its way.

    Args:
        binding: of the port.
        places: a group's recorded places in a topic; None for a reader without a group, which begins with what is bound.

    Attributes:
        leg: what is read now.
        came: whether the reader has read the generation before to its end.
    """

    def __init__(self, binding: Binding, places: Callable[[str], Mapping[int, int]] | None) -> None:
        self._legs = legs_of(binding)
        self._at = len(self._legs) - 1
        self.came = False
        if places is not None:
            self._find(places)

    def _find(self, places: Callable[[str], Mapping[int, int]]) -> None:
        """The oldest generation in which the group has a place and is not at the end."""
        for number, leg in enumerate(self._legs[:-1]):
            try:
                known = places(leg.topic)
            except TopicError:
                known = {}  # it is being retired just now
            if known and not leg.is_read(known):
                self._at = number
                return
            self.came = bool(known)

    @property
    def leg(self) -> Leg:
        """What is read now."""
        return self._legs[self._at]

    def lengthen(self, binding: Binding) -> None:
        """Take note of a re-binding.

        Raises:
            KafkaError: the generation that is being read was retired; what it would have led to is not known any more.
        """
        legs = legs_of(binding)
        at = next((number for number, leg in enumerate(legs) if leg.topic == self.leg.topic), None)
        if at is None:
            raise KafkaError(
                f"{self.leg.topic} was retired while it was read, and {binding.address} is bound to {binding.topic}",
                topic=self.leg.topic,
                hint="begin there under a new group",
            )
        self._legs, self._at = legs, at

    def go_on(self) -> Leg:
        """Move to the next generation."""
        self._at += 1
        self.came = True
        return self.leg

    def begin(self, partition: int) -> int | None:
        """Where a partition begins for who has read the generation before; None for who has not."""
        return self.leg.begins.get(partition) if self.came and self.leg.begins is not None else None


class Watch:
    """Asks a registry in the background what an address is bound to, so that reading never waits for an answer.

    Args:
        address: with its major.
        resolver: a registry.
        look_s: seconds between two questions.

    Attributes:
        found: the newest answer.
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
            except (RegistryUnavailable, NotRegistered):
                continue  # what is read goes on to be

    def close(self) -> None:
        """Ask no more."""
        self._done.set()
