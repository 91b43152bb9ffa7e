"""Logins at a real Kafka by tokens of a real OpenID provider, and the tokens that the broker has to refuse."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meshport.errors import BrokerUnavailable, KafkaError
from meshport.kafka.admin import Admin
from meshport.kafka.probe import ClusterProbe
from meshport.ports.subscriber import Subscriber
from tests.connections import CONNECTIONS, remembered
from tests.docs.shell import shell
from tests.interop.openid_kafka import TokenKafka, blocks, token_kafka
from tests.interop.openid_provider import REGISTRY_AUDIENCE, OpenIdServer, openid_server
from tests.interop.packages import installed
from tests.mesh_session import Mesh, open_test_mesh
from tests.ports.readings import fill, take
from tests.process.test_behaviour import ENGINES, Ran, check, run_all
from tests.waiting import PATIENCE_S

REFUSED_S = 2.0
RUNS = [("KeyedWindows", on) for on in ENGINES]


@pytest.fixture(scope="module")
def provider(tool: Callable[[str], str]) -> Iterator[OpenIdServer]:
    """A provider."""
    node = tool("node")
    installed(tool("npm"), "openid")
    with openid_server(node) as served:
        yield served


@pytest.fixture(scope="module")
def token_login(jars: Path, provider: OpenIdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenKafka]:
    """A Kafka that takes the provider's tokens; the tests' connection to it is by client credentials."""
    with token_kafka(jars, provider) as opened:
        file = tmp_path_factory.mktemp("login") / "client.properties"
        lines = {"bootstrap.servers": opened.bootstrap_servers, **opened.client_credentials()}
        file.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        with remembered(file):
            yield opened


@pytest.fixture(scope="module")
def token_mesh(token_login: TokenKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """A mesh over it."""
    with open_test_mesh(tmp_path_factory.mktemp("mesh"), token_login.bootstrap_servers) as opened:
        yield opened


@pytest.fixture(scope="module")
def ran(token_login: TokenKafka) -> Ran:
    """A scenario, run on each engine."""
    return run_all(RUNS, token_login.bootstrap_servers)


def test_client_credentials(token_mesh: Mesh) -> None:
    """A client with an id and a secret makes a topic, publishes and reads."""
    address = token_mesh.product().address
    published = fill(token_mesh, address, range(3))
    with Subscriber(address, token_mesh.registry, kafka=CONNECTIONS) as subscriber:
        assert sorted(event.id for event in take(subscriber, 3)) == sorted(published)


def test_a_token_function(token_login: TokenKafka, token_mesh: Mesh, tmp_path: Path) -> None:
    """The properties and the function of docs/connections.md publish and read with a token of the provider."""
    address = token_mesh.product().address
    properties, module = blocks("properties")[1], blocks("python")[1]
    (tmp_path / "token").write_text(token_login.provider.service_token())
    (tmp_path / "tokens.py").write_text(module)
    (tmp_path / "client.properties").write_text(
        properties.replace("/var/run/secrets/kafka/token", str(tmp_path / "token"))
        + f"bootstrap.servers={token_login.bootstrap_servers}\nssl.ca.location={token_login.authority}\n"
    )
    (tmp_path / "readings.jsonl").write_text(
        "".join(
            f'{{"sensor": "{each}", "at": "2026-03-01T00:00:00Z", "celsius": 1.5, "note": null}}\n' for each in "ab"
        )
    )
    shown = shell(
        f"meshport publish {address} --from readings.jsonl; meshport tail {address} --from-beginning --until-end --json",
        tmp_path,
        MESHPORT_REGISTRY=token_mesh.url,
        MESHPORT_KAFKA_CONFIG="client.properties",
    )
    assert sorted(json.loads(line)["data"]["sensor"] for line in shown.splitlines()) == ["a", "b"]


@pytest.mark.parametrize(("name", "on"), RUNS)
def test_a_processor(name: str, on: str, ran: Ran) -> None:
    """Each engine logs in by client credentials, and does the same as in memory."""
    check(name, on, ran)


def test_a_rotation_of_the_keys(token_login: TokenKafka, token_mesh: Mesh) -> None:
    """The broker reads the provider's keys again when a token is signed by one that it does not know."""
    address = token_mesh.product().address
    token_login.provider.rotate()
    fill(token_mesh, address, range(2))
    with Subscriber(address, token_mesh.registry, kafka=CONNECTIONS) as subscriber:
        assert len(take(subscriber, 2)) == 2


def good(kafka: TokenKafka) -> dict[str, Any]:
    """Return the claims of a token that the provider gives the client."""
    return jwt.decode(kafka.provider.service_token(), options={"verify_signature": False})


def signed_otherwise(kafka: TokenKafka, key: Any, algorithm: str) -> str:
    """Return a good token's claims, with another signature under the name of the provider's key."""
    token = kafka.provider.service_token()
    return jwt.encode(good(kafka), key, algorithm, headers={"kid": jwt.get_unverified_header(token)["kid"]})


def changed(kafka: TokenKafka) -> str:
    """Return a token of the provider with another subject, under the signature that it had."""
    header, _, signature = kafka.provider.service_token().split(".")
    return f"{header}.{part(good(kafka) | {'sub': 'meshport'})}.{signature}"


def unsigned_with_signature(kafka: TokenKafka) -> str:
    """Return a good token whose header says that it is not signed; Kafka takes three parts that are not empty for a token."""
    _, claims, signature = kafka.provider.service_token().split(".")
    return f"{part({'alg': 'none'})}.{claims}.{signature}"


def with_public_key(kafka: TokenKafka) -> str:
    """Return a good token's claims, signed by HS256 with the provider's public key, which everyone knows."""
    (key,) = jwt.PyJWKClient(f"{kafka.provider.url}/jwks").get_signing_keys()
    secret = key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # the bytes of Java's PublicKey
    content = f"{part({'alg': 'HS256', 'kid': key.key_id})}.{part(good(kafka))}"
    return f"{content}.{encoded(hmac.digest(secret, content.encode(), 'sha256'))}"


def part(content: dict[str, Any]) -> str:
    """Return a header or claims as a token has them."""
    return encoded(json.dumps(content).encode())


def encoded(content: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(content).decode().rstrip("=")


FORGED: dict[str, Callable[[TokenKafka], str]] = {
    "no signature": lambda kafka: signed_otherwise(kafka, None, "none"),
    "no signature said, and one there": unsigned_with_signature,
    "another key": lambda kafka: signed_otherwise(kafka, rsa.generate_private_key(65537, 2048), "RS256"),
    "the public key as a secret": with_public_key,
    "changed after it was signed": changed,
    "another audience": lambda kafka: kafka.provider.signed(good(kafka) | {"aud": REGISTRY_AUDIENCE}),
    "another issuer": lambda kafka: kafka.provider.signed(good(kafka) | {"iss": "https://other.example.org"}),
    "ended": lambda kafka: kafka.provider.signed(good(kafka) | {"exp": int(time.time()) - 600}),
    "without an end": lambda kafka: kafka.provider.signed({k: v for k, v in good(kafka).items() if k != "exp"}),
    "without a subject": lambda kafka: kafka.provider.signed({k: v for k, v in good(kafka).items() if k != "sub"}),
}


@pytest.fixture(scope="module")
def answers(token_login: TokenKafka) -> dict[str, str]:
    """What the broker answers to each forged token, all at once: a client looks for the reason for some seconds."""

    def answer(forge: Callable[[TokenKafka], str]) -> str:
        try:
            ClusterProbe(token_login.shown(forge(token_login))).require(REFUSED_S)
        except BrokerUnavailable as error:
            return error.message
        return "let in"

    with ThreadPoolExecutor(len(FORGED)) as pool:
        return dict(zip(FORGED, pool.map(answer, FORGED.values()), strict=True))


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_token_is_refused(answers: dict[str, str], forged: str) -> None:
    """A token that differs in one point from a good one is refused by the broker itself (CVE-2026-33557)."""
    assert "invalid_token" in answers[forged]


def test_the_same_token_is_let_in(token_login: TokenKafka) -> None:
    """The forged tokens without their fault are taken: made in the same way, with the claims of a good one."""
    client = token_login.shown(token_login.provider.signed(good(token_login)))
    assert ClusterProbe(client).look(PATIENCE_S).brokers == 1


def test_a_token_has_the_rights_of_its_subject(token_login: TokenKafka) -> None:
    """A subject without an ACL logs in, and may do nothing."""
    token = token_login.provider.signed(good(token_login) | {"sub": "shop.payments"})
    stranger = token_login.shown(token)
    assert ClusterProbe(stranger).look(PATIENCE_S).brokers == 1
    with pytest.raises(KafkaError, match="AUTHORIZATION_FAILED"):
        Admin(stranger).ensure_topic("payments", 1)
