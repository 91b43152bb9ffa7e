"""Runs the commands of Meshport as processes, as a user does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.waiting import PATIENCE_S, wait_for

# What a developer has set for other work must not lead a test to another mesh; the cache is shared on purpose.
_OTHERS = ("MESHPORT_KAFKA", "MESHPORT_REGISTRY")


def environment() -> dict[str, str]:
    """Return the environment of a reader of the README: the commands on the path, and no mesh named."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {name: text for name, text in os.environ.items() if name not in _OTHERS} | {"PATH": path}


def meshport(folder: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; any exit code but the expected one fails the test with the output."""
    done = subprocess.run(
        ["meshport", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == expect, f"meshport {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def lines(told: str) -> list[dict[str, Any]]:
    """The JSON objects of a command's stdout."""
    return [json.loads(line) for line in told.splitlines()]


class Up:
    """A `meshport up` that runs in a project.

    Attributes:
        folder: the project.
        facts: the line that it printed when it was ready.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self._out, self._err = folder.with_name(f"{folder.name}.out"), folder.with_name(f"{folder.name}.err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                ["meshport", "up", "--json", *arguments], cwd=folder, env=environment(), stdout=out, stderr=err
            )
        try:
            wait_for(lambda: "ready" in self.said or self.process.poll() is not None, lambda: self.said)
            assert self.process.poll() is None, self.said
            (self.facts,) = lines(self._out.read_text())
        except BaseException:
            self.process.kill()
            raise

    @property
    def said(self) -> str:
        """Its stderr so far."""
        return self._err.read_text()

    @property
    def pids(self) -> dict[str, int]:
        """The processes that run now, by its state file."""
        facts: dict[str, Any] = json.loads((self.folder / ".meshport" / "up.json").read_text())
        found: dict[str, int] = facts["processes"]
        return found

    def wait_for_words(self, words: str) -> None:
        """Wait until its stderr contains the words."""
        wait_for(lambda: words in self.said, lambda: f"{words!r} in\n{self.said}")

    def kill(self, *names: str) -> None:
        """Kill -9 some of its processes and wait until their successors run."""
        killed = {name: self.pids[name] for name in names}
        for pid in killed.values():
            os.kill(pid, signal.SIGKILL)
        wait_for(
            lambda: all(self.pids.get(name, pid) != pid for name, pid in killed.items()),
            lambda: f"new {', '.join(names)}:\n{self.said}",
        )

    def stop(self) -> str:
        """Send Ctrl-C; return its whole stderr."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(PATIENCE_S) == 0, self.said
        return self.said

    def end(self) -> None:
        """Make sure that it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_S)


@contextmanager
def up(folder: Path, *arguments: str) -> Iterator[Up]:
    """Run `meshport up --json` in a project until the block ends, if it did not end before."""
    running = Up(folder, *arguments)
    try:
        yield running
    finally:
        running.end()
