"""The door of the registry: from what a request shows to its caller."""

from __future__ import annotations

from functools import partial

from starlette.types import Scope

from meshport_registry.errors import NothingShown, Unauthenticated
from meshport_registry.identity.browser import logged_in, shows_authorization
from meshport_registry.identity.caller import ANONYMOUS, Caller
from meshport_registry.identity.certificates import caller_of
from meshport_registry.identity.code_flow import CodeFlow
from meshport_registry.identity.credentials import KeyShown, shown
from meshport_registry.identity.keys import any_key
from meshport_registry.identity.known_keys import KnownKeys
from meshport_registry.identity.provider import Provider
from meshport_registry.identity.sessions import find_session
from meshport_registry.identity.tokens import TokenVerifier
from meshport_registry.settings import Settings
from meshport_registry.store import RegistryStore


def knows_identities(settings: Settings, store: RegistryStore) -> bool:
    """Whether a registry has a source of identities: a client authority, an OpenID provider, or an API key.

    A key that has ended or is revoked counts too, so that no registry opens when its last key ends.

    Raises:
        StoreFailed: the database did not answer.
    """
    by_certificate = settings.tls is not None and settings.tls.client_ca is not None
    return by_certificate or settings.oidc is not None or store.read_now(any_key)


def open_door(settings: Settings, store: RegistryStore) -> Door | None:
    """Return the door of a registry that starts, or None if it has no source of identities.

    Raises:
        StoreFailed: the database did not answer.
    """
    if not knows_identities(settings, store):
        return None
    tokens = code_flow = None
    if settings.oidc is not None:
        provider = Provider(settings.oidc.issuer)
        tokens = TokenVerifier(settings.oidc, provider)
        if settings.oidc.browser is not None:
            code_flow = CodeFlow(settings.oidc, settings.oidc.browser, provider, settings.url)
    return Door(store, tokens, code_flow, allow_anonymous=settings.allow_anonymous)


class Door:
    """Finds the caller of a request by its API key, bearer token or client certificate, or by the login of its browser.

    A header `Authorization` counts before the certificate of the connection, which may be a proxy's.

    Args:
        store: the database, with the API keys and the logins of browsers.
        tokens: verifies bearer tokens; None where no OpenID provider is configured.
        code_flow: logs browsers in at the OpenID provider; None where that is not configured.
        allow_anonymous: lets requests pass that show nothing.

    Attributes:
        keys: the API keys.
        code_flow: as above.
    """

    def __init__(
        self, store: RegistryStore, tokens: TokenVerifier | None, code_flow: CodeFlow | None, *, allow_anonymous: bool
    ) -> None:
        self.keys = KnownKeys(store)
        self.code_flow = code_flow
        self._store = store
        self._tokens = tokens
        self._allow_anonymous = allow_anonymous

    async def identify_browser(self, scope: Scope) -> Caller:
        """Return the caller of a request for a page of the catalog, where the cookies of a browser count.

        Raises:
            Unauthenticated, IdentityUnavailable, StoreFailed: as `identify` does.
        """
        flow = self.code_flow
        cookie = None if flow is None or shows_authorization(scope) else flow.cookies.session(scope)
        if flow is not None and cookie is not None:
            session = await self._store.read(partial(find_session, issuer=flow.issuer, cookie=cookie))
            if session is not None:
                return session.caller
        try:
            return await self.identify({**scope, "headers": logged_in(scope)})
        except NothingShown as error:
            what = "log in to see this page" if cookie is None else "the login has ended"
            raise NothingShown(what, hint=error.hint) from error

    async def identify(self, scope: Scope) -> Caller:
        """Return the caller of a request.

        Raises:
            Unauthenticated: the request shows nothing, or what it shows names no caller.
            IdentityUnavailable: the OpenID provider does not answer.
            StoreFailed: the database does not answer.
        """
        found = shown(scope["headers"])
        if isinstance(found, KeyShown):
            return await self.keys.caller(found)
        if found is not None:
            if self._tokens is None:
                raise Unauthenticated(
                    "the bearer token is no API key, and this registry has no OpenID provider",
                    hint="ask its keepers for a key, or start it with --oidc-issuer",
                )
            return await self._tokens.caller(found.text)
        certificate = scope["state"].get("client_certificate")
        if certificate:
            return caller_of(certificate)
        if self._allow_anonymous:
            return ANONYMOUS
        raise NothingShown(
            "the request shows no API key, token or client certificate",
            hint="log in with `meshport login`, or set MESHPORT_REGISTRY_TOKEN",
        )
