"""`meshport replay`: a replay at once, and replay jobs, which the registry knows and which go on after they were killed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from meshport.address import Address
from meshport.cli.arguments import fitting
from meshport.cli.bounds import FromOption, ToOption, bound_of
from meshport.cli.output import FINDINGS, as_json, emit, progress, say, table
from meshport.cli.read import AddressArgument, BadEvents, replay
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    MissingOption,
    RegistryOption,
    missing_history,
    open_clusters,
    open_registry,
)
from meshport.errors import ReplayError
from meshport.event import Event
from meshport.kafka.clusters import KafkaAccess
from meshport.ports.history import Missing
from meshport.registry import Registry
from meshport.replay_jobs import ReplayJob, ReplayOutput, ReplayReason, ReplayState
from meshport.replaying import CallbackOutput, FileOutput, Output, ReplayOptions, ReplayRun, TopicOutput
from meshport.replaying import start as start_job
from meshport.schema import parse_schema

_ID: Final = re.compile("[0-9a-f]{32}")


class _AddressFirst(TyperGroup):
    """A group whose first argument may be an address: `meshport replay shop/orders` is `meshport replay now shop/orders`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Name the command that an address, or an option of it, stands for."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["now", *args]
        return super().parse_args(ctx, args)


replay_app = typer.Typer(
    cls=_AddressFirst, no_args_is_help=True, context_settings={"help_option_names": ["-h", "--help"]}
)
replay_app.command("now")(replay)


def _id_of_job(text: str) -> str:
    if not _ID.fullmatch(text):
        raise typer.BadParameter(
            f"{text!r} is no id of a job: 32 hexadecimal digits, as `meshport replay list` shows them"
        )
    return text


JobArgument = Annotated[
    str,
    typer.Argument(metavar="JOB", help="The id of the job, as `start` and `list` show it.", callback=_id_of_job),
]


@replay_app.callback()
def _replay() -> None:
    """Replay part of a port's history, by event time or by offset.

    With an address alone the events are shown at once (`meshport replay now --help`). `start` makes a replay a job of the
    registry: its bounds stay, it goes on after it was killed, it can be paused, and the port's owner may have to approve it.

    Examples:
        meshport replay shop/orders --from 2001-02-01 --to 2001-03-01 --json
        meshport replay start shop/orders --purpose "bill again" --to-file orders.jsonl
    """


@replay_app.command()
def start(
    address: AddressArgument,
    purpose: Annotated[str, typer.Option("--purpose", metavar="TEXT", help="Why it is replayed; `list` shows it.")],
    begin: FromOption = None,
    end: ToOption = None,
    keys: Annotated[
        list[str] | None, typer.Option("--key", metavar="KEY", help="Only events with this record key; repeatable.")
    ] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only events of this type; repeatable.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where", metavar="EXPRESSION", help="Only events whose data meet it, as in product.yaml: amount > 5."
        ),
    ] = None,
    schema: Annotated[
        Path | None, typer.Option("--schema", metavar="FILE", help="The Avro schema to read the records with.")
    ] = None,
    rate: Annotated[
        int | None, typer.Option("--rate", min=1, metavar="N", help="At most N events in a second.")
    ] = None,
    to_file: Annotated[
        Path | None,
        typer.Option("--to-file", metavar="FILE", help="Write the events to FILE as JSON lines; by default to stdout."),
    ] = None,
    readers: Annotated[
        list[str] | None,
        typer.Option(
            "--for", metavar="READER", help="Copy the events to a topic of the job's own, for this reader; repeatable."
        ),
    ] = None,
    allow_missing: MissingOption = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Start a replay job, and run it until it is complete, cancelled or interrupted.

    Its bounds are offsets from then on. After an interruption, even a kill, `meshport replay resume` goes on: a file and a topic
    get each event once; on stdout some events may come twice, with the same `replayid`. Where the port says
    `replay: approval`, the job waits for the owner of the product, and `resume` runs it after that.

    --json writes the job to stdout, in one line, before it runs; the events themselves follow where they go to stdout.

    Examples:
        meshport replay start shop/orders --purpose "bill March again" --from 2001-03-01 --to 2001-04-01 --to-file march.jsonl
        meshport replay start shop/orders --purpose "a new index" --for search-indexer --rate 2000 --json
    """
    if to_file is not None and readers:
        raise typer.BadParameter("a job has one output: a file, or a topic for readers", param_hint="--for")
    output = ReplayOutput.FILE if to_file else ReplayOutput.TOPIC if readers else ReplayOutput.STDOUT
    first, last = bound_of(begin, "--from"), bound_of(end, "--to")
    missing, kafka = missing_history(allow_missing), open_clusters(kafka_config, registry=registry)
    wanted = ReplayOptions(
        address=Address.parse(address),
        purpose=purpose,
        output=output,
        begin=first,
        end=last,
        keys=tuple(keys or ()),
        types=tuple(types or ()),
        where=where,
        reader=None if schema is None else parse_schema(schema.read_text(encoding="utf-8"), source=str(schema)),
        rate=rate,
        file=to_file,
        readers=tuple(readers or ()),
    )
    names = {"keys": "--key", "types": "--type", "readers": "--for"}
    names |= {each: f"--{each}" for each in ("purpose", "where", "rate")}
    with open_registry(registry) as mesh:
        with fitting(**names):
            job = start_job(wanted, mesh, missing=missing, kafka=kafka)
        _emit(job, json)
        if job.state is ReplayState.REQUESTED:
            say(f"replay {job.job} waits: {job.owner} approves it with `meshport replay approve {job.job}`")
            return
        _run(job, mesh, missing, kafka)


@replay_app.command()
def resume(
    job: JobArgument,
    allow_missing: MissingOption = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Run a job that was paused, interrupted or approved, from where its output is.

    A file that another process still writes is refused. A topic takes nothing more of an earlier process, which ends.

    Example: meshport replay resume 5f0c6a5e4b9d4f0c8f6a1d2b3c4d5e6f
    """
    missing, kafka = missing_history(allow_missing), open_clusters(kafka_config, registry=registry)
    with open_registry(registry) as mesh:
        found = mesh.replays.resume(job)
        _emit(found, json)
        _run(found, mesh, missing, kafka)


@replay_app.command()
def pause(job: JobArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Have the process that runs a job wait, until `resume` or `cancel`.

    Example: meshport replay pause 5f0c6a5e4b9d4f0c8f6a1d2b3c4d5e6f
    """
    with open_registry(registry) as mesh:
        found = mesh.replays.pause(job)
    say(f"replay {job} is paused")
    _emit(found, json)


@replay_app.command()
def approve(job: JobArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Let a job run that waits for the owner of its product.

    Example: meshport replay approve 5f0c6a5e4b9d4f0c8f6a1d2b3c4d5e6f
    """
    with open_registry(registry) as mesh:
        found = mesh.replays.approve(job)
    say(f"replay {job} may run; {found.asked_by} runs it with `meshport replay resume {job}`")
    _emit(found, json)


@replay_app.command()
def cancel(
    job: JobArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why it ends; `show` has it.")],
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """End a job before it is complete; what it replayed stays.

    Example: meshport replay cancel 5f0c6a5e4b9d4f0c8f6a1d2b3c4d5e6f --reason "the index is dropped"
    """
    with fitting(reason="--reason"):
        ReplayReason(reason=reason)
    with open_registry(registry) as mesh:
        found = mesh.replays.cancel(job, reason)
    say(f"replay {job} is cancelled")
    _emit(found, json)


@replay_app.command()
def show(job: JobArgument, registry: RegistryOption = None, json: JsonOption = False) -> None:
    """Show a job: what it replays and for whom, and how far it came.

    Example: meshport replay show 5f0c6a5e4b9d4f0c8f6a1d2b3c4d5e6f
    """
    with open_registry(registry) as mesh:
        found = mesh.replays.get(job)
    if json:
        _emit(found, json)
        return
    facts = found.model_dump(mode="json", exclude_none=True, exclude={"positions", "begins", "ends", "reader"})
    rows = [[name, ", ".join(value) if isinstance(value, list) else str(value)] for name, value in facts.items()]
    table(["of the job", "it is"], [each for each in rows if each[1]])
    each = [
        [str(partition), str(first), str(found.positions.get(partition, first)), str(found.ends[partition])]
        for partition, first in sorted(found.begins.items())
    ]
    table(["partition", "first offset", "next offset", "ends before"], each)


@replay_app.command("list")
def list_jobs(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Of a product or a port.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also jobs that are complete or cancelled.")] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """List the replay jobs of a product, or of all products; newest first.

    Example: meshport replay list shop/orders --all
    """
    wanted = None if address is None else Address.parse(address)
    with open_registry(registry) as mesh:
        found = mesh.replays.list(wanted, ended=everything)
    if json:
        for each in found:
            _emit(each, json)
    elif found:
        columns = ["job", "port", "state", "read", "events", "goes to", "asked by", "purpose"]
        table(columns, [_row(each) for each in found])
    else:
        say("there is no replay" if everything else "no replay is under way")


def _row(job: ReplayJob) -> list[str]:
    read = "100 %" if job.total == 0 else f"{100 * job.read // job.total} %"
    to = job.file or (", ".join(job.readers) if job.readers else str(job.output))
    return [job.job, job.address.key, str(job.state), read, f"{job.events:,}", to, job.asked_by, job.purpose]


def _run(job: ReplayJob, mesh: Registry, missing: Missing, kafka: KafkaAccess) -> None:
    bad = BadEvents()
    say(f"replay {job.job} of {job.address}: {job.total} offsets to look through")
    run = ReplayRun(job, mesh, _output(job, mesh, kafka), on_bad=bad, missing=missing, kafka=kafka)
    try:
        with progress("replaying") as moved:
            ended = run.run(progress=moved)
    except KeyboardInterrupt:
        say(f"replay {job.job} was interrupted; `meshport replay resume {job.job}` goes on")
        raise
    say(f"replay {job.job} is {ended.job.state}: {ended.replayed} events by this command, {ended.job.events} in all")
    bad.exit()
    if ended.job.state is ReplayState.CANCELLED:
        raise typer.Exit(FINDINGS)


def _output(job: ReplayJob, mesh: Registry, kafka: KafkaAccess) -> Output:
    connection = kafka.to(mesh.resolve(job.address))
    match job.output:
        case ReplayOutput.FILE:
            return FileOutput(job, _line)
        case ReplayOutput.TOPIC:
            found = TopicOutput(job, connection)
            say(f"the events go to {found.topic}, for {', '.join(job.readers)}")
            return found
        case ReplayOutput.STDOUT:
            return CallbackOutput(job, connection, lambda event: emit(event.as_dict()))
    raise ReplayError(f"the replay {job.job} goes to a {job.output}; the program that started it runs it")


def _line(event: Event) -> str:
    return as_json(event.as_dict())


def _emit(job: ReplayJob, json: bool) -> None:
    if json:
        facts: dict[str, Any] = job.model_dump(mode="json")
        emit(facts)
