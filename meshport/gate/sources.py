"""The sources of the past in a comparison: a git revision, the registry, another registry, or a file.

A source reports which products may differ, so that a thousand contracts are not parsed to compare three, and what the
readers of a product rely on. Code of a product in another state never runs: only descriptors and schemas are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from meshport.address import Address
from meshport.catalog import ProductPast
from meshport.compat.contract import Contract, Version
from meshport.compat.judge import Past
from meshport.errors import NotRegistered, ProjectError
from meshport.gate.before import Before, Line, PastSource, grouped, keys_of, known_readers
from meshport.gate.git import Repository, Revision
from meshport.gate.peer import PeerSource
from meshport.gate.states import FolderSource, GitSource
from meshport.gate.touched import readings
from meshport.product import Status
from meshport.project.project import FOLDERS, Project
from meshport.registry import ConfluentSubjects, Registry
from meshport.schema import Schema, load_schema

REGISTRY: Final = "registry"
_FILES: Final = (".avsc", ".yaml", ".json")
_BRANCH: Final = re.compile(r"(?!HEAD)\w[\w./-]*")


def parse_against(
    text: str,
    project: Project,
    open_registry: Callable[[], Registry],
    open_peer: Callable[[str], ConfluentSubjects] = ConfluentSubjects.at,
) -> PastSource:
    """Return the source that `--against` names: `registry`, another registry's URL, an existing file, or a git revision.

    Text is a path if it ends in .avsc, .yaml or .json, begins with a dot or a slash, or is the folder of a project.

    Args:
        text: as it was given.
        project: the project of the candidates.
        open_registry: returns the client; called for `registry` only.
        open_peer: returns the client of another registry; called for a URL only. By default one without a login.

    Raises:
        ProjectError: it is none of these.
    """
    if text == REGISTRY:
        return RegistrySource(open_registry())
    if text.startswith(("http://", "https://")):
        return PeerSource(project, open_peer(text))
    file = Path(text)
    is_path = file.suffix in _FILES or text.startswith((".", "/")) or (file / "schemas").is_dir()
    if is_path and file.exists():
        return file_source(file, project)
    try:
        repository = Repository.around(project.root)
        commit = repository.commit(text)
    except ProjectError as error:
        raise ProjectError(f"{text!r} is no file, and {error.message}", hint=error.hint) from error
    if commit is None:
        raise ProjectError(
            f"{text!r} is neither a file nor a revision that git knows in {repository.top}",
            hint=_hint(text, repository),
        )
    return GitSource(project, Revision(repository, commit, text, repository.path(project.root)))


def _hint(text: str, repository: Repository) -> str:
    """Return what may have been meant by a revision that git does not know."""
    if repository.commit("HEAD") is None:
        return "nothing is committed here yet"
    if not _BRANCH.fullmatch(text):
        return "a branch, a tag, a commit, `registry`, or a file that is there"
    cut = "; in a CI job, check out with the whole history (`fetch-depth: 0`)" if repository.shallow else ""
    branch = text.removeprefix("origin/")
    return f"`git fetch origin {branch}` and `--against origin/{branch}`, if it is a branch of the origin{cut}"


def file_source(file: Path, project: Project) -> PastSource:
    """Return the source of a file: another checkout of the project, its product.yaml, a schema, or a saved past.

    Raises:
        ProjectError: it is none of these.
    """
    if file.is_dir():
        if not all((file / name).is_dir() for name in FOLDERS):
            raise ProjectError(f"{file} is no mesh project", file=str(file), hint=f"a folder with {', '.join(FOLDERS)}")
        return FolderSource(project, Project(file.resolve()))
    if file.name == "product.yaml":
        other = Project.find(file.parent)
        return FolderSource(project, other, file.resolve().relative_to(other.root).as_posix())
    if file.suffix == ".avsc":
        return SchemaFileSource(project, file)
    if file.suffix == ".json":
        return SavedSource(file)
    raise ProjectError(
        f"{file} is nothing to compare with",
        file=str(file),
        hint="a folder of a project, its product.yaml, a schema (.avsc), or what /api/v1/gate/past answered (.json)",
    )


@dataclass
class SchemaFileSource:
    """One schema in a file; the contract around it is the candidate's own.

    Attributes:
        project: the project of the candidate.
        file: the schema.
        notes: see `meshport.gate.before.PastSource`.
    """

    project: Project
    file: Path
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """See `meshport.gate.before.PastSource`."""
        return f"file {self.file}"

    def known(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return ()

    def differing(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`.

        Raises:
            ProjectError: always, since a schema does not name its port.
        """
        raise ProjectError(
            f"{self.file} is one schema, which does not say whose it is",
            file=str(self.file),
            hint="name the address that it is compared with",
        )

    def product_with_id(self, id_: UUID) -> str | None:  # noqa: ARG002 - a schema knows no product
        """See `meshport.gate.before.PastSource`."""
        return None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `meshport.gate.before.PastSource`.

        Raises:
            ProjectError: other than one port is named.
            SchemaError: the file is no schema.
        """
        if len(addresses) != 1:
            raise ProjectError(f"{self.file} is one schema; {len(addresses)} addresses are named", hint="name one port")
        address = addresses[0]
        path = self.project.descriptors.get(address.of_product.key)
        if path is None:
            return {}
        product = self.project.descriptor(path)
        ports = [
            port
            for port in product.output_ports
            if address.port in {None, port.name} and address.major in {None, port.major}
        ]
        if len(ports) > 1:
            known = ", ".join(product.port_address(port).key for port in ports)
            raise ProjectError(f"{self.file} is one schema; {address} has several", hint=f"name one of {known}")
        try:
            common = Project.find(self.file.parent).common
        except ProjectError:
            common = self.project.common
        schema = load_schema(self.file, common=common)
        read = readings([product.address.key], self.project)
        self.notes = ["a schema has no history, and says nothing of what is promised around it: neither was compared"]
        contracts = [Contract(product, port, schema) for port in ports]
        return grouped(Past(each, (Version(1, schema),), known_readers(each, read)) for each in contracts)


@dataclass
class RegistrySource:
    """The registry: the registered contracts with every version, all readers and waivers.

    Attributes:
        registry: the client.
        notes: see `meshport.gate.before.PastSource`.
    """

    registry: Registry
    notes: Sequence[str] = ()

    def describe(self) -> str:
        """See `meshport.gate.before.PastSource`."""
        return f"the registry at {self.registry.url}"

    def known(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return ()

    def differing(self) -> None:
        """See `meshport.gate.before.PastSource`."""
        return

    def product_with_id(self, id_: UUID) -> str | None:
        """See `meshport.gate.before.PastSource`."""
        try:
            return self.registry.product(id_).descriptor.address.key
        except NotRegistered:
            return None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `meshport.gate.before.PastSource`."""
        found: dict[str, Before] = {}
        for key in sorted(keys_of(addresses)):
            try:
                found[key] = before_of(self.registry.past(key))
            except NotRegistered:
                continue
        return found


@dataclass
class SavedSource:
    """A saved answer of the registry about one product (`/api/v1/gate/past/...`).

    Attributes:
        file: the answer.
        notes: see `meshport.gate.before.PastSource`.
    """

    file: Path
    notes: Sequence[str] = ("the readers and waivers are those of the day on which the file was saved",)

    def describe(self) -> str:
        """See `meshport.gate.before.PastSource`."""
        return f"file {self.file}"

    def known(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return (self._past.product.address.key,)

    def differing(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return self.known()

    def product_with_id(self, id_: UUID) -> str | None:
        """See `meshport.gate.before.PastSource`."""
        product = self._past.product
        return product.address.key if product.id == id_ else None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `meshport.gate.before.PastSource`."""
        key = self._past.product.address.key
        return {key: before_of(self._past)} if key in keys_of(addresses) else {}

    @cached_property
    def _past(self) -> ProductPast:
        try:
            return ProductPast.model_validate_json(self.file.read_bytes(), extra="ignore")
        except OSError as error:
            raise ProjectError(f"{self.file} cannot be read: {error.strerror}", file=str(self.file)) from error
        except ValidationError as error:
            raise ProjectError(
                f"{self.file} is no past of a product: {error.errors()[0]['msg']}",
                file=str(self.file),
                hint="an answer of GET /api/v1/gate/past/<domain>/<product>",
            ) from error


def before_of(past: ProductPast) -> Before:
    """Return the registry's answer in the form that the engine takes."""
    pasts: dict[Line, Past] = {}
    for each in past.ports:
        versions = tuple(Version(one.number, Schema(one.schema_text)) for one in each.versions)
        contract = Contract(past.declaring(each.port), each.port, versions[-1].schema)
        pasts[each.port.name, each.port.major] = Past(
            contract, versions, each.readers, each.waivers, undeclared=each.undeclared
        )
    retired = (each.port for each in past.ports if each.status is Status.RETIRED)
    return Before(pasts, frozenset((port.name, port.major) for port in retired), past.product)
