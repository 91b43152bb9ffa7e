"""An issuer of tokens in this process, for tokens that no real provider would sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "meshport-registry"


@cache
def rsa_key(number: int, bits: int = 2048) -> rsa.RSAPrivateKey:  # noqa: ARG001 - each number is another key
    """Return an RSA key; the same number gives the same one, since making one takes a while."""
    return rsa.generate_private_key(65537, bits)


class Issuer:
    """Serves a discovery document and a key set, and signs tokens.

    Args:
        url: where it is served.

    Attributes:
        keys: its private keys, by `kid`.
        requests: the paths that were asked for, in order.
        jwks: what is served instead of the public keys, if it is not None.
        endpoints: what the discovery document has besides.
        codes: what each code that is not redeemed yet gives; see `code`.
        userinfo: what the userinfo endpoint answers.
        redeemed: the fields of each request for tokens, and its header `Authorization`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: dict[str, PrivateKeyTypes] = {"rsa-1": rsa_key(1)}
        self.keys["ec-1"] = ec.generate_private_key(ec.SECP256R1())
        self.requests: list[str] = []
        self.jwks: dict[str, Any] | None = None
        names = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        self.endpoints: dict[str, Any] = {f"{name}_endpoint": f"{url}/{path}" for name, path in names.items()}
        self.codes: dict[str, tuple[str, dict[str, Any]]] = {}
        self.userinfo: dict[str, Any] = {}
        self.redeemed: list[tuple[dict[str, str], str | None]] = []

    def code(self, challenge: str, **answer: Any) -> str:
        """Return a new code.

        Args:
            challenge: of PKCE: the code is given for the verifier of this alone.
            answer: what is given for it.
        """
        code = f"code-{len(self.codes)}-{len(self.redeemed)}"
        self.codes[code] = challenge, answer
        return code

    def redeem(self, form: dict[str, str], authorization: str | None) -> tuple[int, dict[str, Any]]:
        """Return the status and the answer of a request for tokens. A code counts once."""
        self.redeemed.append((form, authorization))
        challenge, answer = self.codes.pop(form.get("code", ""), ("", {}))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if _text(digest) != challenge:
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        return 200, {"token_type": "Bearer", "access_token": "opaque", **answer}

    def public_keys(self) -> dict[str, Any]:
        """Return the key set."""
        found = []
        for kid, key in self.keys.items():
            if isinstance(key, rsa.RSAPrivateKey):
                found.append(json.loads(RSAAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"})
            elif isinstance(key, ec.EllipticCurvePrivateKey):
                found.append(json.loads(ECAlgorithm.to_jwk(key.public_key())) | {"kid": kid, "use": "sig"})
        return {"keys": found}

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return the claims of a valid token, with changes; None removes a claim."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "ann@example.org", "exp": now + 300, "iat": now}
        usual |= {"groups": ["billing-team"]}
        return {name: value for name, value in (usual | changes).items() if value is not None}

    def token(self, kid: str = "rsa-1", headers: dict[str, Any] | None = None, **changes: Any) -> str:
        """Return a signed token."""
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
        signed = {"kid": kid} | (headers or {})
        return jwt.encode(self.claims(**changes), key, algorithm, headers=signed)  # type: ignore[arg-type]


def unsigned(claims: dict[str, Any]) -> str:
    """Return a token with `alg=none`."""
    return jwt.encode(claims, "", "none", headers={"kid": "rsa-1"})


def signed_with_the_public_key(claims: dict[str, Any]) -> str:
    """Return a token whose HMAC has the issuer's public key for its secret; PyJWT refuses to make one."""
    secret = rsa_key(1).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head = ".".join(map(token_part, ({"alg": "HS256", "kid": "rsa-1", "typ": "JWT"}, claims)))
    return f"{head}.{_text(hmac.digest(secret, head.encode(), 'sha256'))}"


def token_part(document: dict[str, Any]) -> str:
    """Return a document as a part of a token: base64url of its JSON."""
    return _text(json.dumps(document).encode())


def _text(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


@contextmanager
def issuer() -> Iterator[Issuer]:
    """Serve an issuer while the context is open."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(self.path)
            documents: dict[str, Any] = {
                "/.well-known/openid-configuration": {
                    "issuer": served.url,
                    "jwks_uri": f"{served.url}/jwks",
                    **served.endpoints,
                },
                "/jwks": served.public_keys() if served.jwks is None else served.jwks,
                "/userinfo": served.userinfo,
            }
            self.answer(200 if self.path in documents else 404, documents.get(self.path, {}))

        def do_POST(self) -> None:
            served.requests.append(self.path)
            form = dict(parse_qsl(self.rfile.read(int(self.headers["content-length"])).decode()))
            self.answer(*served.redeem(form, self.headers["authorization"]))

        def answer(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
