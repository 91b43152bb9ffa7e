"""The TLS of the registry's own port."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Final

from meshport.errors import RegistryUnavailable
from meshport_registry.settings import TlsSettings

_LOOK_S: Final = 60.0
_log: Final = logging.getLogger(__name__)


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return the TLS of a server: 1.2 or later, HTTP/1.1, and a client certificate where one is asked for.

    A client without a certificate may connect: it may have a key or a token.

    Raises:
        RegistryUnavailable: a file cannot be read, is no PEM, or the key is another certificate's.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, settings)
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(cafile=settings.client_ca)
        except OSError as error:  # ssl.SSLError is one
            raise RegistryUnavailable(
                f"{settings.client_ca} has no certificates of authorities: {error.strerror or error}",
                hint="--client-ca takes a file in PEM",
            ) from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    """Load the server's certificate, for the connections that begin from now on.

    Raises:
        RegistryUnavailable: a file cannot be read, is no PEM, is encrypted, or the key is another certificate's.
    """
    try:
        # The empty password: without one, OpenSSL asks the terminal for that of an encrypted key.
        context.load_cert_chain(settings.certificate, settings.key, password="")
    except OSError as error:
        raise RegistryUnavailable(
            f"the certificate {settings.certificate} and the key {settings.key} cannot be used: "
            f"{error.strerror or error}",
            hint="--tls-cert and --tls-key take files in PEM that belong together; the key is not encrypted",
        ) from error


async def renew_certificate(context: ssl.SSLContext, settings: TlsSettings, *, every_s: float = _LOOK_S) -> None:
    """Load the certificate again whenever its file has changed, until cancelled.

    Certificates are renewed every few weeks by others, who replace the files. The old one stays in use while the new files
    do not belong together.
    """
    loaded = _changed_at(settings)
    while True:
        await asyncio.sleep(every_s)
        with suppress(OSError):
            if (changed := _changed_at(settings)) == loaded:
                continue
            try:
                # First into a context that nothing uses: a failed load leaves a context without its key.
                load_certificate(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), settings)
                load_certificate(context, settings)
            except RegistryUnavailable as error:
                _log.warning("%s; the old certificate stays in use", error.message)
            else:
                loaded = changed


def _changed_at(settings: TlsSettings) -> tuple[int, int]:
    return settings.certificate.stat().st_mtime_ns, settings.key.stat().st_mtime_ns
