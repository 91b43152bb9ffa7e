"""Git revisions as the gate reads them, on real repositories."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from meshport.errors import ProjectError, SchemaError
from meshport.gate.git import Repository, Revision
from meshport.project.project import Project
from tests.gate.repositories import Mesh, git, record


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep out what this machine, or a hook around the tests, has configured."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    """A project in a subfolder whose name needs quoting, with one product committed."""
    made = Mesh.make(tmp_path / "re po", "the mësh")
    made.product("shop/orders", record("Order"))
    made.commit("first")
    return made


def at(mesh: Mesh, name: str = "main") -> Revision:
    """Return a revision of the project."""
    repository = Repository.around(mesh.root)
    commit = repository.commit(name)
    assert commit is not None
    return Revision(repository, commit, name, repository.path(mesh.root))


def test_a_project_is_read_from_a_revision(mesh: Mesh) -> None:
    """A project at a revision has that revision's products, whatever the work tree contains."""
    shutil.rmtree(mesh.root / "producers")
    old = Project(mesh.root, at(mesh))
    assert [str(each.product.address) for each in old.products] == ["mesh://shop/orders"]
    assert old.products[0].product.description == "Ünïcode, and more."


def test_errors_name_the_file_as_git_show_takes_it(mesh: Mesh) -> None:
    """An error at a revision names the file as `<revision>:<path>`."""
    mesh.schema("shop/orders.events", "{")
    mesh.commit()
    with pytest.raises(SchemaError, match=r"main:the mësh/schemas/shop/orders\.events\.avsc is no JSON"):
        _ = Project(mesh.root, at(mesh)).products


@pytest.mark.parametrize("name", ["HEAD", "HEAD~1", "main", "v1", "origin/main", "id", "short"])
def test_a_revision_is_named_as_git_names_it(mesh: Mesh, name: str) -> None:
    """Branches, remote branches, tags, ids in full or short, and expressions are all revisions."""
    first = git(mesh.top, "rev-parse", "HEAD")
    git(mesh.top, "tag", "-a", "v1", "-m", "annotated")
    git(mesh.top, "update-ref", "refs/remotes/origin/main", first)
    second = mesh.commit("second")
    text = {"id": first, "short": first[:8]}.get(name, name)
    assert Repository.around(mesh.root).commit(text) == (second if name in {"HEAD", "main"} else first)


@pytest.mark.parametrize("name", ["nowhere", "main..HEAD", ":/", "HEAD:the", "", "main\nmain", "@{-9}"])
def test_what_is_no_revision_is_none(mesh: Mesh, name: str) -> None:
    """Ranges, files and nonsense are no commits."""
    assert Repository.around(mesh.root).commit(name) is None


def test_an_option_is_no_revision(mesh: Mesh) -> None:
    """Text that begins with a dash never reaches git."""
    with pytest.raises(ProjectError, match="'--output=x' is no git revision"):
        Repository.around(mesh.root).commit("--output=x")


def test_changes_are_those_of_the_work_tree(mesh: Mesh) -> None:
    """Committed, staged, unstaged, untracked and deleted files differ; touched and ignored ones do not."""
    (mesh.top / ".gitignore").write_text("*.log\n")
    for name in ("staged", "edited", "deleted", "touched"):
        (mesh.root / f"{name} ü").write_text("1")
    base = mesh.commit()
    (mesh.root / "committed ü").write_text("1")
    mesh.commit()
    (mesh.root / "staged ü").write_text("2")
    git(mesh.top, "add", "-A")
    (mesh.root / "edited ü").write_text("2")
    (mesh.root / "deleted ü").unlink()
    os.utime(mesh.root / "touched ü", (1, 1))
    (mesh.root / "new ü").write_text("1")
    (mesh.root / "noise.log").write_text("1")
    (mesh.top / "outside").write_text("1")
    changed = Repository.around(mesh.root).changed(base, "the mësh")
    assert {each.removeprefix("the mësh/") for each in changed} == {
        f"{name} ü" for name in ("committed", "staged", "edited", "deleted", "new")
    }


def test_configuration_changes_nothing(mesh: Mesh) -> None:
    """A user's configuration of git's output, pagers and external programs does not affect the gate."""
    for name, value in {
        "diff.external": "false", "diff.renames": "copies", "diff.relative": "true", "core.quotePath": "true",
        "color.ui": "always", "log.follow": "true", "log.showSignature": "true", "log.showRoot": "false",
        "log.diffMerges": "combined", "diff.noprefix": "true", "format.pretty": "fuller", "core.pager": "false",
    }.items():  # fmt: skip
        git(mesh.top, "config", name, value)
    base = git(mesh.top, "rev-parse", "HEAD")
    old = mesh.root / "schemas/shop/orders.events.avsc"
    old.rename(old.with_name("orders.renamed.avsc"))
    repository = Repository.around(mesh.root)
    assert {each.rpartition("/")[2] for each in repository.changed(base, "the mësh")} == {
        "orders.events.avsc",
        "orders.renamed.avsc",
    }
    history = at(mesh).history(["schemas/shop/orders.events.avsc"])
    assert [dict(each.before) for each in history] == [{"schemas/shop/orders.events.avsc": None}]


def test_history_follows_first_parents(mesh: Mesh) -> None:
    """A merge is one step: the states of the branch before it are no versions of the mesh."""
    path = "schemas/shop/orders.events.avsc"
    first = at(mesh).entries[path].blob
    git(mesh.top, "checkout", "-q", "-b", "side")
    for name in ("a", "b"):
        mesh.schema("shop/orders.events", record("Order", name))
        mesh.commit(name)
    git(mesh.top, "checkout", "-q", "main")
    git(mesh.top, "merge", "-q", "--no-ff", "-m", "merge", "side")
    history = at(mesh).history([path])
    assert [each.before[path] for each in history] == [first, None]
    assert [each.root for each in history] == [False, True]


def test_nothing_is_written(mesh: Mesh) -> None:
    """The index keeps its bytes and time although files were touched, so that a check is harmless beside other work."""
    os.utime(mesh.root / "schemas/shop/orders.events.avsc", (1, 1))
    index = mesh.top / ".git/index"
    before = index.read_bytes(), index.stat().st_mtime_ns, sorted((mesh.top / ".git").iterdir())
    assert Repository.around(mesh.root).changed("HEAD", "") == frozenset()
    assert (index.read_bytes(), index.stat().st_mtime_ns, sorted((mesh.top / ".git").iterdir())) == before


def test_a_linked_work_tree_is_one(mesh: Mesh, tmp_path: Path) -> None:
    """`git worktree add` makes a second work tree of the same repository, with a state of its own."""
    git(mesh.top, "worktree", "add", "-q", str(tmp_path / "second"), "-b", "other")
    second = Mesh(tmp_path / "second/the mësh", tmp_path / "second")
    second.schema("shop/orders.events", record("Order", "x"))
    assert Repository.around(second.root).changed("main", "") == {"the mësh/schemas/shop/orders.events.avsc"}
    assert Repository.around(mesh.root).changed("main", "") == frozenset()


def test_a_hook_s_relative_git_dir_is_respected(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook starts at the top with `GIT_DIR=.git`, also if the project is a folder below."""
    monkeypatch.chdir(mesh.top)
    monkeypatch.setenv("GIT_DIR", ".git")
    assert at(mesh).matching("producers/*/*/product.yaml") == ["producers/shop/orders/product.yaml"]
    assert Repository.around(mesh.root).changed("main", "") == frozenset()


def test_a_repository_within_another_is_its_own(mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project with its own repository is not read as a folder of the repository around it."""
    inner = mesh.root / "vendored"
    inner.mkdir()
    own = Mesh.make(inner)
    monkeypatch.chdir(mesh.top)
    assert Repository.around(own.root).top == inner


def test_links_are_followed(mesh: Mesh) -> None:
    """A schema that is a symbolic link has its target's content, as on disk; a link to itself is an error."""
    target = mesh.schema("shop/real", record("Order", "linked"))
    link = mesh.root / "schemas/shop/orders.events.avsc"
    link.unlink()
    link.symlink_to(target.name)
    (mesh.root / "schemas/shop/ring.avsc").symlink_to("ring.avsc")
    mesh.commit()
    assert "linked" in at(mesh).text("schemas/shop/orders.events.avsc")
    with pytest.raises(FileNotFoundError):
        at(mesh).text("schemas/shop/ring.avsc")


def test_a_shallow_clone_says_so(mesh: Mesh, tmp_path: Path) -> None:
    """A clone of depth 1 is recognised as shallow; its only commit looks like a root."""
    mesh.commit("second")
    git(tmp_path, "clone", "-q", "--depth", "1", mesh.top.as_uri(), "cut")
    repository = Repository.around(tmp_path / "cut")
    assert repository.shallow
    assert not Repository.around(mesh.root).shallow
    assert [each.root for each in repository.history("HEAD", ["."])] == [True]


def test_outside_of_git_the_error_says_what_to_do(tmp_path: Path) -> None:
    """A project outside of a repository has no revisions, and the error suggests other sources."""
    with pytest.raises(ProjectError, match="not a git repository") as refused:
        Repository.around(tmp_path)
    assert "--against registry" in str(refused.value.hint)


def test_without_git_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without git on the machine, the error names git and not a missing repository."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProjectError, match="there is no `git`") as refused:
        Repository.around(tmp_path)
    assert "install git" in str(refused.value.hint)


def test_a_missing_object_is_an_error(mesh: Mesh) -> None:
    """A missing blob is an error, never an empty file."""
    with pytest.raises(ProjectError, match="git has no object 1234"):
        Repository.around(mesh.root).blobs(["1234" * 10])
