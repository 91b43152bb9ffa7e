"""Certificates of a throw-away authority: for brokers of one machine, in development and tests.

The authority's private key is never written. It signs the brokers' certificate and is gone, so that nothing else can be
signed by an authority that clients of this machine trust.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Certified", "certify", "is_current"]

_VALID: Final = timedelta(days=365)
_RENEWED_BEFORE_END: Final = timedelta(days=30)
# The clock of a virtual machine or a container may be set back.
_BACKDATED: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate that a new authority has signed.

    Attributes:
        authority: the authority's certificate, PEM.
        certificate: the certificate, PEM.
        key: its private key, PEM (PKCS 8, as Kafka's PEM key stores need it), not encrypted.
    """

    authority: bytes
    certificate: bytes
    key: bytes


def certify(common_name: str, host: str) -> Certified:
    """Make an authority and let it sign one certificate, for a server and for a client of TLS.

    Args:
        common_name: of the certificate's subject; it is the whole subject.
        host: the IPv4 address that the server listens on. `localhost` is certified too.
    """
    signer, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = _named("Meshport's throw-away authority")
    signer_id = x509.SubjectKeyIdentifier.from_public_key(signer.public_key())
    authority = (
        _begun(issuer, issuer, signer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(signer_id, critical=False)
        .sign(signer, hashes.SHA256())
    )
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(IPv4Address(host))])
    both_sides = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    certificate = (
        _begun(_named(common_name), issuer, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(both_sides, critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer_id), critical=False)
        .sign(signer, hashes.SHA256())
    )
    return Certified(
        authority.public_bytes(Encoding.PEM),
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )


def is_current(certificate: bytes) -> bool:
    """Return whether a certificate, PEM, is valid and stays so for a month.

    Raises:
        ValueError: it is no certificate.
    """
    ends = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    return datetime.now(UTC) < ends - _RENEWED_BEFORE_END


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _begun(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _VALID)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
