"""Prometheus' alerting rules for a mesh, from what its products promise (`slaProperties`).

A promise becomes an alert where the metrics show whether it is kept; of another one that is said, since an alert that never fires
would look like a promise that is kept. Beside the promises stand the alerts that every mesh needs: a processor that no longer
runs or is stuck, quarantined events, an outbox whose rows wait, a registry that fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshport.compat.service_levels import TIME_MS, promise_text, promised, property_of, rate_of
from meshport.product import OutputPort, Product, ServiceLevel
from meshport.product.yaml_file import dump

__all__ = ["Alert", "MeshRules", "longest_wait_s", "mesh_rules", "processor_selector"]

_DELAYS: Final = frozenset({"timeliness", "freshness", "latency"})
_INTERVALS: Final = frozenset({"frequency", "intervalofchange"})
_SHARES: Final = frozenset({"percent", "%"})
# An availability is promised of a month. Whether a processor was ready is looked at so often, and a promise whose outages are
# shorter than two looks cannot be judged.
_MONTH_S: Final = 30 * 86_400
_LOOKS_S: Final = (300, 60)


@dataclass(frozen=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: of the alert.
        expr: PromQL: the alert fires for each series that it returns.
        lasting: for how long it has to return it, as Prometheus writes durations.
        severity: `page` is urgent, `ticket` waits for the morning.
        summary: what is wrong, a template of Prometheus.
        next: what to do, in words.
        product: the product that it belongs to, if to one.
        promise: of the product, which is broken: alerts of one name need labels that differ.
        port: of the product, where the alert is about one.
    """

    name: str
    expr: str
    lasting: str
    severity: str
    summary: str
    next: str
    product: Product | None = None
    promise: ServiceLevel | None = None
    port: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as Prometheus reads it."""
        labels = {"severity": self.severity}
        annotations = {"summary": self.summary, "next": self.next}
        if self.product is not None:
            labels |= {"product": self.product.address.key, "owner": _plain(self.product.owner)}
            if self.product.contact:
                annotations["contact"] = _plain(self.product.contact)
        if self.promise is not None:
            labels["promise"] = _plain(f"{self.promise.property} {promise_text(self.promise)}")
            labels |= {"port": self.port} if self.port else {}
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.lasting,
            "labels": labels,
            "annotations": annotations,
        }


@dataclass(frozen=True)
class MeshRules:
    """The rules of a mesh.

    Attributes:
        alerts: of each group, by its name.
        unmeasured: the promises that no metric shows, in words.
    """

    alerts: dict[str, list[Alert]]
    unmeasured: tuple[str, ...]

    def text(self) -> str:
        """Return the rule file, as YAML."""
        groups = [
            {"name": name, "rules": [each.as_dict() for each in alerts]}
            for name, alerts in self.alerts.items()
            if alerts
        ]
        return "# Made by `meshport dashboards`; changes are lost when it is made again.\n" + dump({"groups": groups})


def mesh_rules(products: Iterable[Product]) -> MeshRules:
    """Return the rules for some products, and for what they run on."""
    alerts = {"meshport": _COMMON}
    unmeasured: list[str] = []
    for each in products:
        found = list(_running(each))
        for port in each.output_ports:
            for levels in promised(each, port.name).values():
                for level in levels:
                    alert = _promise(each, port, level)
                    if alert is None:
                        unmeasured.append(
                            f"{each.port_address(port).key}: {level.property} {promise_text(level)} is shown by no metric"
                        )
                    elif alert not in found:
                        found.append(alert)
        alerts[f"meshport {each.address.key}"] = found
    return MeshRules(alerts, tuple(dict.fromkeys(unmeasured)))


def processor_selector(product: Product) -> str:
    """Return the selector of the metrics of a derived product's processor, whose label is the output port that it builds."""
    return f'{{processor=~"{product.address}/.+"}}'


def longest_wait_s(product: Product) -> float | None:
    """Return for how many seconds an event of a product's input may wait, by its strictest promise; None without one."""
    found = [
        seconds
        for port in product.output_ports
        for levels in promised(product, port.name).values()
        for level in levels
        if property_of(level) in _DELAYS and (seconds := _seconds(level)) is not None
    ]
    return min(found, default=None)


def _running(product: Product) -> Sequence[Alert]:
    if product.process is None:
        return ()
    name, of = product.address.key, processor_selector(product)
    return (
        Alert(
            "MeshportProcessorDown",
            f"absent(meshport_processor_read_events_total{of})",
            "2m",
            "page",
            f"No processor of {name} runs",
            f"`meshport doctor`, then `meshport run {name}`",
            product,
        ),
    )


def _promise(product: Product, port: OutputPort, level: ServiceLevel) -> Alert | None:
    """Return the alert of a promise that is broken; None where no metric shows it."""
    of, name = property_of(level), product.address.key
    promise = _plain(f"{level.property} {promise_text(level)}")
    seconds = _seconds(level)
    selector = processor_selector(product)
    derived = product.process is not None
    one = port.name if level.port or not derived else None
    if of in _DELAYS and seconds is not None and derived:
        return Alert(
            "MeshportPromisedDelayExceeded",
            f"max by (processor) (meshport_processor_lag_seconds{selector}) > {_number(seconds)}",
            "1m",
            "page",
            f"{name} promises {promise}, and an event of its input has waited for longer",
            f"`meshport lag {name}` shows which partition, and who holds it",
            product,
            level,
            one,
        )
    if of in _INTERVALS and seconds is not None:
        counted = (
            f"meshport_processor_written_records_total{selector}"
            if derived
            else f'meshport_publisher_events_total{{address="{product.port_address(port)}",outcome="stored"}}'
        )
        window = f"{max(60, round(seconds))}s"
        return Alert(
            "MeshportPromisedIntervalExceeded",
            f"sum(increase({counted}[{window}])) == 0",
            "1m",
            "page",
            f"{name} promises {promise}, and nothing new has come for longer",
            f"`meshport tail {name}` shows what comes, `meshport doctor` what is wrong",
            product,
            level,
            one,
        )
    share = (level.unit or "").strip().lower() in _SHARES
    if of == "availability" and share and derived:
        return _availability(product, level, one)
    if of == "throughput" and derived:
        return _throughput(product, level, one)
    if of in {"completeness", "errorrate"} and share and derived:
        # Of completeness the rest may be missing; late events are in no result, quarantined ones not yet.
        allowed = level.value / 100 if of == "errorrate" else 1 - level.value / 100
        parts = ["quarantined", "late"] if of == "completeness" else ["quarantined"]
        missing = " + ".join(
            f"(sum(increase(meshport_processor_{each}_events_total{selector}[1d])) or vector(0))" for each in parts
        )
        return Alert(
            "MeshportPromisedShareMissed",
            f"({missing}) / sum(increase(meshport_processor_read_events_total{selector}[1d])) > {_number(allowed)}",
            "10m",
            "page",
            f"{name} promises {promise}, and more of a day's events are {' or '.join(parts)}",
            f"`meshport quarantine {name}` and `meshport quarantine {name} --late` have the events",
            product,
            level,
            one,
        )
    return None


def _availability(product: Product, level: ServiceLevel, port: str | None) -> Alert | None:
    """Return the alert of a processor that was not ready, or not there, for longer than a month of the promise allows.

    Only what came after the first look counts, so that a processor of yesterday has not broken the promise of a month.
    """
    allowed_s = (1 - level.value / 100) * _MONTH_S
    look_s = next((each for each in _LOOKS_S if allowed_s >= 2 * each), None)
    if look_s is None:
        return None
    name, promise = product.address.key, _plain(f"{level.property} {promise_text(level)}")
    # As `meshport run` names it, and as `up` names it among its processes.
    ready = f'max(meshport_ready{{part=~"(run )?{name}"}})'
    looks = f"[30d:{look_s}s]"
    missed = f"time() - min_over_time(timestamp({ready}){looks}) - {look_s} * sum_over_time({ready}{looks})"
    return Alert(
        "MeshportPromisedAvailabilityMissed",
        f"{missed} > {_number(allowed_s)}",
        "0m",
        "page",
        f"{name} promises {promise}, and its processor was not ready for longer in 30 days",
        f"`meshport doctor` says what is wrong, /ready of the process why it is not ready; `meshport run {name}`",
        product,
        level,
        port,
    )


def _throughput(product: Product, level: ServiceLevel, port: str | None) -> Alert | None:
    """Return the alert of a processor that is behind and processes fewer events than promised; few events break nothing."""
    found = rate_of(level)
    if found is None:
        return None
    name, selector = product.address.key, processor_selector(product)
    promise = _plain(f"{level.property} {promise_text(level)}")
    rate = f"sum by (processor) (rate(meshport_processor_read_events_total{selector}[5m]))"
    behind = f"min_over_time(max by (processor) (meshport_processor_lag_seconds{selector})[5m:1m]) > 60"
    return Alert(
        "MeshportPromisedThroughputMissed",
        f"({rate} < {_number(found[0] * 1000 / found[1])}) and on (processor) ({behind})",
        "5m",
        "page",
        f"{name} promises {promise}, and processes fewer though events wait",
        f"`meshport lag {name}` shows which partitions; more members share them: `meshport run {name} --member NAME`",
        product,
        level,
        port,
    )


def _added(by: str, counter: str) -> str:
    """Return an expression for what was counted in the last 15 minutes, also by a series that has begun since.

    `increase` does not see the first event of a counter that had no series before it.
    """
    return f"sum by ({by}) ((increase({counter}[15m]) > 0) or ({counter} unless ({counter} offset 15m))) > 0"


def _plain(text: str) -> str:
    """Return text as a template of Prometheus that gives this text."""
    return text.replace("{{", '{{ "{{" }}')


def _seconds(level: ServiceLevel) -> float | None:
    length = TIME_MS.get((level.unit or "").strip().lower())
    return None if length is None else level.value * length / 1000


def _number(value: float) -> str:
    return f"{value:.12g}"


_COMMON: Final = [
    Alert(
        "MeshportProcessorStuck",
        "(max by (processor) (meshport_processor_lag_seconds) > 60) and on (processor) "
        "(sum by (processor) (rate(meshport_processor_read_events_total[5m])) == 0)",
        "2m",
        "page",
        "The processor of {{ $labels.processor }} has events to read, and reads none",
        "`meshport lag` shows who holds the partitions; a restart of the process restores its state",
    ),
    Alert(
        "MeshportEventsQuarantined",
        _added("processor, reason", "meshport_processor_quarantined_events_total"),
        "0m",
        "ticket",
        "{{ $labels.processor }} quarantined events: {{ $labels.reason }}",
        "`meshport quarantine {{ $labels.processor }}` has the events; after the cause is fixed, "
        "`meshport redrive {{ $labels.processor }}`",
    ),
    Alert(
        "MeshportEventsRefused",
        _added("address", 'meshport_publisher_events_total{outcome="refused"}'),
        "0m",
        "ticket",
        "Events of {{ $labels.address }} were refused, and are not in the log",
        "the publisher's log has their ids and the reason",
    ),
    Alert(
        "MeshportOutcomeUnknown",
        _added("address", 'meshport_publisher_events_total{outcome="unknown"}'),
        "0m",
        "ticket",
        "Of events of {{ $labels.address }} it is not known whether they are stored",
        "publish them again with the same ids: readers ignore an id that they have seen",
    ),
    Alert(
        "MeshportSubscriberQuarantines",
        _added("address, group", "meshport_subscriber_quarantined_events_total"),
        "0m",
        "ticket",
        "The group {{ $labels.group }} failed for good on events of {{ $labels.address }}",
        "its quarantine topic has the events and the reasons",
    ),
    Alert(
        "MeshportTransactionsAborted",
        "sum by (processor) (increase(meshport_processor_aborted_transactions_total[15m])) > 3",
        "0m",
        "ticket",
        "The processor of {{ $labels.processor }} does its batches again and again",
        "its log has the cause, most often a broker that does not answer in time",
    ),
    Alert(
        "MeshportOutboxWaits",
        "max by (instance) (meshport_outbox_oldest_waiting_seconds) > 60",
        "2m",
        "page",
        "A row of the outbox at {{ $labels.instance }} has waited for more than a minute",
        "`meshport relay status` says whether a relay runs and what blocks",
    ),
    Alert(
        "MeshportOutboxBlocked",
        "max by (instance) (meshport_outbox_blocked_aggregates) > 0",
        "0m",
        "ticket",
        "{{ $value }} aggregates of the outbox at {{ $labels.instance }} have a row that cannot be sent",
        "`meshport relay status` has the rows and the reasons",
    ),
    Alert(
        "MeshportOutboxTransactionOld",
        "max by (instance) (meshport_outbox_oldest_transaction_seconds) > 300",
        "0m",
        "page",
        "A transaction has been open for more than five minutes: its events wait, and the outbox cannot be vacuumed beyond it",
        "pg_stat_activity has it: its backend_xmin is the oldest",
    ),
    Alert(
        "MeshportServiceLevelBroken",
        "max by (address, promise) (meshport_service_level_state) >= 2",
        "0m",
        "page",
        "{{ $labels.address }} breaks its promise: {{ $labels.promise }}",
        "`meshport resolve {{ $labels.address }}` has what was measured and why",
    ),
    Alert(
        "MeshportServiceLevelAtRisk",
        "max by (address, promise) (meshport_service_level_state) == 1",
        "5m",
        "ticket",
        "{{ $labels.address }} has little error budget left: {{ $labels.promise }}",
        "`meshport resolve {{ $labels.address }}` has what was measured and why",
    ),
    Alert(
        "MeshportObserverStopped",
        "time() - max(meshport_observer_last_look_timestamp_seconds) > 300",
        "0m",
        "ticket",
        "No service level has been measured for five minutes",
        "`meshport observe` measures them; its log has what it waits for",
    ),
    Alert(
        "MeshportRegistryFails",
        'sum by (instance) (rate(meshport_registry_requests_total{status=~"5.."}[5m])) > 0',
        "5m",
        "page",
        "The registry at {{ $labels.instance }} fails requests",
        "its log has the cause; publishers and readers go on with what they know",
    ),
]
