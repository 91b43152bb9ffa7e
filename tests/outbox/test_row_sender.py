"""Rows go to a broker that refuses batches: the first bad row of an aggregate is found, and none after it is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from meshport.binding import Binding
from meshport.errors import PublishError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.gapless import Attempt, GaplessProducer
from meshport.kafka.producer import Message
from meshport.outbox.row import OutboxRow
from meshport.outbox.row_sender import RowSender
from meshport.outbox.shard import WaitingRow

BAD = b"bad"
PARTITIONS = 3


class Broker:
    """Takes batches by partition in a given order: a batch with a bad message is refused whole, and ends the attempt.

    Args:
        first: the partition whose batch comes first; the others follow.
        size: of a batch.
    """

    def __init__(self, first: int, size: int) -> None:
        self.log: list[tuple[bytes | None, bytes | None]] = []
        self._first, self._size = first, size

    def attempt(self, messages: Sequence[Message], *, pause: Callable[[], bool]) -> Attempt:
        """See `GaplessProducer.attempt`."""
        del pause
        attempt = Attempt()
        for turn in range(PARTITIONS):
            partition = (self._first + turn) % PARTITIONS
            here = [n for n, each in enumerate(messages) if (each.key or b"")[-1] % PARTITIONS == partition]
            for begin in range(0, len(here), self._size):
                batch = here[begin : begin + self._size]
                if any(messages[n].value == BAD for n in batch):
                    attempt.suspected = {n: PublishError("it is bad") for n in batch}
                    return attempt
                attempt.stored |= set(batch)
                self.log += [(messages[n].key, messages[n].value) for n in batch]
        return attempt


class Resolving:
    """A registry with one port."""

    def resolve(self, _address: object) -> Binding:
        """Return its binding."""
        return cast(Binding, _Bound())


class _Bound:
    topic = "orders"
    bootstrap_servers = "kafka:9092"


class OnBroker(RowSender):
    """Sends to a broker in memory."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(Resolving(), KafkaConfig(), threading.Event())
        self._broker = broker

    def _producer(self, kafka: KafkaConfig) -> GaplessProducer:
        del kafka
        return cast(GaplessProducer, self._broker)


def row(number: int, aggregate: int, *, bad: bool) -> WaitingRow:
    """A row whose value is its number, or bad."""
    key, value = str(aggregate), BAD if bad else str(number).encode()
    return WaitingRow(
        number,
        OutboxRow(str(number), "orders", key, "t", value, "mesh://a/b/c", key.encode(), None, None, None, None, 0),
    )


@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans() | st.just(False)), max_size=40),
    st.integers(0, PARTITIONS - 1),
    st.integers(1, 12),
)
def test_each_aggregate_is_stored_up_to_its_first_bad_row(rows: list[tuple[int, bool]], first: int, size: int) -> None:
    """What is stored is, for each aggregate and in order, all before its first bad row; that one is refused, and no other."""
    broker = Broker(first, size)
    waiting = [row(number, aggregate, bad=bad) for number, (aggregate, bad) in enumerate(rows)]
    done = OnBroker(broker).send(waiting, pause=lambda: True)
    refused = {each.event.aggregateid: each.number for each, _ in done.refused}
    for aggregate in {each.event.aggregateid for each in waiting}:
        own = [each for each in waiting if each.event.aggregateid == aggregate]
        bad = [each.number for each in own if each.event.payload == BAD]
        assert refused.get(aggregate) == (bad[0] if bad else None)
        due = [each.event.payload for each in own if not bad or each.number < bad[0]]
        assert [value for key, value in broker.log if key == aggregate.encode()] == due
    assert len(done.stored) == len(broker.log)
