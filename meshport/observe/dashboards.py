"""Grafana's dashboards for a mesh and for each of its products.

A dashboard names no data source: it has a variable for one, whose first value is Grafana's default.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from meshport.compat.service_levels import promise_text
from meshport.observe.rules import longest_wait_s, processor_selector
from meshport.product import Product

__all__ = ["Dashboard", "mesh_dashboard", "product_dashboard"]

_SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
_SCHEMA: Final = 39  # of Grafana 11, which later ones migrate
_COLUMNS: Final = 24
_HEIGHT: Final = 8
_WIDE: Final = 12


@dataclass(frozen=True)
class Panel:
    """One panel: what it shows, in which unit, and by which queries.

    Attributes:
        title: of the panel.
        queries: (PromQL, legend) of each line.
        unit: by Grafana's name: `short`, `s`, `bytes`, `ops`.
        kind: `timeseries` for lines, `stat` for one figure each, `text` for words, which are the title's.
        text: of a `text` panel, in Markdown.
        limit: a line above which a value is red.
    """

    title: str
    queries: Sequence[tuple[str, str]] = ()
    unit: str = "short"
    kind: str = "timeseries"
    text: str = ""
    limit: float | None = None

    def as_dict(self, number: int) -> dict[str, Any]:
        """Return the panel as Grafana reads it, at the place of its number: two a row."""
        place = {
            "h": _HEIGHT,
            "w": _WIDE,
            "x": (number * _WIDE) % _COLUMNS,
            "y": number * _WIDE // _COLUMNS * _HEIGHT,
        }
        panel: dict[str, Any] = {"id": number + 1, "type": self.kind, "title": self.title, "gridPos": place}
        if self.kind == "text":
            return panel | {"options": {"mode": "markdown", "content": self.text}}
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if self.limit is not None:
            steps.append({"color": "red", "value": self.limit})
        defaults = {
            "unit": self.unit,
            "min": 0,
            "thresholds": {"mode": "absolute", "steps": steps},
            "custom": {"thresholdsStyle": {"mode": "off" if self.limit is None else "line"}},
        }
        targets = [
            {"refId": chr(ord("A") + at), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for at, (expr, legend) in enumerate(self.queries)
        ]
        return panel | {
            "datasource": _SOURCE,
            "targets": targets,
            "fieldConfig": {"defaults": defaults, "overrides": []},
        }


@dataclass(frozen=True)
class Dashboard:
    """One dashboard.

    Attributes:
        name: by which its file and its uid are made.
        title: that people see.
        panels: in their order.
    """

    name: str
    title: str
    panels: Sequence[Panel]

    def text(self) -> str:
        """Return the dashboard as Grafana imports it."""
        document = {
            "uid": sha256(self.name.encode()).hexdigest()[:16],
            "title": self.title,
            "tags": ["meshport"],
            "timezone": "utc",
            "schemaVersion": _SCHEMA,
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "templating": {
                "list": [{"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
            },
            "panels": [each.as_dict(number) for number, each in enumerate(self.panels)],
        }
        return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def mesh_dashboard() -> Dashboard:
    """Return the dashboard of a whole mesh: what is published, processed, late and waiting, and its registry."""
    rate, hour = "rate({}[$__rate_interval])", "increase(meshport_{}_events_total[1h])"
    return Dashboard(
        "mesh",
        "Meshport: the mesh",
        (
            Panel(
                "Events published, by outcome",
                [(f"sum by (outcome) ({rate.format('meshport_publisher_events_total')})", "{{outcome}}")],
                "ops",
            ),
            Panel(
                "Events read by processors",
                [(f"sum by (processor) ({rate.format('meshport_processor_read_events_total')})", "{{processor}}")],
                "ops",
            ),
            Panel(
                "Processors: how long the oldest event waits",
                [("max by (processor) (meshport_processor_lag_seconds)", "{{processor}}")],
                "s",
                limit=60,
            ),
            Panel(
                "Processors: events that wait",
                [("sum by (processor) (meshport_processor_lag_events)", "{{processor}}")],
            ),
            Panel(
                "Subscribers: events that wait",
                [("sum by (group, address) (meshport_subscriber_lag_events)", "{{group}} {{address}}")],
            ),
            Panel(
                "Quarantined and late, an hour",
                [
                    (f"sum by (processor) ({hour.format('processor_quarantined')})", "{{processor}} quarantined"),
                    (f"sum by (processor) ({hour.format('processor_late')})", "{{processor}} late"),
                    (f"sum by (group) ({hour.format('subscriber_quarantined')})", "{{group}} quarantined"),
                ],
            ),
            Panel(
                "Outbox: rows that wait",
                [
                    ("sum by (instance) (meshport_outbox_waiting_events)", "{{instance}} waiting"),
                    ("sum by (instance) (meshport_outbox_blocked_events)", "{{instance}} blocked"),
                ],
            ),
            Panel(
                "Outbox: age of the oldest row",
                [("max by (instance) (meshport_outbox_oldest_waiting_seconds)", "{{instance}}")],
                "s",
                limit=60,
            ),
            Panel(
                "Registry: requests by status",
                [(f"sum by (status) ({rate.format('meshport_registry_requests_total')})", "{{status}}")],
                "ops",
            ),
            Panel(
                "Registry: duration, 99 in 100 requests",
                [
                    (
                        f"histogram_quantile(0.99, sum by (le) ({rate.format('meshport_registry_request_seconds_bucket')}))",
                        "p99",
                    )
                ],
                "s",
            ),
        ),
    )  # fmt: skip


def product_dashboard(product: Product) -> Dashboard:
    """Return the dashboard of one product: its promises, and whether they are kept."""
    panels = [Panel("The product", kind="text", text=_words(product))]
    panels += _processed(product) if product.process is not None else []
    ports = [str(product.port_address(each)) for each in product.output_ports]
    of_ports = f'{{address=~"{"|".join(ports)}"}}'
    panels += [
        Panel(
            "Events published, by outcome",
            [(f"sum by (outcome) (rate(meshport_publisher_events_total{of_ports}[$__rate_interval]))", "{{outcome}}")],
            "ops",
        ),
        Panel(
            "Readers: events that wait",
            [(f"sum by (group) (meshport_subscriber_lag_events{of_ports})", "{{group}}")],
        ),
        Panel(
            "Readers: events quarantined, an hour",
            [(f"sum by (group) (increase(meshport_subscriber_quarantined_events_total{of_ports}[1h]))", "{{group}}")],
        ),
    ]
    name = product.address.key
    return Dashboard(name.replace("/", "."), f"Meshport: {name}", panels)


def _processed(product: Product) -> list[Panel]:
    of = processor_selector(product)
    rate = "[$__rate_interval]"
    return [
        Panel(
            "How long the oldest event waits, and the promise",
            [(f"max by (topic) (meshport_processor_lag_seconds{of})", "{{topic}}")],
            "s",
            limit=longest_wait_s(product),
        ),
        Panel(
            "Events read, records written",
            [
                (f"sum(rate(meshport_processor_read_events_total{of}{rate}))", "read"),
                (f"sum(rate(meshport_processor_written_records_total{of}{rate}))", "written"),
            ],
            "ops",
        ),
        Panel("Events that wait", [(f"sum by (topic) (meshport_processor_lag_events{of})", "{{topic}}")]),
        Panel(
            "Quarantined by reason, and late, an hour",
            [
                (f"sum by (reason) (increase(meshport_processor_quarantined_events_total{of}[1h]))", "{{reason}}"),
                (f"sum(increase(meshport_processor_late_events_total{of}[1h]))", "late"),
            ],
        ),
        Panel(
            "Age of the watermark", [(f"time() - max(meshport_processor_watermark_timestamp_seconds{of})", "age")], "s"
        ),
        Panel(
            "Batch: compute and commit, 99 in 100",
            [
                (
                    f"histogram_quantile(0.99, sum by (le) (rate(meshport_processor_{each}_seconds_bucket{of}{rate})))",
                    name,
                )
                for each, name in (("batch_compute", "compute"), ("commit", "commit"))
            ],
            "s",
        ),
        Panel("State", [(f"sum(meshport_processor_state_bytes{of})", "bytes")], "bytes"),
        Panel(
            "Restores and aborted transactions, an hour",
            [
                (f"sum(increase(meshport_processor_restores_total{of}[1h]))", "partitions restored"),
                (f"sum(increase(meshport_processor_aborted_transactions_total{of}[1h]))", "transactions aborted"),
            ],
        ),
    ]


def _words(product: Product) -> str:
    levels = [
        f"- {level.property}: {promise_text(level)}" + (f" ({level.port})" if level.port else "")
        for level in product.sla_properties
    ]
    lines = [product.description, "", f"Owner: {product.owner}"]
    lines += [f"Contact: {product.contact}"] if product.contact else []
    return "\n".join([*lines, "", "Promises:" if levels else "It promises no service levels.", *levels])
