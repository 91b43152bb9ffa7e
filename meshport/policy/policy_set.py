"""A set of policies, checked, and the decisions that it makes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from importlib.resources import files
from typing import Any, Final, Self

import cedarpy

from meshport.errors import PolicyError
from meshport.policy.confinement import PolicyText, confine
from meshport.policy.entities import Action, Resource, entity
from meshport.policy.scopes import named_actions, names_resource

_PACKAGE: Final = files("meshport.policy")
_SCHEMA_TEXT: Final = (_PACKAGE / "mesh.cedarschema").read_text("utf-8")
_SCHEMA: Final = cedarpy.Schema.from_str(_SCHEMA_TEXT)
_BUILT_IN_NAMES: Final = ("mesh.cedar", "owners.cedar", "readers.cedar")
LARGEST_TEXT: Final = 256 * 1024
"""Characters of the policies of one set, those of the package apart."""

BUILT_IN: Final = tuple(
    PolicyText(f"meshport/{name}", (_PACKAGE / "builtin" / name).read_text("utf-8")) for name in _BUILT_IN_NAMES
)
"""The policies that the package brings. A global forbid narrows them; nothing else does."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of a set.

    Attributes:
        id: `<file>#<@id>`, or `<file>#<number in the file>` where it has no `@id`.
        file: the file that it stands in.
        effect: `permit` or `forbid`.
        why: its `@why`, a sentence for people; None where it has none.
        text: in Cedar's language.
    """

    id: str
    file: str
    effect: str
    why: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a caller may do something, and which policies say so.

    Attributes:
        allowed: whether it may.
        policies: the ids of the policies that decided: the permits of what is allowed, the forbids of what is forbidden;
            none where no policy permits it.
        version: of the set of policies.
    """

    allowed: bool
    policies: tuple[str, ...]
    version: str


class PolicySet:
    """The built-in policies and those of a project, parsed and checked.

    It decides without I/O and may be shared by threads. A decision takes about 50 microseconds; who decides often keeps
    decisions by `version`.

    Attributes:
        texts: the project's own texts, in the order of their names.
        version: the first 12 hex digits of the SHA-256 of all texts, the built-in ones included.
    """

    def __init__(self, texts: Iterable[PolicyText] = ()) -> None:
        """Parse the texts and check each policy.

        Raises:
            PolicyError: a text is not Cedar, a policy speaks of what the mesh does not have, two policies have one id, a
                domain's policy speaks of more than its domain, or the texts are too large.
        """
        self.texts: Final = tuple(sorted(texts))
        names = [each.name for each in self.texts]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise PolicyError(f"{twice} is given twice", file=twice)
        if (size := sum(len(each.text) for each in self.texts)) > LARGEST_TEXT:
            raise PolicyError(f"the policies have {size} characters; at most {LARGEST_TEXT} can be")
        everything = (*BUILT_IN, *self.texts)
        self.version: Final = _version(everything)
        self._static: Final[dict[str, dict[str, Any]]] = {}
        self._files: Final[dict[str, str]] = {}
        for source in everything:
            for policy_id, policy in _parsed(source).items():
                self._static[policy_id] = policy
                self._files[policy_id] = source.name
        self._handle: Final = cedarpy.PolicySet.from_json_str(_set_json(self._static))

    @classmethod
    def of(cls, texts: Mapping[str, str], *, domains: Mapping[str, str] | None = None) -> Self:
        """Return the set of texts by file name; `domains` names the domain of those that are a domain's own."""
        own = domains or {}
        return cls(PolicyText(name, text, own.get(name)) for name, text in texts.items())

    @cached_property
    def policies(self) -> dict[str, Policy]:
        """Every policy by its id, the built-in ones first."""
        return {policy_id: self._policy(policy_id) for policy_id in self._static}

    def _policy(self, policy_id: str) -> Policy:
        found = self._static[policy_id]
        text = cedarpy.policies_from_json_str(_set_json({policy_id: found})).strip()
        return Policy(policy_id, self._files[policy_id], found["effect"], _notes(found).get("why"), text)

    @cached_property
    def forbids(self) -> bool:
        """Whether any policy forbids something."""
        return any(each["effect"] == "forbid" for each in self._static.values())

    @cached_property
    def texts_of_policies(self) -> frozenset[str]:
        """Every text that a policy has, the ids of the products and callers that it names among them."""
        return frozenset(text for each in self._static.values() for text in _texts(each))

    def same_for_every_product(self, decision: Decision, action: Action) -> bool:
        """Return whether what permits a caller an action with the mesh permits it the same with every product.

        That is so where one of the permits looks at no resource, and no policy forbids the action.

        Args:
            decision: about the action of the caller with the mesh.
            action: that was decided about.
        """
        return (
            decision.allowed
            and not any(each["effect"] == "forbid" and _names(each, action) for each in self._static.values())
            and any(_looks_at_no_resource(self._static[policy_id]) for policy_id in decision.policies)
        )

    def permitting(self, action: Action, resource: Resource) -> list[Policy]:
        """Return the policies that permit an action with a resource to some caller, by what their scopes name."""
        found = []
        for policy_id, policy in self._static.items():
            if policy["effect"] == "permit" and _names(policy, action) and names_resource(policy["resource"], resource):
                found.append(self.policies[policy_id])
        return found

    def decide(
        self,
        caller: str,
        groups: frozenset[str],
        action: Action,
        resource: Resource,
        context: Mapping[str, str] | None = None,
    ) -> Decision:
        """Decide whether a caller may do something.

        What a policy cannot evaluate counts as a refusal, because the policy may be a forbid.

        Args:
            caller: its name, such as `billing/invoices`, `ann@example.org` or `anonymous`.
            groups: the groups that it is in.
            action: what it wants to do.
            resource: what it wants to do it with.
            context: `by`, how the caller is known: `anonymous`, `key`, `certificate` or `token`.
        """
        kind, name = resource.uid
        principal = entity(("Caller", caller), {}, parents=[("Group", group) for group in sorted(groups)])
        request = {
            "principal": {"type": "Caller", "id": caller},
            "action": {"type": "Action", "id": str(action)},
            "resource": {"type": kind, "id": name},
            "context": dict(context or {}),
        }
        result = cedarpy.is_authorized(request, self._handle, [principal, *resource.entities], _SCHEMA)
        errors = result.diagnostics.errors
        return Decision(result.allowed and not errors, tuple(sorted(result.diagnostics.reasons)), self.version)


def _names(policy: Mapping[str, Any], action: Action) -> bool:
    named = named_actions(policy["action"])
    return named is None or action in named


def _looks_at_no_resource(policy: Mapping[str, Any]) -> bool:
    return policy["resource"]["op"] == "All" and "resource" not in _texts(policy["conditions"])


def _texts(form: Any) -> Iterator[str]:
    """Yield every text in a policy's JSON form: names of variables, attributes and entities, and literals."""
    if isinstance(form, str):
        yield form
    elif isinstance(form, Mapping):
        for each in form.values():
            yield from _texts(each)
    elif isinstance(form, list):
        for each in form:
            yield from _texts(each)


def _version(texts: Iterable[PolicyText]) -> str:
    whole = sha256()
    for each in texts:
        for part in (each.name, each.domain or "", each.text):
            data = part.encode()
            whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()[:12]


def _set_json(static: Mapping[str, Any]) -> str:
    return json.dumps({"templates": {}, "staticPolicies": static, "templateLinks": []})


def _notes(policy: Mapping[str, Any]) -> dict[str, str]:
    return {name: value or "" for name, value in policy.get("annotations", {}).items()}


def _parsed(source: PolicyText) -> dict[str, dict[str, Any]]:
    """Return the policies of a text by their ids, in Cedar's JSON form, each checked.

    Raises:
        PolicyError: the text is not Cedar, or a policy is not one of the mesh.
    """
    try:
        whole = json.loads(cedarpy.policies_to_json_str(source.text))
    except ValueError as error:
        raise PolicyError(f"{source.name} is not Cedar: {error}", file=source.name) from error
    if whole["templates"]:
        raise PolicyError(
            f"{source.name} has a template (?principal or ?resource); policies name what they are about",
            file=source.name,
        )
    named: dict[str, dict[str, Any]] = {}
    by_number: dict[str, str] = {}
    # Cedar numbers the policies of a text: policy0, policy1, ...
    for given, policy in sorted(whole["staticPolicies"].items(), key=lambda each: int(each[0][len("policy") :])):
        number = int(given[len("policy") :]) + 1
        policy_id = f"{source.name}#{_notes(policy).get('id') or number}"
        if policy_id in named:
            raise PolicyError(f"{policy_id} is the id of two policies", hint="give each its own @id", file=source.name)
        named[policy_id] = policy
        by_number[given] = policy_id
    result = cedarpy.validate_policies(source.text, _SCHEMA)
    if not result.validation_passed:
        found = [f"{by_number.get(each.policy_id, source.name)}: {each.error}" for each in result.errors]
        raise PolicyError(f"{source.name} does not fit the mesh: {found[0]}", findings=tuple(found), file=source.name)
    for policy_id, policy in named.items():
        confine(source, policy_id, policy)
    return named
