"""Secured listeners of the embedded brokers: TLS, SCRAM-SHA-512, and Kafka's own authorizer, which allows what an ACL allows.

    clients ──SASL_SSL, SCRAM-SHA-512──> CLIENTS       a principal for each kind of client, `PRINCIPALS`
    brokers ──TLS, both certified──────> BROKERS       their certificate is the only super user
    brokers ──TLS, both certified──────> CONTROLLER

    data_dir/security/                   readable by the user alone
      ca.pem                             certificate of the throw-away authority (`meshport.local.authority`)
      broker.pem                         key and certificate of all brokers
      operator.properties, ...           a client.properties for each principal, with its random password

A directory that is used again keeps its passwords, and its certificates until a month before their end. The brokers have the
passwords from their own protocol only: none is on a command line or in a file of theirs.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from pydantic import SecretStr

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka.acls import ANY_NAME, CLUSTER, Acl, Allow, ClusterAcls
from meshport.kafka.config import KafkaConfig
from meshport.kafka.logins import Logins
from meshport.kafka.probe import ClusterProbe
from meshport.kafka.sources import file_layer, kafka_config
from meshport.local.kraft import HOST
from meshport.local.listeners import Listeners

__all__ = ["OPERATOR", "PROCESSOR", "SecuredListeners", "standing_acls"]

OPERATOR: Final = "operator"
PROCESSOR: Final = "processor"

_OWN_NAMES: Final = "meshport."  # the groups and transactional ids of processors begin with it
_PRINCIPALS: Final[Mapping[str, tuple[Allow, ...]]] = {
    "producer": (Allow("topic", ANY_NAME, ("write", "describe-configs")),),
    "reader": (
        Allow("topic", ANY_NAME, ("read", "describe-configs")),
        Allow("group", ANY_NAME, ("read",)),
    ),
    # Processors create their own topics, and add partitions to them.
    PROCESSOR: (
        Allow("topic", ANY_NAME, ("read", "write", "create", "alter", "describe-configs")),
        Allow("group", _OWN_NAMES, ("read",), "prefixed"),
        Allow("transactional-id", _OWN_NAMES, ("write",), "prefixed"),
    ),
    # The last: once it can log in, so can the others.
    OPERATOR: (
        Allow("topic", ANY_NAME, ("all",)),
        Allow("group", ANY_NAME, ("all",)),
        Allow("transactional-id", ANY_NAME, ("all",)),
        Allow("cluster", CLUSTER, ("all",)),
    ),
}

_BROKER: Final = "meshport-broker"
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_PASSWORD_BYTES: Final = 24
_LOOK_S: Final = 0.5
_PAUSE_S: Final = 0.05


class SecuredListeners(Listeners):
    """Only who has a certificate of a broker or the password of a principal is let in.

    Args:
        folder: the cluster's data directory; it is created.

    Raises:
        BrokerUnavailable: the package `cryptography` is not installed.
    """

    inner_ports: ClassVar[int] = 2
    principals: dict[str, Path]

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve() / "security"
        self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        self._authority, self._broker = self._folder / "ca.pem", self._folder / "broker.pem"
        self._certify()
        self.principals = {name: self._folder / f"{name}.properties" for name in _PRINCIPALS}
        self._passwords = {name: _kept_password(file) for name, file in self.principals.items()}

    def settings(self, port: int, inner: Sequence[int]) -> dict[str, str]:
        """Return the settings of one broker; see `Listeners`."""
        controller, brokers = inner
        return {
            "listeners": f"CLIENTS://{HOST}:{port},BROKERS://{HOST}:{brokers},CONTROLLER://{HOST}:{controller}",
            "advertised.listeners": f"CLIENTS://{HOST}:{port},BROKERS://{HOST}:{brokers}",
            "listener.security.protocol.map": "CLIENTS:SASL_SSL,BROKERS:SSL,CONTROLLER:SSL",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKERS",
            "listener.name.brokers.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "listener.name.clients.sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.clients.scram-sha-512.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": self._broker.as_posix(),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": self._authority.as_posix(),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:CN={_BROKER}",
        }

    def brokers_own(self, ports: Sequence[int], inner: Sequence[Sequence[int]]) -> KafkaConfig:  # noqa: ARG002 - of the interface
        """Return the connection with the brokers' certificate, which is a super user."""
        properties = {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self._authority),
            "ssl.certificate.location": str(self._broker),
            "ssl.key.location": str(self._broker),
        }
        return KafkaConfig(",".join(f"{HOST}:{brokers}" for _, brokers in inner), properties)

    def admit(self, brokers_own: KafkaConfig, bootstrap_servers: str, timeout_s: float) -> None:
        """Create the principals with their passwords and ACLs, write their files, and wait until the operator can log in."""
        acls, logins = ClusterAcls(brokers_own), Logins(brokers_own)
        acls.create(standing_acls())
        for principal in _PRINCIPALS:
            logins.set_password(principal, self._passwords[principal])
            self._write_properties(principal, bootstrap_servers)
        self._await_login(OPERATOR, bootstrap_servers, timeout_s)

    def let_in(self, login: str, kafka: KafkaConfig, timeout_s: float) -> Path:
        """Let another principal log in; see `Listeners`. A directory that is used again keeps its password."""
        if login not in self.principals:
            file = self._folder / f"{login}.properties"
            self._passwords[login] = _kept_password(file)
            Logins(kafka).set_password(login, self._passwords[login])
            self.principals[login] = file
            self._write_properties(login, kafka.bootstrap_servers)
            self._await_login(login, kafka.bootstrap_servers, timeout_s)
        return self.principals[login]

    def config(self, bootstrap_servers: str) -> KafkaConfig:
        """Return the operator's connection."""
        return KafkaConfig(bootstrap_servers, self._login(OPERATOR))

    def _certify(self) -> None:
        try:
            from meshport.local.authority import certify, is_current  # noqa: PLC0415 - needs a package of the extra `kafka`
        except ModuleNotFoundError as error:
            raise BrokerUnavailable(
                f"a secured embedded Kafka needs certificates, and the package {error.name} is not installed",
                hint='pip install "meshport[kafka]"',
            ) from error
        try:
            if all(is_current(each.read_bytes()) for each in (self._authority, self._broker)):
                return
        except (FileNotFoundError, ValueError):
            pass  # a new directory, or one whose start was interrupted
        made = certify(_BROKER, HOST)
        self._authority.unlink(missing_ok=True)  # an interrupted start leaves no pair that does not fit
        _write(self._broker, made.key + made.certificate)
        _write(self._authority, made.authority)

    def _login(self, principal: str) -> dict[str, str | SecretStr]:
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": principal,
            "sasl.password": self._passwords[principal],
            "ssl.ca.location": str(self._authority),
        }

    def _write_properties(self, principal: str, bootstrap_servers: str) -> None:
        properties = {"bootstrap.servers": bootstrap_servers, **self._login(principal)}
        clear = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in properties.items()
        }
        text = "".join(f"{name}={value}\n" for name, value in clear.items())
        _write(self.principals[principal], text.encode())

    def _await_login(self, principal: str, bootstrap_servers: str, timeout_s: float) -> None:
        """Wait until a broker has heard of the logins: it takes them from the cluster's metadata."""
        deadline = time.monotonic() + timeout_s
        probe = ClusterProbe(KafkaConfig(bootstrap_servers, self._login(principal)))
        while True:
            try:
                probe.look(_LOOK_S)
            except KafkaError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return


def standing_acls() -> frozenset[Acl]:
    """Return the ACLs of the principals that every secured cluster has."""
    return frozenset(acl for name, rights in _PRINCIPALS.items() for each in rights for acl in each.to(f"User:{name}"))


def _kept_password(file: Path) -> SecretStr:
    """Return the password that a `client.properties` of an earlier start has, or a new one.

    Raises:
        KafkaConfigError: the file was edited, and cannot be read any more.
    """
    kept = kafka_config([file_layer(file, {})]).properties.get("sasl.password") if file.exists() else None
    return SecretStr(secrets.token_urlsafe(_PASSWORD_BYTES)) if kept is None else kept


def _write(file: Path, content: bytes) -> None:
    """Write a file that the user alone may read, by one atomic rename."""
    draft = file.with_name(f"{file.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE), "wb") as opened:
        opened.write(content)
    draft.replace(file)
