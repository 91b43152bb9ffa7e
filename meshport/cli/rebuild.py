"""`meshport rebuild` and `generations`: a derived product built again from history, compared, and switched to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshport.access.enforcement import NOT_ALLOWED
from meshport.address import Address
from meshport.cli.acls import MeshAcls
from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import FINDINGS, emit, progress, say, table
from meshport.cli.read import AddressArgument
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    MissingOption,
    RegistryOption,
    missing_history,
    open_clusters,
    open_registry,
)
from meshport.errors import KafkaError, RegistrationRefused
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaClusters
from meshport.metrics.readiness import Readiness
from meshport.ports.history import Missing
from meshport.project.project import Project, ProjectProduct
from meshport.registry import Registry

if TYPE_CHECKING:
    from meshport.rebuild import GenerationComparison, RebuildMeasures, RebuildReport


def rebuild(
    address: AddressArgument,
    swap: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="Bind the address to the new generation: never, equal (if both hold the same), always.",
        ),
    ] = "never",
    retire: Annotated[
        int | None, typer.Option(metavar="N", help="Delete an old generation with its topics, instead of building one.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --retire: even if groups have not read it to its end, or products depend on it."
        ),
    ] = False,
    allow_missing: MissingOption = False,
    partitions: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, max=4096, help="How many partitions the new generation has; by default as declared."
        ),
    ] = None,
    metrics: MetricsOption = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Build a derived product again from history, and compare it with the live one.

    The new generation is built beside the live one, whose processor pauses twice, shortly. The address is bound to the new
    generation only with --swap: running readers then continue in it without a gap or a repeated event, and new readers
    begin with its first event. The old generation is kept until --retire. An interrupted rebuild continues when the command
    is repeated, and starts again if the product's files have changed.

    A change that gives the processor's state another meaning (the gate refuses it with PROCESS_STATE_CHANGED or
    PROCESS_STATE_UNREADABLE, or warns with PROCESS_STATE_UNKNOWN) is deployed in this order: waive the rule with `meshport
    gate waive ADDRESS --rule PROCESS_STATE_CHANGED ...`; run `meshport rebuild ADDRESS --swap always` with the changed files
    while the previous processor still runs; then run `meshport apply`, and restart the processor.

    Where retention has removed part of an input's history, the rebuild ends with an error; --allow-missing builds the new
    generation from what is left. Where the state of the live generation is damaged, the new one is built up to the offsets
    that the live one's outputs reflect; readers go on there, and the processor continues with the new generation.

    With --partitions the new generation has another number of partitions, with every key in one of them, and state is built
    anew for them. Then write that number into product.yaml and run `meshport apply`. A source-aligned product is copied,
    event by event: with --swap always its old topic takes no more events, so that publishers have to be started again, and
    the products that read it are rebuilt next.

    --retire deletes nothing while a product depends on the generation (rebuild that product first) or a group has not read
    it to its end; it reports them.

    Ends with 1 if the generations differ.

    Example: meshport rebuild shop/revenue-by-customer --swap equal
    """
    kafka = open_clusters(kafka_config, registry=registry)
    readiness = Readiness(f"rebuild {address}", ["connected"])
    with serving_metrics(metrics, readiness), open_registry(registry) as mesh:
        if retire is not None:
            _retire(Address.parse(address), retire, mesh, kafka, force=force, json=json)
            return
        missing = missing_history(allow_missing)
        _rebuild(Address.parse(address), mesh, swap, partitions, missing, readiness, kafka=kafka, json=json)


def _rebuild(
    address: Address,
    mesh: Registry,
    when: str,
    partitions: int | None,
    missing: Missing,
    readiness: Readiness,
    *,
    kafka: KafkaClusters,
    json: bool,
) -> None:
    from meshport.rebuild import Rebuild, RebuildMeasures, Swap  # noqa: PLC0415 - slow to import

    if when not in set(Swap):
        raise typer.BadParameter(f"{when!r} is none of {', '.join(Swap)}", param_hint="--swap")
    product = Project.find(Path.cwd()).product(address)
    measures = RebuildMeasures(address, readiness)
    if product.product.process is None and partitions is not None:
        switch = Swap(when) is not Swap.NEVER
        _copy(address, product, mesh, partitions, kafka, measures, switch=switch, json=json)
        return
    with progress(f"rebuilding {address.key}") as shown:

        def moved(done: int, total: int) -> None:
            shown(done, total)
            measures.moved(done, total)

        job = Rebuild(
            product,
            mesh,
            say=_saying(measures),
            on_progress=moved,
            missing=missing,
            partitions=partitions,
            kafka=kafka,
            admit=lambda: _admit(address, mesh, kafka),
        )
        report = job.run(Swap(when))
    if json:
        emit(report.as_dict())
    else:
        _show(report)
    if not report.equal:
        raise typer.Exit(FINDINGS)


def _copy(
    address: Address,
    product: ProjectProduct,
    mesh: Registry,
    partitions: int,
    kafka: KafkaClusters,
    measures: RebuildMeasures,
    *,
    switch: bool,
    json: bool,
) -> None:
    from meshport.rebuild import PortCopy  # noqa: PLC0415 - slow to import

    declared = product.product.port(address.port, address.major)
    copy = PortCopy(
        address,
        mesh,
        partitions,
        declared=declared,
        say=_saying(measures),
        on_progress=measures.moved,
        kafka=kafka,
        admit=lambda: _admit(address, mesh, kafka),
    )
    report = copy.run(switch=switch)
    if json:
        emit(report.as_dict())
    say(
        f"{report.copied} events copied in {report.seconds:.1f} s into {report.partitions} partitions of {report.topic}"
    )
    if report.binding is None:
        say("nothing is bound anew: `--swap always` does")
    else:
        say(
            f"write `partitions: {report.partitions}` into product.yaml and run `meshport apply`; start publishers again; "
            "`meshport rebuild` the products that read it"
        )


def _saying(measures: RebuildMeasures) -> Callable[[str], None]:
    """Return a function that reports a line, and notes that the next step has begun."""

    def told(line: str) -> None:
        measures.said(line)
        say(line)

    return told


def _admit(address: Address, mesh: Registry, kafka: KafkaClusters) -> None:
    """Let the writer and the readers of a port into its new generation, so far as this login may."""
    try:
        for line in MeshAcls(mesh, kafka).admit(address):
            say(line)
    except KafkaError as error:
        if error.code != NOT_ALLOWED:
            raise
        say(f"{error.message}; `meshport apply` by a login that manages ACLs lets readers into the new generation")


def _show(report: RebuildReport) -> None:
    done = report.processed
    rate = done.read / report.seconds if report.seconds else 0
    say(
        f"{done.read} events in {report.seconds:.1f} s ({rate:,.0f}/s): {done.written} written, {done.late} late, "
        f"{done.quarantined} quarantined"
    )
    _show_comparison(report.comparison)
    if report.last_comparison is not None and not report.last_comparison.equal:
        say("since then:")
        _show_comparison(report.last_comparison)
    if report.binding is not None:
        say(f"the processor was paused for {report.paused_s:.1f} s")
        say(f"the old generation is kept; `meshport rebuild {report.address.of_product.key} --retire N` deletes it")
    elif report.equal:
        say("nothing is bound anew: `--swap equal` does")
    else:
        say("nothing is bound anew: `--swap always` does, if the new generation is right")


def _show_comparison(comparison: GenerationComparison) -> None:
    for counts in comparison.counts:
        say(str(counts))
        for sample in counts.samples:
            say(f"  {sample}")
    if comparison.unreadable:
        say(f"{comparison.unreadable} messages are no events of the port")
    say("both hold the same" if comparison.equal else "they do not hold the same")


def _retire(address: Address, number: int, mesh: Registry, kafka: KafkaClusters, *, force: bool, json: bool) -> None:
    from meshport.rebuild import dependent_products, retire, unfinished_groups  # noqa: PLC0415 - slow to import

    binding = mesh.refresh(address)
    admin = Admin(kafka.to(binding))
    dependents = [] if force else dependent_products(mesh, binding, number, admin)
    if dependents:
        raise RegistrationRefused(
            f"{', '.join(each.key for each in dependents)} still expects generation {number} of {binding.address}",
            hint=f"`meshport rebuild {dependents[0].key} --swap equal` brings it on; or give --force, and it has to begin anew",
        )
    unfinished = unfinished_groups(binding, number, admin)
    if unfinished and not force:
        raise RegistrationRefused(
            f"{len(unfinished)} groups have not read generation {number} of {binding.address} to its end: "
            + ", ".join(unfinished),
            hint="let them, or give --force",
        )
    topics = retire(mesh.generations(address), number, admin)
    if json:
        emit({"address": str(binding.address), "generation": number, "deleted": topics})
    say(f"generation {number} of {binding.address} is gone: {', '.join(topics) or 'no topic was left'}")


def generations(address: AddressArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """List the generations of a port: bound, being built, kept or retired.

    Example: meshport generations shop/revenue-by-customer
    """
    with open_registry(registry) as mesh:
        found = mesh.generations(Address.parse(address)).list()
    if json:
        for each in found.generations:
            emit({"address": str(found.address)} | each.model_dump(mode="json"))
        return
    rows = [
        [str(each.number), str(each.state), each.topic, f"{each.created_at:%Y-%m-%d %H:%M:%S}"]
        for each in found.generations
    ]
    table(["generation", "state", "topic", "begun"], rows)
