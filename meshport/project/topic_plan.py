"""What a port's topic lacks of its declaration: the changes that `apply` makes, and those that Kafka cannot make, refused."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from meshport.address import Address
from meshport.catalog import Registration
from meshport.errors import KafkaError, TopicError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.topic import Topic
from meshport.product import OutputPort, line_of
from meshport.product.topic_settings import (
    CLEANUP,
    COMPRESSION,
    FOREVER,
    IN_SYNC,
    RETENTION_BYTES,
    RETENTION_MS,
    TIMESTAMP,
    UNCLEAN,
    topic_settings,
)

LIMIT: Final = "max.message.bytes"
SEALED: Final = "100"
"""The `max.message.bytes` of a topic that a copy has sealed: no event fits. A batch of one CloudEvent has more than 200 bytes;
the marker of a transaction, which has to fit, has 78."""

_DEFAULT: Final = "the cluster's default"
_HINTS: Final = {
    "INVALID_REPLICATION_FACTOR": "at most as many replicas as the cluster has brokers: `replicationFactor` of the port, or "
    "`replication.factor` of the connection",
    "POLICY_VIOLATION": "the cluster's operator allows no such topic: ask for it, or declare what the policy has",
}
_KNOWN_S: Final = 15.0
_PAUSE_S: Final = 0.02


class TopicAdmin(Protocol):
    """Where topics are created: `meshport.kafka.admin.Admin`, or the topics of a mesh in memory."""

    @property
    def kafka(self) -> KafkaConfig:
        """The connection to the cluster, as its readers reach it."""

    @property
    def makes_adopted(self) -> bool:
        """Whether a topic that a port adopts is made where it does not exist: in a mesh of one's own, as a stand-in."""

    def topic(self, name: str) -> Topic | None:
        """Return a topic, or None if it does not exist."""

    def topic_ids(self, names: Collection[str]) -> dict[str, str]:
        """Return Kafka's ids of topics, by topic; a topic that has none, or does not exist, is left out."""

    def replicas(self, declared: int | None) -> int:
        """Return how many replicas a new topic gets where a port declares so many, or none."""

    def in_sync_replicas(self, declared: int, replicas: int) -> int:
        """Return how many of a topic's replicas have to store an event where a port declares so many."""

    def ensure_topic(
        self, name: str, partitions: int, config: Mapping[str, str] | None = None, *, replicas: int | None = None
    ) -> bool:
        """Create a topic unless it exists; return whether it was created."""

    def check_new_topic(self, name: str, partitions: int, config: Mapping[str, str], replicas: int) -> None:
        """Raise KafkaError where the cluster would not create a topic; none is created."""

    def set_config(self, name: str, config: Mapping[str, str], removed: Collection[str] = ()) -> None:
        """Change settings of a topic; `removed` get the cluster's default, and those that are not named stay."""

    def check_config(self, name: str, config: Mapping[str, str], removed: Collection[str] = ()) -> None:
        """Raise KafkaError where the cluster would refuse a change of settings; nothing is changed."""

    def records(self, name: str) -> int:
        """Return how many offsets a topic holds."""

    def groups_of(self, name: str) -> list[str]:
        """Return the consumer groups that read a topic."""


@dataclass(frozen=True, slots=True)
class DeclaredPort:
    """An output port with the topic that it is to have.

    Attributes:
        port: its entry in the descriptor.
        address: its address.
        topic: the name of the topic that the address is bound to.
        earlier: the names of the settings that its registered entry declares.
        file: the product's descriptor.
        index: of the entry among the descriptor's output ports.
    """

    port: OutputPort
    address: Address
    topic: str
    earlier: frozenset[str]
    file: Path
    index: int

    @property
    def named(self) -> str:
        """The address as commands take it: of the product, for its default port."""
        return self.address.key if self.index else self.address.of_product.key

    def where(self, *keys: str) -> str:
        """Return the file and line of a key of the entry, for messages; the file alone where the product was not read from it."""
        try:
            return f"{self.file}:{line_of(self.file, 'outputPorts', self.index, *keys)}"
        except OSError:
            return str(self.file)


@dataclass(frozen=True, slots=True)
class TopicChange:
    """The creation of a topic, or a change of its settings.

    Attributes:
        name: of the topic.
        partitions: its number of partitions.
        replicas: how many replicas each of them has.
        new: whether the topic is created.
        config: the settings that are set.
        removed: the settings that get the cluster's default again.
        before: the value that each changed setting has now; None for one that the cluster does not know.
        inherited: those of them whose value is the cluster's default.
        declared_replicas: how many replicas the port declares, where the cluster of one machine has fewer brokers.
        cluster: the name of its cluster; None for the default cluster.
    """

    name: str
    partitions: int
    replicas: int
    new: bool
    config: dict[str, str]
    removed: tuple[str, ...] = ()
    before: dict[str, str | None] = field(default_factory=dict)
    inherited: frozenset[str] = frozenset()
    declared_replicas: int | None = None
    cluster: str | None = None

    def __str__(self) -> str:
        name = f"{self.name} on the cluster {self.cluster}" if self.cluster else self.name
        if self.new:
            settings = ", ".join(f"{key}={value}" for key, value in sorted(self.config.items()))
            return f"make topic {name} ({self.partitions} partitions, {self._replicas()}, {settings})"
        after: dict[str, str] = self.config | dict.fromkeys(self.removed, _DEFAULT)
        settings = ", ".join(f"{key} {self._now(key)} -> {after[key]}" for key in sorted(after))
        return f"change topic {name}: {settings}"

    def _replicas(self) -> str:
        count = f"{self.replicas} replica{'' if self.replicas == 1 else 's'}"
        return f"{count} of the {self.declared_replicas} declared" if self.declared_replicas else count

    def _now(self, key: str) -> str:
        value = self.before.get(key)
        return "unset" if value is None else f"{value} ({_DEFAULT})" if key in self.inherited else value

    def as_dict(self) -> dict[str, Any]:
        """Return the change as JSON data."""
        after: dict[str, str | None] = {**self.config, **dict.fromkeys(self.removed)}
        return {
            "topic": self.name,
            "cluster": self.cluster,
            "new": self.new,
            "partitions": self.partitions,
            "replicas": self.replicas,
            "config": self.config,
            "changes": [
                {
                    "setting": key,
                    "before": self.before.get(key),
                    "inherited": key in self.inherited,
                    "after": after[key],
                }
                for key in sorted(after)
            ],
        }


def topic_change(declared: DeclaredPort, admin: TopicAdmin) -> TopicChange | None:
    """Return what is to be done for a port's topic; None where it is as declared.

    The cluster is asked whether it would take the change, so that a plan that is shown can be carried out.

    Raises:
        TopicError: the topic has another number of partitions or replicas, the cluster refuses the topic or a setting, or a
            topic that the port adopts does not exist.
        BrokerUnavailable: the cluster did not answer.
    """
    found = admin.topic(declared.topic)
    if found is None and declared.port.adopted and not admin.makes_adopted:
        raise _nothing_to_adopt(declared, admin)
    change = _new(declared, admin) if found is None else _changed(declared, found, admin)
    if change is None:
        return None
    try:
        if change.new:
            admin.check_new_topic(change.name, change.partitions, change.config, change.replicas)
        else:
            admin.check_config(change.name, change.config, change.removed)
    except KafkaError as error:
        raise _at(declared, error) from error
    return change


def make_change(change: TopicChange, declared: DeclaredPort, admin: TopicAdmin) -> None:
    """Make a change that was planned.

    Where the defaults of the cluster would break what every port promises, the settings of a new topic replace them.

    Raises:
        KafkaError: the cluster refused it, or did not answer.
    """
    if not change.new:
        admin.set_config(change.name, change.config, change.removed)
        return
    admin.ensure_topic(change.name, change.partitions, change.config, replicas=change.replicas)
    if not declared.port.adopted and (kept := _kept(declared.port, _made(change.name, admin))):
        admin.set_config(change.name, kept)


def _made(name: str, admin: TopicAdmin) -> Topic:
    """Return a topic that was created just now: some brokers learn of it later than others."""
    deadline = time.monotonic() + _KNOWN_S
    while time.monotonic() < deadline:
        with suppress(TopicError):
            if (made := admin.topic(name)) is not None:
                return made
        time.sleep(_PAUSE_S)
    raise TopicError(f"the topic {name} was made, and brokers do not know of it {_KNOWN_S:g} s later", topic=name)


def earlier_settings(registration: Registration) -> dict[tuple[str, int], frozenset[str]]:
    """Return the names of the topic settings that a product's registered ports declare, by port and major.

    Args:
        registration: the answer to a dry run; a port whose entry does not change is not named.
    """
    ports = next((each.before for each in registration.changed if each.item == "descriptor.outputPorts"), None)
    return {
        (each.get("name", ""), each.get("major", 1)): frozenset(
            [*(each.get("config") or {}), *([COMPRESSION] if each.get("compression") else [])]
        )
        for each in ports or ()
    }


def _new(declared: DeclaredPort, admin: TopicAdmin) -> TopicChange:
    port = declared.port
    replicas = admin.replicas(port.replication_factor)
    fewer = port.replication_factor if (port.replication_factor or 0) > replicas else None
    settings = topic_settings(port)
    if IN_SYNC in settings:
        settings[IN_SYNC] = _in_sync(declared, replicas, admin)
    return TopicChange(
        declared.topic, port.partitions, replicas, True, settings, declared_replicas=fewer, cluster=port.cluster
    )


def _changed(declared: DeclaredPort, found: Topic, admin: TopicAdmin) -> TopicChange | None:
    port = declared.port
    _refuse_other_count(declared, found)
    if found.setting(CLEANUP) is None:  # librdkafka's stand-in for Kafka keeps no settings
        return None
    if port.replication_factor is not None:
        _refuse_other_replication(declared, found, admin.replicas(port.replication_factor), admin)
    wanted = _told(port) if port.adopted else topic_settings(port)
    if IN_SYNC in wanted:
        wanted[IN_SYNC] = _in_sync(declared, found.replication, admin)
    elif IN_SYNC in declared.earlier and found.replication >= 3:
        wanted[IN_SYNC] = "2"  # as a new topic has it
    if not port.adopted:
        wanted = _kept(port, found) | wanted
    if found.config.get(LIMIT) == SEALED:
        wanted.pop(LIMIT, None)
    removed = tuple(sorted((declared.earlier - wanted.keys()) & found.config.keys()))
    different = {key: value for key, value in wanted.items() if _differs(key, value, found)}
    if port.adopted:  # a default of the cluster that has the value is left alone
        different = {key: value for key, value in different.items() if found.setting(key) != value}
    if not different and not removed:
        return None
    before = {key: found.setting(key) for key in (*different, *removed)}
    inherited = frozenset(key for key in different if key in found.defaults)
    return TopicChange(
        declared.topic,
        found.partitions,
        found.replication,
        False,
        different,
        removed,
        before,
        inherited,
        cluster=port.cluster,
    )


def _told(port: OutputPort) -> dict[str, str]:
    """Return the settings that the entry of a port that adopts its topic names; all others stay as they are."""
    settings = topic_settings(port)
    unsaid = {CLEANUP: "cleanup", RETENTION_MS: "retention"}
    return {
        name: each
        for name, each in settings.items()
        if unsaid.get(name, "config") in {*port.model_fields_set, "config"}
    }


def _nothing_to_adopt(declared: DeclaredPort, admin: TopicAdmin) -> TopicError:
    cluster = f"the cluster {declared.port.cluster}" if declared.port.cluster else "the cluster"
    return TopicError(
        f"{declared.where('topic')}: {cluster} ({admin.kafka.bootstrap_servers}) has no topic {declared.topic}, which the port "
        "adopts",
        topic=declared.topic,
        hint="the mesh makes no topic under another's name: apply to the cluster that has it, or correct `topic`",
    )


def _differs(name: str, value: str, found: Topic) -> bool:
    """Return whether a setting is not the topic's own: the cluster's default may change, whatever it is now."""
    return found.config.get(name) != value


def _kept(port: OutputPort, found: Topic) -> dict[str, str]:
    """Return the settings without which a topic would not keep what every port promises, whatever the cluster's defaults are."""
    promised = {UNCLEAN: "false", TIMESTAMP: "CreateTime"}
    if port.cleanup == "delete":
        promised[RETENTION_BYTES] = FOREVER
    kept = {name: value for name, value in promised.items() if found.setting(name) not in {None, value}}
    in_sync = found.setting(IN_SYNC)
    if in_sync is not None and int(in_sync) > found.replication:
        kept[IN_SYNC] = str(found.replication)
    return kept


def _in_sync(declared: DeclaredPort, replicas: int, admin: TopicAdmin) -> str:
    """Return how many replicas have to store an event.

    Raises:
        TopicError: they are more than the topic has.
    """
    wanted = admin.in_sync_replicas(int(topic_settings(declared.port)[IN_SYNC]), replicas)
    if wanted > replicas:
        raise TopicError(
            f"{declared.where('config', IN_SYNC)}: {IN_SYNC} is {wanted}, and the topic {declared.topic} has "
            f"{replicas} replica{'' if replicas == 1 else 's'}: no event could be stored",
            topic=declared.topic,
            hint=f"at most `{IN_SYNC}: {replicas}`, or a higher `replicationFactor`",
        )
    return str(wanted)


def _refuse_other_count(declared: DeclaredPort, found: Topic) -> None:
    port = declared.port
    if found.partitions != port.partitions and port.adopted:
        raise TopicError(
            f"the topic {found.name} has {found.partitions} partitions, "
            f"{declared.where('partitions')} declares {port.partitions}",
            topic=found.name,
            hint=f"the topic is adopted as it is: declare `partitions: {found.partitions}`",
        )
    if found.partitions != port.partitions:
        raise TopicError(
            f"the topic {found.name} has {found.partitions} partitions, "
            f"{declared.where('partitions')} declares {port.partitions}",
            topic=found.name,
            hint="the number never changes under one generation, since keys would move: `meshport rebuild "
            f"{declared.named} --partitions {max(found.partitions, port.partitions)} --swap always` binds a "
            "generation that has as many; then declare that number",
        )


def _refuse_other_replication(declared: DeclaredPort, found: Topic, wanted: int, admin: TopicAdmin) -> None:
    if found.replication != wanted:
        login = " --command-config client.properties" if admin.kafka.properties else ""
        brokers = ",".join(map(str, range(1, wanted + 1)))
        entry = f'{{"topic":"{found.name}","partition":0,"replicas":[{brokers}]}}'
        raise TopicError(
            f"the topic {found.name} has {found.replication} replica{'' if found.replication == 1 else 's'} of each "
            f"partition, {declared.where('replicationFactor')} declares {declared.port.replication_factor}",
            topic=found.name,
            hint="Kafka changes it by a reassignment alone: `kafka-reassign-partitions.sh --bootstrap-server "
            f"{admin.kafka.bootstrap_servers} --reassignment-json-file FILE --execute{login}`, where FILE names the brokers "
            f'of each partition, the leader first: {{"version":1,"partitions":[{entry},...]}}; then apply again. Or '
            f"`meshport rebuild {declared.named} --partitions {found.partitions} --swap always` binds a generation that has "
            f"as many; or declare `replicationFactor: {found.replication}`",
        )


def _at(declared: DeclaredPort, error: KafkaError) -> KafkaError:
    """Return the cluster's refusal with the file of the declaration; an unavailable cluster stays what it is."""
    if error.code is None or (not error.code.startswith("INVALID") and error.code != "POLICY_VIOLATION"):
        return error
    keys: tuple[str, ...] = ()
    if error.code == "INVALID_REPLICATION_FACTOR":
        keys = ("replicationFactor",)
    elif name := next((each for each in declared.port.config or {} if f" {each}" in error.message), None):
        keys = ("config", name)
    return TopicError(
        f"{declared.where(*keys)}: {error.message}",
        topic=declared.topic,
        code=error.code,
        hint=_HINTS.get(error.code),
    )
