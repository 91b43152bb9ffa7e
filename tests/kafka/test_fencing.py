"""A single broker that is killed within a transaction: what it does with it when it starts again."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.kafka.admin import Admin
from meshport.local.embedded import EmbeddedKafka
from meshport.local.fencing import controller_settings, is_fenced
from meshport.local.listeners import Listeners, PlainListeners
from meshport.local.secured import SecuredListeners
from tests.kafka.open_transaction import leave_open, read_after


def test_the_controller_alone_listens_for_controllers_alone() -> None:
    """Kafka refuses a controller with a broker's listeners; all that concerns security stays."""
    alone = controller_settings(
        {
            "process.roles": "broker,controller",
            "listeners": "CLIENTS://h:1,BROKERS://h:2,CONTROLLER://h:3",
            "advertised.listeners": "CLIENTS://h:1,BROKERS://h:2",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKERS",
            "ssl.keystore.type": "PEM",
            "broker.session.timeout.ms": 9000,
        }
    )
    assert alone == {
        "process.roles": "controller",
        "listeners": "CONTROLLER://h:3",
        "controller.listener.names": "CONTROLLER",
        "ssl.keystore.type": "PEM",
        "broker.session.timeout.ms": 500,
        "broker.heartbeat.interval.ms": 250,
        "metadata.max.idle.interval.ms": 100,
    }


REGISTERED = (
    "Replayed initial RegisterBrokerRecord: RegisterBrokerRecord(brokerId=1, endPoints=[], fenced=true, logDirs=[])"
)
CHANGED = (
    "Replayed BrokerRegistrationChangeRecord: BrokerRegistrationChangeRecord(brokerId=1, brokerEpoch=11, fenced={})"
)
ACTIVE = "Becoming the active controller at epoch 3"


@pytest.mark.parametrize(
    ("lines", "fenced"),
    [
        ([], False),
        ([ACTIVE], False),
        ([REGISTERED, ACTIVE], True),
        ([REGISTERED, CHANGED.format(-1), ACTIVE], False),
        ([REGISTERED, CHANGED.format(-1), CHANGED.format(0), ACTIVE, CHANGED.format(1)], True),
        ([REGISTERED, CHANGED.format(-1), CHANGED.format(1)], False),
        ([CHANGED.format(1), REGISTERED, CHANGED.format(-1), CHANGED.format(0), ACTIVE], False),
    ],
)
def test_the_last_record_says_whether_a_broker_is_fenced(lines: list[str], fenced: bool) -> None:
    """The records of the log count, and those that the controller adds once it is active."""
    assert is_fenced("\n".join(lines)) == fenced


@pytest.mark.kafka
@pytest.mark.parametrize("listeners", [PlainListeners, SecuredListeners])
def test_a_transaction_of_a_killed_broker_ends(jars: Path, tmp_path: Path, listeners: type[Listeners]) -> None:
    """What follows an open transaction is read after the broker was killed and started; the open one is aborted."""
    java = os.environ.get("JAVA_HOME")
    topic = f"t{uuid4().hex[:8]}"
    with EmbeddedKafka(cache_dir=jars, java_home=java, data_dir=tmp_path / "kafka", listeners=listeners) as kafka:
        Admin(kafka.config).ensure_topic(topic, 1, {})
        never = leave_open(kafka.config, topic)
        kafka.kill(1)
        kafka.restart(1)
        assert read_after(kafka.config, topic) == [b"after"]
        del never
