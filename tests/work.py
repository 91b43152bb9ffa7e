"""Work, counted in lines of Python, so that a bound on it holds on every machine.

A line counts each time that it runs, so a loop counts once a round and a generator once an item. Work in C (a search in a
list, a regular expression) is not counted; tests that bound it make the objects count, or limit memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import FrameType

UNLIMITED: Final = sys.maxsize


class TooMuchWork(AssertionError):  # noqa: N818 - an assertion, not an error of the code
    """Raised in the middle of work that exceeds its limit, so that a test of exponential work fails and does not hang."""


@dataclass
class Work:
    """The work of a block of code.

    Attributes:
        lines: lines of Python that have run.
    """

    lines: int = 0


@contextmanager
def counted(limit: int = UNLIMITED) -> Iterator[Work]:
    """Count the lines that the block runs in this thread.

    Args:
        limit: of the lines.

    Yields:
        The count, which grows while the block runs.

    Raises:
        TooMuchWork: more lines ran. It is raised at the first line beyond the limit, and again at the end of the block if
            the code under test has swallowed it.
    """
    work = Work()
    exceeded = f"more than {limit} lines of Python ran"

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            work.lines += 1
            if work.lines > limit:
                sys.settrace(None)
                raise TooMuchWork(exceeded)
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield work
    finally:
        sys.settrace(before)
    if work.lines > limit:
        raise TooMuchWork(exceeded)
