"""HTTP requests to a registry, and the mapping of its responses to errors. The only importer of httpx2.

`Requests` and `AsyncRequests` differ in how they wait, and in nothing else. What both ask is written once, as `Steps`: a
generator yields each call, is sent the response or thrown the error, and returns what its caller wants.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import httpx2
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.config import ExtraValues

from meshport.errors import NotRegistered, RegistrationRefused, RegistryError, RegistryUnavailable
from meshport.registry.login import RegistryLogin, TokenSource, registry_login
from meshport.registry.versions import MESH_API, NO_SUCH_CALL, UNKNOWN_FIELD, version_note
from meshport.seen_readers import READER_HEADER, SubscriberName
from meshport.version import __version__

Transport = httpx2.BaseTransport
AsyncTransport = httpx2.AsyncBaseTransport
_Model = TypeVar("_Model", bound=BaseModel)
_Any = TypeVar("_Any")
_Parsed_co = TypeVar("_Parsed_co", covariant=True)
# `host:8081`, as people name a server; a user and a password need the whole URL, so that no part of one is taken for a host.
_SERVER: Final = re.compile(r"[\w.-]+(:[0-9]+)?(/[^@]*)?|\[[0-9a-fA-F:.]+\](:[0-9]+)?(/[^@]*)?")
# A kept connection may end as a request is sent on it: the server closes idle ones, or was started again. A GET is sent once more
# (RFC 9112 9.3.1); another method may have been carried out.
_CONNECTION_ENDED: Final = (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)
_CONNECT_S = 5.0  # a registry that is busy judging a contract still accepts connections


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a registry.

    Attributes:
        path: of the URL.
        query: the parameters; those that are None are omitted.
        method: of HTTP.
        content: the body, as JSON text.
        reader: the subscriber that asks, for the header `meshport-reader`; None for any other asker.
    """

    path: str
    query: Mapping[str, Any] | None = None
    method: str = "GET"
    content: str | None = None
    reader: SubscriberName | None = None

    def parts(self) -> dict[str, Any]:
        """Return the arguments of httpx2's `request`."""
        given = {name: value for name, value in (self.query or {}).items() if value is not None}
        headers = {} if self.content is None else {"content-type": "application/json"}
        if self.reader is not None:
            headers[READER_HEADER] = self.reader.header()
        return {
            "method": self.method,
            "url": self.path,
            "params": given or None,
            "content": self.content,
            "headers": headers or None,
        }


Steps: TypeAlias = Generator[Call, httpx2.Response, _Any]
"""The calls that lead to an answer, without I/O."""


class _Origin:
    """One registry: its URL, the login there, and what its responses mean.

    Attributes:
        url: of the registry, without user and password: messages, errors and httpx2's own log quote it.
        options: of httpx2's clients.

    Raises:
        RegistryUnavailable: the URL is none.
    """

    def __init__(self, url: str, timeout: float, login: RegistryLogin | None) -> None:
        given = _parsed(url)
        self.url = _shown(given)
        login = login or RegistryLogin()
        # Without TLS no certificates are loaded, which takes 30 ms of CPU. Redirects are not followed.
        secure = given.scheme != "http"
        self.options: dict[str, Any] = {
            "base_url": self.url,
            "auth": _auth(given, login),
            "headers": {"user-agent": f"meshport/{__version__}", **login.headers},
            "timeout": httpx2.Timeout(timeout, connect=min(timeout, _CONNECT_S)),
            # A proxy of the environment is for the internet, and the registry is in the user's own network.
            "trust_env": False,
            "verify": login.tls() if secure and login.has_files else secure,
        }

    def success(self, response: httpx2.Response) -> httpx2.Response:
        """Return the response if it is a success; see `Requests.send`."""
        if response.is_success:
            return response
        raise self._error(response)

    def silent(self, error: Exception) -> RegistryUnavailable:
        """Return the error for a request without a response."""
        return RegistryUnavailable(
            f"the registry at {self.url} did not answer: {str(error) or type(error).__name__}",
            url=self.url,
            hint="start one with `meshport up`, or name yours with --registry or MESHPORT_REGISTRY",
        )

    def _error(self, response: httpx2.Response) -> RegistryError:
        status = response.status_code
        try:
            problem = _Problem.model_validate_json(response.content)
        except ValidationError:
            problem = _Problem()
        path = str(response.request.url).removeprefix(self.url)
        if problem.message in NO_SUCH_CALL and path.startswith(MESH_API):
            return RegistryUnavailable(
                f"the registry at {self.url} has no {response.request.method} {path.partition('?')[0]}",
                url=self.url,
                status=status,
                hint=version_hint(response) or "is that the URL of a registry?",
            )
        if status >= 500 or not problem.message:
            return RegistryUnavailable(
                f"the registry at {self.url} answered {status}: {problem.message or 'no message'}",
                url=self.url,
                status=status,
                hint=problem.hint,
            )
        if status in {404, 410}:
            return NotRegistered(
                problem.message, successor=problem.successor, url=self.url, status=status, hint=problem.hint
            )
        hint = problem.hint
        if any(UNKNOWN_FIELD.search(each) for each in problem.findings):
            hint = version_hint(response) or hint
        return RegistrationRefused(problem.message, findings=problem.findings, url=self.url, status=status, hint=hint)


class Requests:
    """A pool of connections to one registry; thread-safe.

    Args:
        url: of the registry; a user and a password in it are sent as HTTP basic authentication.
        timeout: seconds to wait for one response; a connection is waited for 5 seconds at most.
        transport: the transport of requests; for tests inside one process.
        login: of the registry, where it is not in the URL, and the certificates of its connection.

    Attributes:
        url: of the registry, without user and password.

    Raises:
        RegistryUnavailable: the URL is none.
    """

    def __init__(
        self, url: str, *, timeout: float, transport: Transport | None = None, login: RegistryLogin | None = None
    ) -> None:
        self._origin = _Origin(url, timeout, login)
        self.url = self._origin.url
        self._http = httpx2.Client(transport=transport, **self._origin.options)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str, model: type[_Model], **query: Any) -> _Model:
        """Send a GET and return the response as a model; see `send`."""
        return parse_response(self.send("GET", path, query), model.model_validate_json)

    def post(self, path: str, body: BaseModel, model: type[_Model], **query: Any) -> _Model:
        """Send a POST and return the response as a model; see `send`."""
        content = body.model_dump_json(by_alias=True)
        return parse_response(self.send("POST", path, query, content), model.model_validate_json)

    def send(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, content: str | None = None
    ) -> httpx2.Response:
        """Send a request and return the response if it is a success.

        Args:
            method: of HTTP.
            path: of the URL.
            query: the parameters; those that are None are omitted.
            content: the body, as JSON text.

        Raises:
            RegistryUnavailable: there was no response, or its status is 500 or more.
            NotRegistered: the status is 404 or 410.
            RegistrationRefused: the status is another error; `findings` holds the reasons.
        """
        return self._send(Call(path, query, method, content))

    def take(self, steps: Steps[_Any]) -> _Any:
        """Send the calls of the steps, and return what they come to; see `send`."""
        try:
            call = next(steps)
            while True:
                try:
                    response = self._send(call)
                except RegistryError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(response)
        except StopIteration as done:
            answer: _Any = done.value
            return answer

    def _send(self, call: Call) -> httpx2.Response:
        try:
            try:
                response = self._http.request(**call.parts())
            except _CONNECTION_ENDED:
                if call.method != "GET":
                    raise
                response = self._http.request(**call.parts())
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._origin.silent(error) from error
        return self._origin.success(response)


class AsyncRequests:
    """A pool of connections to one registry, for the tasks of one event loop; otherwise as `Requests`."""

    def __init__(
        self, url: str, *, timeout: float, transport: AsyncTransport | None = None, login: RegistryLogin | None = None
    ) -> None:
        self._origin = _Origin(url, timeout, login)
        self.url = self._origin.url
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections; a further call opens new ones, in the event loop that runs then."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def take(self, steps: Steps[_Any]) -> _Any:
        """Send the calls of the steps, and return what they come to; raises as `Requests.send`."""
        try:
            call = next(steps)
            while True:
                try:
                    response = await self._send(call)
                except RegistryError as error:
                    call = steps.throw(error)
                else:
                    call = steps.send(response)
        except StopIteration as done:
            answer: _Any = done.value
            return answer

    async def _send(self, call: Call) -> httpx2.Response:
        if self._http is None:
            self._http = httpx2.AsyncClient(transport=self._transport, **self._origin.options)
        try:
            try:
                response = await self._http.request(**call.parts())
            except _CONNECTION_ENDED:
                if call.method != "GET":
                    raise
                response = await self._http.request(**call.parts())
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._origin.silent(error) from error
        return self._origin.success(response)


class _Bearer(httpx2.Auth):
    """Shows a token, and once more a renewed one where the registry refuses it.

    Args:
        token: or where it comes from.
    """

    def __init__(self, token: SecretStr | TokenSource) -> None:
        self._token = token

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        token = self._token
        shown = token if isinstance(token, SecretStr) else token.current()
        request.headers["authorization"] = f"Bearer {shown.get_secret_value()}"
        response = yield request
        if response.status_code == httpx2.codes.UNAUTHORIZED and not isinstance(token, SecretStr):
            renewed = token.renewed(shown)
            if renewed is not None:
                request.headers["authorization"] = f"Bearer {renewed.get_secret_value()}"
                yield request

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        flow = self.auth_flow(request)
        # A token may be asked for, or renewed, by a request to another service.
        step: httpx2.Request | None = await asyncio.to_thread(next, flow)
        while step is not None:
            response = yield step
            step = await asyncio.to_thread(_next_step, flow, response)


def _next_step(
    flow: Generator[httpx2.Request, httpx2.Response, None], response: httpx2.Response
) -> httpx2.Request | None:
    try:
        return flow.send(response)
    except StopIteration:
        return None


def _auth(given: httpx2.URL, login: RegistryLogin) -> httpx2.Auth | tuple[str, str] | None:
    if given.userinfo:
        return given.username, given.password
    return _Bearer(login.token) if login.token is not None else login.basic


def registry_url(url: str) -> str:
    """Return the URL of a registry as it is shown, without user and password; logins are kept by it.

    Raises:
        RegistryUnavailable: it is none.
    """
    return _shown(_parsed(url))


def login_of(url: str) -> RegistryLogin:
    """Return the login of this process for a registry's URL, which may have a user itself.

    Raises:
        RegistryUnavailable: it is no URL of a registry.
        LoginRefused, FileError: see `registry_login`.
    """
    return registry_login(registry_url(url) if "@" not in url else url)


def _shown(url: httpx2.URL) -> str:
    return str(url.copy_with(userinfo=b"")).rstrip("/")


def _parsed(url: str) -> httpx2.URL:
    """Return the parts of a registry's URL; a server without a scheme is taken to be reached by HTTP.

    Raises:
        RegistryUnavailable: it is no URL of HTTP. What stands before an `@` is left out of the message.
    """
    try:
        parsed = httpx2.URL(f"http://{url}" if _SERVER.fullmatch(url) else url)
        if parsed.scheme in {"http", "https"} and parsed.host:
            return parsed
    except httpx2.InvalidURL:
        pass  # raised below, without this error, which quotes a part of the URL
    shown = re.sub(r"(?s)^(https?://)?.*@", r"\1", url)
    raise RegistryUnavailable(
        f"{shown!r} is no URL of a registry",
        url=shown,
        hint="http://host:port or http://user:password@host:port, with %2F for / and %40 for @ in a password",
    )


class _Problem(BaseModel):
    """The body of an error response, of the mesh API or of Confluent's."""

    message: str = ""
    hint: str | None = None
    findings: tuple[str, ...] = ()
    successor: str | None = None


class Parse(Protocol[_Parsed_co]):
    """Reads a body: `model_validate_json` of a model, or `validate_json` of a `TypeAdapter`."""

    def __call__(self, data: bytes, /, *, extra: ExtraValues) -> _Parsed_co:
        """Return what the body holds."""


def version_hint(response: httpx2.Response) -> str | None:
    """Return what to do where registry and client are of different versions; None where they are not."""
    return version_note(response.headers, response.request.url.path)


def parse_response(response: httpx2.Response, parse: Parse[_Any]) -> _Any:
    """Return the parsed body of a response.

    A field that this version does not know is let by, in whatever model it is: a newer registry may have added it.

    Raises:
        RegistryUnavailable: the body is not what a registry of this version sends.
    """
    try:
        return parse(response.content, extra="ignore")
    except ValidationError as error:
        raise RegistryUnavailable(
            f"{response.request.url} answered what no registry of this version sends: {error}",
            url=str(response.request.url),
            status=response.status_code,
            hint=version_hint(response) or "is that URL the registry's?",
        ) from error
