"""Runs a compose file on an engine of the tests' own, and waits for what becomes of its containers."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import platformdirs
import yaml

from tests.deploy.engine import DockerEngine, EngineError

__all__ = ["COMPOSE", "Composed", "compose_command"]

COMPOSE: Final = Path(__file__).parents[2] / "deploy" / "compose.yml"
"""The compose file."""

_HEALTHY: Final = "healthy"
_PROGRAM: Final = Path(__file__).parent / "compose_program"
_MODULE: Final = "github.com/docker/compose/v2"


def compose_command() -> list[str]:
    """Return the command line that begins with Compose: the one that is installed, else one that is built once and kept.

    It is built of the Go modules that `compose_program/go.sum` has the hashes of, which takes minutes.

    Raises:
        EngineError: there is none, and it cannot be built.
    """
    if found := shutil.which("docker-compose"):
        return [found]
    docker, go = shutil.which("docker"), shutil.which("go")
    if docker and not subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return [docker, "compose"]
    if go is None:
        raise EngineError("there is no Compose: install docker-compose, or Go to build it")
    version = re.findall(rf"{re.escape(_MODULE)} (v[\d.]+)", (_PROGRAM / "go.mod").read_text(encoding="utf-8"))[0]
    kept = platformdirs.user_cache_path("meshport") / "compose" / f"docker-compose-{version}"
    if not kept.exists():
        made = kept.with_suffix(".part")
        build = [go, "build", "-buildvcs=false", f"-ldflags=-X {_MODULE}/internal.Version={version}", "-o", str(made)]
        done = subprocess.run([*build, f"{_MODULE}/cmd"], cwd=_PROGRAM, capture_output=True, text=True, check=False)
        if done.returncode:
            raise EngineError(f"Compose cannot be built:\n{done.stderr}")
        made.rename(kept)
    return [str(kept)]


@dataclass(frozen=True)
class Composed:
    """The services of a compose file on an engine.

    Attributes:
        engine: on which they run.
        command: that begins with Compose.
        file: the compose file; relative paths in it are those of `deploy/compose.yml`.
    """

    engine: DockerEngine
    command: Sequence[str]
    file: Path

    @classmethod
    def write(cls, engine: DockerEngine, command: Sequence[str], content: dict[str, Any]) -> Composed:
        """Return the services of this content."""
        file = engine.folder / "compose.yml"
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return cls(engine, command, file)

    def compose(self, *arguments: str) -> str:
        """Run a command of Compose to its end, with every profile, and return its stdout.

        Raises:
            EngineError: it failed; the message has what it printed.
        """
        files = ["--file", str(self.file), "--project-directory", str(COMPOSE.parent), "--profile", "reference"]
        done = subprocess.run(
            [*self.command, *files, *arguments],
            env=self.engine.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise EngineError(
                f"`compose {' '.join(arguments)}` ended with {done.returncode}:\n{done.stderr}{done.stdout}"
            )
        return done.stdout

    def container(self, service: str) -> str:
        """Return the id of a service's container, which it keeps when it is started again."""
        return self.compose("ps", "--all", "--quiet", service).split()[0]

    def stop(self, service: str) -> None:
        """Ask a service to end, and wait until it has; nothing starts it again."""
        self.engine.docker("stop", "--time", "60", self.container(service))

    def start(self, service: str) -> None:
        """Start a service that was stopped, and nothing else: Compose would start what it depends on as well."""
        self.engine.docker("start", self.container(service))

    def kill(self, service: str) -> float:
        """End the first process of a service by SIGKILL, from outside of the engine: it has crashed. Return when.

        The engine's own `kill` would count as a wish to have it ended, after which nothing starts it again.
        """
        container = self.container(service)
        pid = int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", container))
        if not pid:
            raise EngineError(f"{service} does not run")
        now = time.time()
        os.kill(pid, signal.SIGKILL)
        return now

    def health(self, service: str) -> str:
        """Return `healthy`, `starting`, `unhealthy`, or the state of a container that does not run."""
        form = "{{if .State.Running}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}"
        return self.engine.docker("inspect", "--format", form, self.container(service))

    def await_healthy(self, service: str, limit_s: float, *, since: float | None = None) -> float:
        """Wait until a service is healthy, and return the seconds that it took.

        Args:
            service: the service.
            limit_s: the longest wait.
            since: a time after which it has to have become so; by default it may have been before.

        Raises:
            EngineError: it was not; the message has its last lines.
        """
        begun = time.time()
        start = begun if since is None else since
        with self._health_events(self.container(service), start, begun + limit_s) as events:
            if since is None and self.health(service) == _HEALTHY:
                return time.time() - start
            for each in events:
                if each.partition(": ")[2] == _HEALTHY:
                    return time.time() - start
        raise EngineError(
            f"{service} is {self.health(service)} after {limit_s:.0f} s; its last lines:\n{self.last_lines(service)}"
        )

    def last_lines(self, service: str, lines: int = 30) -> str:
        """Return what a service has logged last."""
        return self.compose("logs", "--no-color", f"--tail={lines}", service)

    def _health_events(self, container: str, since: float, until: float) -> _Events:
        return _Events(
            self.engine.begin(
                "events",
                *("--since", f"{since:.6f}", "--until", f"{until:.6f}"),
                *("--filter", f"container={container}", "--filter", "event=health_status"),
                *("--format", "{{json .}}"),
            )
        )


class _Events:
    """The health of a container as it changes, until a time that the engine was given."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __enter__(self) -> Iterator[str]:
        assert self._process.stdout is not None
        return (json.loads(line)["Action"] for line in self._process.stdout if line.startswith("{"))

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
