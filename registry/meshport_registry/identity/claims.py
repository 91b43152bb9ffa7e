"""The caller whom the verified claims of an OpenID provider name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshport_registry.identity.caller import Caller, unfit_group, unfit_name
from meshport_registry.identity.signatures import refusal
from meshport_registry.settings import OidcSettings

_MOST_GROUPS: Final = 1000


def caller_of_claims(claims: Mapping[str, Any], settings: OidcSettings) -> Caller:
    """Return the caller whom verified claims name.

    Raises:
        Unauthenticated: the claim of the name is no name, or an email address that the provider has not verified.
    """
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or unfit_name(name):
        raise refusal(f"has no name of a caller in its claim {settings.name_claim}")
    if settings.name_claim == "email" and claims.get("email_verified", True) is not True:
        raise refusal("names an email address that its provider has not verified")
    return Caller(name, _groups(claims, settings.groups_claim), "token")


def has_groups(claims: Mapping[str, Any], path: str) -> bool:
    """Whether claims have the claim of the groups, also one that is no list of them."""
    return _found(claims, path) is not None


def _found(claims: Mapping[str, Any], path: str) -> Any:
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _groups(claims: Mapping[str, Any], path: str) -> frozenset[str]:
    found = _found(claims, path)
    names = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    if len(names) > _MOST_GROUPS:
        raise refusal(f"has more than {_MOST_GROUPS} groups in its claim {path}")
    return frozenset(each for each in names if isinstance(each, str) and not unfit_group(each))
