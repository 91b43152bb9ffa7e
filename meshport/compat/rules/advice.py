"""Advice that several rules give, and what it needs to be typed as it stands: the address, the day, the waiver's command."""

from __future__ import annotations

import shlex
from datetime import date, timedelta
from typing import Final

from meshport.compat.comparison import Comparison
from meshport.compat.contract import Contract
from meshport.compat.finding import Finding
from meshport.compat.forms import Form, declared, is_named, type_at

WAIVE: Final = "`meshport gate waive`"
"""Stands in an advice for the command that waives this very finding."""
NEW_MAJOR: Final = "publish it as a new major beside this one: `meshport new ADDRESS --major`"
DAY: Final = "<day>"
"""Stands in an advice for a day that leaves readers time."""

_NOTICE: Final = timedelta(days=30)


def new_major(before: Contract) -> str:
    """Return the advice to publish the port as a new major line beside the present one."""
    address = before.address.of_product.key
    if before.port.name != before.product.default_port.name:
        address += f"/{before.port.name}"
    return f"publish a new major beside this one: `meshport new {address} --major`"


def beside(comparison: Comparison, path: str, keep: str = "keep {!r} as it is", suffix: str = "_v2") -> str:
    """Return the advice for a type that cannot change: keep it and add another field.

    Args:
        comparison: the schemas.
        path: of the field; "" for a schema that has no fields.
        keep: the words for keeping it, with a place for the field's name.
        suffix: of the other field's name.
    """
    name = path.rpartition(".")[2] or "value"
    types = _new_type_names(comparison, path)
    renamed = f", its {'type' if len(types) == 1 else 'types'} {', '.join(types)} under another name" if types else ""
    added = f"add a field beside it, such as {comparison.unused_name(path, suffix)!r}, with a default{renamed}"
    return f"{keep.format(name)} and {added}; or {NEW_MAJOR}" if path else NEW_MAJOR


def _new_type_names(comparison: Comparison, path: str) -> list[str]:
    """Return the types that a field defines otherwise than before under the same name, which one schema cannot do twice."""
    sides = comparison.sides(comparison.reader, comparison.writer)
    before, after = (_definitions(type_at(each.form, path) or {"type": "null"}) for each in sides)
    return [repr(name) for name, form in after.items() if name in before and before[name] != form]


def _definitions(form: Form) -> dict[str, Form]:
    """Return the named types that a field's type defines, by name."""
    return {each["name"]: each for _, each in declared(form.get("branches", form)) if is_named(each)}


def typed(finding: Finding, contract: Contract, today: date) -> str:
    """Return the advice of a finding with the port's address, a day in a month, and the whole command of a waiver.

    Args:
        finding: of the port.
        contract: the port.
        today: the day (UTC) of the judgement.
    """
    day = today + _NOTICE
    at = f" --at {shlex.quote(finding.path)}" if finding.path else ""
    waive = (
        f"`meshport gate waive {contract.address.key} --rule {finding.rule}{at} --until {day} "
        '--approver "NAME" --reason "WHY"`'
    )
    address = f"{contract.product.address.key}/{contract.port.name}"
    return finding.advice.replace("new ADDRESS", f"new {address}").replace(WAIVE, waive).replace(DAY, str(day))
