"""The readers of a port as the brokers see them: consumer groups, declared or not, and declared readers that read nothing.

A product's processor reads in a group of a known name; any other group is a reader that no product declares. Kafka keeps the
offsets of a group for a week after its last member left: a declared reader without a group has read nothing for that long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from meshport.address import Address
from meshport.catalog import Reader
from meshport.observe.lag import GroupLags, PartitionLag, total_of

__all__ = ["ObservedReader", "observed_readers"]


@dataclass(frozen=True)
class ObservedReader:
    """One reader of a port.

    Attributes:
        product: the product whose processor it is; None for a group that no product declares.
        group: the consumer group; None for a declared reader that has none.
        state: of the group, by Kafka's word; None without a group.
        clients: the client ids of its members.
        unread: how many events it has not read, or offsets where they are many; None where only its members know.
        waits_s: for how many seconds the oldest of these has waited; None where that is not known.
    """

    product: Address | None
    group: str | None
    state: str | None = None
    clients: tuple[str, ...] = ()
    unread: int | None = None
    waits_s: float | None = None

    @property
    def is_live(self) -> bool:
        """Whether the group has members."""
        return bool(self.clients)

    @property
    def is_declared(self) -> bool:
        """Whether a product declares it."""
        return self.product is not None

    def as_dict(self) -> dict[str, Any]:
        """Return the reader as JSON data."""
        return {
            "product": None if self.product is None else str(self.product),
            "group": self.group,
            "declared": self.is_declared,
            "live": self.is_live,
            "state": self.state,
            "clients": list(self.clients),
            "unread": self.unread,
            "waits_s": None if self.waits_s is None else round(self.waits_s, 3),
        }


def observed_readers(
    lags: GroupLags, topics: Collection[str], declared: Iterable[Reader], processors: Mapping[str, Address]
) -> list[ObservedReader]:
    """Return the readers of some topics of a cluster: those of products first, then other groups, each by name.

    Args:
        lags: the lags of the cluster's groups.
        topics: the topics of a port.
        declared: the products that declare to read it.
        processors: the products by the group of their processor.

    Raises:
        KafkaError: the cluster did not answer.
    """
    found = [
        _reader(group, list(own), processors.get(group))
        for group, own in groupby(lags.look(topics=topics), key=lambda lag: lag.group)
    ]
    seen = {each.product for each in found}
    found += [ObservedReader(each.address, None) for each in declared if each.address not in seen]
    return sorted(found, key=lambda each: (each.product is None, str(each.product), each.group or ""))


def _reader(group: str, lags: list[PartitionLag], product: Address | None) -> ObservedReader:
    known = [each for each in lags if each.unread is not None]
    seconds = [each.seconds for each in known if each.seconds is not None]
    return ObservedReader(
        product,
        group,
        lags[0].state,
        tuple(sorted({each.member.client for each in lags if each.member is not None})),
        total_of(known).events if known else None,
        max(seconds, default=None),
    )
