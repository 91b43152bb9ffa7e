"""The glossary of a project, `glossary.yaml`: what its domains' terms and polysemes mean, and what applying it would change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, RootModel, ValidationError
from pydantic.alias_generators import to_camel

from meshport.address import nearest
from meshport.errors import ProjectError
from meshport.glossary import DomainGlossary, Glossary, GlossaryTerm, TermUse, UseText
from meshport.product.yaml_file import YamlError, load
from meshport.project.project import COMMON, Project

FILE: Final = "glossary.yaml"
_HINT: Final = "<domain>: {<term>: {definition: ..., owner?, usedIn?: [addresses, with #field]}}"


class GlossaryRegistry(Protocol):
    """Where terms are declared: `meshport.Registry.glossary`."""

    def read(self, text: str = "", *, domain: str | None = None) -> Glossary:
        """Return terms; see `meshport.registry.glossary.RegistryGlossary.read`."""

    def declare(self, domain: str, terms: Mapping[str, GlossaryTerm]) -> Glossary:
        """Replace the terms of a domain; see `meshport.registry.glossary.RegistryGlossary.declare`."""


class _WrittenTerm(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)

    definition: str | None = None
    owner: str | None = None
    used_in: tuple[UseText, ...] = ()


class _WrittenGlossary(RootModel[dict[str, dict[str, _WrittenTerm | None]]]):
    """The file: terms by domain."""


@dataclass(frozen=True, slots=True)
class GlossaryPlan:
    """The terms of a domain, and what declaring them would change.

    Attributes:
        domain: whose terms they are.
        terms: all of them, by name.
        changed: one line for each term that is new, changed or removed.
    """

    domain: str
    terms: Mapping[str, GlossaryTerm]
    changed: tuple[str, ...]


def project_glossary(project: Project) -> dict[str, dict[str, GlossaryTerm]]:
    """Return the terms of a project's `glossary.yaml` by domain; none where it has no such file.

    A term with the name of a polyseme of `schemas/common/` is that polyseme; without a `definition` it has the polyseme's `doc`.

    Raises:
        ProjectError: the file cannot be read, a term has no definition, or names a field that its product has not.
        SchemaError: `schemas/common/` cannot be read.
    """
    if not project.files.matching(FILE):
        return {}
    file = project.files.called(FILE)
    try:
        written = _WrittenGlossary.model_validate(load(project.files.text(FILE)) or {})
    except (YamlError, OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{file} cannot be read: {error}", file=file) from error
    except ValidationError as error:
        raise ProjectError(f"{file}: {_first(error)}", file=file, hint=_HINT) from error
    polysemes = _polysemes(project)
    found: dict[str, dict[str, GlossaryTerm]] = {}
    for domain, terms in written.root.items():
        made = {name: _term(name, term or _WrittenTerm(), polysemes) for name, term in terms.items()}
        try:
            found[domain] = dict(DomainGlossary.model_validate({"terms": made}).terms)
        except ValidationError as error:
            raise ProjectError(f"{file}: {domain}: {_first(error)}", file=file, hint=_HINT) from error
    uses = [
        (f"{domain}.{name}", use) for domain, own in found.items() for name, term in own.items() for use in term.used_in
    ]
    for where, use in uses:
        if use.field and (missing := missing_field(project, use)):
            raise ProjectError(f"{file}: {where}.usedIn: {missing}", file=file)
    return found


def missing_field(project: Project, use: TermUse) -> str | None:
    """Return that a field is none of its product's; None where it is one, or the product is not one of the project."""
    one = next((each for each in project.products if each.product.address == use.address.of_product), None)
    if one is None:
        return None
    port, name = use.address.port or one.product.default_port.name, use.field.partition(".")[0]
    fields = {
        field
        for (of, major), contract in one.schemas.items()
        if of == port and use.address.major in {None, major}
        for field in contract.field_names
    }
    if name in fields:
        return None
    near = nearest(name, sorted(fields))
    return f"{use.address} has no field {name}" + (f"; did you mean {near}?" if near else "")


def glossary_plans(
    terms: Mapping[str, Mapping[str, GlossaryTerm]], registry: GlossaryRegistry
) -> tuple[GlossaryPlan, ...]:
    """Return what declaring a project's terms would change, by domain.

    Raises:
        RegistryUnavailable: the registry did not answer.
    """
    return tuple(_plan(domain, own, registry) for domain, own in sorted(terms.items()))


def _plan(domain: str, terms: Mapping[str, GlossaryTerm], registry: GlossaryRegistry) -> GlossaryPlan:
    before = {each.name: each.declared for each in registry.read(domain=domain).entries}
    changed = [
        *(f"{name} is new" for name in terms if name not in before),
        *(f"{name} is changed" for name in terms if name in before and before[name] != terms[name]),
        *(f"{name} is removed" for name in before if name not in terms),
    ]
    return GlossaryPlan(domain, terms, tuple(changed))


def _term(name: str, written: _WrittenTerm, polysemes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "definition": written.definition or polysemes.get(name, ""),
        "owner": written.owner,
        "polyseme": name in polysemes,
        "used_in": [str(each) for each in written.used_in],
    }


def _polysemes(project: Project) -> dict[str, str]:
    """Return the `doc` of each polyseme of `schemas/common/` by its name."""
    known, found = project.common.polysemes, {}
    for path in project.files.matching(COMMON):
        form = json.loads(project.files.text(path))
        if (name := form.get("polyseme")) in known:
            found[str(name)] = str(form.get("doc") or "")
    return found


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
