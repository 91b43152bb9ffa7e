"""`deploy/Dockerfile` without a Docker engine: every path and name in it exists, its command is a `meshport` command line."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from meshport.metrics.readiness import Readiness
from meshport.metrics.server import served
from meshport_registry.settings import database_url
from tests.deploy.command_lines import parsed

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))

EXTRAS = ("registry", "outbox", "process", "columnar", "observe")


def module(path: Path) -> Any:
    """Import a file of the image that belongs to no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


HEALTH = module(DEPLOY / "image" / "health.py")
ROOTFS = module(DEPLOY / "image" / "rootfs.py")


def locked(path: Path) -> dict[str, frozenset[str]]:
    """Return the pinned distributions of a lock, each with its hashes."""
    parts = re.split(r"^(?=\S)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {each.split()[0]: frozenset(re.findall(r"--hash=(\S+)", each)) for each in parts if "==" in each}


def instructions(name: str) -> list[str]:
    """Return the arguments of every Dockerfile instruction of that name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def copied() -> list[str]:
    """Return what the Dockerfile copies from the build context."""
    lines = [line.split() for line in instructions("COPY") if not line.startswith("--from=")]
    return [source for *sources, _target in lines for source in sources]


def test_what_the_image_copies_is_there() -> None:
    """Every path that the Dockerfile copies exists in the repository and is not ignored."""
    own = [each for each in copied() if each.startswith("deploy/image/")]
    sent = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied()
    assert {each.removeprefix("./") for each in copied() if each not in own} | {"deploy/image"} == sent
    assert [each for each in copied() if not (ROOT / each).exists()] == []


def test_the_image_holds_what_the_package_is_built_of() -> None:
    """The Dockerfile copies the sources, readme and licence that the build of the package needs."""
    needed = re.findall(r'^(?:readme = |license-files = \[)"([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    needed += ["pyproject.toml", "meshport", "registry/meshport_registry"]
    assert [each for each in needed if not any(fnmatch(each, f"{path}*") for path in copied())] == []
    assert len(needed) == 5


def test_the_image_begins_with_a_command_line() -> None:
    """ENTRYPOINT and CMD are a `meshport` command line that serves a registry on a file in the image's volume."""
    (entry,), (command,), (volume,) = instructions("ENTRYPOINT"), instructions("CMD"), instructions("VOLUME")
    assert json.loads(entry) == ["meshport"]
    options = parsed(json.loads(command))
    assert (options["host"], options["port"]) == ("0.0.0.0", int(instructions("EXPOSE")[0]))
    assert str(database_url(options["database"]).database).startswith(f"{volume}/")


def test_the_image_installs_what_its_commands_need() -> None:
    """The lock of the image has the extras of all its processes, in the versions and hashes of all tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    tested, installed = locked(ROOT / "requirements.lock"), locked(DEPLOY / "image" / "requirements.lock")
    asked = [*project["dependencies"], *(each for name in EXTRAS for each in extras[name])]
    names = {re.split(r"[^A-Za-z0-9_-]", each)[0].replace("_", "-").lower() for each in asked}
    assert names <= {each.partition("==")[0] for each in installed}
    assert {name: hashes for name, hashes in installed.items() if tested.get(name) != hashes} == {}


def test_the_lock_is_made_for_these_extras() -> None:
    """`make lock` writes the image's locks for the same extras."""
    made = re.findall(r"--extra (\w+)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(made) == set(EXTRAS)


def test_what_modules_import_is_in_the_image_or_named_as_absent() -> None:
    """The build imports every module, and fails at a distribution that the image's lock does not have."""
    known = packages_distributions()
    has = {canonical(re.split(r"[=\[]", each)[0]) for each in locked(DEPLOY / "image" / "requirements.lock")}
    missing = {
        f"{file.relative_to(ROOT)} imports {name}"
        for package in (ROOT / "meshport", ROOT / "registry" / "meshport_registry")
        for file in package.rglob("*.py")
        for name in imported(file) - sys.stdlib_module_names - {"meshport", "meshport_registry"}
        if name not in ROOTFS.ABSENT and not any(canonical(each) in has for each in known.get(name, ()))
    }
    assert missing == set()


def imported(file: Path) -> set[str]:
    """Return the packages that a module imports while it is imported itself: not in functions, not for the type checker."""
    found = set[str]()
    waiting: list[ast.AST] = [ast.parse(file.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            found |= {each.name.partition(".")[0] for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
        waiting += ast.iter_child_nodes(node)
    return found


def canonical(name: str) -> str:
    """Return the name of a distribution as the lock has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_can_compare_with_a_git_revision() -> None:
    """The build marks the folder of the project as safe for git, since its files belong to another user."""
    assert f"git config --system --add safe.directory {instructions('WORKDIR')[-1]}\n" in DOCKERFILE


def test_the_image_does_not_run_as_root() -> None:
    """The last USER owns the project's folder and the volume, has a name in the image, and is not root."""
    user = instructions("USER")[-1]
    assert int(user) > 0
    owned = re.findall(rf"^COPY --from=build --chown={user}:{user} /empty (\S+)$", DOCKERFILE, re.MULTILINE)
    assert owned == [instructions("WORKDIR")[-1], *instructions("VOLUME")]
    assert f"meshport:x:{user}:{user}:" in (DEPLOY / "image" / "rootfs.py").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("command", "url"),
    [
        ("registry serve", "http://127.0.0.1:8081/health"),
        ("registry serve --host 0.0.0.0 --port=9000", "http://127.0.0.1:9000/health"),
        ("registry serve --host 10.0.0.7 --tls-cert c.pem --tls-key k.pem", "https://10.0.0.7:8081/health"),
        ("registry serve --metrics 0.0.0.0:9100", "http://127.0.0.1:9100/ready"),
        ("run listening/sessions --metrics=9100", "http://127.0.0.1:9100/ready"),
        ("relay --metrics 127.0.1.4:9100", "http://127.0.1.4:9100/ready"),
        ("apply", None),
    ],
)
def test_the_health_check_asks_the_process_of_the_container(command: str, url: str | None) -> None:
    """What is asked follows from the command line; a command that serves nothing is healthy while it runs."""
    words = ["/opt/meshport/bin/python", "/opt/meshport/bin/meshport", *command.split()]
    assert HEALTH.address(words) == url
    assert parsed(["registry", "serve"])["port"] == 8081


def test_the_health_check_fails_where_the_process_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is ready passes; one that is not, and one that does not answer, fail with the reason."""
    readiness = Readiness("relay", ("database",))
    with served("0", readiness) as url:
        monkeypatch.setattr(HEALTH, "address", lambda _command: f"{url}/ready")
        with pytest.raises(SystemExit, match="503"):
            HEALTH.main()
        readiness.meet("database")
        HEALTH.main()
    with pytest.raises(SystemExit, match="refused"):
        HEALTH.main()
