"""A rebuild that kills itself at a named point: `python -m tests.rebuild.killed REGISTRY FOLDER NAME POINT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from meshport.kafka.transaction import Transactions
from meshport.rebuild import Rebuild, Swap, job
from meshport.rebuild.alignment import GenerationAligner
from meshport.registry import PortGenerations, Registry
from tests.connections import CONNECTIONS
from tests.rebuild.shop import product_in

LEASE_S = 3.0  # within one second a busy machine does not always renew the lease


def die() -> None:
    """Kill this process with SIGKILL."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, *, call: int = 1) -> None:
    """Kill the process before the n-th call of a function."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            die()
        return real(*arguments, **options)

    setattr(owner, name, counted)


def after(owner: Any, name: str) -> None:
    """Kill the process after the first call of a function, before the caller has its result."""
    real: Callable[..., Any] = getattr(owner, name)

    def without_return(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        die()

    setattr(owner, name, without_return)


POINTS: dict[str, Callable[[], None]] = {
    "opened, without a topic": lambda: before(job.Rebuild, "_open"),
    "in the middle of the history": lambda: before(Transactions, "commit", call=2),
    **{f"commit {call}": partial(before, Transactions, "commit", call=call) for call in range(1, 4)},
    "the old one at the alignment, the new one not": lambda: after(GenerationAligner, "_settle_old"),
    "before the switch": lambda: before(PortGenerations, "switch"),
    "after the switch": lambda: after(PortGenerations, "switch"),
}

IN_THE_SUITE: tuple[str, ...] = (
    "in the middle of the history",
    "the old one at the alignment, the new one not",
    "after the switch",
)
"""The points of every run; each takes some seconds. `MESHPORT_CAMPAIGN=1` tries all."""


def main(url: str, folder: str, name: str, point: str) -> None:
    """Rebuild and switch, with a kill at a point."""
    POINTS[point]()
    with Registry(url) as registry:
        Rebuild(product_in(Path(folder), name), registry, lease_s=LEASE_S, kafka=CONNECTIONS).run(Swap.EQUAL)


if __name__ == "__main__":
    main(*sys.argv[1:])
