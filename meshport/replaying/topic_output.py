"""A replay into a topic of its own, which the readers that the job names read.

Messages are copied: key, value and headers as they are, each into the partition that it has in the port's topic, with three
headers more: the job's id, the original offset, and the time at which the event was recorded. The topic itself
says how far the job came, by the last message of each partition. Messages are sent in transactions under the job's name, so that
a process that was taken for dead cannot write beside its successor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, Self

from meshport.address import replay_name
from meshport.errors import ReplayError
from meshport.event.attributes import rfc3339
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.producer import Message
from meshport.kafka.received import ReceivedMessage, headers_of
from meshport.kafka.transaction import Transactions
from meshport.ports.replay import Replay
from meshport.ports.scan import TopicRange, history_reader, read_range
from meshport.replay_jobs import ReplayJob, replay_group
from meshport.replaying.outputs import Selected

__all__ = ["OFFSET", "RECORDED", "REPLAY", "TopicOutput"]

REPLAY: Final = "ce_replayid"
"""The header with the job's id."""
OFFSET: Final = "ce_replayoffset"
"""The header with the offset that the message has in the port's topic."""
RECORDED: Final = "ce_replayrecordedtime"
"""The header with Kafka's timestamp of the message in the port's topic."""

# The messages of the topic were sent now, and are kept for a week from then.
_CONFIG: Final = {"message.timestamp.type": "LogAppendTime", "retention.ms": str(7 * 24 * 3600 * 1000)}
_LARGEST: Final = "max.message.bytes"
# Compressed, a message of 40 MB may have been taken; the copy is compressed too.
_PRODUCER: Final = {"message.max.bytes": 1_000_000_000, "compression.type": "zstd"}
_TAIL: Final = 100


class TopicOutput:
    """Copies messages into the job's topic, which is made where it is not there.

    Args:
        job: the job.
        kafka: the connection to the cluster.

    Attributes:
        topic: the job's topic.
    """

    def __init__(self, job: ReplayJob, kafka: KafkaConfig) -> None:
        self._job = job
        self._kafka = kafka
        self.topic = replay_name(job.topic, job.job)
        self._transactions = Transactions(kafka, replay_group(job.job), settings=_PRODUCER)

    def __enter__(self) -> Self:
        admin = Admin(self._kafka)
        found = admin.topic(self._job.topic)
        if found is None:
            raise ReplayError(f"the topic {self._job.topic} is not there", topic=self._job.topic)
        largest = {_LARGEST: value} if (value := found.config.get(_LARGEST)) else {}
        admin.ensure_topic(self.topic, found.partitions, _CONFIG | largest, replicas=found.replication)
        self._transactions.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._transactions.close()

    def positions(self) -> Mapping[int, int]:
        """Return the offset after the one that the last message of each partition was copied from."""
        with history_reader(self._kafka) as reader:
            bounds = reader.bounds(self.topic)
            found: dict[int, int] = {}
            span = _TAIL
            # Markers of transactions have offsets too, so that the last offsets may be of no message.
            while missing := {
                each: bound for each, bound in bounds.items() if each not in found and bound[0] < bound[1]
            }:
                begins = {each: max(low, high - span) for each, (low, high) in missing.items()}
                wanted = TopicRange(self.topic, begins, {each: high for each, (_, high) in missing.items()})
                for messages in read_range(reader, wanted):
                    found |= {each.partition(): _copied_from(each) + 1 for each in messages}
                bounds = {each: bound for each, bound in missing.items() if begins[each] > bound[0]}
                span *= 10
        return found

    def write(self, events: Selected) -> None:
        """Copy the messages of events, in one transaction."""
        if events:
            self._transactions.begin()
            self._transactions.deliver(self._copies(events))
            self._transactions.commit({}, b"")

    def passed(self, replay: Replay) -> None:
        """Nothing is to be done: the topic says itself how far the job came."""

    def finish(self) -> None:
        """Nothing is left to do: every message is committed."""

    def _copies(self, events: Selected) -> Iterable[Message]:
        job = self._job.job.encode()
        for message, event in events:
            recorded = datetime.fromtimestamp(max(0, message.timestamp()[1]) / 1000, UTC)
            headers = [
                *(headers_of(message) or ()),
                (REPLAY, job),
                (OFFSET, str(event.offset).encode()),
                (RECORDED, rfc3339(recorded)),
            ]
            yield Message(self.topic, message.key(), message.value(), headers, None, event.partition)


def _copied_from(message: ReceivedMessage) -> int:
    text = next((value for name, value in reversed(headers_of(message) or ()) if name == OFFSET), None)
    if text is None:
        raise ReplayError(
            f"{message.topic()} [{message.partition()}] has a message at offset {message.offset()} that no replay wrote",
            topic=message.topic(),
            partition=message.partition(),
            offset=message.offset(),
        )
    return int(text)
