"""What `meshport apply` does about the policies of a project."""

from __future__ import annotations

from collections.abc import Iterator

from meshport.cli.output import emit
from meshport.project.policies import policy_plans, policy_texts
from meshport.project.project import Project
from meshport.registry import Registry


class PolicyChanges:
    """The policies that applying a project would change, those of the mesh and of each domain.

    Args:
        project: has the policies.
        mesh: the registry that they are applied to; it is asked only if the project has policies.

    Raises:
        PolicyError: a policy is wrong by itself, or beside those of the registry.
    """

    def __init__(self, project: Project, mesh: Registry) -> None:
        self._mesh = mesh
        self._plans = policy_plans(policy_texts(project), mesh.policies)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the plan."""
        for each in self._plans:
            where = "policies of the mesh" if each.domain is None else f"policies of {each.domain}"
            for line in each.changed or ("as they are",):
                yield f"{where}: {line}"
            for name in each.kept:
                yield f"{where}: {name} is not in this project and stays; an empty file of this name takes its policies out"

    def carry_out(self) -> None:
        """Apply what changed."""
        for each in self._plans:
            if each.changed:
                self._mesh.policies.apply(each.domain, each.texts)

    def emit(self, *, done: bool) -> None:
        """Write each scope's change as JSON."""
        for each in self._plans:
            emit({"policies": each.domain or "mesh", "changed": list(each.changed), "applied": done})
