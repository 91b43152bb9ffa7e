"""How far a processor has come, told by the ends of its changelogs: every batch ends with a checkpoint.

The state itself is not looked at, so that it takes no longer for a large one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import ReceivedMessage
from meshport.ports.scan import Stretch, history_reader, scan
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.state.changelog import CHECKPOINT_KEY, Checkpoint
from meshport.process.wire.plan import Plan

_NEAR_END: Final = 200
_FURTHER: Final = 8

_Found = TypeVar("_Found")


def latest_checkpoints(plan: Plan, log: KafkaLog) -> list[dict[int, Checkpoint]]:
    """How far a processor's state has come: the checkpoint of each partition, stage by stage.

    A stage whose changelog is not there, as where another logic had none of the kind, has come nowhere.
    """
    known = Admin(plan.kafka).partitions()
    return [
        _checkpoints(plan, stage.changelog, log)
        if stage.changelog in known
        else dict.fromkeys(range(stage.partitions), Checkpoint())
        for stage in plan.stages
    ]


def _checkpoints(plan: Plan, changelog: str, log: KafkaLog) -> dict[int, Checkpoint]:
    bounds = log.decided(changelog)

    def newest(messages: list[ReceivedMessage]) -> Checkpoint | None:
        values = [each.value() for each in messages if each.key() == CHECKPOINT_KEY]
        found = [Checkpoint.read(value) for value in values if value is not None]
        return max(found, key=lambda each: each.stamp, default=None)  # a zombie's older one may come after a newer one

    found = search_from_end(plan.kafka, changelog, bounds, newest)
    return {partition: found.get(partition) or Checkpoint() for partition in bounds}


def readable_ends(kafka: KafkaConfig, topic: str, bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """The offset behind the last message of each partition: markers of transactions take offsets that no reader sees.

    Args:
        kafka: the connection to the cluster.
        topic: the topic.
        bounds: (first offset, end offset) of each partition.
    """
    found = search_from_end(kafka, topic, bounds, lambda messages: messages[-1].offset() + 1)
    return {partition: found.get(partition, begin) for partition, (begin, _) in bounds.items()}


def search_from_end(
    kafka: KafkaConfig,
    topic: str,
    bounds: Mapping[int, tuple[int, int]],
    find: Callable[[list[ReceivedMessage]], _Found | None],
) -> dict[int, _Found]:
    """What is found in the last messages of each partition; ever more of them are read where nothing is.

    Args:
        kafka: the connection to the cluster.
        topic: the topic.
        bounds: (first offset, end offset) of each partition.
        find: gets some messages of one partition, one at least, in order.
    """
    found: dict[int, _Found] = {}
    ends = {partition: end for partition, (begin, end) in bounds.items() if begin < end}
    stretch = _NEAR_END
    while ends:
        begins = {partition: max(bounds[partition][0], end - stretch) for partition, end in ends.items()}
        # A new one each time: a partition that was read by one before comes a second later, by librdkafka's way of pausing.
        reader = history_reader(kafka)
        there: dict[int, list[ReceivedMessage]] = {}
        try:
            for messages in scan(reader, Stretch(topic, begins, ends)):
                for each in messages:
                    there.setdefault(each.partition(), []).append(each)
        finally:
            reader.close()
        for partition, messages in there.items():
            if (what := find(messages)) is not None:
                found[partition] = what
        ends = {
            partition: end
            for partition, end in ends.items()
            if partition not in found and begins[partition] > bounds[partition][0]
        }
        stretch *= _FURTHER
    return found
