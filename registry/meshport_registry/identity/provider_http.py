"""Requests to an OpenID provider, bounded in seconds and bytes; redirects are not followed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote_plus

import httpx2
import orjson
from pydantic import SecretStr

_TIMEOUT_S: Final = 5.0
_LARGEST: Final = 256 * 1024
_SHOWN: Final = 200


class ProviderError(Exception):
    """Raised when a provider did not answer, or not as one does. Its text says why, and has no secret."""


class CodeRefusedError(Exception):
    """Raised when a provider refuses a code (RFC 6749, section 5.2). Its text is the provider's, cut."""


async def get_object(url: str, *, token: SecretStr | None = None) -> dict[str, Any]:
    """Return the JSON object at a URL.

    Args:
        url: of the provider.
        token: the access token to show.

    Raises:
        ProviderError: it does not answer, or with something else.
    """
    shown = {} if token is None else {"authorization": f"Bearer {token.get_secret_value()}"}
    status, body = await _ask("GET", url, headers=shown)
    if status != httpx2.codes.OK:
        raise ProviderError(f"{url} answered {status}")
    return _object(url, body)


async def post_form(url: str, form: Mapping[str, str], *, login: tuple[str, SecretStr] | None = None) -> dict[str, Any]:
    """Return the JSON object that answers a form.

    Args:
        url: of the provider.
        form: the fields.
        login: the id and the secret of a client, for HTTP basic.

    Raises:
        CodeRefusedError: it refuses the request.
        ProviderError: it does not answer, or with something else.
    """
    # RFC 6749, section 2.3.1: id and secret are written as in a form before they are written for HTTP basic.
    auth = None if login is None else (quote_plus(login[0]), quote_plus(login[1].get_secret_value()))
    status, body = await _ask("POST", url, form=form, auth=auth)
    if status == httpx2.codes.OK:
        return _object(url, body)
    if status < httpx2.codes.INTERNAL_SERVER_ERROR:
        with suppress(ProviderError):
            answer = _object(url, body)
            error, said = answer.get("error"), answer.get("error_description")
            if isinstance(error, str):
                raise CodeRefusedError(plain(f"{error}: {said}" if isinstance(said, str) and said else error))
    raise ProviderError(f"{url} answered {status}")


async def _ask(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    form: Mapping[str, str] | None = None,
    auth: tuple[str, str] | None = None,
) -> tuple[int, bytes]:
    body = b""
    try:
        # The environment's proxy and authorities count (HTTPS_PROXY, SSL_CERT_FILE): a provider may be anywhere.
        async with (
            httpx2.AsyncClient(timeout=_TIMEOUT_S) as http,
            asyncio.timeout(2 * _TIMEOUT_S),
            http.stream(
                method, url, data=form, headers={"accept": "application/json", **(headers or {})}, auth=auth
            ) as response,
        ):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _LARGEST:
                    raise ProviderError(f"{url} answers more than {_LARGEST} bytes")
            return response.status_code, body
    except (httpx2.TimeoutException, TimeoutError) as error:
        raise ProviderError(f"{url} gave no answer in {2 * _TIMEOUT_S:.0f} seconds") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise ProviderError(f"{url}: {plain(str(error)) or type(error).__name__}") from error


def plain(text: str) -> str:
    """Return a text of others as it may be shown: cut, and without control characters."""
    return "".join(each if each.isprintable() else " " for each in text[:_SHOWN])


def _object(url: str, body: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProviderError(f"{url} answers no JSON object")
    return found
