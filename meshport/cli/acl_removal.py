"""The ACLs that end with a product that is dropped."""

from __future__ import annotations

from meshport.access import Acl
from meshport.access.enforcement import NOT_ALLOWED, summary
from meshport.binding import RegisteredProduct
from meshport.cli.acls import MeshAcls
from meshport.errors import KafkaError, UnknownCluster


class AclRemoval:
    """What `meshport drop` removes of a product: the ACLs that `apply` derived for its process; see `MeshAcls.of_dropped`.

    Args:
        acls: of the mesh, in which the product is registered.
        product: the product.

    Attributes:
        acls: those that are there, sorted.

    Raises:
        KafkaError: a cluster did not answer.
        RegistryUnavailable: the registry did not answer.
    """

    def __init__(self, acls: MeshAcls, product: RegisteredProduct) -> None:
        self._mesh = acls
        self._found: dict[str | None, list[Acl]] = {}
        self._left: list[str] = []
        try:
            self._found = acls.of_dropped(product.descriptor)
        except KafkaError as error:
            if not isinstance(error, UnknownCluster) and error.code != NOT_ALLOWED:
                raise
            self._left.append(f"ACLs are left as they are: {error.message}")
        self.acls = sorted(acl for acls in self._found.values() for acl in acls)

    def lines(self) -> list[str]:
        """Return what ends, and what is left, for people."""
        return [*(f"no longer let {each}" for each in summary(self.acls)), *self._left]

    def carry_out(self) -> None:
        """Delete the ACLs.

        Raises:
            KafkaError: a cluster did not delete one.
        """
        for cluster, acls in self._found.items():
            self._mesh.acls_of(cluster).delete(acls)
