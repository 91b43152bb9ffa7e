"""How a command is run, and how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.connections import variables
from tests.mesh_session import Mesh

COMMAND = [sys.executable, "-m", "meshport"]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON objects of its stdout, one a line."""
        return [json.loads(line) for line in self.out.splitlines()]


def on(mesh: Mesh) -> dict[str, str]:
    """Return the variables that name a mesh to a command: its registry, and the login at its Kafka where that asks for one."""
    return {"MESHPORT_REGISTRY": mesh.url} | variables(mesh.bootstrap_servers)


Run = Callable[..., Ended]


class Command(subprocess.Popen[bytes]):
    """A command as a process; a test that fails while it runs kills it, and does not wait for its end."""

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def process(*arguments: str, cwd: Path, **environment: str) -> Command:
    """Start `meshport ...` as a process, its outputs piped."""
    return Command(
        [*COMMAND, *arguments],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if not name.startswith("MESHPORT_")} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
