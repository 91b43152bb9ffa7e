"""Keeping processes running, and a demo whose processor stands still."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshport.address import Address
from meshport.cli import demo, recount
from meshport.errors import ProcessError
from meshport.local.kraft import HOST
from meshport.local.lag import ProductLag
from meshport.local.process_metrics import ProcessMetrics
from meshport.local.supervisor import Supervisor
from tests.waiting import wait_for


@pytest.fixture
def said() -> list[str]:
    """Lines that the supervisor has reported."""
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    """A supervisor with its logs in the test's folder."""
    with Supervisor(tmp_path / "logs", said.append) as opened:
        yield opened


def python(source: str) -> list[str]:
    """A Python process that runs the source."""
    return [sys.executable, "-c", source]


def test_work_that_is_done_is_not_done_again(supervisor: Supervisor, said: list[str]) -> None:
    """A command that is run to its end is left alone after exit code 0; one that is kept running starts again even then."""
    supervisor.run("sources", python("pass"))
    supervisor.keep("a/processor", python("import time; time.sleep(60)"))
    wait_for(lambda: "sources has finished" in said, "the end")
    first = supervisor.pids["a/processor"]
    os.kill(first, signal.SIGTERM)
    wait_for(lambda: supervisor.pids.get("a/processor", first) != first, "a new start")
    assert [each for each in said if "a/processor was" in each] == [
        "a/processor was killed by SIGTERM; it starts again in 0.5 s"
    ]
    assert supervisor.pids.keys() == {"a/processor"}


def test_each_end_is_told_with_its_own_words(supervisor: Supervisor, said: list[str]) -> None:
    """The supervisor reports the end of a run with that run's last lines, and does not repeat lines that the next run repeats."""
    supervisor.keep("p", python("print('no licence'); raise SystemExit(4)"))
    wait_for(lambda: sum("ended" in each for each in said) == 2, lambda: "\n".join(said))
    assert [each for each in said if "ended" in each] == [
        "p ended with exit code 4; it starts again in 0.5 s. Its last lines:\n  no licence",
        "p ended with exit code 4; it starts again in 1 s, having said the same as before",
    ]


def test_a_warning_is_shown_while_the_process_runs(supervisor: Supervisor, said: list[str]) -> None:
    """What a process logs as a warning is shown once, in whole lines; what others log, and its other lines, are not."""
    lines = (
        "print('2026-03-01T12:00:00.000Z WARNING meshport.process: most of it is ', end='', flush=True)\n"
        "print('late\\n2026-03-01T12:00:00.001Z WARNING other: x\\n2026-03-01T12:00:00.002Z INFO meshport: y', flush=True)\n"
        "print('2026-03-01T12:00:00.003Z WARNING meshport.kafka: again', flush=True)\n"
    )
    supervisor.keep("a/processor", python(f"{lines}import time; time.sleep(60)"))
    wait_for(lambda: "a/processor: again" in said, lambda: "\n".join(said))
    assert said[1:] == ["a/processor: most of it is late", "a/processor: again"]


def test_a_run_finds_a_free_port_where_another_took_the_last(supervisor: Supervisor, said: list[str]) -> None:
    """A process that cannot serve its metrics where the last run did is started again with a port that is free."""
    metrics = ProcessMetrics()
    other = socket.socket()

    def options() -> list[str]:
        given = metrics.options("p")
        if not said:  # the first start: another process takes the port between the choice and the use
            other.bind((HOST, int(given[1].rpartition(":")[2])))
            other.listen()
        return given

    serve = (
        "import socket, sys, time; host, _, port = sys.argv[2].rpartition(':')\n"
        "server = socket.create_server((host, int(port))); time.sleep(60)"
    )
    with other:
        supervisor.keep("p", python(serve), options=options)
        host, _, port = metrics.urls["p"].removeprefix("http://").rpartition(":")
        wait_for(lambda: f"http://{host}:{port}" != metrics.urls["p"], lambda: "\n".join(said))
        wait_for(lambda: _listens(metrics.urls["p"]), lambda: "\n".join(said))
    assert sum("Address already in use" in each for each in said) == 1


def _listens(url: str) -> bool:
    host, _, port = url.removeprefix("http://").rpartition(":")
    with socket.socket() as client:
        return client.connect_ex((host, int(port))) == 0


def test_a_demo_that_stands_still_ends_with_the_log_of_who_stands(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a processor stalls, the demo ends with an error that has what waits and the last lines of the processor's log."""
    supervisor.keep("cups/brews", python("import time; print('no tea', flush=True); time.sleep(60)"))
    supervisor.keep("cups/pots", python("import time; print('all well', flush=True); time.sleep(60)"))
    wait_for(lambda: "no tea" in supervisor.last_lines("cups/brews"), "its first words")
    brews, pots = Address.parse("cups/brews"), Address.parse("cups/pots")

    class Still:
        """A mesh in which nothing moves."""

        def lags(self) -> list[ProductLag]:
            return [ProductLag(brews, 5, waiting=3), ProductLag(pots, 7)]

    monkeypatch.setattr(recount, "_STALLED_S", 0.3)
    monkeypatch.setattr(recount, "LOOK_EVERY_S", 0.1)
    with pytest.raises(ProcessError) as caught:
        recount.drain(
            Still(),  # type: ignore[arg-type]  # a double
            threading.Event(),
            wait_s=60,
            last_words=lambda names: demo._logs(supervisor, names),
        )
    assert str(caught.value) == (
        "no event was processed for 0 s, and events still wait: 3 of cups/brews\ncups/brews said last:\n  no tea"
    )
