"""Why a cluster cannot be reached: what the client reports of a refused login, certificate or protocol.

A request that no broker answers ends with "Broker transport failure" alone. The cause is in the client's error reports
(librdkafka INTRODUCTION.md, "Error handling"), which come beside it. The client itself goes on trying for as long as it has
anything to do, five minutes for an event.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ClusterMetadata

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error

__all__ = ["ClusterIdentity", "RefusedConnections", "cluster_of", "metadata", "unreachable"]

_REFUSED: Final = frozenset(
    {
        ClientError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's local codes are public under this spelling only
        ClientError._SSL,  # noqa: SLF001 - as above
    }
)
_REFUSED_NAMES: Final = frozenset(ClientError(each).name() for each in _REFUSED)
_ALL_DOWN: Final = ClientError._ALL_BROKERS_DOWN  # noqa: SLF001 - as above
_LOOK_S: Final = 2.0
# One broker may have heard of a login later than another.
_SETTLE_S: Final = 2.0
_SLICE_S: Final = 0.2
# Of a handshake that fails, the shorter of two reports may come first.
_ENOUGH: Final = 3
# The client tries again ten times a second at first.
_REPEAT_S: Final = 30.0
_PROTOCOL: Final = "security.protocol"
# Every cluster has it, and a request for its metadata makes no topic of a user.
_SMALL_TOPIC: Final = "__consumer_offsets"

_Answer = TypeVar("_Answer")

_log: Final = logging.getLogger(__name__)


class ClusterIdentity(NamedTuple):
    """A cluster, as one of its brokers describes it.

    Attributes:
        id: the cluster's id; None where it has none.
        brokers: how many it has.
    """

    id: str | None
    brokers: int


class RefusedConnections:
    """What a producer's client reports of its connections; those that are refused, for the login or TLS, are logged.

    The client tries again for as long as it holds an event. They are logged at most twice a minute.
    """

    def __init__(self) -> None:
        self._logged_at = float("-inf")
        self._refused: ClientError | None = None
        self._refused_at = 0.0
        self._all_down = False

    def note(self, error: ClientError) -> None:
        """Take a report of the client."""
        self._all_down = self._all_down or error.code() == _ALL_DOWN
        if error.code() not in _REFUSED:
            return
        if self._refused is None:
            self._refused_at = time.monotonic()
        self._refused = error
        if time.monotonic() - self._logged_at > _REPEAT_S:
            self._logged_at = time.monotonic()
            _log.warning("a broker refuses the connection, which is tried again: %s", error.str())

    def require_login(self, client: Any, kafka: KafkaConfig, topic: str | None) -> None:
        """Wait until a broker lets a new producer in; where none answers, return: it tries again by itself.

        Args:
            client: of the producer, whose reports this has.
            kafka: its connection; without TLS and login, nothing is waited for.
            topic: one to which it writes; None where that is not known yet.

        Raises:
            BrokerUnavailable: the login or the certificate is refused; the message has the broker's word.
        """
        until = time.monotonic() + _LOOK_S
        named = {} if topic is None else {"topic": topic}
        while _PROTOCOL in kafka.properties:
            try:
                client.list_topics(**named, timeout=_SLICE_S)
            except KafkaException:
                client.poll(0)  # it serves the reports
            else:
                return
            if self._refused is None and (self._all_down or time.monotonic() > until):
                return
            if self._refused is not None and time.monotonic() > self._refused_at + _SETTLE_S:
                raise _refusal(kafka, self._refused, f"nothing can be published at {kafka.bootstrap_servers}")


def metadata(
    client: Any, kafka: KafkaConfig, what: str, *, timeout_s: float, topic: str | None = None
) -> ClusterMetadata:
    """Return what a broker knows of the cluster.

    Args:
        client: of confluent_kafka, of any kind.
        kafka: its connection.
        what: the operation that fails, for the message.
        timeout_s: seconds to wait for an answer; a refused login or certificate ends the wait.
        topic: to ask for; None for every topic.

    Raises:
        BrokerUnavailable: no broker answered; the message has the cause.
        KafkaError: the request was refused.
    """
    named = {} if topic is None else {"topic": topic}
    found: ClusterMetadata = _asked(
        lambda seconds: client.list_topics(**named, timeout=seconds), kafka, what, timeout_s
    )
    return found


def cluster_of(client: AdminClient, kafka: KafkaConfig, what: str, *, timeout_s: float) -> ClusterIdentity:
    """Return what a broker knows of the cluster without its topics, which take megabytes where there are thousands.

    Arguments and errors are those of `metadata`.
    """
    if _PROTOCOL not in kafka.properties:
        # librdkafka's in-memory cluster, which has neither TLS nor logins, does not answer the other request.
        found = metadata(client, kafka, what, timeout_s=timeout_s, topic=_SMALL_TOPIC)
        return ClusterIdentity(found.cluster_id, len(found.brokers))
    # Brokers log the denied request of a login that may not see a topic: none is named here.
    described = _asked(
        lambda seconds: client.describe_cluster(request_timeout=seconds).result(), kafka, what, timeout_s
    )
    return ClusterIdentity(described.cluster_id, len(described.nodes))


def _asked(ask: Callable[[float], _Answer], kafka: KafkaConfig, what: str, timeout_s: float) -> _Answer:
    """Return the answer to a question that takes its seconds; a refused login or certificate ends the wait for it."""
    deadline = time.monotonic() + timeout_s
    if _PROTOCOL in kafka.properties and timeout_s > _LOOK_S:
        try:
            return ask(_LOOK_S)
        except KafkaException as error:
            failed = unreachable(kafka, error, what)
            if not isinstance(failed, BrokerUnavailable) or failed.code in _REFUSED_NAMES:
                raise failed from error
    try:
        return ask(max(_SLICE_S, deadline - time.monotonic()))
    except KafkaException as error:
        raise unreachable(kafka, error, what) from error


def unreachable(kafka: KafkaConfig, error: KafkaException, what: str) -> KafkaError:
    """Return the error of a request that the client gave up, with the cause where no broker answered.

    Args:
        kafka: the connection.
        error: the client's.
        what: the operation that failed, for the message.
    """
    found = client_error(error, what)
    if not isinstance(found, BrokerUnavailable):
        return found
    cause = _cause(kafka)
    if cause is None:
        return found
    if cause.code() != _ALL_DOWN:
        return _refusal(kafka, cause, found.message)
    secured = _PROTOCOL in kafka.properties
    return BrokerUnavailable(
        f"{found.message}: the connection is closed by the other side",
        code=found.code,
        servers=kafka.bootstrap_servers,
        hint=None if secured else "a Kafka that asks for TLS or a login needs --kafka-config or MESHPORT_KAFKA_CONFIG",
    )


def _refusal(kafka: KafkaConfig, cause: ClientError, what: str) -> BrokerUnavailable:
    return BrokerUnavailable(f"{what}: {cause.str()}", code=cause.name(), servers=kafka.bootstrap_servers)


def _cause(kafka: KafkaConfig) -> ClientError | None:
    """Return what another client reports when it connects: a refusal, else another failure; None for nothing.

    Where the other side closes each connection, the only report is that all brokers are down.
    """
    reports: list[ClientError] = []
    try:
        client = new_client(AdminClient, kafka, {"log_level": 0, "error_cb": reports.append})
    except KafkaError:
        return None
    # The caller handles an error. An exception that confluent_kafka 2.16 raises meanwhile is never freed, nor are the clients in
    # the frames of both, with their threads; the error of a future is not raised.
    answer = client.describe_cluster(request_timeout=_LOOK_S)
    causes: list[ClientError] = []
    until = time.monotonic() + _LOOK_S
    while time.monotonic() < until and len(causes) < _ENOUGH:
        client.poll(_SLICE_S)
        if answer.done() and answer.exception() is None:
            return None
        causes = [each for each in reports if each.code() != _ALL_DOWN]
    refused = [each for each in causes if each.code() in _REFUSED]
    return next(iter([*refused, *causes, *reports]), None)
