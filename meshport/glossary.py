"""The glossary of a mesh, as a registry's API sends and receives it: terms and polysemes, what they mean and who owns them.

A polyseme is an identifier that several products share, such as a customer's number; contracts link to it by name. A term
is a word of people, such as "delay". Both are declared by a domain.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from meshport.product.input_port import AddressText

__all__ = ["DomainGlossary", "Glossary", "GlossaryEntry", "GlossaryTerm"]

MOST_TERMS = 500
"""Terms of one domain."""

TermName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[\w][\w .,/()'+-]*$")]


class GlossaryTerm(BaseModel):
    """A term as its domain declares it.

    Attributes:
        definition: what it means, in words that a person of another domain understands.
        owner: the group that answers for it; None for the owners of the domain.
        polyseme: whether it is an identifier that contracts link to.
        used_in: the products and ports in which it is meant; those that link to a polyseme are found by themselves.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    definition: str = Field(min_length=1, max_length=2000)
    owner: str | None = Field(default=None, min_length=1, max_length=256)
    polyseme: bool = False
    used_in: tuple[AddressText, ...] = Field(default=(), max_length=100)


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
        used_in: the products and ports that the declaration names.
        linked_by: the products whose contracts link to the polyseme, by address; the first 100.
        linked_by_total: how many there are.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    domain: str | None = None
    definition: str | None = None
    owner: str | None = None
    polyseme: bool = False
    used_in: tuple[AddressText, ...] = ()
    linked_by: tuple[AddressText, ...] = ()
    linked_by_total: int = 0

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
