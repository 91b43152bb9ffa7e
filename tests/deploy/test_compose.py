"""`deploy/compose.yml` without an engine: the specification's own loader reads it, and its parts agree with each other."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshport.address import Address
from meshport.project.project import Project
from meshport_registry.settings import database_url
from tests.campaigns.compose import KILLED
from tests.deploy.command_lines import parsed
from tests.deploy.composed import COMPOSE
from tests.deploy.host_network import addresses, difference, on_host_network
from tests.interop.tools import do_without
from tests.promtool import promtool

ROOT = Path(__file__).parents[2]
LOADER = Path(__file__).parent / "compose_go"
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["services"]
# The command of each service that runs `meshport`, with the default of every variable.
COMMANDS: dict[str, list[str]] = {
    name: [re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word) for word in service["command"]]
    for name, service in SERVICES.items()
    if service["image"] == "meshport" and "entrypoint" not in service
}
METRICS = "0.0.0.0:9100"
Load = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Returns what compose-go, the loader of Compose v2, makes of a compose file."""
    go = shutil.which("go") or do_without("there is no go on the path")
    built = tmp_path_factory.mktemp("go") / "composefile"
    got = subprocess.run([go, "mod", "download"], cwd=LOADER, capture_output=True, text=True, check=False)
    if got.returncode:
        do_without(f"Go does not get the modules of tests/deploy/compose_go: {got.stderr.strip()}")
    subprocess.run([go, "build", "-buildvcs=false", "-o", built, "."], cwd=LOADER, check=True)

    def run(file: Path) -> dict[str, Any]:
        done = subprocess.run([built, file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run


def test_the_loader_of_the_specification_takes_the_file(load: Load) -> None:
    """compose-go checks the file by the specification's schema and loads every service; what is mounted is there."""
    loaded = load(COMPOSE)
    assert loaded["services"].keys() == SERVICES.keys()
    mounted = [each for service in loaded["services"].values() for each in service.get("volumes", ())]
    folders = {each["source"] for each in mounted if each["type"] == "bind"}
    assert folders == {str(ROOT), *(str(COMPOSE.parent / each) for each in ("kafka", "postgres", "prometheus"))}
    assert all(Path(each).is_dir() for each in folders)
    assert {each["source"] for each in mounted if each["type"] == "volume"} == loaded["volumes"].keys()


def test_the_file_for_a_hosts_network_differs_in_addresses_alone(load: Load, tmp_path: Path) -> None:
    """The campaign's file is a compose file; each service keeps its own settings but for networks, ports and addresses."""
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    changed = on_host_network(compose, tmp_path)
    (tmp_path / "compose.yml").write_text(yaml.safe_dump(changed))
    assert load(tmp_path / "compose.yml")["services"].keys() == SERVICES.keys()
    lines = difference(compose, changed)
    allowed = r"\S+\.(networks|ports|network_mode|volumes\.\d+|command\.\d+|environment\.\w+|healthcheck\.test\.\d+)"
    assert [each for each in lines if not re.match(allowed, each)] == []
    at = addresses(compose)
    hosts = [line.split() for line in (tmp_path / "hosts").read_text().splitlines()]
    assert [name for address, name in hosts if address == at["registry-2"]] == ["registry-2", "registry"]
    assert [address for address, name in hosts if name == "registry"] == [at["registry-1"], at["registry-2"]]
    assert not re.search(r"\b(0\.0\.0\.0|127\.0\.0\.1)\b", json.dumps(changed))


@pytest.mark.parametrize("service", COMMANDS)
def test_every_command_is_a_command_line(service: str) -> None:
    """The command of each service is a valid `meshport` command line."""
    assert parsed(COMMANDS[service]) is not None


def test_the_services_agree_with_each_other() -> None:
    """Ports, databases and addresses that one service names are those of the other services."""
    settings = SERVICES["postgres"]["environment"]
    for number, name in ((1, "registry-1"), (2, "registry-2")):
        registry = parsed(COMMANDS[name])
        database = database_url(registry["database"])
        assert (database.host, database.username, database.database) == (
            "postgres",
            settings["POSTGRES_USER"],
            settings["POSTGRES_DB"],
        )
        assert SERVICES[name]["environment"]["PGPASSWORD"] == settings["POSTGRES_PASSWORD"]
        assert SERVICES[name]["ports"] == [f"127.0.0.1:{8080 + number}:{registry['port']}"]
        assert registry["allow_anonymous"], "everyone may do everything, so the port is published on this machine only"
        assert registry["kafka"] == parsed(COMMANDS["apply"])["kafka"] == "kafka:9092"
        assert SERVICES[name]["networks"]["default"]["aliases"] == ["registry"]
        assert SERVICES["apply"]["environment"]["MESHPORT_REGISTRY"] == f"http://registry:{registry['port']}"
    assert "PLAINTEXT://:9092" in SERVICES["kafka"]["environment"]["KAFKA_LISTENERS"]
    changes = parsed(COMMANDS["changes"])
    assert changes["database"] == parsed(COMMANDS["registry-1"])["database"], (
        "changes are rows of the registries' database"
    )
    assert changes["kafka"] == parsed(COMMANDS["observer"])["kafka"] == "kafka:9092"
    outbox = database_url(parsed(COMMANDS["relay"])["database"])
    assert outbox.set(drivername="") == database_url(SERVICES["artists"]["environment"]["ARTISTS_DATABASE"]).set(
        drivername=""
    )
    assert f"CREATE DATABASE {outbox.database};" in (COMPOSE.parent / "postgres" / "artists.sql").read_text()
    assert (
        f"--port={SERVICES['sources']['environment']['ARTISTS_SERVICE'].rpartition(':')[2]}"
        in (SERVICES["artists"]["command"])
    )


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


def test_prometheus_scrapes_every_service_that_has_metrics() -> None:
    """The targets are the services with `--metrics`, and Prometheus itself; promtool takes the file and the rules."""
    file = COMPOSE.parent / "prometheus" / "prometheus.yml"
    jobs = yaml.safe_load(file.read_text(encoding="utf-8"))["scrape_configs"]
    targets = {each for job in jobs for group in job["static_configs"] for each in group["targets"]}
    measured = {name for name, words in COMMANDS.items() if parsed(words).get("metrics") == METRICS}
    measured |= {name for name, service in SERVICES.items() if METRICS in service.get("environment", {}).values()}
    assert targets == {f"{name}:9100" for name in measured} | {"prometheus:9090"}
    assert measured == {name for name, each in SERVICES.items() if each["image"] == "meshport"} - {"apply"}
    checked = subprocess.run([promtool(), "check", "config", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_every_container_that_stays_is_watched_started_again_and_killed() -> None:
    """Each has a health check, a restart policy and a bound of its memory; the campaign kills each of them."""
    staying = {name: each for name, each in SERVICES.items() if each["restart"] != "no"}
    assert SERVICES.keys() - staying.keys() == {"apply"}
    assert set(KILLED) == staying.keys()
    built = re.search(r"^HEALTHCHECK ", (COMPOSE.parent / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for name, service in staying.items():
        assert service["healthcheck"]["test"] if service["image"] != "meshport" or "entrypoint" in service else built, (
            name
        )
        assert service["deploy"]["resources"]["limits"]["memory"], name


def test_containers_of_meshport_can_write_nothing_of_theirs() -> None:
    """The root of the file system is read-only, no capability is kept, and the project is mounted read-only."""
    for name in [*COMMANDS, "artists"]:
        service = SERVICES[name]
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert all(each.endswith(":ro") for each in service.get("volumes", ())), name


def test_the_broker_is_the_version_that_is_tested() -> None:
    """The Kafka image has the version of the locked jars."""
    lock = (ROOT / "meshport" / "local" / "jars.lock.json").read_text(encoding="utf-8")
    _, _, version = SERVICES["kafka"]["image"].partition(":")
    assert re.search(rf'kafka-clients[^"]*{re.escape(version)}', lock)
