"""Administration of a cluster on one machine, which has fewer brokers than the one for which a product declares its replicas."""

from __future__ import annotations

from meshport.kafka.admin import Admin


class OneMachineAdmin(Admin):
    """An admin client that gives topics no more replicas than there are brokers, and asks for no more of them in sync."""

    makes_adopted = True  # a stand-in for the topic that others make on their cluster

    def replicas(self, declared: int | None) -> int:
        """Return how many replicas a new topic gets: as declared, but at most one on each broker."""
        return min(super().replicas(declared), self.brokers())

    def in_sync_replicas(self, declared: int, replicas: int) -> int:
        """Return how many replicas have to store an event: as declared, but at most all of them."""
        return min(declared, replicas)
