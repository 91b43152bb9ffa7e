"""A person's login at an OpenID provider, of which a registry takes the tokens.

    provider = OpenIdProvider(client)          discovery (OpenID Connect Discovery 1.0)
    provider.authorization_url / redeem        authorization code with PKCE (RFC 7636), for a browser on this machine (RFC 8252)
    provider.begin_device / await_device       device code (RFC 8628), for a machine without a browser
    provider.refresh                           another token, without the person

The client is a public one: it has no secret. Only the issuer and the endpoints of its discovery document are asked. No signature
is verified here: the tokens come from the provider by TLS, and the registry verifies them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlencode

import httpx2
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from meshport.errors import LoginRefused, RegistryUnavailable
from meshport.safe_url import is_safe_url

__all__ = ["DevicePrompt", "OpenIdClient", "OpenIdProvider", "OpenIdTokens"]

_Answer = TypeVar("_Answer", bound=BaseModel)
_TIMEOUT_S: Final = 15.0
_LARGEST: Final = 256 * 1024
_OFFLINE: Final = "offline_access"
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_USUAL_END_S: Final = 300.0
"""How long a token counts whose end the provider does not say."""
_SLOWER_S: Final = 5.0
_SHOWN: Final = 200


class OpenIdClient(BaseModel):
    """What a provider knows a client by, and what the client asks it for.

    Attributes:
        issuer: URL of the provider.
        client_id: the client's id there.
        audience: the registry's, where the provider gives access tokens for it (RFC 8707). Without one the ID token is shown to
            the registry, whose audience is the client's id.
        scope: what is asked for, separated by spaces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    client_id: str
    audience: str | None = None
    scope: str = "openid"


@dataclass(frozen=True)
class OpenIdTokens:
    """What a provider gave.

    Attributes:
        token: which a registry takes.
        ends_at: when it ends, in seconds since 1970.
        refresh: gets the next one; None where the provider gives none.
    """

    token: SecretStr
    ends_at: float
    refresh: SecretStr | None = None


@dataclass(frozen=True)
class DevicePrompt:
    """What a person has to do elsewhere.

    Attributes:
        url: to open there.
        code: to enter there.
        complete_url: has the code already; None where the provider gives none.
    """

    url: str
    code: str
    complete_url: str | None
    device_code: SecretStr
    ends_at: float
    pause_s: float


class OpenIdProvider:
    """Asks one provider for tokens.

    Args:
        client: of the provider.

    Raises:
        RegistryUnavailable: the provider does not answer, or is none.
        LoginRefused: its URL is neither HTTPS nor on this machine.
    """

    def __init__(self, client: OpenIdClient) -> None:
        self.client = client
        _only_safe(client.issuer)
        # The environment's proxy and authorities count (HTTPS_PROXY, SSL_CERT_FILE): a provider may be anywhere.
        self._http = httpx2.Client(timeout=_TIMEOUT_S)
        try:
            found = self._ask("GET", f"{client.issuer.rstrip('/')}/.well-known/openid-configuration")
            self._endpoints = _read(_Endpoints, found, client.issuer)
            if self._endpoints.issuer != client.issuer:
                raise self._broken(f"its discovery document is of the issuer {self._endpoints.issuer[:_SHOWN]!r}")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def names_itself(self) -> bool:
        """Whether it says in its answer to a browser who it is (RFC 9207), so that no other can answer in its place."""
        return self._endpoints.authorization_response_iss_parameter_supported

    def authorization_url(self, redirect: str, state: str, verifier: str) -> str:
        """Return the URL at which a person logs in with a browser.

        Args:
            redirect: where the browser goes with the code afterwards.
            state: comes back with it.
            verifier: of PKCE; its hash is in the URL.
        """
        query = {
            **self._asked(),
            "response_type": "code",
            "redirect_uri": redirect,
            "state": state,
            "code_challenge": base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        if _OFFLINE in query["scope"].split():
            query["prompt"] = "consent"  # OpenID Connect Core 1.0, section 11
        url = self._endpoint("authorization_endpoint")
        return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"

    def redeem(self, code: str, redirect: str, verifier: str) -> OpenIdTokens:
        """Return the tokens of a code that a browser brought.

        Raises:
            LoginRefused: the provider refuses the code.
            RegistryUnavailable: it does not answer.
        """
        given = {"code": code, "redirect_uri": redirect, "code_verifier": verifier}
        return self._tokens({"grant_type": "authorization_code", **given}, None)

    def begin_device(self) -> DevicePrompt:
        """Begin a login without a browser on this machine.

        Raises:
            LoginRefused: the provider refuses it, or knows no such logins.
            RegistryUnavailable: it does not answer.
        """
        url = self._endpoint("device_authorization_endpoint")
        found = _read(_DeviceAnswer, self._ask("POST", url, self._asked()), self.client.issuer)
        return DevicePrompt(
            found.verification_uri,
            found.user_code,
            found.verification_uri_complete,
            found.device_code,
            time.time() + found.expires_in,
            found.interval,
        )

    def await_device(self, prompt: DevicePrompt) -> OpenIdTokens:
        """Wait until the person has logged in elsewhere, and return the tokens.

        Raises:
            LoginRefused: the person refused, or did not come in time.
            RegistryUnavailable: the provider does not answer.
        """
        given = {"grant_type": _DEVICE_GRANT, "device_code": prompt.device_code.get_secret_value()}
        pause = prompt.pause_s
        while time.time() < prompt.ends_at:
            time.sleep(pause)
            try:
                return self._tokens(given, None)
            except LoginRefused as error:
                if error.reason == "slow_down":
                    pause += _SLOWER_S
                elif error.reason != "authorization_pending":
                    raise
        raise LoginRefused("nobody logged in in time", url=self.client.issuer, hint="meshport login --device")

    def refresh(self, refresh: SecretStr) -> OpenIdTokens:
        """Return the next tokens.

        Raises:
            LoginRefused: the login has ended.
            RegistryUnavailable: the provider does not answer.
        """
        given = {"grant_type": "refresh_token", "refresh_token": refresh.get_secret_value()}
        return self._tokens(given, refresh)

    def revoke(self, refresh: SecretStr) -> None:
        """End a login at the provider (RFC 7009), where the provider can.

        Raises:
            LoginRefused: the provider refuses that.
            RegistryUnavailable: it does not answer.
        """
        if self._endpoints.revocation_endpoint:
            given = {"token": refresh.get_secret_value(), "client_id": self.client.client_id}
            self._ask("POST", self._endpoint("revocation_endpoint"), given)

    def _asked(self) -> dict[str, str]:
        scope = self.client.scope
        if _OFFLINE in self._endpoints.scopes_supported and _OFFLINE not in scope.split():
            scope = f"{scope} {_OFFLINE}"
        return {"client_id": self.client.client_id, "scope": scope, **self._resource()}

    def _resource(self) -> dict[str, str]:
        # `resource` is RFC 8707; `audience` is what providers before it have. Others ignore what they do not know.
        audience = self.client.audience
        return {"resource": audience, "audience": audience} if audience else {}

    def _tokens(self, given: dict[str, str], known_refresh: SecretStr | None) -> OpenIdTokens:
        body = {"client_id": self.client.client_id, **given, **self._resource()}
        found = _read(_TokenAnswer, self._ask("POST", self._endpoint("token_endpoint"), body), self.client.issuer)
        token = found.access_token if self.client.audience else found.id_token
        if token is None:
            what = "access token" if self.client.audience else "ID token"
            raise self._broken(f"it gave no {what}")
        lasts = _USUAL_END_S if found.expires_in is None or not self.client.audience else found.expires_in
        ends_at = _end(token) or time.time() + lasts
        return OpenIdTokens(token, ends_at, found.refresh_token or known_refresh)

    def _endpoint(self, name: str) -> str:
        url: str | None = getattr(self._endpoints, name)
        if not url:
            raise LoginRefused(
                f"the OpenID provider {self.client.issuer} has no {name}",
                url=self.client.issuer,
                hint="log in with the other of browser and --device",
            )
        _only_safe(url)
        return url

    def _ask(self, method: str, url: str, form: dict[str, str] | None = None) -> bytes:
        body = b""
        try:
            headers = {"accept": "application/json"}
            with self._http.stream(method, url, data=form, headers=headers) as response:
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > _LARGEST:
                        raise self._broken(f"{url} answers more than {_LARGEST} bytes")
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._broken(str(error) or type(error).__name__) from error
        if response.is_success:
            return body
        try:
            refused = _OAuthError.model_validate_json(body)
        except ValidationError:
            refused = None
        if refused is None or response.status_code >= httpx2.codes.INTERNAL_SERVER_ERROR:
            raise self._broken(f"{url} answered {response.status_code}")
        said = f": {refused.error_description[:_SHOWN]}" if refused.error_description else ""
        raise LoginRefused(
            f"the OpenID provider {self.client.issuer} refused the login: {refused.error[:_SHOWN]}{said}",
            url=self.client.issuer,
            status=response.status_code,
            reason=refused.error,
            hint="log in again: meshport login",
        )

    def _broken(self, why: str) -> RegistryUnavailable:
        return RegistryUnavailable(
            f"the OpenID provider {self.client.issuer} did not answer as one does: {why}", url=self.client.issuer
        )


class _Endpoints(BaseModel):
    issuer: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    scopes_supported: tuple[str, ...] = ()
    authorization_response_iss_parameter_supported: bool = False


class _TokenAnswer(BaseModel):
    access_token: SecretStr | None = None
    id_token: SecretStr | None = None
    refresh_token: SecretStr | None = None
    expires_in: float | None = None


class _DeviceAnswer(BaseModel):
    device_code: SecretStr
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    expires_in: float = Field(gt=0)
    interval: float = Field(default=5.0, ge=0)


class _OAuthError(BaseModel):
    """An error response (RFC 6749, section 5.2)."""

    error: str
    error_description: str = ""


def _read(model: type[_Answer], body: bytes, issuer: str) -> _Answer:
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        missing = ", ".join(str(each["loc"][-1]) for each in error.errors() if each["loc"])
        raise RegistryUnavailable(
            f"the OpenID provider {issuer} did not answer as one does: {missing or 'no JSON'}", url=issuer
        ) from None


def _only_safe(url: str) -> None:
    if not is_safe_url(url):
        raise LoginRefused(f"{url[:_SHOWN]!r} is neither a URL of HTTPS nor of HTTP on this machine", url=url[:_SHOWN])


def _end(token: SecretStr) -> float | None:
    """Return the claim `exp` of a token, unverified; None where it has none that can be read."""
    _, _, rest = token.get_secret_value().partition(".")
    payload = rest.partition(".")[0]
    try:
        claims: Any = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (binascii.Error, ValueError, TypeError, KeyError):
        return None
