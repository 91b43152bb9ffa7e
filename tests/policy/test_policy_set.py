"""Policies: what the built-in ones decide, what is refused when policies are read, and how far a domain's own reach."""

from __future__ import annotations

import re

import pytest

from meshport.errors import PolicyError
from meshport.policy import (
    BUILT_IN,
    MESH,
    Action,
    DomainResource,
    PolicySet,
    PolicyText,
    ProductResource,
    Resource,
    SubjectResource,
)

PLAYS = ProductResource(
    "player",
    "plays",
    "player",
    frozenset({"player", "player-core"}),
    classification="confidential",
    required_security_groups=frozenset({"listening-readers"}),
    granted_to=frozenset({"billing/invoices"}),
)
OPEN = ProductResource("player", "charts", "player", frozenset({"player"}), classification="public")
SECRET = ProductResource(
    "player",
    "faces",
    "player",
    frozenset({"player"}),
    classification="restricted",
    required_security_groups=frozenset({"listening-readers"}),
)
FOREIGN = SubjectResource("player.raw-value", frozenset({"player"}))
STRANGE = SubjectResource("orders-value")
DOMAIN = DomainResource("player", frozenset({"player"}))
OWNER, ADMIN, STEWARD = frozenset({"player"}), frozenset({"mesh-admins"}), frozenset({"mesh-stewards"})
READER, STRANGER = frozenset({"listening-readers"}), frozenset[str]()


def allowed(caller: str, groups: frozenset[str], resource: Resource, policies: PolicySet | None = None) -> set[Action]:
    """Return the actions that a caller may do with a resource."""
    chosen = policies or PolicySet()
    return {action for action in Action if chosen.decide(caller, groups, action, resource).allowed}


KNOWN = {Action.PROBE, Action.DISCOVER, Action.REQUEST_ACCESS}
MANAGE = {Action.READ, Action.WRITE, Action.REGISTER, Action.RETIRE, Action.SET_COMPATIBILITY}


@pytest.mark.parametrize(
    ("caller", "groups", "resource", "wanted"),
    [
        ("anonymous", STRANGER, MESH, {Action.PROBE}),
        ("anonymous", STRANGER, OPEN, {Action.PROBE}),
        ("anonymous", frozenset({"local"}), PLAYS, set(Action)),
        ("ann", STRANGER, PLAYS, KNOWN),
        ("ann", STRANGER, OPEN, KNOWN | {Action.READ}),
        ("ann", OWNER, PLAYS, KNOWN | MANAGE | {Action.GRANT}),
        ("ann", frozenset({"player-core"}), PLAYS, KNOWN | MANAGE | {Action.GRANT}),
        ("ann", frozenset({"billing"}), PLAYS, KNOWN),
        ("ann", READER, PLAYS, KNOWN | {Action.READ}),
        ("ann", READER, SECRET, KNOWN),
        ("billing/invoices", STRANGER, PLAYS, KNOWN | {Action.READ}),
        ("player/plays", STRANGER, PLAYS, KNOWN | {Action.READ, Action.WRITE}),
        ("player/charts", STRANGER, PLAYS, KNOWN),
        ("ann", STEWARD, PLAYS, KNOWN | {Action.WAIVE, Action.AUDIT}),
        ("ann", ADMIN, PLAYS, set(Action) - {Action.READ, Action.WRITE, Action.WAIVE}),
        ("ann", OWNER, FOREIGN, KNOWN | MANAGE),
        ("ann", OWNER, STRANGE, KNOWN),
        ("ann", OWNER, MESH, KNOWN),
    ],
)
def test_what_the_built_in_policies_permit(
    caller: str, groups: frozenset[str], resource: Resource, wanted: set[Action]
) -> None:
    """Owners manage their domain, readers read by group, classification or grant, stewards waive, admins administer."""
    assert allowed(caller, groups, resource) == wanted


def test_the_owners_of_a_domain_set_its_policies_and_no_others() -> None:
    """To administer a domain is for its owners and the admins; to administer the mesh for the admins alone."""
    decide = PolicySet().decide
    assert decide("ann", OWNER, Action.ADMINISTER, DOMAIN).allowed
    assert not decide("ann", OWNER, Action.ADMINISTER, DomainResource("billing", frozenset({"billing"}))).allowed
    assert not decide("ann", OWNER, Action.ADMINISTER, MESH).allowed


def test_a_decision_names_its_policies_and_its_version() -> None:
    """A permit names the policies that permit, a refusal by a forbid those that forbid, another refusal none."""
    quiet = '@id("quiet") forbid (principal, action, resource == Product::"player/plays");'
    set_of = PolicySet([PolicyText("policies/quiet.cedar", quiet)])
    permit = PolicySet().decide("ann", OWNER, Action.REGISTER, PLAYS)
    assert permit.policies == ("meshport/owners.cedar#owners",)
    assert permit.version == PolicySet().version
    assert PolicySet().decide("ann", STRANGER, Action.REGISTER, PLAYS).policies == ()
    forbid = set_of.decide("ann", OWNER, Action.REGISTER, PLAYS)
    assert (forbid.allowed, forbid.policies) == (False, ("policies/quiet.cedar#quiet",))
    assert forbid.version not in {"", permit.version}


def test_a_global_forbid_wins_over_every_permit() -> None:
    """A domain's own permit opens its products, and a global forbid closes them again."""
    opened = PolicyText(
        "producers/player/policies.cedar",
        'permit (principal in Group::"partners", action == Action::"read", resource in Domain::"player");',
        "player",
    )
    closed = PolicyText(
        "policies/p.cedar",
        'forbid (principal, action == Action::"read", resource is Product) when { resource.classification == "restricted" };',
    )
    partner = frozenset({"partners"})
    assert PolicySet([opened]).decide("p", partner, Action.READ, SECRET).allowed
    assert not PolicySet([opened, closed]).decide("p", partner, Action.READ, SECRET).allowed
    assert PolicySet([opened, closed]).decide("p", partner, Action.READ, PLAYS).allowed


def test_a_domains_forbid_binds_its_domain_only() -> None:
    """What a domain forbids in its own domain leaves another domain's products as they are."""
    own = PolicyText(
        "producers/player/policies.cedar", 'forbid (principal, action, resource in Domain::"player");', "player"
    )
    other = ProductResource("billing", "invoices", "player", frozenset({"player"}))
    assert allowed("ann", OWNER, PLAYS, PolicySet([own])) == set()
    assert allowed("ann", OWNER, other, PolicySet([own])) == allowed("ann", OWNER, other)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("permit (principal, action, resource", "is not Cedar: unexpected end of input"),
        ("permit (principal, action, resource) when { resource.colour == 1 };", "does not fit the mesh: .*colour"),
        ('permit (principal, action == Action::"fly", resource);', "unrecognized action"),
        ('permit (principal in Team::"a", action, resource);', "does not fit the mesh: .*Team"),
        ("permit (principal == ?principal, action, resource);", "has a template"),
        ('@id("a") permit (principal, action, resource); @id("a") forbid (principal, action, resource);', "two policies"),
        ('permit (principal, action, resource) when { context.by == "key" };', "does not fit the mesh: .*optional"),
        (f"// {'x' * 300_000}", "at most 262144"),
    ],
)  # fmt: skip
def test_policies_that_could_fail_later_are_refused_when_they_are_read(text: str, says: str) -> None:
    """Cedar passes over a policy that fails, even a forbid; so no policy is taken that can fail."""
    with pytest.raises(PolicyError, match=says):
        PolicySet([PolicyText("policies/a.cedar", text)])


@pytest.mark.parametrize(
    ("scope", "fits"),
    [
        ('resource in Domain::"player"', True),
        ('resource == Product::"player/plays"', True),
        ('resource is Product in Domain::"player"', True),
        ('resource in Product::"player/plays"', True),
        ("resource", False),
        ("resource is Product", False),
        ('resource in Domain::"players"', False),
        ('resource == Product::"player2/plays"', False),
        ('resource == Product::"billing/invoices"', False),
        ('resource in Mesh::"mesh"', False),
        ('resource is Product in Mesh::"mesh"', False),
    ],
)
@pytest.mark.parametrize("effect", ['permit (principal, action == Action::"discover",', "forbid (principal, action,"])
def test_a_domains_policy_speaks_of_its_domain_alone(effect: str, scope: str, fits: bool) -> None:
    """The scope of a domain's own policy names the domain or its products; a condition would not do."""
    texts = [PolicyText("producers/player/policies.cedar", f"{effect} {scope});", "player")]
    if fits:
        PolicySet(texts)
    else:
        with pytest.raises(PolicyError, match=re.escape('speaks of more than Domain::"player"')):
            PolicySet(texts)


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ("action", "permits every action"),
        ('action == Action::"waive"', "permits waive"),
        ('action in [Action::"read", Action::"administer"]', "permits administer"),
        ('action == Action::"audit"', "permits audit"),
    ],
)
def test_a_domain_permits_nothing_that_checks_the_domain(actions: str, says: str) -> None:
    """Waivers, policies and the audit are for global policies to permit."""
    text = f'permit (principal, {actions}, resource in Domain::"player");'
    with pytest.raises(PolicyError, match=says):
        PolicySet([PolicyText("producers/player/policies.cedar", text, "player")])


def test_every_built_in_policy_has_an_id_and_a_reason() -> None:
    """An explanation names a policy and says why it is there."""
    found = PolicySet().policies
    assert len(found) == sum(each.text.count("@id(") for each in BUILT_IN)
    assert all(each.why for each in found.values())
