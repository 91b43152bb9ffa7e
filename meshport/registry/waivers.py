"""The client of a registry's waivers: changes that may break a reader, admitted through a day by a person with a reason."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter

from meshport.address import Address
from meshport.catalog import Waiver, WaiverRequest
from meshport.registry.calls import to_address
from meshport.registry.requests import Requests, parse_response

_PATH: Final = "/api/v1/waivers"
_WAIVERS: Final = TypeAdapter(tuple[Waiver, ...])


class RegistryWaivers:
    """Records, lists and revokes waivers; `Registry.waivers` makes it. Nothing is cached.

    Every method raises RegistryUnavailable if the registry does not answer, and RegistrationRefused if the policies do not
    permit it to the caller.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def record(self, wanted: WaiverRequest) -> Waiver:
        """Record a waiver: one change of one port that is to pass through a day.

        Raises:
            RegistrationRefused: the port or the rule does not exist, the rule cannot be waived, or the day is past or
                more than a year away.
        """
        return self._requests.post(_PATH, wanted, Waiver)

    def list(self, address: Address | str | None = None) -> tuple[Waiver, ...]:
        """Return every waiver that was ever recorded, newest first.

        Args:
            address: of a product, a port, or a line of a port; None for the whole mesh.

        Raises:
            NotRegistered: the product is not registered.
        """
        wanted = None if address is None else str(to_address(address))
        return parse_response(self._requests.send("GET", _PATH, {"address": wanted}), _WAIVERS.validate_json)

    def revoke(self, number: int) -> Waiver:
        """Revoke a waiver. Revoking it again changes nothing.

        Raises:
            NotRegistered: no waiver has this number.
        """
        return parse_response(self._requests.send("POST", f"{_PATH}/{number}/revoke"), Waiver.model_validate_json)
