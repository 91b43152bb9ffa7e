"""What can be said of `deploy/` without a Docker engine: every name in it leads somewhere, every command is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
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
# Each with what stands there when nothing else is said.
COMMANDS: dict[str, list[str]] = {
    name: [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in service["command"]]
    for name, service in COMPOSE["services"].items()
    if service.get("image") == "meshport"
}


def parsed(words: list[str]) -> dict[str, Any]:
    """The options and arguments of a `meshport` command line; an error where it is none."""
    command, rest = load_verb(words[0]), words[1:]
    while (verbs := getattr(command, "commands", None)) is not None:
        command, rest = verbs[rest[0]], rest[1:]
    return dict(command.make_context(words[0], list(rest)).params)


def instructions(name: str) -> list[str]:
    """The arguments of every Dockerfile instruction of that name."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def copied() -> list[str]:
    """What the Dockerfile copies from the build context."""
    lines = [line.split() for line in instructions("COPY") if not line.startswith("--from=")]
    return [source for *sources, _target in lines for source in sources]


def test_what_the_image_copies_is_there() -> None:
    """Every path that the Dockerfile copies exists in the repository and passes the ignore file."""
    sent = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert copied()
    assert set(copied()) == sent
    assert [each for each in copied() if not (ROOT / each).exists()] == []


def test_the_image_holds_what_the_package_is_built_of() -> None:
    """The package's build finds its sources, readme and licence among what was copied."""
    needed = re.findall(r'^(?:readme = |license-files = \[)"([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    needed += ["pyproject.toml", "meshport", "registry/meshport_registry"]
    assert [each for each in needed if not any(fnmatch(each, f"{path}*") for path in copied())] == []
    assert len(needed) == 5


def test_the_image_begins_with_a_command_line() -> None:
    """ENTRYPOINT and CMD make a `meshport` command line that serves a registry from a file in the image's volume."""
    (entry,), (command,), (volume,) = instructions("ENTRYPOINT"), instructions("CMD"), instructions("VOLUME")
    assert json.loads(entry) == ["meshport"]
    options = parsed(json.loads(command))
    assert (options["host"], options["port"]) == ("0.0.0.0", int(instructions("EXPOSE")[0]))
    assert str(database_url(options["database"]).database).startswith(f"{volume}/")


def test_the_image_runs_as_nobody_special() -> None:
    """The last USER is the one that the image made, and it is not root."""
    user = instructions("USER")[-1]
    assert int(user) > 0
    assert f"--uid {user} " in DOCKERFILE


@pytest.mark.parametrize("service", COMMANDS)
def test_every_command_is_a_command_line(service: str) -> None:
    """The command line's own parser takes the command of each service."""
    assert parsed(COMMANDS[service]) is not None


def test_the_services_agree_with_each_other() -> None:
    """Ports, database and addresses that one service names are those of the others."""
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
    assert services["registry"]["ports"] == [f"{registry['port']}:{registry['port']}"]
    applied = parsed(COMMANDS["apply"])
    assert applied["registry"] == COMPOSE["x-product"]["environment"]["MESHPORT_REGISTRY"]
    assert applied["registry"] == f"http://registry:{registry['port']}"
    assert applied["kafka"] == registry["kafka"] == "kafka:9092"
    assert "PLAINTEXT://:9092" in services["kafka"]["environment"]["KAFKA_LISTENERS"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name


def test_the_whole_reference_mesh_runs() -> None:
    """Every product of this repository is run by one service, each processor by one of its own."""
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
    """The Kafka image is of the version whose jars are in the lock."""
    lock = (ROOT / "meshport" / "local" / "jars.lock.json").read_text(encoding="utf-8")
    _, _, version = COMPOSE["services"]["kafka"]["image"].partition(":")
    assert re.search(rf'kafka-clients[^"]*{re.escape(version)}', lock)


def test_docker_compose_takes_the_file() -> None:
    """`docker compose config` finds nothing to object to."""
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
