"""Exit codes: findings, wrong input, and a registry or Kafka that does not answer have codes of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshport.cli.output import FINDINGS, NO_ANSWER, USAGE, exit_code
from meshport.cli.silence import silence_reported
from meshport.errors import (
    BrokerUnavailable,
    DeliveryUnknown,
    GateError,
    HistoryMissing,
    HistoryUndecided,
    JarRejected,
    KafkaConfigError,
    KafkaError,
    MeshError,
    NotRegistered,
    RegistrationRefused,
    RegistryUnavailable,
    SchemaError,
    TopicError,
)
from meshport.ports.publisher import Publisher
from meshport.product import parse_product
from meshport.registry import Registry
from meshport.schema import parse_schema
from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.cli.shop import ORDERS, order, write_shop
from tests.waiting import wait_for

NOTHING_LISTENS = "127.0.0.1:1"
CUSTOMER = {"name": "customer", "type": "string"}


@pytest.fixture
def registry_url(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry whose one product has its topic on a Kafka that does not listen; clients wait a second for it."""
    monkeypatch.setattr("meshport.kafka.topic_offsets.METADATA_S", 1.0)
    monkeypatch.setattr("meshport.kafka.admin.ANSWER_S", 1.0)
    database = tmp_path_factory.mktemp("registry") / "registry.db"
    with running(Settings(database=f"sqlite:///{database}", port=0, bootstrap_servers=NOTHING_LISTENS)) as url:
        with Registry(url) as registry:
            registry.register(parse_product(ORDERS), {"events@1": parse_schema(json.dumps(order(CUSTOMER)))})
        yield url


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose contract has one field more than the registered one."""
    write_shop(tmp_path, order(CUSTOMER, {"name": "note", "type": "string", "default": ""}))
    return tmp_path


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RegistryUnavailable("no answer"), NO_ANSWER),
        (BrokerUnavailable("no answer"), NO_ANSWER),
        (DeliveryUnknown("no answer"), NO_ANSWER),
        (KafkaError("the broker reported an error"), NO_ANSWER),
        (TopicError("no such topic"), FINDINGS),
        (HistoryMissing("removed"), FINDINGS),
        (HistoryUndecided("hidden"), FINDINGS),
        (JarRejected("another SHA-256"), FINDINGS),
        (KafkaConfigError("no such property"), USAGE),
        (NotRegistered("no such product"), FINDINGS),
        (RegistrationRefused("incompatible"), FINDINGS),
        (GateError("no such rule"), USAGE),
        (SchemaError("no schema"), USAGE),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_error_has_its_exit_code(error: MeshError, code: int) -> None:
    """1 is for findings, 2 for wrong input, and 3 for a registry or a Kafka that does not answer."""
    assert exit_code(error) == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["gate", "check", "--history"],
        ["replay", "shop/orders"],
        ["quarantine", "shop/orders"],
        ["apply", "--kafka", NOTHING_LISTENS],
    ],
    ids=lambda arguments: str(arguments[0]),
)
@pytest.mark.usefixtures("project")
def test_a_kafka_that_does_not_answer_is_3(cli: Run, registry_url: str, arguments: list[str]) -> None:
    """A Kafka at an address where nothing listens ends a command with 3 and nothing on stdout, never with 1."""
    ended = cli(*arguments, "--registry", registry_url)
    assert (ended.code, ended.out) == (3, "")
    assert NOTHING_LISTENS in ended.err or "orders.events" in ended.err


def test_a_kafka_that_acknowledges_nothing_is_reported(registry_url: str, capfd: pytest.CaptureFixture[str]) -> None:
    """While events wait for a broker that is silent, stderr names it, and how long they wait."""
    shown: list[str] = []

    def reported() -> bool:
        shown.append(capfd.readouterr().err)
        return "five minutes at most" in "".join(shown)

    with Registry(registry_url) as registry:
        publisher = Publisher("shop/orders", registry)
        publisher.publish({"customer": "ada"})
        with silence_reported(publisher, lambda: 1, after_s=0.05):
            wait_for(reported, lambda: "".join(shown))
        with pytest.raises(DeliveryUnknown):
            publisher.close(0.1)
    text = "".join(shown)
    assert f"the Kafka of mesh://shop/orders/events@1 ({NOTHING_LISTENS}) has not answered" in text
    assert "1 of 1 events wait" in text
