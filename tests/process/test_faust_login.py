"""The login of the faust engine: what librdkafka's properties become for aiokafka."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from base64 import b64decode
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from meshport.errors import KafkaConfigError, KafkaError
from meshport.kafka.config import KafkaConfig
from meshport.local.authority import certify
from meshport.process.engines.faust_login import credentials

MADE = certify("client", "127.0.0.1")
CA = MADE.authority.decode()
LOGIN = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "u", "ssl.ca.pem": CA}


def login(**properties: Any) -> Any:
    """Faust's credentials for `LOGIN` with further properties, `_` for `.`; None leaves one out."""
    given: dict[str, Any] = LOGIN | {name.replace("_", "."): value for name, value in properties.items()}
    given["oauth_cb"] = given.pop("oauth.cb", None)
    return credentials(KafkaConfig("k:1", {name: value for name, value in given.items() if value is not None}))


def test_without_tls_and_login_there_are_no_credentials() -> None:
    """A plain connection stays plain."""
    assert credentials(KafkaConfig("k:1", {"client.id": "x"})) is None


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_password(mechanism: str) -> None:
    """User, password and mechanism are those of the connection; the password is in no text that is shown."""
    found = login(sasl_mechanism=mechanism, sasl_password="hidden")
    assert isinstance(found, SASLCredentials)
    assert (found.username, found.password, found.mechanism.value) == ("u", "hidden", mechanism)
    assert found.protocol.value == "SASL_SSL"
    assert "hidden" not in repr(found)


def test_a_server_is_verified_as_librdkafka_does() -> None:
    """The authority of the connection alone is trusted, and the server's name is compared, unless that is switched off."""
    found = login().ssl_context
    assert (found.verify_mode, found.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert [each["subject"] for each in found.get_ca_certs()] == [
        ((("commonName", "Meshport's throw-away authority"),),)
    ]
    assert not login(ssl_endpoint_identification_algorithm="none").ssl_context.check_hostname
    assert login(enable_ssl_certificate_verification="false").ssl_context.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize("written", ["in files", "in the properties"])
def test_a_client_certificate(tmp_path: Path, written: str) -> None:
    """A certificate and its key are taken from files, and from the properties; nothing of them stays on the disk."""
    certificate, key = tmp_path / "client.pem", tmp_path / "client.key"
    certificate.write_bytes(MADE.certificate)
    key.write_bytes(MADE.key)
    given = (
        {"ssl_certificate_location": str(certificate), "ssl_key_location": str(key)}
        if written == "in files"
        else {"ssl_certificate_pem": MADE.certificate.decode(), "ssl_key_pem": MADE.key.decode()}
    )
    found = login(security_protocol="ssl", sasl_mechanism=None, sasl_username=None, **given)
    assert isinstance(found, SSLCredentials)
    key.write_text("no key")
    with pytest.raises(KafkaConfigError, match=r"cannot use ssl\.certificate\.location"):
        login(ssl_certificate_location=str(certificate), ssl_key_location=str(key))


def test_a_token_function_is_asked_before_a_token_ends() -> None:
    """A token is kept until its end is near; the extensions of the function go with it."""
    asked = []

    def function(config: str) -> tuple[str, float, str, dict[str, str]]:
        asked.append(config)
        return f"token {len(asked)}", time.time() + (3600 if len(asked) > 1 else 10), "principal", {"tenant": "t"}

    found = login(sasl_mechanism="OAUTHBEARER", sasl_username=None, oauth_cb=function)
    assert isinstance(found, OAuthCredentials)

    async def tokens() -> list[str]:
        return [await found.oauth_cb.token() for _ in range(3)]

    assert asyncio.run(tokens()) == ["token 1", "token 2", "token 2"]
    assert asked == ["", ""]
    assert found.oauth_cb.extensions() == {"tenant": "t"}


def test_client_credentials_are_exchanged_for_a_token() -> None:
    """The endpoint gets id, secret and scope; the token is used until its end; no answer is an error without the secret."""
    asked: list[tuple[str, dict[str, list[str]]]] = []

    class Endpoint(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            asked.append((b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode(), body))
            answer = json.dumps(
                {"access_token": "t", "expires_in": 300} if len(asked) == 1 else {"error": "no"}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    given = {
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_username": None,
        "sasl_oauthbearer_method": "oidc",
        "sasl_oauthbearer_client_id": "mesh",
        "sasl_oauthbearer_client_secret": "a b",
        "sasl_oauthbearer_scope": "kafka",
        "sasl_oauthbearer_extensions": "logicalCluster=lkc-1,identityPoolId=pool",
    }
    with HTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/token"
        found = login(**given, sasl_oauthbearer_token_endpoint_url=url).oauth_cb
        assert [asyncio.run(found.token()), asyncio.run(found.token())] == ["t", "t"]
        another = login(**given, sasl_oauthbearer_token_endpoint_url=url).oauth_cb
        with pytest.raises(KafkaError, match=r"/token gave no token: KeyError$"):
            asyncio.run(another.token())
        server.shutdown()
    assert asked[0] == ("mesh:a+b", {"grant_type": ["client_credentials"], "scope": ["kafka"]})
    assert found.extensions() == {"logicalCluster": "lkc-1", "identityPoolId": "pool"}


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"sasl_kerberos_service_name": "kafka"}, r"cannot take sasl\.kerberos\.service\.name"),
        ({"sasl_mechanism": "GSSAPI"}, "cannot log in by GSSAPI"),
        ({"sasl_mechanism": "OAUTHBEARER"}, "needs a token function or client credentials"),
        ({"ssl_crl_location": "crl.pem"}, r"cannot take ssl\.crl\.location"),
        ({"ssl_ca_pem": None, "ssl_ca_location": "/nowhere/ca.pem"}, r"cannot use ssl\.ca\.location"),
        ({"ssl_cipher_suites": "NO-SUCH"}, r"cannot use ssl\.cipher\.suites"),
    ],
)
def test_what_aiokafka_cannot_take_is_refused(properties: dict[str, Any], told: str) -> None:
    """A property about TLS or login is never left out in silence: faust would log in in another way."""
    with pytest.raises(KafkaConfigError, match=told):
        login(**properties)
