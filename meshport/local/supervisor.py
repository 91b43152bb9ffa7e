"""Keeps processes running: one that ends is started again, after a pause that grows while it keeps ending.

No process outlives the one that started it (`meshport.local.guardian`). Each end is reported to people: the exit code or
signal, when the process starts again, and the last lines that it has logged. While it runs, so are the warnings that it logs.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypedDict, Unpack

from meshport.errors import MeshError
from meshport.local.guardian import GuardedProcess, guard

__all__ = ["RunSettings", "Options", "Pause", "Say", "Supervisor"]

Say = Callable[[str], None]
"""Called with a line for people."""

Options = Callable[[], Sequence[str]]
"""Called at each start of a command for further arguments, such as a port that is free then."""


class RunSettings(TypedDict, total=False):
    """How a command is run.

    Attributes:
        options: its further arguments, at each start anew.
        cwd: its working directory.
        variables: further variables of its environment.
    """

    options: Options
    cwd: Path | None
    variables: Mapping[str, str] | None


_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
# A process that ran for so long counts as healthy again.
_HEALTHY_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.1
_LINES: Final = 15
# How much of a log's end is read for its last lines.
_TAIL_BYTES: Final = 32 * 1024
_SIGNALLED: Final = 128
_WARNING: Final = re.compile(rb"^\S+ WARNING meshport\S*: (.+)$", re.MULTILINE)


class Pause:
    """The pause before a process is started again: it doubles with each end, and is reset once the process ran well."""

    def __init__(self) -> None:
        self._next = _FIRST_PAUSE_S
        self._since = time.monotonic()

    def next(self) -> float:
        """Return the seconds to wait now."""
        if time.monotonic() - self._since > _HEALTHY_S:
            self._next = _FIRST_PAUSE_S
        pause, self._next = self._next, min(self._next * 2, _LONGEST_PAUSE_S)
        return pause

    def started(self) -> None:
        """Note that the process runs again."""
        self._since = time.monotonic()


@dataclass(frozen=True)
class _Command:
    arguments: list[str]
    options: Options
    cwd: Path | None
    env: Mapping[str, str] | None

    def start(self, log: Path) -> GuardedProcess:
        return guard([*self.arguments, *self.options()], output=log, cwd=self.cwd, env=self.env)


class _SupervisedCommand:
    """One supervised command, over all of its runs.

    Attributes:
        name: the command's.
        process: its present run, or the last one.
        running: whether it ran when it was last polled.
        finished: whether it has ended as it should, and is not started again.
    """

    def __init__(self, name: str, command: _Command, log: Path) -> None:
        self.name = name
        self.process: GuardedProcess
        self.running = False
        self.finished = False
        self._command = command
        self._log = log
        self._begin = self._seen = 0
        self.run()

    def run(self) -> None:
        """Start the command.

        Raises:
            OSError: it cannot be started.
            MeshError: as its options.
        """
        self._begin = self._seen = self._log.stat().st_size if self._log.exists() else 0
        self.process = self._command.start(self._log)
        self.running = True

    def new_warnings(self) -> list[str]:
        """Return the warnings that this run has logged since the last call."""
        try:
            if self._log.stat().st_size <= self._seen:
                return []
            with self._log.open("rb") as log:
                log.seek(self._seen)
                lines = log.read(_TAIL_BYTES)
        except OSError:
            return []  # `last_lines` reports that a log cannot be read
        # A line that is still being written is read by a later call; one that is longer than a read is passed over.
        whole = lines[: lines.rfind(b"\n") + 1] or (lines if len(lines) == _TAIL_BYTES else b"")
        self._seen += len(whole)
        return [each.decode(errors="replace") for each in _WARNING.findall(whole)]

    def last_lines(self) -> str:
        """Return the last lines that this run has logged, indented; "" where there are none."""
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
        folder: the directory of the log files, one for each process.
        say: called with a line for people at each end and each start.
        env: the environment of the processes; this process's own by default.
    """

    def __init__(self, folder: Path, say: Say, env: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._env = env
        self._say = say
        self._kept: dict[str, _SupervisedCommand] = {}
        self._closed = threading.Event()
        self._threads: list[threading.Thread] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the commands that run now, by name."""
        return {name: kept.process.pid for name, kept in self._kept.items() if kept.running}

    @property
    def finished(self) -> set[str]:
        """The names of the commands that have ended as they should, and are not started again."""
        return {name for name, kept in self._kept.items() if kept.finished}

    def last_lines(self, name: str) -> str:
        """Return the last lines that the present run of a command has logged, each after a line break; "" for none."""
        return self._kept[name].last_lines()

    def keep(self, name: str, command: list[str], **how: Unpack[RunSettings]) -> None:
        """Run a command, and start it again whenever it ends.

        Args:
            name: of the command.
            command: its arguments.
            how: see `RunSettings`.

        Raises:
            OSError: the command cannot be started.
            MeshError: as its options.
        """
        self._start(name, command, frozenset(), how)

    def run(self, name: str, command: list[str], **how: Unpack[RunSettings]) -> None:
        """Run a command, and start it again until it ends with exit code 0; the rest is as in `keep`."""
        self._start(name, command, frozenset({0}), how)

    def _start(self, name: str, arguments: list[str], done: frozenset[int], how: RunSettings) -> None:
        variables, env = how.get("variables"), self._env
        if variables:
            env = {**(os.environ if env is None else env), **variables}
        command = _Command(arguments, how.get("options", list), how.get("cwd"), env)
        kept = _SupervisedCommand(name, command, self._folder / f"{name.replace('/', '.')}.log")
        self._kept[name] = kept
        self._say(f"running {name} (process {kept.process.pid})")
        thread = threading.Thread(target=self._watch, args=(kept, done), name=f"keep {name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _watch(self, kept: _SupervisedCommand, done: frozenset[int]) -> None:
        pause, reported = Pause(), ""
        while not self._closed.wait(_LOOK_EVERY_S):
            code = kept.process.returncode
            for warning in kept.new_warnings():
                self._say(f"{kept.name}: {warning}")
            if code is None:
                continue
            kept.running = False
            if code in done:
                kept.finished = True
                self._say(f"{kept.name} has finished")
                return
            seconds, words = pause.next(), kept.last_lines()
            line = f"{kept.name} {_ending(code)}; it starts again in {seconds:g} s"
            if words:
                line += ", having said the same as before" if words == reported else f". Its last lines:{words}"
            self._say(line)
            reported = words
            if self._closed.wait(seconds):
                return
            try:
                kept.run()
            except (OSError, MeshError) as error:
                self._say(f"{kept.name} cannot be started: {error}")
                continue
            pause.started()
            self._say(f"running {kept.name} (process {kept.process.pid})")

    def close(self) -> None:
        """Stop all processes at once, and wait for their ends."""
        self._closed.set()
        for thread in self._threads:  # first: a process must be polled by one thread at a time
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
            pass  # the command's own exit code
    return f"ended with exit code {code}"
