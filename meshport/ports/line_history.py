"""The range of an earlier line that a bounded reader reads before the line itself."""

from __future__ import annotations

from datetime import datetime

from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.ports.earlier_lines import EarlierLine
from meshport.ports.history import Missing, insist, readable_bounds, removed_history
from meshport.ports.scan import TopicRange

__all__ = ["line_range"]


def line_range(
    line: EarlierLine,
    kafka: KafkaConfig,
    consumer: Consumer,
    missing: Missing,
    hint: str,
    *,
    since: datetime | None = None,
    recorded: datetime | None = None,
) -> TopicRange:
    """Return the offsets of an earlier line that count, of its archive and its topic together.

    What an open transaction hides is left out, and logged.

    Args:
        line: the line.
        kafka: the connection to its cluster.
        consumer: of that cluster, which reads the line's archive as well.
        missing: whether events may be missing that are neither in the topic nor in the archive.
        hint: of the error where they may not.
        since: the time from which history is asked for; None for its beginning.
        recorded: the time from which on what is asked for was recorded; None for its beginning.

    Raises:
        HistoryMissing: events are missing, and `missing` does not allow it.
        KafkaError: the cluster did not answer.
    """
    topic = line.binding.topic
    bounds, undecided = readable_bounds(kafka, consumer, topic)
    insist(removed_history(kafka, topic, bounds, since, ports=[line.binding]), missing, hint)
    insist(undecided, Missing.ALLOW, hint)
    begins = None
    if recorded is not None:
        begins = consumer.offsets_at(topic, max(0, int(recorded.timestamp() * 1000)))
    return TopicRange.within(topic, bounds, begins=begins, ends=line.ends(consumer, bounds))
