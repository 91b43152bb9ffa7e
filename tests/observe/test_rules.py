"""Alerts and dashboards: what the products promise, in metrics that there are."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from meshport.metrics import levels, outbox, ports, process, registry
from meshport.metrics.server import READY
from meshport.observe.dashboards import mesh_dashboard, product_dashboard
from meshport.observe.rules import MeshRules, mesh_rules
from meshport.product import Product
from meshport.project.project import Project
from tests.promtool import promtool
from tests.repository import ROOT

PROMISES: dict[str, Any] = {
    "address": "mesh://shop/revenue",
    "id": "7b0c2f0e-0a52-44f3-9f0d-0f6f4f4f3a11",
    "archetype": "aggregate",
    "description": "Revenue of each customer.",
    "owner": "finance {{ $value }}",
    "contact": "#finance",
    "inputPorts": [{"address": "mesh://shop/orders"}],
    "outputPorts": [{"name": "events", "key": "customer"}, {"name": "totals", "key": "customer"}],
    "process": {"input": "mesh://shop/orders", "steps": [{"filter": "cents > 0"}]},
    "slaProperties": [
        {"property": "timeliness", "value": 5, "unit": "m"},
        {"property": "ly", "value": 90, "unit": "s", "port": "totals"},
        {"property": "completeness", "value": 99.5, "unit": "percent"},
        {"property": "frequency", "value": 1, "unit": "h"},
        {"property": "availability", "value": 99.9, "unit": "percent"},
        {"property": "throughput", "value": 600, "unit": "events per minute"},
        {"property": "throughput", "value": 5, "unit": "users", "port": "events"},
        {"property": "availability", "value": 99.999, "unit": "percent", "port": "events"},
        {"property": "retention", "value": 1, "unit": "y"},
    ],
}


ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}


def metric_names() -> set[str]:
    """The names of the series that the library's metrics have."""
    found = {READY}
    for module in (levels, outbox, ports, process, registry):
        for each in vars(module).values():
            if isinstance(each, MetricWrapperBase):
                name, kind = each._name, each._type
                endings = ENDINGS.get(str(kind), ("",))
                found |= {name + ending for ending in endings}
    return found


def named_in(text: str) -> set[str]:
    """The metrics that a text names."""
    return set(re.findall(r"\bmeshport_[a-z_]+", text))


@pytest.fixture(scope="module")
def revenue() -> Product:
    """A derived product with promises of every kind."""
    return Product.model_validate(PROMISES)


@pytest.fixture(scope="module")
def reference() -> MeshRules:
    """The rules of the reference mesh."""
    return mesh_rules(each.product for each in Project.find(ROOT).products)


def expressions(rules: MeshRules, group: str) -> dict[str, list[str]]:
    """The expressions of a group's alerts, by name."""
    found: dict[str, list[str]] = {}
    for each in rules.alerts[group]:
        found.setdefault(each.name, []).append(each.expr)
    return found


def test_a_promise_is_an_alert(revenue: Product) -> None:
    """Delays, intervals and shares become expressions in their own figures; another promise is named as unmeasured."""
    rules = mesh_rules([revenue])
    of = '{processor=~"mesh://shop/revenue/.+"}'
    read, late = f"meshport_processor_read_events_total{of}", f"meshport_processor_late_events_total{of}"
    quarantined = f"meshport_processor_quarantined_events_total{of}"
    ready = 'max(meshport_ready{part=~"(run )?shop/revenue"})'
    assert expressions(rules, "meshport shop/revenue") == {
        "MeshportProcessorDown": [f"absent({read})"],
        "MeshportPromisedDelayExceeded": [
            f"max by (processor) (meshport_processor_lag_seconds{of}) > 300",
            f"max by (processor) (meshport_processor_lag_seconds{of}) > 90",
        ],
        "MeshportPromisedShareMissed": [
            f"((sum(increase({quarantined}[1d])) or vector(0)) + (sum(increase({late}[1d])) or vector(0))) "
            f"/ sum(increase({read}[1d])) > 0.005"
        ],
        "MeshportPromisedIntervalExceeded": [
            f"sum(increase(meshport_processor_written_records_total{of}[3600s])) == 0"
        ],
        "MeshportPromisedAvailabilityMissed": [
            f"time() - min_over_time(timestamp({ready})[30d:300s]) - 300 * sum_over_time({ready}[30d:300s]) > 2592"
        ],
        "MeshportPromisedThroughputMissed": [
            f"(sum by (processor) (rate({read}[5m])) < 10) and on (processor) "
            f"(min_over_time(max by (processor) (meshport_processor_lag_seconds{of})[5m:1m]) > 60)"
        ],
    }
    # Users are no events, and an outage of 26 seconds is not seen by a look a minute.
    assert rules.unmeasured == (
        "shop/revenue/events@1: availability 99.999 percent is shown by no metric",
        "shop/revenue/events@1: throughput 5 users is shown by no metric",
        "shop/revenue/events@1: retention 1 y is shown by no metric",
        "shop/revenue/totals@1: retention 1 y is shown by no metric",
    )


def test_texts_of_a_product_are_no_templates(revenue: Product) -> None:
    """Prometheus expands labels and annotations; what a team wrote comes out as it is."""
    document = yaml.safe_load(mesh_rules([revenue]).text())
    (group,) = [each for each in document["groups"] if each["name"] == "meshport shop/revenue"]
    labels = group["rules"][0]["labels"]
    assert labels["owner"] == 'finance {{ "{{" }} $value }}'
    assert labels["product"] == "shop/revenue"


def test_every_metric_that_is_named_exists(revenue: Product, reference: MeshRules) -> None:
    """A rule or a panel about a series that nothing exposes would never show anything."""
    products = [each.product for each in Project.find(ROOT).products]
    texts = [reference.text(), mesh_rules([revenue]).text(), mesh_dashboard().text()]
    texts += [product_dashboard(each).text() for each in (*products, revenue)]
    assert set().union(*map(named_in, texts)) <= metric_names()


def test_the_reference_mesh(reference: MeshRules) -> None:
    """Each derived product has an alert for a processor that does not run, and one for a delay beyond its promise."""
    derived = [each.product for each in Project.find(ROOT).products if each.product.process]
    for each in derived:
        names = [alert.name for alert in reference.alerts[f"meshport {each.address.key}"]]
        assert {"MeshportProcessorDown", "MeshportPromisedDelayExceeded"} <= set(names)


def test_promtool_accepts_the_rules(reference: MeshRules, revenue: Product, tmp_path: Path) -> None:
    """`promtool check rules` finds nothing wrong."""
    for name, rules in (("reference", reference), ("revenue", mesh_rules([revenue]))):
        file = tmp_path / f"{name}.yml"
        file.write_text(rules.text())
        done = subprocess.run([promtool(), "check", "rules", str(file)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_files_of_the_reference_mesh_are_those_of_its_products(reference: MeshRules) -> None:
    """What `deploy/` has is what `meshport dashboards` writes now."""
    products = [each.product for each in Project.find(ROOT).products]
    boards = [mesh_dashboard(), *map(product_dashboard, products)]
    files = {f"grafana/{each.name}.json": each.text() for each in boards}
    files["prometheus/meshport.rules.yml"] = reference.text()
    for name, text in files.items():
        assert (ROOT / "deploy" / name).read_text(encoding="utf-8") == text, "`meshport dashboards` writes it anew"


# Series with a value a minute, an alert, and how often it fires at a time.
CASES: dict[str, tuple[dict[str, str], str, dict[str, int]]] = {
    "a processor that stops, and runs again": (
        {"meshport_processor_read_events_total": "0+60x9 stale _x9 600+60x20"},
        "MeshportProcessorDown",
        {"9m": 0, "15m": 1, "25m": 0},
    ),
    "a processor that reads nothing, though events wait": (
        {
            "meshport_processor_read_events_total": "0+60x9 600x20",
            "meshport_processor_lag_seconds": "0x9 0+60x20",
        },
        "MeshportProcessorStuck",
        {"9m": 0, "20m": 1},
    ),
    "an event that waits for longer than promised": (
        {"meshport_processor_lag_seconds": "0x9 400x5 0x10", "meshport_processor_read_events_total": "0+60x25"},
        "MeshportPromisedDelayExceeded",
        {"9m": 0, "13m": 2, "18m": 0},
    ),
    "a processor that is down for longer than a month allows": (
        {'meshport_ready{part="run shop/revenue"}': "1x120 0x20 stale _x40 1x20"},
        "MeshportPromisedAvailabilityMissed",
        {"100m": 0, "150m": 0, "175m": 1, "200m": 1},
    ),
    "a processor that is restarted, in its first hour": (
        {'meshport_ready{part="shop/revenue"}': "0x20 1x40"},
        "MeshportPromisedAvailabilityMissed",
        {"19m": 0, "30m": 0, "59m": 0},
    ),
    "a processor that is slower than promised, while events wait": (
        {
            "meshport_processor_read_events_total": "0+60x60",
            "meshport_processor_lag_seconds": "0x20 120x20 0x20",
        },
        "MeshportPromisedThroughputMissed",
        {"19m": 0, "35m": 1, "50m": 0},
    ),
    "a processor that is as fast as promised, while events wait": (
        {"meshport_processor_read_events_total": "0+660x60", "meshport_processor_lag_seconds": "120x60"},
        "MeshportPromisedThroughputMissed",
        {"30m": 0, "50m": 0},
    ),
    "the first event that is quarantined, in a series of its own": (
        {'meshport_processor_quarantined_events_total{reason="DecodeError"}': "_x9 1x30"},
        "MeshportEventsQuarantined",
        {"8m": 0, "12m": 1, "30m": 0},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_alert_fires_and_resolves(revenue: Product, tmp_path: Path, case: str) -> None:
    """Prometheus itself evaluates the rules over series that stop, wait or begin."""
    series, alert, firing = CASES[case]
    rules = mesh_rules([revenue])
    (tmp_path / "rules.yml").write_text(rules.text())
    given = []
    for name, values in series.items():
        metric, _, labels = name.partition("{")
        inner = ",".join(filter(None, ['processor="mesh://shop/revenue/events@1"', labels.removesuffix("}")]))
        given.append({"series": f"{metric}{{{inner}}}", "values": values})
    fires = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    checks = [
        {"expr": fires, "eval_time": at, "exp_samples": [{"labels": "{}", "value": count}]}
        for at, count in firing.items()
    ]
    case_file = tmp_path / "case.yml"
    tests = [{"interval": "1m", "input_series": given, "promql_expr_test": checks}]
    case_file.write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": tests}, sort_keys=False)
    )
    done = subprocess.run([promtool(), "test", "rules", str(case_file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_dashboard_is_well_formed(revenue: Product) -> None:
    """Panels have ids and places of their own, each query its letter, and the promise is a red line."""
    for text in (mesh_dashboard().text(), product_dashboard(revenue).text()):
        document = json.loads(text)
        panels = document["panels"]
        assert [each["id"] for each in panels] == list(range(1, len(panels) + 1))
        assert len({(each["gridPos"]["x"], each["gridPos"]["y"]) for each in panels}) == len(panels)
        for panel in panels:
            letters = [each["refId"] for each in panel.get("targets", [])]
            assert letters == [chr(ord("A") + at) for at in range(len(letters))]
    waits = next(each for each in panels if each["title"].startswith("How long"))
    assert waits["fieldConfig"]["defaults"]["thresholds"]["steps"][1] == {"color": "red", "value": 90.0}
