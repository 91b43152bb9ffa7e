"""The registry service in a process of its own, for a bench."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

_SERVE: Final = (
    "import json, sys; from meshport_registry import Settings, serve; "
    "serve(Settings(database=sys.argv[1], port=int(sys.argv[2]), bootstrap_servers='kafka:9092', **json.loads(sys.argv[3])))"
)


@contextmanager
def service(database: str | None = None, **settings: Any) -> Iterator[tuple[str, int]]:
    """Run the service, and yield its URL and the id of its process once it answers.

    Args:
        database: the URL of an empty one; by default a new SQLite file.
        settings: further ones, as JSON has them.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        database = database or f"sqlite:///{Path(folder) / 'registry.db'}"
        process = subprocess.Popen([sys.executable, "-c", _SERVE, database, str(port), json.dumps(settings)])
        try:
            url = f"http://127.0.0.1:{port}"
            with httpx2.Client(transport=httpx2.HTTPTransport(retries=10), trust_env=False, timeout=30) as http:
                http.get(f"{url}/health").raise_for_status()
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(30)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    return _status_mb(pid, "VmRSS")


def peak_mb(pid: int) -> float:
    """Return the most resident memory that a process and its children had since `forget_peak`, each its own most."""
    return sum(_status_mb(each, "VmHWM") for each in _with_children(pid))


def forget_peak(pid: int) -> None:
    """Measure the peak of a process and its children anew."""
    for each in _with_children(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5", encoding="ascii")


def _with_children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [pid, *(int(each) for task in tasks for each in (task / "children").read_text(encoding="ascii").split())]


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return float("nan")
