"""One run of one runner, seen from outside: how fast outputs appear on the broker, and what the process spends.

Nothing that a runner says of itself is believed. The output topic's end offsets and the process's CPU time are looked at
twenty times a second. The first half of the outputs is warm-up (start, assignment, the JVM's compiler): rate and CPU
time are those between the half and 98 of a hundred. Markers of transactions take offsets too; they are less than one in
a hundred. CPU time and memory are read from Linux's /proc; elsewhere they are left out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from meshport.local.guardian import GuardedProcess, guard
from tests.bench.processors.schemas import PARTITIONS
from tests.bench.processors.spec import Spec

_ROOT: Final = Path(__file__).parents[3]
_LOOK_S: Final = 0.05
_QUIET_S: Final = 1.2
_LONGEST_S: Final = 300.0
_END_S: Final = 20.0
_BEGIN: Final = 0.5
_END: Final = 0.98


class RunFailed(AssertionError):  # noqa: N818 - names what happened
    """Raised where a runner ended by itself, or its outputs did not come."""


@dataclass(frozen=True)
class Run:
    """What a run took.

    Attributes:
        rate: input events a second.
        cpu_us: CPU time an input event, all threads, microseconds; None where it cannot be told.
        memory_mb: the most memory that was resident, MB; None where it cannot be told.
        whole_s: from the start of the process to its last output, or to its end where it ends by itself, seconds.
    """

    rate: float
    cpu_us: float | None
    memory_mb: float | None
    whole_s: float


class _Look(NamedTuple):
    at: float
    written: int
    cpu_s: float


@contextmanager
def started(command: Sequence[str], log: Path) -> Iterator[GuardedProcess]:
    """A process of the bench, which does not outlive it; told to end, and killed if it does not."""
    process = guard(command, output=log, grace=_END_S, cwd=_ROOT)
    try:
        yield process
    finally:
        process.stop()


def watch(command: Sequence[str], spec: Spec, rows: int, log: Path) -> Run:
    """Start a runner and stay with it until its outputs are there.

    Args:
        command: with the runner's argument.
        spec: of the run.
        rows: how many outputs have to come.
        log: where its words go.

    Raises:
        RunFailed: it ended too early, or its outputs did not come.
    """
    admin = AdminClient({"bootstrap.servers": spec.bootstrap_servers, "log_level": 0})
    looks: list[_Look] = []
    memory: float | None = None
    began = time.monotonic()
    with started(command, log) as process:
        while not (looks and _is_done(looks, rows, ends=spec.until_end)):
            time.sleep(_LOOK_S)
            ended = not process.running
            memory = _memory_mb(process.pid) or memory
            cpu = _cpu_s(process.pid) or (looks[-1].cpu_s if looks else 0.0)
            written = _written(admin, spec.output)
            if written is not None:
                looks.append(_Look(time.monotonic(), written, cpu))
            if ended and written is not None:
                break
            if time.monotonic() - began > _LONGEST_S:
                raise RunFailed(f"{written} of {rows} outputs after {_LONGEST_S:g} s; {_last(log)}")
        if not process.running and (process.returncode or looks[-1].written < rows):
            raise RunFailed(f"ended with {process.returncode} after {looks[-1].written} of {rows}; {_last(log)}")
    first, last = _at(looks, rows * _BEGIN), _at(looks, rows * _END)
    events = (_END - _BEGIN) * spec.events
    cpu_us = (last.cpu_s - first.cpu_s) / events * 1e6 if last.cpu_s else None
    complete = looks[-1].at if spec.until_end else _at(looks, rows).at
    return Run(events / (last.at - first.at), cpu_us, memory, complete - began)


def _is_done(looks: Sequence[_Look], rows: int, *, ends: bool) -> bool:
    """Whether all is written and nothing has come for a while; who ends by itself is waited for."""
    last = looks[-1]
    if ends or last.written < rows:
        return False
    return next((each for each in looks if each.written == last.written), last).at < last.at - _QUIET_S


def _at(looks: Sequence[_Look], written: float) -> _Look:
    """The moment at which that many were written, between two looks where it was."""
    for before, after in zip([_Look(looks[0].at, 0, looks[0].cpu_s), *looks], looks, strict=False):
        if after.written >= written:
            part = (written - before.written) / max(after.written - before.written, 1)
            return _Look(
                before.at + (after.at - before.at) * part,
                round(written),
                before.cpu_s + (after.cpu_s - before.cpu_s) * part,
            )
    return looks[-1]


def _written(admin: AdminClient, topic: str) -> int | None:
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the client's stub has no types here
    places = {TopicPartition(topic, number): latest for number in range(PARTITIONS)}
    try:
        found = admin.list_offsets(places, request_timeout=10)
        return sum(int(future.result().offset) for future in found.values())
    except KafkaException:  # a topic that was just made, a broker that is busy: the next look tells
        return None


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> float | None:
    """The process's own peak; `ru_maxrss` of a child begins with what its parent had."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return None
    told = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    return int(told.split()[1]) / 1024 if told else None


def _last(log: Path) -> str:
    return " | ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])
