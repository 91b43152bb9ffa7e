"""Texts of policies, and what a domain's own may speak of: its products and subjects, and nothing that is the mesh's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshport.errors import PolicyError
from meshport.policy.entities import Action
from meshport.policy.scopes import named_actions

CENTRAL: Final = frozenset({Action.WAIVE, Action.ADMINISTER, Action.AUDIT, Action.PROBE})
"""The actions that no domain's own policy may permit, because they are checks on the domain, or the mesh's."""


@dataclass(frozen=True, slots=True, order=True)
class PolicyText:
    """The text of one file of policies.

    Attributes:
        name: the file's path in the project, such as `policies/privacy.cedar`.
        text: in Cedar's language.
        domain: the domain whose policies these are; None for global ones.
    """

    name: str
    text: str
    domain: str | None = None


def confine(source: PolicyText, policy_id: str, policy: dict[str, Any]) -> None:
    """Check that a domain's own policy speaks of its domain alone.

    The scope of the policy has to say so: `resource in Domain::"shop"`, `resource == Product::"shop/orders"`, or
    `resource is Product in Domain::"shop"`. A permit has to name its actions.

    Args:
        source: the text that the policy is of.
        policy_id: of the policy.
        policy: the policy in Cedar's JSON form.

    Raises:
        PolicyError: it does not.
    """
    domain = source.domain
    if domain is None:
        return
    if not _within(domain, policy["resource"]):
        raise PolicyError(
            f'{policy_id} of the domain {domain} speaks of more than Domain::"{domain}"',
            hint=f'write `resource in Domain::"{domain}"`, or move the policy to policies/, which binds every domain',
            file=source.name,
        )
    if policy["effect"] != "permit":
        return
    actions = named_actions(policy["action"])
    if actions is None:
        raise PolicyError(
            f"{policy_id} of the domain {domain} permits every action",
            hint='name the actions: `action in [Action::"discover", Action::"read"]`',
            file=source.name,
        )
    if central := sorted(actions & CENTRAL):
        raise PolicyError(
            f"{policy_id} of the domain {domain} permits {', '.join(central)}, which only global policies permit",
            hint="move the policy to policies/",
            file=source.name,
        )


def _within(domain: str, scope: dict[str, Any]) -> bool:
    """Whether a scope's resources are all of the domain."""
    kept = scope if "entity" in scope else scope.get("in", {})
    entity = kept.get("entity")
    if entity is None:
        return False
    match entity["type"]:
        case "Domain":
            return bool(entity["id"] == domain)
        case "Product":
            return str(entity["id"]).startswith(f"{domain}/")
        case "Subject":
            return str(entity["id"]).startswith(f"{domain}.")
        case _:
            return False
