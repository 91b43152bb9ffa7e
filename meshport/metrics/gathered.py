"""The metrics and the readiness of several processes of one machine, as those of one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from prometheus_client import REGISTRY, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from meshport.metrics.readiness import ReadyState
from meshport.metrics.server import READY, ready_family, serve_states

__all__ = ["served_together"]

# A process on this machine that takes longer hangs; Prometheus gives a scrape up after 10 s by default.
_TIMEOUT_S: Final = 3.0
_LARGEST: Final = 64 * 1024 * 1024
_AT_ONCE: Final = 8
_LABEL: Final = "process"


@contextmanager
def served_together(at: str, own: str, urls: Callable[[], Mapping[str, str]]) -> Iterator[str]:
    """Serve the metrics of this process and of others, with the label `process`; ready means that all others are.

    Args:
        at: see `meshport.metrics.server.served`.
        own: the name of this process.
        urls: returns where the others serve theirs, by name.

    Yields:
        The URL.

    Raises:
        MetricsUnavailable: the port is taken.
    """
    gathered = _Gathered(own, urls)
    with serve_states(at, gathered.states, gathered) as url:
        yield url


class _Gathered(Collector):
    def __init__(self, own: str, urls: Callable[[], Mapping[str, str]]) -> None:
        self._own = own
        self._urls = urls

    def collect(self) -> Iterable[Metric]:
        """Return the families of all processes that answer, those of one name as one."""
        ready, found = ready_family(), dict[str, Metric]()
        _merge(found, self._own, REGISTRY.collect())
        for name, answer in self._ask("/metrics"):
            # What is ready comes with the metrics: a scrape asks each process once.
            families = _families(answer)
            parts = [sample.value for family in families if family.name == READY for sample in family.samples]
            ready.add_metric([name], min(parts, default=0))
            _merge(found, name, (family for family in families if family.name != READY))
        return [*found.values(), ready]

    def states(self) -> list[ReadyState]:
        """Return whether each other process is ready; one that does not answer is not."""
        return [state for name, answer in self._ask("/ready") for state in _states(name, answer)]

    def _ask(self, path: str) -> list[tuple[str, bytes | None]]:
        urls = self._urls()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(zip(urls, pool.map(lambda url: _get(url, path), urls.values()), strict=True))


def _get(url: str, path: str) -> bytes | None:
    """Return the body of an answer, whatever its status; None where there is no answer."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().read(_LARGEST)
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _families(answer: bytes | None) -> list[Metric]:
    """Return the families of an answer; none where there is no answer, or another process has the port."""
    try:
        return [] if answer is None else [*text_string_to_metric_families(answer.decode())]
    except ValueError:
        return []


def _merge(found: dict[str, Metric], process: str, families: Iterable[Metric]) -> None:
    for family in families:
        known = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        for each in family.samples:
            known.samples.append(each._replace(labels={**each.labels, _LABEL: process}))


def _states(process: str, answer: bytes | None) -> list[ReadyState]:
    try:
        parts: list[dict[str, Any]] = [] if answer is None else json.loads(answer)["parts"]
    except (ValueError, LookupError, TypeError):
        parts = []  # another process has the port
    if not parts:
        return [ReadyState(process, ready=False, reasons=("it does not answer",))]
    return [
        ReadyState(process, each["ready"], tuple(each["reasons"]), each["waiting"], each["idle_s"]) for each in parts
    ]
