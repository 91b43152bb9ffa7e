"""The ACLs that were created for grants: what `meshport access enforce` may delete again.

Kafka's ACLs have no end and no note of who made them, so that this table alone sets them
apart from those of administrators.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, and_, delete, insert, select

from meshport.grants import AclChange, GrantedAcl
from meshport_registry import tables

_OWN: Final = tables.granted_acl.c
_FIELDS: Final = ("principal", "operation", "resource", "name", "pattern")


def granted_acls(connection: Connection) -> tuple[GrantedAcl, ...]:
    """Return the ACLs that were created for grants and are not deleted, oldest first."""
    return tuple(
        GrantedAcl(cluster=row.cluster or None, **{name: getattr(row, name) for name in _FIELDS})
        for row in connection.execute(select(tables.granted_acl).order_by(_OWN.id))
    )


def note(connection: Connection, change: AclChange) -> None:
    """Note ACLs that are about to be created for grants, and forget such that no longer stand for one."""
    known = set(granted_acls(connection))
    if new := [each for each in dict.fromkeys(change.added) if each not in known]:
        connection.execute(insert(tables.granted_acl), [_values(each) for each in new])
    for each in change.removed:
        rows = and_(*(_OWN[name] == value for name, value in _values(each).items()))
        connection.execute(delete(tables.granted_acl).where(rows))


def _values(acl: GrantedAcl) -> dict[str, Any]:
    return {"cluster": acl.cluster or "", **{name: getattr(acl, name) for name in _FIELDS}}
