"""The applied policies: the newest row of the mesh and of each domain decides; the rows before it are the history."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select

from meshport.catalog import AppliedPolicies, PoliciesOfScope
from meshport.errors import PolicyError
from meshport.policy import PolicySet, PolicyText
from meshport_registry import tables
from meshport_registry.changes.change import MESH, MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.lifecycle import next_revision
from meshport_registry.store import instant, now_us

_OWN: Final = tables.policies.c
_NUMBER: Final = select(func.max(_OWN.number))
_NEWEST: Final = (
    select(tables.policies)
    .where(_OWN.number.in_(select(func.max(_OWN.number)).group_by(_OWN.domain)))
    .order_by(_OWN.number)
)
_HISTORY: Final = select(tables.policies).order_by(_OWN.number.desc())
_GLOBAL_FILE: Final = re.compile(r"policies/[\w.-]{1,100}\.cedar", re.ASCII)


def newest_number(connection: Connection) -> int | None:
    """Return the number of the newest applied policies; None if none were applied."""
    return connection.execute(_NUMBER).scalar()


def applied_set(connection: Connection) -> PolicySet:
    """Return the policies that decide."""
    return PolicySet(_texts(connection))


def _texts(connection: Connection) -> list[PolicyText]:
    return [
        PolicyText(name, text, row.domain or None)
        for row in connection.execute(_NEWEST)
        for name, text in json.loads(row.texts).items()
    ]


def apply_policies(connection: Connection, domain: str | None, texts: Mapping[str, str], caller: str) -> PolicySet:
    """Replace the policies of the mesh or of a domain, and return the set that decides from now on.

    Args:
        connection: the writing transaction.
        domain: whose own policies they are; None for the global ones.
        texts: the policies by the name of their file.
        caller: the name of the caller that applies them.

    Raises:
        PolicyError: a text is not Cedar, speaks of what it may not, or has the name of another scope's file.
    """
    for name in texts:
        if not _fits(domain, name):
            right = "policies/<name>.cedar" if domain is None else f"producers/{domain}/policies.cedar"
            raise PolicyError(f"{name!r} is no file of these policies", hint=f"name it {right}", file=name)
    others = [each for each in _texts(connection) if each.domain != domain]
    policies = PolicySet([*others, *(PolicyText(name, text, domain) for name, text in texts.items())])
    connection.execute(
        insert(tables.policies),
        {
            "domain": domain or "",
            "texts": json.dumps(dict(texts)),
            "version": policies.version,
            "applied_by": caller,
            "applied_at": now_us(),
        },
    )
    next_revision(connection)
    about, of = (MESH, "the mesh") if domain is None else (f"domain:{domain}", f"the domain {domain}")
    summary = f"the policies of {of} are replaced; the set is version {policies.version}"
    record(connection, MeshChange(kind=MeshChangeKind.POLICIES_CHANGED, about=about, summary=summary))
    return policies


def _fits(domain: str | None, name: str) -> bool:
    if domain is None:
        return _GLOBAL_FILE.fullmatch(name) is not None
    return name in {f"producers/{domain}/policies.cedar", f"processors/{domain}/policies.cedar"}


def applied_policies(connection: Connection) -> AppliedPolicies:
    """Return the policies that decide, of the mesh and of each domain."""
    scopes = tuple(_scope(row) for row in connection.execute(_NEWEST))
    return AppliedPolicies(version=applied_set(connection).version, scopes=scopes)


def policy_history(connection: Connection, *, limit: int) -> tuple[PoliciesOfScope, ...]:
    """Return what was applied, newest first."""
    return tuple(_scope(row) for row in connection.execute(_HISTORY.limit(limit)))


def _scope(row: Row[Any]) -> PoliciesOfScope:
    return PoliciesOfScope(
        number=row.number,
        domain=row.domain or None,
        texts=json.loads(row.texts),
        version=row.version,
        applied_by=row.applied_by,
        applied_at=instant(row.applied_at),
    )
