"""Keeps processes running: one that ends is started again, after a pause that grows while it keeps ending.

Nothing outlives the process that runs it (`meshport.local.guardian`). What is said about an end is for people: how it
ended, when it starts again, and the last lines that this run of it has logged.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self

from meshport.local.guardian import GuardedProcess, guard

__all__ = ["Pause", "Say", "Supervisor"]

Say = Callable[[str], None]
"""Gets lines for people."""

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
# After this long without an end a process counts as healthy again.
_HEALTHY_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1
_LINES: Final = 15
# The end of a log that is read for its last lines; more would hold up whoever asks.
_TAIL_BYTES: Final = 32 * 1024
_SIGNALLED: Final = 128


class Pause:
    """How long to wait before something is started again: twice as long each time, short again once it ran well."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE_S
        self._since = time.monotonic()

    def next(self) -> float:
        """Seconds to wait now."""
        if time.monotonic() - self._since > _HEALTHY_S:
            self._next = _FIRST_PAUSE_S
        pause, self._next = self._next, min(self._next * 2, _LONGEST_PAUSE_S)
        return pause

    def started(self) -> None:
        """Take note that it runs again."""
        self._since = time.monotonic()


class _Kept:
    """One process, from run to run.

    Attributes:
        name: of the process.
        process: its present run, or the last one.
        running: whether it was running when it was last looked at.
    """

    def __init__(self, name: str, command: list[str], cwd: Path | None, log: Path) -> None:
        self.name = name
        self.process: GuardedProcess
        self.running = False
        self._command = command
        self._cwd = cwd
        self._log = log
        self._begin = 0
        self.run()

    def run(self) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        self._begin = self._log.stat().st_size if self._log.exists() else 0
        self.process = guard(self._command, output=self._log, cwd=self._cwd)
        self.running = True

    def last_lines(self) -> str:
        """What this run has logged last, indented; empty where it logged nothing."""
        try:
            with self._log.open("rb") as log:
                log.seek(max(self._begin, self._log.stat().st_size - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()[-_LINES:]
        except OSError as error:
            lines = [f"(its log cannot be read: {error})"]
        return "".join(f"\n  {line}" for line in lines)


class Supervisor:
    """Keeps named processes running until it is closed.

    Args:
        folder: gets one log file a process.
        say: told of every end and every new start.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._kept: dict[str, _Kept] = {}
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        """Process id by name, of those that run now."""
        return {name: kept.process.pid for name, kept in self._kept.items() if kept.running}

    def last_lines(self, name: str) -> str:
        """What the present run of a process has logged last: lines that each begin with a line break, or nothing."""
        return self._kept[name].last_lines()

    def keep(self, name: str, command: list[str], *, cwd: Path | None = None) -> None:
        """Run a command, again whenever it ends, however it ends.

        Raises:
            OSError: it cannot be started at all.
        """
        self._start(name, command, cwd, frozenset())

    def run(self, name: str, command: list[str], *, cwd: Path | None = None) -> None:
        """Run a command until it has done its work: again when it fails, not when it ends with exit code 0.

        Raises:
            OSError: it cannot be started at all.
        """
        self._start(name, command, cwd, frozenset({0}))

    def _start(self, name: str, command: list[str], cwd: Path | None, done: frozenset[int]) -> None:
        kept = _Kept(name, command, cwd, self._folder / f"{name.replace('/', '.')}.log")
        self._kept[name] = kept
        self._say(f"running {name} (process {kept.process.pid})")
        thread = threading.Thread(target=self._watch, args=(kept, done), name=f"keep {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, kept: _Kept, done: frozenset[int]) -> None:
        pause, told = Pause(), ""
        while not self._closed.wait(_LOOK_EVERY_S):
            code = kept.process.returncode
            if code is None:
                continue
            kept.running = False
            if code in done:
                self._say(f"{kept.name} has finished")
                return
            seconds, words = pause.next(), kept.last_lines()
            said = f"{kept.name} {_ending(code)}; it starts again in {seconds:g} s"
            if words:
                said += ", having said the same as before" if words == told else f". Its last lines:{words}"
            self._say(said)
            told = words
            if self._closed.wait(seconds):
                return
            try:
                kept.run()
            except OSError as error:
                self._say(f"{kept.name} cannot be started: {error}")
                continue
            pause.started()
            self._say(f"running {kept.name} (process {kept.process.pid})")

    def close(self) -> None:
        """Stop all, together, and wait for them."""
        self._closed.set()
        for thread in self._threads:  # first: a process is asked for its end by one thread at a time
            thread.join()
        for kept in self._kept.values():
            kept.process.request_stop()
        for kept in self._kept.values():
            kept.process.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _ending(code: int) -> str:
    if code > _SIGNALLED:
        try:
            return f"was killed by {signal.Signals(code - _SIGNALLED).name}"
        except ValueError:
            pass  # an exit code of its own that is as high
    return f"ended with exit code {code}"
