"""The identity of a topic's log: a topic that is deleted and made again has the same name and another log.

Kafka gives each topic an id when it is made (KIP-516). Offsets, checkpoints and totals belong to one log. Where the new log has
reached the position of a consumer, the consumer continues in the middle of it, without an error (confluentinc/librdkafka#3255).
So a reader keeps the id, and a `LogWatch` compares it with the present one every few seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, NamedTuple

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, ClusterMetadata, TopicDescription

from meshport.errors import BrokerUnavailable, KafkaError, MeshError, TopicRemade
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.unreachable import cluster_of, metadata

LOOK_S: Final = 3.0
"""The seconds after which a watch asks for the ids again."""

_TIMEOUT_S: Final = 15.0
# While a broker that was lost is still the controller of librdkafka's metadata, a request for topics keeps two of its threads
# busy without a pause, 100,000 wake-ups a second, until it is answered or its time is over: the brokers need that processor
# time to elect leaders. So a reader that runs asks for a short time, and not again soon after a failure.
_ASK_S: Final = 3.0
_LOOKS_LEFT_OUT: Final = 3
_MADE_AGAIN_S: Final = 5.0
_PAUSE_S: Final = 0.05
_NO_TOPIC: Final = frozenset({ClientError.UNKNOWN_TOPIC_OR_PART, ClientError.UNKNOWN_TOPIC_ID})
# Brokers before Kafka 2.8 have no ids; librdkafka then gives the one that is all zeros.
_NO_ID: Final = "AAAAAAAAAAAAAAAAAAAAAA"

Answers = Mapping[str, "Future[TopicDescription]"]


class TopicLog(NamedTuple):
    """The log behind a topic's name.

    Attributes:
        topic: the topic's name.
        id: the id that the cluster gave the topic when it was made; None where the cluster gives none.
        partitions: how many partitions it has.
    """

    topic: str
    id: str | None
    partitions: int


class TopicLogs:
    """Asks a cluster for the logs of topics.

    Args:
        kafka: the connection to the cluster.

    Raises:
        BrokerUnavailable: no broker answered.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._client = new_client(AdminClient, kafka, {"log_level": 0})
        # An in-memory cluster does not answer requests for topics; nor is a topic of it ever made again.
        what = f"no broker answers at {kafka.bootstrap_servers}"
        self._in_memory = is_in_memory(cluster_of(self._client, kafka, what, timeout_s=_TIMEOUT_S).id)

    def _metadata(self) -> ClusterMetadata:
        what = f"no broker answers at {self._kafka.bootstrap_servers}"
        return metadata(self._client, self._kafka, what, timeout_s=_TIMEOUT_S)

    def ask(self, topics: Iterable[str], timeout_s: float) -> Answers:
        """Send a request for topics, and return at once; an in-memory cluster is not asked.

        Args:
            topics: to ask for.
            timeout_s: seconds after which a request without an answer has failed.
        """
        if self._in_memory:
            return {}
        return self._client.describe_topics(TopicCollection([*topics]), request_timeout=timeout_s)

    def of(self, *topics: str, timeout_s: float = _TIMEOUT_S) -> dict[str, TopicLog]:
        """Return the present logs of topics; a topic that does not exist is left out.

        Args:
            topics: to ask for.
            timeout_s: seconds to wait for an answer.

        Raises:
            KafkaError: the cluster did not answer.
        """
        if self._in_memory:
            found = self._metadata().topics
            return {topic: TopicLog(topic, None, len(found[topic].partitions)) for topic in topics if topic in found}
        return logs_of(self.ask(topics, timeout_s)) if topics else {}


def logs_of(answers: Answers) -> dict[str, TopicLog]:
    """Return the logs that a cluster has answered with; a topic that does not exist is left out."""
    found = {}
    for topic, answer in answers.items():
        try:
            description = answer.result(timeout=_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() not in _NO_TOPIC:
                raise client_error(error, f"cannot see the topic {topic}") from error
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"cannot see the topic {topic}: no broker answered within {_TIMEOUT_S:g} s"
            ) from error
        else:
            id = str(description.topic_id)
            found[topic] = TopicLog(topic, None if id == _NO_ID else id, len(description.partitions))
    return found


def topic_remade(
    topic: str,
    ids: tuple[str | None, str | None],
    reader: str,
    *,
    hint: str,
    group: str | None = None,
    partition: int | None = None,
    offset: int | None = None,
) -> TopicRemade:
    """Return the error of a topic that was deleted and made again.

    Args:
        topic: the topic.
        ids: of the log that was read, and of the present one.
        reader: what was read of the earlier log, as a clause for the message.
        hint: what would be right.
        group: the consumer group, if there is one.
        partition: of the position in the earlier log.
        offset: of the position in the earlier log.
    """
    return TopicRemade(
        f"the topic {topic} was deleted and made again (its id was {ids[0]}, now it is {ids[1]}): {reader}",
        topic=topic,
        partition=partition,
        offset=offset,
        group=group,
        expected_id=ids[0],
        found_id=ids[1],
        hint=hint,
    )


class LogWatch:
    """Compares the logs of topics with those that a reader began with, every few seconds and without waiting.

    Args:
        kafka: the connection to the cluster.
        topics: to watch.
        reader: what was read of the topics, as a clause for the error's message.
        hint: what would be right where one was made again.
        group: the consumer group of the reader, if it has one.
        look_s: seconds between two requests.

    Attributes:
        known: the log of each topic that the reader began with.

    Raises:
        KafkaError: the cluster did not answer.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        *topics: str,
        reader: str,
        hint: str,
        group: str | None = None,
        look_s: float = LOOK_S,
    ) -> None:
        self._logs = TopicLogs(kafka)
        self._topics = topics
        self._reader = reader
        self._hint = hint
        self._group = group
        self._look_s = look_s
        self._asked: Answers | None = None
        self.known = self._logs.of(*topics)
        self._newest: Mapping[str, TopicLog] = self.known
        self._due = time.monotonic() + look_s

    @property
    def partitions(self) -> dict[str, int]:
        """How many partitions each topic had at the last look."""
        return {topic: log.partitions for topic, log in self._newest.items()}

    def id_of(self, topic: str) -> str | None:
        """Return the id of a topic when the reader began; None where there was none, or where the cluster gives none."""
        log = self.known.get(topic)
        return None if log is None else log.id

    def look(self) -> None:
        """Take the answer to the last request if there is one, and send the next request when it is due.

        Raises:
            TopicRemade: a topic was deleted and made again since the reader began.
        """
        now = time.monotonic()
        if self._asked is None:
            if now >= self._due:
                self._asked = self._logs.ask(self._topics, _ASK_S)
        elif all(answer.done() for answer in self._asked.values()):
            asked, self._asked, self._due = self._asked, None, now + self._look_s
            try:
                found = logs_of(asked)
            except KafkaError:
                self._due += (_LOOKS_LEFT_OUT - 1) * self._look_s
                return  # a reader need not stop because an answer is missing; a later look asks again
            self._compare(found)

    def check(self) -> None:
        """Compare with the present logs now.

        Raises:
            TopicRemade: as `look`.
            KafkaError: the cluster did not answer.
        """
        self._compare(self._logs.of(*self._topics))

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Raise TopicRemade with both ids in the place of another error, or of one without them, where a topic was made again.

        A topic that is not there is waited for, 5 s at most: between its deletion and its creation the cluster knows neither.
        """
        try:
            yield
        except MeshError as error:
            if isinstance(error, TopicRemade) and error.found_id is not None:
                raise
            try:
                self._compare_all()
            except TopicRemade as remade:
                raise remade from error
            except KafkaError:
                pass  # the first error says more
            raise

    def _compare_all(self) -> None:
        deadline = time.monotonic() + _MADE_AGAIN_S
        while True:
            found = self._logs.of(*self._topics, timeout_s=_ASK_S)
            self._compare(found)
            if found.keys() >= self.known.keys() or time.monotonic() > deadline:
                return
            time.sleep(_PAUSE_S)

    def _compare(self, found: Mapping[str, TopicLog]) -> None:
        self._newest = {**self._newest, **found}
        for topic, log in found.items():
            known = self.known.setdefault(topic, log)
            if known.id != log.id and known.id is not None and log.id is not None:
                raise topic_remade(topic, (known.id, log.id), self._reader, hint=self._hint, group=self._group)
