"""The door of the registry: from what a request shows to its caller."""

from __future__ import annotations

from starlette.types import Scope

from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.caller import ANONYMOUS, Caller
from meshport_registry.identity.certificates import caller_of
from meshport_registry.identity.credentials import KeyShown, shown
from meshport_registry.identity.keys import any_key
from meshport_registry.identity.known_keys import KnownKeys
from meshport_registry.identity.provider import Provider
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
    tokens = TokenVerifier(settings.oidc, Provider(settings.oidc.issuer)) if settings.oidc is not None else None
    return Door(KnownKeys(store), tokens, allow_anonymous=settings.allow_anonymous)


class Door:
    """Finds the caller of a request by its API key, bearer token or client certificate.

    A header `Authorization` counts before the certificate of the connection, which may be a proxy's.

    Args:
        keys: the API keys.
        tokens: verifies bearer tokens; None where no OpenID provider is configured.
        allow_anonymous: lets requests pass that show nothing.
    """

    def __init__(self, keys: KnownKeys, tokens: TokenVerifier | None, *, allow_anonymous: bool) -> None:
        self.keys = keys
        self._tokens = tokens
        self._allow_anonymous = allow_anonymous

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
        raise Unauthenticated(
            "the request shows no API key, token or client certificate",
            hint="log in with `meshport login`, or set MESHPORT_REGISTRY_TOKEN",
        )
