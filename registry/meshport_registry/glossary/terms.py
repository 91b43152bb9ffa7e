"""The terms that domains declare, in the database."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from meshport.glossary import GlossaryEntry, GlossaryTerm, TermUse
from meshport_registry import tables
from meshport_registry.changes.change import MeshChange, MeshChangeKind
from meshport_registry.changes.log import record
from meshport_registry.errors import NotInMesh
from meshport_registry.lifecycle import next_revision
from meshport_registry.store import now_us

_OWN: Final = tables.glossary_term.c
_ALL: Final = select(tables.glossary_term).order_by(_OWN.name, _OWN.domain)
_OF_DOMAIN: Final = _ALL.where(_OWN.domain == bindparam("domain"))


def declared_terms(connection: Connection, domain: str | None = None) -> tuple[GlossaryEntry, ...]:
    """Return the declared terms by name, of one domain or of all."""
    rows = connection.execute(_ALL) if domain is None else connection.execute(_OF_DOMAIN, {"domain": domain})
    return tuple(
        GlossaryEntry(
            name=row.name,
            domain=row.domain,
            definition=row.definition,
            owner=row.owner,
            polyseme=row.polyseme,
            used_in=tuple(map(TermUse.parse, json.loads(row.used_in))),
        )
        for row in rows
    )


def declare_terms(connection: Connection, domain: str, terms: Mapping[str, GlossaryTerm]) -> None:
    """Replace the terms of a domain. What is declared already changes nothing.

    Args:
        connection: the writing transaction.
        domain: whose terms they are.
        terms: all of them, by name.
    """
    before = {each.name: each.declared for each in declared_terms(connection, domain)}
    changed = sorted(name for name in before.keys() | terms.keys() if before.get(name) != terms.get(name))
    if not changed:
        return
    connection.execute(delete(tables.glossary_term).where(_OWN.domain == domain, _OWN.name.in_(changed)))
    if rows := list(_rows(domain, terms, changed)):
        connection.execute(insert(tables.glossary_term), rows)
    next_revision(connection)
    summary = f"the glossary of the domain {domain} is changed: {', '.join(changed)}"
    change = MeshChange(
        kind=MeshChangeKind.GLOSSARY_CHANGED, about=f"domain:{domain}", summary=summary, changed=changed
    )
    record(connection, change)


def withdraw_term(connection: Connection, domain: str, name: str) -> None:
    """Take a term of a domain out of the glossary.

    Raises:
        NotInMesh: the domain declares no such term.
    """
    terms = {each.name: each.declared for each in declared_terms(connection, domain)}
    if terms.pop(name, None) is None:
        raise NotInMesh(
            f"the domain {domain} declares no term {name!r}", hint=f"it declares {', '.join(terms) or 'none'}"
        )
    declare_terms(connection, domain, terms)


def _rows(domain: str, terms: Mapping[str, GlossaryTerm], names: Iterable[str]) -> Iterable[dict[str, object]]:
    for name in names:
        if (term := terms.get(name)) is not None:
            yield {
                "domain": domain,
                "name": name,
                "definition": term.definition,
                "owner": term.owner,
                "polyseme": term.polyseme,
                "used_in": json.dumps([str(each) for each in term.used_in]),
                "changed_at": now_us(),
            }
