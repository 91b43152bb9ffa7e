"""`meshport recount`: compares the derived products of a running mesh with a separate computation over the source events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import typer

from meshport.address import Address
from meshport.cli import completion
from meshport.cli.output import FINDINGS, INTERRUPTED, emit, progress, say
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    MissingOption,
    RegistryOption,
    missing_history,
    open_clusters,
    open_registry,
)
from meshport.cli.signals import stop_on_signal
from meshport.errors import ProcessError
from meshport.local.lag import LagMonitor, ProductLag
from meshport.project.project import Project
from meshport.project.recount import RecountReport
from meshport.project.recount import recount as compare_all

LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks at what waits."""

# A stalled processor ends itself after a minute and is restarted; a stall that outlasts that is not recovered from.
_STALLED_S: Final = 90.0


def recount(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ADDRESS]...",
            help="Derived products of this project; by default all that have a recount.py.",
            autocompletion=completion.addresses,
        ),
    ] = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    wait: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait for the processors to process what waits.")
    ] = 300.0,
    allow_missing: MissingOption = False,
    json: JsonOption = False,
) -> None:
    """Compare derived products with a separate computation over the source events.

    A recount is a product's own `recount.py`. Stop what publishes source events first: the comparison begins once no event waits.
    All source events are held in memory, about 1 KB each. Ends with 1 if a product differs from its recount.

    Example: meshport recount operations/delays-by-airport
    """
    project = Project.find(Path.cwd())
    products = [project.product(Address.parse(each)) for each in addresses or ()]
    kafka = open_clusters(kafka_config, registry=registry)
    stopped = stop_on_signal()
    with open_registry(registry) as mesh:
        with closing(LagMonitor(project.products, mesh, kafka=kafka)) as watch:
            drain(watch, stopped, wait_s=wait)
        if stopped.is_set():
            raise typer.Exit(INTERRUPTED)
        with progress("reading everything again") as moved:
            report = compare_all(
                project,
                mesh,
                only=[each.product.address for each in products] or None,
                missing=missing_history(allow_missing),
                on_progress=lambda _, done, total: moved(done, total),
                kafka=kafka,
            )
    show_report(report, as_json=json)
    if not report.agrees:
        raise typer.Exit(FINDINGS)


def drain(
    watch: LagMonitor,
    stopped: threading.Event,
    *,
    wait_s: float,
    on_look: Callable[[Sequence[ProductLag]], None] = lambda _: None,
    last_words: Callable[[Iterable[str]], str] = lambda _: "",
) -> None:
    """Wait until no event is waiting and no event was stored since the previous look, or until `stopped` is set.

    Args:
        watch: the mesh.
        stopped: ends the wait.
        wait_s: the longest wait in seconds.
        on_look: called with each look.
        last_words: returns what the processors of the products with these names logged last, for the error.

    Raises:
        ProcessError: the processors stall, or do not reach the end of their inputs in time.
    """
    moved = began = time.monotonic()
    before: list[ProductLag] = []
    grown: list[str] = []
    while not stopped.wait(LOOK_EVERY_S):
        now = watch.lags()
        on_look(now)
        lags = {each.address.key: each.waiting for each in now if each.waiting}
        if now != before:
            grown = _grown(before, now)
            before, moved = now, time.monotonic()
        elif not lags:
            return
        stalled, lasted = time.monotonic() - moved, time.monotonic() - began
        if stalled > _STALLED_S or lasted > wait_s:
            what = f"no event was processed for {stalled:.0f} s" if stalled > _STALLED_S else f"after {lasted:.0f} s"
            if not lags:
                raise ProcessError(
                    f"{what}, and events are still published to {', '.join(grown)}", hint="stop their sources first"
                )
            waiting = ", ".join(f"{count} of {key}" for key, count in lags.items())
            raise ProcessError(f"{what}, and events still wait: {waiting}{last_words(lags)}")


def show_report(report: RecountReport, *, as_json: bool) -> None:
    """Write the comparisons: lines for people, and one JSON object for each product on demand."""
    for verdict in report.verdicts:
        if as_json:
            facts = {
                "agrees": verdict.agrees,
                "expected": verdict.expected,
                "found": verdict.found,
                "wrong": verdict.wrong,
            }
            emit({"address": str(verdict.address), **facts})
        word = "equals the recount" if verdict.agrees else f"DIFFERS from the recount in {verdict.wrong}"
        say(f"{verdict.address.key}: {verdict.found:,} records, {word}")
        for difference in verdict.differing:
            say(f"  {difference}")
    for address in report.without:
        say(f"{address.key}: brings no recount.py")
    agreeing = sum(verdict.agrees for verdict in report.verdicts)
    say(f"{agreeing} of {len(report.verdicts)} derived products equal the recount of {report.events:,} source events")


def _grown(before: Sequence[ProductLag], now: Sequence[ProductLag]) -> list[str]:
    earlier = {each.address: each.stored for each in before}
    return [each.address.key for each in now if each.stored > earlier.get(each.address, 0)]
