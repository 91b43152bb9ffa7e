"""What `meshport apply` does about the glossary of a project."""

from __future__ import annotations

from collections.abc import Iterator

from meshport.cli.output import emit
from meshport.project.glossary import glossary_plans, project_glossary
from meshport.project.project import Project
from meshport.registry import Registry


class GlossaryChanges:
    """The terms that applying a project would change, by domain.

    Args:
        project: has the glossary.
        mesh: the registry that it is applied to; it is asked only if the project has a glossary.

    Raises:
        ProjectError: the glossary cannot be read.
    """

    def __init__(self, project: Project, mesh: Registry) -> None:
        self._mesh = mesh
        self._plans = glossary_plans(project_glossary(project), mesh.glossary)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the plan."""
        for each in self._plans:
            for line in each.changed or ("as it is",):
                yield f"glossary of {each.domain}: {line}"

    def carry_out(self) -> None:
        """Declare what changed."""
        for each in self._plans:
            if each.changed:
                self._mesh.glossary.declare(each.domain, each.terms)

    def emit(self, *, done: bool) -> None:
        """Write each domain's change as JSON."""
        for each in self._plans:
            emit({"glossary": each.domain, "changed": list(each.changed), "applied": done})
