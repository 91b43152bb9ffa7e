"""The policies of a project: its files, what they speak of, and what applying them would change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from meshport.address import Address
from meshport.catalog import AppliedPolicies
from meshport.errors import AddressError, PolicyError
from meshport.policy import (
    MESH,
    DomainResource,
    PolicySet,
    PolicyText,
    ProductResource,
    Resource,
    SubjectResource,
)
from meshport.product import Product
from meshport.project.project import Files, Project

GLOBAL_POLICIES: Final = "policies/*.cedar"
DOMAIN_POLICIES: Final = ("producers/*/policies.cedar", "processors/*/policies.cedar")


class PolicyRegistry(Protocol):
    """Where policies are applied: `meshport.Registry.policies`."""

    def applied(self) -> AppliedPolicies:
        """Return the policies that decide; see `meshport.registry.policies.RegistryPolicies.applied`."""

    def apply(self, domain: str | None, texts: Mapping[str, str]) -> AppliedPolicies:
        """Replace the policies of the mesh or of a domain; see `meshport.registry.policies.RegistryPolicies.apply`."""


@dataclass(frozen=True, slots=True)
class PolicyPlan:
    """The policies of the mesh or of a domain, and what applying them would change.

    Attributes:
        domain: whose own policies they are; None for the global ones.
        texts: all of them from then on, by file.
        changed: the files that are new or changed, each with what becomes of its policies.
        kept: the files that the registry has and the project does not; they stay.
    """

    domain: str | None
    texts: Mapping[str, str]
    changed: tuple[str, ...]
    kept: tuple[str, ...]


def policy_texts(project: Project) -> tuple[PolicyText, ...]:
    """Return the policies of a project's files.

    Raises:
        PolicyError: a file cannot be read.
    """
    files = project.files
    found = [_read(files, path, None) for path in files.matching(GLOBAL_POLICIES)]
    for pattern in DOMAIN_POLICIES:
        found += [_read(files, path, path.split("/")[1]) for path in files.matching(pattern)]
    return tuple(found)


def _read(files: Files, path: str, domain: str | None) -> PolicyText:
    try:
        return PolicyText(path, files.text(path), domain)
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{files.called(path)} cannot be read: {error}", file=files.called(path)) from error


def policy_plans(texts: Iterable[PolicyText], registry: PolicyRegistry) -> list[PolicyPlan]:
    """Return what applying a project's policies would change, the whole set of policies checked.

    Raises:
        PolicyError: a policy is wrong by itself, or beside those of the registry.
        RegistryUnavailable: the registry did not answer.
    """
    given: dict[str | None, dict[str, str]] = {}
    for each in texts:
        given.setdefault(each.domain, {})[each.name] = each.text
    if not given:
        return []
    applied = registry.applied()
    before, after = _all_texts(applied), _all_texts(applied)
    for domain, own in given.items():
        after = [each for each in after if each.domain != domain or each.name not in own]
        after += [PolicyText(name, text, domain) for name, text in own.items()]
    old, new = PolicySet(before), PolicySet(after)
    plans = []
    for domain in sorted(given, key=lambda each: each or ""):
        there = applied.texts(domain)
        changed = tuple(_change(name, old, new) for name, text in given[domain].items() if there.get(name) != text)
        kept = tuple(sorted(set(there) - set(given[domain])))
        plans.append(PolicyPlan(domain, there | given[domain], changed, kept))
    return plans


def _all_texts(applied: AppliedPolicies) -> list[PolicyText]:
    return [PolicyText(name, text, scope.domain) for scope in applied.scopes for name, text in scope.texts.items()]


def _change(name: str, old: PolicySet, new: PolicySet) -> str:
    """Return what becomes of the policies of a file, as one line of a plan."""
    before = {each.id: each.text for each in old.policies.values() if each.file == name}
    after = {each.id: each.text for each in new.policies.values() if each.file == name}
    words = [
        *(f"{new.policies[each].effect} {each} is new" for each in after if each not in before),
        *(f"{each} is changed" for each in after if each in before and before[each] != after[each]),
        *(f"{each} is removed" for each in before if each not in after),
    ]
    return f"{name}: {', '.join(words) or 'other comments'}"


def resource_named(text: str, products: Iterable[Product]) -> Resource:
    """Return what a text names: `mesh`, `shop/orders`, `domain:player` or `subject:orders-value`.

    Args:
        text: of a test of policies, or of an option.
        products: those that are known, whose owners are those of their domains.

    Raises:
        PolicyError: it names no resource, or a product that is not known.
    """
    products = tuple(products)
    kind, colon, name = text.partition(":")
    if text == "mesh":
        return MESH
    if kind == "domain" and colon:
        return DomainResource(name, _owners(products, name))
    if kind == "subject" and colon:
        return SubjectResource(name, _owners(products, name.partition(".")[0]))
    try:
        address = Address.parse(text)
    except AddressError as error:
        raise PolicyError(
            f"{text!r} names no resource", hint="mesh, <domain>/<product>, domain:<name> or subject:<name>"
        ) from error
    for product in products:
        if product.address == address.of_product:
            return ProductResource.of(product, domain_owners=_owners(products, address.domain))
    raise PolicyError(f"{address.of_product} is no product here", hint="write its attributes, or apply it first")


def _owners(products: Iterable[Product], domain: str) -> frozenset[str]:
    return frozenset(each.owner for each in products if each.address.domain == domain)
