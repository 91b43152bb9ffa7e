"""A cluster that cannot be reached is reported with the cause: a wrong login, an unknown authority, another protocol."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from meshport.errors import BrokerUnavailable
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.gapless import GaplessProducer
from meshport.kafka.producer import Message, Producer
from meshport.kafka.transaction import Transactions
from meshport.local.cluster import Cluster
from tests.waiting import PATIENCE_S

CANARY = "c4n4ry-s3cr3t"
WRONG_PASSWORD = {"sasl.password": CANARY}
ASK_S = 0.5
HANDSHAKE_S = 10.0


def changed(kafka: KafkaConfig, properties: Mapping[str, Any]) -> KafkaConfig:
    """The connection with other properties; one that is None is left out."""
    merged = {**kafka.properties, **properties}
    return KafkaConfig(kafka.bootstrap_servers, {name: each for name, each in merged.items() if each is not None})


@pytest.mark.parametrize(
    ("properties", "code", "cause"),
    [
        (WRONG_PASSWORD, "_AUTHENTICATION", "SASL authentication error: Authentication failed"),
        ({"ssl.ca.location": None}, "_SSL", "certificate could not be verified"),
        (
            dict.fromkeys(["security.protocol", "sasl.mechanism", "sasl.username", "sasl.password", "ssl.ca.location"]),
            "_TRANSPORT",
            "the connection is closed by the other side\nhint: a Kafka that asks for TLS or a login needs --kafka-config",
        ),
    ],
    ids=["password", "certificate", "protocol"],
)
def test_the_error_has_the_cause(secured: Cluster, properties: Mapping[str, Any], code: str, cause: str) -> None:
    """The client's own error is `Broker transport failure` alone; the message adds what it reports, and no secret."""
    with (
        Consumer(changed(secured.config, properties)) as consumer,
        pytest.raises(BrokerUnavailable) as caught,
    ):
        consumer.partitions("any", timeout_s=ASK_S)
    assert caught.value.code == code
    assert caught.value.servers == secured.bootstrap_servers
    assert cause in str(caught.value)
    assert CANARY not in str(caught.value)


def test_an_error_leaves_no_client() -> None:
    """The client of a failed request, and the one that looked for the cause, end with their error: both have threads."""

    def clients() -> int:
        gc.collect()
        return sum(
            issubclass(type(each), AdminClient) for each in gc.get_objects()
        )  # Django's settings say what they are when asked

    def ask() -> None:
        with suppress(BrokerUnavailable):
            Admin(KafkaConfig("127.0.0.1:1"))

    before = clients()
    ask()
    assert clients() == before


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal counts after half a second; a busy machine has more time for the handshake that ends in one."""
    monkeypatch.setattr("meshport.kafka.unreachable._SETTLE_S", ASK_S)
    monkeypatch.setattr("meshport.kafka.unreachable._LOOK_S", HANDSHAKE_S)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("properties", "cause"),
    [
        (WRONG_PASSWORD, "SASL authentication error: Authentication failed"),
        ({"ssl.ca.location": None}, "certificate could not be verified"),
    ],
    ids=["password", "certificate"],
)
def test_a_refused_login_ends_a_wait(secured: Cluster, properties: Mapping[str, Any], cause: str) -> None:
    """Neither a producer nor a question waits on, as they do where no broker answers; who is let in goes on at once."""
    refused = changed(secured.config, properties)
    producer = Producer(refused)
    with pytest.raises(BrokerUnavailable, match=cause):
        producer.require_login("any")
    producer.release()
    with Consumer(refused) as consumer, pytest.raises(BrokerUnavailable, match=cause):
        consumer.partitions("any", timeout_s=100 * PATIENCE_S)
    with Producer(secured.config) as admitted:
        admitted.require_login("any")


def deliver(kafka: KafkaConfig) -> None:
    """Send by a producer that waits for each message."""
    with Producer(kafka) as producer:
        producer.deliver([Message("any", None, b"value")])


def attempt(kafka: KafkaConfig) -> None:
    """Send as a relay does."""
    with GaplessProducer(kafka) as producer:
        producer.attempt([Message("any", None, b"value")])


def begin(kafka: KafkaConfig) -> None:
    """Begin as a processor does."""
    transactions = Transactions(kafka, "refused")
    try:
        transactions.start()
    finally:
        transactions.drop()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("send", [deliver, attempt, begin])
def test_nothing_is_sent_by_a_refused_login(secured: Cluster, send: Callable[[KafkaConfig], None]) -> None:
    """Every door by which messages leave ends with the broker's word, where it would wait for minutes, or without end."""
    with pytest.raises(BrokerUnavailable, match="SASL authentication error: Authentication failed") as caught:
        send(changed(secured.config, WRONG_PASSWORD))
    assert CANARY not in str(caught.value)


def test_a_producer_waits_for_no_broker_that_is_down(secured: Cluster) -> None:
    """Where nothing answers, no login is refused: events are queued, and sent when a broker is there."""
    producer = Producer(KafkaConfig("127.0.0.1:1", secured.config.properties))
    producer.require_login("any")
    producer.release()


def test_a_producer_that_is_refused_logs_it_once(secured: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    """The client goes on for as long as it holds an event, so that the cause is logged at its first attempt."""
    quick = {"message.timeout.ms": 1500, "linger.ms": 0}
    with (
        caplog.at_level(logging.WARNING),
        Producer(changed(secured.config, {**WRONG_PASSWORD, **quick})) as producer,
        pytest.raises(BaseException),  # noqa: B017, PT011 - the outcome of the event is not what is tested
    ):
        producer.deliver([Message("any", None, b"value")], timeout_s=PATIENCE_S)
    (message,) = [each for each in caplog.messages if "refuses the connection" in each]
    assert "SASL authentication error: Authentication failed" in message
    assert CANARY not in caplog.text


def test_nothing_listens() -> None:
    """The error names the address that was tried."""
    with Consumer(KafkaConfig("127.0.0.1:1")) as consumer, pytest.raises(BrokerUnavailable) as caught:
        consumer.partitions("any", timeout_s=ASK_S)
    assert "Connect to ipv4#127.0.0.1:1 failed: Connection refused" in str(caught.value)
    assert caught.value.hint is None
