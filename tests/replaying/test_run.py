"""Replay jobs: wherever one is killed another run of it goes on, and its output has each event once."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from meshport.binding import Binding
from meshport.errors import HistoryMissing, ProcessError, RegistrationRefused, ReplayError
from meshport.event import Event
from meshport.kafka.consumer import Consumer
from meshport.ports.replay import Offsets
from meshport.ports.subscriber import Subscriber
from meshport.replay_jobs import ReplayOutput, ReplayState, replay_group
from meshport.replaying import CallbackOutput, FileOutput, ReplayedPort, TopicOutput
from meshport.replaying.reports import JobReports
from meshport.replaying.topic_output import OFFSET, RECORDED, REPLAY
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.ports.readings import BEGIN, cut, fill
from tests.replaying.jobs import Killed, KilledAfter, line, numbers, runs, started
from tests.waiting import wait_for

COUNT = 100


@pytest.fixture
def port(ports: Mesh) -> Binding:
    """A port with a hundred readings in all of its partitions."""
    binding = ports.product()
    fill(ports, binding.address, range(COUNT))
    return binding


@pytest.fixture
def kafka_port(mesh: Mesh) -> Binding:
    """The same on a real Kafka, which has transactions."""
    binding = mesh.product()
    fill(mesh, binding.address, range(COUNT))
    return binding


def test_a_file_has_each_event_once(ports: Mesh, port: Binding, tmp_path: Path) -> None:
    """A job that is killed three times leaves a part of its file, and in the end the file: each event, a key's in order."""
    mesh, file = ports.registry, tmp_path / "out.jsonl"
    job = started(mesh, port.address, ReplayOutput.FILE, file=file)
    fill(ports, port.address, range(COUNT, COUNT + 20))  # after the job was started: not part of it
    for events in (1, 30, 50):
        with suppress(Killed):
            runs(job, mesh, KilledAfter(FileOutput(job, line), events)).run()
        assert not file.exists()
        with file.with_name("out.jsonl.part").open("ab") as part:
            part.write(b'{"cut": tr')  # a line that the kill cut
    ended = runs(job, mesh, FileOutput(job, line)).run()
    found = numbers(file, job.job)
    assert sorted(found) == [float(each) for each in range(COUNT)]
    for sensor in range(10):
        of_key = [each for each in found if each % 10 == sensor]
        assert of_key == sorted(of_key)
    assert ended.job.state is ReplayState.COMPLETE
    assert not file.with_name("out.jsonl.part").exists()


def test_a_callback_gets_events_again_after_a_kill_and_misses_none(ports: Mesh, port: Binding) -> None:
    """At least once: an event that comes twice has the same id, and the same `replayid`."""
    mesh, got = ports.registry, list[Event]()
    job = started(mesh, port.address, rate=200)  # batches of 40
    for events in (5, 45, None):
        output = CallbackOutput(job, ports.kafka, got.append)
        with suppress(Killed):
            runs(job, mesh, output if events is None else KilledAfter(output, events)).run()
    assert {each.data["celsius"] for each in got} == {float(each) for each in range(COUNT)}
    assert {each.extensions["replayid"] for each in got} == {job.job}
    assert COUNT <= len(got) < 2 * COUNT


@pytest.mark.kafka
def test_a_topic_has_each_event_once_for_its_readers(mesh: Mesh, kafka_port: Binding) -> None:
    """Copies have key, value, partition, the mark, the original offset and time; a reader that is not named is refused."""
    job = started(mesh.registry, kafka_port.address, ReplayOutput.TOPIC, readers=("billing",), rate=300)
    for events in (1, 30, None):
        output = TopicOutput(job, mesh.kafka)
        with suppress(Killed):
            runs(job, mesh.registry, output if events is None else KilledAfter(output, events)).run()
    port = ReplayedPort(mesh.registry, job.job, "billing")
    got = list[Event]()
    with Subscriber(port.address, port, group=port.group, kafka=CONNECTIONS) as reader:
        for event in reader:
            got.append(event)
            if len(got) == COUNT:
                break
        assert reader.binding.topic == output.topic
    assert sorted(each.data["celsius"] for each in got) == [float(each) for each in range(COUNT)]
    with Subscriber(kafka_port.address, mesh.registry, kafka=CONNECTIONS) as live:
        originals = {each.id: each for _, each in zip(range(COUNT), live, strict=False)}
    for each in got:
        original = originals[each.id]
        assert (each.key, each.partition, each.data) == (original.key, original.partition, original.data)
        assert each.recorded_time == original.recorded_time
        assert each.extensions[REPLAY.removeprefix("ce_")] == job.job
        assert each.extensions[OFFSET.removeprefix("ce_")] == str(original.offset)
        assert RECORDED.removeprefix("ce_") in each.extensions
    with pytest.raises(ReplayError, match="is for billing, not for search"):
        ReplayedPort(mesh.registry, job.job, "search")


@pytest.mark.kafka
def test_a_handler_does_nothing_for_replayed_events_unless_it_said_so(mesh: Mesh, kafka_port: Binding) -> None:
    """`run` passes over events of a replay; with `on_replay="handle"` the handler gets them."""
    job = started(mesh.registry, kafka_port.address, ReplayOutput.TOPIC, readers=("billing",))
    runs(job, mesh.registry, TopicOutput(job, mesh.kafka)).run()
    port = ReplayedPort(mesh.registry, job.job, "billing")
    handled = list[Event]()
    with Subscriber(port.address, port, kafka=CONNECTIONS, remember=0) as reader:
        thread = threading.Thread(target=lambda: reader.run(handled.append))
        thread.start()
        wait_for(lambda: sum(reader._subscription.next_offsets.values()) >= COUNT, "the events to be passed over")
        reader.stop()
        thread.join()
    assert handled == []
    with Subscriber(port.address, port, kafka=CONNECTIONS) as reader:
        thread = threading.Thread(target=lambda: reader.run(handled.append, on_replay="handle"))
        thread.start()
        wait_for(lambda: len(handled) >= COUNT, "the events to be handled")
        reader.stop()
        thread.join()


def test_it_selects_by_time_key_type_and_data(ports: Mesh, port: Binding) -> None:
    """Each filter alone and all together; a field that the contract lacks is refused before the job is started."""
    mesh = ports.registry

    def replayed(**asked: Any) -> list[float]:
        got = list[Event]()
        job = started(mesh, port.address, **asked)
        runs(job, mesh, CallbackOutput(job, ports.kafka, got.append)).run()
        return sorted(each.data["celsius"] for each in got)

    everything = [float(each) for each in range(COUNT)]
    assert replayed(keys=("s3", "s4")) == [each for each in everything if each % 10 in {3, 4}]
    assert replayed(types=(port.type,)) == everything
    assert replayed(types=("another",)) == []
    assert replayed(where="celsius >= 90 or sensor == 's1'") == [
        each for each in everything if each >= 90 or each % 10 == 1
    ]
    day: dict[str, Any] = {"begin": BEGIN + timedelta(minutes=10), "end": BEGIN + timedelta(minutes=30)}
    assert replayed(**day) == everything[10:30]
    assert replayed(**day, keys=("s5",), where="celsius > 20") == [25.0]
    with pytest.raises(ProcessError, match="did you mean 'celsius'"):
        started(mesh, port.address, where="celsius_ > 3")


def test_a_paused_job_waits_and_a_cancelled_one_ends(ports: Mesh, port: Binding) -> None:
    """A run sees within seconds that its job is paused, resumed or cancelled; a cancelled one may not run again."""
    mesh, got = ports.registry, list[Event]()
    job = started(mesh, port.address, rate=5)
    first = threading.Event()

    def handle(event: Event) -> None:
        got.append(event)
        if not first.is_set():
            mesh.replays.pause(job.job)
            first.set()

    ended = list[object]()
    run = runs(job, mesh, CallbackOutput(job, ports.kafka, handle))
    thread = threading.Thread(target=lambda: ended.append(run.run()))
    thread.start()
    assert first.wait(60)
    wait_for(lambda: mesh.replays.get(job.job).events == len(got) > 0, "a report of the paused run")
    assert mesh.replays.get(job.job).state is ReplayState.PAUSED
    mesh.replays.resume(job.job)
    before = len(got)
    wait_for(lambda: len(got) > before, "the run to go on")
    mesh.replays.cancel(job.job, "enough")
    thread.join()
    assert len(got) < COUNT
    (end,) = ended
    assert end.job.state is ReplayState.CANCELLED  # type: ignore[attr-defined]
    with pytest.raises(ReplayError, match="is cancelled"):
        runs(mesh.replays.get(job.job), mesh, CallbackOutput(job, ports.kafka, handle)).run()
    with pytest.raises(RegistrationRefused, match="is cancelled"):
        mesh.replays.resume(job.job)


def test_a_job_waits_for_approval_where_the_port_says_so(in_memory_mesh: Mesh) -> None:
    """`replay: approval`: the job may not run until it is approved; its bounds are those of its start."""
    mesh = in_memory_mesh.registry
    binding = in_memory_mesh.product(replay="approval")
    fill(in_memory_mesh, binding.address, range(10))
    job = started(mesh, binding.address)
    got = list[Event]()
    assert job.state is ReplayState.REQUESTED
    with pytest.raises(ReplayError, match="is requested"):
        runs(job, mesh, CallbackOutput(job, in_memory_mesh.kafka, got.append)).run()
    fill(in_memory_mesh, binding.address, range(10, 20))
    approved = mesh.replays.approve(job.job)
    assert approved.approved_by == "anonymous"
    runs(approved, mesh, CallbackOutput(job, in_memory_mesh.kafka, got.append)).run()
    assert len(got) == 10


@pytest.mark.kafka
def test_what_was_removed_meanwhile_is_an_error(mesh: Mesh, kafka_port: Binding, tmp_path: Path) -> None:
    """A job of which a part was deleted since it began ends with the error that names it, not with a file that lacks it."""
    job = started(mesh.registry, kafka_port.address, ReplayOutput.FILE, file=tmp_path / "out.jsonl")
    cut(kafka_port, -1)
    with pytest.raises(HistoryMissing):
        runs(job, mesh.registry, FileOutput(job, line)).run()


def test_it_moves_no_live_group(ports: Mesh, port: Binding) -> None:
    """The committed offsets of a reader are the same after a replay from offset 1, which commits those of its own group."""
    mesh = ports.registry
    with Subscriber(port.address, mesh, group="live-readers", kafka=CONNECTIONS) as reader:
        for _ in zip(range(COUNT // 2), reader, strict=False):
            pass
    before = _committed(ports, port, "live-readers")
    job = started(mesh, port.address, begin=Offsets(every=1))
    runs(job, mesh, CallbackOutput(job, ports.kafka, lambda _: None)).run()
    assert sum(before.values()) > 0
    assert _committed(ports, port, "live-readers") == before
    assert _committed(ports, port, replay_group(job.job)) == job.ends
    assert mesh.replays.get(job.job).positions == job.ends


def _committed(ports: Mesh, port: Binding, group: str) -> dict[int, int]:
    with Consumer(ports.kafka, group=group) as consumer:
        return consumer.committed(port.topic)


def test_a_file_of_another_is_kept(in_memory_mesh: Mesh, tmp_path: Path) -> None:
    """A job does not write over a file that is there, nor go on in lines of another job."""
    mesh, file = in_memory_mesh.registry, tmp_path / "out.jsonl"
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(10))
    job = started(mesh, binding.address, ReplayOutput.FILE, file=file)
    file.write_text("mine")
    with pytest.raises(ReplayError, match="is there already"):
        runs(job, mesh, FileOutput(job, line)).run()
    part = file.rename(tmp_path / "out.jsonl.part")
    part.write_text("mine\n")
    with pytest.raises(ReplayError, match="is no event of a replay"):
        runs(job, mesh, FileOutput(job, line)).run()
    assert part.read_text() == "mine\n"
    part.write_text("mine\nand mine")
    with pytest.raises(ReplayError, match="is no event of a replay"):
        runs(job, mesh, FileOutput(job, line)).run()
    assert part.read_text() == "mine\nand mine"


@pytest.mark.parametrize("keys", [(), ("none has it",)], ids=["events", "no event"])
def test_a_file_that_is_whole_is_reported_by_the_next_run(
    in_memory_mesh: Mesh, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    """A run that was killed after it gave the file its name, and before the registry noted that, is completed by another."""
    mesh, file = in_memory_mesh.registry, tmp_path / "out.jsonl"
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(10))
    job = started(mesh, binding.address, ReplayOutput.FILE, file=file, keys=keys)
    with pytest.raises(Killed), mock.patch.object(JobReports, "complete", side_effect=Killed):
        runs(job, mesh, FileOutput(job, line)).run()
    written = file.read_bytes()
    assert mesh.replays.get(job.job).state is ReplayState.ACTIVE
    assert runs(job, mesh, FileOutput(job, line)).run().job.state is ReplayState.COMPLETE
    assert file.read_bytes() == written
