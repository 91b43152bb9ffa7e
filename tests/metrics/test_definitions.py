"""The metrics keep to Prometheus' conventions, by its own tool where that is there."""

from __future__ import annotations

import re
import subprocess

import pytest
from prometheus_client import REGISTRY, Counter, Histogram, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from meshport.metrics import access, levels, outbox, ports, process, rebuild, registry
from tests.promtool import promtool

METRICS = [
    each
    for module in (ports, process, outbox, registry, rebuild, access, levels)
    for each in vars(module).values()
    if isinstance(each, MetricWrapperBase)
]
LABELS = {
    "address",
    "group",
    "method",
    "outcome",
    "partition",
    "processor",
    "promise",
    "reason",
    "route",
    "status",
    "topic",
}


@pytest.mark.parametrize("metric", METRICS, ids=lambda each: str(each._name))
def test_a_metric_is_named_by_the_conventions(metric: MetricWrapperBase) -> None:
    """It begins with the library's name and ends with what it counts or its unit; its labels are bounded by what is declared."""
    (family,) = metric.describe()
    name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
    assert re.fullmatch(
        r"meshport_(publisher|subscriber|processor|outbox|relay|registry|rebuild|access|service_level|observer)_[a-z_]+",
        name,
    )
    if isinstance(metric, Histogram):
        assert name.endswith(("_seconds", "_events"))
    assert set(metric._labelnames) <= LABELS
    assert family.documentation.endswith(".")


def test_promtool_finds_nothing_wrong() -> None:
    """`promtool check metrics` has no complaint."""
    for each in METRICS:
        if each._labelnames:
            each.labels(*("x" for _ in each._labelnames))
    text = b"".join(
        block
        for block in re.split(rb"(?=^# HELP )", generate_latest(REGISTRY), flags=re.M)
        if b" meshport_" in block[:20]
    )
    done = subprocess.run([promtool(), "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
