"""The client of a registry's policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from pydantic import TypeAdapter

from meshport.catalog import AppliedPolicies, PoliciesOfScope, PolicyTexts
from meshport.registry.requests import Requests, parse_response

_HISTORY: Final = TypeAdapter(tuple[PoliciesOfScope, ...])


class RegistryPolicies:
    """The policies of one registry.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def applied(self) -> AppliedPolicies:
        """Return the policies that decide at the registry, beside the built-in ones.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        return self._requests.get("/api/v1/policies", AppliedPolicies)

    def history(self, *, limit: int = 100) -> tuple[PoliciesOfScope, ...]:
        """Return what was applied, newest first.

        Args:
            limit: the number of applications to return, 1000 at most.

        Raises:
            RegistryUnavailable: the registry did not answer.
        """
        response = self._requests.send("GET", "/api/v1/policies/history", {"limit": limit})
        return parse_response(response, _HISTORY.validate_json)

    def apply(self, domain: str | None, texts: Mapping[str, str]) -> AppliedPolicies:
        """Replace the policies of the mesh or of a domain, and return all that decide from now on.

        Args:
            domain: whose own policies they are; None for the global ones.
            texts: the policies by the path of their file in the project.

        Raises:
            RegistrationRefused: a policy is wrong, or the caller may not apply them.
            RegistryUnavailable: the registry did not answer.
        """
        path = "/api/v1/policies" if domain is None else f"/api/v1/policies/{quote(domain, safe='')}"
        response = self._requests.send("PUT", path, content=PolicyTexts(texts=dict(texts)).model_dump_json())
        return parse_response(response, AppliedPolicies.model_validate_json)
