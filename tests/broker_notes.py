"""What a test that met no broker says of the brokers of its process: whether each runs and answers, and what it logged last."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka.probe import ClusterProbe
from meshport.local.embedded import EmbeddedKafka

__all__ = ["pytest_runtest_makereport"]

_ANSWER_S: Final = 5.0
_LINES: Final = 4
_WIDTH: Final = 200


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """Add the notes to the error, which pytest reports with it; no broker of another process is known here."""
    if call.excinfo is not None and isinstance(error := call.excinfo.value, BrokerUnavailable):
        for each in _brokers():
            error.add_note(each)


def _brokers() -> Iterator[str]:
    for each in gc.get_objects():
        # Not isinstance: a lazy object of Django evaluates itself where it is asked for its class.
        if issubclass(type(each), EmbeddedKafka) and each._processes:
            answer = _answer(each)
            for node, process in each._processes.items():
                ended = process.returncode
                state = f"is in state {_state(process.pid)}" if ended is None else f"ended with {ended}"
                logged = "\n".join(_last_lines(each._node_dir(node) / "server.log"))
                yield f"broker {node} of {each.bootstrap_servers} {state}; {answer}; its log ends with:\n{logged}"


def _answer(broker: EmbeddedKafka) -> str:
    """Return what a client of its own hears, which tells a broker that does not answer from a client that does not ask."""
    try:
        return f"a new client sees {ClusterProbe(broker._brokers_own()).look(_ANSWER_S)}"
    except KafkaError as error:
        return f"a new client gets no answer ({error})"


def _state(pid: int) -> str:
    """Return the letter of proc(5): T is stopped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError as error:
        return str(error)


def _last_lines(log: Path) -> list[str]:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return [str(error)]
    return [each[:_WIDTH] for each in lines[-_LINES:]]
