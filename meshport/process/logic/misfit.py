"""How a record that a pipeline makes differs from the contract of its output port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshport.expression.types import Type, plain_type, record_types
from meshport.schema import Schema
from meshport.schema.logical import logical_type

# The types of a contract that hold a value of each type that is made. Of all other types the encoder decides.
_HOLD: Final = {
    "boolean": {"boolean"},
    "int": {"int", "long", "float", "double"},
    "long": {"int", "long", "float", "double"},
    "float": {"float", "double"},
    "double": {"float", "double"},
    "string": {"string"},
}


@dataclass(frozen=True)
class RecordMisfit:
    """What of a record does not fit a contract.

    Attributes:
        added: fields that are made, and that the contract does not have.
        unmade: fields of the contract without a default that are not made.
        retyped: fields whose type in the contract holds no value that is made, with the type that is made and that of the
            contract.
    """

    added: tuple[str, ...]
    unmade: tuple[str, ...]
    retyped: Mapping[str, tuple[Type, Type]]

    def __bool__(self) -> bool:
        return bool(self.added or self.unmade or self.retyped)


def misfit(made: Mapping[str, Type], contract: Schema) -> RecordMisfit:
    """Compare the fields that are made with those of a contract.

    Args:
        made: type by field; None is a type that is not known.
        contract: the schema of the output port.
    """
    types, _ = record_types(contract)
    return RecordMisfit(
        added=tuple(name for name in made if name not in types),
        unmade=tuple(
            str(each["name"]) for each in contract.fields if each["name"] not in made and "default" not in each
        ),
        retyped={
            name: (kind, types[name]) for name, kind in made.items() if name in types and not _holds(types[name], kind)
        },
    )


def _holds(contract: Type, made: Type) -> bool:
    inner, outer = _primitive(made), _primitive(contract)
    return inner is None or outer is None or outer in _HOLD[inner]


def _primitive(kind: Type) -> str | None:
    plain: Any = plain_type(kind)
    return plain if isinstance(plain, str) and plain in _HOLD else None


def shown_type(kind: Type) -> str:
    """Return a type as a message shows it: long, timestamp-millis, nullable string."""
    plain: Any = plain_type(kind)
    if plain is None:
        return "several types"
    name = str(logical_type(plain) or plain["type"]) if isinstance(plain, dict) else str(plain)
    return f"nullable {name}" if isinstance(kind, list) else name
