"""Serves the metrics, the health and the readiness of a process over HTTP."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import REGISTRY, Metric, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

from meshport.errors import MetricsUnavailable
from meshport.metrics.readiness import Readiness, ReadyState

__all__ = ["READY", "ready_family", "serve_states", "served"]

READY: Final = "meshport_ready"
"""The gauge that is 1 for each part that is ready, and 0 for one that is not."""

_LOCAL: Final = "127.0.0.1"
_TIMEOUT_S: Final = 5.0
# Prometheus and a prober ask at a time; a client that opens more connections is kept waiting.
_MOST_CONNECTIONS: Final = 16
# Seconds between two looks for the request to end.
_STOP_LOOK_S: Final = 0.1
_JSON: Final = "application/json"


@contextmanager
def served(at: str | None, *parts: Readiness) -> Iterator[str | None]:
    """Serve `/metrics`, `/health` and `/ready` in a thread while the context is open, and yield the URL.

    `/ready` answers 200 while all parts are ready, otherwise 503. `/health` answers 200 while the process runs. Both answer with
    a JSON object that names each part and the reasons why it is not ready.

    Args:
        at: `PORT` or `HOST:PORT`; without a host only this machine can ask; port 0 takes a free one. None serves nothing.
        parts: of this process.

    Raises:
        MetricsUnavailable: the port is taken, or `at` has no port.
    """
    if at is None:
        yield None
        return
    with serve_states(at, lambda: [each.state() for each in parts]) as url:
        yield url


@contextmanager
def serve_states(
    at: str, states: Callable[[], Sequence[ReadyState]], metrics: Collector | None = None
) -> Iterator[str]:
    """Serve as `served` does; what is ready, and the metrics, are asked for at each request.

    The time at which each counter was made (`_created`) is left out from then on: it doubles the samples, and no rule needs it.

    Args:
        at: see `served`.
        states: returns what is ready.
        metrics: by default those of this process, with `READY`.

    Raises:
        MetricsUnavailable: as `served`.
    """
    host, port = endpoint(at)
    disable_created_metrics()  # type: ignore[no-untyped-call] # a function of theirs without types
    try:
        server = _MetricsServer(host, port, states, _Scrape(states) if metrics is None else metrics)
    except OSError as error:
        raise MetricsUnavailable(
            f"cannot serve metrics on {host}:{port}: {error.strerror or error}",
            hint="choose another port for --metrics",
        ) from error
    thread = threading.Thread(target=server.serve_forever, args=(_STOP_LOOK_S,), name="metrics", daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def endpoint(at: str) -> tuple[str, int]:
    """Return host and port of `PORT` or `HOST:PORT`; an IPv6 host is in brackets.

    Raises:
        MetricsUnavailable: it is neither.
    """
    host, _, port = at.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise MetricsUnavailable(f"{at!r} names no port to serve metrics on", hint="9100 or 0.0.0.0:9100")
    return host.removeprefix("[").removesuffix("]") or _LOCAL, int(port)


class _Scrape(Collector):
    """The metrics of this process, and with them which parts are ready."""

    def __init__(self, states: Callable[[], Sequence[ReadyState]]) -> None:
        self._states = states

    def collect(self) -> Iterable[Metric]:
        """Return the families."""
        ready = ready_family()
        for each in self._states():
            ready.add_metric([each.name], float(each.ready))
        return [*REGISTRY.collect(), ready]


def ready_family() -> GaugeMetricFamily:
    """Return the family `READY`, without a sample."""
    return GaugeMetricFamily(READY, "Whether a part of the process is ready: 1, or 0 where it is not.", labels=["part"])


class _MetricsServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, states: Callable[[], Sequence[ReadyState]], metrics: Collector) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.states = states
        self.metrics = metrics
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__((host, port), _Handler)
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, once there is room."""
        self._room.acquire()
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer one connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: a client that went away is no error of this process."""


class _Handler(BaseHTTPRequestHandler):
    server: _MetricsServer
    timeout = _TIMEOUT_S
    server_version = "meshport"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            encode, kind = choose_encoder(self.headers.get("Accept", ""))
            self._answer(HTTPStatus.OK, encode(self.server.metrics), kind)
        elif path in {"/health", "/ready"}:
            states = self.server.states()
            ready = all(each.ready for each in states)
            failed = path == "/ready" and not ready
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE if failed else HTTPStatus.OK, _body(states, ready=ready), _JSON)
        else:
            self._answer(HTTPStatus.NOT_FOUND, b'{"paths": ["/metrics", "/health", "/ready"]}\n', _JSON)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def _answer(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: a probe comes every few seconds."""


def _body(states: Sequence[ReadyState], *, ready: bool) -> bytes:
    parts = [
        {
            "name": each.name,
            "ready": each.ready,
            "reasons": each.reasons,
            "waiting": each.waiting,
            "idle_s": round(each.idle_s, 1),
        }
        for each in states
    ]
    return json.dumps({"ready": ready, "parts": parts}, indent=1).encode() + b"\n"
