"""Removing an unused or retired product: its address and its id are free again."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, insert, or_, select, update

from meshport.catalog import Removal
from meshport.product import Status
from meshport_registry import tables
from meshport_registry.access.grants import forget_reader
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import Conflict
from meshport_registry.lifecycle import next_revision
from meshport_registry.lineage import readers
from meshport_registry.problems import forget_reports
from meshport_registry.products import descriptor_of, require_guid
from meshport_registry.replays import forget_jobs
from meshport_registry.subject_deletion import delete_subject
from meshport_registry.subjects import find_history

LAST_REMOVAL: Final = "last_removal"
"""The setting with the change counter of the last removal: a product that is gone has no row with a counter of its own."""

_LAST_REMOVAL: Final = select(tables.setting.c.value).where(tables.setting.c.name == LAST_REMOVAL)
_OF_PRODUCT: Final = (
    tables.generation, tables.binding, tables.tag, tables.waiver, tables.access_grant,
    tables.service_level, tables.service_level_history, tables.source_count, tables.port_profile,
    tables.line_observation, tables.seen_reader,
    tables.processor, tables.quarantine,
)  # fmt: skip


def last_removal(connection: Connection) -> int:
    """Return the change counter of the last removal; -1 where no product was removed yet."""
    return int(connection.execute(_LAST_REMOVAL).scalar() or -1)


def drop(connection: Connection, guid: str, wanted: Removal) -> None:
    """Remove a product with its bindings, waivers, generations and reports, and delete the versions of its subjects softly.

    Schemas stay readable by their ids. The registry does not see Kafka, so the caller names the topics that hold no event
    and that no consumer group reads.

    Args:
        connection: the writing transaction.
        guid: of the product.
        wanted: what the caller found unused.

    Raises:
        NotInMesh: the product is not registered.
        Conflict: a product reads it; or it is not retired, and a topic of it is not named as unused.
        ReferenceExists: a schema of another subject refers to one of its schemas.
    """
    row = require_guid(connection, guid)
    product = descriptor_of(row)
    if remaining := readers(connection, product.address):
        raise Conflict(
            f"{product.address} has {len(remaining)} reader(s): {', '.join(str(each.address) for each in remaining)}",
            findings=tuple(f"{each.address} reads {each.reads} (owner {each.owner})" for each in remaining),
            hint="move them to another product first, or retire them",
        )
    own = tables.binding.c
    lines = connection.execute(select(own.topic, own.subject_id).where(own.guid == guid)).all()
    used = sorted({each.topic for each in lines} - set(wanted.unused))
    if product.status is not Status.RETIRED and used:
        raise Conflict(
            f"{product.address} is {product.status}, and {', '.join(used)} may hold events or be read",
            findings=tuple(f"{topic} is not named as unused" for topic in used),
            hint="retire it first: deprecate it with a day, and retire it when its readers have left",
        )
    subjects = connection.execute(
        select(tables.subject.c.name).where(tables.subject.c.id.in_([each.subject_id for each in lines]))
    ).scalars()
    # The other writers of an adopted topic go on with its subject.
    others = {product.subject(port) for port in product.output_ports if port.adopted}
    names = [each for each in subjects if each not in others]
    forget_reports(connection, guid)
    forget_jobs(connection, guid)
    for table in _OF_PRODUCT:
        connection.execute(delete(table).where(table.c.guid == guid))
    forget_reader(connection, product.address.key)
    inputs = tables.input_port
    connection.execute(delete(inputs).where(or_(inputs.c.guid == guid, inputs.c.source_guid == guid)))
    connection.execute(delete(tables.product).where(tables.product.c.guid == guid))
    for name in names:
        if find_history(connection, name).live:
            delete_subject(connection, name, permanent=False)
    counter = str(next_revision(connection))
    summary = f"{product.address} is removed from the registry"
    record(connection, MeshChange.of_product(MeshChangeKind.DROPPED, row, product.address, summary))
    rows = tables.setting.c.name == LAST_REMOVAL
    if not connection.execute(update(tables.setting).where(rows).values(value=counter)).rowcount:
        connection.execute(insert(tables.setting).values(name=LAST_REMOVAL, value=counter))
