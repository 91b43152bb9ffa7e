"""The versions of a contract in a git history, numbered as the registry would number them.

A contract at a commit follows from three things: the descriptor, which declares the port and may name its schema's file; that
file; and the types of `schemas/common/`. One `git log` reads the history of all of them, which is followed backwards from the
revision, so that every state is known by its blobs.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from meshport.compat.contract import Contract, Version
from meshport.errors import SchemaError
from meshport.gate.git import Commit, Revision
from meshport.product import OutputPort, Product
from meshport.product.yaml_file import YamlError, load
from meshport.project.project import schema_path
from meshport.schema import CommonTypes, Schema, parse_common, parse_schema

# A candidate is compared with each of them; of a longer history, the newest are compared.
MAX_VERSIONS: Final = 200

_COMMON: Final = "schemas/common"
_Port = tuple[str, int]
_Ports = dict[_Port, str | None]


@dataclass
class Timeline:
    """The versions of one port, collected from the newest on.

    Attributes:
        contract: the port at the revision.
        versions: newest first; a text with the reason instead of a schema that can no longer be parsed.
        notes: what was not compared, and why.
        ended: whether older states are ignored.
    """

    contract: Contract
    versions: list[Schema | str]
    notes: list[str] = field(default_factory=list)
    ended: bool = False

    @property
    def port(self) -> _Port:
        """The port's name and major."""
        return self.contract.port.name, self.contract.port.major

    @property
    def numbered(self) -> tuple[Version, ...]:
        """The versions that can be parsed, oldest first; a version that cannot be parsed keeps its number."""
        every = enumerate(reversed(self.versions), 1)
        return tuple(Version(number, each) for number, each in every if isinstance(each, Schema))

    def add(self, schema: Schema | str, commit: Commit) -> None:
        """Add the state before a commit as a version, unless it equals the state after it."""
        newer = self.versions[-1]
        if schema == newer or (isinstance(schema, str) and isinstance(newer, str)):
            return
        if len(self.versions) == MAX_VERSIONS:
            self.end(f"it has more than {MAX_VERSIONS} versions; older ones were not compared")
            return
        self.versions.append(schema)
        if isinstance(schema, str):
            self._note(f"the version before {commit.id[:7]} cannot be read any more and was not compared: {schema}")

    def end(self, why: str) -> None:
        """Ignore older states."""
        self.ended = True
        self._note(why)

    def _note(self, text: str) -> None:
        self.notes.append(f"{self.contract.address.key}: {text}")


def timelines(revision: Revision, contracts: Sequence[Contract]) -> list[Timeline]:
    """Return the versions of some contracts in the first-parent history of a revision, in the contracts' order.

    Raises:
        ProjectError: git failed.
    """
    return _HistoryWalk(revision, contracts).walked() if contracts else []


def descriptor_paths(product: Product) -> tuple[str, str]:
    """Return the possible paths of a product's descriptor, whatever its archetype was."""
    path = f"{product.address.domain}/{product.address.product}/product.yaml"
    return f"producers/{path}", f"processors/{path}"


class _HistoryWalk:
    """The walk over the commits of a revision that collects the versions of its contracts."""

    def __init__(self, revision: Revision, contracts: Sequence[Contract]) -> None:
        self._revision = revision
        self._lines = [Timeline(each, [each.schema]) for each in contracts]
        self._reached: dict[str, list[Timeline]] = {}
        for line in self._lines:
            own, product = schema_path(line.contract.product, line.contract.port), line.contract.product
            for path in {*descriptor_paths(product), _default(line.contract), posixpath.normpath(own)}:
                self._reached.setdefault(path, []).append(line)
        self._past = _Contents()

    def walked(self) -> list[Timeline]:
        commits = self._history()
        state: dict[str, str | None] = {path: entry.blob for path, entry in self._revision.entries.items()}
        common = _CommonState({path: blob for path, blob in state.items() if blob and _is_common(path)}, self._past)
        for commit in commits:
            state |= commit.before
            lines: dict[int, Timeline] = {}
            for path, blob in commit.before.items():
                if _is_common(path):
                    common.set(path, blob)
                for line in self._lines if _is_common(path) else self._reached.get(path, ()):
                    lines[id(line)] = line
            for line in lines.values():
                if not line.ended:
                    self._step(line, state, common, commit)
        return self._lines

    def _step(self, line: Timeline, state: dict[str, str | None], common: _CommonState, commit: Commit) -> None:
        if commit.root and self._revision.repository.shallow:
            line.end(
                f"its history is cut off at {commit.id[:7]}, the end of a shallow clone; older versions were not "
                "compared: `git fetch --unshallow`"
            )
            return
        blob = next((found for path in descriptor_paths(line.contract.product) if (found := state.get(path))), None)
        if blob is None:
            return
        ports = self._past.ports(blob)
        if ports is not None and line.port not in ports:
            return
        path = schema_path(line.contract.product, line.contract.port) if ports is None else ports[line.port]
        schema = state.get(posixpath.normpath(path or _default(line.contract)))
        if schema is not None:
            line.add(self._past.schema(schema, common), commit)

    def _history(self) -> list[Commit]:
        """Return the commits of the contracts; repeated if older descriptors name other files."""
        known = 0
        commits: list[Commit] = []
        while known < len(self._reached):
            known = len(self._reached)
            commits = self._revision.history([*self._reached, _COMMON])
            self._fetch(commits)
            for commit in commits:
                for path, blob in commit.before.items():
                    if blob and path.endswith("/product.yaml") and path in self._reached:
                        self._follow(self._reached[path], self._past.ports(blob) or {})
        return commits

    def _follow(self, lines: Iterable[Timeline], ports: _Ports) -> None:
        for line in lines:
            if path := ports.get(line.port):
                reached = self._reached.setdefault(posixpath.normpath(path), [])
                if line not in reached:
                    reached.append(line)

    def _fetch(self, commits: Iterable[Commit]) -> None:
        def needed(path: str) -> bool:
            return path in self._reached or _is_common(path)

        ids = {entry.blob for path, entry in self._revision.entries.items() if needed(path)}
        for commit in commits:
            ids |= {blob for path, blob in commit.before.items() if blob and needed(path)}
        for blob, content in self._revision.repository.blobs(ids - self._past.texts.keys()).items():
            self._past.texts[blob] = content.decode(errors="replace")


class _Contents:
    """The contents of historical blobs, each parsed once."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self._ports: dict[str, _Ports | None] = {}
        self._types: dict[str, CommonTypes] = {}
        self._schemas: dict[tuple[str, tuple[str, ...]], Schema | str] = {}

    def ports(self, blob: str) -> _Ports | None:
        """Return the ports that a descriptor declares and the files that it names for them; None if it cannot be parsed."""
        if blob not in self._ports:
            self._ports[blob] = _ports(self.texts[blob])
        return self._ports[blob]

    def schema(self, blob: str, common: _CommonState) -> Schema | str:
        """Return a schema, or the reason why it can no longer be parsed."""
        key = (blob, common.blobs)
        if key not in self._schemas:
            try:
                self._schemas[key] = parse_schema(self.texts[blob], common=common.types, source="the schema")
            except SchemaError as error:
                self._schemas[key] = error.message
        return self._schemas[key]

    def types(self, blob: str) -> CommonTypes:
        """Return what one common file declares: nothing if it cannot be parsed, which fails only the schemas that use it."""
        if blob not in self._types:
            try:
                self._types[blob] = parse_common([("it", self.texts[blob])])
            except SchemaError:
                self._types[blob] = CommonTypes()
        return self._types[blob]


class _CommonState:
    """The files of `schemas/common/` at one commit."""

    def __init__(self, files: dict[str, str], contents: _Contents) -> None:
        self._files = files
        self._contents = contents
        self._settle()

    def set(self, path: str, blob: str | None) -> None:
        if blob is None:
            self._files.pop(path, None)
        else:
            self._files[path] = blob
        self._settle()

    def _settle(self) -> None:
        self.blobs = tuple(self._files[path] for path in sorted(self._files))
        every = [self._contents.types(blob) for blob in self.blobs]
        self.types = CommonTypes(
            {name: form for each in every for name, form in each.named.items()},
            {name: form for each in every for name, form in each.polysemes.items()},
        )


def _ports(text: str) -> _Ports | None:
    """Return the ports and files of a descriptor that an older Meshport accepted, reading as little of it as possible."""
    try:
        document = load(text)  # in which only keys are looked up
        return {
            (str(port.get("name", "events")), int(port.get("major", 1))): port.get("schema")
            for port in document["outputPorts"]
        }
    except (YamlError, TypeError, KeyError, AttributeError, ValueError):
        return None


def _default(contract: Contract) -> str:
    return schema_path(contract.product, OutputPort(name=contract.port.name, major=contract.port.major))


def _is_common(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder == _COMMON and name.endswith(".avsc")
