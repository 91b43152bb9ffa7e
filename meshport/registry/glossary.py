"""The client of a registry's glossary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshport.glossary import DomainGlossary, Glossary, GlossaryTerm
from meshport.registry.requests import Requests, parse_response

_PATH: Final = "/api/v1/glossary"


class RegistryGlossary:
    """Reads the glossary, and replaces the terms of a domain; `Registry.glossary` makes it. Nothing is cached.

    Every method raises RegistryUnavailable if the registry does not answer, and RegistrationRefused if the policies do not
    permit it to the caller.

    Args:
        requests: to the registry.
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    def read(self, text: str = "", *, domain: str | None = None) -> Glossary:
        """Return terms and polysemes with their definitions, owners and the products that use them.

        Args:
            text: a part of a name or a definition.
            domain: only what this domain declares.
        """
        query = {"q": text or None, "domain": domain}
        return parse_response(self._requests.send("GET", _PATH, query), Glossary.model_validate_json)

    def declare(self, domain: str, terms: Mapping[str, GlossaryTerm]) -> Glossary:
        """Replace the terms of a domain, and return them.

        Args:
            domain: whose terms they are.
            terms: all of them, by name.

        Raises:
            ValueError: a name is none, or there are too many terms.
        """
        body = DomainGlossary(terms=dict(terms)).model_dump_json()
        return parse_response(
            self._requests.send("PUT", f"{_PATH}/{domain}", content=body), Glossary.model_validate_json
        )
