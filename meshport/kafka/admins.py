"""The admin clients of a mesh's clusters."""

from __future__ import annotations

from collections.abc import Callable

from meshport.binding import Binding
from meshport.errors import UnknownCluster
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import KafkaConfig


class ClusterAdmins:
    """Makes an admin client of each cluster when it is first needed.

    Args:
        kafka: the connections to the clusters.
        make: makes the admin client of a cluster.

    Attributes:
        kafka: the connections to the clusters.
    """

    def __init__(self, kafka: KafkaAccess, make: Callable[[KafkaConfig], Admin] = Admin) -> None:
        self.kafka = kafka
        self._make = make
        self._admins: dict[KafkaConfig, Admin] = {}

    def of(self, cluster: str | None) -> Admin:
        """Return the admin client of a cluster by its name; of the default cluster for None.

        Raises:
            UnknownCluster: no connection to the cluster is known.
        """
        config = self.kafka.cluster(cluster)
        if not config.bootstrap_servers:
            raise UnknownCluster(
                f"no bootstrap servers are known of the Kafka cluster {cluster}"
                if cluster
                else "no bootstrap servers are known of the default Kafka cluster",
                cluster=cluster,
                hint=f"[clusters.{cluster}] in meshport.toml gives them" if cluster else "--kafka HOST:PORT names them",
            )
        return self._admin(config)

    def to(self, binding: Binding) -> Admin:
        """Return the admin client of the cluster that a binding names.

        Raises:
            UnknownCluster: no connection to the cluster is known.
        """
        return self._admin(self.kafka.to(binding))

    def _admin(self, config: KafkaConfig) -> Admin:
        if config not in self._admins:
            self._admins[config] = self._make(config)
        return self._admins[config]
