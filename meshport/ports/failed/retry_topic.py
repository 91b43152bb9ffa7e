"""The retry topic, the quarantine topic and the redrive topic of a group of readers.

They belong to the group, since what one group failed on is no matter of another. The retry topic is a table of the events that
wait: the row of an event has its original bytes, the reason, the number of its tries and when it is due, and is removed
(a tombstone) once the event is handled or quarantined. Its key is the event's position, and it is in the partition that the
event has in the port's topic, so that the member that is assigned that partition restores what waits. A row is stored before
the group's offset advances past its event.

An event that is redriven gets a row again, by another process (`redriven_row`). A member looks for such rows every few seconds.
The redrive topic has the position of each, so that it is seen which those are.

All generations of the port share the topics: what waits when the port is bound to another one is restored by its readers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Final

from meshport.address import Address, reader_quarantine_name, reader_redrive_name, retry_name, topic_name
from meshport.errors import ProcessError, TopicError
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from meshport.kafka.received import InputMessage, ReceivedMessage, headers_of
from meshport.ports.failed.headers import (
    DUE,
    TRIES,
    packed_header,
    quarantine_headers,
    redriven_header,
    split_failure,
    timestamp_ms,
)
from meshport.ports.failed.kept import kept, origin_of, reason_of
from meshport.ports.failed.packing import LARGEST, pack, unpacked
from meshport.ports.failed.retries import Keep, Remove, Step
from meshport.ports.failed.waiting import WaitingEvent
from meshport.ports.scan import TopicRange, history_reader, read_range

__all__ = ["RetryTopic", "redriven_note", "redriven_row"]

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,249}")
# A member finds within so many seconds what was redriven.
_LOOK_S: Final = 5.0
_PRODUCER: Final = {"message.max.bytes": LARGEST, "linger.ms": 0}
_QUARANTINE: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": str(LARGEST)}
# Rows are removed soon and read again at each assignment: small segments, since the one that is written is never compacted.
_WAITING: Final = {
    "cleanup.policy": "compact",
    "delete.retention.ms": "86400000",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(32 * 1024 * 1024),
    "max.message.bytes": str(LARGEST),
}


class RetryTopic:
    """Keeps the events of a port that a group failed on.

    The topics are made where they do not exist, with as many partitions as the port's topic has.

    Args:
        kafka: the connection to the cluster.
        group: the consumer group.
        address: of the port, with its major.
        topic: of the generation that is read.

    Attributes:
        name: of the retry topic.
        quarantine: the name of the quarantine topic.
        redrive: the name of the redrive topic.

    Raises:
        TopicError: no topic can have a name with that of the group in it, or the topics cannot be made.
        BrokerUnavailable: no broker answers.
    """

    def __init__(self, kafka: KafkaConfig, group: str, address: Address, topic: str) -> None:
        self._kafka = kafka
        self._topic = topic
        self.name = retry_name(group, topic_name(address))
        self.quarantine = reader_quarantine_name(group, topic_name(address))
        self.redrive = reader_redrive_name(group, topic_name(address))
        for each in (self.name, self.quarantine, self.redrive):
            if not _NAME.fullmatch(each):
                raise TopicError(
                    f"the group {group!r} cannot keep the events that it fails on: {each!r} is no name of a topic",
                    topic=each,
                    hint="a group with `on_error` is named in letters, digits, `.`, `_` and `-`, 249 with the topic",
                )
        self._admin = Admin(kafka)
        self._grow()
        self._producer = Producer(kafka, settings=_PRODUCER)
        self._looking: Consumer | None = None
        self._seen: dict[int, int] = {}
        self._look_at = 0.0

    def _grow(self) -> int:
        """Make the topics, or add partitions to them until they have as many as the port's, and return how many that has."""
        known = self._admin.partitions_of(self._topic, self.name, self.quarantine, self.redrive)
        partitions = known.get(self._topic, 0)
        for topic, config in ((self.name, _WAITING), (self.quarantine, _QUARANTINE), (self.redrive, _QUARANTINE)):
            if topic not in known:
                self._admin.ensure_topic(topic, partitions, config)
            elif known[topic] < partitions:
                self._admin.add_partitions(topic, partitions)
        return partitions

    def restored(self, partitions: Collection[int]) -> list[WaitingEvent]:
        """Return the events that wait for the readers of these partitions, in the order of the generations and their offsets."""
        count = self._grow()
        with history_reader(self._kafka) as reader:
            bounds = reader.bounds(self.name)
            own = {each: bound for each, bound in bounds.items() if each % count in partitions}
            wanted = TopicRange.within(self.name, own)
            rows = self._rows(reader, wanted)
        self._seen |= wanted.ends
        waiting = [replace(each, partition=each.message.partition % count) for each in _waiting(rows)]
        return sorted(waiting, key=lambda each: (each.message.topic == self._topic, each.position))

    def redriven(self, partitions: Collection[int]) -> list[WaitingEvent]:
        """Return the events that were redriven since the last look, for the readers of these partitions.

        There is a look every few seconds; between two of them nothing is returned.
        """
        if time.monotonic() < self._look_at:
            return []
        self._look_at = time.monotonic() + _LOOK_S
        if self._looking is None:
            self._looking = Consumer(self._kafka)
        ends = self._looking.end_offsets(self.name)
        count = len(ends)
        begins = {each: self._seen[each] for each in ends if each in self._seen and self._seen[each] < ends[each]}
        self._seen |= {each: ends[each] for each in begins}
        if not begins:
            return []
        with history_reader(self._kafka) as reader:
            rows = self._rows(reader, TopicRange(self.name, begins, {each: ends[each] for each in begins}))
        # The rows of events that this member failed on are its own: what waits of them is known.
        found = [each for each in _waiting(rows) if each.redriven and not each.tries]
        mine = [replace(each, partition=each.message.partition % count) for each in found]
        return sorted((each for each in mine if each.partition in partitions), key=lambda each: each.position)

    @staticmethod
    def _rows(reader: Consumer, wanted: TopicRange) -> Collection[ReceivedMessage]:
        """Return the last row of each position."""
        rows: dict[bytes, ReceivedMessage] = {}
        for messages in read_range(reader, wanted):
            for each in messages:
                rows[each.key() or b""] = each
        return rows.values()

    def write(self, step: Step) -> None:
        """Write what becomes of an event.

        Raises:
            PublishError, DeliveryUnknown: it is not stored for certain.
        """
        if isinstance(step, Keep):
            self._store(step.event, step.error)
        elif isinstance(step, Remove):
            self._remove(step.event.message)
        else:
            why = [*_why(step.error, step.event.redriven), (TRIES, str(step.event.tries).encode())]
            message = step.event.message
            # With its original bytes and the reason, before its row is removed.
            self._deliver(kept(self.quarantine, message, why)._replace(partition=message.partition))
            if step.waits:
                self._remove(message)

    def _store(self, event: WaitingEvent, error: Exception | None) -> None:
        self._deliver(_row(self.name, event, error))

    def _remove(self, message: InputMessage) -> None:
        self._deliver(Message(self.name, _position(message), None, (), None, message.partition))

    def _deliver(self, message: Message) -> None:
        if self._producer.fatal is not None:
            self._producer.release()
            self._producer = Producer(self._kafka, settings=_PRODUCER)
        self._producer.deliver([message])

    def close(self) -> None:
        """Close the connections; nothing is in flight, since each message is waited for."""
        self._producer.release()
        if self._looking is not None:
            self._looking.close()


def redriven_row(topic: str, message: InputMessage, redriven: int) -> Message:
    """Return the row by which a quarantined event waits again, at once.

    Args:
        topic: the retry topic.
        message: the event.
        redriven: how often it was redriven, this time included.
    """
    return _row(topic, WaitingEvent(message, message.partition, 0, 0.0, redriven), None)


def redriven_note(topic: str, message: InputMessage, redriven: int) -> Message:
    """Return the message that notes in the redrive topic that an event was redriven; arguments as for `redriven_row`."""
    headers = [redriven_header(redriven), *origin_of(message)]
    return Message(topic, _position(message), None, headers, None, message.partition)


def _row(topic: str, event: WaitingEvent, error: Exception | None) -> Message:
    message = event.message
    why = _why(error, event.redriven) if error is not None else _redriven(event.redriven)
    state = [(TRIES, str(event.tries).encode()), (DUE, str(int(event.due * 1000)).encode())]
    value = pack(message.key, message.value, message.headers)
    headers = [*why, *origin_of(message), *state, packed_header()]
    return Message(topic, _position(message), value, headers, None, message.partition)


def _why(error: Exception, redriven: int) -> list[tuple[str, bytes]]:
    return quarantine_headers(reason_of(error), error, redriven=redriven, record=None, window="")


def _redriven(redriven: int) -> list[tuple[str, bytes]]:
    return [redriven_header(redriven)] if redriven else []


def _position(message: InputMessage) -> bytes:
    return f"{message.topic}:{message.partition}:{message.offset}".encode()


def _waiting(rows: Collection[ReceivedMessage]) -> Iterator[WaitingEvent]:
    """Yield each event that waits, of the partition that it has in its topic."""
    for row in rows:
        if row.value() is None:
            continue
        given = headers_of(row) or ()
        try:
            failure, _ = split_failure(given)
            original = unpacked(row.key(), row.value(), given)
            stored = timestamp_ms(failure.stored_at)
        except (ValueError, ProcessError) as error:
            at = (row.topic(), row.partition(), row.offset())
            raise TopicError(
                f"{at[0]} [{at[1]}] offset {at[2]} is no event that a subscriber wrote: {error}",
                topic=at[0],
                partition=at[1],
                offset=at[2],
            ) from error
        message = InputMessage(failure.topic, failure.partition, failure.offset, *original, stored)
        yield WaitingEvent(message, message.partition, failure.tries, failure.due_ms / 1000, failure.redriven)
