"""What was set aside is brought back: once, in order, whatever is killed; and the totals are a recount's."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest

from meshport.process import worker
from meshport.process.harness import Crash, Harness
from meshport.process.pipeline import (
    Aggregate,
    Derive,
    Pipeline,
    Tumbling,
)
from tests.process.plays import WINDOW, field, pipeline, play, ports, record
from tests.process.recount import hourly
from tests.process.test_survival import VALUES, content, source

DAY = timedelta(days=1)


class Fault:
    """A function of a product that fails for some events until it is mended."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, event: Any) -> int:
        """The event's milliseconds."""
        if event["ms"] % 3 == 0 and not self.mended:
            raise ValueError("not understood")
        return int(event["ms"])


def drive(harness: Harness, fault: Fault, dice: random.Random) -> None:
    """Publish, process, kill, redrive in the middle of it, with the fault there or mended; in the end it is mended."""
    killed = False
    for _ in range(dice.randrange(3, 14)):
        for _ in range(dice.randrange(8)):
            data = play(f"u{dice.randrange(2)}", f"a{dice.randrange(2)}", dice.randrange(60), dice.randrange(9))
            harness.publish("player/plays", data)
        mended = dice.random() < (0.8 if fault.mended else 0.4)
        if mended != fault.mended and killed:
            harness.run()  # other code gives other outputs; what was cut off has to be done again by the same
        fault.mended = mended
        if dice.random() < 0.5:
            harness.redrive(lambda _: dice.random() < 0.5)
        try:
            sizes = [dice.choice((1, 1, 2, 9)) for _ in range(20)]
            harness.run(sizes, crash_after=dice.randrange(25) if dice.random() < 0.7 else None)
            killed = False
        except Crash:
            harness.restart()
            killed = True
    harness.run()
    fault.mended = True
    harness.redrive()
    harness.run()
    assert harness.redrive() == []


def totals(by: str) -> tuple[Pipeline, dict[str, Any], Fault]:
    """Hourly totals with a fault before the grouping."""
    fault = Fault()
    logic = pipeline(Derive({"ms": fault}), Aggregate((by,), VALUES, Tumbling(timedelta(hours=1))), lateness=DAY)
    hour = record("Hour", field(by, "string"), *WINDOW, field("plays", "long"), field("ms", "long"))
    return logic, ports(hour, (by, "window_start")), fault


@pytest.mark.parametrize("by", ["user", "artist"])
@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_totals_of_what_was_redriven(by: str, at_once: int) -> None:
    """Killed anywhere, redriven in the middle of it, mended or not: each event counts once, and an id says one thing."""
    with patch.object(worker, "_AT_ONCE", at_once):
        for seed in range(40):
            logic, given_ports, fault = totals(by)
            harness = Harness(logic, output="listening/out", ports=given_ports)
            drive(harness, fault, random.Random(seed))
            assert harness.table() == hourly(source(harness), by)
            content(harness)
