"""`meshport archive`: the events of ports in tables that outlive retention."""

from __future__ import annotations

import json as json_text
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from meshport.address import Address
from meshport.archiving import Archiver, CommitSize, OffsetMap, PartitionComparison, PortArchive, compare, move_groups
from meshport.archiving import restore as restore_topic
from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import FINDINGS, emit, log, progress, say, table
from meshport.cli.read import AddressArgument
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    RegistryOption,
    open_clusters,
    open_registry,
)
from meshport.cli.signals import stop_on_signal
from meshport.metrics.readiness import Readiness
from meshport.project.project import Project

archive_app = typer.Typer(no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]})

_COMMIT_S: Final = 60.0


@archive_app.callback()
def _archive() -> None:
    """Keep the events of ports for ever in Iceberg tables, and restore topics from them.

    An output port of product.yaml says where: `archive: {store: file:///srv/archive}`, or s3://bucket/prefix with a `catalog`;
    without a store, that of the variable MESHPORT_ARCHIVE. Engines that know Iceberg, such as Apache Spark and Polars, read the
    tables.

    Examples:
        meshport archive run
        meshport archive verify shop/orders
        meshport archive restore shop/orders --to orders-again
    """


@archive_app.command()
def run(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ADDRESS]...", help="Of ports; by default all of this project that declare an archive."
        ),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Archive what the topics have now, and end.")] = False,
    commit_every: Annotated[
        float, typer.Option("--commit-every", min=1, metavar="SECONDS", help="Commit at the latest after this time.")
    ] = _COMMIT_S,
    metrics: MetricsOption = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Follow the topics of ports and append them to their archives, until interrupted.

    Rows and the offsets that they reach become visible in one commit: a run that is killed doubles and loses nothing. It goes on
    where the archive ends; if retention has removed messages after that, it ends with an error that names them.

    --json writes a line for each port at the end: address, offsets that are archived, and the table's newest metadata file.

    Examples:
        meshport archive run
        meshport archive run shop/orders --once --json
    """
    kafka = open_clusters(kafka_config, registry=registry)
    size = CommitSize(seconds=commit_every)
    with open_registry(registry) as mesh:
        ports = [PortArchive.of(each, mesh) for each in _addresses(addresses)]
        if not ports:
            say("no port of this project declares an archive: `archive: {store: URL}` in an output port")
            return
        stop = None if once else stop_on_signal()
        readiness = Readiness("archive run", [each.binding.address.key for each in ports])
        with serving_metrics(metrics, readiness):
            _run(ports, partial(PortArchive.archiver, registry=mesh, kafka=kafka, size=size), readiness, stop)
        for each in ports:
            found = each.open()
            rows = sum(one.end - one.begin for one in found.archived.values())
            if json:
                emit({"address": str(each.binding.address), "offsets": rows, "table": found.location})
            else:
                say(f"{each.binding.address}: {rows:,} offsets are archived in {found.location}")


def _addresses(given: Sequence[str] | None) -> list[Address]:
    if given:
        return [Address.parse(each) for each in given]
    return [
        Address(one.product.address.domain, one.product.address.product, port.name, port.major)
        for one in Project.find(Path.cwd()).products
        for port in one.product.output_ports
        if port.archive is not None
    ]


def _run(
    ports: Sequence[PortArchive],
    archiver_of: Callable[[PortArchive], Archiver],
    readiness: Readiness,
    stop: threading.Event | None,
) -> None:
    ending = stop or threading.Event()

    def follow(port: PortArchive) -> None:
        archiver = archiver_of(port)
        try:
            log(f"{port.binding.address}: archiving {port.binding.topic}", {"address": str(port.binding.address)})
            readiness.meet(port.binding.address.key)
            if stop is None:
                archiver.catch_up()
            else:
                archiver.run(ending)
            log(f"{port.binding.address}: {archiver.archived:,} rows archived", {"address": str(port.binding.address)})
        finally:
            archiver.close()

    with ThreadPoolExecutor(len(ports)) as threads:
        running: set[Future[None]] = {threads.submit(follow, each) for each in ports}
        while running:
            # A signal is handled between two waits.
            done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            if any(each.exception() is not None for each in done):
                ending.set()
                wait(running)
            for each in done:
                each.result()


@archive_app.command()
def verify(
    address: AddressArgument,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Compare an archive with its topic, record by record, where both have it: bytes, headers, timestamps and offsets.

    It ends with 1 where a record of the topic is missing in the archive, or is another one there.

    Example: meshport archive verify shop/orders
    """
    kafka = open_clusters(kafka_config, registry=registry)
    with open_registry(registry) as mesh:
        port = PortArchive.of(Address.parse(address), mesh)
        with progress("comparing") as moved:
            found = list(compare(port.open(), port.binding, kafka.to(port.binding), moved))
    if json:
        for each in found:
            emit({**vars(each), "agrees": each.agrees})
    else:
        columns = ["partition", "offsets", "equal", "different", "missing", "not in the topic", "digest"]
        table(columns, [_row(each) for each in found])
    wrong = [each for each in found if not each.agrees]
    for each in wrong:
        say(f"partition {each.partition}: offset {each.offsets[0]} is the first that is different or missing")
    if wrong:
        raise typer.Exit(FINDINGS)
    say(f"the archive of {port.binding.address} equals its topic in {sum(each.equal for each in found):,} records")


def _row(found: PartitionComparison) -> list[str]:
    counts = [f"{each:,}" for each in (found.equal, found.different, found.missing, found.removed)]
    return [str(found.partition), f"{found.begin} to {found.end}", *counts, found.digest[:16]]


@archive_app.command()
def restore(
    address: AddressArgument,
    to: Annotated[
        str,
        typer.Option(
            "--to", metavar="TOPIC", help="An empty topic; made where it does not exist, to keep its records for ever."
        ),
    ],
    kafka: Annotated[
        str | None, typer.Option("--kafka", metavar="SERVERS", help="The cluster of the topic; by default the port's.")
    ] = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Move the consumer groups that were archived with the events as well.")
    ] = False,
    offset_map: Annotated[
        Path | None,
        typer.Option("--map", metavar="FILE", help="Write where each archived offset is now, as JSON lines."),
    ] = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Write an archive into a topic: keys, values, headers, timestamps, partitions and order are those of the log.

    Offsets are new, since Kafka numbers records itself. With --groups each group that had committed offsets when the archive was
    appended last goes on at the same record.

    Example: meshport archive restore shop/orders --to orders-again --groups --map offsets.jsonl
    """
    clusters = open_clusters(kafka_config, registry=registry, servers=kafka)
    with open_registry(registry) as mesh:
        port = PortArchive.of(Address.parse(address), mesh)
    connection = clusters.to(port.binding)
    archive = port.open()
    with progress("restoring") as moved:
        offsets = restore_topic(archive, to, connection, moved)
    if offset_map is not None:
        offset_map.write_text("".join(f"{line}\n" for line in _lines(offsets)), encoding="utf-8")
    committed = move_groups(archive.groups, offsets, to, connection) if groups else {}
    say(f"{offsets.records:,} records of {port.binding.address} are in {to}")
    for group in committed:
        say(f"group {group} goes on in {to}")
    if json:
        emit({"topic": to, "records": offsets.records, "groups": committed})


def _lines(offsets: OffsetMap) -> list[str]:
    return [
        json_text.dumps({"partition": partition, **run._asdict()})
        for partition, runs in sorted(offsets.runs.items())
        for run in runs
    ]
