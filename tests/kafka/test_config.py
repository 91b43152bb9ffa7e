"""A KafkaConfig shows no secret, and its properties reach the client."""

from __future__ import annotations

import logging
import pickle
import traceback

import pytest

from meshport.errors import KafkaConfigError, KafkaError
from meshport.kafka.admin import Admin
from meshport.kafka.config import PLAINTEXT, KafkaConfig
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Producer
from meshport.kafka.transaction import Member, Transactions

CANARY = "c4n4ry-s3cr3t"
SECRET_PROPERTIES = [
    "sasl.password",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.config",
]
CLIENTS = [
    Admin,
    Consumer,
    Producer,
    lambda kafka: Member(kafka, "group"),
    lambda kafka: Transactions(kafka, "name"),
]


@pytest.mark.parametrize("name", SECRET_PROPERTIES)
def test_no_representation_of_a_config_shows_a_secret(name: str) -> None:
    """`repr`, `str`, a format, and those of a config that was copied or moved to other servers have the mask only."""
    kafka = KafkaConfig("broker:9092", {name: CANARY, "client.id": "billing"})
    for shown in (
        kafka,
        kafka.at("other:9092"),
        KafkaConfig(properties=kafka.properties),
        pickle.loads(pickle.dumps(kafka)),
    ):
        assert CANARY not in f"{shown} {shown!r} {dict(shown.properties)}"
        assert "billing" in repr(shown)
        assert shown.client_properties({})[name] == CANARY


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("name", SECRET_PROPERTIES)
def test_a_client_that_is_refused_shows_no_secret(
    name: str, client: type, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the error, its chain and traceback, nor the logs of a client that cannot be made have the secret."""
    caplog.set_level(logging.DEBUG)
    refused = {"security.protocol": "ssl", "linger.ms": "soon", name: CANARY}
    with pytest.raises(KafkaError, match=r"Invalid value|not in PEM") as caught:
        client(KafkaConfig("127.0.0.1:1", refused))
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capfd.readouterr())
    assert CANARY not in shown


def test_a_private_key_that_is_none_is_refused_without_being_shown() -> None:
    """OpenSSL's own message for a bad key does not quote the key."""
    with pytest.raises(KafkaError, match="PEM") as caught:
        Producer(KafkaConfig("127.0.0.1:1", {"security.protocol": "ssl", "ssl.key.pem": CANARY}))
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_what_an_operation_needs_wins_over_properties_and_these_over_defaults() -> None:
    """The order is: Meshport's defaults, the config's properties, what the operation needs to be correct."""
    kafka = KafkaConfig("broker:9092", {"linger.ms": 50, "message.max.bytes": 2000})
    assert kafka.client_properties({"linger.ms": 5, "acks": "all"}, {"message.max.bytes": 1_000_000}) == {
        "bootstrap.servers": "broker:9092",
        "linger.ms": 50,
        "acks": "all",
        "message.max.bytes": 1_000_000,
    }


def test_servers_that_a_config_names_win_over_the_bindings() -> None:
    """`at` fills in the servers of a binding only where the config names none."""
    assert PLAINTEXT.at("broker:9092") == KafkaConfig("broker:9092")
    assert KafkaConfig("tunnel:9092").at("broker:9092") == KafkaConfig("tunnel:9092")


def test_servers_are_given_once() -> None:
    """`bootstrap.servers` among the properties is refused."""
    with pytest.raises(ValueError, match=r"bootstrap\.servers"):
        KafkaConfig(properties={"bootstrap.servers": "broker:9092"})


def test_a_config_is_a_value() -> None:
    """Equal configs have equal hashes, and a change of the caller's mapping does not reach one."""
    properties = {"client.id": "billing"}
    kafka = KafkaConfig("broker:9092", properties)
    properties["client.id"] = "other"
    assert kafka == KafkaConfig("broker:9092", {"client.id": "billing"})
    assert hash(kafka) == hash(KafkaConfig("broker:9092", {"client.id": "billing"}))


LOGIN = {"sasl.username": "u", "sasl.password": CANARY}


@pytest.mark.parametrize("mechanism", ["PLAIN", "OAUTHBEARER"])
@pytest.mark.parametrize(
    "more",
    [
        {"security.protocol": "SASL_PLAINTEXT"},
        {"security.protocol": "SASL_SSL", "enable.ssl.certificate.verification": "false"},
        {"security.protocol": "sasl_ssl", "ssl.endpoint.identification.algorithm": "none"},
    ],
)
def test_a_login_that_shows_its_secret_goes_to_brokers_of_its_own_config(mechanism: str, more: dict[str, str]) -> None:
    """A broker that only a binding names could be anyone's: it gets neither a password nor a token."""
    login = {"sasl.mechanism": mechanism, **LOGIN, **more}
    with pytest.raises(KafkaConfigError, match=r"to elsewhere:9092, .* sasl.mechanism=" + mechanism) as refused:
        KafkaConfig(properties=login).at("elsewhere:9092")
    assert CANARY not in str(refused.value)
    assert KafkaConfig("own:9092", login).at("elsewhere:9092").bootstrap_servers == "own:9092"


@pytest.mark.parametrize(
    "login",
    [
        {"sasl.mechanism": "PLAIN", **LOGIN, "security.protocol": "SASL_SSL"},
        {"sasl.mechanism": "SCRAM-SHA-512", **LOGIN, "security.protocol": "SASL_PLAINTEXT"},
        {"client.id": "me"},
    ],
)
def test_other_logins_go_to_the_brokers_of_a_binding(login: dict[str, str]) -> None:
    """One behind verified TLS, one that shows no secret, and none."""
    assert KafkaConfig(properties=login).at("elsewhere:9092").bootstrap_servers == "elsewhere:9092"
