"""The protocol by which ports and processors resolve addresses, and how a subscriber names itself to the registry."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from meshport.address import Address
from meshport.binding import Binding
from meshport.kafka.config import KafkaConfig
from meshport.schema import Schema
from meshport.seen_readers import SubscriberName


class Resolver(Protocol):
    """Resolves addresses to bindings; `meshport.registry.Registry` is the one that asks the registry service."""

    def resolve(self, address: Address) -> Binding:
        """Return the present binding of the address.

        Raises:
            NotRegistered: no product is registered at the address.
            RegistryUnavailable: the registry did not answer.
        """
        ...


@runtime_checkable
class NamedResolver(Protocol):
    """Resolves addresses for a subscriber that names itself, as `meshport.registry.Registry` does."""

    def resolve_as(self, address: Address, reader: SubscriberName) -> Binding:
        """Return the present binding of the address, and let the registry know who reads it; raises as `Resolver.resolve`."""
        ...


class SubscriberResolver:
    """Resolves addresses for a subscriber, which names itself where the resolver can pass that on.

    Args:
        resolver: a registry.
        reader: the subscriber.
    """

    def __init__(self, resolver: Resolver, reader: SubscriberName) -> None:
        self._resolver = resolver
        self._reader = reader

    def resolve(self, address: Address) -> Binding:
        """See `Resolver.resolve`."""
        if isinstance(self._resolver, NamedResolver):
            return self._resolver.resolve_as(address, self._reader)
        return self._resolver.resolve(address)


def subscriber_resolver(
    resolver: Resolver, group: str | None, reader: Schema | None, kafka: KafkaConfig | None = None
) -> SubscriberResolver:
    """Return the resolver of a subscriber.

    Args:
        resolver: a registry.
        group: its consumer group.
        reader: the schema that it reads with.
        kafka: its connection, whose `client.id` names a subscriber without a group.
    """
    client = kafka.properties.get("client.id") if kafka is not None and group is None else None
    fields = tuple(reader.field_names) if reader is not None else ()
    return SubscriberResolver(resolver, SubscriberName(group=group, client=client, fields=fields))
