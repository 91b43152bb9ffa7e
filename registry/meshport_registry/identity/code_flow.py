"""Logins at the OpenID provider with a browser: the authorization code flow (OpenID Connect Core 1.0, section 3.1).

A code counts once, for the browser that began its login: by `state`, by `nonce` within the ID token, and by PKCE (RFC 7636). The
ID token is verified as a bearer token is, for the audience of the client. No token of the provider reaches the browser.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from meshport_registry.errors import IdentityUnavailable, Unauthenticated
from meshport_registry.identity.browser import BegunLogin, BrowserCookies
from meshport_registry.identity.caller import Caller
from meshport_registry.identity.claims import caller_of_claims, has_groups
from meshport_registry.identity.provider import Provider, ProviderEndpoints
from meshport_registry.identity.provider_http import CodeRefusedError, ProviderError, get_object, plain, post_form
from meshport_registry.identity.signatures import header_of, key_of, refusal, verified_claims
from meshport_registry.settings import BrowserLogin, OidcSettings

START: Final = "/catalog/login/start"
"""The path at which a login at the provider begins."""
CALLBACK: Final = "/catalog/login/callback"
"""The path to which the provider leads the browser back."""
_AGAIN: Final = "log in again"
_WAIT: Final = (
    "try again in a minute; if that does not help, ask the keepers of this registry, who find the same in its log"
)
# An access token (`at+jwt`) is no ID token, whatever its claims are.
_TYPES: Final = frozenset({"jwt"})
_REQUIRED: Final = ("iss", "sub", "aud", "exp", "iat", "nonce")


@dataclass(frozen=True, slots=True)
class ProviderLogin:
    """A login that the provider has confirmed.

    Attributes:
        caller: who logged in.
        id_token: of the provider.
    """

    caller: Caller
    id_token: SecretStr = field(repr=False)


class CodeFlow:
    """Logs people in at one provider.

    Args:
        settings: of the provider.
        browser: of the client there.
        provider: its keys and endpoints.
        public_url: at which browsers reach the registry.

    Attributes:
        issuer: of the provider.
        host: of the provider, for people.
        start_url: at which a login begins: at the public URL, so that its cookies come back there.
        lasts: how long a login counts.
        cookies: of the browsers.
    """

    def __init__(self, settings: OidcSettings, browser: BrowserLogin, provider: Provider, public_url: str) -> None:
        self.issuer = settings.issuer
        self.host = urlsplit(settings.issuer).netloc
        self.start_url = public_url + START
        self.lasts = timedelta(hours=browser.hours)
        self.cookies = BrowserCookies(https=public_url.startswith("https://"))
        self._settings = settings
        self._browser = browser
        self._provider = provider
        self._redirect_uri = public_url + CALLBACK
        self._public_url = public_url

    async def login_url(self, begun: BegunLogin) -> str:
        """Return the URL at which a person logs in.

        Raises:
            IdentityUnavailable: the provider does not answer, or has no such logins.
        """
        endpoints = await self._endpoints()
        challenge = hashlib.sha256(begun.verifier.encode()).digest()
        return _with_query(
            endpoints.authorization or "",
            {
                "client_id": self._browser.client_id,
                "response_type": "code",
                "scope": self._browser.scope,
                "redirect_uri": self._redirect_uri,
                "state": begun.state,
                "nonce": begun.nonce,
                "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
                "code_challenge_method": "S256",
            },
        )

    async def finish(self, begun: BegunLogin, answer: Mapping[str, str]) -> ProviderLogin:
        """Return the login of a code that a browser brings.

        Args:
            begun: the login that this browser began, by the state of the answer.
            answer: the parameters with which the provider led the browser back.

        Raises:
            Unauthenticated: the provider refused the login, or its answer is not one to this login.
            IdentityUnavailable: the provider does not answer.
        """
        endpoints = await self._endpoints()
        named = answer.get("iss")
        if named is None and endpoints.names_itself:
            raise _refused("the answer does not say that it is the provider's (iss)")
        if named is not None and named != self.issuer:
            raise _refused("the answer is of another provider (iss)")
        if error := answer.get("error"):
            said = answer.get("error_description")
            raise _refused(f"the provider refused the login: {plain(f'{error}: {said}' if said else error)}")
        if not (code := answer.get("code")):
            raise _refused("the answer of the provider has no code")
        tokens = await self._redeem(endpoints, code, begun.verifier)
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise self._failed("it gave no ID token")
        claims = await self._verified(id_token, begun.nonce)
        return ProviderLogin(
            caller_of_claims(await self._completed(claims, endpoints, tokens), self._settings), SecretStr(id_token)
        )

    async def logout_url(self, id_token: SecretStr | None) -> str | None:
        """Return the URL at which a person logs out of the provider (OpenID Connect RP-Initiated Logout 1.0).

        Returns:
            The URL; None where the provider has none, or does not answer.
        """
        try:
            url = (await self._provider.endpoints()).end_session
        except IdentityUnavailable:
            return None
        if url is None:
            return None
        hint = {} if id_token is None else {"id_token_hint": id_token.get_secret_value()}
        given = {"client_id": self._browser.client_id, "post_logout_redirect_uri": f"{self._public_url}/catalog/login"}
        return _with_query(url, hint | given)

    async def _endpoints(self) -> ProviderEndpoints:
        try:
            found = await self._provider.endpoints()
        except IdentityUnavailable as error:
            raise IdentityUnavailable(error.message, hint=_WAIT) from error
        if found.authorization is None or found.token is None:
            missing = "token_endpoint" if found.token is None else "authorization_endpoint"
            raise self._failed(f"its discovery document has no {missing} of HTTPS")
        return found

    async def _redeem(self, endpoints: ProviderEndpoints, code: str, verifier: str) -> dict[str, Any]:
        """Return what the provider gives for a code."""
        client, secret = self._browser.client_id, self._browser.client_secret
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._redirect_uri,
            "code_verifier": verifier,
        }
        login = None
        if secret is None:
            form["client_id"] = client
        elif endpoints.by_basic:
            login = (client, secret)
        else:
            form |= {"client_id": client, "client_secret": secret.get_secret_value()}
        try:
            return await post_form(endpoints.token or "", form, login=login)
        except CodeRefusedError as error:
            raise _refused(f"the provider refused the login: {error}") from error
        except ProviderError as error:
            raise self._failed(str(error)) from error

    async def _verified(self, id_token: str, nonce: str) -> dict[str, Any]:
        """Return the claims of an ID token (OpenID Connect Core 1.0, section 3.1.3.7)."""
        header = header_of(id_token, _TYPES)
        key = key_of(await self._provider.keys(), header) or key_of(await self._provider.keys_read_again(), header)
        if key is None:
            raise refusal("is signed by no key of the provider")
        client = self._browser.client_id
        claims = verified_claims(
            id_token, key, header["alg"], issuer=self.issuer, audience=client, required=_REQUIRED
        )  # fmt: skip
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else client) != client:
            raise refusal("was given to another client (azp)")
        if not secrets.compare_digest(str(claims["nonce"]).encode(), nonce.encode()):
            raise refusal("is of another login (nonce)")
        return claims

    async def _completed(
        self, claims: dict[str, Any], endpoints: ProviderEndpoints, tokens: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return claims with those of the userinfo endpoint, where the ID token lacks the caller's name or groups."""
        access_token = tokens.get("access_token")
        whole = self._settings.name_claim in claims and has_groups(claims, self._settings.groups_claim)
        if whole or endpoints.userinfo is None or not isinstance(access_token, str):
            return claims
        try:
            further = await get_object(endpoints.userinfo, token=SecretStr(access_token))
        except ProviderError as error:
            raise self._failed(str(error)) from error
        if further.get("sub") != claims["sub"]:
            raise self._failed(f"{endpoints.userinfo} answers for another person (sub)")
        return further | claims

    def _failed(self, reason: str) -> IdentityUnavailable:
        return IdentityUnavailable(self._provider.unavailable(reason).message, hint=_WAIT)


def _refused(reason: str) -> Unauthenticated:
    return Unauthenticated(reason, hint=_AGAIN)


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
