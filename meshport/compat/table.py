"""The table of all rules, from which the gate, its manual and `meshport gate rules` are made."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from meshport.compat.rule import Rule, Scope
from meshport.compat.rules import (
    avro,
    evolution,
    governance,
    key,
    major,
    migration,
    names,
    port,
    portable,
    process,
    product,
    proof,
    safety,
    slo,
    topic,
    values,
)

_ROWS: Final = (
    *avro.RULES,
    *names.RULES,
    *values.RULES,
    *evolution.RULES,
    *proof.RULES,
    *safety.RULES,
    *portable.RULES,
    *key.RULES,
    *topic.RULES,
    *port.RULES,
    *major.RULES,
    *migration.RULES,
    *product.RULES,
    *slo.RULES,
    *governance.RULES,
    *process.RULES,
)
RULES: Final[Mapping[str, Rule]] = MappingProxyType({rule.id: rule for rule in _ROWS})
"""Every rule by its id, in the order in which they are called."""


def rules_of(scope: Scope) -> tuple[Rule, ...]:
    """Return the rules of one scope, in the order of the table."""
    return tuple(rule for rule in RULES.values() if rule.scope is scope)
