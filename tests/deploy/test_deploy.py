"""`deploy/` without a Docker engine: every path and name in it exists, every command is a `meshport` command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshport.address import Address
from meshport.cli import load_verb
from meshport.project.project import Project
from meshport_registry.settings import database_url

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))
# The command of each service, with the default of every variable.
COMMANDS: dict[str, list[str]] = {
    name: [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in service["command"]]
    for name, service in COMPOSE["services"].items()
    if service.get("image") == "meshport"
}


def parsed(words: list[str]) -> dict[str, Any]:
    """Return the options and arguments of a `meshport` command line; raises a usage error if it is none."""
    command, rest = load_verb(words[0]), words[1:]
    while (verbs := getattr(command, "commands", None)) is not None:
        command, rest = verbs[rest[0]], rest[1:]
    return dict(command.make_context(words[0], list(rest)).params)


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


@pytest.mark.parametrize("service", COMMANDS)
def test_every_command_is_a_command_line(service: str) -> None:
    """The command of each service is a valid `meshport` command line."""
    assert parsed(COMMANDS[service]) is not None


def test_the_services_agree_with_each_other() -> None:
    """Ports, database and addresses that one service names are those of the other services."""
    services = COMPOSE["services"]
    registry = parsed(COMMANDS["registry"])
    database = database_url(registry["database"])
    settings = services["postgres"]["environment"]
    assert (database.host, database.username, database.database) == (
        "postgres",
        settings["POSTGRES_USER"],
        settings["POSTGRES_DB"],
    )
    assert services["registry"]["environment"]["PGPASSWORD"] == settings["POSTGRES_PASSWORD"]
    assert services["registry"]["ports"] == [f"127.0.0.1:{registry['port']}:{registry['port']}"]
    assert registry["allow_anonymous"], "everyone may do everything, so the port is published on this machine only"
    applied = parsed(COMMANDS["apply"])
    assert applied["registry"] == COMPOSE["x-product"]["environment"]["MESHPORT_REGISTRY"]
    assert applied["registry"] == f"http://registry:{registry['port']}"
    assert applied["kafka"] == registry["kafka"] == "kafka:9092"
    assert "PLAINTEXT://:9092" in services["kafka"]["environment"]["KAFKA_LISTENERS"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name


def test_the_whole_reference_mesh_runs() -> None:
    """One service runs each product of this repository, and each processor has a service of its own."""
    project = Project(ROOT)
    runs = [
        [project.product(Address.parse(each)).product for each in parsed(words)["addresses"]]
        for words in COMMANDS.values()
        if words[0] == "run"
    ]
    run = sorted(str(each.address) for together in runs for each in together)
    assert run == sorted(str(each.product.address) for each in project.products)
    assert [together for together in runs if len(together) > 1 and any(each.process for each in together)] == []


def test_the_broker_is_the_version_that_is_tested() -> None:
    """The Kafka image has the version of the locked jars."""
    lock = (ROOT / "meshport" / "local" / "jars.lock.json").read_text(encoding="utf-8")
    _, _, version = COMPOSE["services"]["kafka"]["image"].partition(":")
    assert re.search(rf'kafka-clients[^"]*{re.escape(version)}', lock)


def test_docker_compose_takes_the_file() -> None:
    """`docker compose config` accepts the file."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("there is no docker compose")
    done = subprocess.run(
        [docker, "compose", "--file", DEPLOY / "compose.yml", "--profile", "reference", "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
