"""Readers of a history of which a part cannot be read: they say which, and end unless it is allowed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from confluent_kafka import Producer as ClientProducer

from meshport.binding import Binding
from meshport.errors import BrokerUnavailable, HistoryMissing, HistoryUndecided
from meshport.kafka.consumer import Consumer
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports import scan
from meshport.ports.group_start import Start
from meshport.ports.history import Missing
from meshport.ports.replay import Bound, Offsets, Replay
from meshport.ports.scan import ReadProgress, TopicFollower, TopicRange, read_range
from meshport.ports.subscriber import Subscriber
from meshport.process.runtime.kafka_log import KafkaLog
from tests.connections import CONNECTIONS, client_settings, connection
from tests.mesh_session import Mesh
from tests.ports.readings import BEGIN, cut, fill, numbers, take
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka
HOUR = timedelta(hours=1)


@contextmanager
def transaction(binding: Binding) -> Iterator[ClientProducer]:
    """A raw transactional producer within its transaction, which the test ends."""
    producer = ClientProducer(
        {**client_settings(binding.bootstrap_servers), "transactional.id": f"raw-{uuid4().hex}", "log_level": 0}
    )
    producer.init_transactions(15)
    producer.begin_transaction()
    yield producer


def read(
    mesh: Mesh, binding: Binding, begin: Bound = None, end: Bound = None, missing: Missing = Missing.REFUSE
) -> list[int]:
    """The readings that such a replay gives."""
    with Replay(binding.address, mesh.registry, begin=begin, end=end, missing=missing, kafka=CONNECTIONS) as job:
        return numbers(job.events())


@pytest.fixture
def binding(mesh: Mesh) -> Binding:
    """A port with one partition and the readings 0 to 9."""
    made = mesh.product(partitions=1)
    fill(mesh, made.address, range(10))
    return made


def test_a_replay_names_what_is_removed(mesh: Mesh, binding: Binding, caplog: pytest.LogCaptureFixture) -> None:
    """A replay from the beginning, or from an offset, that is removed ends with the facts; it is read on where it is allowed."""
    before = datetime.now(UTC)
    cut(binding, 4)
    for begin, asked in ((None, 0), (Offsets(2), 2), (BEGIN, BEGIN)):
        with pytest.raises(HistoryMissing) as refused:
            read(mesh, binding, begin)
        error = refused.value
        assert (error.topic, error.partition, error.offset, error.asked) == (binding.topic, 0, 4, asked)
        assert error.recorded is not None
        assert error.recorded <= before
        assert "--allow-missing" in str(error)
        with caplog.at_level(logging.WARNING):
            assert read(mesh, binding, begin, missing=Missing.ALLOW) == list(range(4, 10))
        assert f"which begins at offset 4 (recorded {error.recorded.isoformat()})" in caplog.text


def test_nothing_is_missing_of_a_later_history(mesh: Mesh, binding: Binding) -> None:
    """A replay from the first offset that is left, or from a time after its record, misses nothing."""
    cut(binding, 4)
    assert read(mesh, binding, Offsets(4)) == list(range(4, 10))
    assert read(mesh, binding, datetime.now(UTC)) == []


def test_of_an_empty_partition_any_past_is_missing(mesh: Mesh, binding: Binding) -> None:
    """Where no record is left, every time in the past may have been removed, and the first offset that is left is the end."""
    cut(binding, -1)
    for begin in (None, datetime.now(UTC) - HOUR):
        with pytest.raises(HistoryMissing, match="no record is left") as refused:
            read(mesh, binding, begin)
        assert (refused.value.offset, refused.value.recorded) == (10, None)
    assert read(mesh, binding, missing=Missing.ALLOW) == []
    assert read(mesh, binding, datetime.now(UTC) + HOUR) == []


def test_a_subscriber_from_the_earliest_names_what_is_removed(mesh: Mesh, binding: Binding) -> None:
    """A reader without a group, and a new group, begin at the beginning of the history, or are allowed to begin later.

    One that is refused asks the registry no further.
    """
    cut(binding, 4)
    with pytest.raises(HistoryMissing) as refused:
        Subscriber(binding.address, mesh.registry, kafka=CONNECTIONS)
    assert (refused.value.offset, refused.value.asked) == (4, 0)
    watch = f"watch {binding.address.key}"
    wait_for(lambda: watch not in {each.name for each in threading.enumerate()}, "the refused reader ends its thread")
    with (
        Subscriber(binding.address, mesh.registry, group="new", kafka=CONNECTIONS) as subscriber,
        pytest.raises(HistoryMissing, match="the offsets 0 to 3 of"),
    ):
        list(subscriber)
    for group in (None, "new"):
        with Subscriber(
            binding.address, mesh.registry, group=group, missing=Missing.ALLOW, kafka=CONNECTIONS
        ) as subscriber:
            assert numbers(take(subscriber, 6)) == list(range(4, 10))


def test_the_latest_asks_for_no_history(mesh: Mesh, binding: Binding) -> None:
    """A reader that begins at the latest is not concerned by what is removed."""
    cut(binding, 4)
    with Subscriber(binding.address, mesh.registry, start=Start.LATEST, kafka=CONNECTIONS) as subscriber:
        fill(mesh, binding.address, [77])
        assert numbers(take(subscriber, 1)) == [77]


def test_a_group_that_is_behind_goes_on_where_it_is_allowed(mesh: Mesh, binding: Binding) -> None:
    """A group whose next event is removed ends with an error; allowed, it goes on with the first event that is left."""
    with Subscriber(binding.address, mesh.registry, group="slow", kafka=CONNECTIONS) as subscriber:
        take(subscriber, 3)
    cut(binding, 4)
    with (
        Subscriber(binding.address, mesh.registry, group="slow", kafka=CONNECTIONS) as subscriber,
        pytest.raises(HistoryMissing) as refused,
    ):
        list(subscriber)
    assert (refused.value.offset, refused.value.asked) == (4, 2)
    with Subscriber(
        binding.address, mesh.registry, group="slow", missing=Missing.ALLOW, kafka=CONNECTIONS
    ) as subscriber:
        assert numbers(take(subscriber, 6)) == list(range(4, 10))


def test_a_position_that_is_removed_while_it_is_read(binding: Binding) -> None:
    """A consumer whose position falls below the beginning of the log ends with an error, and skips nothing."""
    cut(binding, 4)
    with Consumer(connection(binding.bootstrap_servers)) as consumer:
        consumer.assign({TopicPartition(binding.topic, 0): 1})

        def some() -> bool:
            return bool(consumer.read(10, 0.1))

        with pytest.raises(HistoryMissing, match="begins at 4: 3 offsets were removed") as refused:
            wait_for(some)
    assert (refused.value.offset, refused.value.asked) == (4, 1)


def test_a_replay_says_what_an_open_transaction_hides(mesh: Mesh, binding: Binding) -> None:
    """A replay ends before the first open transaction and says how much follows; one that asks for more ends with an error."""
    with transaction(binding) as producer:
        producer.produce(binding.topic, b"", b"k")
        producer.flush(10)
        fill(mesh, binding.address, range(20, 25))
        with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as job:
            assert [(each.stable, each.end) for each in job.undecided] == [(10, 16)]
            assert numbers(job.events()) == list(range(10))
        for end in (Offsets(14), datetime.now(UTC) + HOUR):
            with pytest.raises(HistoryUndecided, match=r"6 offsets of .* are undecided") as refused:
                read(mesh, binding, end=end)
            assert (refused.value.offset, refused.value.end) == (10, 16)
            assert read(mesh, binding, end=end, missing=Missing.ALLOW) == list(range(10))
        assert read(mesh, binding, end=Offsets(7)) == list(range(7))
        with Replay(binding.address, mesh.registry, kafka=CONNECTIONS) as job:
            producer.abort_transaction(10)
            assert numbers(job.events()) == list(range(10)), "the end was fixed when the replay began"
    with Replay(binding.address, mesh.registry, end=Offsets(100), kafka=CONNECTIONS) as job:
        assert not job.undecided
        assert numbers(job.events()) == [*range(10), *range(20, 25)]


def test_aborted_records_are_progress(mesh: Mesh, binding: Binding, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader of aborted records moves on, though it receives nothing; it is stalled once its position stays."""
    with transaction(binding) as producer:
        for _ in range(1000):
            producer.produce(binding.topic, b"", b"k")
        producer.flush(10)
        producer.abort_transaction(10)
    partition = TopicPartition(binding.topic, 0)
    settings = {"enable.partition.eof": True, "statistics.interval.ms": 100}
    with Consumer(mesh.kafka, settings=settings) as consumer:
        consumer.assign({partition: 10})
        moved = ReadProgress(consumer)
        wait_for(lambda: consumer.read(10, 0.1) or consumer.fetched.get(partition, 0) >= 1010)
        monkeypatch.setattr(scan, "STALL_S", 0)
        moved.nothing([partition])
        with pytest.raises(BrokerUnavailable, match=r"events\.v1 \[0\] at offset 101\d"):
            moved.nothing([partition])
        wanted = TopicRange.within(binding.topic, consumer.bounds(binding.topic))
        monkeypatch.setattr(scan, "STALL_S", PATIENCE_S)
        assert sum(map(len, read_range(consumer, wanted))) == 10


def test_a_follower_passes_over_aborted_records(mesh: Mesh, binding: Binding, monkeypatch: pytest.MonkeyPatch) -> None:
    """A follower that receives nothing for long reads with a consumer that it can watch, and goes on as before."""
    monkeypatch.setattr(scan, "_SILENCE_S", -1)  # every read that returns nothing
    with closing(TopicFollower(mesh.kafka, binding.topic)) as follower:
        for count in (10, 3):
            assert [each.offset() for messages in follower.catch_up() for each in messages][-1] >= count - 1
            with transaction(binding) as producer:
                for _ in range(100):
                    producer.produce(binding.topic, b"", b"k")
                producer.flush(10)
                producer.abort_transaction(10)
            assert list(follower.catch_up()) == []
            fill(mesh, binding.address, range(3))
        assert sum(map(len, follower.catch_up())) == 3


def test_a_table_names_the_rows_that_are_removed(mesh: Mesh, binding: Binding) -> None:
    """A joined table whose first rows are removed, other than by compaction, ends with an error unless that is allowed."""
    cut(binding, 4)
    with closing(KafkaLog(mesh.kafka)) as log, pytest.raises(HistoryMissing, match="the offsets 0 to 3 of"):
        list(log.rows(binding.topic))
    with closing(KafkaLog(mesh.kafka, missing=Missing.ALLOW)) as log:
        assert len(list(log.rows(binding.topic))) == 6
