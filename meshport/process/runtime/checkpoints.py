"""The latest checkpoints of a processor, read from the ends of its changelogs: every batch ends with a checkpoint.

The state itself is not read, so that a large state takes no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import ReceivedMessage
from meshport.ports.scan import TopicRange, history_reader, read_range
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.keys import CHECKPOINT_KEY
from meshport.process.wire.plan import Plan

_FIRST_SEARCH: Final = 200
_SEARCH_GROWTH: Final = 8

_Found = TypeVar("_Found")


def latest_checkpoints(plan: Plan, log: KafkaLog) -> list[dict[int, Checkpoint]]:
    """Return the latest checkpoint of each partition, stage by stage.

    A stage without a changelog topic, such as one that an earlier logic did not have, has empty checkpoints.
    """
    known = Admin(plan.kafka).partitions_of(*(stage.changelog for stage in plan.stages))
    return [
        _checkpoints(plan, stage.changelog, log)
        if stage.changelog in known
        else dict.fromkeys(range(stage.partitions), Checkpoint())
        for stage in plan.stages
    ]


def _checkpoints(plan: Plan, changelog: str, log: KafkaLog) -> dict[int, Checkpoint]:
    bounds = log.decided(changelog)

    def newest(messages: list[ReceivedMessage]) -> Checkpoint | None:
        found: list[Checkpoint] = []
        for each in messages:
            if each.key() == CHECKPOINT_KEY and (value := each.value()) is not None:
                with suppress(
                    ValueError, TypeError, LookupError
                ):  # of a damaged changelog the last one that can be read
                    found.append(Checkpoint.read(value))
        # The last one may be a zombie's, and older than the one before it.
        return max(found, key=lambda each: each.stamp, default=None)

    found = search_from_end(plan.kafka, changelog, bounds, newest)
    return {partition: found.get(partition) or Checkpoint() for partition in bounds}


def readable_ends(kafka: KafkaConfig, topic: str, bounds: Mapping[int, tuple[int, int]]) -> dict[int, int]:
    """Return the offset after the last message of each partition, without the markers of transactions that follow it.

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
    """Search the last messages of each partition, and ever more of them where nothing is found.

    Args:
        kafka: the connection to the cluster.
        topic: the topic.
        bounds: (first offset, end offset) of each partition.
        find: called with the last messages of one partition, in order and at least one; returns what it found, or None.

    Returns:
        What `find` returned, by partition; a partition in which nothing was found is left out.
    """
    found: dict[int, _Found] = {}
    ends = {partition: end for partition, (begin, end) in bounds.items() if begin < end}
    span = _FIRST_SEARCH
    while ends:
        begins = {partition: max(bounds[partition][0], end - span) for partition, end in ends.items()}
        # A new consumer each time: librdkafka delays a partition that the same consumer has read and paused by a second.
        read: dict[int, list[ReceivedMessage]] = {}
        with history_reader(kafka) as reader:
            for messages in read_range(reader, TopicRange(topic, begins, ends)):
                for each in messages:
                    read.setdefault(each.partition(), []).append(each)
        for partition, messages in read.items():
            if (what := find(messages)) is not None:
                found[partition] = what
        ends = {
            partition: end
            for partition, end in ends.items()
            if partition not in found and begins[partition] > bounds[partition][0]
        }
        span *= _SEARCH_GROWTH
    return found
