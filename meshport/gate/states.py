"""The project itself in another state: at a git revision, or in another checkout.

Both list the files that differ, and so the contracts that may. Both are read like the project, without running its code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final
from uuid import UUID

from meshport.address import Address
from meshport.compat.contract import Contract, Version
from meshport.compat.judge import Past
from meshport.errors import DescriptorError, ProjectError, SchemaError
from meshport.gate.before import Before, grouped, keys_of, known_readers
from meshport.gate.git import Revision
from meshport.gate.timeline import timelines
from meshport.gate.touched import Reading, paths_by_id, product_with_id_in, readings, touched
from meshport.project.project import COMMON, DESCRIPTORS, Project

_SCHEMAS: Final = ("schemas/*.avsc", "schemas/*/*.avsc")


@dataclass
class GitSource:
    """A revision of the project in git, compared with the work tree, uncommitted files included.

    Attributes:
        project: in the work tree.
        revision: what it is compared with.
        notes: see `meshport.gate.before.PastSource`.
    """

    project: Project
    revision: Revision
    notes: list[str] = field(default_factory=list)
    _notes_made: bool = field(default=False, init=False)

    def describe(self) -> str:
        """See `meshport.gate.before.PastSource`."""
        return f"git {self.revision.name} ({self.revision.commit[:7]})"

    def known(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return self._old.descriptors.keys()

    def differing(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return touched(self._changed, self._old, self.project)

    def product_with_id(self, id_: UUID) -> str | None:
        """See `meshport.gate.before.PastSource`."""
        return product_with_id_in(self._old, id_, self._ids)

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `meshport.gate.before.PastSource`."""
        if not self._notes_made:
            self.notes += self._work_tree_notes()
            self._notes_made = True
        keys = keys_of(addresses) & self._old.descriptors.keys()
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
        return grouped(Past(line.contract, line.numbered, known_readers(line.contract, read)) for line in lines)

    @cached_property
    def _old(self) -> Project:
        return Project(self.project.root, self.revision)

    @cached_property
    def _old_texts(self) -> Mapping[str, str]:
        """Every descriptor of the revision; only those that differ are read from git."""
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
        """The project's files that differ, and descriptors that git ignores, which are in the work tree all the same."""
        start = len(self.revision.folder) + 1 if self.revision.folder else 0
        repository = self.revision.repository
        found = {path[start:] for path in repository.changed(self.revision.commit, self.revision.folder)}
        return frozenset(found | (set(self.project.descriptors.values()) - self.revision.entries.keys()))

    def _work_tree_notes(self) -> Iterator[str]:
        """Yield what the state of the work tree means for the verdicts."""
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
        project: the project of the candidates.
        other: the checkout.
        only: the path of the only descriptor to compare; None for all.
        notes: see `meshport.gate.before.PastSource`.
    """

    project: Project
    other: Project
    only: str | None = None
    notes: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """See `meshport.gate.before.PastSource`."""
        return f"file {self.other.root / self.only if self.only else self.other.root}"

    def known(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        return [key for key, path in self.other.descriptors.items() if self.only in {None, path}]

    def differing(self) -> Collection[str]:
        """See `meshport.gate.before.PastSource`."""
        if self.only:
            return self.known()
        paths = {path for each in (self.project, self.other) for path in _contract_files(each)}
        changed = {path for path in paths if _content(self.project, path) != _content(self.other, path)}
        return touched(changed, self.other, self.project)

    def product_with_id(self, id_: UUID) -> str | None:
        """See `meshport.gate.before.PastSource`."""
        found = product_with_id_in(self.other, id_, paths_by_id(self.other.texts))
        return found if found in self.known() else None

    def before(self, addresses: Sequence[Address]) -> Mapping[str, Before]:
        """See `meshport.gate.before.PastSource`."""
        keys = keys_of(addresses) & set(self.known())
        if not keys:
            return {}
        self.notes = ["a folder has no history: each contract was compared with the one version that it holds"]
        read = _merged(
            readings(keys, self.other),
            readings(keys, self.project),
        )
        return grouped(
            Past(each, (Version(1, each.schema),), known_readers(each, read)) for each in _contracts(self.other, keys)
        )


def _contracts(project: Project, keys: Iterable[str]) -> list[Contract]:
    """Return every contract of some products in another state of the project."""
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


def _merged(*each: Mapping[str, list[Reading]]) -> dict[str, list[Reading]]:
    """Return the readers of two states; a reader in either of them counts."""
    return {key: [reading for one in each for reading in one.get(key, ())] for key in each[0]}


def _product_of(path: str) -> str:
    domain, _, name = path.removeprefix("schemas/").partition("/")
    return f"{domain}/{name.partition('.')[0]}"


def _contract_files(project: Project) -> list[str]:
    return [path for pattern in (*DESCRIPTORS, *_SCHEMAS) for path in project.files.matching(pattern)]


def _content(project: Project, path: str) -> str | None:
    try:
        return project.files.text(path)
    except (OSError, UnicodeDecodeError):
        return None
