"""The connection to a Kafka cluster: bootstrap servers and client properties, secrets kept out of sight."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from pydantic import SecretStr

from meshport.binding import Binding
from meshport.errors import KafkaConfigError
from meshport.kafka.properties import REPLICAS, SERVERS, TOKEN_FUNCTION, canonical, check_property
from meshport.kafka.token_function import token_function

__all__ = ["PLAINTEXT", "KafkaConfig", "is_secret"]

# What librdkafka's CONFIGURATION.md has for passwords, pass phrases, client secrets, tokens and private keys given as text,
# and what Java's client has for them. A name that holds no secret but matches loses nothing by it.
_SECRET: Final = re.compile(
    r"passw|passphrase|secret|token$|jaas|user\.info|key\.pem$|^ssl\.keystore\.key$|^sasl\.oauthbearer\.config$"
)

_FALSE: Final = frozenset({"false", "f", "0"})
# Mechanisms that send the password or token itself; a broker learns nothing that it could use elsewhere from the others.
_SHOWN: Final = frozenset({"PLAIN", "OAUTHBEARER"})


@dataclass(frozen=True, slots=True)
class KafkaConfig:
    """How to connect to a Kafka cluster.

    A value whose property holds a secret (`sasl.password`, `ssl.key.password`, `ssl.key.pem`,
    `sasl.oauthbearer.client.secret` and the like) becomes a `pydantic.SecretStr`: neither `repr` nor `str` shows it.

    Attributes:
        bootstrap_servers: `host:port[,host:port...]`; "" takes the servers that a binding names, see `at`.
        properties: further properties of the client, by librdkafka's names. They win over Meshport's defaults, but not
            over what an operation needs to be correct. `oauth_cb` is a function that returns tokens, or its name
            `module:function`. `replication.factor` is no property of the client: see `replicas`.

    Raises:
        ValueError: the properties have `bootstrap.servers`.
        KafkaConfigError: Kafka's client has no property of a name, or Meshport sets it itself.
    """

    bootstrap_servers: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Wrap secrets, and keep a copy that the caller does not change."""
        if SERVERS in self.properties:
            raise ValueError(f"{SERVERS} is no property of a KafkaConfig: give it as `bootstrap_servers`")
        for name, value in self.properties.items():
            check_property(name, value)
        object.__setattr__(self, "properties", {name: _wrapped(name, value) for name, value in self.properties.items()})

    @property
    def replicas(self) -> int | None:
        """How many replicas a new topic gets whose port declares none; None leaves it to the number of brokers."""
        given = self.properties.get(REPLICAS)
        return None if given is None else int(given)

    def at(self, bootstrap_servers: str) -> KafkaConfig:
        """Return this config for a cluster with these bootstrap servers.

        Servers that the config names itself are kept: a client outside of the cluster's network may reach the brokers
        under other names than the registry has.

        Raises:
            KafkaConfigError: a login that shows its secret to the broker (PLAIN, OAUTHBEARER) would be sent to servers that
                this config does not name, without TLS that verifies them.
        """
        if self.bootstrap_servers:
            return self
        if bootstrap_servers and (mechanism := self._shown_login()):
            raise KafkaConfigError(
                f"the login would show its secret to {bootstrap_servers}, which nothing but the registry names: "
                f"sasl.mechanism={mechanism} without TLS that verifies the broker",
                property=SERVERS,
                hint=f"{SERVERS} beside the login names the brokers that it is for; or security.protocol=SASL_SSL",
            )
        return replace(self, bootstrap_servers=bootstrap_servers)

    def _shown_login(self) -> str | None:
        """Return the mechanism of a login whose secret any broker would see that is connected to; None for another."""
        given = {canonical(name): str(each).lower() for name, each in self.properties.items() if not is_secret(name)}
        protocol = given.get("security.protocol", "plaintext")
        verified = given.get("enable.ssl.certificate.verification") not in _FALSE and (
            given.get("ssl.endpoint.identification.algorithm") != "none"
        )
        mechanism = given.get("sasl.mechanisms", "gssapi").upper()
        shown = protocol.startswith("sasl") and mechanism in _SHOWN and not (protocol == "sasl_ssl" and verified)
        return mechanism if shown else None

    def to(self, binding: Binding) -> KafkaConfig:
        """Return how to connect to the cluster of a binding: `at` its servers."""
        return self.at(binding.bootstrap_servers)

    def cluster(self, name: str | None, bootstrap_servers: str = "") -> KafkaConfig:  # noqa: ARG002 - of `KafkaAccess`
        """Return how to connect to a cluster by its name: `at` these servers, whatever its name."""
        return self.at(bootstrap_servers)

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
            if name != REPLICAS
        }
        if isinstance(own.get(TOKEN_FUNCTION), str):
            own[TOKEN_FUNCTION] = token_function(own[TOKEN_FUNCTION])
        return {SERVERS: self.bootstrap_servers, **defaults, **own, **(needed or {})}


def is_secret(name: str) -> bool:
    """Return whether a property, by librdkafka's or Java's name, may hold a secret."""
    return _SECRET.search(name) is not None


def _wrapped(name: str, value: Any) -> Any:
    if isinstance(value, SecretStr) or not is_secret(name):
        return value
    return SecretStr(str(value))


PLAINTEXT: Final = KafkaConfig()
"""Without properties: the servers that a binding names, over a connection without TLS and login."""
