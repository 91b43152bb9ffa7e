"""`meshport tail`, `replay` and `quarantine`: the events of a port, and those that its processor quarantined."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from meshport.address import Address
from meshport.binding import Binding
from meshport.cli.bounds import FromOption, ToOption, bound_of
from meshport.cli.completion import addresses
from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import FINDINGS, as_json, emit, emit_text, progress, say
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    MissingOption,
    RegistryOption,
    missing_history,
    open_clusters,
    open_registry,
)
from meshport.event import Event
from meshport.event.attributes import rfc3339
from meshport.metrics.readiness import Readiness
from meshport.ports.group_start import Start
from meshport.ports.history import Missing
from meshport.ports.replay import Offsets, Replay
from meshport.ports.replay_file import ReplayFile
from meshport.ports.stop_signals import stopped_by_signals
from meshport.ports.subscriber import BadEvent, Subscriber
from meshport.process.runtime.quarantine import is_redriven, read_late, read_quarantine, read_redriven
from meshport.service_levels import LevelState

AddressArgument = Annotated[
    str,
    typer.Argument(
        metavar="ADDRESS", help="The port: shop/orders, mesh://shop/orders/events@1", autocompletion=addresses
    ),
]


class BadEvents:
    """Counts the messages that cannot be read, and reports each on stderr."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, bad: BadEvent) -> None:
        """Report a message."""
        self.count += 1
        say(f"unreadable: {bad}")

    def exit(self) -> None:
        """End the command with `FINDINGS` if there was any."""
        if self.count:
            say(f"{self.count} messages could not be read")
            raise typer.Exit(FINDINGS)


def tail(
    address: AddressArgument,
    from_beginning: Annotated[
        bool,
        typer.Option("--from-beginning", help="Begin with the oldest event that is kept, instead of the next one."),
    ] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="End with the newest event of now.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="End after this many events.")] = None,
    metrics: MetricsOption = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the events of a port as they arrive.

    What retention has removed from the beginning, and what an open transaction hides at the end, is reported on stderr.

    Example: meshport tail shop/orders --from-beginning --until-end --json
    """
    bad = BadEvents()
    kafka = open_clusters(kafka_config, registry=registry)
    readiness = Readiness(f"tail {address}", ["connected"])
    with serving_metrics(metrics, readiness), open_registry(registry) as mesh:
        if until_end:
            begin = None if from_beginning else Offsets(every=2**62)
            with Replay(address, mesh, begin=begin, on_bad=bad, missing=Missing.ALLOW, kafka=kafka) as history:
                readiness.meet("connected")
                for event in _first(history.history(), limit):
                    _show(event, json)
                    readiness.progress()
        else:
            start = Start.EARLIEST if from_beginning else Start.LATEST
            with (
                Subscriber(address, mesh, start=start, on_bad=bad, missing=Missing.ALLOW, kafka=kafka) as subscriber,
                stopped_by_signals(subscriber.stop),
            ):
                if not json:
                    levels = _levels_of(subscriber.binding)
                    say(f"{subscriber.binding.address} ({subscriber.binding.topic}){levels}; Ctrl-C ends it")
                # An event that nothing takes from this process waits, as one does whose schema the registry does not return.
                readiness.watch(lambda: subscriber.received)
                readiness.meet("connected")
                for event in _first(iter(subscriber), limit):
                    _show(event, json)
                    readiness.progress()
    bad.exit()


def _levels_of(binding: Binding) -> str:
    """Return how the promises of a port are kept, in words; nothing where they are met, or nothing is known."""
    found = binding.service_levels
    if found is None or found.state_at(datetime.now(UTC)) in {LevelState.MET, LevelState.UNKNOWN}:
        return ""
    failing = [
        f"{name}: {state}" for name, state in found.levels.items() if state in {LevelState.BROKEN, LevelState.AT_RISK}
    ]
    return f", {', '.join(failing)}"


def replay(
    address: AddressArgument,
    begin: FromOption = None,
    end: ToOption = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the events to FILE as JSON lines; repeated after an interruption, the command continues there.",
        ),
    ] = None,
    allow_missing: MissingOption = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Replay part of a port's history, by event time or by offset.

    A bound is a time (2001-02-01, 2001-02-01T12:00:00Z; UTC where no zone is given), offset:N (in every partition) or
    offset:P=N,P=N (by partition). Given twice, as a time and as offsets, both hold. No consumer group is moved; each event
    carries the id of the replay as `replayid`.

    With --resume a replay that was interrupted, even killed, continues after the last event in FILE, without a gap or a
    repeated event, and ends where it would have ended; its bounds are kept in FILE.replay. stdout stays empty.

    A replay ends with 1 where part of the history that it asks for is removed, or where an open transaction hides part of what
    comes before --to. Without --to it ends at the first open transaction, and reports on stderr how many offsets follow.

    Examples:
        meshport replay shop/orders --from 2001-02-01 --to 2001-03-01 --json
        meshport replay shop/orders --from 2001-02-01 --from offset:0=5000 --resume orders.jsonl
    """
    bad = BadEvents()
    count = 0
    first, last = bound_of(begin, "--from"), bound_of(end, "--to")
    missing, kafka = missing_history(allow_missing), open_clusters(kafka_config, registry=registry)
    if resume is not None:
        asked = (*(f"--from {each}" for each in begin or ()), *(f"--to {each}" for each in end or ()))
        kept = ReplayFile(resume, lambda event: as_json(event.as_dict()))
        with (
            open_registry(registry) as mesh,
            kept.replay(
                Address.parse(address), mesh, asked, first, last, missing=missing, on_bad=bad, kafka=kafka
            ) as found,
        ):
            _write(kept, found, resume)
        bad.exit()
        return
    with (
        open_registry(registry) as mesh,
        Replay(address, mesh, begin=first, end=last, on_bad=bad, missing=missing, kafka=kafka) as job,
    ):
        say(f"replay {job.id} of {job.binding.address}: {job.total} offsets to look through")
        with progress("replaying") as moved:
            for event in job.events(progress=moved):
                _show(event, json)
                count += 1
    say(f"replay {job.id}: {count} events")
    bad.exit()


def quarantine(
    address: AddressArgument,
    late: Annotated[
        bool,
        typer.Option("--late", help="Show the late events instead: those that arrived later than the lateness allows."),
    ] = False,
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="GROUP", help="Show the events that this group of readers could not handle."),
    ] = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the events that a processor or a group quarantined, each with the reason.

    --json has their bytes, in hexadecimal. Events that were redriven are marked.

    Example: meshport quarantine shop/revenue-by-customer
    """
    if late and group is not None:
        raise typer.BadParameter("a group of readers has no late events: a processor has", param_hint="--late")
    count, kafka = 0, open_clusters(kafka_config, registry=registry)
    with open_registry(registry) as mesh:
        binding = mesh.resolve(Address.parse(address))
    last = {} if late else read_redriven(binding, kafka, group=group)
    redriven = 0
    for event in read_late(binding, kafka) if late else read_quarantine(binding, kafka, group=group):
        count += 1
        again = not late and is_redriven(event, last)
        redriven += again
        if json:
            emit(event.as_dict() | ({} if late else {"redriven": again}))
        else:
            mark = " (redriven)" if again else ""
            emit_text(f"{event.topic} [{event.partition}] offset {event.offset}: {event.reason}{mark}")
    say(
        f"{count} {'late events' if late else 'events quarantined'}"
        + (f", {redriven} of them redriven" if redriven else "")
    )


def _write(kept: ReplayFile, job: Replay | None, file: Path) -> None:
    if job is None:
        say(f"{file} has every event of its replay already")
        return
    say(f"replay {job.id} of {job.binding.address}: {job.total} offsets to look through")
    try:
        with progress("replaying") as moved:
            count = kept.write(job, progress=moved)
    except KeyboardInterrupt:
        say(f"replay {job.id} was interrupted; the same command continues it")
        raise
    say(f"replay {job.id}: {count} events written to {file}")


def _first(events: Iterator[Event], limit: int | None) -> Iterator[Event]:
    for count, event in enumerate(events, 1):
        yield event
        if count == limit:
            return


def _show(event: Event, json: bool) -> None:
    document = event.as_dict()
    if json:
        emit(document)
    else:
        key = event.key.decode(errors="replace") if event.key is not None else "-"
        emit_text(f"{rfc3339(event.time).decode()}  {key}  {as_json(document['data'])}")
