"""Logins and access control lists (ACLs) of a cluster that runs Kafka's own authorizer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from pydantic import SecretStr

from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error

__all__ = ["ANY_NAME", "AccessControl", "Allow"]

ANY_NAME: Final = "*"
"""The name of a literal ACL for every resource of a kind."""

Resource = Literal["topic", "group", "transactional id", "cluster"]
Operation = Literal["all", "read", "write", "create", "alter", "describe", "describe configs"]
Pattern = Literal["literal", "prefixed"]

_TIMEOUT_S: Final = 15.0
_ITERATIONS: Final = 4096  # the fewest that Kafka takes
_CLUSTER: Final = "kafka-cluster"  # the name of the one cluster resource
_EVERY_HOST: Final = "*"
_RESOURCES: Final[dict[Resource, ResourceType]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,  # librdkafka's name for the protocol's CLUSTER, which has the same number
}
_OPERATIONS: Final[dict[Operation, AclOperation]] = {
    "all": AclOperation.ALL,
    "read": AclOperation.READ,
    "write": AclOperation.WRITE,
    "create": AclOperation.CREATE,
    "alter": AclOperation.ALTER,
    "describe": AclOperation.DESCRIBE,
    "describe configs": AclOperation.DESCRIBE_CONFIGS,
}
_PATTERNS: Final[dict[Pattern, ResourcePatternType]] = {
    "literal": ResourcePatternType.LITERAL,
    "prefixed": ResourcePatternType.PREFIXED,
}


@dataclass(frozen=True, slots=True)
class Allow:
    """What a principal may do with resources: one ACL for each operation.

    Attributes:
        resource: the kind of resource.
        name: of the resource, or the beginning of names where `pattern` is `prefixed`; a cluster has none.
        operations: what is allowed; read, write and alter allow describe too.
        pattern: how `name` is compared.
    """

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    pattern: Pattern = "literal"


class AccessControl:
    """Changes the logins and ACLs of one cluster.

    Args:
        kafka: the connection to the cluster, of a principal that may alter it.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._client = new_client(AdminClient, kafka, {"log_level": 0})

    def set_password(self, principal: str, password: SecretStr) -> None:
        """Let a principal log in by SCRAM-SHA-512 with this password, and with no other.

        Raises:
            KafkaError: the cluster did not take it.
        """
        what = f"cannot set the password of {principal}"
        info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS)
        try:
            asked = self._client.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(principal, info, password.get_secret_value().encode())],
                request_timeout=_TIMEOUT_S,
            )
            for each in asked.values():
                each.result(_TIMEOUT_S)
        except KafkaException as error:
            raise client_error(error, what) from error

    def allow(self, principal: str, rights: Iterable[Allow]) -> None:
        """Create ACLs that allow a principal operations from every host; those that exist stay.

        Raises:
            KafkaError: the cluster did not take one.
        """
        what = f"cannot allow {principal} what it needs"
        wanted = [_binding(principal, each, operation) for each in rights for operation in each.operations]
        try:
            for each in self._client.create_acls(wanted, request_timeout=_TIMEOUT_S).values():
                each.result(_TIMEOUT_S)
        except KafkaException as error:
            raise client_error(error, what) from error


def _binding(principal: str, right: Allow, operation: Operation) -> AclBinding:
    return AclBinding(
        _RESOURCES[right.resource],
        _CLUSTER if right.resource == "cluster" else right.name,
        _PATTERNS[right.pattern],
        f"User:{principal}",
        _EVERY_HOST,
        _OPERATIONS[operation],
        AclPermissionType.ALLOW,
    )
