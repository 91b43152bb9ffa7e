"""Replay jobs at the registry: started by readers, approved by owners, and what the process of a job reports."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from meshport.address import Address
from meshport.catalog import Removal, Retirement
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.registry import Registry
from meshport.registry.login import RegistryLogin
from meshport.replay_jobs import ReplayOutput, ReplayProgress, ReplayState
from meshport_registry import Settings, replays, running
from tests.registry.door import made_key
from tests.registry.replay_requests import replay_request
from tests.registry.schemas import plays, product, schema

PLAYS = Address("player", "plays")
APPROVAL = [{"key": "user", "replay": "approval"}]


def test_a_job_is_started_reported_and_complete(registry: Registry) -> None:
    """A job is as it was asked for; reports change how far it came, and the last one its state."""
    registry.register(*plays())
    asked = replay_request(
        keys=["a"], types=["b"], where="user == 'a'", rate=5, since="2001-01-01T00:00:00Z", output="file", file="/x"
    )
    job = registry.replays.start(asked)
    assert job.model_dump(include=set(type(asked).model_fields)) == asked.model_dump()
    assert (job.state, job.asked_by, job.owner, job.positions) == ("active", "anonymous", "team-player", {0: 0})
    assert (job.total, job.read) == (7, 0)
    noted = registry.replays.report(job.job, ReplayProgress(positions={0: 3}, events=2, unreadable=1))
    assert (noted.read, noted.events, noted.unreadable, noted.state) == (3, 2, 1, ReplayState.ACTIVE)
    assert noted.reported_at is not None
    assert registry.replays.list(PLAYS) == (noted,)
    ended = registry.replays.report(job.job, ReplayProgress(positions={0: 7}, events=6, state=ReplayState.COMPLETE))
    assert (ended.state, ended.read) == (ReplayState.COMPLETE, 7)
    assert ended.ended_at is not None
    assert registry.replays.list() == ()
    assert registry.replays.list(PLAYS.at("events", 1), ended=True) == (ended,)
    assert registry.replays.get(job.job) == ended


def test_each_step_is_of_its_state(registry: Registry) -> None:
    """A job that is paused is resumed or cancelled, one that has ended is neither, and one that waits is approved first."""
    registry.register(*plays(outputPorts=APPROVAL))
    job = registry.replays.start(replay_request()).job
    for step in (registry.replays.pause, registry.replays.resume):
        with pytest.raises(RegistrationRefused, match="is requested"):
            step(job)
    approved = registry.replays.approve(job)
    assert (approved.state, approved.approved_by) == (ReplayState.ACTIVE, "anonymous")
    with pytest.raises(RegistrationRefused, match="is active"):
        registry.replays.approve(job)
    assert registry.replays.pause(job).state is ReplayState.PAUSED
    assert registry.replays.resume(job).state is ReplayState.ACTIVE
    registry.replays.pause(job)
    ended = registry.replays.cancel(job, "enough")
    assert (ended.state, ended.ended_by, ended.reason) == (ReplayState.CANCELLED, "anonymous", "enough")
    with pytest.raises(RegistrationRefused, match="is cancelled"):
        registry.replays.cancel(job, "again")
    late = ReplayProgress(positions={0: 7}, events=6, state=ReplayState.COMPLETE)
    assert registry.replays.report(job, late).state is ReplayState.CANCELLED


def test_what_cannot_be_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown product, port, topic, job or partition, and more jobs than a product may have under way."""
    monkeypatch.setattr(replays, "MOST_WAITING", 2)
    registry.register(*plays())
    registry.register(product("mesh://charts/top", "player/plays"), {"events@1": schema("user", "track")})
    with pytest.raises(NotRegistered):
        registry.replays.start(replay_request(address="player/skips/events@1"))
    for port in ("player/plays", "player/plays/events@2", "player/plays/others@1"):
        with pytest.raises(RegistrationRefused, match="is not a port of"):
            registry.replays.start(replay_request(address=port))
    with pytest.raises(RegistrationRefused, match=r"is bound to player\.plays\.events\.v1, not to others"):
        registry.replays.start(replay_request(topic="others"))
    with pytest.raises(NotRegistered, match="there is no replay 0000"):
        registry.replays.pause("0" * 32)
    jobs = [registry.replays.start(replay_request()).job for _ in range(2)]
    with pytest.raises(RegistrationRefused, match="2 replays of mesh://player/plays have not ended"):
        registry.replays.start(replay_request())
    registry.replays.start(replay_request(address="charts/top/events@1", topic="charts.top.events.v1"))
    registry.replays.cancel(jobs[0], "enough")
    registry.replays.start(replay_request())
    with pytest.raises(RegistrationRefused, match="has no partition 5"):
        registry.replays.report(jobs[1], ReplayProgress(positions={5: 1}, events=0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"output": "file"},
        {"file": "/x"},
        {"output": "topic"},
        {"readers": ["a"]},
        {"output": "topic", "readers": ["a"], "reader": '"string"'},
        {"ends": {1: 5}},
        {"purpose": ""},
        {"rate": 0},
        {"begins": {0: -1}},
    ],
    ids=str,
)
def test_a_request_that_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    """A file belongs to a job into a file, readers to one into a topic, and offsets to the same partitions."""
    with pytest.raises(ValidationError):
        replay_request(**wrong)


def test_a_removed_product_has_no_jobs(registry: Registry) -> None:
    """Jobs are removed with their product."""
    registry.register(*plays())
    job = registry.replays.start(replay_request()).job
    registry.retire(plays()[0].id, Retirement())
    registry.drop(plays()[0].id, Removal())
    with pytest.raises(NotRegistered):
        registry.replays.get(job)


def test_who_started_a_job_runs_it_and_its_owner_may_end_it(database: str) -> None:
    """Another reader does neither; who may not read the product starts none."""
    groups = {"root": "mesh-admins", "ann": "listeners", "bea": "listeners", "cid": "others", "owen": "player"}
    keys = {name: SecretStr(made_key(database, name, group).text) for name, group in groups.items()}

    def known(name: str) -> Registry:
        return Registry(url, login=RegistryLogin(token=keys[name]))

    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url:
        with known("root") as admin:
            admin.register(
                *plays(
                    owner="player",
                    requiredSecurityGroup="listeners",
                    classification="confidential",
                    outputPorts=APPROVAL,
                )
            )
        with known("ann") as ann, known("bea") as bea, known("cid") as cid, known("owen") as owner:
            with pytest.raises(RegistrationRefused, match="no policy permits"):
                cid.replays.start(replay_request())
            job = ann.replays.start(replay_request(output=ReplayOutput.TOPIC, readers=["billing"])).job
            for step in (ann.replays.approve, bea.replays.approve, bea.replays.pause, bea.replays.resume):
                with pytest.raises(RegistrationRefused, match="no policy permits"):
                    step(job)
            assert owner.replays.approve(job).approved_by == "owen"
            with pytest.raises(RegistrationRefused, match="ann started the replay"):
                bea.replays.report(job, ReplayProgress(positions={}, events=0))
            assert ann.replays.pause(job).state is ReplayState.PAUSED
            assert owner.replays.cancel(job, "not now").ended_by == "owen"
