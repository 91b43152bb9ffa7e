"""TLS and SASL under faust: its client, aiokafka, logs in with the same `KafkaConfig` as librdkafka.

A property about TLS or SASL that aiokafka has no counterpart of is refused; faust would otherwise log in in another way than
the one that was asked for.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeVar

from faust.auth import Credentials, OAuthCredentials, SASLCredentials, SSLCredentials

from meshport.errors import KafkaConfigError
from meshport.kafka.config import KafkaConfig
from meshport.process.engines.faust_tokens import TOKEN_PROPERTIES, Tokens, clear, token_source

__all__ = ["credentials"]

_VERIFIED: Final = "enable.ssl.certificate.verification"
_SASL: Final = frozenset({"sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password"})
_TLS: Final = frozenset(
    {
        "ssl.ca.location",
        "ssl.ca.pem",
        "ssl.certificate.location",
        "ssl.certificate.pem",
        "ssl.cipher.suites",
        "ssl.endpoint.identification.algorithm",
        "ssl.key.location",
        "ssl.key.password",
        "ssl.key.pem",
    }
)
_ANOTHER_ENGINE: Final = "`engine: batch` takes what librdkafka takes"
_PASSWORD_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")

_Made = TypeVar("_Made")


def credentials(kafka: KafkaConfig) -> Credentials | None:
    """Return faust's credentials for a connection; None for one without TLS and login.

    Args:
        kafka: the connection.

    Raises:
        KafkaConfigError: a property about TLS or SASL that aiokafka cannot take, or a value that it cannot use.
    """
    given = kafka.properties
    protocol = str(given.get("security.protocol", "plaintext")).lower()
    if protocol not in {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"}:
        raise KafkaConfigError(f"there is no security.protocol {protocol}", property="security.protocol")
    if protocol == "plaintext":
        return None  # librdkafka uses no property about TLS or SASL then either
    encrypted, login = "ssl" in protocol, "sasl" in protocol
    for name in given:
        relevant = (encrypted and name.startswith("ssl.")) or (login and name.startswith("sasl."))
        if relevant and name not in _TLS | _SASL | TOKEN_PROPERTIES:
            raise KafkaConfigError(f"the faust engine cannot take {name}", property=name, hint=_ANOTHER_ENGINE)
    context = _tls(given) if encrypted else None
    return _sasl(given, context) if login else SSLCredentials(context)


def _sasl(given: Mapping[str, Any], context: ssl.SSLContext | None) -> Credentials:
    name = "sasl.mechanism" if "sasl.mechanism" in given else "sasl.mechanisms"
    mechanism = str(given.get(name, "GSSAPI")).upper()  # librdkafka's default
    if mechanism == "OAUTHBEARER":
        return OAuthCredentials(oauth_cb=Tokens(token_source(given)), ssl_context=context)
    if mechanism not in _PASSWORD_MECHANISMS:
        raise KafkaConfigError(f"the faust engine cannot log in by {mechanism}", property=name, hint=_ANOTHER_ENGINE)
    return SASLCredentials(
        username=clear(given.get("sasl.username", "")),
        password=clear(given.get("sasl.password", "")),
        ssl_context=context,
        mechanism=mechanism,
    )


def _tls(given: Mapping[str, Any]) -> ssl.SSLContext:
    """Return a context that verifies as librdkafka does, and shows the same certificate."""
    location = given.get("ssl.ca.location")
    folder = location is not None and Path(location).is_dir()
    context = _made(
        "ssl.ca.location" if location is not None else "ssl.ca.pem",
        lambda: ssl.create_default_context(
            cafile=None if folder or location == "probe" else location,
            capath=location if folder else None,
            cadata=clear(given["ssl.ca.pem"]) if "ssl.ca.pem" in given else None,
        ),
    )
    # Python 3.13 sets it by default; librdkafka does not, and certificates of older authorities fail by it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if str(given.get("ssl.endpoint.identification.algorithm", "https")).lower() == "none":
        context.check_hostname = False
    if str(given.get(_VERIFIED, "true")).lower() == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if suites := given.get("ssl.cipher.suites"):
        _made("ssl.cipher.suites", lambda: context.set_ciphers(str(suites)))
    _show_certificate(context, given)
    return context


def _show_certificate(context: ssl.SSLContext, given: Mapping[str, Any]) -> None:
    with ExitStack() as opened:

        def file(kind: str) -> str | None:
            if (text := given.get(f"ssl.{kind}.pem")) is None:
                return given.get(f"ssl.{kind}.location")
            # ssl takes a certificate and its key from files only. A temporary file is readable by the user alone.
            written = opened.enter_context(tempfile.NamedTemporaryFile("w", suffix=".pem"))
            written.write(clear(text))
            written.flush()
            return written.name

        certificate, key = file("certificate"), file("key")
        if certificate is None:
            return
        # With "", a key that is encrypted is refused; with None, OpenSSL would ask for its pass phrase on the terminal.
        password = clear(given.get("ssl.key.password", ""))
        what = "ssl.certificate.pem" if "ssl.certificate.pem" in given else "ssl.certificate.location"
        _made(what, lambda: context.load_cert_chain(certificate, key, password))


def _made(name: str, make: Callable[[], _Made]) -> _Made:
    """Return what a property makes.

    Raises:
        KafkaConfigError: OpenSSL cannot use the property's value.
    """
    try:
        return make()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise KafkaConfigError(f"the faust engine cannot use {name}: {error}", property=name) from error
