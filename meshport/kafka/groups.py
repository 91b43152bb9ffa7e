"""The consumer groups of a cluster: who the members are, what each holds, and what the groups have committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, TypeVar

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException
from confluent_kafka import KafkaError as ClientError
from confluent_kafka import TopicPartition as ClientPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConsumerGroupDescription, OffsetSpec

from meshport.errors import KafkaError
from meshport.kafka.answer import ANSWER_S, answer_of
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.topic_offsets import once_ready
from meshport.kafka.topic_partition import TopicPartition
from meshport.kafka.unreachable import cluster_of, unreachable

__all__ = ["ClusterGroups", "ConsumerGroup", "GroupMember"]

_Answer = TypeVar("_Answer")

# Of a request about a group that ended meanwhile, or that this login may not see.
_PASSED: Final = frozenset({ClientError.GROUP_ID_NOT_FOUND, ClientError.GROUP_AUTHORIZATION_FAILED})
_GONE: Final = frozenset(
    {
        ClientError.UNKNOWN_TOPIC_OR_PART,
        ClientError.TOPIC_AUTHORIZATION_FAILED,
        ClientError._UNKNOWN_PARTITION,  # noqa: SLF001 - of a topic with fewer; public under this spelling only
        ClientError._NOENT,  # noqa: SLF001 - of each, where none that is asked for exists; as above
    }
)


class GroupMember(NamedTuple):
    """A member of a consumer group.

    Attributes:
        id: the id that its coordinator gave it.
        client: its client's `client.id`.
        host: where it connects from.
    """

    id: str
    client: str
    host: str

    def __str__(self) -> str:
        return f"{self.client}@{self.host.lstrip('/')}"


@dataclass(frozen=True)
class ConsumerGroup:
    """A consumer group, as its coordinator describes it.

    Attributes:
        name: of the group.
        state: by Kafka's word, in small letters: `stable`, `empty`, `preparing_rebalancing`, ...
        members: how many it has.
        assigned: the member that is assigned each partition.
        committed: the next offset to read of each partition, as the group committed it.
    """

    name: str
    state: str
    members: int
    assigned: Mapping[TopicPartition, GroupMember]
    committed: Mapping[TopicPartition, int]

    @property
    def partitions(self) -> set[TopicPartition]:
        """The partitions that it is assigned, or has committed an offset of."""
        return {*self.assigned, *self.committed}

    def committed_in(self, topic: str) -> dict[int, int]:
        """Return the next offset to read of each partition of a topic in which it has committed one."""
        return {each.partition: offset for each, offset in self.committed.items() if each.topic == topic}


class ClusterGroups:
    """Asks for the groups of one cluster, and for the bounds of what they read.

    Args:
        kafka: the connection to the cluster.

    Attributes:
        kafka: the connection to the cluster.
        hidden: of the groups that the last `describe` was asked for, those that this login may not see.

    Raises:
        BrokerUnavailable: no broker answers.
        KafkaError: it is an in-memory cluster, which shows none.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self.kafka = kafka
        self.hidden: set[str] = set()
        self._client = new_client(AdminClient, kafka, {"log_level": 0})
        what = f"no broker answers at {kafka.bootstrap_servers}"
        if is_in_memory(cluster_of(self._client, kafka, what, timeout_s=ANSWER_S).id):
            raise KafkaError(
                f"the cluster at {kafka.bootstrap_servers} is librdkafka's in-memory one, which shows no consumer groups",
                hint="on a real Kafka, as the embedded one of `meshport up`, they can be seen",
            )

    def _metadata(self) -> ClusterMetadata:
        try:
            return self._client.list_topics(timeout=ANSWER_S)
        except KafkaException as error:
            raise unreachable(self.kafka, error, f"no broker answers at {self.kafka.bootstrap_servers}") from error

    def partitions(self) -> dict[str, int]:
        """Return how many partitions each topic has that this login may see.

        Raises:
            BrokerUnavailable: no broker answered.
        """
        return {name: len(each.partitions) for name, each in self._metadata().topics.items()}

    def names(self) -> list[str]:
        """Return the names of the groups that this login may see.

        Raises:
            BrokerUnavailable: no broker answered.
            KafkaError: a coordinator did not answer.
        """
        try:
            asked = self._client.list_consumer_groups(request_timeout=ANSWER_S)
            return sorted(each.group_id for each in answer_of(asked, "cannot list the consumer groups").valid)
        except KafkaException as error:
            raise unreachable(self.kafka, error, "cannot list the consumer groups") from error

    def describe(self, names: Iterable[str]) -> list[ConsumerGroup]:
        """Return the groups of these names; one that has ended, or that this login may not see, is left out.

        Raises:
            KafkaError: a coordinator did not answer.
        """
        names = list(names)
        self.hidden = set()
        if not names:
            return []
        described = {}
        for name, asked in self._client.describe_consumer_groups(names, request_timeout=ANSWER_S).items():
            found = once_ready(partial(self._described, name, [asked]), _unseen(name))
            if found is not None and found.state is not ConsumerGroupState.DEAD:
                described[name] = found
        # Only of groups that their coordinators have just described: librdkafka ends the process where an admin client learns
        # that a broker is not the coordinator (confluentinc/librdkafka#5040).
        # It takes one group a request; all are sent before the first answer is waited for.
        offsets = {
            name: self._client.list_consumer_group_offsets(
                [ConsumerGroupTopicPartitions(name)], request_timeout=ANSWER_S
            )[name]
            for name in described
        }
        committed = {name: _answered(asked, name) for name, asked in offsets.items()}
        return [
            ConsumerGroup(
                name,
                each.state.name.lower(),
                len(each.members),
                {
                    TopicPartition(one.topic, one.partition): GroupMember(
                        member.member_id, member.client_id, member.host
                    )
                    for member in each.members
                    for one in member.assignment.topic_partitions
                },
                {
                    TopicPartition(one.topic, one.partition): one.offset
                    for one in found.topic_partitions or ()
                    if one.offset >= 0
                },
            )
            for name, each in described.items()
            if (found := committed[name]) is not None
        ]

    def readers_of(self, topic: str) -> list[ConsumerGroup]:
        """Return the groups that have committed offsets in a topic, or whose members are assigned to it.

        Raises:
            KafkaError: a coordinator did not answer.
        """
        return [
            each for each in self.describe(self.names()) if topic in {partition.topic for partition in each.partitions}
        ]

    def committed_offsets(self, topic: str) -> dict[str, dict[int, int]]:
        """Return the offsets that groups have committed in a topic: group, then partition, to next offset.

        Raises:
            KafkaError: a coordinator did not answer.
        """
        found = {each.name: each.committed_in(topic) for each in self.readers_of(topic)}
        return {group: offsets for group, offsets in found.items() if offsets}

    def members(self, group: str) -> int:
        """Return how many members a group has now; 0 where there is no such group.

        Raises:
            KafkaError: the group's coordinator did not answer, or this login may not see the group.
        """
        found = sum(each.members for each in self.describe([group]))
        if self.hidden:
            raise KafkaError(f"this login may not see the group {group}", hint="it needs the right to Describe it")
        return found

    def delete(self, group: str) -> bool:
        """Delete a group with its offsets; return whether there was one.

        Raises:
            KafkaError: the group has members, or its coordinator did not answer.
        """
        what = f"cannot delete the group {group}"
        try:
            answer_of(self._client.delete_consumer_groups([group], request_timeout=ANSWER_S)[group], what)
        except KafkaException as error:
            if error.args[0].code() == ClientError.GROUP_ID_NOT_FOUND:
                return False
            raise client_error(error, what) from error
        return True

    def _described(self, name: str, asked: list[Future[ConsumerGroupDescription]]) -> ConsumerGroupDescription | None:
        """Return the answer to the first question, and of a further call that to another one."""
        again: Future[ConsumerGroupDescription] = (
            asked.pop() if asked else self._client.describe_consumer_groups([name], request_timeout=ANSWER_S)[name]
        )
        try:
            return answer_of(again, _unseen(name))
        except KafkaException as error:
            if error.args[0].code() not in _PASSED:
                raise
            if error.args[0].code() == ClientError.GROUP_AUTHORIZATION_FAILED:
                self.hidden.add(name)
            return None

    def bounds(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
        """Return (first offset, end offset) of partitions; one that does not exist is left out.

        Raises:
            KafkaError: a leader did not answer.
        """
        asked = {each: ClientPartition(*each) for each in partitions}
        if not asked:
            return {}
        specs = (OffsetSpec.earliest(), OffsetSpec.latest())  # type: ignore[no-untyped-call] # of the client
        first, end = (
            self._client.list_offsets(dict.fromkeys(asked.values(), spec), request_timeout=ANSWER_S) for spec in specs
        )
        found = {}
        for ours, its in asked.items():
            what = f"cannot see the offsets of {ours}"
            try:
                found[ours] = (answer_of(first[its], what).offset, answer_of(end[its], what).offset)
            except KafkaException as error:
                if error.args[0].code() not in _GONE:
                    raise client_error(error, what) from error
        return found


def _unseen(group: str) -> str:
    return f"cannot see the group {group}"


def _answered(asked: Future[_Answer], group: str) -> _Answer | None:
    """Return the answer to a question about a group; None where it has ended, or this login may not see it."""
    try:
        return _unless_passed(asked, group)
    except KafkaException as error:
        raise client_error(error, _unseen(group)) from error


def _unless_passed(asked: Future[_Answer], group: str) -> _Answer | None:
    try:
        return answer_of(asked, _unseen(group))
    except KafkaException as error:
        if error.args[0].code() in _PASSED:
            return None
        raise
