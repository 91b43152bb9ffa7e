"""Real processes for the tests: started from source text, awaited by the kernel's word (pidfd, Linux)."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.waiting import PATIENCE_S


@contextmanager
def python(source: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs the source; killed at the end of the context."""
    process = subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def words(process: subprocess.Popen[str]) -> list[str]:
    """The words of the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline().split()


def ended(pid: int, timeout: float = PATIENCE_S) -> bool:
    """Wait for the end of any process, of whatever parent.

    Returns:
        Whether it ended within the timeout.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        readable, _, _ = select.select([descriptor], [], [], timeout)
    finally:
        os.close(descriptor)
    return bool(readable)
