"""The caller of a client certificate.

The certificate is verified by TLS, against the authority of `--client-ca`. Its caller's name is, the first that it has:

1. the path of a SPIFFE id among its alternative names: `spiffe://example.org/billing/invoices` is `billing/invoices`;
2. an email address among its alternative names;
3. the common name of its subject.

The caller's groups are the organizational units (OU) of its subject.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.caller import LOCAL_GROUP, Caller, unfit_name

Certificate = Mapping[str, Any]
"""A verified certificate, as `ssl.SSLSocket.getpeercert` describes it."""
_SPIFFE: Final = "spiffe://"


def caller_of(certificate: Certificate) -> Caller:
    """Return the caller of a verified certificate.

    Raises:
        Unauthenticated: it names no caller, or several, or it ended after the connection was made.
    """
    if ssl.cert_time_to_seconds(certificate["notAfter"]) < time.time():
        raise Unauthenticated("the client certificate has ended", hint="connect with a current one")
    subject = [pair for names in certificate.get("subject", ()) for pair in names]
    alternatives = list(certificate.get("subjectAltName", ()))
    ids = [value for kind, value in alternatives if kind == "URI" and value.startswith(_SPIFFE)]
    names = (
        [each.removeprefix(_SPIFFE).partition("/")[2] for each in ids]
        or [value for kind, value in alternatives if kind == "email"]
        or [value for kind, value in subject if kind == "commonName"]
    )
    if len(names) != 1 or unfit_name(names[0]):
        found = "no name of a caller" if len(names) < 2 else f"{len(names)} names"
        raise Unauthenticated(
            f"the client certificate has {found}", hint="one SPIFFE id, or one email address, or one common name"
        )
    units = frozenset(value for kind, value in subject if kind == "organizationalUnitName")
    return Caller(names[0], units - {LOCAL_GROUP}, "certificate")
