"""A source with what the registry adds: readers of other projects, and waivers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from meshport.address import Address
from meshport.errors import NotRegistered
from meshport.gate.before import Before, Line, PastSource
from meshport.registry import Registry


@dataclass
class JoinedSource:
    """A source whose readers and waivers include the registry's.

    Attributes:
        source: what candidates are compared with.
        registry: the registry that adds readers and waivers.
        notes: see `PastSource`.
    """

    source: PastSource
    registry: Registry
    notes: Sequence[str] = field(default_factory=list)

    def describe(self) -> str:
        """See `PastSource`."""
        return f"{self.source.describe()}, with the readers and waivers of {self.registry.url}"

    def known(self) -> Collection[str]:
        """See `PastSource`."""
        return self.source.known()

    def differing(self) -> Collection[str] | None:
        """See `PastSource`."""
        return self.source.differing()

    def product_with_id(self, id_: UUID) -> str | None:
        """See `PastSource`."""
        return self.source.product_with_id(id_)

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `PastSource`."""
        found = {key: self._joined(key, before) for key, before in self.source.before(addresses).items()}
        self.notes = self.source.notes
        return found

    def _joined(self, key: str, before: Before) -> Before:
        try:
            answer = self.registry.past(key)
        except NotRegistered:
            return before
        known = {(each.port.name, each.port.major): each for each in answer.ports}
        pasts = {}
        for line, past in before.pasts.items():
            if line in known:
                here = {each.address for each in past.readers}
                others = tuple(each for each in known[line].readers if each.address not in here)
                past = replace(  # noqa: PLW2901
                    past,
                    readers=(*past.readers, *others),
                    waivers=known[line].waivers,
                    undeclared=known[line].undeclared,
                )
            pasts[line] = past
        retired: frozenset[Line] = before.retired | {line for line, each in known.items() if line not in before.pasts}
        return Before(pasts, retired)
