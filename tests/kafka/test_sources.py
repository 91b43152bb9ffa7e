"""A connection is read from a file as people have it, from the environment and from references, and shows no secret."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from meshport.errors import KafkaConfigError
from meshport.kafka.config import KafkaConfig
from meshport.kafka.producer import Producer
from meshport.kafka.sources import environment_layer, file_layer, kafka_config, table_layer

CANARY = "c4n4ry-s3cr3t"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
BODY = "TUlJQ" * 30

Read = Callable[..., KafkaConfig]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read the text of a `client.properties`."""

    def read(text: str, environment: Mapping[str, str] | None = None) -> KafkaConfig:
        file = tmp_path / "client.properties"
        file.write_text(text)
        variables = environment or {}
        return kafka_config([file_layer(file, variables), environment_layer(variables)])

    return read


def shown(config: KafkaConfig) -> dict[str, object]:
    """The properties of a client, without servers."""
    found = config.client_properties({})
    del found["bootstrap.servers"]
    return found


def test_librdkafkas_names_are_taken_as_they_are(read: Read) -> None:
    """Servers are those of the config; a secret is out of sight."""
    config = read(
        "bootstrap.servers=broker-1:9093,broker-2:9093\nsecurity.protocol=sasl_ssl\nsasl.mechanism=SCRAM-SHA-512\n"
        f"sasl.username=billing\nsasl.password={CANARY}\n"
    )
    assert config.bootstrap_servers == "broker-1:9093,broker-2:9093"
    assert shown(config) == {
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "billing",
        "sasl.password": CANARY,
    }
    assert CANARY not in repr(config)


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        (
            "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\n"
            f'sasl.jaas.config={SCRAM} required \\\n  username="alice" \\\n  password="a\\\\"l=i;ce";',
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "alice",
                "sasl.password": 'a"l=i;ce',
            },
        ),
        (
            f"security.protocol=SASL_SSL\nsasl.jaas.config={PLAIN} required username='key' password=secret123;",
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "PLAIN",
                "sasl.username": "key",
                "sasl.password": "secret123",
            },
        ),
        (
            "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n"
            "sasl.oauthbearer.token.endpoint.url=https://idp/token\n"
            "sasl.login.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler\n"
            f'sasl.jaas.config={OAUTH} required clientId="id" clientSecret="s" scope="kafka" '
            'extension_logicalCluster="lkc-1" extension_identityPoolId="pool-1";',
            {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "OAUTHBEARER",
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": "https://idp/token",
                "sasl.oauthbearer.client.id": "id",
                "sasl.oauthbearer.client.secret": "s",
                "sasl.oauthbearer.scope": "kafka",
                "sasl.oauthbearer.extensions": "logicalCluster=lkc-1,identityPoolId=pool-1",
            },
        ),
        (
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=OAUTHBEARER\n"
            f'sasl.jaas.config={OAUTH} required unsecuredLoginStringClaim_sub="alice";',
            {
                "security.protocol": "SASL_PLAINTEXT",
                "sasl.mechanism": "OAUTHBEARER",
                "enable.sasl.oauthbearer.unsecure.jwt": "true",
                "sasl.oauthbearer.config": "principal=alice",
            },
        ),
        (
            "security.protocol=SSL\nssl.endpoint.identification.algorithm=\nfetch.max.wait.ms=100\nmax.request.size=2000\n",
            {
                "security.protocol": "SSL",
                "ssl.endpoint.identification.algorithm": "none",
                "fetch.wait.max.ms": "100",
                "message.max.bytes": "2000",
            },
        ),
    ],
    ids=["scram", "plain", "oauth", "unsecured", "renamed"],
)
def test_javas_names_are_translated(read: Read, text: str, properties: dict[str, str]) -> None:
    """A `client.properties` of Java's client gives the same connection."""
    assert shown(read(text)) == properties


def test_pem_stores_by_location_are_those_of_librdkafka(read: Read, tmp_path: Path) -> None:
    """A trust store is a file of certificates, a key store one of certificate and key; paths begin at the file's folder."""
    (tmp_path / "ca.pem").write_text("subject=CN = ca\n-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "client.pem").write_text("-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / "client.p12").write_bytes(b"\x30\x82\x0a\x00")
    trust = "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location=ca.pem\n"
    keys = "ssl.keystore.type=PEM\nssl.keystore.location=./client.pem\n"
    assert shown(read(f"{trust}{keys}ssl.key.password={CANARY}\n")) == {
        "security.protocol": "SSL",
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "ssl.certificate.location": str(tmp_path / "client.pem"),
        "ssl.key.location": str(tmp_path / "client.pem"),
        "ssl.key.password": CANARY,
    }
    found = shown(read(f"{trust}ssl.keystore.location={tmp_path}/client.p12\nssl.keystore.password={CANARY}\n"))
    assert found["ssl.keystore.location"] == str(tmp_path / "client.p12")


def test_pem_stores_as_text_get_their_lines_back(read: Read) -> None:
    """A certificate or key that a file joins to one line is PEM again, and a key is a secret."""
    joined = "-----BEGIN {0}-----{1}-----END {0}-----"
    config = read(
        "security.protocol=SSL\n"
        f"ssl.truststore.certificates={joined.format('CERTIFICATE', BODY)}\n"
        f"ssl.keystore.certificate.chain={joined.format('CERTIFICATE', BODY)} {joined.format('CERTIFICATE', BODY)}\n"
        f"ssl.keystore.key=-----BEGIN PRIVATE KEY-----\\n\\\n{BODY[:70]}\\n\\\n{BODY[70:]}\\n\\\n-----END PRIVATE KEY-----\n"
    )
    lines = "\n".join(BODY[begin : begin + 64] for begin in range(0, len(BODY), 64))
    found = shown(config)
    assert found["ssl.ca.pem"] == f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
    assert found["ssl.certificate.pem"] == f"{found['ssl.ca.pem']}{found['ssl.ca.pem']}"
    assert found["ssl.key.pem"] == f"-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n"
    assert BODY[:64] not in repr(config.properties["ssl.key.pem"])


@pytest.mark.parametrize(
    ("line", "content", "hint"),
    [
        ("ssl.truststore.location=trust.jks", b"\xfe\xed\xfe\xed\0\0\0\2", "keytool -list -rfc -keystore"),
        ("ssl.truststore.location=trust.p12", b"\x30\x82\x0a\x00", "keytool -list -rfc -keystore"),
        ("ssl.ca.location=trust.jks", b"\xfe\xed\xfe\xed\0\0\0\2", "keytool -list -rfc -keystore"),
        ("ssl.keystore.location=keys.jks", b"\xfe\xed\xfe\xed\0\0\0\2", "keytool -importkeystore -srckeystore"),
    ],
)
def test_a_store_of_java_is_refused_with_the_command_that_converts_it(
    read: Read, tmp_path: Path, line: str, content: bytes, hint: str
) -> None:
    """The format is known by the content, whatever the file's name and type say."""
    (tmp_path / line.partition("=")[2]).write_bytes(content)
    with pytest.raises(KafkaConfigError, match=r"client\.properties:2: .* librdkafka cannot read") as caught:
        read(f"security.protocol=SSL\n{line}\n")
    assert hint in str(caught.value)
    assert str(tmp_path) in str(caught.value.hint)


def test_what_java_alone_has_is_named_in_a_warning(read: Read, caplog: pytest.LogCaptureFixture) -> None:
    """Serializers, interceptors and the schema registry of Java's client have no effect, and the warning has no value."""
    config = read(
        "key.serializer=org.apache.kafka.common.serialization.StringSerializer\nclient.id=billing\n"
        f"schema.registry.url=https://sr\nbasic.auth.user.info=user:{CANARY}\nmax.block.ms=1\n"
    )
    assert shown(config) == {"client.id": "billing"}
    (message,) = caplog.messages
    assert message.endswith(": basic.auth.user.info, key.serializer, max.block.ms, schema.registry.url")
    assert CANARY not in message


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("sasl.pasword=X", r"client\.properties:1: .* no property sasl\.pasword", "did you mean sasl.password?"),
        ("value.serialiser=X", "no property value.serialiser", "did you mean value.serializer?"),
        ("# first\nacks=1", r"client\.properties:2: acks cannot be changed: an acknowledged event", "acks"),
        ("group.id=X", "group.id cannot be changed", "leave it out"),
        ("partitioner.class=X", "partitioner.class cannot be changed", "leave it out"),
        ("security.protocol=ssl\nssl.ca.location=none.pem", "ssl.ca.location leads to .*none.pem", ""),
        (f"sasl.jaas.config={PLAIN} required username=a;", "PlainLoginModule no password", ""),
        (f'sasl.jaas.config={PLAIN} required password="X', "quote that is not closed", ""),
        (f"sasl.jaas.config={PLAIN} required password X;", "no option name=value after its control flag", ""),
        (f"sasl.jaas.config={PLAIN} username=X;", "is no login module", "required"),
        (f'sasl.jaas.config={SCRAM} required username=a password="X" tokenauth=true;', "delegation token", ""),
        ("sasl.jaas.config=software.amazon.msk.auth.iam.IAMLoginModule required;", "AWS_MSK_IAM", "oauth_cb="),
        ("sasl.mechanism=AWS_MSK_IAM", "AWS_MSK_IAM, which librdkafka does not have", "oauth_cb="),
        ("sasl.jaas.config=com.sun.security.auth.module.Krb5LoginModule required password=X;", "Krb5LoginModule", ""),
        ("sasl.login.callback.handler.class=com.X.Handler", "names a class of Java's client", "oauth_cb="),
        ("ssl.keystore.key=X", "is no PEM", "-----BEGIN"),
        ("logger=X", "is given in Python", ""),
        ("sasl.password=", "sasl.password is empty", "leave it out"),
        ("sasl.username=a\nsasl.password=X", "has no effect with security.protocol=plaintext", "sasl_ssl"),
        (
            "security.protocol=sasl_plaintext\nssl.key.password=X",
            "no effect with security.protocol=sasl_plain",
            "sasl_ssl",
        ),
        ("security.protocol=ssl\nsasl.password=X", "has no effect with security.protocol=ssl", "sasl_ssl"),
    ],
)
def test_what_cannot_be_used_is_refused_where_it_was_written(read: Read, text: str, message: str, hint: str) -> None:
    """The refusal has file and line, what would be right, and no secret."""
    with pytest.raises(KafkaConfigError, match=message) as caught:
        read(text.replace("X", CANARY))
    assert "client.properties:" in str(caught.value.source)
    assert hint in str(caught.value)
    if "class" not in text:
        assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_references_are_followed_in_kafkas_own_syntax(read: Read, tmp_path: Path) -> None:
    """A variable, the text of a file, a property of a file, a file of a directory, and more than one in a text."""
    (tmp_path / "password").write_text(f"{CANARY}\n")
    (tmp_path / "secrets.properties").write_text(f"other=1\npassword={CANARY}\n")
    for reference in (
        "${env:PASSWORD}",
        "${file:password}",
        f"${{file:{tmp_path}/password}}",
        "${file:secrets.properties:password}",
        f"${{directory:{tmp_path}:password}}",
        f"{CANARY[:3]}${{env:END}}",
    ):
        config = read(
            f"security.protocol=sasl_ssl\nsasl.password={reference}\n",
            {"PASSWORD": CANARY, "END": CANARY[3:]},
        )
        assert shown(config)["sasl.password"] == CANARY
        assert CANARY not in repr(config)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("${env:NOT_SET}", "a variable that is not set"),
        ("${env:EMPTY}", "an empty text"),
        ("${file:none}", "none, which cannot be read: No such file"),
        ("${file:secrets.properties:none}", "has no property none"),
        ("${vault:path:key}", "no reference that can be followed"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(read: Read, tmp_path: Path, reference: str, message: str) -> None:
    """The refusal has the place of the reference and the reference."""
    (tmp_path / "secrets.properties").write_text(f"password={CANARY}\n")
    with pytest.raises(KafkaConfigError, match=message) as caught:
        read(f"client.id=a\nsasl.password={reference}", {"EMPTY": ""})
    assert "client.properties:2: sasl.password" in str(caught.value)
    assert reference in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_variable_sets_a_property_and_wins_over_a_file(read: Read) -> None:
    """MESHPORT_KAFKA_SASL_PASSWORD is `sasl.password`; Java's names are read as well, and an alias is the same property."""
    text = "security.protocol=sasl_ssl\nsasl.password=of-the-file\nsasl.mechanisms=PLAIN\nlinger.ms=1\n"
    config = read(
        text,
        {
            "MESHPORT_KAFKA": "ignored:9092",
            "MESHPORT_KAFKA_CONFIG": "ignored",
            "MESHPORT_KAFKA_BOOTSTRAP_SERVERS": "broker:9093",
            "MESHPORT_KAFKA_SASL_PASSWORD": CANARY,
            "MESHPORT_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256",
            "MESHPORT_KAFKA_QUEUE_BUFFERING_MAX_MS": "7",
        },
    )
    assert config.bootstrap_servers == "broker:9093"
    assert shown(config) == {
        "security.protocol": "sasl_ssl",
        "sasl.password": CANARY,
        "sasl.mechanism": "SCRAM-SHA-256",
        "queue.buffering.max.ms": "7",
    }


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("MESHPORT_KAFKA_SASL_PASWORD", "MESHPORT_KAFKA_SASL_PASWORD: .*\nhint: did you mean sasl.password?"),
        ("MESHPORT_KAFKA_ACKS", "MESHPORT_KAFKA_ACKS: acks cannot be changed"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused_by_its_name(read: Read, variable: str, message: str) -> None:
    """The refusal names the variable and does not show its value."""
    with pytest.raises(KafkaConfigError, match=message) as caught:
        read("", {variable: CANARY})
    assert CANARY not in str(caught.value)
    assert caught.value.source == variable


def test_a_table_of_toml_holds_references_and_no_secrets(tmp_path: Path) -> None:
    """Numbers, truth values and dotted names are taken; a secret in the clear is refused."""
    variables = {"PASSWORD": CANARY}
    table = {
        "security": {"protocol": "sasl_ssl"},
        "sasl.username": "billing",
        "sasl": {"password": "${env:PASSWORD}"},
        "linger.ms": 20,
        "socket.keepalive.enable": True,
    }
    config = kafka_config([table_layer(table, "meshport.toml [clusters.main]", tmp_path, variables)])
    assert shown(config) == {
        "security.protocol": "sasl_ssl",
        "sasl.username": "billing",
        "sasl.password": CANARY,
        "linger.ms": "20",
        "socket.keepalive.enable": "true",
    }
    with pytest.raises(KafkaConfigError, match=r"\[clusters\.main\]: sasl\.password is a secret") as caught:
        table_layer({"sasl": {"password": CANARY}}, "meshport.toml [clusters.main]", tmp_path, variables)
    assert "${env:SASL_PASSWORD}" in str(caught.value)
    assert CANARY not in str(caught.value)
    with pytest.raises(KafkaConfigError, match="debug is neither text"):
        table_layer({"debug": ["all"]}, "meshport.toml [clusters.main]", tmp_path, variables)


def test_a_token_function_is_called_by_the_client(
    read: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """`oauth_cb=module:function` is found in the working directory; a call without a token is logged, not what it returned."""
    (tmp_path / "own_tokens.py").write_text(
        "import pathlib\n\n\ndef token(config):\n    pathlib.Path('asked').write_text(config)\n    return 'token', 4e9\n\n\n"
        f"def none(config):\n    return '{CANARY}'\n\n\ndef fails(config):\n    raise RuntimeError('no answer')\n"
    )
    monkeypatch.chdir(tmp_path)
    login = "security.protocol=sasl_ssl\nsasl.mechanism=OAUTHBEARER\nsasl.oauthbearer.config=eu\noauth_cb=own_tokens:"
    config = read(f"{login}token\n")
    assert str(tmp_path) not in sys.path
    assert config.properties["oauth_cb"] == "own_tokens:token"
    asked = tmp_path / "asked"
    Producer(config.at("127.0.0.1:1")).close()
    assert asked.read_text() == "eu"
    with caplog.at_level(logging.ERROR):
        for name, error in (("none", TypeError), ("fails", RuntimeError)):
            function = shown(read(f"{login}{name}\n"))["oauth_cb"]
            assert callable(function)
            with pytest.raises(error):
                function("eu")
    assert ["own_tokens:none gave no token" in caplog.messages[0], "no answer" in caplog.messages[1]] == [True, True]
    assert CANARY not in caplog.text
    for wrong, message in (
        ("nothing", "module 'own_tokens' has no attribute 'nothing'"),
        ("__name__", "is no function but of type str"),
    ):
        with pytest.raises(KafkaConfigError, match=rf"client\.properties:4: oauth_cb cannot be used: .*{message}"):
            read(f"{login}{wrong}\n")


def test_a_backslash_that_java_refuses_is_refused(read: Read) -> None:
    r"""`DOMAIN\user` has one backslash too few; the error has the line, not the text."""
    with pytest.raises(
        KafkaConfigError, match=r"client\.properties: line 2 has a \\u without four hexadecimal digits"
    ) as caught:
        read(f"client.id=a\nsasl.password={CANARY}\\user\n")
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The error has the path and the reason."""
    with pytest.raises(KafkaConfigError, match=r"none\.properties cannot be read: No such file"):
        file_layer(tmp_path / "none.properties", {})


def test_replicas_of_new_topics_are_no_property_of_the_client(read: Read) -> None:
    """`replication.factor`, Kafka Streams' name, is taken from a file and a variable, and no client is given it."""
    assert read("replication.factor=3\n").replicas == 3
    config = read("replication.factor=3\n", {"MESHPORT_KAFKA_REPLICATION_FACTOR": "2"})
    assert (config.replicas, shown(config)) == (2, {})
    assert read("").replicas is None


@pytest.mark.parametrize("text", ["0", "-1", "three", "1.5", "32768"])
def test_what_is_no_number_of_replicas_is_refused(read: Read, text: str) -> None:
    """The refusal names the line, what was written, and what would be right."""
    with pytest.raises(KafkaConfigError, match=rf"client\.properties:1: replication\.factor is {text}, ") as refused:
        read(f"replication.factor={text}\n")
    assert refused.value.hint == "a whole number of brokers, as 3"
