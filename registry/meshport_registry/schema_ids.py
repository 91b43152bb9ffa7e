"""Ids of schemas: the sequence of this registry, and ids that are imported from another one.

An id is on Kafka for as long as its records are, so the id of a new schema must be one that no record carries yet. The
sequence is a row of the table `setting`, not the highest id plus one: one import of the highest id there is would then
end all registrations. An import raises the sequence only up to `IMPORT_CEILING`, which leaves a thousand million ids; an id above
it stays where it is, and the sequence passes over it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Connection, Text, bindparam, case, cast, exists, func, select, update

from meshport_registry import tables
from meshport_registry.errors import NotPermitted
from meshport_registry.values import MAX_INT

IMPORT_CEILING: Final = 2**30
"""The highest imported number after which new ones follow; half of the numbers that there are."""

_SETTING: Final = tables.setting
_LAST: Final = cast(_SETTING.c.value, BigInteger)
_TAKEN: Final = tables.schema.alias("taken")
_FOLLOWING: Final = tables.schema.alias("following")
_END_OF_TAKEN: Final = (
    select(func.min(_TAKEN.c.id) + 1)
    .where(_TAKEN.c.id > _LAST, ~exists().where(_FOLLOWING.c.id == _TAKEN.c.id + 1))
    .correlate(_SETTING)
    .scalar_subquery()
)
_NEXT: Final = (
    update(_SETTING)
    .where(_SETTING.c.name == "schema_id")
    .values(
        value=cast(
            case((exists().where(_TAKEN.c.id == _LAST + 1).correlate(_SETTING), _END_OF_TAKEN), else_=_LAST + 1), Text
        )
    )
    .returning(_SETTING.c.value)
)
_RAISE: Final = (
    update(_SETTING)
    .where(_SETTING.c.name == "schema_id", bindparam("imported") > _LAST)
    .values(value=cast(bindparam("imported", type_=BigInteger), Text))
)


def next_id(connection: Connection) -> int:
    """Return the id of a new schema: the lowest free one above the sequence, which it raises.

    Args:
        connection: a writing transaction, so that no other writer can take the same id.

    Raises:
        NotPermitted: every id above the sequence is taken.
    """
    number = int(connection.execute(_NEXT).scalar_one())
    if number > MAX_INT:
        raise NotPermitted(f"the registry has no schema id left; the last one is {MAX_INT}")
    return number


def follow_import(connection: Connection, imported: int) -> None:
    """Let the ids of new schemas follow an imported id, unless it is above `IMPORT_CEILING`.

    A record may name a schema that was deleted where the id comes from, so new schemas do not fill the gaps below.

    Args:
        connection: the writing transaction.
        imported: the id.
    """
    if imported <= IMPORT_CEILING:
        connection.execute(_RAISE, {"imported": imported})


def skip_ids(connection: Connection, number: int) -> None:
    """Leave out the next ids of the sequence.

    Args:
        connection: the writing transaction.
        number: how many.
    """
    connection.execute(update(_SETTING).where(_SETTING.c.name == "schema_id").values(value=cast(_LAST + number, Text)))
