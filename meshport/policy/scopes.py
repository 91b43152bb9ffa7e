"""The scope of a policy, in Cedar's JSON form: the actions and the resources that it names, before its conditions."""

from __future__ import annotations

from typing import Any

from meshport.policy.entities import Resource

__all__ = ["named_actions", "names_resource"]


def named_actions(scope: dict[str, Any]) -> set[str] | None:
    """Return the actions that a scope names; None for all."""
    if scope["op"] == "All":
        return None
    named = scope["entities"] if "entities" in scope else [scope["entity"]]
    return {each["id"] for each in named}


def names_resource(scope: dict[str, Any], resource: Resource) -> bool:
    """Return whether a resource is among those that a scope names: all, one, those of a type, those in another."""
    kind, name = resource.uid
    match scope["op"]:
        case "All":
            return True
        case "==":
            return _uid(scope) == (kind, name)
        case "in":
            return _uid(scope) in _around(resource)
        case _:  # is, also with in
            within = scope.get("in")
            return bool(scope["entity_type"] == kind) and (within is None or _uid(within) in _around(resource))


def _around(resource: Resource) -> set[tuple[str, str]]:
    """Return a resource and those that it is in: an entity is in itself."""
    return {(each["uid"]["type"], each["uid"]["id"]) for each in resource.entities}


def _uid(scope: dict[str, Any]) -> tuple[str, str]:
    return scope["entity"]["type"], scope["entity"]["id"]
