"""Why a cluster cannot be reached: what the client reports of a refused login, certificate or protocol.

A request that no broker answers ends with "Broker transport failure" alone. The cause is in the client's error reports
(librdkafka INTRODUCTION.md, "Error handling"), which come beside it.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error

__all__ = ["RefusedConnections", "unreachable"]

_REFUSED: Final = frozenset(
    {
        ClientError._AUTHENTICATION,  # noqa: SLF001 - librdkafka's local codes are public under this spelling only
        ClientError._SSL,  # noqa: SLF001 - as above
    }
)
_ALL_DOWN: Final = ClientError._ALL_BROKERS_DOWN  # noqa: SLF001 - as above
_LOOK_S: Final = 2.0
_SLICE_S: Final = 0.2
# Of a handshake that fails, the shorter of two reports may come first.
_ENOUGH: Final = 3
# The client tries again ten times a second at first.
_REPEAT_S: Final = 30.0

_log: Final = logging.getLogger(__name__)


class RefusedConnections:
    """Logs the connections that a producer's client reports as refused, for its login or for TLS, at most twice a minute.

    The client tries again for as long as it holds an event, which is five minutes by default.
    """

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def note(self, error: ClientError) -> None:
        """Take a report of the client."""
        if error.code() in _REFUSED and time.monotonic() - self._logged_at > _REPEAT_S:
            self._logged_at = time.monotonic()
            _log.warning("a broker refuses the connection, which is tried again: %s", error.str())


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
        return BrokerUnavailable(f"{found.message}: {cause.str()}", code=cause.name(), servers=kafka.bootstrap_servers)
    secured = "security.protocol" in kafka.properties
    return BrokerUnavailable(
        f"{found.message}: the connection is closed by the other side",
        code=found.code,
        servers=kafka.bootstrap_servers,
        hint=None if secured else "a Kafka that asks for TLS or a login needs --kafka-config or MESHPORT_KAFKA_CONFIG",
    )


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
