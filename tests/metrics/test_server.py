"""Metrics, health and readiness over HTTP."""

from __future__ import annotations

import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from meshport.errors import MetricsUnavailable
from meshport.metrics.readiness import Readiness
from meshport.metrics.server import endpoint, serve_states, served
from tests.waiting import PATIENCE_S


def ask(url: str, path: str, *, method: str = "GET", accept: str = "") -> tuple[int, str, str]:
    """Return status, content type and body of an answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE_S)
    try:
        connection.request(method, path, headers={"Accept": accept} if accept else {})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def test_a_process_that_is_not_ready_is_healthy_and_says_why() -> None:
    """`/ready` answers 503 with the reasons of each part until all are ready; `/health` answers 200 all the time."""
    one, two = Readiness("one"), Readiness("two", ["joined"])
    with served("0", one, two) as url:
        assert url is not None
        status, kind, body = ask(url, "/ready")
        assert (status, kind) == (503, "application/json")
        found = json.loads(body)
        assert (found["ready"], [each["ready"] for each in found["parts"]]) == (False, [True, False])
        assert found["parts"][1]["reasons"] == ["not joined yet"]
        assert ask(url, "/health")[0] == 200
        metrics = ask(url, "/metrics")[2]
        assert 'meshport_ready{part="one"} 1.0' in metrics
        assert 'meshport_ready{part="two"} 0.0' in metrics
        assert "_created" not in metrics
        two.meet("joined")
        assert ask(url, "/ready")[0] == 200


def test_metrics_are_what_prometheus_reads() -> None:
    """`/metrics` answers in Prometheus' text format, or in OpenMetrics where that is asked for; HEAD has no body."""
    registry = CollectorRegistry()
    Counter("some_events_total", "Some events.", ["address"], registry=registry).labels("mesh://shop/orders").inc(3)
    with serve_states("127.0.0.1:0", list, registry) as url:
        status, kind, body = ask(url, "/metrics")
        assert (status, kind.partition(";")[0]) == (200, "text/plain")
        samples = {each.name: each for family in text_string_to_metric_families(body) for each in family.samples}
        assert samples["some_events_total"].labels == {"address": "mesh://shop/orders"}
        assert samples["some_events_total"].value == 3
        assert ask(url, "/metrics", accept="application/openmetrics-text; version=1.0.0")[2].endswith("# EOF\n")
        assert ask(url, "/metrics", method="HEAD")[::2] == (200, "")
        assert ask(url, "/other")[0] == 404


def test_without_an_address_nothing_is_served() -> None:
    """A command without `--metrics` opens no port."""
    with served(None) as url:
        assert url is None


def test_a_port_that_is_taken_is_an_error_with_a_hint() -> None:
    """The error names interface and port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MetricsUnavailable, match=rf"127\.0\.0\.1:{port}: ") as refused, served(str(port)):
            pass
    assert refused.value.hint == "choose another port for --metrics"


@pytest.mark.parametrize(
    ("text", "found"),
    [("9100", ("127.0.0.1", 9100)), ("0.0.0.0:9100", ("0.0.0.0", 9100)), ("[::1]:0", ("::1", 0))],
)
def test_an_endpoint_is_a_port_or_host_and_port(text: str, found: tuple[str, int]) -> None:
    """Without a host, only this machine can ask."""
    assert endpoint(text) == found


@pytest.mark.parametrize("text", ["", "host", "host:", "70000", "-1", "1e3", "٣"])
def test_what_names_no_port_is_refused(text: str) -> None:
    """The error shows what a port looks like."""
    with pytest.raises(MetricsUnavailable, match="names no port"):
        endpoint(text)
