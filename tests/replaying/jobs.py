"""Replay jobs for the suites: a port with readings, and outputs that end a run in the middle, as a kill does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meshport.event import Event
from meshport.ports.replay import Replay
from meshport.registry import Registry
from meshport.replay_jobs import ReplayJob, ReplayOutput
from meshport.replaying import Output, ReplayOptions, ReplayRun, start
from meshport.replaying.outputs import Selected
from tests.connections import CONNECTIONS


class Killed(Exception):  # noqa: N818 - what ends a run in these suites
    """The end of a run, as a kill ends it: what it has written stays, and nothing is written after it."""


class KilledAfter:
    """An output that takes so many events and then ends the run, in the middle of a batch where that is possible.

    Args:
        output: the output.
        events: how many it takes.
    """

    def __init__(self, output: Output, events: int) -> None:
        self._output = output
        self._left = events

    def __enter__(self) -> KilledAfter:
        self._output.__enter__()
        return self

    def __exit__(self, *ended: Any) -> None:
        self._output.__exit__(*ended)

    def positions(self) -> Mapping[int, int]:
        """Those of the output."""
        return self._output.positions()

    def write(self, events: Selected) -> None:
        """Have the output take what is still allowed."""
        self._output.write(events[: self._left])
        if len(events) >= self._left:
            raise Killed
        self._left -= len(events)

    def passed(self, replay: Replay) -> None:
        """Pass it on."""
        self._output.passed(replay)

    def finish(self) -> None:
        """Pass it on."""
        self._output.finish()


def wanted(address: Any, output: ReplayOutput, **more: Any) -> ReplayOptions:
    """Return what is asked of a job of a suite."""
    return ReplayOptions(address=address, purpose="a test", output=output, **more)


def started(mesh: Registry, address: Any, output: ReplayOutput = ReplayOutput.CALLBACK, **more: Any) -> ReplayJob:
    """Start a job."""
    return start(wanted(address, output, **more), mesh, kafka=CONNECTIONS)


def runs(job: ReplayJob, mesh: Registry, output: Output, **more: Any) -> ReplayRun:
    """Return a run of a job."""
    return ReplayRun(job, mesh, output, kafka=CONNECTIONS, **more)


def line(event: Event) -> str:
    """An event as a line of JSON."""
    return json.dumps(event.as_dict(), default=str)


def numbers(file: Path, job: str) -> list[float]:
    """The readings in a file of a job, each of which has its mark."""
    found = [json.loads(each) for each in file.read_text().splitlines()]
    assert {each["replayid"] for each in found} <= {job}
    return [each["data"]["celsius"] for each in found]
