"""The topic of a new generation: the settings of the live one, and the replicas that the port declares."""

from __future__ import annotations

from meshport.binding import Binding
from meshport.kafka.admin import Admin
from meshport.kafka.topic import Topic
from meshport.product import OutputPort, Product
from meshport.product.topic_settings import IN_SYNC


def declared_port(product: Product, live: Binding) -> OutputPort | None:
    """Return the entry of the port that a binding is of; None where the product declares it no more."""
    return product.port(live.address.port or "", live.address.major or 1)


def make_generation_topic(admin: Admin, name: str, partitions: int, live: Topic, port: OutputPort | None) -> bool:
    """Create the topic of a new generation, unless it exists; return whether it was created.

    Args:
        admin: of the cluster.
        name: of the topic.
        partitions: how many it has.
        live: the topic of the live generation, whose settings it gets.
        port: the declared entry: of the live topic's replicas Kafka changes the number by a reassignment alone, while a new
            generation has as many as are declared, where the cluster has as many brokers.

    Raises:
        TopicError: the topic exists with another number of partitions, or could not be created.
    """
    replicas = admin.replicas(port.replication_factor if port else None)
    if replicas > live.replication:
        replicas = max(live.replication, min(replicas, admin.brokers()))
    settings = dict(live.config)
    if replicas != live.replication:
        settings.pop(IN_SYNC, None)
        if declared := (port.config or {}).get(IN_SYNC) if port else None:
            settings[IN_SYNC] = str(min(int(declared), replicas))
    return admin.ensure_topic(name, partitions, settings, replicas=replicas)
