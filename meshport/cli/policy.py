"""`meshport policy`: the tests of policies, and the reasons of a decision."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from meshport.address import Address, nearest
from meshport.cli.output import FINDINGS, emit, emit_text, say
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.errors import AddressError, NotRegistered, PolicyError
from meshport.grants import Grant, GrantState
from meshport.policy import Action, Decision, Policy, PolicySet, PolicyText, ProductResource, Resource, written
from meshport.project.policies import policy_texts, resource_named
from meshport.project.policy_tests import PolicyTestResult, run_tests
from meshport.project.project import Project
from meshport.registry import Registry

policy_app = typer.Typer(help="Policies: who may do what.", no_args_is_help=True)
_GROUP: Final = typer.Option("--group", metavar="NAME", help="A group that the caller is in; can be repeated.")


@policy_app.command("test")
def run(json: JsonOption = False) -> None:
    """Run the tests of this project's policies: policies/*.test.yaml, and policies.test.yaml beside a domain's products.

    Exit 1 where a caller may do what the test refuses, or may not do what it allows.

    Example: meshport policy test
    """
    project = Project.find(Path.cwd())
    results = list(run_tests(project, PolicySet(policy_texts(project))))
    if not results:
        raise PolicyError(
            "this project has no tests of policies",
            hint="policies/<name>.test.yaml: - {caller: ann, action: discover, resource: mesh, expect: allow}",
        )
    for each in results:
        if json:
            emit(_as_json(each))
        elif not each.passed:
            emit_text(f"{each.file}:{each.line}: {_failure(each)}")
    failed = sum(not each.passed for each in results)
    say(f"{len(results) - failed} of {len(results)} tests of policies pass")
    if failed:
        raise typer.Exit(FINDINGS)


def _failure(result: PolicyTestResult) -> str:
    row, decision = result.row, result.decision
    about = row.resource if isinstance(row.resource, str) else row.resource.product.key
    found = "may" if decision.allowed else "may not"
    because = ", ".join(decision.policies) or "no policy permits it"
    wanted = f"{row.expect}" + (f" by {row.policy}" if row.policy else "")
    return f"{row.caller} {found} {row.action} {about} ({because}); the test says {wanted}"


def _as_json(result: PolicyTestResult) -> dict[str, Any]:
    return {
        "file": result.file,
        "line": result.line,
        "test": result.row.model_dump(mode="json", by_alias=True),
        "allowed": result.decision.allowed,
        "policies": list(result.decision.policies),
        "passed": result.passed,
    }


@policy_app.command("explain")
def explain(
    who: Annotated[
        str, typer.Argument(metavar="WHO", help="The caller: ann@example.org, billing/invoices, anonymous.")
    ],
    what: Annotated[str, typer.Argument(metavar="WHAT", help="The action: discover, read, register, waive, ...")],
    on: Annotated[
        str,
        typer.Option("--on", metavar="RESOURCE", help="mesh, <domain>/<product>, domain:<name> or subject:<name>."),
    ] = "mesh",
    groups: Annotated[list[str] | None, _GROUP] = None,
    applied: Annotated[
        bool,
        typer.Option("--applied", help="By the policies, products and grants of the registry, not of this project."),
    ] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Say whether a caller may do something, by which policy, and why. Exit 1 where it may not.

    Examples:
        meshport policy explain ann@example.org register --on shop/orders --group shop
        meshport policy explain billing/invoices read --on shop/orders --applied
    """
    action = _action(what)
    grants: list[Grant] = []
    if applied:
        with open_registry(registry) as mesh:
            policies, resource = _applied(mesh), _registered(mesh, on)
            if isinstance(resource, ProductResource):
                found = mesh.access.list(Address.parse(on), current=True)
                in_force = (each.reader for each in found if each.state is GrantState.GRANTED)
                resource = replace(resource, granted_to=frozenset(in_force))
                grants = [each for each in found if each.reader == who]
    else:
        project = Project.find(Path.cwd())
        policies = PolicySet(policy_texts(project))
        resource = resource_named(on, [each.product for each in project.products])
    by = "anonymous" if who == "anonymous" else "key"
    decision = policies.decide(who, frozenset(groups or ()), action, resource, {"by": by})
    if json:
        grant = next((each.id for each in grants if each.state is GrantState.GRANTED), None)
        emit(_decided(who, action, resource, decision, policies) | {"grant": grant})
    else:
        _explain(who, action, resource, decision, policies)
        for each in grants:
            emit_text(f"  {_granted(each)}")
    if not decision.allowed:
        raise typer.Exit(FINDINGS)


def _action(text: str) -> Action:
    try:
        return Action(text)
    except ValueError as error:
        names = [str(each) for each in Action]
        near = nearest(text, names)
        hint = f"did you mean {near}?" if near else f"one of {', '.join(names)}"
        raise typer.BadParameter(f"{text!r} is no action; {hint}", param_hint="WHAT") from error


def _applied(mesh: Registry) -> PolicySet:
    scopes = mesh.policies.applied().scopes
    return PolicySet(PolicyText(name, text, scope.domain) for scope in scopes for name, text in scope.texts.items())


def _registered(mesh: Registry, on: str) -> Resource:
    """Return a resource as the registry has it, with the owners of its domain."""
    _, colon, name = on.partition(":")
    try:
        domain = name.partition(".")[0] if colon and not on.startswith("mesh:") else on.partition("/")[0]
    except AddressError:
        domain = ""
    found = [] if on == "mesh" else mesh.search(domain=domain, limit=1000).items
    products = []
    for each in found:
        try:
            products.append(mesh.product(each.address).descriptor)
        except NotRegistered:
            continue  # dropped since the list was made
    return resource_named(on, products)


def _explain(who: str, action: Action, resource: Resource, decision: Decision, policies: PolicySet) -> None:
    verb = "may" if decision.allowed else "may not"
    emit_text(f"{who} {verb} {action} {written(resource)}, by the policies {decision.version}")
    if isinstance(resource, ProductResource):
        groups = ", ".join(sorted(resource.required_security_groups)) or "none"
        emit_text(
            f"  {written(resource)} is {resource.classification}; its domain is owned by {', '.join(sorted(resource.owners))}; "
            f"required security group: {groups}"
        )
    for each in decision.policies:
        emit_text(f"  {_line(policies.policies[each])}")
    if not decision.policies:
        others = policies.permitting(action, resource)
        emit_text(
            "  no policy permits it; these permit it to others:" if others else "  no policy permits it to anyone"
        )
        for policy in others:
            emit_text(f"    {_line(policy)}")


def _granted(grant: Grant) -> str:
    asked = f"request {grant.id} of {grant.reader} for {grant.address}"
    if grant.state is not GrantState.GRANTED or grant.until is None:
        return f"{asked} waits for {grant.owner}"
    return f"{asked} was granted by {grant.decided_by} until {grant.until:%Y-%m-%d %H:%M} UTC"


def _line(policy: Policy) -> str:
    return f"{policy.effect} {policy.id}" + (f": {policy.why}" if policy.why else "")


def _decided(who: str, action: Action, resource: Resource, decision: Decision, policies: PolicySet) -> dict[str, Any]:
    return {
        "caller": who,
        "action": str(action),
        "resource": written(resource),
        "allowed": decision.allowed,
        "policies": [
            {"id": each.id, "effect": each.effect, "why": each.why, "text": each.text}
            for each in (policies.policies[name] for name in decision.policies)
        ],
        "version": decision.version,
    }
