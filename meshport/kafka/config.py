"""The connection to a Kafka cluster: bootstrap servers and client properties, secrets kept out of sight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import SecretStr

from meshport.binding import Binding

__all__ = ["PLAINTEXT", "KafkaConfig"]

_SERVERS: Final = "bootstrap.servers"
# What librdkafka's CONFIGURATION.md has for passwords, pass phrases, client secrets, tokens and private keys given as text,
# and Java's JAAS line. A name that holds no secret but matches, as `ssl.ca.pem` does, loses nothing by it.
_SECRET: Final = re.compile(r"pass?w|passphrase|secret|token|jaas|\.pem$|^ssl_key$|^sasl\.oauthbearer\.config$")


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How to connect to a Kafka cluster.

    A value whose property holds a secret (`sasl.password`, `ssl.key.password`, `ssl.key.pem`,
    `sasl.oauthbearer.client.secret` and the like) becomes a `pydantic.SecretStr`: neither `repr` nor `str` shows it.

    Attributes:
        bootstrap_servers: `host:port[,host:port...]`; "" takes the servers that a binding names, see `at`.
        properties: further properties of the client, by librdkafka's names. They win over Meshport's defaults, but not
            over what an operation needs to be correct.

    Raises:
        ValueError: the properties have `bootstrap.servers`.
    """

    bootstrap_servers: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Wrap secrets, and keep a copy that the caller does not change."""
        if _SERVERS in self.properties:
            raise ValueError(f"{_SERVERS} is no property of a KafkaConfig: give it as `bootstrap_servers`")
        object.__setattr__(self, "properties", {name: _wrapped(name, value) for name, value in self.properties.items()})

    def at(self, bootstrap_servers: str) -> KafkaConfig:
        """Return this config for a cluster with these bootstrap servers.

        Servers that the config names itself are kept: a client outside of the cluster's network may reach the brokers
        under other names than the registry has.
        """
        return self if self.bootstrap_servers else replace(self, bootstrap_servers=bootstrap_servers)

    def to(self, binding: Binding) -> KafkaConfig:
        """Return how to connect to the cluster of a binding: `at` its servers."""
        return self.at(binding.bootstrap_servers)

    def client_properties(self, defaults: Mapping[str, Any], needed: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the properties that a client of confluent_kafka is made of, secrets in the clear.

        Pass the result on at once: a local variable would show the secrets in tools that print a traceback's variables.

        Args:
            defaults: properties that `properties` may change.
            needed: properties that it may not change.
        """
        own = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.properties.items()
        }
        return {_SERVERS: self.bootstrap_servers, **defaults, **own, **(needed or {})}


def _wrapped(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr) or not _SECRET.search(name):
        return value
    return SecretStr(str(value))


PLAINTEXT: Final = KafkaConfig()
"""Without properties: the servers that a binding names, over a connection without TLS and login."""
