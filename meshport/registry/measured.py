"""The client of measured service levels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from meshport.address import Address
from meshport.port_profile import PortProfile
from meshport.registry.calls import line_path
from meshport.registry.requests import Requests, parse_response
from meshport.service_levels import LevelHistory, LevelPage, MeasuredLevels, PortLevels, SourceCount, SourceCounts

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
        path, major = line_path(port, "service-levels")
        return self._requests.get(path, PortLevels, major=major)

    def history(self, port: Address | str, *, limit: int = 288) -> LevelHistory:
        """Return what was measured of a port before, newest first.

        Args:
            port: see `of`.
            limit: of the reports, 1000 at most; 288 are those of a day, if no state changed.
        """
        path, major = line_path(port, "service-levels")
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
        path, major = line_path(port, "service-levels")
        response = self._requests.send("PUT", path, {"major": major}, measured.model_dump_json())
        return parse_response(response, PortLevels.model_validate_json)

    def counts(
        self, port: Address | str, *, since: datetime | None = None, limit: int = 100
    ) -> tuple[SourceCount, ...]:
        """Return how many events the source of a port has by its own count, newest interval first.

        Args:
            port: see `of`.
            since: of intervals that end later, an aware time; None for all.
            limit: of the intervals, 1000 at most.
        """
        path, major = line_path(port, "service-levels")
        wanted = None if since is None else since.isoformat()
        return self._requests.get(f"{path}/counts", SourceCounts, major=major, since=wanted, limit=limit).counts

    def report_count(self, port: Address | str, start: datetime, end: datetime, count: int) -> Address:
        """Report how many events the source of a port has of an interval that has ended, by its own count.

        An observer compares it with what is in the topic. A count of the same interval replaces the earlier one.

        Args:
            port: see `of`.
            start: the first instant of the interval, by the time of the events; an aware time.
            end: the first instant after the interval.
            count: how many events have their time in the interval, each counted once.

        Returns:
            The address of the port, with its major.

        Raises:
            ValueError: the interval ends before it starts, a time has no zone, or the count is negative.
            RegistrationRefused: the interval overlaps another one that was reported, has not ended yet, or is longer than 31
                days; or the caller may not write the product's events.
        """
        path, major = line_path(port, "service-levels")
        counted = SourceCount(start=start, end=end, count=count)
        return self._requests.post(f"{path}/counts", counted, SourceCounts, major=major).address

    def profile(self, port: Address | str) -> PortProfile:
        """Return what the events of a port looked like last, by field.

        Args:
            port: see `of`.

        Raises:
            NotRegistered: nothing was reported of the port.
            RegistrationRefused: the caller may not read the port.
        """
        path, major = line_path(port, "profiles")
        return self._requests.get(path, PortProfile, major=major)

    def report_profile(self, profile: PortProfile) -> PortProfile:
        """Report what the events of a port look like, and return the profile that the registry keeps: the newest one.

        Raises:
            RegistrationRefused: the caller may not report it.
        """
        path, major = line_path(profile.address, "profiles")
        response = self._requests.send("PUT", path, {"major": major}, profile.model_dump_json())
        return parse_response(response, PortProfile.model_validate_json)
