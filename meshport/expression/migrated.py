"""Records of one contract computed from records of an earlier one, as a port's `migration` declares it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshport.errors import ProcessError
from meshport.expression.expression import Expression
from meshport.schema import Schema

__all__ = ["RecordMigration"]


class RecordMigration:
    """Computes a record of a contract from one of an earlier contract.

    Args:
        fields: by field of the contract, the expression that computes it; see `meshport.product.migration.Migration`.
        earlier: the earlier contract.
        contract: the contract.

    Attributes:
        computed: the expressions, by field.
        kept: the fields that have the value of the earlier field of their name.

    Raises:
        ProcessError: a text is no expression, it reads a field that the earlier contract does not have, or the contract has no
            such field.
    """

    def __init__(self, fields: Mapping[str, str], earlier: Schema, contract: Schema) -> None:
        names = contract.field_names
        for name in fields:
            if name not in names:
                raise ProcessError(
                    f"{contract.name} has no field {name!r} to compute", hint=f"its fields: {', '.join(names)}"
                )
        self.computed = {name: Expression(text) for name, text in fields.items()}
        for each in self.computed.values():
            each.refuse_unknown(earlier.field_names)
        self.kept = tuple(name for name in names if name not in fields and name in earlier.field_names)

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record; a field that it lacks has its default.

        Raises:
            ProcessError: an expression cannot be computed of this record.
        """
        made = {name: record[name] for name in self.kept if name in record}
        for name, expression in self.computed.items():
            try:
                made[name] = expression(record)
            except KeyError as error:
                raise ProcessError(f"{name} = {expression.text}: the record has no field {error}") from error
            except (TypeError, ValueError, ArithmeticError) as error:
                raise ProcessError(f"{name} = {expression.text}: {error}") from error
        return made
