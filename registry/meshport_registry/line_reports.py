"""The newest report of an observer on each line: one table for each kind of report, with the report as JSON."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import Connection, Table, delete, insert, select

from meshport.address import Address
from meshport.binding import Binding
from meshport_registry.products import DefaultCluster, bindings_of, choose_binding, require_address

Report = TypeVar("Report", bound=BaseModel)


def line_of(connection: Connection, address: Address) -> tuple[str, Binding]:
    """Return the GUID of a product and the binding of its line; without a major it is the live one.

    Raises:
        NotInMesh: the mesh has no such port.
    """
    row = require_address(connection, address)
    return row.guid, choose_binding(bindings_of(connection, row, DefaultCluster()), address)


class LineReports(Generic[Report]):
    """The reports of one kind.

    Args:
        table: with the columns guid, port, major, and the report's.
        column: that has the report as JSON.
        model: of the report.
    """

    def __init__(self, table: Table, column: str, model: type[Report]) -> None:
        self._table = table
        self._column = column
        self._model = model

    def find(self, connection: Connection, guid: str, binding: Binding) -> Report | None:
        """Return the report of a line; None where there is none."""
        own = self._table.c
        query = select(own[self._column]).where(
            own.guid == guid, own.port == binding.address.port, own.major == binding.address.major
        )
        text = connection.execute(query).scalar_one_or_none()
        return None if text is None else self._model.model_validate_json(text)

    def replace(self, connection: Connection, guid: str, binding: Binding, report: Report) -> None:
        """Keep a report in place of the one that the line had, in the writing transaction."""
        own, key = self._table.c, {"guid": guid, "port": binding.address.port, "major": binding.address.major}
        connection.execute(delete(self._table).where(*(own[name] == value for name, value in key.items())))
        connection.execute(insert(self._table), key | {self._column: report.model_dump_json()})
