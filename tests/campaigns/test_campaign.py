"""The parts of the campaigns: kill points of both engines, their rotation, and readers that survive the loss of a broker."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka import answer, topic_offsets
from meshport.local.cluster import Cluster
from tests.campaigns import outages, sabotage
from tests.campaigns.__main__ import main
from tests.campaigns.brokers import java_hash
from tests.campaigns.faults import FAULTS, meet
from tests.campaigns.kills import Campaign, Rotation, Round
from tests.campaigns.lane import Lane
from tests.campaigns.outages import percentile
from tests.campaigns.outcome import Outcome
from tests.campaigns.points import POINTS, Engine, points_of
from tests.campaigns.waits import READY, Waits


@pytest.mark.parametrize("engine", ["batch", "faust"])
def test_points_come_in_turn(engine: Engine) -> None:
    """Each engine has fifteen points or more, and of two hundred kills each of them gets ten or more."""
    rotation = Rotation(Campaign(engine, "windows", 200))
    given = Counter[str]()
    while (point := rotation.take()) is not None:
        given[point.name] += 1
    assert given.total() == 200
    assert len(given) == len(points_of(engine)) >= 15
    assert min(given.values()) >= 10


def test_a_point_that_was_missed_is_tried_again() -> None:
    """A point that was missed is given out again, and the miss is counted."""
    rotation = Rotation(Campaign("batch", "windows", 1))
    point = rotation.take()
    assert point is not None
    rotation.miss(point)
    assert rotation.take() is point
    rotation.hit(point)
    assert rotation.take() is None
    assert (rotation.kills, rotation.missed.total()) == (1, 1)


def test_a_broker_that_goes_is_no_error_of_who_asks() -> None:
    """A reader repeats a request for offsets that the loss of a broker interrupts, and raises an error that persists."""
    answers: list[int] = [
        ClientError._DESTROY_BROKER,
        ClientError.OFFSET_NOT_AVAILABLE,
        ClientError.UNKNOWN_TOPIC_OR_PART,
    ]

    def ask() -> str:
        raise KafkaException(ClientError(answers.pop(0)))

    with pytest.raises(KafkaError, match="cannot see"):
        topic_offsets.once_ready(ask, "cannot see")
    assert answers == []


def test_a_cluster_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request to a broker that died raises an error of Meshport."""
    monkeypatch.setattr(answer, "ANSWER_S", 0.01)
    with pytest.raises(BrokerUnavailable, match=r"cannot see it: no broker answered"):
        answer.answer_of(Future[None](), "cannot see it")


@pytest.mark.parametrize(
    ("engine", "names"),
    [
        ("batch", ["after outputs, before rows", "after the group's place"]),
        ("faust", ["after rows, before the checkpoint"]),
    ],
)
def test_a_few_kills_do_no_harm(kafka: Cluster, engine: Engine, names: list[str]) -> None:
    """After some kills at named points, on one broker, the ledger reports no fault."""
    lane = Lane(kafka.bootstrap_servers, engine, "windows", 1, member="one")
    round_ = Round(lane, 1)
    try:
        lane.publish(400)
        for point in POINTS:
            if point.name in names:
                lane.publish(300)
                assert round_.kill(point, crossings=1)
        report = lane.finish(200)
    finally:
        lane.close()
    assert report.faults == {}
    assert report.figures["events"] > 800
    assert lane.ends.words == {}


def test_percentiles_are_values_that_were_measured() -> None:
    """The median of an even number of values is the lower of the middle two, and the 99th percentile of few is the largest."""
    assert percentile([4.0, 1.0, 3.0, 2.0], 50) == 2.0
    assert percentile([*map(float, range(1, 31))], 99) == 30.0
    assert percentile([*map(float, range(1, 201))], 99) == 198.0
    assert percentile([7.0], 50) == 7.0


@pytest.mark.parametrize(("text", "hash_"), [("a", 97), ("meshport", 471_797_778), ("zzzzzzz", 215_481_018)])
def test_groups_are_placed_as_kafka_places_them(text: str, hash_: int) -> None:
    """The hash of a name is the absolute value of Java's, which is signed."""
    assert java_hash(text) == hash_


def test_waits_are_counted_by_line() -> None:
    """What a process writes of its waits is counted, longest first; the other lines of its log are kept."""
    waits = Waits(0.5)
    waits.note(f"{READY}at: b.py read: poll\nat: a.py commit: send\na commit failed\n")
    waits.note("at: a.py commit: send\n")
    assert waits.lines(2) == ["1.0 s a.py commit: send", "0.5 s b.py read: poll"]
    assert waits.others == ["a commit failed"]


def test_a_part_that_fails_is_wrong_and_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part that ends by an error is WRONG in the table; the parts that follow run and have their lines."""

    def fails(_: object) -> Outcome:
        raise BrokerUnavailable("no broker answers")

    monkeypatch.setattr(outages, "run", fails)
    monkeypatch.setattr(sabotage, "run", lambda *_: Outcome("defects", "9 of 9", None, 0, right=True))
    monkeypatch.setattr(sys, "argv", ["campaigns", "outages", "defects", "--engine", "batch"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[-1] for line in lines] == ["WRONG", "right"]
    assert "ended by BrokerUnavailable" in lines[0]


@pytest.mark.parametrize("engine", ["batch", "faust"])
@pytest.mark.parametrize("name", ["odd headers", "partitions added"])
def test_a_fault_of_the_field_is_met(kafka: Cluster, engine: Engine, name: str) -> None:
    """A running processor outlives a fault with a clean ledger, or stops at it with the error that names it."""
    fault = next(each for each in FAULTS if each.name == name)
    lane = Lane(kafka.bootstrap_servers, engine, "windows", 1, member="one")
    try:
        assert meet(fault, lane).faults == {}
    finally:
        lane.close()
