"""The client of a registry's problem reports."""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter

from meshport.address import Address
from meshport.problems import ProblemAnswerText, ProblemClosing, ProblemReport, ProblemReportRequest
from meshport.registry.requests import Requests, parse_response

_REPORTS: Final = TypeAdapter(tuple[ProblemReport, ...])
_PATH: Final = "/api/v1/problems"


class RegistryProblems:
    """Opens, answers, closes and lists problem reports; `Registry.problems` makes it. Nothing is cached.

    Every method raises RegistryUnavailable if the registry does not answer, and RegistrationRefused if the policies do not
    permit it to the caller.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def list(self, address: Address | None = None, *, closed: bool = False) -> tuple[ProblemReport, ...]:
        """Return reports, newest first; the newest 1,000.

        Args:
            address: of a product or a port; None for the whole mesh.
            closed: also those that are closed.

        Raises:
            NotRegistered: the product is not registered.
        """
        wanted = None if address is None else str(address)
        query = {"address": wanted, "closed": "true" if closed else None}
        return parse_response(self._requests.send("GET", _PATH, query), _REPORTS.validate_json)

    def open(self, wanted: ProblemReportRequest) -> ProblemReport:
        """Report a problem of a product that the caller may read.

        Raises:
            NotRegistered: the product is not registered.
            RegistrationRefused: it has no such port, or too many open reports.
        """
        return self._requests.post(_PATH, wanted, ProblemReport)

    def answer(self, number: int, text: str) -> ProblemReport:
        """Answer a report, as an owner of the product.

        Raises:
            NotRegistered: there is no such report.
            RegistrationRefused: it is closed.
        """
        return self._requests.post(f"{_PATH}/{number}/answer", ProblemAnswerText(text=text), ProblemReport)

    def close(self, number: int, reason: str) -> ProblemReport:
        """Close a report, as an owner of the product.

        Raises:
            NotRegistered: there is no such report.
            RegistrationRefused: it is closed already.
        """
        return self._requests.post(f"{_PATH}/{number}/close", ProblemClosing(reason=reason), ProblemReport)

    def withdraw(self, number: int, reason: str) -> ProblemReport:
        """Close a report that the caller has opened.

        Raises:
            NotRegistered: there is no such report.
            RegistrationRefused: another caller opened it, or it is closed already.
        """
        return self._requests.post(f"{_PATH}/{number}/withdraw", ProblemClosing(reason=reason), ProblemReport)
