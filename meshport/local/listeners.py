"""The listeners of the embedded brokers: without TLS and login here, secured in `meshport.local.secured`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from meshport.kafka.config import KafkaConfig
from meshport.local.kraft import HOST

__all__ = ["Listeners", "PlainListeners"]


class Listeners(ABC):
    """How clients, brokers and controllers reach the brokers of one cluster.

    Args:
        folder: the cluster's data directory; it is created.

    Attributes:
        inner_ports: how many ports a broker needs besides the clients'; the first is the controller's.
        principals: a `client.properties` for each principal that may log in, by the principal's name.
    """

    inner_ports: ClassVar[int]
    principals: Mapping[str, Path]

    @abstractmethod
    def __init__(self, folder: Path) -> None: ...

    @abstractmethod
    def settings(self, port: int, inner: Sequence[int]) -> dict[str, str]:
        """Return the settings of one broker.

        Args:
            port: the clients' port.
            inner: `inner_ports` further ports.
        """

    @abstractmethod
    def brokers_own(self, ports: Sequence[int], inner: Sequence[Sequence[int]]) -> KafkaConfig:
        """Return the connection that the brokers themselves have.

        Args:
            ports: the clients' port of each broker.
            inner: the further ports of each broker.
        """

    @abstractmethod
    def admit(self, brokers_own: KafkaConfig, bootstrap_servers: str, timeout_s: float) -> None:
        """Let clients in; all brokers answer.

        Args:
            brokers_own: see `brokers_own`.
            bootstrap_servers: the brokers, for clients.
            timeout_s: seconds within which a client has to be let in.

        Raises:
            KafkaError: the cluster did not take what lets clients in, or lets none in.
        """

    @abstractmethod
    def let_in(self, login: str, kafka: KafkaConfig, timeout_s: float) -> Path | None:
        """Let another principal log in, which may do nothing yet, and add it to `principals`.

        Args:
            login: its name.
            kafka: see `config`.
            timeout_s: seconds within which it has to be let in.

        Returns:
            Its `client.properties`; None where every client is let in.

        Raises:
            KafkaError: the cluster did not take the login, or does not let it in.
        """

    @abstractmethod
    def config(self, bootstrap_servers: str) -> KafkaConfig:
        """Return the connection of the one who started the cluster, and may do everything with it."""


class PlainListeners(Listeners):
    """Every client that reaches a port is let in."""

    inner_ports: ClassVar[int] = 1

    def __init__(self, folder: Path) -> None:  # noqa: ARG002 - there is nothing to keep
        self.principals = {}

    def settings(self, port: int, inner: Sequence[int]) -> dict[str, str]:
        """Return the settings of one broker; see `Listeners`."""
        return {
            "listeners": f"PLAINTEXT://{HOST}:{port},CONTROLLER://{HOST}:{inner[0]}",
            "advertised.listeners": f"PLAINTEXT://{HOST}:{port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
        }

    def brokers_own(self, ports: Sequence[int], inner: Sequence[Sequence[int]]) -> KafkaConfig:  # noqa: ARG002 - of the interface
        """Return the connection of any client."""
        return KafkaConfig(",".join(f"{HOST}:{port}" for port in ports))

    def admit(self, brokers_own: KafkaConfig, bootstrap_servers: str, timeout_s: float) -> None:
        """Do nothing."""

    def let_in(self, login: str, kafka: KafkaConfig, timeout_s: float) -> None:
        """Do nothing."""

    def config(self, bootstrap_servers: str) -> KafkaConfig:
        """Return the connection of any client."""
        return KafkaConfig(bootstrap_servers)
