"""A client of a service that speaks plain HTTP, as all services of the tests do."""

from __future__ import annotations

import httpx2

from tests.waiting import PATIENCE_S


def plain_http(url: str) -> httpx2.Client:
    """Return a client without a TLS context: loading the certificates takes 30 ms of CPU, for each client."""
    return httpx2.Client(base_url=url, timeout=PATIENCE_S, trust_env=False, verify=False)
