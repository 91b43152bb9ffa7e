"""The properties of Kafka's client: their names, and those that Meshport sets itself.

The names are those of librdkafka 2.16, from its CONFIGURATION.md
(https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md), without what only its C API can set. A version that
does not know one of them refuses it when a client is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from meshport.address import nearest
from meshport.errors import KafkaConfigError

__all__ = [
    "ALIASES",
    "OBJECTS",
    "PROPERTIES",
    "REPLICAS",
    "SERVERS",
    "TOKEN_FUNCTION",
    "canonical",
    "check_property",
    "unknown_property",
]

SERVERS: Final = "bootstrap.servers"
TOKEN_FUNCTION: Final = "oauth_cb"  # noqa: S105 - a name
"""confluent_kafka's property for a function that returns tokens; as text it is `module:function`."""

REPLICAS: Final = "replication.factor"
"""Kafka Streams' property: how many replicas a new topic gets whose port declares none. No client is given it."""

ALIASES: Final[Mapping[str, str]] = {
    "acks": "request.required.acks",
    "bootstrap.servers": "metadata.broker.list",
    "compression.type": "compression.codec",
    "delivery.timeout.ms": "message.timeout.ms",
    "enable.auto.commit": "auto.commit.enable",
    "linger.ms": "queue.buffering.max.ms",
    "max.in.flight": "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
    "retries": "message.send.max.retries",
    "sasl.mechanism": "sasl.mechanisms",
    "sasl.oauthbearer.client.credentials.client.id": "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.credentials.client.secret": "sasl.oauthbearer.client.secret",
}
"""librdkafka's second name of a property, and its first."""

OBJECTS: Final = frozenset({"throttle_cb", "logger"})
"""confluent_kafka's properties for a function and a logger, which no text can give."""

PROPERTIES: Final = frozenset(
    {
        TOKEN_FUNCTION,
        *OBJECTS,
        *ALIASES,
        "allow.auto.create.topics",
        "api.version.fallback.ms",
        "api.version.request",
        "api.version.request.timeout.ms",
        "auto.commit.enable",
        "auto.commit.interval.ms",
        "auto.offset.reset",
        "batch.num.messages",
        "batch.size",
        "broker.address.family",
        "broker.address.ttl",
        "broker.version.fallback",
        "check.crcs",
        "client.dns.lookup",
        "client.id",
        "client.rack",
        "compression.codec",
        "compression.level",
        "connections.max.idle.ms",
        "consume.callback.max.messages",
        "coordinator.query.interval.ms",
        "debug",
        "delivery.report.only.error",
        "enable.auto.offset.store",
        "enable.gapless.guarantee",
        "enable.idempotence",
        "enable.metrics.push",
        "enable.partition.eof",
        "enable.random.seed",
        "enable.sasl.oauthbearer.unsecure.jwt",
        "enable.ssl.certificate.verification",
        "enabled_events",
        "fetch.error.backoff.ms",
        "fetch.max.bytes",
        "fetch.message.max.bytes",
        "fetch.min.bytes",
        "fetch.queue.backoff.ms",
        "fetch.wait.max.ms",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "group.protocol.type",
        "group.remote.assignor",
        "heartbeat.interval.ms",
        "https.ca.location",
        "https.ca.pem",
        "internal.termination.signal",
        "isolation.level",
        "log.connection.close",
        "log.queue",
        "log.thread.name",
        "log_level",
        "max.in.flight.requests.per.connection",
        "max.poll.interval.ms",
        "max.poll.records",
        "message.copy.max.bytes",
        "message.max.bytes",
        "message.send.max.retries",
        "message.timeout.ms",
        "metadata.broker.list",
        "metadata.max.age.ms",
        "metadata.recovery.rebootstrap.trigger.ms",
        "metadata.recovery.strategy",
        "offset.store.method",
        "offset.store.path",
        "offset.store.sync.interval.ms",
        "partition.assignment.strategy",
        "partitioner",
        "plugin.library.paths",
        "produce.offset.report",
        "queue.buffering.backpressure.threshold",
        "queue.buffering.max.kbytes",
        "queue.buffering.max.messages",
        "queue.buffering.max.ms",
        "queued.max.messages.kbytes",
        "queued.min.messages",
        "queuing.strategy",
        "receive.message.max.bytes",
        "reconnect.backoff.jitter.ms",
        "reconnect.backoff.max.ms",
        "reconnect.backoff.ms",
        "request.required.acks",
        "request.timeout.ms",
        "retry.backoff.max.ms",
        "retry.backoff.ms",
        "sasl.kerberos.keytab",
        "sasl.kerberos.kinit.cmd",
        "sasl.kerberos.min.time.before.relogin",
        "sasl.kerberos.principal",
        "sasl.kerberos.service.name",
        "sasl.mechanisms",
        "sasl.oauthbearer.assertion.algorithm",
        "sasl.oauthbearer.assertion.claim.aud",
        "sasl.oauthbearer.assertion.claim.exp.seconds",
        "sasl.oauthbearer.assertion.claim.iss",
        "sasl.oauthbearer.assertion.claim.jti.include",
        "sasl.oauthbearer.assertion.claim.nbf.seconds",
        "sasl.oauthbearer.assertion.claim.sub",
        "sasl.oauthbearer.assertion.file",
        "sasl.oauthbearer.assertion.jwt.template.file",
        "sasl.oauthbearer.assertion.private.key.file",
        "sasl.oauthbearer.assertion.private.key.passphrase",
        "sasl.oauthbearer.assertion.private.key.pem",
        "sasl.oauthbearer.client.id",
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.oauthbearer.extensions",
        "sasl.oauthbearer.grant.type",
        "sasl.oauthbearer.metadata.authentication.type",
        "sasl.oauthbearer.method",
        "sasl.oauthbearer.scope",
        "sasl.oauthbearer.sub.claim.name",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.password",
        "sasl.username",
        "security.protocol",
        "session.timeout.ms",
        "share.acknowledgement.mode",
        "socket.blocking.max.ms",
        "socket.connection.setup.timeout.ms",
        "socket.keepalive.enable",
        "socket.max.fails",
        "socket.nagle.disable",
        "socket.receive.buffer.bytes",
        "socket.send.buffer.bytes",
        "socket.timeout.ms",
        "ssl.ca.certificate.stores",
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.cipher.suites",
        "ssl.crl.location",
        "ssl.curves.list",
        "ssl.endpoint.identification.algorithm",
        "ssl.engine.id",
        "ssl.engine.location",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.location",
        "ssl.keystore.password",
        "ssl.providers",
        "ssl.sigalgs.list",
        "statistics.interval.ms",
        "sticky.partitioning.linger.ms",
        "topic.blacklist",
        "topic.metadata.propagation.max.ms",
        "topic.metadata.refresh.fast.cnt",
        "topic.metadata.refresh.fast.interval.ms",
        "topic.metadata.refresh.interval.ms",
        "topic.metadata.refresh.sparse",
        "transaction.timeout.ms",
        "transactional.id",
    }
)
"""Every name that a property of the client may have."""

_MOST_REPLICAS: Final = 32_767  # Kafka's protocol has 16 bits for it


class OwnProperty(NamedTuple):
    """A property that Meshport sets itself: the values that say the same, in lower case, and what another would break."""

    same: tuple[str, ...]
    reason: str


_OFFSETS: Final = "a reader's offset is committed after its work"
_GROUP: Final = "each reader and processor has a group, and a way to assign partitions, of its own"
_TRANSACTIONS: Final = "each processor has a transactional id of its own, and counts on its timeout"
_OBSERVED: Final = "the client's reports are read by Meshport"

OWN: Final[Mapping[str, OwnProperty]] = {
    "enable.idempotence": OwnProperty(("true",), "an acknowledged event is stored once and in order"),
    "request.required.acks": OwnProperty(("all", "-1"), "an acknowledged event is stored on all in-sync replicas"),
    "partitioner": OwnProperty(
        ("murmur2_random",), "the events of a key are in one partition, whichever client writes them"
    ),
    "delivery.report.only.error": OwnProperty((), _OBSERVED),
    "isolation.level": OwnProperty(("read_committed",), "no reader sees an event of an aborted transaction"),
    "auto.commit.enable": OwnProperty(("false",), _OFFSETS),
    "enable.auto.offset.store": OwnProperty(("false",), _OFFSETS),
    "auto.offset.reset": OwnProperty(
        ("error",), "a reader without an offset begins where its owner says, and misses no event silently"
    ),
    "enable.partition.eof": OwnProperty((), "a bounded read has to know where it ends"),
    "group.id": OwnProperty((), _GROUP),
    "group.instance.id": OwnProperty((), _GROUP),
    "group.protocol": OwnProperty(("classic",), _GROUP),
    "group.remote.assignor": OwnProperty((), _GROUP),
    "partition.assignment.strategy": OwnProperty((), _GROUP),
    "transactional.id": OwnProperty((), _TRANSACTIONS),
    "transaction.timeout.ms": OwnProperty((), _TRANSACTIONS),
    "allow.auto.create.topics": OwnProperty(
        ("false",), "topics are made by `meshport apply`, as their products declare them"
    ),
    "partitioner.class": OwnProperty((), "the partitioner is murmur2, as Java's own"),
    "error_cb": OwnProperty((), _OBSERVED),
    "stats_cb": OwnProperty((), _OBSERVED),
    "on_delivery": OwnProperty((), _OBSERVED),
    "on_commit": OwnProperty((), _OBSERVED),
}


def canonical(name: str) -> str:
    """Return librdkafka's first name of a property."""
    return ALIASES.get(name, name)


def check_property(name: str, value: Any, *, source: str | None = None, also: Iterable[str] = ()) -> None:
    """Refuse a property that no client knows, or a value that would undo what Meshport sets.

    Args:
        name: the property.
        value: a text, a number or a truth value; not shown.
        source: where it was written, for the error.
        also: further names that would be right there.

    Raises:
        KafkaConfigError: it is to be refused.
    """
    own = OWN.get(canonical(name))
    if name == REPLICAS:
        _check_replicas(value, source)
    elif own is None:
        if name not in PROPERTIES:
            raise unknown_property(name, source=source, also=also)
    elif str(value).strip().lower() not in own.same:
        others = f", or give it as {own.same[0]}" if own.same else ""
        raise KafkaConfigError(
            f"{_where(source)}{name} cannot be changed: {own.reason}",
            property=name,
            source=source,
            hint=f"leave it out{others}",
        )


def _check_replicas(value: Any, source: str | None) -> None:
    text = str(value)
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= _MOST_REPLICAS:
        raise KafkaConfigError(
            f"{_where(source)}{REPLICAS} is {text}, which is no number of replicas",
            property=REPLICAS,
            source=source,
            hint="a whole number of brokers, as 3",
        )


def unknown_property(name: str, *, source: str | None = None, also: Iterable[str] = ()) -> KafkaConfigError:
    """Return the error of a name that no property has.

    Args:
        name: what was written.
        source: where.
        also: further names that would be right there.
    """
    meant = name.lower().replace("_", ".")
    known = {*PROPERTIES, REPLICAS, *also}
    right = meant if meant in known else nearest(meant, known)
    return KafkaConfigError(
        f"{_where(source)}Kafka's client has no property {name}",
        property=name,
        source=source,
        hint=f"did you mean {right}?" if right else "librdkafka's CONFIGURATION.md has their names",
    )


def _where(source: str | None) -> str:
    return f"{source}: " if source else ""
