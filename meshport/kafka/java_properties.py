"""The properties of Java's clients that librdkafka has under other names, or does not have.

The names are those of the configs of Kafka 4.3's producer, consumer and admin client, of Confluent's serializers, and of config
providers; their meaning is in Kafka's documentation, "Configuration".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from meshport.kafka.jaas import login_properties
from meshport.kafka.properties import TOKEN_FUNCTION, canonical
from meshport.kafka.setting import Setting
from meshport.kafka.stores import key_store, pem_text, trust_store

__all__ = ["JAVA_PROPERTIES", "Translated", "translated"]

_RENAMED: Final = {
    "fetch.max.wait.ms": "fetch.wait.max.ms",
    "max.request.size": "message.max.bytes",
    "sasl.oauthbearer.assertion.template.file": "sasl.oauthbearer.assertion.jwt.template.file",
}
_JAAS: Final = "sasl.jaas.config"
_HANDLERS: Final = ("sasl.login.callback.handler.class", "sasl.client.callback.handler.class", "sasl.login.class")
_RETRIEVER: Final = "sasl.oauthbearer.jwt.retriever.class"
_PEM: Final = {
    "ssl.truststore.certificates": "ssl.ca.pem",
    "ssl.keystore.certificate.chain": "ssl.certificate.pem",
    "ssl.keystore.key": "ssl.key.pem",
}
_TRUST: Final = "ssl.truststore.location"
_OIDC_HANDLERS: Final = ("OAuthBearerLoginCallbackHandler", "OAuthBearerUnsecuredLoginCallbackHandler")
_GRANTS: Final = {
    "DefaultJwtRetriever": None,
    "ClientCredentialsJwtRetriever": "client_credentials",
    "JwtBearerJwtRetriever": "urn:ietf:params:oauth:grant-type:jwt-bearer",
}
# Without an effect on what Meshport sends and receives: the contract gives the serializers, the content of a store its format.
_LEFT_OUT: Final = frozenset(
    [
        "auto.register.schemas",
        "bootstrap.controllers",
        "buffer.memory",
        "compression.gzip.level",
        "compression.lz4.level",
        "compression.zstd.level",
        "config.providers",
        "default.api.timeout.ms",
        "exclude.internal.topics",
        "interceptor.classes",
        "key.deserializer",
        "key.serializer",
        "key.subject.name.strategy",
        "max.block.ms",
        "metadata.max.idle.ms",
        "metric.reporters",
        "metrics.num.samples",
        "metrics.recording.level",
        "metrics.sample.window.ms",
        "partitioner.adaptive.partitioning.enable",
        "partitioner.availability.timeout.ms",
        "partitioner.ignore.keys",
        "receive.buffer.bytes",
        "sasl.kerberos.ticket.renew.jitter",
        "sasl.kerberos.ticket.renew.window.factor",
        "sasl.login.connect.timeout.ms",
        "sasl.login.read.timeout.ms",
        "sasl.login.refresh.buffer.seconds",
        "sasl.login.refresh.min.period.seconds",
        "sasl.login.refresh.window.factor",
        "sasl.login.refresh.window.jitter",
        "sasl.login.retry.backoff.max.ms",
        "sasl.login.retry.backoff.ms",
        "sasl.oauthbearer.clock.skew.seconds",
        "sasl.oauthbearer.expected.audience",
        "sasl.oauthbearer.expected.issuer",
        "sasl.oauthbearer.header.urlencode",
        "sasl.oauthbearer.jwks.endpoint.refresh.ms",
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
        "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
        "sasl.oauthbearer.jwks.endpoint.url",
        "sasl.oauthbearer.jwt.validator.class",
        "sasl.oauthbearer.scope.claim.name",
        "security.providers",
        "send.buffer.bytes",
        "share.acquire.mode",
        "socket.connection.setup.timeout.max.ms",
        "specific.avro.reader",
        "ssl.enabled.protocols",
        "ssl.engine.factory.class",
        "ssl.keymanager.algorithm",
        "ssl.protocol",
        "ssl.provider",
        "ssl.secure.random.implementation",
        "ssl.trustmanager.algorithm",
        "ssl.truststore.password",
        "transaction.two.phase.commit.enable",
        "use.latest.version",
        "value.deserializer",
        "value.serializer",
        "value.subject.name.strategy",
    ]
)
_LEFT_OUT_GROUPS: Final = ("basic.auth.", "bearer.auth.", "config.providers.", "schema.registry.")
_FORMATS: Final = ("ssl.keystore.type", "ssl.truststore.type")

JAVA_PROPERTIES: Final = frozenset({*_RENAMED, _JAAS, *_HANDLERS, _RETRIEVER, *_PEM, _TRUST, *_LEFT_OUT, *_FORMATS})
"""Every name that is Java's alone."""


class Translated(NamedTuple):
    """What a file or an environment says to librdkafka.

    Attributes:
        settings: by librdkafka's names; a name that is neither client's stays as it is.
        left_out: by Java's names, what has no effect on librdkafka.
    """

    settings: tuple[Setting, ...]
    left_out: tuple[Setting, ...]


def translated(settings: Iterable[Setting]) -> Translated:
    """Return settings by librdkafka's names.

    Raises:
        KafkaConfigError: a login, a handler or a store that librdkafka has no properties for.
    """
    given = list(settings)
    left_out = [each for each in given if each.name in _LEFT_OUT or each.name.startswith(_LEFT_OUT_GROUPS)]
    kept = [each for each in given if each not in left_out and each.name not in _FORMATS]
    found = [new for each in kept for new in _translated(each)]
    return Translated((*found, *_mechanism(kept, found)), tuple(left_out))


def _translated(setting: Setting) -> Iterator[Setting]:
    match setting.name:
        case "sasl.jaas.config":
            yield from login_properties(setting)
        case "ssl.truststore.location" | "ssl.ca.location" if setting.text != "probe":
            yield trust_store(setting)
        case "ssl.keystore.location":
            yield from key_store(setting)
        case "ssl.endpoint.identification.algorithm":
            yield setting.named(setting.name, setting.text or "none")
        case "sasl.oauthbearer.jwt.retriever.class":
            yield from _grant(setting)
        case name if name in _HANDLERS:
            if setting.text.rsplit(".", 1)[-1] not in _OIDC_HANDLERS:
                raise setting.error(
                    "names a class of Java's client",
                    f"a token function in Python has its place: {TOKEN_FUNCTION}=module:function",
                )
        case name if name in _PEM:
            yield pem_text(setting, _PEM[name])
        case name:
            yield setting.named(_RENAMED.get(name, name))


def _grant(setting: Setting) -> Iterator[Setting]:
    retriever = setting.text.rsplit(".", 1)[-1]
    if retriever not in _GRANTS:
        raise setting.error(
            "names a class of Java's client", f"{TOKEN_FUNCTION}=module:function, or one of {', '.join(_GRANTS)}"
        )
    if grant := _GRANTS[retriever]:
        yield setting.named("sasl.oauthbearer.grant.type", grant)


def _mechanism(kept: list[Setting], found: list[Setting]) -> Iterator[Setting]:
    """Yield what Java's client concludes from its login module: PLAIN, and OAUTHBEARER by a token endpoint."""
    login = next((each for each in kept if each.name == _JAAS), None)
    if login is None:
        return
    names = {canonical(each.name) for each in found}
    if "PlainLoginModule" in login.text and "sasl.mechanisms" not in names:
        yield login.named("sasl.mechanism", "PLAIN")
    if "OAuthBearerLoginModule" in login.text:
        if "sasl.mechanisms" not in names:
            yield login.named("sasl.mechanism", "OAUTHBEARER")
        if not names & {"sasl.oauthbearer.method", "enable.sasl.oauthbearer.unsecure.jwt", TOKEN_FUNCTION}:
            yield login.named("sasl.oauthbearer.method", "oidc")
