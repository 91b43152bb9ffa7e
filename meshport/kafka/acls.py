"""Access control lists (ACLs) of a cluster that runs Kafka's own authorizer.

An ACL lets one principal do one operation with the resources of a name, or of names that begin alike. A cluster without an
authorizer has none, and lets everyone do everything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from confluent_kafka import KafkaError as ClientError
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from meshport.errors import KafkaError
from meshport.kafka.answer import ANSWER_S, answer_of
from meshport.kafka.client import new_client
from meshport.kafka.config import KafkaConfig
from meshport.kafka.errors import client_error
from meshport.kafka.in_memory import is_in_memory
from meshport.kafka.unreachable import cluster_of

__all__ = ["ANY_NAME", "CLUSTER", "Acl", "Allow", "ClusterAcls", "Operation", "Pattern", "Resource"]

ANY_NAME: Final = "*"
"""The name of a literal ACL for every resource of a kind."""

CLUSTER: Final = "kafka-cluster"
"""The name of the one cluster resource."""

Resource = Literal["topic", "group", "transactional-id", "cluster"]
Operation = Literal[
    "all",
    "read",
    "write",
    "create",
    "delete",
    "alter",
    "describe",
    "cluster-action",
    "describe-configs",
    "alter-configs",
    "idempotent-write",
]
Pattern = Literal["literal", "prefixed"]
Permission = Literal["allow", "deny"]

_PAUSE_S: Final = 0.02
_EVERY_HOST: Final = "*"
_RESOURCES: Final[dict[Resource, ResourceType]] = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
    "cluster": ResourceType.BROKER,  # librdkafka's name for the protocol's CLUSTER, which has the same number
}
_OPERATIONS: Final[dict[Operation, AclOperation]] = {
    "all": AclOperation.ALL,
    "read": AclOperation.READ,
    "write": AclOperation.WRITE,
    "create": AclOperation.CREATE,
    "delete": AclOperation.DELETE,
    "alter": AclOperation.ALTER,
    "describe": AclOperation.DESCRIBE,
    "cluster-action": AclOperation.CLUSTER_ACTION,
    "describe-configs": AclOperation.DESCRIBE_CONFIGS,
    "alter-configs": AclOperation.ALTER_CONFIGS,
    "idempotent-write": AclOperation.IDEMPOTENT_WRITE,
}
_PATTERNS: Final[dict[Pattern, ResourcePatternType]] = {
    "literal": ResourcePatternType.LITERAL,
    "prefixed": ResourcePatternType.PREFIXED,
}
_PERMISSIONS: Final[dict[Permission, AclPermissionType]] = {
    "allow": AclPermissionType.ALLOW,
    "deny": AclPermissionType.DENY,
}
# Name, pattern, principal, host, operation and permission of a filter that every ACL passes.
_ANYTHING: Final[Any] = (None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One ACL.

    Attributes:
        principal: `User:NAME`, as the cluster's listener makes it of a login.
        operation: what it may do; `read`, `write`, `delete` and `alter` imply `describe`.
        resource: the kind of resource.
        name: of the resource; `*` is every resource of its kind, for a literal pattern.
        pattern: whether `name` is the whole name, or its beginning.
        permission: a `deny` wins over every `allow`.
        host: the address that the client has to have; `*` is any.
    """

    principal: str
    operation: Operation
    resource: Resource
    name: str
    pattern: Pattern = "literal"
    permission: Permission = "allow"
    host: str = _EVERY_HOST

    def __str__(self) -> str:
        """Return the text that names it: `User:billing.invoices read topic shop.orders.events.v1`.

        `topics NAME...` are all whose names begin with NAME. Two ACLs never have the same text.
        """
        kind = self.resource if self.pattern == "literal" else f"{self.resource}s"
        name = self.name if self.pattern == "literal" else f"{self.name}..."
        denied = "" if self.permission == "allow" else "deny "
        host = "" if self.host == _EVERY_HOST else f" from {self.host}"
        return f"{denied}{self.principal} {self.operation} {kind} {name}{host}"

    def covers(self, resource: Resource, name: str) -> bool:
        """Return whether the ACL is about a resource of this name."""
        if self.resource != resource:
            return False
        if self.pattern == "prefixed":
            return name.startswith(self.name)
        return self.name in {name, ANY_NAME}


_NO_ACL: Final = Acl("User:nobody", "read", "group", "meshport-no-such-group")


@dataclass(frozen=True, slots=True)
class Allow:
    """Operations that some principal may do with resources: one ACL for each operation.

    Attributes:
        resource: the kind of resource.
        name: of the resource, or the beginning of names where `pattern` is `prefixed`.
        operations: what is allowed.
        pattern: how `name` is compared.
    """

    resource: Resource
    name: str
    operations: tuple[Operation, ...]
    pattern: Pattern = "literal"

    def to(self, principal: str) -> Iterator[Acl]:
        """Yield the ACLs that allow it to a principal, `User:NAME`."""
        for operation in self.operations:
            yield Acl(principal, operation, self.resource, self.name, self.pattern)


class ClusterAcls:
    """The ACLs of one cluster.

    Args:
        kafka: the connection to the cluster, of a principal that may `describe` it to see ACLs, and `alter` it to change them.
    """

    def __init__(self, kafka: KafkaConfig) -> None:
        self._kafka = kafka
        self._client = new_client(AdminClient, kafka, {"log_level": 0})

    def all(self) -> frozenset[Acl] | None:
        """Return the ACLs on topics, groups, transactional ids and the cluster; None where the cluster runs no authorizer.

        Raises:
            KafkaError: the cluster did not answer, or the principal may not see them.
        """
        what = f"cannot see the ACLs of {self._kafka.bootstrap_servers}"
        if self._is_in_memory(what):
            return None
        found: set[Acl] = set()
        try:
            # One question for each kind: an answer about all of them could hold kinds that the client does not know.
            for resource in _RESOURCES.values():
                asked = self._client.describe_acls(AclBindingFilter(resource, *_ANYTHING), request_timeout=ANSWER_S)
                found.update(_acl(each) for each in answer_of(asked, what))
            # librdkafka leaves out the error of such an answer: that there is no authorizer, or that this principal may not
            # see ACLs. It looks as if there were none. The error of a deletion is reported.
            if not found:
                nothing = AclBindingFilter(*_fields(_NO_ACL))
                answer_of(self._client.delete_acls([nothing], request_timeout=ANSWER_S)[nothing], what)
        except KafkaException as error:
            if error.args[0].code() == ClientError.SECURITY_DISABLED:
                return None
            raise _error(error, what) from error
        return frozenset(found)

    def _is_in_memory(self, what: str) -> bool:
        return is_in_memory(cluster_of(self._client, self._kafka, what, timeout_s=ANSWER_S).id)

    def create(self, acls: Collection[Acl]) -> None:
        """Create ACLs, and wait until a broker knows them; those that exist stay.

        Raises:
            KafkaError: the cluster did not take one, or runs no authorizer.
        """
        if not acls:
            return
        what = f"cannot create ACLs at {self._kafka.bootstrap_servers}"
        bindings = [AclBinding(*_fields(acl)) for acl in acls]
        try:
            for each in self._client.create_acls(bindings, request_timeout=ANSWER_S).values():
                answer_of(each, what)
        except KafkaException as error:
            raise _error(error, what) from error
        self._await(lambda present: present >= set(acls))

    def delete(self, acls: Collection[Acl]) -> None:
        """Delete ACLs, each exactly, and wait until a broker no longer knows them; those that are gone are passed over.

        Raises:
            KafkaError: the cluster did not take one, or runs no authorizer.
        """
        if not acls:
            return
        what = f"cannot delete ACLs at {self._kafka.bootstrap_servers}"
        filters = [AclBindingFilter(*_fields(acl)) for acl in acls]
        try:
            for each in self._client.delete_acls(filters, request_timeout=ANSWER_S).values():
                answer_of(each, what)
        except KafkaException as error:
            raise _error(error, what) from error
        self._await(lambda present: not present & set(acls))

    def _await(self, done: Callable[[frozenset[Acl]], bool]) -> None:
        """Wait until a broker has heard of a change: the request is answered before every broker knows of it."""
        deadline = time.monotonic() + ANSWER_S
        while not done(self.all() or frozenset()) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)


def _error(error: KafkaException, what: str) -> KafkaError:
    """Return the error for one of the client; the broker's own words about a refused request are of its internals."""
    if error.args[0].code() == ClientError.CLUSTER_AUTHORIZATION_FAILED:
        return KafkaError(
            f"{what}: this login may not",
            code=error.args[0].name(),
            hint="a login that manages ACLs may `describe` and `alter` the cluster",
        )
    return client_error(error, what)


_Fields = tuple[ResourceType, str, ResourcePatternType, str, str, AclOperation, AclPermissionType]


def _fields(acl: Acl) -> _Fields:
    return (
        _RESOURCES[acl.resource],
        acl.name,
        _PATTERNS[acl.pattern],
        acl.principal,
        acl.host,
        _OPERATIONS[acl.operation],
        _PERMISSIONS[acl.permission],
    )


_RESOURCE_OF: Final = {there: here for here, there in _RESOURCES.items()}
_OPERATION_OF: Final = {there: here for here, there in _OPERATIONS.items()}
_PATTERN_OF: Final = {there: here for here, there in _PATTERNS.items()}
_PERMISSION_OF: Final = {there: here for here, there in _PERMISSIONS.items()}


def _acl(found: Any) -> Acl:
    return Acl(
        found.principal,
        _OPERATION_OF[found.operation],
        _RESOURCE_OF[found.restype],
        found.name,
        _PATTERN_OF[found.resource_pattern_type],
        _PERMISSION_OF[found.permission_type],
        found.host,
    )
