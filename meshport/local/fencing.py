"""Fence a broker that was killed, before it starts again as broker and controller in one process.

The controller waits for a broker's session before it takes its partitions' leadership away. Where the only broker is also
the controller, a broker that was killed finds itself the leader when it starts again, until that session ends: it loads
the transactions, but accepts no connections. It then registers, its partitions have no leader for a moment, and its
transaction coordinator takes a partition without a leader for a deleted one: it completes each transaction that waits
to be ended, without the markers in its partitions (`KRaftMetadataCache.getPartitionLeaderEndpoint` of Kafka 4.1 to 4.3 is
empty in both cases). Committed readers then never read on in these partitions, and the group's offsets are never answered:
`tests/kafka/test_fencing.py` without this module.

A controller alone, with a short session, fences the broker within a second. The broker that starts after it registers at
once, and leads a partition only when it can write the markers. This also ends the outage sooner than the session would.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from meshport.errors import BrokerUnavailable
from meshport.local.guardian import GuardedProcess
from meshport.local.kraft import last_words

__all__ = ["controller_settings", "fence", "is_fenced", "was_killed"]

_SESSION_MS: Final = 500
_IDLE_MS: Final = 100
_ACTIVE: Final = "Becoming the active controller"
# What the controller replays of its log, and of what it adds: 1 fences a broker, -1 lets it in (BrokerRegistrationFencingChange).
_FENCED: Final = re.compile(
    r"RegisterBrokerRecord\(brokerId=1,.*?\bfenced=(true|false)|BrokerRegistrationChangeRecord\(brokerId=1,.*?\bfenced=(-?1)\b"
)


def was_killed(data: Path) -> bool:
    """Whether the broker of a storage directory has run, and has not shut down in order.

    Args:
        data: the only directory of `log.dirs`.
    """
    return (data / "__cluster_metadata-0").is_dir() and not (data / ".kafka_cleanshutdown").exists()


def controller_settings(settings: Mapping[str, str | int]) -> dict[str, str | int]:
    """Return the settings of a node for its controller alone.

    Args:
        settings: of the node as broker and controller; `controller.listener.names` is one name.
    """
    name = f"{settings['controller.listener.names']}:"
    listeners = (each for each in str(settings["listeners"]).split(",") if each.startswith(name))
    of_brokers = ("advertised.listeners", "inter.broker.listener.name")
    return {
        **{key: value for key, value in settings.items() if key not in of_brokers},
        "process.roles": "controller",
        "listeners": ",".join(listeners),
        "broker.session.timeout.ms": _SESSION_MS,
        "broker.heartbeat.interval.ms": _SESSION_MS // 2,
        "metadata.max.idle.interval.ms": _IDLE_MS,
    }


def is_fenced(log: str) -> bool:
    """Whether the broker is fenced, by what its active controller has logged."""
    found = _FENCED.findall(log)
    return _ACTIVE in log and bool(found) and found[-1] in {("true", ""), ("", "1")}


def fence(folder: Path, start: Callable[[], GuardedProcess], timeout_s: float) -> None:
    """Run the controller until the broker is fenced, and stop it.

    Args:
        folder: of the node: `data` is its storage directory, and the controller writes `server.log`.
        start: starts the controller.
        timeout_s: seconds within which the broker has to be fenced.

    Raises:
        BrokerUnavailable: the controller ended, or did not fence the broker in time.
    """
    process = start()
    try:
        deadline = time.monotonic() + timeout_s
        while not is_fenced(_read(folder / "server.log")):
            _refuse_to_wait(folder, process, deadline)
        # The record is logged before it is stored. The controller stores one of no content as well, ten times a second.
        for _ in range(2):
            size = _stored(folder / "data")
            while _stored(folder / "data") == size:
                _refuse_to_wait(folder, process, deadline)
    finally:
        process.stop()


def _read(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""


def _stored(data: Path) -> int:
    return sum(each.stat().st_size for each in (data / "__cluster_metadata-0").glob("*.log"))


def _refuse_to_wait(folder: Path, process: GuardedProcess, deadline: float) -> None:
    if process.returncode is None and time.monotonic() < deadline:
        time.sleep(0.05)
        return
    what = (
        "did not fence the broker in time" if process.returncode is None else f"ended (exit code {process.returncode})"
    )
    raise BrokerUnavailable(
        f"the controller of a broker that was killed {what}; its log says:\n"
        f"{last_words(folder, 'server.log', 'console.log')}"
    )
