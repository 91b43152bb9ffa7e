"""The client of what observers report of processors: whether they run, their backlog, and their quarantined events."""

from __future__ import annotations

from meshport.address import Address
from meshport.processor_reports import ProcessorReport, ProcessorStatus
from meshport.quarantine_report import QuarantineReport
from meshport.registry.calls import line_path
from meshport.registry.requests import Requests, parse_response

__all__ = ["RegistryProcessors"]


class RegistryProcessors:
    """Reads and reports the state of processors; `Registry.processors` makes it. Nothing is cached.

    Every method raises NotRegistered if the port does not exist, and RegistryUnavailable if the registry does not answer.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def of(self, port: Address | str) -> ProcessorStatus:
        """Return what was observed last of the processor that builds a port.

        Args:
            port: the address of a port; without a major, of its live major.
        """
        path, major = line_path(port, "processors")
        return self._requests.get(path, ProcessorStatus, major=major)

    def report(self, port: Address | str, found: ProcessorReport) -> ProcessorStatus:
        """Report what was found of a processor. A report that is older than the last one changes nothing.

        Args:
            port: see `of`.
            found: what was found.

        Raises:
            RegistrationRefused: the caller may not report it.
        """
        path, major = line_path(port, "processors")
        response = self._requests.send("PUT", path, {"major": major}, found.model_dump_json())
        return parse_response(response, ProcessorStatus.model_validate_json)

    def quarantine(self, port: Address | str) -> QuarantineReport:
        """Return the newest quarantined and late events of the processor that builds a port.

        Args:
            port: see `of`.

        Raises:
            NotRegistered: nothing was reported of the port.
            RegistrationRefused: the caller may not read the port.
        """
        path, major = line_path(port, "quarantine")
        return self._requests.get(path, QuarantineReport, major=major)

    def report_quarantine(self, found: QuarantineReport) -> QuarantineReport:
        """Report the newest quarantined and late events of a processor, and return the report that the registry keeps.

        Raises:
            RegistrationRefused: the caller may not report it.
        """
        path, major = line_path(found.address, "quarantine")
        response = self._requests.send("PUT", path, {"major": major}, found.model_dump_json())
        return parse_response(response, QuarantineReport.model_validate_json)
