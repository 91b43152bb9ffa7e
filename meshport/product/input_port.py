"""The base of the descriptor's models, and the entry of an input port."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel

from meshport.address import Address

EVERY_FIELD: Final = "*"
"""In `inputPorts.fields`: all fields of the port."""


class Disagreement(ValueError):  # noqa: N818 - names a finding
    """Raised for parts of a descriptor that contradict each other.

    Args:
        message: the contradiction.
        path: its keys and indices, relative to the model that raises.
    """

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = path


class Model(BaseModel):
    """Base of the descriptor's models: frozen, camelCase in YAML, unknown keys refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


def _address(value: Any) -> Any:
    return Address.parse(value) if isinstance(value, str) else value


AddressText = Annotated[
    Address,
    BeforeValidator(_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["mesh://shop/orders", "mesh://shop/orders/events@1"]}),
]
"""An address, written as text."""


class InputPort(Model):
    """A port of another product that this one reads.

    Attributes:
        address: the port's address.
        fields: the fields that are read, each by its name or, within a record, by its path (`shot.xg`); `*` alone means all
            of them. Left out: what the declared steps of `process` read, which is derived from them; all fields where
            Python reads the port or the product has no `process`.
    """

    address: AddressText
    fields: tuple[str, ...] = Field(
        default=(),
        description="the fields that are read, `shot.xg` within a record, or `*` for all; left out: those that declared "
        "steps read, and all where Python reads or there is no process",
    )

    @property
    def reads_all(self) -> bool:
        """Whether it declares every field."""
        return self.fields == (EVERY_FIELD,)

    @model_validator(mode="after")
    def _all_or_some(self) -> Self:
        if EVERY_FIELD in self.fields and len(self.fields) > 1:
            raise Disagreement(
                f"{EVERY_FIELD!r} means all fields already; write it alone, or name the fields", "fields"
            )
        return self
