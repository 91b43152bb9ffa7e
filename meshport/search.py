"""Models of `GET /api/v1/search`: the products that were found, with typos forgiven."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from meshport.newer import OrNewer
from meshport.product.descriptor import Archetype, Status
from meshport.product.input_port import AddressText


class _SearchResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SearchHit(_SearchResponse):
    """A product that was found.

    Attributes:
        description: its beginning.
        fields: the fields of its contracts by which it was found, by their paths; the first ten.
    """

    guid: str
    address: AddressText
    display_name: str
    description: str
    archetype: OrNewer[Archetype]
    owner: str
    status: OrNewer[Status]
    classification: str
    tags: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


class SearchPage(_SearchResponse):
    """A page of what a search found.

    Attributes:
        items: the products of the page, the best first.
        total: the number of products that were found, on all pages.
        offset: the number of products before the page.
        limit: the most products that a page has.
        every_word: whether they have every word that was searched for; otherwise no product has, and these have some of them.
        read_as: the words that no product has, each with those that were taken instead.
        facets: by `domain`, `archetype`, `status` and `classification`: how many products each value would leave.
        complete: whether every product was looked at; not so while a registry that has just started still reads them.
    """

    items: tuple[SearchHit, ...]
    total: int
    offset: int
    limit: int
    every_word: bool = True
    read_as: dict[str, tuple[str, ...]] = {}
    facets: dict[str, dict[str, int]] = {}
    complete: bool = True
