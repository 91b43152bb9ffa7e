"""What the events of ports look like, as the observer reported it last. The registry itself reads no Kafka."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection

from meshport.address import Address
from meshport.port_profile import PortProfile
from meshport_registry import tables
from meshport_registry.errors import NotInMesh, RequestRefused
from meshport_registry.line_reports import LineReports, line_of

_REPORTS: Final = LineReports(tables.port_profile, "profile", PortProfile)


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
    guid, binding = line_of(connection, address)
    if profile.address != binding.address:
        raise RequestRefused(f"the profile is of {profile.address}, and {binding.address} is named")
    before = _REPORTS.find(connection, guid, binding)
    if before is not None and before.taken_at >= profile.taken_at:
        return before
    _REPORTS.replace(connection, guid, binding, profile)
    return profile


def find_profile(connection: Connection, address: Address) -> PortProfile | None:
    """Return the profile of a port; None where no observer reported one.

    Args:
        connection: to the database.
        address: of a product, a port, or a line of a port; without a major it is the live one.

    Raises:
        NotInMesh: the mesh has no such port.
    """
    return _REPORTS.find(connection, *line_of(connection, address))


def require_profile(connection: Connection, address: Address) -> PortProfile:
    """Return the profile of a port.

    Raises:
        NotInMesh: the mesh has no such port, or no observer reported a profile of it.
    """
    found = find_profile(connection, address)
    if found is None:
        raise NotInMesh(f"no observer reported a profile of {address}", hint="`meshport observe` does")
    return found
