"""The lines of a product's ports, of which a page shows one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from meshport.address import Address
from meshport_registry.products import DefaultCluster, bindings_of, require_address


class LineChoice(BaseModel):
    """A line that a page can show.

    Attributes:
        port: its name.
        major: of its contract.
        status: of the line.
        shown: whether the page shows it.
    """

    model_config = ConfigDict(frozen=True)

    port: str
    major: int
    status: str
    shown: bool


def lines_to_choose(connection: Connection, product: Address, shown: Address) -> tuple[LineChoice, ...]:
    """Return every line that a product has or had, those of its descriptor first.

    Args:
        connection: to the database.
        product: its address; a port in it does not count.
        shown: the line that the page shows, with port and major.

    Raises:
        NotInMesh: the product is not registered.
    """
    return tuple(
        LineChoice(
            port=each.address.port or "",
            major=each.address.major or 0,
            status=each.status,
            shown=each.address == shown,
        )
        for each in bindings_of(connection, require_address(connection, product), DefaultCluster())
    )
