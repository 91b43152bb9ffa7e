"""The metrics and the readiness of several processes at one address."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from meshport.metrics.gathered import served_together
from meshport.metrics.readiness import Readiness
from meshport.metrics.server import serve_states
from tests.metrics.test_server import ask


@contextmanager
def process(events: int, readiness: Readiness) -> Iterator[str]:
    """A process that serves metrics of its own."""
    registry = CollectorRegistry()
    ready = Gauge("meshport_ready", "Ready.", ["part"], registry=registry).labels("run")
    ready.set_function(lambda: float(readiness.state().ready))
    Counter("some_events_total", "Some events.", ["address"], registry=registry).labels("a").inc(events)
    Histogram("some_seconds", "Some seconds.", registry=registry, buckets=(1, 2)).observe(1.5)
    with serve_states("0", lambda: [readiness.state()], registry) as url:
        yield url


class Page(BaseHTTPRequestHandler):
    """A page of a service that has taken a port."""

    def do_GET(self) -> None:
        """Answer with HTML."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>no {metrics</html>\n")

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def another_service() -> Iterator[str]:
    """A service that is no process of a mesh."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_the_families_of_all_processes_are_one() -> None:
    """Each sample has the name of its process; one that does not answer takes nothing away, and is not ready."""
    one, two = Readiness("run a"), Readiness("run b", ["joined"])
    with ExitStack() as opened:
        urls = {
            "a": opened.enter_context(process(3, one)),
            "b": opened.enter_context(process(4, two)),
            "dead": "http://127.0.0.1:9",
            "other": opened.enter_context(another_service()),
        }
        url = opened.enter_context(served_together("0", "up", lambda: urls))
        status, _, body = ask(url, "/metrics")
        assert status == 200
        assert body.count("# TYPE some_events_total counter") == 1
        found = {
            (each.name, each.labels.get("process", ""), each.labels.get("le")): each.value
            for family in text_string_to_metric_families(body)
            for each in family.samples
        }
        assert (found["some_events_total", "a", None], found["some_events_total", "b", None]) == (3, 4)
        assert (found["some_seconds_bucket", "a", "1.0"], found["some_seconds_bucket", "a", "2.0"]) == (0, 1)
        assert any(process == "up" for _, process, _ in found)
        assert re.findall(r'^meshport_ready\{part="(\w+)"\} (\S+)$', body, re.MULTILINE) == [
            ("a", "1.0"),
            ("b", "0.0"),
            ("dead", "0.0"),
            ("other", "0.0"),
        ]
        status, _, body = ask(url, "/ready")
        parts = {each["name"]: each for each in json.loads(body)["parts"]}
        assert status == 503
        assert {name: each["ready"] for name, each in parts.items()} == {
            "a": True,
            "b": False,
            "dead": False,
            "other": False,
        }
        assert (parts["b"]["reasons"], parts["dead"]["reasons"]) == (["not joined yet"], ["it does not answer"])
        two.meet("joined")
        del urls["dead"], urls["other"]
        assert ask(url, "/ready")[0] == 200
