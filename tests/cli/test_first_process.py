"""SIGTERM ends a command also where it is the first process of a container, for which Linux drops a signal without a handler."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.waiting import PATIENCE_S, wait_for

UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child"]


def first_processes() -> bool:
    """Whether this machine lets a process be the first of a namespace."""
    return shutil.which("unshare") is not None and not subprocess.run([*UNSHARE, "true"], check=False).returncode


@contextmanager
def command(folder: Path, before: Sequence[str], *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command of Meshport, behind a program that starts it."""
    words = [*before, sys.executable, "-m", "meshport", *arguments]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def child(process: subprocess.Popen[str]) -> int:
    """The process id of the only child of a process."""
    (found,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(found)


def answers(port: int) -> bool:
    """Whether the registry on a port of this machine answers."""
    with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/health", timeout=PATIENCE_S) as answer:
        return bool(answer.status == 200)
    return False


@pytest.mark.skipif(not first_processes(), reason="no process can be the first of a namespace here")
def test_a_command_that_waits_is_interrupted(tmp_path: Path) -> None:
    """A command that is the first process and waits for an answer ends on SIGTERM as on Ctrl-C."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        with command(tmp_path, UNSHARE, "search", "--registry", url) as search:
            connection, _ = mute.accept()
            with connection:
                assert connection.recv(1)  # the request is sent: from now on the command waits
                os.kill(child(search), signal.SIGTERM)
                assert search.wait(PATIENCE_S) == 130


@pytest.mark.parametrize(
    "first", [False, pytest.param(True, marks=pytest.mark.skipif(not first_processes(), reason="as above"))]
)
def test_a_registry_ends_well(tmp_path: Path, first: bool) -> None:
    """SIGTERM ends a registry with 0, whether it is the first process or not."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = ["registry", "serve", "--port", str(port), "--allow-anonymous"]
    with command(tmp_path, UNSHARE if first else (), *arguments) as registry:
        wait_for(lambda: answers(port) or registry.poll() is not None, "the registry answers")
        os.kill(child(registry) if first else registry.pid, signal.SIGTERM)
        assert registry.wait(PATIENCE_S) == 0
