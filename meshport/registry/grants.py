"""The client of a registry's requests for access and grants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter

from meshport.address import Address
from meshport.grants import (
    MOST_ACLS,
    AccessRequest,
    AclChange,
    Grant,
    GrantApproval,
    GrantedAcl,
    GrantWithdrawal,
    PlannedReader,
    PortReader,
)
from meshport.product import Product
from meshport.registry.requests import Requests, parse_response

_GRANTS: Final = TypeAdapter(tuple[Grant, ...])
_READERS: Final = TypeAdapter(tuple[PortReader, ...])
_ACLS: Final = TypeAdapter(tuple[GrantedAcl, ...])
_PATH: Final = "/api/v1/access"


class RegistryGrants:
    """Asks for access, grants it, and lists who may read; `Registry.access` makes it. Nothing is cached.

    Every method raises RegistryUnavailable if the registry does not answer, and RegistrationRefused if the policies do not
    permit it to the caller.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def list(
        self, address: Address | None = None, *, reader: str | None = None, current: bool = False
    ) -> tuple[Grant, ...]:
        """Return requests and grants, newest first.

        Args:
            address: of a product or a port; None for the whole mesh.
            reader: only those of this reader.
            current: only what is requested or granted now.

        Raises:
            NotRegistered: the product is not registered.
        """
        wanted = None if address is None else str(address)
        query = {"address": wanted, "reader": reader, "current": "true" if current else None}
        return parse_response(self._requests.send("GET", _PATH, query), _GRANTS.validate_json)

    def request(self, wanted: AccessRequest) -> Grant:
        """Ask for access to a port.

        Raises:
            NotRegistered: the port is not registered.
            RegistrationRefused: the same request waits already, or its end is past.
        """
        return self._requests.post(_PATH, wanted, Grant)

    def grant(self, number: int, wanted: GrantApproval) -> Grant:
        """Grant a request until an instant.

        Raises:
            NotRegistered: there is no such request.
            RegistrationRefused: it does not wait any more, or has no end that is to come.
        """
        return self._requests.post(f"{_PATH}/{number}/grant", wanted, Grant)

    def refuse(self, number: int, reason: str) -> Grant:
        """Refuse a request.

        Raises:
            NotRegistered: there is no such request.
            RegistrationRefused: it does not wait any more.
        """
        return self._requests.post(f"{_PATH}/{number}/refuse", GrantWithdrawal(reason=reason), Grant)

    def revoke(self, number: int, reason: str) -> Grant:
        """End a grant now.

        Raises:
            NotRegistered: there is no such request.
            RegistrationRefused: it is not granted, or has ended.
        """
        return self._requests.post(f"{_PATH}/{number}/revoke", GrantWithdrawal(reason=reason), Grant)

    def readers(self, address: Address | None = None) -> tuple[PortReader, ...]:
        """Return the input ports of every registered product, and whether its process may read them.

        Args:
            address: only those that lead to this product or port; None for the whole mesh.

        Raises:
            NotRegistered: the product is not registered.
        """
        query = {"address": None if address is None else str(address)}
        return parse_response(self._requests.send("GET", f"{_PATH}/readers", query), _READERS.validate_json)

    def readings_of(self, product: Product, beside: Sequence[Product] = ()) -> tuple[PortReader, ...]:
        """Return the input ports of a product that is about to be registered, and whether its process may read them.

        Args:
            product: as it is declared.
            beside: the products that it reads and that are about to be registered too.
        """
        body = PlannedReader(product=product, beside=tuple(beside)).model_dump_json(by_alias=True, exclude_none=True)
        response = self._requests.send("POST", f"{_PATH}/readers", content=body)
        return parse_response(response, _READERS.validate_json)

    def acls(self) -> tuple[GrantedAcl, ...]:
        """Return the ACLs that were created for grants and are not deleted."""
        return parse_response(self._requests.send("GET", f"{_PATH}/acls"), _ACLS.validate_json)

    def note_acls(self, *, added: Sequence[GrantedAcl] = (), removed: Sequence[GrantedAcl] = ()) -> None:
        """Note ACLs that are about to be created for grants, and such that no longer stand for one."""
        for first in range(0, len(added), MOST_ACLS):
            self._note(AclChange(added=tuple(added[first : first + MOST_ACLS])))
        for first in range(0, len(removed), MOST_ACLS):
            self._note(AclChange(removed=tuple(removed[first : first + MOST_ACLS])))

    def _note(self, change: AclChange) -> None:
        self._requests.send("POST", f"{_PATH}/acls", content=change.model_dump_json())
