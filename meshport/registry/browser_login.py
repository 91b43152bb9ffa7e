"""A login with the browser of this machine: the provider sends it back to a port of this process (RFC 8252, 7.3)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from meshport.errors import LoginRefused
from meshport.registry.openid import OpenIdProvider, OpenIdTokens

__all__ = ["browser_login"]

_HOST: Final = "127.0.0.1"
_PATH: Final = "/callback"
_SECRET_BYTES: Final = 32
_ONE_REQUEST_S: Final = 10.0
_DONE: Final = b"You are logged in. This page can be closed."
_NOT_DONE: Final = b"The login did not succeed; the terminal says why. This page can be closed."


def browser_login(provider: OpenIdProvider, open_page: Callable[[str], None], *, timeout_s: float) -> OpenIdTokens:
    """Let a person log in with a browser, and return the tokens.

    Args:
        provider: of the tokens.
        open_page: shows the person a URL.
        timeout_s: seconds that the person has.

    Raises:
        LoginRefused: the person or the provider refused, or the time is over.
        RegistryUnavailable: the provider does not answer.
    """
    state, verifier = secrets.token_urlsafe(_SECRET_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    with _Receiver(provider, state) as receiver:
        redirect = f"http://{_HOST}:{receiver.server_port}{_PATH}"
        open_page(provider.authorization_url(redirect, state, verifier))
        deadline = time.monotonic() + timeout_s
        while receiver.answer is None:
            receiver.timeout = deadline - time.monotonic()
            if receiver.timeout <= 0:
                raise LoginRefused(
                    f"nobody logged in within {timeout_s:g} seconds",
                    url=provider.client.issuer,
                    hint="where this machine has no browser: meshport login --device",
                )
            receiver.handle_request()
        answer = receiver.answer
    if "code" not in answer:
        said = answer.get("error_description") or answer.get("error", "it gave no code")
        raise LoginRefused(
            f"the OpenID provider {provider.client.issuer} refused the login: {said[:200]}",
            url=provider.client.issuer,
            reason=answer.get("error"),
        )
    return provider.redeem(answer["code"], redirect, verifier)


class _Receiver(HTTPServer):
    """Takes the one answer of the provider; any other request gets 404."""

    def __init__(self, provider: OpenIdProvider, state: str) -> None:
        super().__init__((_HOST, 0), _Callback)
        self.answer: dict[str, str] | None = None
        self._provider = provider
        self._state = state

    def is_answer(self, query: dict[str, str]) -> bool:
        """Return whether a query is the provider's answer to this login."""
        issuer = query.get("iss", "" if self._provider.names_itself else self._provider.client.issuer)
        known = secrets.compare_digest(query.get("state", "").encode(), self._state.encode())
        return known and issuer == self._provider.client.issuer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a browser may open connections that it does not use."""


class _Callback(BaseHTTPRequestHandler):
    server: _Receiver
    timeout = _ONE_REQUEST_S

    def do_GET(self) -> None:
        """Take the answer."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items() if len(values) == 1}
        if parts.path != _PATH or not self.server.is_answer(query):
            self.send_error(404)
            return
        self.server.answer = query
        text = _DONE if "code" in query else _NOT_DONE
        self.send_response(200)
        for name, value in {
            "content-type": "text/plain; charset=utf-8",
            "content-length": str(len(text)),
            "cache-control": "no-store",
            "referrer-policy": "no-referrer",
            "connection": "close",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the path has the code."""
