"""Where the before-side of a comparison comes from: a git revision, the registry, or a file.

Each of them says which products may differ, so that nobody reads a thousand contracts to compare three, and gives what
the readers of a product rely on. No product of another state is ever run: descriptors and schemas are all that is read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

from pydantic import ValidationError

from meshport.address import Address
from meshport.catalog import ProductPast, Reader
from meshport.compat.contract import Contract, Version
from meshport.compat.judge import Past
from meshport.errors import DescriptorError, NotRegistered, ProjectError, SchemaError
from meshport.gate.git import Repository, Revision
from meshport.gate.timeline import timelines
from meshport.gate.touched import Reading, holder_in, paths_by_id, readers_of, readings, touched
from meshport.product import Product, Status
from meshport.project import COMMON, DESCRIPTORS, FOLDERS, Project
from meshport.registry import Registry
from meshport.schema import Schema, load_schema

REGISTRY: Final = "registry"
_SCHEMAS: Final = "schemas/*/*.avsc"

Line = tuple[str, int]
"""A port by its name and major."""


@dataclass(frozen=True)
class Before:
    """A product as its readers know it.

    Attributes:
        pasts: what the readers of each port rely on.
        retired: ports that are at their end; a descriptor may drop them.
        registered: the descriptor that a registry holds, whose lifecycle no declaration takes back; None elsewhere.
    """

    pasts: Mapping[Line, Past]
    retired: frozenset[Line] = frozenset()
    registered: Product | None = None

    @property
    def id(self) -> UUID | None:
        """The product's id; None of a product without a port."""
        return next((past.contract.product.id for past in self.pasts.values()), None)


class Source(Protocol):
    """A state of the mesh that candidates are compared with."""

    @property
    def notes(self) -> Sequence[str]:
        """What has to be said about the comparison, once it was made."""

    def describe(self) -> str:
        """The source in words, for people: `git main (3f2c1ab)`."""

    def known(self) -> Collection[str]:
        """The products that it has, `<domain>/<product>`, as far as it can list them."""

    def differing(self) -> Collection[str] | None:
        """The products that may differ from the project's; None where only a look at each can tell."""

    def holder(self, id_: UUID) -> str | None:
        """The product, `<domain>/<product>`, that has an id; None where none is known to."""

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """What the readers of some products rely on, by `<domain>/<product>`; what the source does not know is left out.

        Args:
            addresses: of products or their ports.

        Raises:
            ProjectError: the source has the product, but it cannot be read.
            RegistryUnavailable: no answer; never to be read as a pass.
        """


def parse_against(text: str, project: Project, open_registry: Callable[[], Registry]) -> Source:
    """What `--against` names: `registry`, a file that is there, or else a git revision.

    A file is what ends in .avsc, .yaml or .json, begins with a dot or a slash, or is the folder of a project.

    Args:
        text: as it was given.
        project: whose contracts are the candidates.
        open_registry: gives the client; called for `registry` alone.

    Raises:
        ProjectError: it is none of these.
    """
    if text == REGISTRY:
        return RegistrySource(open_registry())
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
        branch = text.removeprefix("origin/")
        cut = "; in a CI job, check out with the whole history (`fetch-depth: 0`)" if repository.shallow else ""
        raise ProjectError(
            f"{text!r} is neither a file nor a revision that git knows in {repository.top}",
            hint=f"`git fetch origin {branch}` and `--against origin/{branch}`, if it is a branch of the origin{cut}",
        )
    return GitSource(project, Revision(repository, commit, text, repository.path(project.root)))


def file_source(file: Path, project: Project) -> Source:
    """The source that a file is: another checkout of the project, its product.yaml, a schema, or a saved past.

    Raises:
        ProjectError: it is none of these.
    """
    if file.is_dir():
        if not all((file / name).is_dir() for name in FOLDERS):
            raise ProjectError(f"{file} is no mesh project", hint=f"a folder with {', '.join(FOLDERS)}")
        return FolderSource(project, Project(file.resolve()))
    if file.name == "product.yaml":
        other = Project.find(file.parent)
        return FolderSource(project, other, file.resolve().relative_to(other.root).as_posix())
    if file.suffix == ".avsc":
        return SchemaSource(project, file)
    if file.suffix == ".json":
        return SavedSource(file)
    raise ProjectError(
        f"{file} is nothing to compare with",
        hint="a folder of a project, its product.yaml, a schema (.avsc), or what /api/v1/gate/past answered (.json)",
    )


@dataclass
class GitSource:
    """A revision of the project in git, beside the work tree with all that is not committed yet.

    Attributes:
        project: in the work tree.
        revision: what it is compared with.
        notes: see `Source`.
    """

    project: Project
    revision: Revision
    notes: list[str] = field(default_factory=list)
    _told: bool = field(default=False, init=False)

    def describe(self) -> str:
        """See `Source`."""
        return f"git {self.revision.name} ({self.revision.commit[:7]})"

    def known(self) -> Collection[str]:
        """See `Source`."""
        return self._old.descriptors.keys()

    def differing(self) -> Collection[str]:
        """See `Source`."""
        return touched(self._changed, self._old, self.project)

    def holder(self, id_: UUID) -> str | None:
        """See `Source`."""
        return holder_in(self._old, id_, self._ids)

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `Source`."""
        if not self._told:
            self.notes += self._of_place()
            self._told = True
        keys = _keys(addresses) & self._old.descriptors.keys()
        if not keys:
            return {}
        entries = self.revision.entries
        own = {path for path in entries if path.startswith("schemas/") and _product_of(path) in keys}
        self.revision.fetch({*(self._old.descriptors[key] for key in keys), *self._old.files.matching(COMMON), *own})
        contracts = _contracts(self._old, keys)
        lines = timelines(self.revision, contracts)
        self.notes += [note for line in lines for note in line.notes]
        read = _merged(
            readings(keys, self._old, self._old_texts),
            readings(keys, self.project),
        )
        return _grouped(Past(line.contract, line.numbered, _readers(line.contract, read)) for line in lines)

    @cached_property
    def _old(self) -> Project:
        return Project(self.project.root, self.revision)

    @cached_property
    def _old_texts(self) -> Mapping[str, str]:
        """Every descriptor of the revision; git is asked for those alone that differ."""
        here, paths = self.project.texts, self._old.descriptors.values()
        asked = [path for path in paths if path in self._changed or path not in here]
        self.revision.fetch(asked)
        return {path: here[path] for path in paths if path in here} | {
            path: self._old.descriptor_text(path) for path in asked
        }

    @cached_property
    def _ids(self) -> dict[str, list[str]]:
        return paths_by_id(self._old_texts)

    @cached_property
    def _changed(self) -> frozenset[str]:
        """The project's files that differ; also descriptors that git ignores, which are in the work tree all the same."""
        start = len(self.revision.folder) + 1 if self.revision.folder else 0
        repository = self.revision.repository
        found = {path[start:] for path in repository.changed(self.revision.commit, self.revision.folder)}
        return frozenset(found | (set(self.project.descriptors.values()) - self.revision.entries.keys()))

    def _of_place(self) -> Iterator[str]:
        """What a reader of the verdicts has to know of where the work tree stands."""
        repository = self.revision.repository
        head = None if repository.shallow else repository.commit("HEAD")
        if head and not repository.is_ancestor(self.revision.commit, head):
            yield (
                f"{self.revision.name} has commits that this work tree lacks: what they brought counts as taken away; "
                f"merge it, or compare with `$(git merge-base {self.revision.name} HEAD)`"
            )
        for path in self.revision.submodules():
            if any(each.startswith(f"{path}/") for each in self.project.texts):
                yield f"{path} is a submodule, of which {self.revision.name} holds no files: judge it there"


@dataclass
class FolderSource:
    """Another checkout of the project.

    Attributes:
        project: whose contracts are the candidates.
        other: the checkout.
        only: the path of the descriptor whose product alone is compared; None for every one.
        notes: see `Source`.
    """

    project: Project
    other: Project
    only: str | None = None
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """See `Source`."""
        return f"file {self.other.root / self.only if self.only else self.other.root}"

    def known(self) -> Collection[str]:
        """See `Source`."""
        return [key for key, path in self.other.descriptors.items() if self.only in {None, path}]

    def differing(self) -> Collection[str]:
        """See `Source`."""
        if self.only:
            return self.known()
        paths = {path for each in (self.project, self.other) for path in _contract_files(each)}
        changed = {path for path in paths if _content(self.project, path) != _content(self.other, path)}
        return touched(changed, self.other, self.project)

    def holder(self, id_: UUID) -> str | None:
        """See `Source`."""
        found = holder_in(self.other, id_, paths_by_id(self.other.texts))
        return found if found in self.known() else None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `Source`."""
        keys = _keys(addresses) & set(self.known())
        if not keys:
            return {}
        self.notes = ["a folder has no history: each contract was compared with the one version that it holds"]
        read = _merged(
            readings(keys, self.other),
            readings(keys, self.project),
        )
        return _grouped(
            Past(each, (Version(1, each.schema),), _readers(each, read)) for each in _contracts(self.other, keys)
        )


@dataclass
class SchemaSource:
    """One schema in a file; the contract around it is the candidate's own.

    Attributes:
        project: whose contract is the candidate.
        file: the schema.
        notes: see `Source`.
    """

    project: Project
    file: Path
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """See `Source`."""
        return f"file {self.file}"

    def known(self) -> Collection[str]:
        """See `Source`."""
        return ()

    def differing(self) -> Collection[str]:
        """See `Source`.

        Raises:
            ProjectError: always, since a schema does not say whose it is.
        """
        raise ProjectError(
            f"{self.file} is one schema, which does not say whose it is",
            hint="name the address that it is compared with",
        )

    def holder(self, id_: UUID) -> str | None:  # noqa: ARG002 - a schema knows no product
        """See `Source`."""
        return None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `Source`.

        Raises:
            ProjectError: not one port is named.
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
        return _grouped(Past(each, (Version(1, schema),), _readers(each, read)) for each in contracts)


@dataclass
class RegistrySource:
    """The registry: what is registered, with every version, all its readers and waivers.

    Attributes:
        registry: the client.
        notes: see `Source`.
    """

    registry: Registry
    notes: Sequence[str] = ()

    def describe(self) -> str:
        """See `Source`."""
        return f"the registry at {self.registry.url}"

    def known(self) -> Collection[str]:
        """See `Source`."""
        return ()

    def differing(self) -> None:
        """See `Source`."""
        return

    def holder(self, id_: UUID) -> str | None:
        """See `Source`."""
        try:
            return self.registry.product(id_).descriptor.address.key
        except NotRegistered:
            return None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `Source`."""
        found: dict[str, Before] = {}
        for key in sorted(_keys(addresses)):
            try:
                found[key] = before_of(self.registry.past(key))
            except NotRegistered:
                continue
        return found


@dataclass
class SavedSource:
    """What the registry answered about one product at some time (`/api/v1/gate/past/...`), kept in a file.

    Attributes:
        file: the answer.
        notes: see `Source`.
    """

    file: Path
    notes: Sequence[str] = ("the readers and waivers are those of the day on which the file was saved",)

    def describe(self) -> str:
        """See `Source`."""
        return f"file {self.file}"

    def known(self) -> Collection[str]:
        """See `Source`."""
        return (self._past.product.address.key,)

    def differing(self) -> Collection[str]:
        """See `Source`."""
        return self.known()

    def holder(self, id_: UUID) -> str | None:
        """See `Source`."""
        product = self._past.product
        return product.address.key if product.id == id_ else None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `Source`."""
        key = self._past.product.address.key
        return {key: before_of(self._past)} if key in _keys(addresses) else {}

    @cached_property
    def _past(self) -> ProductPast:
        try:
            return ProductPast.model_validate_json(self.file.read_bytes())
        except OSError as error:
            raise ProjectError(f"{self.file} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise ProjectError(
                f"{self.file} is no past of a product: {error.errors()[0]['msg']}",
                hint="an answer of GET /api/v1/gate/past/<domain>/<product>",
            ) from error


def before_of(past: ProductPast) -> Before:
    """What the registry answered, as the engine takes it."""
    pasts: dict[Line, Past] = {}
    for each in past.ports:
        versions = tuple(Version(one.number, Schema(one.schema_text)) for one in each.versions)
        contract = Contract(past.declaring(each.port), each.port, versions[-1].schema)
        pasts[each.port.name, each.port.major] = Past(contract, versions, each.readers, each.waivers)
    retired = (each.port for each in past.ports if each.status is Status.RETIRED)
    return Before(pasts, frozenset((port.name, port.major) for port in retired), past.product)


_FILES: Final = (".avsc", ".yaml", ".json")


def _contracts(project: Project, keys: Iterable[str]) -> list[Contract]:
    """Every contract of some products, as another state of the project has them."""
    found: list[Contract] = []
    for key in sorted(keys):
        path = project.descriptors[key]
        try:
            product = project.descriptor(path)
            found += [Contract(product, port, project.contract(product, port, path)) for port in product.output_ports]
        except (DescriptorError, SchemaError) as error:
            raise ProjectError(
                f"what mesh://{key} was cannot be told, so nothing passes: {error.message}",
                hint="an older Meshport may have taken it; compare with a later state, or with `--against registry`",
            ) from error
    return found


def _grouped(pasts: Iterable[Past]) -> dict[str, Before]:
    found: dict[str, dict[Line, Past]] = {}
    for past in pasts:
        port = past.contract.port
        found.setdefault(past.contract.product.address.key, {})[port.name, port.major] = past
    return {key: Before(each) for key, each in found.items()}


def _merged(*each: Mapping[str, list[Reading]]) -> dict[str, list[Reading]]:
    """The readers of two states: whoever reads in either breaks."""
    return {key: [reading for one in each for reading in one.get(key, ())] for key in each[0]}


def _readers(contract: Contract, read: Mapping[str, Iterable[Reading]]) -> tuple[Reader, ...]:
    return readers_of(contract.product, contract.port, read[contract.product.address.key])


def _keys(addresses: Iterable[Address]) -> set[str]:
    return {address.of_product.key for address in addresses}


def _product_of(path: str) -> str:
    domain, _, name = path.removeprefix("schemas/").partition("/")
    return f"{domain}/{name.partition('.')[0]}"


def _contract_files(project: Project) -> list[str]:
    return [path for pattern in (*DESCRIPTORS, _SCHEMAS) for path in project.files.matching(pattern)]


def _content(project: Project, path: str) -> str | None:
    try:
        return project.files.text(path)
    except (OSError, UnicodeDecodeError):
        return None
