"""Errors of archives and of queries over them."""

from __future__ import annotations

from meshport.errors.base import MeshError, with_facts


@with_facts
class ArchiveError(MeshError):
    """Raised when an archive cannot be opened, or cannot take or give back what its topic has.

    Attributes:
        address: of the port.
        partition: of the topic, where one is meant.
        offset: of the first message that is meant.
    """

    address: str | None = None
    partition: int | None = None
    offset: int | None = None


@with_facts
class QueryError(MeshError):
    """Raised when a port cannot be asked: the query, a time or a field is wrong, or the contract has no columns.

    Attributes:
        address: of the port.
    """

    address: str | None = None
