"""One processor process of a campaign. It is forked off a server that has everything loaded, and ends with its parent."""

from __future__ import annotations

import functools
import os
import random
import threading
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from meshport.process.engines import batch
from meshport.process.engines import faust as engine
from meshport.process.engines.faust_commits import MeshApp
from meshport.process.runtime.worker import Worker
from tests.campaigns import defects, logic, points
from tests.campaigns.waits import write_when_asked

ORPHANED = 99
WORKING = "working"


@dataclass(frozen=True)
class Spec:
    """What a child does.

    Attributes:
        bootstrap_servers: of the cluster.
        prefix: of its topics.
        engine: `batch` or `faust`.
        plan: a name of `tests.campaigns.logic.KEYS`.
        member: its static name; "" for none.
        until_end: end once all is processed.
        point: where it kills itself; "" for nowhere.
        crossings: how often it passes the point first, and once more.
        seed: of what happens within a call.
        defect: what is planted in it; "" for nothing.
    """

    bootstrap_servers: str
    prefix: str
    engine: points.Engine
    plan: str
    member: str = ""
    until_end: bool = False
    point: str = ""
    crossings: int = 1
    seed: int = 0
    defect: str = ""


def main(spec: Spec, parent: Connection, errors: str) -> None:
    """Run a processor in a process of its own.

    Args:
        spec: what to do.
        parent: receives `WORKING` once something is processed; the process ends with it.
        errors: the file for stderr; SIGUSR1 has written there what the threads wait for.
    """
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    write_when_asked()
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    function: logic.Function = logic.sound
    if spec.point:
        trap = points.arm(spec.engine, spec.point, spec.crossings, spec.seed)
        function = points.guarded(function, trap)
    with ExitStack() as planted:
        if spec.defect:
            planted.enter_context(defects.planted(spec.defect, random.Random(spec.seed)))
        _tell_of_work(parent)
        plan, bound = logic.mesh(spec.bootstrap_servers, spec.prefix, spec.plan, function)
        if spec.engine == "batch":
            if spec.seed % 2:
                points.put(
                    batch, "_WORTH_S", 0.0
                )  # batches are small here: else no commit is in flight during computing
            batch.run_processor(plan, bound, until_end=spec.until_end, member=spec.member or None)
        else:
            if spec.member:
                # The engine's own members have no name, and a killed one is waited for for 8 s (KIP-345).
                points.put(engine, "MeshApp", functools.partial(MeshApp, consumer_group_instance_id=spec.member))
            engine.run_processor(plan, bound, until_end=spec.until_end)


def _tell_of_work(parent: Connection) -> None:
    told = threading.Event()

    def processed(_counts: Any, _worker: Worker, batches: Any, *_: Any) -> None:
        if batches and not told.is_set():
            told.set()
            parent.send(WORKING)

    points.after(Worker, "process", processed)


def _end_with_parent(parent: Connection) -> None:
    with suppress(EOFError, OSError):
        parent.recv()
    os._exit(ORPHANED)
