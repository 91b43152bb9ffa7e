"""What the events of ports look like, as the observer reported it last. The registry itself reads no Kafka."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from meshport.address import Address
from meshport.binding import Binding
from meshport.port_profile import PortProfile
from meshport_registry import tables
from meshport_registry.errors import NotInMesh, RequestRefused
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address

_OWN = tables.port_profile.c


def keep_profile(connection: Connection, address: Address, profile: PortProfile) -> PortProfile:
    """Keep a profile in place of an older one of its line, and return the one that is kept.

    Args:
        connection: the writing transaction.
        address: of the port; without a major it is the live one.
        profile: as the observer reports it.

    Raises:
        NotInMesh: the mesh has no such port.
        RequestRefused: the profile is of another port.
    """
    guid, binding = _line(connection, address)
    if profile.address != binding.address:
        raise RequestRefused(f"the profile is of {profile.address}, and {binding.address} is named")
    before = _kept(connection, guid, binding)
    if before is not None and before.taken_at >= profile.taken_at:
        return before
    line = (_OWN.guid == guid) & (_OWN.port == binding.address.port) & (_OWN.major == binding.address.major)
    connection.execute(delete(tables.port_profile).where(line))
    key = {"guid": guid, "port": binding.address.port, "major": binding.address.major}
    connection.execute(insert(tables.port_profile), key | {"profile": profile.model_dump_json()})
    return profile


def find_profile(connection: Connection, address: Address) -> PortProfile | None:
    """Return the profile of a port; None where no observer reported one.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port; without a major it is the live one.

    Raises:
        NotInMesh: the mesh has no such port.
    """
    return _kept(connection, *_line(connection, address))


def require_profile(connection: Connection, address: Address) -> PortProfile:
    """Return the profile of a port.

    Raises:
        NotInMesh: the mesh has no such port, or no observer reported a profile of it.
    """
    found = find_profile(connection, address)
    if found is None:
        raise NotInMesh(f"no observer reported a profile of {address}", hint="`meshport observe` does")
    return found


def _line(connection: Connection, address: Address) -> tuple[str, Binding]:
    row = require_address(connection, address)
    return row.guid, choose_binding(bindings_of(connection, row, DefaultCluster()), address)


def _kept(connection: Connection, guid: str, binding: Binding) -> PortProfile | None:
    text = connection.execute(
        select(_OWN.profile).where(
            _OWN.guid == guid, _OWN.port == binding.address.port, _OWN.major == binding.address.major
        )
    ).scalar_one_or_none()
    return None if text is None else PortProfile.model_validate_json(text)
