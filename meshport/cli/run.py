"""`meshport run`: a processor or sources, in this process."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meshport.address import Address
from meshport.cli import completion
from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import emit, log, say
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    MissingOption,
    RegistryOption,
    given_kafka,
    leads_elsewhere,
    missing_history,
    open_clusters,
    open_registry,
)
from meshport.cli.signals import stop_on_signal
from meshport.errors import ProjectError
from meshport.kafka.clusters import KafkaAccess
from meshport.metrics.readiness import Readiness
from meshport.ports.history import Missing
from meshport.project.project import Project, ProjectProduct
from meshport.project.sources import load_source, run_sources, stored

if TYPE_CHECKING:
    from meshport.process.runtime.watchdog import ProcessorProgress
    from meshport.rebuild.live import RunProcessor

MEMBER_VARIABLE: Final = "MESHPORT_MEMBER"
"""The variable with the name of a member, for what runs all processes alike: of others than members it has no effect."""

SpeedOption = Annotated[
    float | None, typer.Option(min=0, help="World seconds per second; by default sources publish as fast as they can.")
]
# How the processes of `meshport up` and `demo` are given its Kafka, whatever meshport.toml names.
GivenKafkaOption = Annotated[
    str | None, typer.Option("--kafka", metavar="HOST:PORT", hidden=True, help="The Kafka of every port.")
]
SeedOption = Annotated[int, typer.Option(help="The seed of the sources' data.")]
MemberOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        envvar=MEMBER_VARIABLE,
        help="For `engine: batch`: the name of this consumer group member, unique among the processor's running processes. "
        "A killed member that is restarted under its name gets its partitions back at once instead of after 10 to 30 s.",
    ),
]

# Changed figures are reported at most this often.
_REPORT_EVERY_S = 10.0


def run(
    context: typer.Context,
    addresses: Annotated[
        list[str],
        typer.Argument(
            metavar="ADDRESS...",
            help="Of this project: one derived product, or sources.",
            autocompletion=completion.addresses,
        ),
    ],
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    kafka: GivenKafkaOption = None,
    speed: SpeedOption = None,
    seed: SeedOption = 0,
    member: MemberOption = None,
    allow_missing: MissingOption = False,
    metrics: MetricsOption = None,
    json: JsonOption = False,
) -> None:
    """Run the processor of a derived product, or the sources of others, until interrupted.

    A processor ends with an error where part of the input that it has to process is removed from the log: at its first start,
    or after it was stopped for longer than the retention. Start it once with --allow-missing to go on with what is left.

    Example: meshport run shop/revenue-by-customer
    """
    project = Project.find(Path.cwd())
    products = [project.product(Address.parse(each)) for each in addresses]
    derived = [each for each in products if each.product.process]
    if derived and len(products) > 1:
        raise typer.BadParameter("a processor runs in a process of its own; name one", param_hint="ADDRESS")
    if member is not None and not any(_has_members(each) for each in derived):
        source = context.get_parameter_source("member")
        if source is None or source.name != "ENVIRONMENT":
            raise typer.BadParameter(
                "only a processor with `engine: batch` has members with names", param_hint="--member"
            )
        member = None
    elsewhere = kafka is None or leads_elsewhere(kafka, registry)
    access = open_clusters(kafka_config, registry=registry) if elsewhere else given_kafka(kafka_config, kafka)
    name = f"run {' '.join(each.product.address.key for each in products)}"
    if derived:
        readiness = Readiness(name, ["joined", "restored"])
        with serving_metrics(metrics, readiness):
            missing = missing_history(allow_missing)
            _run_processor(derived[0], registry, member, missing, readiness, kafka=access, json=json)
    else:
        readiness = Readiness(name, ["connected"])
        with serving_metrics(metrics, readiness):
            total = _run_sources(products, registry, speed, seed, readiness, kafka=access)
        if json:
            emit({"published": total})


def _run_sources(
    products: list[ProjectProduct],
    registry: str | None,
    speed: float | None,
    seed: int,
    readiness: Readiness,
    *,
    kafka: KafkaAccess,
) -> int:
    sources = []
    for each in products:
        source = load_source(each, seed=seed)
        if source is None:
            raise ProjectError(
                f"{each.product.address} has neither `process` nor `source` in {each.descriptor_file}",
                hint="its events come from outside: `meshport publish`",
            )
        sources.append(source)
    stopped = stop_on_signal()
    with open_registry(registry) as mesh:
        skip = stored([each.address for each in sources], mesh, kafka=kafka)
        readiness.meet("connected")
        done = run_sources(sources, mesh, speed=speed, skip=skip, stop=stopped, kafka=kafka)
    say(f"{done.total} events published")
    return done.total


def _has_members(product: ProjectProduct) -> bool:
    process = product.product.process
    return process is not None and process.engine == "batch"


def _run_processor(
    product: ProjectProduct,
    registry: str | None,
    member: str | None,
    missing: Missing,
    readiness: Readiness,
    *,
    kafka: KafkaAccess,
    json: bool,
) -> None:
    from meshport.process.runtime.lateness import mostly_late  # noqa: PLC0415 - slow to import
    from meshport.rebuild.live import LivePlan, run_live  # noqa: PLC0415 - slow to import

    run_processor = _engine(product, member, readiness)
    address = product.product.address
    due, reported = 0.0, ""

    def report(progress: ProcessorProgress) -> None:
        nonlocal due, reported
        most = " (most of all: see the log)" if mostly_late(progress.read, progress.late) else ""
        figures = (
            f"{progress.read} read, {progress.written} written, {progress.late} late{most}, "
            f"{progress.quarantined} quarantined, {progress.redriven} redriven, {progress.lag} waiting"
        ) + (f", {progress.undecided} undecided" if progress.undecided else "")
        if progress.lag is not None and figures != reported and time.monotonic() >= due:
            due, reported = time.monotonic() + _REPORT_EVERY_S, figures
            log(f"{address.key}: {figures}", {"address": str(address), **asdict(progress)})
            if json:
                emit({"address": str(address)} | asdict(progress))

    with open_registry(registry) as mesh:
        plans = LivePlan(lambda: Project.find(Path.cwd()).product(address), mesh, missing, kafka=kafka)
        # While a batch is processed the engine handles the signals itself; between two runs, this does.
        run_live(plans, mesh, run_processor, say=log, on_progress=report, stop=stop_on_signal())


def _engine(product: ProjectProduct, member: str | None, readiness: Readiness) -> RunProcessor:
    """Return the `run_processor` of a product's engine, without importing the other engine."""
    try:
        if _has_members(product):
            from meshport.process.engines import batch  # noqa: PLC0415 - slow to import

            return partial(batch.run_processor, member=member, readiness=readiness)
        from meshport.process.engines import faust as engine  # noqa: PLC0415 - faust is an extra, and slow to import
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("meshport"):
            raise
        raise typer.BadParameter(f'a processor needs {error.name}: pip install "meshport[process]"') from error
    return partial(engine.run_processor, readiness=readiness)
