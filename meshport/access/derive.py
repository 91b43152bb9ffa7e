"""Derives the ACLs of a mesh: what its products' processes need, and whom the owners of ports let read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from meshport.access.mesh_ports import BoundPort, MeshPorts
from meshport.access.principals import Principals, caller_name
from meshport.access.rights import processor_acls, reader_acls, writer_acls
from meshport.address import Address
from meshport.kafka.acls import Acl
from meshport.product import Product

__all__ = ["MayRead", "Rights", "combined", "product_rights", "reader_rights"]

Rights = Mapping[str | None, Mapping[Acl, str]]
"""ACLs by the name of their cluster, None for the default one; each with what it is for."""

MayRead = Callable[[Product, Address], bool]
"""Whether a product may read a port of another: a policy, a grant, or that it declares it."""

_NOTHING: Final[Mapping[Acl, str]] = {}


def product_rights(product: Product, ports: MeshPorts, principals: Principals, may_read: MayRead) -> Rights:
    """Return what the process of a product needs: to write its outputs, and to read its inputs, so far as it may.

    Args:
        product: the product.
        ports: of the mesh.
        principals: of the clusters.
        may_read: asked for each input port.
    """
    caller = caller_name(product.address)
    principal = principals.of(caller)
    written = [_written(product, each, principal) for each in ports.of_product(product.address)]
    read = [
        reader_rights(caller, port, principals)
        for each in product.input_ports
        if may_read(product, each.address)
        for port in ports.read_by(each.address)
    ]
    return combined([*written, *read])


def reader_rights(caller: str, port: BoundPort, principals: Principals) -> Rights:
    """Return what a reader of a port needs.

    Args:
        caller: `domain/product`, or a person's name.
        port: the port.
        principals: of its cluster.
    """
    acls = reader_acls(principals.of(caller), caller, port.topics)
    return {port.cluster: dict.fromkeys(acls, f"{caller} reads {port.address}")}


def combined(rights: Iterable[Rights]) -> Rights:
    """Return several rights as one; an ACL that is for several things keeps the first."""
    found: dict[str | None, dict[Acl, str]] = {}
    for each in rights:
        for cluster, acls in each.items():
            found[cluster] = {**acls, **found.get(cluster, _NOTHING)}
    return found


def _written(product: Product, port: BoundPort, principal: str) -> Rights:
    if product.process is not None and port.address.port == product.default_port.name:
        because = f"{caller_name(product.address)} builds {port.address}"
        return {port.cluster: dict.fromkeys(processor_acls(principal, [port.topic], port.topics), because)}
    because = f"{caller_name(product.address)} publishes to {port.address}"
    return {port.cluster: dict.fromkeys(writer_acls(principal, port.topics), because)}
