"""The client of measured service levels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.address import Address
from meshport.port_profile import PortProfile
from meshport.registry.calls import to_address
from meshport.registry.requests import Requests, parse_response
from meshport.service_levels import LevelHistory, LevelPage, MeasuredLevels, PortLevels

__all__ = ["RegistryLevels"]

_PAGE: Final = 500


class RegistryLevels:
    """Reads and reports measured service levels and profiles; `Registry.service_levels` makes it. Nothing is cached.

    Every method raises NotRegistered if the port does not exist, and RegistryUnavailable if the registry does not answer.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def of(self, port: Address | str) -> PortLevels:
        """Return what was measured last of a port.

        Args:
            port: the address of a port; without a major, of its live major.
        """
        path, major = _path(port)
        return self._requests.get(path, PortLevels, major=major)

    def history(self, port: Address | str, *, limit: int = 288) -> LevelHistory:
        """Return what was measured of a port before, newest first.

        Args:
            port: see `of`.
            limit: of the reports, 1000 at most; 288 are those of a day, if no state changed.
        """
        path, major = _path(port)
        return self._requests.get(f"{path}/history", LevelHistory, major=major, limit=limit)

    def all(self) -> Iterator[PortLevels]:
        """Yield what was measured last of each port that ever was, by address."""
        seen = 0
        while (page := self._requests.get("/api/v1/service-levels", LevelPage, offset=seen, limit=_PAGE)).items:
            seen += len(page.items)
            yield from page.items

    def report(self, port: Address | str, measured: MeasuredLevels) -> PortLevels:
        """Report what was measured of a port. One that is older than the last one changes nothing.

        Args:
            port: see `of`.
            measured: what was measured.

        Raises:
            RegistrationRefused: the caller may not report measured levels.
        """
        path, major = _path(port)
        response = self._requests.send("PUT", path, {"major": major}, measured.model_dump_json())
        return parse_response(response, PortLevels.model_validate_json)

    def profile(self, port: Address | str) -> PortProfile:
        """Return what the events of a port looked like last, by field.

        Args:
            port: see `of`.

        Raises:
            NotRegistered: nothing was reported of the port.
            RegistrationRefused: the caller may not read the port.
        """
        path, major = _path(port, "profiles")
        return self._requests.get(path, PortProfile, major=major)

    def report_profile(self, profile: PortProfile) -> PortProfile:
        """Report what the events of a port look like, and return the profile that the registry keeps: the newest one.

        Raises:
            RegistrationRefused: the caller may not report it.
        """
        path, major = _path(profile.address, "profiles")
        response = self._requests.send("PUT", path, {"major": major}, profile.model_dump_json())
        return parse_response(response, PortProfile.model_validate_json)


def _path(port: Address | str, what: str = "service-levels") -> tuple[str, int | None]:
    address = to_address(port)
    return f"/api/v1/{what}/{address.key.partition('@')[0]}", address.major
