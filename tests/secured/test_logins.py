"""A wrong password at a secured broker."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from meshport.errors import BrokerUnavailable
from meshport.kafka.config import KafkaConfig
from meshport.ports.publisher import Publisher
from meshport.ports.subscriber import Subscriber
from tests.mesh_session import Mesh


def test_a_port_is_refused_with_the_brokers_word(mesh: Mesh) -> None:
    """Neither is made with a wrong password, and no event is taken that could never be sent."""
    address = mesh.product().address
    wrong = KafkaConfig(mesh.bootstrap_servers, {**mesh.kafka.properties, "sasl.password": SecretStr("wrong")})
    word = "due to invalid credentials with SASL mechanism SCRAM-SHA-512"
    with pytest.raises(BrokerUnavailable, match=word):
        Publisher(address, mesh.registry, kafka=wrong)
    with pytest.raises(BrokerUnavailable, match=word):
        Subscriber(address, mesh.registry, group="refused", kafka=wrong)
