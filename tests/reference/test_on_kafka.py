"""Sources and recounts of any project, on a real broker."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import count, takewhile
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.address import Address
from meshport.binding import Binding
from meshport.codec import codec_for
from meshport.errors import ProjectError
from meshport.event import Event, EventWriter
from meshport.kafka.admin import Admin
from meshport.kafka.producer import Message, Producer
from meshport.local.cluster import Cluster
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.process.engines.memory_ports import Port, Ports
from meshport.process.wire.partitioner import partition_of
from meshport.project import sources
from meshport.project.project import Project
from meshport.project.recount import recount
from meshport.project.sources import (
    ProductSource,
    SourceEvent,
    SourceProgress,
    load_sources,
    merge,
    run_sources,
    stored,
)
from tests.connections import CONNECTIONS, connection

TEAS = Address.parse("kitchen/teas")
POTS = Address.parse("kitchen/pots")
BREWS = Address.parse("house/brews")
IDLE = Address.parse("house/idle")
BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)

DESCRIPTOR = """
address: mesh://{address}
id: {id}
archetype: {archetype}
description: For a test.
owner: test
outputPorts:
  - {{name: events, key: kind, time: at, partitions: 2, cleanup: {cleanup}}}
{more}
"""
SCHEMA = """
{{"type": "record", "name": "{name}", "namespace": "test", "fields": [
  {{"name": "kind", "type": "string"}},
  {{"name": "at", "type": {{"type": "long", "logicalType": "timestamp-millis"}}}},
  {{"name": "cups", "type": "int"}}
]}}
"""
TEAS_SOURCE = """
from datetime import UTC, datetime, timedelta
from meshport.project.sources import SourceEvent

def teas(seed):
    for n in range(100):
        at = datetime(2026, 3, 1, 8, tzinfo=UTC) + timedelta(minutes=n)
        yield SourceEvent({"kind": ("green", "black")[(n + seed) % 2], "at": at, "cups": n}, f"tea-{n}", at)
"""
BREWS_RECOUNT = """
def recount(sources):
    brews = {}
    for tea in sources["mesh://kitchen/teas"]:
        brew = brews.setdefault(tea.data["kind"], {"kind": tea.data["kind"], "at": tea.time, "cups": 0})
        brew["cups"] += tea.data["cups"]
        brew["at"] = max(brew["at"], tea.time)
    return brews.values()
"""


@pytest.fixture
def kitchen(tmp_path: Path) -> Project:
    """A project of somebody: a source, a table of pots, an aggregate with a recount and one without."""
    reads = "inputPorts:\n  - {{address: mesh://{}, fields: [cups]}}"
    for kind, address, archetype, cleanup, more in (
        ("producers", TEAS, "source-aligned", "delete", "source: teas.py:teas"),
        ("producers", POTS, "source-aligned", "compact", ""),
        ("processors", BREWS, "aggregate", "compact", reads.format(TEAS.key)),
        ("processors", IDLE, "aggregate", "delete", reads.format(BREWS.key)),
    ):
        folder = tmp_path / kind / address.key
        folder.mkdir(parents=True)
        text = DESCRIPTOR.format(address=address.key, id=uuid4(), archetype=archetype, cleanup=cleanup, more=more)
        (folder / "product.yaml").write_text(text)
        schema = tmp_path / "schemas" / f"{address.key}.events.avsc"
        schema.parent.mkdir(parents=True, exist_ok=True)
        schema.write_text(SCHEMA.format(name=address.product.capitalize()))
    (tmp_path / "producers" / TEAS.key / "teas.py").write_text(TEAS_SOURCE)
    (tmp_path / "processors" / BREWS.key / "recount.py").write_text(BREWS_RECOUNT)
    return Project(tmp_path)


def ports_of(project: Project) -> dict[str, Port]:
    """Every port of a project, by its address."""
    return {
        each.product.port_address(port).key: Port(
            each.schema(port).form, port.key_fields, port.time, port.partitions, port.cleanup
        )
        for each in project.products
        for port in each.product.output_ports
    }


class KafkaPorts(Ports):
    """The ports of a project on a real broker, under topics of this test's own."""

    def __init__(self, project: Project, cluster: Cluster) -> None:
        super().__init__(ports_of(project))
        self._kafka = cluster.config
        self._prefix = f"t{uuid4().hex[:12]}."
        for binding in self.bindings:
            Admin(self._kafka).ensure_topic(self._prefix + binding.topic, binding.partitions)

    def resolve(self, address: Address) -> Binding:
        """The binding, on the broker."""
        found = super().resolve(address)
        return found.model_copy(
            update={"bootstrap_servers": self._kafka.bootstrap_servers, "topic": self._prefix + found.topic}
        )

    def history(self, address: Address) -> list[Event]:
        """All events of a port."""
        with Replay(address, self, kafka=CONNECTIONS) as replay:
            return list(replay.history())


@pytest.fixture
def mesh(kitchen: Project, kafka: Cluster) -> KafkaPorts:
    """The kitchen's ports."""
    return KafkaPorts(kitchen, kafka)


def teas(*after: timedelta, begin: datetime = BEGIN) -> list[SourceEvent]:
    """Teas that are recorded at these times after the beginning."""
    return [
        SourceEvent({"kind": "green", "at": begin + each, "cups": 1}, f"tea-{number}", begin + each)
        for number, each in enumerate(after)
    ]


class Clock(threading.Event):
    """A clock that moves by what `run_sources` waits for its stop, and by nothing else.

    Attributes:
        waited_s: seconds that were waited so far.
        start: the wall clock's time at the beginning.
    """

    def __init__(self, start: datetime) -> None:
        super().__init__()
        self.waited_s = 0.0
        self.start = start

    def wait(self, timeout: float | None = None) -> bool:
        """Move on by the timeout at once."""
        self.waited_s += timeout or 0.0
        return False

    def monotonic(self) -> float:
        """Seconds since the beginning."""
        return self.waited_s

    def now(self, _zone: tzinfo) -> datetime:
        """The wall clock's time."""
        return self.start + timedelta(seconds=self.waited_s)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the sources, at a moment long after everything that they publish."""
    clock = Clock(BEGIN + timedelta(days=1000))
    monkeypatch.setattr(sources, "time", clock)
    monkeypatch.setattr(sources, "datetime", clock)
    return clock


def waited_s(mesh: KafkaPorts, clock: Clock, occurrences: list[SourceEvent], *, speed: float | None) -> float:
    """The seconds that publishing these waits."""
    before = clock.waited_s
    run_sources([ProductSource(TEAS, occurrences)], mesh, speed=speed, stop=clock, kafka=CONNECTIONS)
    return clock.waited_s - before


def test_sources_are_stored_as_they_tell(kitchen: Project, mesh: KafkaPorts) -> None:
    """Every occurrence before the end is stored under its id, key and time; progress says how many."""
    told: list[SourceProgress] = []
    progress = run_sources(
        load_sources(kitchen, seed=0),
        mesh,
        until=BEGIN + timedelta(minutes=90),
        on_progress=told.append,
        kafka=CONNECTIONS,
    )
    events = mesh.history(TEAS)
    assert progress.published == {TEAS: 90}
    assert progress.world == BEGIN + timedelta(minutes=89)
    assert told[-1] == progress
    assert {each.id for each in events} == {f"tea-{n}" for n in range(90)}
    assert all(each.time == each.data["at"] == BEGIN + timedelta(minutes=each.data["cups"]) for each in events)
    assert {each.key for each in events} == {b"green", b"black"}


def test_a_stopped_source_goes_on_where_it_was(kitchen: Project, mesh: KafkaPorts) -> None:
    """What the log has taken in is skipped the next time, so that nothing is missing and nothing there twice."""
    first = run_sources(load_sources(kitchen, seed=0), mesh, limit=37, kafka=CONNECTIONS)
    assert stored([TEAS], mesh, kafka=CONNECTIONS) == {TEAS: 37} == first.published
    second = run_sources(
        load_sources(kitchen, seed=0), mesh, skip=stored([TEAS], mesh, kafka=CONNECTIONS), kafka=CONNECTIONS
    )
    assert second.published == {TEAS: 63}
    assert sorted(each.data["cups"] for each in mesh.history(TEAS)) == list(range(100))


def test_world_time_keeps_its_pace(mesh: KafkaPorts, clock: Clock) -> None:
    """Ten world seconds at twenty a second are half a second of waiting; without a speed nothing is waited for."""
    occurrences = teas(*(timedelta(seconds=n) for n in range(11)))
    assert waited_s(mesh, clock, occurrences, speed=20) == pytest.approx(0.5)
    assert waited_s(mesh, clock, teas(timedelta(0), timedelta(days=99)), speed=None) == 0


def test_long_silences_are_cut(mesh: KafkaPorts, clock: Clock) -> None:
    """A month in which nothing happens passes as an hour does."""
    occurrences = teas(timedelta(0), timedelta(days=30))
    assert waited_s(mesh, clock, occurrences, speed=3600 / 0.3) == pytest.approx(0.3)


def test_the_world_never_outruns_the_clock(mesh: KafkaPorts, clock: Clock) -> None:
    """What is recorded half a minute from now is published after half a minute, however fast the world is."""
    occurrences = teas(timedelta(0), timedelta(seconds=30), begin=clock.start)
    assert waited_s(mesh, clock, occurrences, speed=1e9) == pytest.approx(30)


def test_a_source_stops_when_told(mesh: KafkaPorts) -> None:
    """A source that would go on for ever ends soon after it is told to, and what it published is stored."""

    def forever() -> Iterator[SourceEvent]:
        for number in count():
            at = BEGIN + timedelta(seconds=number)
            yield SourceEvent({"kind": "green", "at": at, "cups": 1}, f"tea-{number}", at)

    stop = threading.Event()

    def told(progress: SourceProgress) -> None:
        if progress.total > 20:
            stop.set()

    progress = run_sources(
        [ProductSource(TEAS, forever())], mesh, speed=100, stop=stop, on_progress=told, kafka=CONNECTIONS
    )
    assert len(mesh.history(TEAS)) == progress.total > 20


def test_a_row_can_be_retracted(mesh: KafkaPorts) -> None:
    """An occurrence without a record is a tombstone under the key that it names."""
    pot = {"kind": "iron", "at": BEGIN, "cups": 4}
    occurrences = [
        SourceEvent(pot, "1", BEGIN),
        SourceEvent(None, "2", BEGIN + timedelta(hours=1), key={"kind": "iron"}),
    ]
    run_sources([ProductSource(POTS, occurrences)], mesh, kafka=CONNECTIONS)
    events = mesh.history(POTS)
    assert [(each.id, each.key, each.data) for each in events] == [("1", b"iron", pot), ("2", b"iron", None)]


def test_a_source_that_goes_back_is_refused(mesh: KafkaPorts) -> None:
    """Occurrences out of the order of their recording are an error that names the source."""
    with pytest.raises(ProjectError, match=r"kitchen/teas.*tea-1") as caught:
        run_sources([ProductSource(TEAS, teas(timedelta(hours=1), timedelta(0)))], mesh, kafka=CONNECTIONS)
    assert "in the order" in str(caught.value)


def test_a_record_that_does_not_fit_names_its_source(mesh: KafkaPorts) -> None:
    """The error of a record that the contract refuses says which source and which occurrence it was."""
    wrong = SourceEvent({"kind": "green", "at": BEGIN, "cups": "two"}, "tea-x", BEGIN)
    with pytest.raises(ValueError, match="cups") as caught:
        run_sources([ProductSource(TEAS, [wrong])], mesh, kafka=CONNECTIONS)
    assert "the source of mesh://kitchen/teas/events@1, event 'tea-x'" in str(caught.value)


def test_a_recount_tells_right_from_wrong(kitchen: Project, mesh: KafkaPorts) -> None:
    """Rows that the recount gives agree; a wrong one, a missing one and one too many are named. The latest row counts."""
    run_sources(load_sources(kitchen, seed=0), mesh, kafka=CONNECTIONS)
    green = {"kind": "green", "at": BEGIN + timedelta(minutes=98), "cups": sum(range(0, 100, 2))}
    black = {"kind": "black", "at": BEGIN + timedelta(minutes=99), "cups": sum(range(1, 100, 2))}
    with Publisher(BREWS, mesh, kafka=CONNECTIONS) as brews:
        brews.publish(green | {"cups": 1})
        brews.publish(green)
    report = recount(kitchen, mesh, kafka=CONNECTIONS)
    (verdict,) = report.verdicts
    assert not report.agrees
    assert (verdict.address, verdict.expected, verdict.found, verdict.wrong) == (BREWS, 2, 1, 1)
    assert str(verdict.differing[0]) == "black: is missing"
    with Publisher(BREWS, mesh, kafka=CONNECTIONS) as brews:
        brews.publish(black | {"cups": 7})
        brews.publish(black | {"kind": "white"})
    (verdict,) = recount(kitchen, mesh, kafka=CONNECTIONS).verdicts
    assert verdict.wrong == 2
    assert {str(each) for each in verdict.differing} == {
        "black: cups is 7, the recount says 2500",
        "white: should not be there",
    }
    with Publisher(BREWS, mesh, kafka=CONNECTIONS) as brews:
        brews.publish(black)
        brews.retract({"kind": "white"})
    report = recount(kitchen, mesh, kafka=CONNECTIONS)
    assert report.agrees
    assert report.events == 100
    assert report.without == (IDLE,)


def test_a_recount_leaves_out_what_is_no_event(kitchen: Project, mesh: KafkaPorts) -> None:
    """A message in a source's topic that cannot be read is counted and left out, as the processors set it aside."""
    run_sources(load_sources(kitchen, seed=0), mesh, limit=2, kafka=CONNECTIONS)
    binding = mesh.resolve(TEAS)
    with Producer(connection(binding.bootstrap_servers)) as producer:
        producer.deliver([Message(binding.topic, b"green", b"poison")])
    report = recount(kitchen, mesh, only=[BREWS], kafka=CONNECTIONS)
    assert (report.events, report.unreadable) == (2, 1)
    assert report.verdicts[0].expected == 2


def test_a_recount_leaves_out_what_another_partitioner_misplaced(kitchen: Project, mesh: KafkaPorts) -> None:
    """An event in another partition than its key's is left out and counted where a processor groups by the key, only there."""
    run_sources(load_sources(kitchen, seed=0), mesh, limit=2, kafka=CONNECTIONS)
    binding = mesh.resolve(TEAS)
    writer = EventWriter(
        source=str(binding.address),
        type=binding.type,
        codec=codec_for(mesh.by_id(binding.schema_id)),
        schema_id=binding.schema_id,
    )
    value, headers = writer.message({"kind": "green", "at": BEGIN, "cups": 1000}, id="misplaced", time=BEGIN)
    wrong = 1 - partition_of(b"green", 2)
    with Producer(connection(binding.bootstrap_servers)) as producer:
        producer.deliver([Message(binding.topic, b"green", value, headers, None, wrong)])

    def cups(kitchen: Project) -> tuple[int, set[object]]:
        report = recount(kitchen, mesh, only=[BREWS], kafka=CONNECTIONS)
        (verdict,) = report.verdicts
        return report.misplaced, {each.expected["cups"] for each in verdict.differing}

    assert cups(kitchen) == (0, {1000, 1})
    descriptor = kitchen.product(BREWS).descriptor_file
    text = descriptor.read_text()
    by_key = "aggregate: {by: [kind], values: {cups: sum(cups), at: max(at)}}"
    descriptor.write_text(f"{text}process:\n  steps:\n    - {by_key}\n")
    assert cups(Project(kitchen.root)) == (1, {0, 1})
    descriptor.write_text(f"{text}process:\n  repartition: always\n  steps:\n    - {by_key}\n")
    assert cups(Project(kitchen.root)) == (0, {1000, 1})


def test_the_reference_world_can_be_published(project: Project, kafka: Cluster) -> None:
    """The first hours of the reference mesh are stored, each source's events in its own port and none refused."""
    mesh = KafkaPorts(project, kafka)
    until = datetime(2026, 3, 1, 3, tzinfo=UTC)
    progress = run_sources(load_sources(project, seed=8), mesh, until=until, kafka=CONNECTIONS)
    told = takewhile(lambda each: each[1].recorded < until, merge(load_sources(project, seed=8)))
    assert progress.total == sum(1 for _ in told)
    assert progress.published == stored(progress.published, mesh, kafka=CONNECTIONS)
