"""What the retirement of a product would meet, as the registry knows it, for the form that retires it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from meshport.address import Address
from meshport.binding import Binding
from meshport.catalog import Reader
from meshport.errors import AddressError
from meshport.grants import Grant, GrantState
from meshport.product import Status
from meshport.product.input_port import AddressText
from meshport.seen_readers import ReaderState, SeenReader
from meshport_registry.errors import InvalidRequest
from meshport_registry.lineage import lineage, readers
from meshport_registry.seen_readers.known import readers_seen

_FORCED = "force:"


class RetirementPlan(BaseModel):
    """What a retirement would meet. Records are known to the brokers alone: `meshport retire --plan`.

    Attributes:
        lines: of the product that are not retired.
        readers: the products that read it, which prevent the retirement unless each is forced.
        downstream: the products that are made from what those write.
        granted: the readers that are no products and have a grant in force.
        seen: the readers that are not declared, and were seen in the last 30 days.
    """

    model_config = ConfigDict(frozen=True)

    lines: tuple[AddressText, ...]
    readers: tuple[Reader, ...]
    downstream: tuple[AddressText, ...]
    granted: tuple[str, ...]
    seen: tuple[SeenReader, ...]


def retirement_plan(
    connection: Connection, address: Address, bindings: Sequence[Binding], grants: Iterable[Grant]
) -> RetirementPlan:
    """Return what the retirement of a product would meet.

    Args:
        connection: to the database.
        address: of the product.
        bindings: of the product.
        grants: all of the product.
    """
    reading = readers(connection, address)
    direct = {each.address.of_product for each in reading}
    further = {each.address for each in lineage(connection, address).nodes if each.distance > 0} - direct
    in_force = {each.reader for each in grants if each.state is GrantState.GRANTED}
    return RetirementPlan(
        lines=tuple(each.address for each in bindings if each.status is not Status.RETIRED),
        readers=reading,
        downstream=tuple(sorted(further)),
        granted=tuple(sorted(in_force - {each.key for each in direct})),
        seen=tuple(
            each
            for line in readers_seen(connection, address)
            for each in line.readers
            if not each.declared and each.state is ReaderState.SEEN
        ),
    )


def forced_readers(fields: Mapping[str, str]) -> list[Address]:
    """Return the readers that a form names as such that do not prevent the retirement: the fields `force:<address>`."""
    return [_address(name.removeprefix(_FORCED)) for name in fields if name.startswith(_FORCED)]


def retired_address(address: Address, fields: Mapping[str, str]) -> Address:
    """Return what a form retires, a product or the line in its field `line`, once its address was typed.

    Args:
        address: of the product.
        fields: of the form.

    Raises:
        InvalidRequest: the address that was typed is another one, or the line is none.
    """
    wanted = address
    if line := fields.get("line"):
        wanted = _address(f"{address}/{line}")
    typed = fields.get("confirm", "")
    if _parsed(typed) != wanted:
        raise InvalidRequest(
            f"{wanted} is not retired: {typed[:80]!r}, which should confirm it, is another address",
            hint=f"type {wanted} into the field above the button",
        )
    return wanted


def _address(text: str) -> Address:
    found = _parsed(text)
    if found is None:
        raise InvalidRequest(f"{text[:80]!r} is no address", hint="reload the page, and send its form again")
    return found


def _parsed(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None
