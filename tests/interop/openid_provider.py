"""npm's oidc-provider as a process, and a person who logs in at it with a browser."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Final

import httpx2

from tests.interop.packages import HERE
from tests.waiting import PATIENCE_S

CLIENT: Final = "meshport"
SERVICE: Final = "shop.orders"
REGISTRY_AUDIENCE: Final = "https://registry.example.com"
KAFKA_AUDIENCE: Final = "https://kafka.example.com"
_MOST_PAGES: Final = 20


class OpenIdServer:
    """A provider that runs.

    Args:
        url: its issuer.

    Attributes:
        secret: of the client `SERVICE`.
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


@contextmanager
def openid_server(node: str) -> Iterator[OpenIdServer]:
    """Run a provider; its packages are installed."""
    secret = secrets.token_urlsafe(24)
    command = [node, str(HERE / "openid" / "provider.mjs")]
    environment = {**os.environ, "SERVICE_SECRET": secret, "NODE_NO_WARNINGS": "1"}
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


def log_in(url: str, person: str) -> str:
    """Do what a person does in a browser: follow redirects, fill in forms; return the text of the last page."""
    with httpx2.Client(follow_redirects=True, timeout=PATIENCE_S) as browser:
        page = browser.get(url)
        for _ in range(_MOST_PAGES):
            form = re.search(r"<form(.*?)>(.*?)</form>", page.text, re.DOTALL)
            if form is None:
                break
            action = re.search(r'action="([^"]*)"', form[1])
            fields = dict(_fields(form[2])) | {"login": person, "password": "any"}
            page = browser.post(str(page.url.join(unescape(action[1]) if action else "")), data=fields)
        return page.text


def _fields(form: str) -> Iterator[tuple[str, str]]:
    for tag in re.findall(r"<(?:input|button)[^>]*>", form):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        if name and name[1] != "abort":
            yield name[1], unescape(value[1]) if value else ""


def browser_of(person: str) -> str:
    """Return the value of BROWSER with which a command opens its pages for a person."""
    return f"{sys.executable} {Path(__file__)} {person} %s &"


if __name__ == "__main__":
    log_in(sys.argv[2], sys.argv[1])
