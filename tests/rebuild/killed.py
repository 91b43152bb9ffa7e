"""A rebuild that kills itself at a named point: `python -m tests.rebuild.killed REGISTRY FOLDER NAME POINT`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshport.kafka.transaction import Transactions
from meshport.rebuild import Rebuild, Swap, job
from meshport.rebuild.alignment import GenerationAligner
from meshport.registry import PortGenerations, Registry
from tests.rebuild.shop import product_in

LEASE_S = 3.0  # with one second a machine that is busy beside it let a hold end that was not given up


def die() -> None:
    """End at once, as by kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str, *, call: int = 1) -> None:
    """Die before the n-th call of a function."""
    told: Callable[..., Any] = getattr(owner, name)
    calls = 0

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            die()
        return told(*arguments, **options)

    setattr(owner, name, counted)


def after(owner: Any, name: str) -> None:
    """Die after the first call of a function, before its answer is known."""
    told: Callable[..., Any] = getattr(owner, name)

    def told_nobody(*arguments: Any, **options: Any) -> None:
        told(*arguments, **options)
        die()

    setattr(owner, name, told_nobody)


POINTS: dict[str, Callable[[], None]] = {
    "opened, without a topic": lambda: before(job.Rebuild, "_open"),
    "in the middle of the history": lambda: before(Transactions, "commit", call=2),
    "the old one at the place, the new one not": lambda: after(GenerationAligner, "_settle_old"),
    "before the switch": lambda: before(PortGenerations, "switch"),
    "after the switch": lambda: after(PortGenerations, "switch"),
}

IN_THE_SUITE: tuple[str, ...] = (
    "in the middle of the history",
    "the old one at the place, the new one not",
    "after the switch",
)
"""Those that are tried every time; each takes some seconds. `MESHPORT_CAMPAIGN=1` tries all."""


def main(url: str, folder: str, name: str, point: str) -> None:
    """Rebuild and swap, dying on the way."""
    POINTS[point]()
    with Registry(url) as registry:
        Rebuild(product_in(Path(folder), name), registry, lease_s=LEASE_S).run(Swap.EQUAL)


if __name__ == "__main__":
    main(*sys.argv[1:])
