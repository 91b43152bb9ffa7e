"""`deploy/Dockerfile` without a Docker engine: every path and name in it exists, its command is a `meshport` command line."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from meshport_registry.settings import database_url
from tests.deploy.command_lines import parsed

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))


def instructions(name: str) -> list[str]:
    """Return the arguments of every Dockerfile instruction of that name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def copied() -> list[str]:
    """Return what the Dockerfile copies from the build context."""
    lines = [line.split() for line in instructions("COPY") if not line.startswith("--from=")]
    return [source for *sources, _target in lines for source in sources]


def test_what_the_image_copies_is_there() -> None:
    """Every path that the Dockerfile copies exists in the repository and is not ignored."""
    sent = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied()
    assert set(copied()) == sent
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


def test_the_image_takes_the_fast_path() -> None:
    """The image installs the extra of the columns beside those of registry and processors."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    (installed,) = re.findall(r'"/src\[([a-z,]+)\]"', DOCKERFILE)
    assert set(installed.split(",")) == {"registry", "process", "columnar"}
    assert set(installed.split(",")) <= extras.keys()


def test_the_image_can_compare_with_a_git_revision() -> None:
    """The final stage installs git and marks the folder of the project as safe, since the files belong to another user."""
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert re.search(r"apt-get install [^&]*\bgit\b", final)
    assert f"git config --system --add safe.directory {instructions('WORKDIR')[-1]}\n" in final


def test_the_image_does_not_run_as_root() -> None:
    """The last USER is the one that the image creates, and it is not root."""
    user = instructions("USER")[-1]
    assert int(user) > 0
    assert f"--uid {user} " in DOCKERFILE
