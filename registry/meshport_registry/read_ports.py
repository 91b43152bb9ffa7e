"""Registered ports in the form from which is derived what their readers read."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, select

from meshport.address import Address
from meshport.binding import Binding
from meshport.process.logic.declared_reads import ReadPort
from meshport.schema import Schema
from meshport_registry import tables

_COMPACT = "compact"


def read_port(binding: Binding, bindings: Sequence[Binding]) -> ReadPort:
    """Return a port as its readers know it.

    Args:
        binding: of the port.
        bindings: all of its product, the default port's first.
    """
    return ReadPort(
        binding.address,
        Schema(binding.schema_text),
        binding.key,
        binding.time,
        binding.cleanup == _COMPACT,
        binding.address.port == bindings[0].address.port,
    )


def read_ports(connection: Connection, guids: Collection[str]) -> dict[str, list[ReadPort]]:
    """Return every port and major of some products, by GUID, in one query."""
    own, product, schema = tables.binding.c, tables.product.c, tables.schema.c
    rows = connection.execute(
        select(
            own.guid, own.port, own.major, own.key, own.time, own.cleanup, product.domain, product.name,
            schema.text, schema.resolved,
        )
        .join(tables.product, product.guid == own.guid)
        .join(tables.schema, schema.id == own.schema_id)
        .where(own.guid.in_(guids))
        .order_by(own.guid, own.position)
    )  # fmt: skip
    found: dict[str, list[ReadPort]] = {}
    for row in rows:
        ports = found.setdefault(row.guid, [])
        ports.append(
            ReadPort(
                Address(row.domain, row.name, row.port, row.major),
                Schema(row.resolved or row.text),
                tuple(json.loads(row.key)),
                row.time,
                row.cleanup == _COMPACT,
                not ports or row.port == ports[0].address.port,
            )
        )
    return found
