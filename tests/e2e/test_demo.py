"""`meshport demo` on this repository: the reference mesh with live figures, recounted at its end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import httpx2
import pytest

from tests.running import environment
from tests.waiting import PATIENCE_S, wait_for

ROOT = Path(__file__).parents[2]


@pytest.mark.kafka
@pytest.mark.usefixtures("jars")
def test_the_demo_agrees_though_a_processor_is_killed(tmp_path: Path) -> None:
    """The demo ends by itself with exit code 0 and four of four products recounted, though a processor is killed meanwhile."""
    log = tmp_path / "demo.log"
    # On a slow machine a short demo may end before its processor has counted anything; then a longer one is tried.
    assert any(_killed_amid(log, seconds) for seconds in (12, 60, 300)), log.read_text()
    said = log.read_text()
    assert "Apache Kafka 4." in said
    assert "listening/sessions was killed by SIGKILL; it starts again in 0.5 s" in said
    assert re.search(r"\n4 of 4 derived products equal the recount of [\d,]{5,} source events\n$", said), said
    assert said.count("equals the recount") == 4
    asked = re.search(
        r"player/plays/events@1 was asked: ([\d,]+) of ([\d,]+) events had happened by .*; ([\d,]+) offsets are", said
    )
    assert asked, said
    then, whole, archived = (int(each.replace(",", "")) for each in asked.groups())
    assert 0 < then < whole
    assert archived > 0


def _is_measured(url: str) -> bool:
    """Check that the metrics of each process are at the demo's address; return whether the processor of sessions is ready."""
    metrics = httpx2.get(f"{url}/metrics", trust_env=False, timeout=PATIENCE_S).text
    assert re.search(r'^meshport_publisher_events_total\{.*process="demo"\} [1-9]', metrics, re.MULTILINE)
    assert re.search(
        r'^meshport_processor_read_events_total\{process="listening/sessions",.*\} ', metrics, re.MULTILINE
    )
    return 'meshport_ready{part="listening/sessions"} 1.0' in metrics


def _is_ready(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/ready", trust_env=False, timeout=PATIENCE_S).is_success
    except httpx2.TransportError:  # the demo has ended
        return False


def _killed_amid(log: Path, seconds: int) -> bool:
    """Run the demo, kill its processor of sessions once it has counted some, and wait for the end; False if it was too late.

    The processor is ready before, and the demo not while it is away.
    """
    with log.open("wb") as out:
        demo = subprocess.Popen(
            ["meshport", "demo", "--for", f"{seconds}s", "--metrics", "0"],
            cwd=ROOT,
            env=environment(),
            stdout=out,
            stderr=out,
        )
    # It starts seven processes and ends by itself: beside two busy loops that took more than 150 s.
    patience_s = 3 * PATIENCE_S + seconds
    try:
        counted = re.compile(r"listening/sessions [1-9]")
        wait_for(
            lambda: bool(counted.search(log.read_text())) or demo.poll() is not None,
            log.read_text,
            patience_s=patience_s,
        )
        (pid,) = re.findall(r"running listening/sessions \(process (\d+)\)", log.read_text())
        (url,) = re.findall(r"metrics at (\S+)/metrics", log.read_text())
        if demo.poll() is not None:
            return False
        wait_for(lambda: demo.poll() is not None or _is_measured(url), log.read_text, patience_s=patience_s)
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            return False
        wait_for(lambda: not _is_ready(url), log.read_text)
        # It works off what waits, and recounts: beside two busy loops that took more than 200 s.
        assert demo.wait(patience_s) == 0, log.read_text()
    finally:
        demo.kill()
        demo.wait()
    return True
