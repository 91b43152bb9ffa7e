"""An archiver that kills itself at a named point: `python -m tests.archive.killed REGISTRY ADDRESS POINT CALL`."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO

from meshport.address import Address
from meshport.archive import upkeep
from meshport.archive.table import ArchiveTable
from meshport.archiving import CommitSize, PortArchive
from meshport.archiving.columns import ArchiveColumns
from meshport.registry import Registry
from tests.connections import CONNECTIONS

COMMITS: Final = CommitSize(rows=4000, seconds=1.0)


def die() -> None:
    """Kill this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(owner: Any, name: str, call: int, *, after: bool) -> None:
    """Kill the process before, or after, the n-th call of a function."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            die()
        result = real(*arguments, **options)
        if calls == call:
            die()
        return result

    setattr(owner, name, counted)


TIDIED: Final = "tidied in part"
POINTS: Final[dict[str, Callable[[int], None]]] = {
    "messages read": lambda call: kill_at(ArchiveColumns, "rows", call, after=True),
    "nothing written": lambda call: kill_at(ArchiveTable, "append", call, after=False),
    "a file begun": lambda call: kill_at(PyArrowFileIO, "new_output", call, after=True),
    "files written": lambda call: kill_at(SqlCatalog, "commit_table", call, after=False),
    "committed": lambda call: kill_at(SqlCatalog, "commit_table", call, after=True),
    TIDIED: lambda call: kill_at(upkeep, "_files", call, after=True),
}


def main(url: str, address: str, point: str, call: str) -> None:
    """Archive a port until the kill; without a point, what the topic has now."""
    with Registry(url) as registry:
        archiver = PortArchive.of(Address.parse(address), registry).archiver(registry, CONNECTIONS, COMMITS)
        if point:
            POINTS[point](int(call))
            archiver.run(threading.Event())
        else:
            archiver.catch_up()
            archiver.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
