"""One processor process of a campaign: `python -m tests.campaigns.child`, told what to do by one JSON line on stdin.

It says `ready` once it is loaded, and `working` once it has processed something. It ends with its parent.
"""

from __future__ import annotations

import functools
import json
import os
import random
import sys
import threading
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from meshport.process import batch, engine
from meshport.process.commits import MeshApp
from meshport.process.worker import Worker
from tests.campaigns import defects, logic, points

ORPHANED = 99


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

    def line(self) -> str:
        """As a child reads it."""
        return json.dumps(asdict(self)) + "\n"


def main() -> None:
    """Run as told."""
    _say("ready")
    told = sys.stdin.readline()
    if not told:
        return
    spec = Spec(**json.loads(told))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    function: logic.Function = logic.sound
    if spec.point:
        trap = points.arm(spec.engine, spec.point, spec.crossings, spec.seed)
        function = points.guarded(function, trap)
    with ExitStack() as planted:
        if spec.defect:
            planted.enter_context(defects.planted(spec.defect, random.Random(spec.seed)))
        _tell_of_work()
        plan, bound = logic.mesh(spec.bootstrap_servers, spec.prefix, spec.plan, function)
        if spec.engine == "batch":
            batch.run_processor(plan, bound, until_end=spec.until_end, member=spec.member or None)
        else:
            if spec.member:
                # The engine's own members have no name, and a killed one is waited for for 8 s (KIP-345).
                points.put(engine, "MeshApp", functools.partial(MeshApp, consumer_group_instance_id=spec.member))
            engine.run_processor(plan, bound, until_end=spec.until_end)


def _tell_of_work() -> None:
    told = threading.Event()

    def processed(_counts: Any, _worker: Worker, batches: Any, *_: Any) -> None:
        if batches and not told.is_set():
            told.set()
            _say("working")

    points.after(Worker, "process", processed)


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(ORPHANED)


if __name__ == "__main__":
    main()
