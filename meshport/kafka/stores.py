"""Key stores and trust stores of Java's client, as librdkafka takes them: PEM (KIP-651), and a key store in PKCS#12."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final

from meshport.kafka.setting import Setting

__all__ = ["key_store", "pem_text", "trust_store"]

_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_LINE: Final = 64


class _Format(Enum):
    PEM = "PEM"
    PKCS12 = "PKCS#12"
    JKS = "JKS"


def trust_store(setting: Setting) -> Setting:
    """Return `ssl.ca.location` for the location of a trust store, or of certificates.

    Raises:
        KafkaConfigError: there is no such file, or it is a store of Java's.
    """
    file = Path(setting.text)
    if file.is_dir():  # librdkafka takes a directory of hashed certificates, as OpenSSL does
        return setting.named("ssl.ca.location")
    found = _format(setting, file)
    if found is not _Format.PEM:
        raise setting.error(
            f"leads to {file}, a store in the format {found.value}, which librdkafka cannot read",
            f"keytool -list -rfc -keystore {_quoted(file)} > {_quoted(file.with_suffix('.pem'))} writes its certificates as PEM",
        )
    return setting.named("ssl.ca.location")


def key_store(setting: Setting) -> Iterator[Setting]:
    """Yield librdkafka's properties for the location of a key store.

    Raises:
        KafkaConfigError: there is no such file, or it is in Java's own format.
    """
    file = Path(setting.text)
    match _format(setting, file):
        case _Format.PEM:
            yield setting.named("ssl.certificate.location")
            yield setting.named("ssl.key.location")
        case _Format.PKCS12:
            yield setting
        case _Format.JKS:
            given, converted = _quoted(file), _quoted(file.with_suffix(".p12"))
            raise setting.error(
                f"leads to {file}, a store in the format JKS, which librdkafka cannot read",
                f"keytool -importkeystore -srckeystore {given} -destkeystore {converted} -deststoretype PKCS12 converts it",
            )


def pem_text(setting: Setting, name: str) -> Setting:
    """Return a setting whose text is PEM on lines of its own: in a `.properties` file they are often joined to one.

    Raises:
        KafkaConfigError: the text has no block of PEM.
    """
    blocks = [(kind, re.sub(r"\s", "", body)) for kind, body in _BLOCK.findall(setting.text)]
    if not blocks:
        raise setting.error("is no PEM", "-----BEGIN ...----- to -----END ...-----, or the location of a file")
    lines = (f"-----BEGIN {kind}-----\n{_wrapped(body)}\n-----END {kind}-----\n" for kind, body in blocks)
    return setting.named(name, "".join(lines))


def _quoted(file: Path) -> str:
    return shlex.quote(str(file))


def _wrapped(body: str) -> str:
    return "\n".join(body[begin : begin + _LINE] for begin in range(0, len(body), _LINE))


def _format(setting: Setting, file: Path) -> _Format:
    try:
        beginning = file.read_bytes()[:65536]
    except OSError as error:
        raise setting.error(f"leads to {file}, which cannot be read: {error.strerror}") from None
    if beginning[:4] in {b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"}:
        return _Format.JKS
    if b"-----BEGIN " in beginning:
        return _Format.PEM
    if beginning[:1] == b"\x30":  # an ASN.1 sequence
        return _Format.PKCS12
    raise setting.error(f"leads to {file}, which is neither PEM nor a key store")
