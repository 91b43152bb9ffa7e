"""A git repository, read only: the content of a revision, the changes since, and the history.

The only caller of the `git` command. It writes nothing, not even the index's cache of file times (`--no-optional-locks`).
Paths travel NUL-terminated, and configuration that changes the output of commands is overridden. Every path is relative to
the repository's top with slashes, in whatever folder the project is.
"""

from __future__ import annotations

import posixpath
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from meshport.errors import ProjectError

# Options and settings that override a user's configuration, which would change the output that is parsed here.
_PLAIN: Final = (
    "--no-pager",
    "--no-optional-locks",
    "--literal-pathspecs",
    "-c",
    "core.quotePath=false",
    "-c",
    "diff.autoRefreshIndex=false",
    "-c",
    "log.follow=false",
    "-c",
    "log.showSignature=false",
    "-c",
    "log.showRoot=true",
)
_NOTHING: Final = re.compile(r"0+")
_LINK: Final = "120000"
_SUBMODULE: Final = "160000"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A file of a revision: its mode as git writes it (`100644`), and the id of its object."""

    mode: str
    blob: str


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit, and what it changed in some files, compared with its first parent.

    Attributes:
        id: its full id.
        root: whether it has no parent; in a shallow clone, also whether its parents are cut off.
        before: the blob of each path before the commit; None if the path did not exist.
    """

    id: str
    root: bool
    before: Mapping[str, str | None]


@dataclass(frozen=True)
class Repository:
    """A git work tree.

    Attributes:
        top: its topmost folder.
        directory: the `.git` folder, or that of a linked work tree.
        shallow: whether its history is cut off (`git clone --depth`).
    """

    top: Path
    directory: Path
    shallow: bool

    @classmethod
    def around(cls, folder: Path) -> Repository:
        """Return the work tree that contains a folder. `GIT_DIR` and the like are respected, as in git itself.

        Raises:
            ProjectError: there is none, or git is not installed.
        """
        # A hook gets a GIT_DIR relative to the folder that it starts in, so git runs there first.
        for start in (None, folder):
            answer = _git(("rev-parse", *_ASKED), cwd=start)
            if answer.returncode == 0:
                top, directory, shallow = answer.stdout.decode(errors="surrogateescape").splitlines()
                if _holds(Path(top).resolve(), folder.resolve()):
                    return cls(Path(top).resolve(), Path(directory), shallow == "true")
        reason = answer.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise ProjectError(
            f"{folder} cannot be compared with a git revision: {reason or 'it lies outside of the git work tree'}",
            hint="outside of git, compare with `--against registry` or with a file",
        )

    def path(self, file: Path) -> str:
        """Return a file's path in the repository."""
        inside = file.resolve().relative_to(self.top).as_posix()
        return "" if inside == "." else inside

    def commit(self, revision: str) -> str | None:
        """Return the full id of the commit that a branch, tag, id or expression (`HEAD~1`) names; None if there is none.

        Raises:
            ProjectError: the text begins with a dash, as options do.
        """
        if revision.startswith("-"):
            raise ProjectError(f"{revision!r} is no git revision", hint="a branch, a tag or a commit's id")
        answer = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        found = answer.stdout.decode().strip()
        return found if answer.returncode == 0 and found else None

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Return whether one commit is in the history of another."""
        return self._run("merge-base", "--is-ancestor", older, newer).returncode == 0

    def tree(self, commit: str, folder: str) -> dict[str, TreeEntry]:
        """Return every file of a folder in a revision; a submodule is one entry without its files."""
        found: dict[str, TreeEntry] = {}
        for line in _parts(self._out("ls-tree", "-r", "-z", "--full-tree", commit, "--", *filter(None, [folder]))):
            facts, _, path = line.partition("\t")
            mode, _, blob = facts.split(" ")
            found[path] = TreeEntry(mode, blob)
        return found

    def changed(self, commit: str, folder: str) -> frozenset[str]:
        """Return the files of a folder that differ between a revision and the work tree, also uncommitted and untracked ones."""
        where = folder or "."
        # If only a file's time differs, `git diff` would update the index, optional locks or not. With autoRefreshIndex off
        # it lists the file, and its content is compared by its hash.
        out = self._out(
            "diff", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff",
            "--no-relative", "--ignore-submodules=all", commit, "--", where,
        )  # fmt: skip
        parts = iter(_parts(out))
        facts = {path: line.split(" ") for line, path in zip(parts, parts, strict=True)}
        dirty = {path: old for path, (_, _, old, new, _) in facts.items() if _NOTHING.fullmatch(new)}
        untracked = self._out("ls-files", "--others", "--exclude-standard", "-z", "--", where)
        same = {path for path, blob in self._hashes(dirty).items() if blob == dirty[path] and _same_mode(facts[path])}
        return frozenset((facts.keys() - same) | set(_parts(untracked)))

    def _hashes(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the object ids of files of the work tree, except for symbolic links and paths with a line break."""
        plain = [
            path
            for path in paths
            if "\n" not in path and (self.top / path).is_file() and not (self.top / path).is_symlink()
        ]
        if not plain:
            return {}
        out = self._out("hash-object", "--stdin-paths", given="".join(f"{path}\n" for path in plain))
        return dict(zip(plain, out.decode().split(), strict=True))

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of objects by their ids, read by one process.

        Raises:
            ProjectError: the repository does not have one of them.
        """
        wanted = list(dict.fromkeys(ids))
        if not wanted:
            return {}
        out = self._out("cat-file", "--batch", "--buffer", given="".join(f"{each}\n" for each in wanted))
        found: dict[str, bytes] = {}
        at = 0
        for each in wanted:
            end = out.index(b"\n", at)
            facts = out[at:end].split(b" ")
            if len(facts) != 3:
                raise ProjectError(
                    f"git has no object {each} in {self.top}",
                    hint="`git fsck` looks for what is lost",
                    file=str(self.top),
                )
            size = int(facts[2])
            found[each] = out[end + 1 : end + 1 + size]
            at = end + size + 2
        return found

    def history(self, commit: str, paths: Sequence[str]) -> list[Commit]:
        """Return the commits in the history of a revision that changed some files or folders, newest first.

        The history follows first parents: the states of a branch before it was merged were never deployed to the mesh.
        """
        out = self._out(
            "log", "--first-parent", "-m", "--no-renames", "--no-ext-diff", "--no-relative", "--no-color", "--raw",
            "-z", "--no-abbrev", "--ignore-submodules=all", "--format=%H %P", commit, "--", *paths,
        )  # fmt: skip
        commits: list[Commit] = []
        before: dict[str, str | None] = {}
        parts = iter(_parts(out))
        for part in parts:
            line = part.lstrip("\n")
            if line.startswith(":"):
                blob = line.split(" ")[2]
                before[next(parts)] = None if _NOTHING.fullmatch(blob) else blob
            else:
                id_, *parents = line.split(" ")
                before = {}
                commits.append(Commit(id_, not any(parents), before))
        return commits

    def _run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[bytes]:
        # Both are given, so that a GIT_DIR relative to another folder has no effect.
        named = (f"--git-dir={self.directory}", f"--work-tree={self.top}")
        return _git((*named, *arguments), cwd=self.top, given=given)

    def _out(self, *arguments: str, given: str | None = None) -> bytes:
        answer = self._run(*arguments, given=given)
        if answer.returncode != 0:
            reason = answer.stderr.decode(errors="replace").strip() or f"exit code {answer.returncode}"
            raise ProjectError(f"`git {arguments[0]}` failed in {self.top}: {reason.removeprefix('fatal: ')}")
        return answer.stdout


@dataclass(frozen=True)
class Revision:
    """The files of a project in a revision; the `Files` of a `Project`.

    Attributes:
        repository: the repository that contains it.
        commit: the full id.
        name: as it was requested (`main`).
        folder: the project's path in the repository.
    """

    repository: Repository
    commit: str
    name: str
    folder: str

    @cached_property
    def entries(self) -> dict[str, TreeEntry]:
        """Every file, by its path in the project."""
        start = len(self.folder) + 1 if self.folder else 0
        return {path[start:]: entry for path, entry in self.repository.tree(self.commit, self.folder).items()}

    @cached_property
    def _read(self) -> dict[str, bytes]:
        return {}

    def matching(self, pattern: str) -> list[str]:
        """See `meshport.project.project.Files`."""
        shape = re.compile(re.escape(pattern).replace(r"\*", "[^/]*"))
        return sorted(
            path for path, entry in self.entries.items() if entry.mode != _SUBMODULE and shape.fullmatch(path)
        )

    def fetch(self, paths: Iterable[str]) -> None:
        """Read files ahead, all by one process."""
        wanted = {entry.blob for path in paths if (entry := self.entries.get(path)) and entry.mode != _SUBMODULE}
        self._read.update(self.repository.blobs(wanted - self._read.keys()))

    def text(self, path: str) -> str:
        """See `meshport.project.project.Files`; a symbolic link is followed."""
        path = posixpath.normpath(path)
        for _ in range(_LINKS):
            entry = self.entries.get(path) or self._elsewhere(path)
            if entry is None or entry.mode == _SUBMODULE:
                raise FileNotFoundError(f"{self.name} has no such file")
            if entry.blob not in self._read:
                self._read.update(self.repository.blobs([entry.blob]))
            text = self._read[entry.blob].decode()
            if entry.mode != _LINK:
                return text
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), text))
        raise FileNotFoundError("links lead to links without end")

    def history(self, paths: Iterable[str]) -> list[Commit]:
        """Return the commits of `Repository.history`, with paths relative to the project."""
        asked = sorted({full for path in paths if (full := self._full(path))})
        if len(asked) > _PATHSPECS:
            depth = self.folder.count("/") + 2 if self.folder else 1
            asked = sorted({"/".join(full.split("/")[:depth]) for full in asked})
        inside = f"{self.folder}/" if self.folder else ""
        return [
            Commit(
                each.id,
                each.root,
                {
                    full.removeprefix(inside) if full.startswith(inside) else posixpath.relpath(full, self.folder): blob
                    for full, blob in each.before.items()
                },
            )
            for each in self.repository.history(self.commit, asked)
        ]

    def _full(self, path: str) -> str | None:
        """Return a path in the repository; None for a path that leads out of it."""
        full = posixpath.normpath(posixpath.join(self.folder, path))
        return None if full.startswith(("../", "/")) else full

    def _elsewhere(self, path: str) -> TreeEntry | None:
        """Return a file of the repository that is outside the project."""
        full = self._full(path)
        return self.repository.tree(self.commit, full).get(full) if full and path.startswith("../") else None

    def called(self, path: str) -> str:
        """See `meshport.project.project.Files`; the words are those of `git show`."""
        return f"{self.name}:{posixpath.join(self.folder, path)}"

    def submodules(self) -> list[str]:
        """Return the paths that belong to another repository."""
        return [path for path, entry in self.entries.items() if entry.mode == _SUBMODULE]


# As many as Linux follows (path_resolution(7)).
_LINKS: Final = 40
# git matches each path with each pathspec in turn; if there are more, their folders are given instead.
_PATHSPECS: Final = 100
_ASKED: Final = ("--show-toplevel", "--absolute-git-dir", "--is-shallow-repository")


def _same_mode(facts: Sequence[str]) -> bool:
    return facts[0].removeprefix(":") == facts[1]


def _holds(top: Path, folder: Path) -> bool:
    """Return whether a work tree contains a folder without another repository nested between the two."""
    if not folder.is_relative_to(top):
        return False
    between = [each for each in (folder, *folder.parents) if each != top and each.is_relative_to(top)]
    return not any((each / ".git").exists() for each in between)


def _git(arguments: Sequence[str], *, cwd: Path | None, given: str | None = None) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            ["git", *_PLAIN, *arguments],  # noqa: S607 - the user's own git, wherever it is installed
            cwd=cwd,
            input=given.encode(errors="surrogateescape") if given is not None else b"",
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ProjectError(
            "there is no `git` to compare with a revision", hint="install git, or compare with `--against registry`"
        ) from error


def _parts(out: bytes) -> list[str]:
    return [part for part in out.decode(errors="surrogateescape").split("\0") if part]
