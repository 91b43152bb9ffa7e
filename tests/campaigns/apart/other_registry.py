"""A pytest plugin: the registries of the session are those of another revision.

`MESHPORT_OTHER_PYTHON` is the interpreter that has the other revision, `MESHPORT_REGISTRY_HOST` the file that runs there.
The plugin has to be given with `-p`, so that it is imported before the first conftest.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import meshport_registry
from meshport import errors
from meshport_registry import server


class RegistryHost:
    """The process that runs the registries; started with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request."""
        with self._lock:
            if self._process is None:
                command = [os.environ["MESHPORT_OTHER_PYTHON"], os.environ["MESHPORT_REGISTRY_HOST"]]
                clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
                self._process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
            return answer

    def close(self) -> None:
        """Stop all registries."""
        if self._process is not None:
            self._process.communicate(timeout=60)


HOST = RegistryHost()


@contextmanager
def running(settings: Any) -> Iterator[str]:
    """Run a registry of the other revision, and yield its URL; see `meshport_registry.running`."""
    answer = HOST.ask({"start": plain(settings.model_dump(exclude_defaults=True))})
    if "error" in answer:
        raise getattr(errors, answer["error"], RuntimeError)(answer["message"])
    try:
        yield answer["url"]
    finally:
        HOST.ask({"stop": answer["number"]})


def plain(value: Any) -> Any:
    """Return settings as JSON data, with their secrets."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value


def pytest_configure(config: pytest.Config) -> None:
    """Stop the registries when the session ends."""
    config.add_cleanup(HOST.close)


meshport_registry.running = server.running = running
