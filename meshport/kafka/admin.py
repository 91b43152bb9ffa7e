"""Administration of a cluster: topics, their settings, and the members and offsets of consumer groups."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from functools import cached_property
from typing import Final

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

from meshport.errors import KafkaError, TopicError
from meshport.kafka.answer import ANSWER_S, answer_of
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.groups import ClusterGroups
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.topic import Topic
from meshport.kafka.topic_log import logs_of
from meshport.kafka.unreachable import ClusterIdentity, cluster_of, metadata, unreachable

_PAUSE_S: Final = 0.02
_NOT_SHOWN: Final = frozenset(
    {ClientError.UNKNOWN_TOPIC_OR_PART, ClientError.TOPIC_AUTHORIZATION_FAILED, ClientError.TOPIC_EXCEPTION}
)
_OF_TOPIC: Final = 1  # ConfigSource DYNAMIC_TOPIC_CONFIG
_IN_SYNC: Final = "min.insync.replicas"
# Of a check: a principal that may only look can make a plan, and carrying it out reports what it may not do. The broker that
# was asked for the topic may not know yet that it was made.
_PASSED: Final = frozenset(
    {
        ClientError.TOPIC_AUTHORIZATION_FAILED,
        ClientError.CLUSTER_AUTHORIZATION_FAILED,
        ClientError.TOPIC_ALREADY_EXISTS,
    }
)


class Admin:
    """An admin client of one cluster.

    Args:
        kafka: the connection to the cluster.

    Attributes:
        kafka: the connection to the cluster.

    Raises:
        BrokerUnavailable: no broker answered.
    """

    makes_adopted = False
    """Whether a topic that a port adopts is made where it does not exist."""

    def __init__(self, kafka: KafkaConfig) -> None:
        self.kafka = kafka
        self._client = new_client(AdminClient, kafka, {"log_level": 0})
        self._silent = f"no broker answers at {kafka.bootstrap_servers}"
        # An in-memory cluster takes no admin requests: it creates a topic, with four partitions, when its metadata is asked
        # for, and keeps no settings.
        self._in_memory = is_in_memory(self._cluster().id)

    def _cluster(self) -> ClusterIdentity:
        return cluster_of(self._client, self.kafka, self._silent, timeout_s=ANSWER_S)

    def _metadata(self, topic: str | None = None) -> ClusterMetadata:
        return metadata(self._client, self.kafka, self._silent, timeout_s=ANSWER_S, topic=topic)

    def brokers(self) -> int:
        """Return how many brokers the cluster has.

        Raises:
            BrokerUnavailable: no broker answered.
        """
        return self._cluster().brokers

    def partitions(self) -> dict[str, int]:
        """Return the number of partitions of every topic of the cluster, which is slow where there are thousands.

        Raises:
            BrokerUnavailable: no broker answered.
        """
        return {name: len(topic.partitions) for name, topic in self._metadata().topics.items()}

    def partitions_of(self, *names: str) -> dict[str, int]:
        """Return the number of partitions of topics; one that does not exist, or that this login may not see, is left out.

        Raises:
            KafkaError: the cluster did not answer.
        """
        if self._in_memory:
            known = self.partitions()
            return {name: known[name] for name in names if name in known}
        return {name: len(found.partitions) for name, found in self._descriptions(names).items()}

    def _descriptions(self, names: Collection[str]) -> dict[str, TopicDescription]:
        """Return what a broker knows of topics, those left out that it does not show."""
        if not names:
            return {}
        found = {}
        asked = self._client.describe_topics(TopicCollection([*names]), request_timeout=ANSWER_S)
        for name in dict.fromkeys(names):
            try:
                found[name] = answer_of(asked[name], self._silent)
            except KafkaException as error:
                if error.args[0].code() not in _NOT_SHOWN:
                    raise unreachable(self.kafka, error, f"cannot see the topic {name}") from error
        return found

    def topic(self, name: str) -> Topic | None:
        """Return the topic of a name, or None where there is none.

        A broker can name a topic in its metadata that it, or another broker, no longer or does not yet know: the question is
        repeated until both answers agree.

        Raises:
            KafkaError: the cluster did not answer, or the two answers still differ after 15 s.
        """
        if self._in_memory:
            partitions = self.partitions().get(name)
            return None if partitions is None else Topic(name, partitions, 1, {})
        deadline = time.monotonic() + ANSWER_S
        while (found := self._descriptions([name]).get(name)) is not None:
            try:
                return self._described(name, found)
            except KafkaException as error:
                unknown = error.args[0].code() == ClientError.UNKNOWN_TOPIC_OR_PART
                if not unknown or time.monotonic() > deadline:
                    raise client_error(error, f"cannot see the topic {name}") from error
            time.sleep(_PAUSE_S)
        return None

    def _described(self, name: str, found: TopicDescription) -> Topic:
        resource = ConfigResource(ResourceType.TOPIC, name)
        entries = answer_of(self._client.describe_configs([resource])[resource], f"cannot see the topic {name}")
        given: dict[str, str] = {}
        defaults: dict[str, str] = {}
        for key, entry in entries.items():
            (given if entry.source == _OF_TOPIC else defaults)[key] = str(entry.value)
        replicas = min(len(each.replicas) for each in found.partitions)
        return Topic(name, len(found.partitions), replicas, given, defaults)

    def topic_ids(self, names: Collection[str]) -> dict[str, str]:
        """Return Kafka's ids of topics, by topic; a topic that has none, or does not exist, is left out.

        Raises:
            KafkaError: the cluster did not answer.
        """
        if self._in_memory or not names:
            return {}
        logs = logs_of(self._client.describe_topics(TopicCollection([*names]), request_timeout=ANSWER_S))
        return {name: log.id for name, log in logs.items() if log.id is not None}

    def replicas(self, declared: int | None) -> int:
        """Return how many replicas a new topic gets.

        As declared, else as the connection's `replication.factor` says. Without either, three where there are as many brokers,
        else one: a broker that is away does not count, so a mesh that needs three says so.

        Raises:
            BrokerUnavailable: no broker answered.
        """
        return declared or self.kafka.replicas or (3 if self.brokers() >= 3 else 1)

    def in_sync_replicas(self, declared: int, replicas: int) -> int:  # noqa: ARG002 - of a cluster on one machine
        """Return how many of a topic's replicas have to store an event where a port declares so many."""
        return declared

    def ensure_topic(
        self, name: str, partitions: int, config: Mapping[str, str] | None = None, *, replicas: int | None = None
    ) -> bool:
        """Create a topic if there is none.

        Args:
            name: of the topic.
            partitions: how many it has.
            config: its settings.
            replicas: how many replicas it has; by default as many as the method `replicas` returns. Of three or more, two have to
                store an event (`min.insync.replicas`) unless `config` gives another number.

        Returns:
            Whether it was created by this call.

        Raises:
            TopicError: the topic exists with another number of partitions, or could not be created.
        """
        if self._in_memory:
            return self._ensure_in_memory(name, partitions)
        # A cluster that has no controller for the moment does not answer a request to create a topic, even one that exists.
        if name in (known := self.partitions_of(name)):
            self._refuse_other_count(name, known[name], partitions)
            return False
        new = self._new_topic(name, partitions, config or {}, self.replicas(replicas))
        try:
            asked = self._client.create_topics([new], operation_timeout=ANSWER_S)[name]
            answer_of(asked, f"cannot make the topic {name}")
        except KafkaException as error:
            if error.args[0].code() != ClientError.TOPIC_ALREADY_EXISTS:
                raise client_error(error, f"cannot make the topic {name}") from error
        else:
            self._await_topic(name)
            return True
        self._refuse_other_count(name, self.partitions_of(name).get(name, partitions), partitions)
        return False

    def _new_topic(self, name: str, partitions: int, config: Mapping[str, str], replicas: int) -> NewTopic:
        # The cluster's default may be two, with which nothing could be stored in a topic that has one replica.
        in_sync = {_IN_SYNC: "2" if replicas >= 3 else "1"} if self.brokers() > 1 else {}
        return NewTopic(name, num_partitions=partitions, replication_factor=replicas, config={**in_sync, **config})

    def check_new_topic(self, name: str, partitions: int, config: Mapping[str, str], replicas: int) -> None:
        """Ask the cluster whether it would create a topic; it creates none.

        Raises:
            KafkaError: it would refuse a setting, or the number of replicas.
        """
        if self._in_memory:
            return
        new = self._new_topic(name, partitions, config, replicas)
        what = f"the topic {name} cannot be made as declared"
        try:
            asked = self._client.create_topics([new], operation_timeout=ANSWER_S, validate_only=True)[name]
            answer_of(asked, what)
        except KafkaException as error:
            if error.args[0].code() not in _PASSED:
                raise client_error(error, what) from error

    def _await_topic(self, name: str) -> None:
        """Wait until a new topic is in the metadata: the request is answered before every broker knows of the topic."""
        deadline = time.monotonic() + ANSWER_S
        while name not in self.partitions_of(name) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)

    def _ensure_in_memory(self, name: str, partitions: int) -> bool:
        there = name in self.partitions()
        self._refuse_other_count(name, len(self._metadata(name).topics[name].partitions), partitions)
        return not there

    def _refuse_other_count(self, name: str, found: int, declared: int) -> None:
        if found != declared:
            raise TopicError(
                f"the topic {name} has {found} partitions, {declared} are declared",
                topic=name,
                hint="it never changes under one generation, since keys would move: declare what is there, or rebuild",
            )

    def add_partitions(self, name: str, total: int) -> None:
        """Add partitions to a topic until it has `total`; does nothing where it has as many or more.

        Raises:
            TopicError: there is no such topic, or the broker refused it.
        """
        if self.partitions_of(name).get(name, 0) >= total:
            return
        try:
            asked = self._client.create_partitions([NewPartitions(name, total)], operation_timeout=ANSWER_S)[name]
            answer_of(asked, f"cannot add partitions to {name}")
        except KafkaException as error:
            if self.partitions_of(name).get(name, 0) < total:  # another process may have added them meanwhile
                raise client_error(error, f"cannot add partitions to {name}") from error
        deadline = time.monotonic() + ANSWER_S
        while self.partitions_of(name).get(name, 0) < total and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)

    def set_config(self, name: str, config: Mapping[str, str], removed: Collection[str] = ()) -> None:
        """Change settings of a topic; the others keep their values. Return once a broker shows the new ones.

        Args:
            name: of the topic.
            config: the settings to set.
            removed: the settings that get the cluster's default again.

        Raises:
            TopicError: there is no such topic.
            KafkaError: the broker refused a setting.
        """
        if self._in_memory:
            return
        what = f"cannot change the settings of {name}"
        try:
            answer_of(self._alter(name, config, removed, validate_only=False), what)
        except KafkaException as error:
            raise client_error(error, what) from error
        # The controller has taken them, and brokers learn of it later (KIP-500).
        deadline = time.monotonic() + ANSWER_S
        while not self._has_settings(name, config, removed) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)

    def _has_settings(self, name: str, config: Mapping[str, str], removed: Collection[str]) -> bool:
        try:
            found = self.topic(name)
        except KafkaError:  # this login may change settings and not see them
            return True
        return found is None or (config.items() <= found.config.items() and found.config.keys().isdisjoint(removed))

    def check_config(self, name: str, config: Mapping[str, str], removed: Collection[str] = ()) -> None:
        """Ask the cluster whether `set_config` would succeed; nothing is changed.

        Raises:
            KafkaError: it would refuse a setting.
        """
        if self._in_memory:
            return
        what = f"the settings of {name} cannot be changed as declared"
        try:
            answer_of(self._alter(name, config, removed, validate_only=True), what)
        except KafkaException as error:
            if error.args[0].code() not in _PASSED:
                raise client_error(error, what) from error

    def _alter(
        self, name: str, config: Mapping[str, str], removed: Collection[str], *, validate_only: bool
    ) -> Future[None]:
        entries = [
            *(ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in config.items()),
            *(ConfigEntry(key, "", incremental_operation=AlterConfigOpType.DELETE) for key in removed),
        ]
        resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
        return self._client.incremental_alter_configs([resource], validate_only=validate_only)[resource]

    def records(self, name: str) -> int:
        """Return how many offsets a topic holds: events, and the markers of transactions; 0 where there is no such topic.

        Raises:
            KafkaError: a leader did not answer.
        """
        what = f"cannot see what {name} holds"
        partitions = [TopicPartition(name, each) for each in range(self.partitions_of(name).get(name, 0))]
        bounds = []
        try:
            for wanted in (OffsetSpec.earliest(), OffsetSpec.latest()):  # type: ignore[no-untyped-call] # of the client
                asked = self._client.list_offsets(dict.fromkeys(partitions, wanted), request_timeout=ANSWER_S)
                bounds.append(sum(int(answer_of(each, what).offset) for each in asked.values()))
        except KafkaException as error:
            raise client_error(error, what) from error
        first, end = bounds
        return end - first

    @cached_property
    def groups(self) -> ClusterGroups:
        """The consumer groups of the cluster.

        Raises:
            KafkaError: it is an in-memory cluster, which shows none.
        """
        return ClusterGroups(self.kafka)

    def groups_of(self, name: str) -> list[str]:
        """Return the consumer groups that have committed offsets in a topic, or whose members are assigned to it.

        Raises:
            KafkaError: a coordinator did not answer.
        """
        if self._in_memory:  # it keeps no groups that an admin client could list
            return []
        return [each.name for each in self.groups.readers_of(name)]

    def delete_topic(self, name: str) -> None:
        """Delete a topic and all its events; return once it is in no metadata, so that it can be made again.

        Raises:
            TopicError: there is no such topic.
        """
        try:
            asked = self._client.delete_topics([name], operation_timeout=ANSWER_S)[name]
            answer_of(asked, f"cannot delete the topic {name}")
        except KafkaException as error:
            raise client_error(error, f"cannot delete the topic {name}") from error
        deadline = time.monotonic() + ANSWER_S
        while name in self.partitions_of(name) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
