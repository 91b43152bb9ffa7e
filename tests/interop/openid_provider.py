"""npm's oidc-provider as a process."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx2

from tests.interop.packages import HERE
from tests.waiting import PATIENCE_S

CLIENT: Final = "meshport"
SERVICE: Final = "shop.orders"
CATALOG: Final = "meshport-catalog"
REGISTRY_AUDIENCE: Final = "https://registry.example.com"
KAFKA_AUDIENCE: Final = "https://kafka.example.com"


class OpenIdServer:
    """A provider that runs.

    Args:
        url: its issuer.

    Attributes:
        secret: of the clients `SERVICE` and `CATALOG`.
    """

    def __init__(self, url: str, secret: str) -> None:
        self.url = url
        self.secret = secret

    def rotate(self) -> None:
        """Give it another signing key in place of the one it has."""
        httpx2.post(f"{self.url}/test/rotate", timeout=PATIENCE_S).raise_for_status()

    def service_token(self) -> str:
        """Return an access token for Kafka, by the client's secret."""
        answer = httpx2.post(
            f"{self.url}/token",
            data={"grant_type": "client_credentials"},
            auth=(SERVICE, self.secret),
            timeout=PATIENCE_S,
        )
        return str(answer.raise_for_status().json()["access_token"])

    def signed(self, claims: dict[str, Any]) -> str:
        """Return a token with these claims, signed by the provider's key."""
        answer = httpx2.post(f"{self.url}/test/sign", json=claims, timeout=PATIENCE_S)
        return answer.raise_for_status().text


@contextmanager
def openid_server(node: str, *, catalogs: tuple[str, ...] = ()) -> Iterator[OpenIdServer]:
    """Run a provider; its packages are installed.

    Args:
        node: the program.
        catalogs: the URLs of registries whose catalog people log in to; with any, groups are at the userinfo endpoint alone.
    """
    secret = secrets.token_urlsafe(24)
    command = [node, str(HERE / "openid" / "provider.mjs")]
    environment = {**os.environ, "SERVICE_SECRET": secret, "NODE_NO_WARNINGS": "1"}
    environment |= {"CATALOGS": ",".join(catalogs), "CONFORM": "1"} if catalogs else {}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # Before that it warns that it is meant for tests.
            line = next(each for each in process.stdout if each.startswith(b"{"))
            yield OpenIdServer(json.loads(line)["url"], secret)
        finally:
            process.stdin.close()
            process.wait()
