"""The rule that a processor reads and writes one Kafka cluster, since a transaction of Kafka cannot span two."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshport.address import Address
from meshport.errors import ProcessError


@dataclass(frozen=True, slots=True)
class PortCluster:
    """The Kafka cluster of a port, as far as it is known.

    Attributes:
        name: the cluster's name; None for the default cluster.
        servers: its bootstrap servers; "" where they are not known.
    """

    name: str | None = None
    servers: str = ""

    def __str__(self) -> str:
        named = f"the cluster {self.name}" if self.name else "the default cluster"
        return f"{named} ({self.servers})" if self.servers else named

    def is_other_than(self, other: PortCluster) -> bool:
        """Whether both are known to be different clusters; one with a name and one without are compared by their servers."""
        if self.name is None or other.name is None:
            known = self.name != other.name and self.servers and other.servers
            return bool(known) and self.servers != other.servers
        return self.name != other.name


DEFAULT_CLUSTER: Final = PortCluster()


def refuse_other_clusters(output: Address, cluster: PortCluster, inputs: Mapping[Address, PortCluster]) -> None:
    """Refuse a processor that would read from another cluster than the one that it writes to.

    Args:
        output: the port that it builds.
        cluster: of the output.
        inputs: the clusters of all ports that it reads, by address.

    Raises:
        ProcessError: an input is on another cluster.
    """
    for address, read in inputs.items():
        if not read.is_other_than(cluster):
            continue
        if not any(each.is_other_than(read) for each in inputs.values()):
            declare = f"declare `cluster: {read.name}`" if read.name else "leave `cluster` out"
            hint = f"{declare} at {output.key}, whose readers may be on any cluster; or"
        else:
            hint = "bring all of its inputs to one cluster:"
        raise ProcessError(
            f"{output} is on {cluster}, and reads {address} from {read}: a processor commits what it has read and what it has "
            "written in one transaction, and Kafka's transactions do not span clusters",
            address=str(output),
            hint=f"{hint} copy {address.key} (with MirrorMaker 2, say) to a product on {cluster}, and read that",
        )
