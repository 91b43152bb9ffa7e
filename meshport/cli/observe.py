"""`meshport observe`: measures how the ports of a mesh keep their promises."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

import typer

from meshport.cli.acls import admit_own
from meshport.cli.log_lines import without_repeats
from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import FINDINGS, emit, log, say, table
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    RegistryOption,
    TopicsKafkaOption,
    open_registry,
    topics_clusters,
)
from meshport.cli.signals import stop_on_signal
from meshport.errors import MeshError, RegistrationRefused, RegistryUnavailable
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.clusters import KafkaClusters
from meshport.metrics.levels import OBSERVER_LOOKS
from meshport.metrics.readiness import Readiness
from meshport.observe.levels.observer import INTERVAL_S, LIMIT, Observer, PortReport
from meshport.observe.levels.reporting import Reporting
from meshport.observe.levels.results import RESULTS, register_results
from meshport.observe.processors.observer import ProcessorObserver, ProcessorReporting
from meshport.observe.reading_groups import GroupObserver
from meshport.registry import Registry
from meshport.service_levels import LevelState

_LOOKED: Final = "looked"


def observe(
    once: Annotated[
        bool, typer.Option("--once", help="Look once, report, and end; 1 where a promise is broken.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="The time from one look to the next.")
    ] = INTERVAL_S,
    limit: Annotated[
        int,
        typer.Option(min=100, metavar="EVENTS", help="About how many events of a port are read at a look, at most."),
    ] = LIMIT,
    metrics: MetricsOption = None,
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how ports keep their promises, watch processors, and report both.

    Each port's topic is read without a group, a bounded number of events at a look. What is measured is kept by the registry
    (`meshport resolve` shows it), published in mesh/service-levels, and shown as metrics. A change of a state is a line of the
    log. Once a minute the consumer groups that read each port are reported too (`meshport readers` shows them); of each derived
    product, the catalog shows whether its processor runs, its lag, and the newest events that it quarantined. `meshport up`
    runs it too. At a registry with identities it needs the action `observe`, as the group mesh-observers has it;
    mesh/service-levels is registered by the first observer that may.

    Examples:
        meshport observe --interval 30
        meshport observe --once --json
    """
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    stopped = None if once else stop_on_signal()
    readiness = Readiness("observe", [_LOOKED])
    with (
        without_repeats(),
        serving_metrics(metrics, readiness),
        open_registry(registry) as mesh,
        Observer(mesh, clusters, interval_s=interval, limit=limit) as observer,
        Reporting(mesh, clusters) as reporting,
        ProcessorObserver(clusters, interval_s=interval) as processors,
    ):
        groups, reporting_processors = GroupObserver(mesh, clusters), ProcessorReporting(mesh)
        registers = True
        while True:
            try:
                registers = registers and not _registered(mesh, clusters, once=once)
                reports = observer.look()
                taken = reporting.report(reports)
                groups.report(observer.bindings)
                taken = reporting_processors.report(processors.look(observer.products)) and taken
                OBSERVER_LOOKS.labels("done" if taken else "unanswered").inc()
                readiness.meet(_LOOKED)
                _show(reports, json=json, once=once)
            except RegistryUnavailable as error:
                if stopped is None:
                    raise
                OBSERVER_LOOKS.labels("unanswered").inc()
                log(f"the registry does not answer: {error.message}")
            if stopped is None:
                broken = any(report.measured.state is LevelState.BROKEN for report in reports)
                raise typer.Exit(FINDINGS if broken else 0)
            if stopped.wait(interval):
                return


def _registered(mesh: Registry, clusters: KafkaClusters, *, once: bool) -> bool:
    """Register the product of the results where it is missing; return whether it need not be tried again."""
    try:
        registered = register_results(mesh, ClusterAdmins(clusters))
        if registered:
            log(f"registered {RESULTS}")
        for line in admit_own(mesh, clusters, RESULTS, registered=registered):
            log(line)
    except RegistrationRefused as error:
        log(f"results are not published: {RESULTS} is not registered, and this caller may not: {error.message}")
    except MeshError as error:
        if once or isinstance(error, RegistryUnavailable):
            raise
        log(f"results are not published yet: {error.message}")
        return False
    return True


def _show(reports: Iterable[PortReport], *, json: bool, once: bool) -> None:
    for report in reports:
        if json and (once or report.changed):
            facts = report.measured.model_dump(mode="json")
            emit({"address": str(report.address), "state": str(report.measured.state), **facts})
        if not once:
            for level in report.measured.levels:
                if level.name() in report.changed:
                    log(f"{report.address.key}: {level.name()} is {level.state}: {level.reason}")
    if once and not json:
        rows = [
            [report.address.key, level.name(), str(level.state), level.reason]
            for report in reports
            for level in report.measured.levels
        ]
        if rows:
            table(["port", "promise", "state", "because"], rows)
        else:
            say("no port promises a service level")
