"""Secrets that are found again wherever they went: each has a text that nothing else has."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

_PAUSE_S: Final = 0.02


class Canaries:
    """Secrets of one test; those that it makes begin with the same text, so that one look tells whether there is any.

    Attributes:
        mark: how every secret begins that is made here.
        made: all of them.
    """

    def __init__(self) -> None:
        self.mark = f"c4n4ry{uuid4().hex[:10]}"
        self.made: list[str] = []
        self._others: list[str] = []

    def new(self) -> str:
        """Return a secret that no one else has."""
        self.made.append(f"{self.mark}x{len(self.made):04d}")
        return self.made[-1]

    def add(self, secret: str) -> None:
        """Look for a secret that something else made, too."""
        self.made.append(secret)
        self._others.append(secret)

    def found_in(self, what: str | bytes) -> set[str]:
        """Return the secrets that a text has."""
        text = what if isinstance(what, str) else what.decode("latin-1")
        return {each for each in (self.made if self.mark in text else self._others) if each in text}

    def files_with(self, folder: Path, *, besides: tuple[Path, ...] = ()) -> dict[Path, set[str]]:
        """Return the secrets in the files of a folder, without files and folders that have them by their purpose."""
        files = [each for each in folder.rglob("*") if each.is_file()]
        looked = [each for each in files if not any(each.is_relative_to(one) for one in besides)]
        assert looked
        return {each: found for each in looked if (found := self.found_in(each.read_bytes()))}


@contextmanager
def command_lines(canaries: Canaries) -> Iterator[dict[str, set[str]]]:
    """Look at the command lines of all processes, again and again, while the block runs; yield those that have secrets."""
    found: dict[str, set[str]] = {}
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(_PAUSE_S):
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = each.read_bytes()
                except OSError:  # it has ended
                    continue
                if secrets := canaries.found_in(line):
                    found[line.replace(b"\0", b" ").decode(errors="replace")] = secrets

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
