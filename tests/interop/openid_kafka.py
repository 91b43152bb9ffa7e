"""A secured Kafka that takes the tokens of an OpenID provider, over SASL OAUTHBEARER, beside the logins of its own principals."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from meshport.kafka.acls import ANY_NAME, CLUSTER, Allow, ClusterAcls
from meshport.kafka.config import KafkaConfig
from meshport.local.embedded import EmbeddedKafka
from meshport.local.secured import OPERATOR, SecuredListeners
from tests.connections import read_properties
from tests.interop.openid_provider import SERVICE, OpenIdServer

PAGE: Final = (Path(__file__).parents[2] / "docs" / "connections.md").read_text(encoding="utf-8")

_CLASSES: Final = "org.apache.kafka.common.security.oauthbearer"
_RIGHTS: Final = (
    Allow("topic", ANY_NAME, ("all",)),
    Allow("group", ANY_NAME, ("all",)),
    Allow("transactional-id", ANY_NAME, ("all",)),
    Allow("cluster", CLUSTER, ("all",)),
)


def blocks(kind: str) -> list[str]:
    """Return the blocks of a kind of docs/connections.md, in order."""
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class TokenListeners(SecuredListeners):
    """Who shows a token of a provider is let in as well; the client `SERVICE` may do everything.

    Args:
        provider: the provider's issuer.
        folder: the cluster's data directory.
    """

    def __init__(self, provider: str, folder: Path) -> None:
        super().__init__(folder)
        self._provider = provider

    def settings(self, port: int, inner: Sequence[int]) -> dict[str, str]:
        """Return the settings of one broker; see `Listeners`."""
        clients = "listener.name.clients"
        return super().settings(port, inner) | {
            f"{clients}.sasl.enabled.mechanisms": "SCRAM-SHA-512,OAUTHBEARER",
            f"{clients}.oauthbearer.sasl.jaas.config": f"{_CLASSES}.OAuthBearerLoginModule required;",
            f"{clients}.oauthbearer.sasl.server.callback.handler.class": f"{_CLASSES}.OAuthBearerValidatorCallbackHandler",
            **self._checks(),
        }

    def _checks(self) -> dict[str, str]:
        """Return the settings that docs/connections.md has for a broker that checks tokens."""
        block = blocks("properties")[2].replace("https://issuer.example.com", self._provider)
        return dict(line.split("=", 1) for line in block.splitlines())

    def admit(self, brokers_own: KafkaConfig, bootstrap_servers: str, timeout_s: float) -> None:
        """Let the principals in, and give the client its rights; see `Listeners`."""
        super().admit(brokers_own, bootstrap_servers, timeout_s)
        ClusterAcls(brokers_own).create([acl for each in _RIGHTS for acl in each.to(f"User:{SERVICE}")])


class TokenKafka:
    """A Kafka that runs.

    Args:
        embedded: its brokers.
        provider: the provider whose tokens it takes.
    """

    def __init__(self, embedded: EmbeddedKafka, provider: OpenIdServer) -> None:
        self.bootstrap_servers = embedded.bootstrap_servers
        self.provider = provider
        self.authority = str(read_properties(embedded.principals[OPERATOR]).properties["ssl.ca.location"])

    def client_credentials(self) -> dict[str, Any]:
        """Return the properties of a client that asks the provider for tokens by its id and secret."""
        return self._tls() | {
            "sasl.oauthbearer.method": "oidc",
            "sasl.oauthbearer.token.endpoint.url": f"{self.provider.url}/token",
            "sasl.oauthbearer.client.id": SERVICE,
            "sasl.oauthbearer.client.secret": self.provider.secret,
        }

    def shown(self, token: str) -> KafkaConfig:
        """Return the connection of a client that shows one token, and believes that it is good for some minutes."""
        function = {"oauth_cb": lambda _: (token, time.time() + 300, SERVICE)}
        return KafkaConfig(self.bootstrap_servers, self._tls() | function)

    def _tls(self) -> dict[str, Any]:
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "OAUTHBEARER",
            "ssl.ca.location": self.authority,
        }


@contextmanager
def token_kafka(cache: Path, provider: OpenIdServer) -> Iterator[TokenKafka]:
    """Run a broker that takes a provider's tokens."""
    with pytest.MonkeyPatch.context() as environment:
        # Kafka reads keys from no address that its operator did not allow (CVE-2025-27817); the JVM takes options from here.
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={provider.url}/jwks"
        environment.setenv("JDK_JAVA_OPTIONS", allowed)
        with EmbeddedKafka(
            cache_dir=cache,
            java_home=os.environ.get("JAVA_HOME"),
            listeners=partial(TokenListeners, provider.url),
        ) as embedded:
            yield TokenKafka(embedded, provider)
