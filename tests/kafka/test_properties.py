"""The names of Kafka's properties, and those that Meshport keeps for itself."""

from __future__ import annotations

import re

import pytest
from confluent_kafka import KafkaException
from confluent_kafka import Producer as ClientProducer

from meshport.errors import KafkaConfigError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.java_properties import JAVA_PROPERTIES
from meshport.kafka.properties import ALIASES, OBJECTS, PROPERTIES, TOKEN_FUNCTION, check_property

OF_TEXT = sorted(
    PROPERTIES - OBJECTS - {TOKEN_FUNCTION, "delivery.report.only.error"}
)  # the last one takes a bool only


@pytest.mark.parametrize("name", OF_TEXT)
def test_the_client_takes_every_name(name: str) -> None:
    """Kafka's client knows each property of the list, whatever it says of the value."""
    found = ""
    try:
        ClientProducer({name: "\x01", "log_level": 0})
    except KafkaException as error:
        found = str(error)
    assert "No such configuration property" not in found


def test_no_name_is_javas_and_librdkafkas() -> None:
    """A property is translated, or taken as it is."""
    assert not JAVA_PROPERTIES & PROPERTIES
    assert PROPERTIES.issuperset(ALIASES.values())


@pytest.mark.parametrize(
    ("written", "right"),
    [
        ("sasl_password", "sasl.password"),
        ("sasl.pasword", "sasl.password"),
        ("SECURITY.PROTOCOL", "security.protocol"),
        ("ssl.ca.locations", "ssl.ca.location"),
        ("bootstrap.server", "bootstrap.servers"),
        ("replication_factor", "replication.factor"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest_right_one(written: str, right: str) -> None:
    """The refusal names what was written and what would be right, and does not show the value."""
    with pytest.raises(KafkaConfigError, match=re.escape(written)) as caught:
        KafkaConfig(properties={written: "s3cr3t"})
    assert caught.value.property == written
    assert f"did you mean {right}?" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.idempotence", False),
        ("acks", "1"),
        ("request.required.acks", 1),
        ("partitioner", "consistent"),
        ("isolation.level", "read_uncommitted"),
        ("enable.auto.commit", "true"),
        ("auto.commit.enable", True),
        ("enable.auto.offset.store", "true"),
        ("auto.offset.reset", "latest"),
        ("group.id", "mine"),
        ("group.instance.id", "mine"),
        ("group.protocol", "consumer"),
        ("partition.assignment.strategy", "roundrobin"),
        ("transactional.id", "mine"),
        ("transaction.timeout.ms", 60_000),
        ("allow.auto.create.topics", "true"),
        ("error_cb", print),
    ],
)
def test_what_meshport_sets_for_correctness_cannot_be_undone(name: str, value: object) -> None:
    """A value that would break what Meshport promises is refused with the reason and the source."""
    with pytest.raises(KafkaConfigError, match=rf"client\.properties:7: {name} cannot be changed: \w+") as caught:
        check_property(name, value, source="client.properties:7")
    assert (caught.value.property, caught.value.source) == (name, "client.properties:7")
    with pytest.raises(KafkaConfigError, match=f"{name} cannot be changed"):
        KafkaConfig(properties={name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enable.idempotence", True),
        ("enable.idempotence", "true"),
        ("acks", "all"),
        ("acks", -1),
        ("isolation.level", "read_committed"),
        ("enable.auto.commit", "False"),
        ("partitioner", "murmur2_random"),
    ],
)
def test_what_says_the_same_as_meshport_is_taken(name: str, value: object) -> None:
    """Files that people have often say `acks=all`."""
    assert KafkaConfig(properties={name: value}).properties[name] == value
