"""What a processor waits for: the line of the library that each of its threads is at, asked for again and again and counted."""

from __future__ import annotations

import linecache
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import meshport

READY: Final = "SIGUSR1 asks for waits\n"
"""What a process writes once it may be asked."""

_MARK: Final = "at: "
_LIBRARY: Final = str(Path(meshport.__file__).parent)
# Of a call to a client only the caller shows which one it is.
_PASSED_OVER: Final = frozenset({"_call", "once_ready"})
# The engine's own thread waits for the one that commits; the watchdog's waits always.
_LEFT_OUT: Final = frozenset({"commit_pipeline.py", "watchdog.py"})


def write_when_asked() -> None:
    """Write on stderr, at each SIGUSR1, the innermost line of the library that each thread but the main one is at.

    It is not done by faulthandler, which walks frames without the GIL: its dump ended a processor that worked meanwhile
    (SIGSEGV). A line says that the signal may be sent.
    """
    signal.signal(signal.SIGUSR1, lambda *_: _write())
    sys.stderr.write(READY)
    sys.stderr.flush()


def _write() -> None:
    own = threading.get_ident()
    lines = [each for ident, frame in sys._current_frames().items() if ident != own for each in _innermost(frame)]
    sys.stderr.write("".join(f"{_MARK}{line}\n" for line in lines))
    sys.stderr.flush()


def _innermost(frame: FrameType | None) -> Iterator[str]:
    while frame is not None:
        file, function = frame.f_code.co_filename, frame.f_code.co_name
        if file.startswith(_LIBRARY) and function not in _PASSED_OVER:
            if (name := Path(file).name) not in _LEFT_OUT:
                yield f"{name} {function}: {linecache.getline(file, frame.f_lineno).strip()}"
            return
        frame = frame.f_back


class Waits:
    """Counts what a process has written on stderr.

    Args:
        every_s: seconds between two samples.
    """

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._counted = Counter[str]()
        self.others: list[str] = []
        """What else it wrote."""

    def note(self, said: str) -> None:
        """Count what a process wrote on stderr."""
        for line in said.splitlines():
            if line.startswith(_MARK):
                self._counted[line.removeprefix(_MARK)] += 1
            elif line.strip() and line != READY.strip():
                self.others.append(line.strip())

    def lines(self, most: int) -> list[str]:
        """Return the lines at which the threads were longest, with seconds."""
        return [f"{count * self._every_s:.1f} s {line}" for line, count in self._counted.most_common(most)]
