"""The consumer groups of brokers as the groups of lines, and when they are reported."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from meshport.address import Address
from meshport.binding import Binding, Continuation
from meshport.errors import BrokerUnavailable
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.kafka.groups import ConsumerGroup, GroupMember
from meshport.kafka.topic_partition import TopicPartition
from meshport.observe import reading_groups
from meshport.observe.reading_groups import GroupObserver, groups_by_line
from meshport.seen_readers import GroupReport, GroupReports, LineReaders

MEMBER = GroupMember("id", "client", "/host")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def binding(address: str, topic: str, *before: str) -> Binding:
    """Return a binding of an address to a topic, after earlier generations."""
    return Binding(
        address=Address.parse(address),
        bootstrap_servers="kafka:9092",
        topic=topic,
        partitions=2,
        type="Row",
        subject=f"{topic}-value",
        schema_id=1,
        fingerprint="0" * 64,
        schema_text='"string"',
        owner="tests",
        continues=tuple(
            Continuation(generation=number, topic=each, ends={}, begins={}) for number, each in enumerate(before, 1)
        ),
    )


def group(name: str, committed: dict[tuple[str, int], int], *assigned: tuple[str, int]) -> ConsumerGroup:
    """Return a group with what it has committed and is assigned."""
    return ConsumerGroup(
        name,
        "stable",
        len(assigned),
        {TopicPartition(*each): MEMBER for each in assigned},
        {TopicPartition(*each): offset for each, offset in committed.items()},
    )


PLAYS = binding("mesh://player/plays/events@1", "plays.g2", "plays")
SKIPS = binding("mesh://player/skips/events@1", "skips")


def test_groups_are_reported_by_line() -> None:
    """Offsets of all generations of a line count together; groups of other topics are left out, and a line may have none."""
    found = groups_by_line(
        [PLAYS, SKIPS],
        [
            group("late", {("other", 0): 9}),
            group("billing", {("plays", 0): 5, ("plays.g2", 1): 3, ("skips", 0): 2}, ("skips", 1)),
            group("assigned", {}, ("plays.g2", 0)),
            group("n" * 257, {("plays", 0): 5}),
        ],
    )
    assert found == {
        PLAYS.address: (GroupReport(name="assigned", live=True), GroupReport(name="billing", committed=8)),
        SKIPS.address: (GroupReport(name="billing", committed=2, live=True),),
    }
    assert groups_by_line([PLAYS], []) == {PLAYS.address: ()}


def test_a_report_has_so_many_groups_at_most() -> None:
    """Of more groups than a report takes, the first by name are reported."""
    many = [group(f"g{number:04}", {("skips", 0): 1}) for number in range(600)]
    (found,) = groups_by_line([SKIPS], reversed(many)).values()
    assert [each.name for each in found] == [each.name for each in many[:500]]


class Reports:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.lines: list[Address] = []

    def report_groups(self, line: Address, reports: GroupReports) -> LineReaders:
        """See `Registry.report_groups`."""
        assert reports.at == NOON
        self.lines.append(line)
        return LineReaders(address=line)


def test_groups_are_looked_at_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look within a minute of the last one asks no broker; a cluster that does not answer is reported by nothing."""
    asked: list[str] = []

    class Groups:
        def __init__(self, kafka: KafkaConfig) -> None:
            if kafka.bootstrap_servers == "away:9092":
                raise BrokerUnavailable("no broker answers")

        def names(self) -> list[str]:
            asked.append("names")
            return []

        def describe(self, names: list[str]) -> list[ConsumerGroup]:
            assert names == []
            return []

    monkeypatch.setattr(reading_groups, "ClusterGroups", Groups)
    seconds, reports = [0.0], Reports()
    away = SKIPS.model_copy(update={"bootstrap_servers": "away:9092"})
    observer = GroupObserver(reports, KafkaClusters(), monotonic=lambda: seconds[0], now=lambda: NOON)
    for now, looks in ((0.0, 1), (59.0, 1), (60.0, 2), (100.0, 2)):
        seconds[0] = now
        observer.report([away, PLAYS])
        assert (len(asked), reports.lines) == (looks, [PLAYS.address] * looks)
