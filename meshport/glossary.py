"""The glossary of a mesh, as a registry's API sends and receives it: terms and polysemes, what they mean and who owns them.

A polyseme is an identifier that several products share, such as a customer's number; contracts link to it by name. A term
is a word of people, such as "delay". Both are declared by a domain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from meshport.address import Address
from meshport.product.input_port import AddressText

__all__ = ["DomainGlossary", "Glossary", "GlossaryEntry", "GlossaryTerm", "TermUse"]

MOST_TERMS = 500
"""Terms of one domain."""

TermName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w][\w .,/()'+-]*$")]


_FIELD: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, slots=True, order=True)
class TermUse:
    """Where a term is used: in a product, in a port, or in a field.

    Attributes:
        address: of the product or port.
        field: the name of the field, or its path within records, with dots; "" for all of the product or port.
    """

    address: Address
    field: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the use that a text names: an address, or an address, `#` and a field.

        Raises:
            AddressError: the text before the `#` is no address.
            ValueError: the text after it is no field.
        """
        address, mark, field = text.partition("#")
        if mark and not _FIELD.fullmatch(field):
            raise ValueError(f"{field!r} is no field; write it as mesh://shop/orders/events#price or #price.currency")
        return cls(Address.parse(address), field)

    @property
    def key(self) -> str:
        """The text without the scheme of the address (`shop/orders#price`)."""
        return self.address.key + (f"#{self.field}" if self.field else "")

    def __str__(self) -> str:
        return str(self.address) + (f"#{self.field}" if self.field else "")


def _use(value: Any) -> Any:
    if isinstance(value, Address):
        return TermUse(value)
    return TermUse.parse(value) if isinstance(value, str) else value


UseText = Annotated[
    TermUse,
    BeforeValidator(_use),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["mesh://shop/orders", "mesh://shop/orders/events@1#price"]}),
]
"""Where a term is used, written as text."""


class GlossaryTerm(BaseModel):
    """A term as its domain declares it.

    Attributes:
        definition: what it means, in words that a person of another domain understands.
        owner: the group that answers for it; None for the owners of the domain.
        polyseme: whether it is an identifier that contracts link to.
        used_in: the products, ports and fields in which it is meant; those that link to a polyseme are found by themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    definition: str = Field(min_length=1, max_length=2000)
    owner: str | None = Field(default=None, min_length=1, max_length=256)
    polyseme: bool = False
    used_in: tuple[UseText, ...] = Field(default=(), max_length=100)


class DomainGlossary(BaseModel):
    """The body of `PUT /api/v1/glossary/{domain}`: all terms of the domain.

    Attributes:
        terms: by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    terms: dict[TermName, GlossaryTerm] = Field(max_length=MOST_TERMS)


class GlossaryEntry(BaseModel):
    """A term or polyseme of the mesh.

    Attributes:
        name: of the term.
        domain: that declares it; None for a polyseme that contracts link to and no domain declares.
        definition: what it means; None where no domain declares it.
        owner: the group that answers for it; None for the owners of the domain.
        polyseme: whether it is an identifier that contracts link to.
        used_in: the products, ports and fields that the declaration names.
        linked_by: the products whose contracts link to the polyseme, by address; the first 100.
        linked_by_total: how many there are.
        linked_fields: the fields of those products that link to the polyseme; the first 100.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    domain: str | None = None
    definition: str | None = None
    owner: str | None = None
    polyseme: bool = False
    used_in: tuple[UseText, ...] = ()
    linked_by: tuple[AddressText, ...] = ()
    linked_by_total: int = 0
    linked_fields: tuple[UseText, ...] = ()

    @property
    def declared(self) -> GlossaryTerm:
        """The term as its domain declares it."""
        return GlossaryTerm(
            definition=self.definition or self.name, owner=self.owner, polyseme=self.polyseme, used_in=self.used_in
        )


class Glossary(BaseModel):
    """The response to `GET /api/v1/glossary`.

    Attributes:
        entries: by name, whatever its case, then by domain.
        complete: whether the contracts of every product have been read yet, which takes a moment after a start.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    entries: tuple[GlossaryEntry, ...] = ()
    complete: bool = True
