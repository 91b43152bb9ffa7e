"""Tokens of SASL OAUTHBEARER for aiokafka: by a token function, or by client credentials as librdkafka asks for them."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import quote_plus, urlencode, urlsplit
from urllib.request import Request, urlopen

from aiokafka.abc import AbstractTokenProvider
from pydantic import SecretStr

from meshport.errors import KafkaConfigError, KafkaError
from meshport.kafka.token_function import TokenFunction, token_function

__all__ = ["TOKEN_PROPERTIES", "Tokens", "clear", "token_source"]

_FUNCTION: Final = "oauth_cb"
_CONFIG: Final = "sasl.oauthbearer.config"
_METHOD: Final = "sasl.oauthbearer.method"
_ENDPOINT: Final = "sasl.oauthbearer.token.endpoint.url"
_ID: Final = "sasl.oauthbearer.client.id"
_SECRET: Final = "sasl.oauthbearer.client.secret"  # noqa: S105 - a name
_SCOPE: Final = "sasl.oauthbearer.scope"
_EXTENSIONS: Final = "sasl.oauthbearer.extensions"
_GRANT: Final = "sasl.oauthbearer.grant.type"
_CLIENT_CREDENTIALS: Final = "client_credentials"
TOKEN_PROPERTIES: Final = frozenset({_CONFIG, _METHOD, _ENDPOINT, _ID, _SECRET, _SCOPE, _EXTENSIONS, _GRANT})
"""The properties about tokens that are taken."""

# A token is asked for again so many seconds before its end: a connection that is being made has to see it valid.
_RENEWED_BEFORE_END_S: Final = 30.0
_ANSWER_S: Final = 20.0
_LONGEST_ANSWER: Final = 1 << 20


class Tokens(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka has no types
    """Asks for tokens, each some time before the end of the one before.

    Args:
        ask: returns a token, the seconds since 1970 of its end, and, if it likes, a principal and the extensions.
    """

    def __init__(self, ask: TokenFunction) -> None:
        self._ask = ask
        self._token, self._ends = "", 0.0
        self._extensions: Mapping[str, str] = {}
        self._asking = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that is valid for now; it is asked for in a thread of its own."""
        async with self._asking:
            if time.time() > self._ends - _RENEWED_BEFORE_END_S:
                token, ends, *further = await asyncio.to_thread(self._ask, "")
                self._token, self._ends = str(token), float(ends)
                self._extensions = further[1] if len(further) > 1 else {}
            return self._token

    def extensions(self) -> Mapping[str, str]:
        """Return the extensions of the last token."""
        return self._extensions


def token_source(given: Mapping[str, Any]) -> TokenFunction:
    """Return the function that the properties of a connection give tokens by.

    Raises:
        KafkaConfigError: they have neither a token function nor client credentials.
    """
    if function := given.get(_FUNCTION):
        ask = token_function(function) if isinstance(function, str) else function
        config = clear(given.get(_CONFIG, ""))
        return lambda _: ask(config)
    if str(given.get(_METHOD, "")).lower() != "oidc":
        raise KafkaConfigError(
            "OAUTHBEARER needs a token function or client credentials",
            property=_METHOD,
            hint=f"{_FUNCTION}=module:function, or {_METHOD}=oidc",
        )
    if (grant := str(given.get(_GRANT, _CLIENT_CREDENTIALS))) != _CLIENT_CREDENTIALS:
        raise KafkaConfigError(
            f"the faust engine cannot ask for tokens by {grant}",
            property=_GRANT,
            hint="`engine: batch` takes what librdkafka takes",
        )
    for name in (_ENDPOINT, _ID, _SECRET):
        if name not in given:
            raise KafkaConfigError(f"{_METHOD}=oidc needs {name}", property=name)
    if urlsplit(str(given[_ENDPOINT])).scheme not in {"http", "https"}:
        raise KafkaConfigError(f"{_ENDPOINT} is no address of HTTP", property=_ENDPOINT)
    return partial(_client_credentials, given)


def clear(value: Any) -> str:
    """Return the text of a property's value, a secret's too."""
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _client_credentials(given: Mapping[str, Any], _: str) -> tuple[str, float, str, dict[str, str]]:
    """Ask a token endpoint by client credentials (RFC 6749, section 4.4).

    Raises:
        KafkaError: the endpoint gave no token.
    """
    url = str(given[_ENDPOINT])
    login = ":".join(quote_plus(clear(given[name])) for name in (_ID, _SECRET))  # RFC 6749, section 2.3.1
    scope = {"scope": str(given[_SCOPE])} if _SCOPE in given else {}
    request = Request(  # noqa: S310 - `token_source` takes addresses of HTTP only
        url,
        urlencode({"grant_type": _CLIENT_CREDENTIALS, **scope}).encode(),
        {
            "Authorization": f"Basic {base64.b64encode(login.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        },
    )
    context = _authorities(given) if url.startswith("https") else None
    try:
        with urlopen(request, timeout=_ANSWER_S, context=context) as answer:  # noqa: S310 - as above
            found = json.loads(answer.read(_LONGEST_ANSWER))
        token, lasts = str(found["access_token"]), float(found["expires_in"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        # The answer may hold a token, so that its text is left out.
        raise KafkaError(f"{url} gave no token: {type(error).__name__}") from None
    pairs = (each.partition("=") for each in str(given.get(_EXTENSIONS, "")).split(",") if each)
    return token, time.time() + lasts, "", {name: value for name, _, value in pairs}


def _authorities(given: Mapping[str, Any]) -> ssl.SSLContext:
    """Return the context for the endpoint; librdkafka has properties of their own for its authorities."""
    pem = given.get("https.ca.pem")
    return ssl.create_default_context(cafile=given.get("https.ca.location"), cadata=None if pem is None else clear(pem))
