"""`meshport demo`: the mesh of a project with live figures, and a recount at the end."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.live import Live
from rich.table import Table as Figures

from meshport.address import Address
from meshport.archive.place import VARIABLE as ARCHIVE_VARIABLE
from meshport.cli.metrics import MetricsOption
from meshport.cli.output import FINDINGS, INTERRUPTED, people, progress, say
from meshport.cli.recount import LOOK_EVERY_S, drain, show_report
from meshport.cli.run import SeedOption
from meshport.cli.session import JsonOption, KafkaConfigOption, KafkaOption, given_kafka
from meshport.cli.signals import interrupt_on_signal, stop_on_signal
from meshport.cli.up import BrokersOption, metrics_of_all, start_mesh
from meshport.errors import MeshError, ProcessError, ProjectError, TopicError
from meshport.local.lag import LagMonitor, ProductLag
from meshport.local.mesh import LocalMesh
from meshport.local.supervisor import Supervisor
from meshport.product.duration import parse_duration
from meshport.project.project import Project
from meshport.project.recount import recount
from meshport.project.sources import ProductSource, SourceProgress, load_sources, run_sources

_Show = Callable[[Sequence[ProductLag], SourceProgress | None], None]

# A demo covers three days of world time, or as much as a machine with two cores can process in its duration.
_WORLD: Final = timedelta(days=3)
_FASTEST: Final = 6000.0
_LINE_EVERY_S: Final = 10.0
# Processors that need longer than this to reach the end of their inputs cannot keep up.
_DRAIN_S: Final = 300.0
_WHOLE: Final = "SELECT count(*) AS events, min(_time) + (max(_time) - min(_time)) / 2 AS middle FROM events"
# Ends a hang only; a machine with other work to do may need minutes to start four processors.
_START_S: Final = 300.0


def demo(
    duration: Annotated[str, typer.Option("--for", metavar="60s", help="How long the sources publish.")] = "60s",
    seed: SeedOption = 0,
    kafka: KafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    brokers: BrokersOption = 1,
    metrics: MetricsOption = None,
    json: JsonOption = False,
) -> None:
    """Run this project with its own sources, show live figures, and recount every derived product.

    A recount is a product's own `recount.py`: a separate computation over the source events. Ends with 1 if a product
    differs from its recount. The mesh is a temporary one: its events and registrations are deleted at the end.

    Example: meshport demo --for 60s
    """
    try:
        seconds = parse_duration(duration).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from error
    project = Project.find(Path.cwd())
    sources = load_sources(project, seed=seed)
    if not sources:
        raise ProjectError(
            f"no product of {project.root} has a `source`, and a demo has nothing to publish",
            hint="`meshport up` runs this mesh",
        )
    interrupt_on_signal()
    speed = min(_FASTEST, _WORLD.total_seconds() / max(seconds, 1))
    with (
        tempfile.TemporaryDirectory(prefix="meshport-demo-") as folder,
        start_mesh(
            Path(folder),
            kafka=given_kafka(kafka_config, kafka),
            config_file=kafka_config,
            brokers=brokers,
            measured=metrics is not None,
        ) as mesh,
        metrics_of_all(metrics, "demo", mesh),
    ):
        mesh.apply(project, say)
        stopped = stop_on_signal()
        mesh.archive(project)
        for each in project.products:
            if each.product.process:
                mesh.run(each.product.address, project)
        with (
            closing(LagMonitor(project.products, mesh.registry, kafka=mesh.cluster.config)) as watch,
            _figures() as show,
        ):
            _await_processors(watch, mesh.processors, stopped)
            say(f"{len(sources)} sources tell of their world for {duration}, {speed:,.0f} times as fast as it went")
            with _SourceThread(sources, mesh, speed) as sources_thread:
                ends_at = time.monotonic() + seconds
                while time.monotonic() < ends_at and sources_thread.running and not stopped.wait(LOOK_EVERY_S):
                    show(watch.lags(), sources_thread.progress)
            drain(
                watch,
                stopped,
                wait_s=_DRAIN_S,
                on_look=lambda lags: show(lags, sources_thread.progress),
                last_words=lambda lags: _logs(mesh.processors, lags),
            )
        if stopped.is_set():
            say("interrupted; nothing was recounted")
            raise typer.Exit(INTERRUPTED)
        say("every processor has come to the end of its inputs; recounting from the source events")
        with progress("reading everything again") as moved:
            report = recount(
                project,
                mesh.registry,
                on_progress=lambda _, done, total: moved(done, total),
                kafka=mesh.cluster.config,
            )
        _ask(project, mesh)
    show_report(report, as_json=json)
    if not report.agrees:
        raise typer.Exit(FINDINGS)


def _ask(project: Project, mesh: LocalMesh) -> None:
    """Ask the past of each archived port: what had happened by the middle of its history, and what of that was known then."""
    os.environ.setdefault(ARCHIVE_VARIABLE, mesh.archive_store)
    for one in project.products:
        for port in one.product.output_ports:
            if port.archive is None or find_spec("duckdb") is None:
                continue
            from meshport.query import Moment, Table  # noqa: PLC0415 - of the extra

            address = one.product.address.at(port.name, port.major)
            with Table(address, mesh.registry, kafka=mesh.cluster.config) as asked:
                (whole,) = asked.sql(_WHOLE).to_pylist()
                if not whole["events"]:
                    continue
                (then,) = asked.sql(_WHOLE, Moment(as_of=whole["middle"])).to_pylist()
            say(
                f"{address.key} was asked: {then['events']:,} of {whole['events']:,} events had happened by "
                f"{whole['middle']:%Y-%m-%d %H:%M}; {asked.archived_offsets:,} offsets are in its archive"
            )


class _SourceThread:
    """Runs the sources in a thread until the block ends; raises their error then."""

    def __init__(self, sources: Sequence[ProductSource], mesh: LocalMesh, speed: float) -> None:
        self.progress: SourceProgress | None = None
        self._failed: MeshError | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(sources, mesh, speed), name="sources")

    def _run(self, sources: Sequence[ProductSource], mesh: LocalMesh, speed: float) -> None:
        try:
            self.progress = run_sources(
                sources,
                mesh.registry,
                speed=speed,
                stop=self._stop,
                on_progress=self._moved,
                kafka=mesh.cluster.config,
            )
        except MeshError as error:
            self._failed = error

    def _moved(self, progress: SourceProgress) -> None:
        self.progress = progress

    @property
    def running(self) -> bool:
        """Whether the sources have more to publish."""
        return self._thread.is_alive()

    def __enter__(self) -> _SourceThread:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._failed is not None:
            raise self._failed


def _await_processors(watch: LagMonitor, processors: Supervisor, stopped: threading.Event) -> None:
    """Wait until every processor has created its internal topics, which it does at its start.

    Raises:
        ProcessError: a processor has not started in time.
    """
    ends_at = time.monotonic() + _START_S
    while True:
        try:
            watch.lags()
        except TopicError as error:
            if stopped.wait(LOOK_EVERY_S):
                return
            if time.monotonic() > ends_at:
                raise ProcessError(
                    f"after {_START_S:g} s a processor has not started: {error.message}{_logs(processors)}"
                ) from error
        else:
            return


def _logs(processors: Supervisor, names: Iterable[str] | None = None) -> str:
    """Return the last log lines of some processors, or of all that run: a demo deletes its logs."""
    return "".join(
        f"\n{name} said last:{processors.last_lines(name) or ' nothing'}"
        for name in (processors.pids if names is None else names)
    )


@contextmanager
def _figures() -> Iterator[_Show]:
    """Show live figures: a table on a terminal, elsewhere a line every ten seconds."""
    before: dict[Address, tuple[float, int]] = {}
    due = 0.0

    def lines(standings: Sequence[ProductLag], sources: SourceProgress | None) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _LINE_EVERY_S
            world = f"{sources.world:%Y-%m-%d %H:%M}  " if sources and sources.world else ""
            say(world + ", ".join(_standing(each) for each in standings))

    if not people().is_terminal:
        yield lines
        return
    with Live(console=people(), auto_refresh=False, transient=False) as live:

        def draw(standings: Sequence[ProductLag], sources: SourceProgress | None) -> None:
            live.update(_table(standings, sources, before), refresh=True)

        yield draw


def _standing(standing: ProductLag) -> str:
    waiting = f" ({standing.waiting} waiting)" if standing.waiting else ""
    return f"{standing.address.key} {standing.stored}{waiting}"


def _table(
    standings: Sequence[ProductLag], sources: SourceProgress | None, before: dict[Address, tuple[float, int]]
) -> Figures:
    world = f"world time {sources.world:%Y-%m-%d %H:%M}" if sources and sources.world else "starting"
    drawn = Figures(
        "product", "stored", "a second", "waiting", "late", "quarantined", box=None, title=world, title_justify="left"
    )
    now = time.monotonic()
    for each in standings:
        then, stored = before.get(each.address, (now - 1, each.stored))
        rate = (each.stored - stored) / max(now - then, 0.1)
        before[each.address] = (now, each.stored)
        drawn.add_row(
            each.address.key,
            f"{each.stored:,}",
            f"{rate:,.0f}",
            f"{each.waiting:,}",
            f"{each.late:,}",
            f"{each.quarantined:,}",
        )
    return drawn
