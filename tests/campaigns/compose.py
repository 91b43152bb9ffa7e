"""The whole of `deploy/compose.yml` on a real engine: each of its containers is killed in turn, and the mesh recounted after it.

The engine has no bridge, so that all containers are on the host's network (`tests.deploy.host_network`), and images of a hub
are replaced by those of `tests.deploy.stand_ins`. What differs from the file is printed. A container is killed as a crash kills
it, while the sources publish; the engine starts it again. Then the sources are stopped, every derived product is compared with
its recount, and the sources go on. In the end a processor is stopped until Prometheus' alert fires, and started until it is
resolved.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import platformdirs
import yaml

from tests.campaigns.outcome import Outcome, say
from tests.deploy import engine
from tests.deploy.composed import COMPOSE, Composed, compose_command
from tests.deploy.engine import EngineError, base_image, build_image, open_engine
from tests.deploy.host_network import addresses, difference, on_host_network
from tests.deploy.stand_ins import build_stand_ins

KILLED: Final = (
    "kafka",
    "postgres",
    "registry-1",
    "registry-2",
    "changes",
    "observer",
    "artists",
    "relay",
    "sources",
    "sessions",
    "plays-by-artist",
    "artist-royalties",
    "related-artists",
    "prometheus",
)
"""Every container that runs for long, in the order in which they are killed."""

_STOPPED: Final = "artist-royalties"
_ALERT: Final = {"alertname": "MeshportProcessorDown", "product": "payments/artist-royalties"}
_UP_S: Final = 600.0
_HEALTHY_S: Final = 300.0
# The alert waits for two minutes, and for two scrapes and evaluations.
_ALERT_S: Final = 300.0
_LOOK_EVERY_S: Final = 2.0
# What makes the base image decides what is in it: one that was made by other code is not taken.
_MAKER: Final = hashlib.sha256(Path(engine.__file__).read_bytes()).hexdigest()[:8]
_BASE: Final = platformdirs.user_cache_path("meshport") / "debian" / f"base-{_MAKER}.tar"


@dataclass(frozen=True)
class ComposeCampaign:
    """What is asked for.

    Attributes:
        killed: the services, in their order.
        run_s: for how long the sources publish before each kill.
    """

    killed: Sequence[str] = KILLED
    run_s: float = 30.0


def run(asked: ComposeCampaign) -> Outcome:
    """Run the campaign, print what became of it, and return that."""
    begun = time.monotonic()
    with _up() as mesh:
        right = _settle(mesh) and _recount(mesh, "before the first kill")
        for service in asked.killed:
            time.sleep(asked.run_s)  # the sources publish meanwhile
            right = _kill(mesh, service) and right
        for service in ("registry-1", "registry-2"):
            right = _ask_the_other(mesh, service) and right
        right = _alert(mesh) and right
        right = _recount(mesh, "at the end") and right
        right = _settle(mesh) and _watched(mesh) and right
    return Outcome("compose", f"{len(asked.killed)} kills of containers", None, time.monotonic() - begun, right)


@contextmanager
def _up() -> Iterator[Composed]:
    """Make the images, and run all services until they are healthy."""
    command = compose_command()
    compose = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    with ExitStack() as stack:
        docker = stack.enter_context(open_engine())
        base = base_image(docker, _BASE)
        build_image(docker, base)
        say(f"docker {docker.docker('version', '--format', '{{.Server.Version}}')}, {_version(command)}")
        for image, version in build_stand_ins(docker, base, compose["services"]).items():
            say(f"stand-in for {image}: {version}")
        changed = on_host_network(compose, docker.folder)
        say("differs from deploy/compose.yml, for an engine without a bridge:")
        for line in difference(compose, changed):
            say(f"  {line}")
        mesh = Composed.write(docker, command, changed)
        stack.callback(mesh.compose, "down", "--volumes", "--timeout", "30")
        started = time.monotonic()
        mesh.compose("up", "--detach", "--no-build")
        for service in KILLED:
            mesh.await_healthy(service, _UP_S)
        say(f"{len(KILLED)} containers are healthy after {time.monotonic() - started:.0f} s")
        yield mesh


def _version(command: Sequence[str]) -> str:
    return subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=True).stdout.strip()


def _kill(mesh: Composed, service: str) -> bool:
    """Kill a container, wait until it and all others are healthy, recount; return whether all is right."""
    try:
        killed = mesh.kill(service)
        took_s = mesh.await_healthy(service, _HEALTHY_S, since=killed)
    except EngineError as error:
        say(f"{service:<16}  killed: WRONG: {error}")
        return False
    settled = _settle(mesh)
    after = f"killed, healthy again after {took_s:.0f} s, the whole after {time.time() - killed:.0f} s"
    return _recount(mesh, f"{service:<16}  {after}") and settled


def _settle(mesh: Composed) -> bool:
    """Wait until every container is healthy."""
    try:
        for service in KILLED:
            mesh.await_healthy(service, _HEALTHY_S)
    except EngineError as error:
        say(f"WRONG: {error}")
        return False
    return True


def _recount(mesh: Composed, when: str) -> bool:
    """Compare every derived product with its recount, while the sources are stopped; print the verdict and return it."""
    mesh.stop("sources")
    try:
        written = mesh.compose("run", "--rm", "--no-deps", "-T", "apply", "recount", "--json")
    except EngineError as error:
        say(f"{when}: recount WRONG: {error}")
        return False
    finally:
        mesh.start("sources")
    verdicts = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    right = bool(verdicts) and all(each["agrees"] for each in verdicts)
    records = sum(each["found"] for each in verdicts)
    say(f"{when}: recount {'right' if right else 'WRONG'}, {records:,} records of {len(verdicts)} products")
    return right


def _ask_the_other(mesh: Composed, stopped: str) -> bool:
    """Stop one registry, and ask for the products under the name of both."""
    mesh.stop(stopped)
    try:
        found = mesh.compose("run", "--rm", "--no-deps", "-T", "apply", "search", "--json").count("mesh://")
        say(f"{stopped} is stopped: http://registry:8081 answers, {found} addresses")
    except EngineError as error:
        say(f"{stopped} is stopped: WRONG: {error}")
        return False
    finally:
        mesh.start(stopped)
        mesh.await_healthy(stopped, _HEALTHY_S)
    return bool(found)


def _alert(mesh: Composed) -> bool:
    """Stop a processor until its alert fires, start it, and wait until it is resolved."""
    mesh.stop(_STOPPED)
    stopped = time.monotonic()
    fired = _await_alert(mesh, firing=True)
    say(
        f"{_STOPPED} is stopped: {_ALERT['alertname']} {f'fires after {fired:.0f} s' if fired else 'does not fire: WRONG'}"
    )
    mesh.start(_STOPPED)
    resolved = _await_alert(mesh, firing=False)
    say(f"{_STOPPED} is started: {f'resolved after {resolved:.0f} s' if resolved else 'not resolved: WRONG'}")
    say(f"it was away for {time.monotonic() - stopped:.0f} s")
    return bool(fired and resolved) and _settle(mesh)


def _await_alert(mesh: Composed, *, firing: bool) -> float | None:
    """Wait until the alert fires, or does not; return the seconds, or None where that does not come."""
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < _ALERT_S:
        if firing == any(_ALERT.items() <= each.items() for each in _firing(mesh)):
            return passed
        time.sleep(_LOOK_EVERY_S)  # Prometheus tells nobody but an Alertmanager
    return None


def _firing(mesh: Composed) -> list[dict[str, str]]:
    alerts = _ask(mesh, "alerts")["alerts"]
    return [each["labels"] for each in alerts if each["state"] == "firing"]


def _watched(mesh: Composed) -> bool:
    """Print the targets of Prometheus and what has fired; return whether every target is up."""
    down = [
        f"{each['labels']['instance']}: {each['lastError']}"
        for each in _ask(mesh, "targets")["activeTargets"]
        if each["health"] != "up"
    ]
    targets = len(_ask(mesh, "targets")["activeTargets"])
    say(f"targets of Prometheus: {targets - len(down)} of {targets} up" + "".join(f"\n  down: {each}" for each in down))
    fired = _ask(mesh, "query", query='max_over_time(ALERTS{alertstate="firing"}[6h])')["result"]
    now = [sorted(each.items()) for each in _firing(mesh)]
    for each in fired:
        labels = {name: value for name, value in each["metric"].items() if name not in {"__name__", "alertstate"}}
        state = "still fires" if sorted(labels.items()) in now else "resolved"
        about = labels.get("product") or labels.get("processor") or labels.get("address") or labels.get("instance", "")
        say(f"  fired: {labels['alertname']} {about} ({state})")
    return not down


def _ask(mesh: Composed, what: str, **query: str) -> Any:
    at = addresses(yaml.safe_load(mesh.file.read_text(encoding="utf-8")))["prometheus"]
    answer = httpx2.get(f"http://{at}:9090/api/v1/{what}", params=query, trust_env=False, timeout=30)
    return answer.raise_for_status().json()["data"]
