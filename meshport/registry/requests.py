"""Requests to a registry, and the one place where an answer becomes an exception. The only importer of httpx2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from meshport.errors import NotRegistered, RegistrationRefused, RegistryError, RegistryUnavailable

Transport = httpx2.BaseTransport
_Model = TypeVar("_Model", bound=BaseModel)
_Any = TypeVar("_Any")


class Requests:
    """Connections to one registry; thread-safe.

    Args:
        url: of the registry.
        timeout: seconds for one answer.
        transport: how requests travel; for tests inside one process.
    """

    def __init__(self, url: str, *, timeout: float, transport: Transport | None = None) -> None:
        self.url = url
        # The registry is the user's own and near: a proxy of the environment has no place between.
        self._http = httpx2.Client(base_url=url, timeout=timeout, transport=transport, trust_env=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, model: type[_Model], **query: Any) -> _Model:
        """The answer to a GET, as a model; see `ask`."""
        return understood(self.ask("GET", path, query), model.model_validate_json)

    def post(self, path: str, body: BaseModel, model: type[_Model], **query: Any) -> _Model:
        """The answer to a POST, as a model; see `ask`."""
        content = body.model_dump_json(by_alias=True)
        return understood(self.ask("POST", path, query, content), model.model_validate_json)

    def ask(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, content: str | None = None
    ) -> httpx2.Response:
        """A successful answer.

        Raises:
            RegistryUnavailable: none, or one of 500 and more.
            NotRegistered: 404 or 410.
            RegistrationRefused: any other refusal; `findings` holds its reasons.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        headers = {"content-type": "application/json"} if content is not None else None
        try:
            answer = self._http.request(method, path, params=given or None, content=content, headers=headers)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise RegistryUnavailable(
                f"the registry at {self.url} did not answer: {str(error) or type(error).__name__}",
                hint="start one with `meshport up`, or name yours with --registry or MESHPORT_REGISTRY",
            ) from error
        if answer.is_success:
            return answer
        raise self._error(answer)

    def _error(self, answer: httpx2.Response) -> RegistryError:
        try:
            told = _Problem.model_validate_json(answer.content)
        except ValidationError:
            told = _Problem()
        if answer.status_code >= 500 or not told.message:
            return RegistryUnavailable(
                f"the registry at {self.url} answered {answer.status_code}: {told.message or 'nothing that it would say'}",
                hint=told.hint,
            )
        if answer.status_code in {404, 410}:
            return NotRegistered(told.message, hint=told.hint)
        return RegistrationRefused(told.message, findings=told.findings, hint=told.hint)


class _Problem(BaseModel):
    message: str = ""
    hint: str | None = None
    findings: tuple[str, ...] = ()


def understood(answer: httpx2.Response, read: Callable[[bytes], _Any]) -> _Any:
    """What an answer says.

    Raises:
        RegistryUnavailable: it is none that a registry of this version gives.
    """
    try:
        return read(answer.content)
    except ValidationError as error:
        raise RegistryUnavailable(
            f"{answer.request.url} answered what no registry of this version says: {error}",
            hint="is that URL the registry's, and is it as new as this client?",
        ) from error
