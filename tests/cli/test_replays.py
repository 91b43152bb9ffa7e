"""`meshport replay`: jobs on the command line, from their start to their end, and what stays as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshport.binding import Binding
from meshport.replay_jobs import ReplayOutput
from tests.cli.running import Run
from tests.mesh_session import Mesh
from tests.ports.readings import fill
from tests.replaying.jobs import numbers, started

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def port(mesh: Mesh) -> Binding:
    """A port with twenty readings."""
    binding = mesh.product(name="replayed")
    fill(mesh, binding.address, range(20))
    return binding


def test_a_job_is_started_run_shown_and_listed(on_mesh: Run, port: Binding, tmp_path: Path) -> None:
    """`start --json` has the id of the job, the file every event with it; `list` and `show` say that it is complete."""
    key, file = port.address.of_product.key, tmp_path / "out.jsonl"
    ended = on_mesh(
        "replay", "start", key, "--purpose", "again", "--to-file", str(file), "--where", "celsius > 4", "--json"
    )
    assert ended.code == 0, ended.err
    job = json.loads(ended.out)["job"]
    assert sorted(numbers(file, job)) == [float(each) for each in range(5, 20)]
    assert f"replay {job} is complete: 15 events by this command, 15 in all" in ended.err
    listed = on_mesh("replay", "list", key)
    assert (listed.out, listed.code) == ("", 0)
    assert "no replay is under way" in listed.err
    (found,) = map(json.loads, on_mesh("replay", "list", key, "--all", "--json").out.splitlines())
    assert (found["state"], found["events"], found["file"], found["purpose"]) == ("complete", 15, str(file), "again")
    shown = on_mesh("replay", "show", job).out
    assert "celsius > 4" in shown
    assert "complete" in shown


def test_the_events_of_a_job_go_to_stdout(on_mesh: Run, port: Binding) -> None:
    """Each is a line of JSON with the id of the job."""
    ended = on_mesh("replay", "start", port.address.key, "--purpose", "to look", "--key", "s3", "--json")
    job, *events = map(json.loads, ended.out.splitlines())
    assert [each["data"]["celsius"] for each in events] == [3.0, 13.0]
    assert {each["replayid"] for each in events} == {job["job"]}


def test_a_job_is_copied_for_its_readers(on_mesh: Run, port: Binding) -> None:
    """The command names the topic and the readers."""
    ended = on_mesh("replay", "start", port.address.key, "--purpose", "an index", "--for", "search", "--for", "billing")
    assert f"the events go to {port.topic}.replay." in ended.err
    assert "for search, billing" in ended.err
    assert "20 events by this command" in ended.err


def test_a_job_is_paused_resumed_and_cancelled(on_mesh: Run, port: Binding, mesh: Mesh, tmp_path: Path) -> None:
    """Each step is reported, and one that the state of the job does not allow ends with an error that says why."""
    job = started(mesh.registry, port.address, ReplayOutput.FILE, file=tmp_path / "out.jsonl").job
    assert "is paused" in on_mesh("replay", "pause", job).err
    assert "20 events by this command" in on_mesh("replay", "resume", job).err
    again = on_mesh("replay", "cancel", job, "--reason", "late")
    assert again.code == 1
    assert f"the replay {job} is complete" in again.err
    other = started(mesh.registry, port.address, ReplayOutput.FILE, file=tmp_path / "other.jsonl").job
    assert on_mesh("replay", "cancel", other, "--reason", "enough").code == 0
    ended = on_mesh("replay", "resume", other)
    assert ended.code == 1
    assert "is cancelled" in ended.err


def test_a_job_waits_for_its_owner(on_mesh: Run, mesh: Mesh) -> None:
    """`start` ends where the port asks for approval; `approve` lets `resume` run it."""
    binding = mesh.product(replay="approval")
    fill(mesh, binding.address, range(3))
    ended = on_mesh("replay", "start", binding.address.key, "--purpose", "again", "--json")
    job = json.loads(ended.out)["job"]
    assert f"meshport replay approve {job}" in ended.err
    assert on_mesh("replay", "resume", job).code == 1
    assert on_mesh("replay", "approve", job).code == 0
    assert "3 events by this command" in on_mesh("replay", "resume", job).err


@pytest.mark.parametrize("job", ["", "a/b", "0" * 31, "G" * 32])
def test_an_id_that_is_none_is_wrong_usage(on_mesh: Run, job: str) -> None:
    """The registry is not asked for it."""
    ended = on_mesh("replay", "show", job)
    assert ended.code == 2
    assert f"{job!r} is no id of a job" in " ".join(ended.err.replace("│", " ").split())


def test_an_address_alone_is_replayed_at_once(on_mesh: Run, port: Binding) -> None:
    """What `meshport replay ADDRESS` did, it does; so does an option before the address."""
    for asked in ([port.address.key, "--json"], ["--json", port.address.key], ["now", port.address.key, "--json"]):
        ended = on_mesh("replay", *asked)
        assert (ended.code, len(ended.out.splitlines())) == (0, 20), ended.err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--where", "celsiu > 3"], "did you mean 'celsius'?"),
        (["--where", "celsius >"], "celsius >"),
        (["--to-file", "a", "--for", "b"], "one output"),
        (["--purpose", ""], "--purpose"),
        (["--from", "yesterday"], "--from"),
    ],
    ids=lambda each: str(each[0]),
)
def test_what_cannot_be_is_refused(on_mesh: Run, port: Binding, asked: list[str], said: str) -> None:
    """Wrong usage names what was given, before anything is replayed."""
    ended = on_mesh("replay", "start", port.address.key, "--purpose", "again", *asked)
    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""
