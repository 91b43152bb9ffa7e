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

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from meshport.errors import BrokerUnavailable
from meshport.local.guardian import GuardedProcess
from meshport.local.kraft import last_words

__all__ = ["controller_settings", "fence", "was_killed"]

_SESSION_MS: Final = 500
_ACTIVE: Final = "Becoming the active controller"
_FENCED: Final = "Fencing broker"
# What the controller does once the session of a broker that is not fenced has ended, many times over.
_FENCED_BEFORE_S: Final = 3.0


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
    }


def fence(folder: Path, start: Callable[[], GuardedProcess], timeout_s: float) -> None:
    """Run the controller until it has fenced the broker, and stop it.

    Args:
        folder: of the node; the controller writes `server.log` there.
        start: starts the controller.
        timeout_s: seconds within which it has to be active.

    Raises:
        BrokerUnavailable: the controller ended, or was not active in time.
    """
    log = folder / "server.log"
    process = start()
    try:
        began, active = time.monotonic(), None
        while active is None or time.monotonic() < active + _FENCED_BEFORE_S:
            words = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
            if _FENCED in words:
                return
            if active is None and _ACTIVE in words:
                active = time.monotonic()
            if process.returncode is not None or (active is None and time.monotonic() > began + timeout_s):
                ended = f"ended (exit code {process.returncode})" if process.returncode is not None else "is not active"
                raise BrokerUnavailable(
                    f"the controller of a broker that was killed {ended}; its log says:\n"
                    f"{last_words(folder, 'server.log', 'console.log')}"
                )
            time.sleep(0.05)
    finally:
        process.stop()
