"""The health check of the image: asks the container's own process whether it is ready, and exits with 1 where it is not.

What to ask follows from the command line of the container: `/ready` of a process with `--metrics`, else `/health` of a
`registry serve`. A command that serves neither is healthy while it runs.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

_TIMEOUT_S: Final = 4
_EVERYWHERE: Final = ("", "0.0.0.0", "[::]")  # noqa: S104 - what a process that listens everywhere was given


def address(command: Sequence[str]) -> str | None:
    """Return the URL that tells how the process of a command line is, or None if it has none."""
    if metrics := _option(command, "--metrics"):
        host, _, port = metrics.rpartition(":")
        return f"http://{_reached(host)}:{port}/ready"
    if "registry" in command and "serve" in command:
        scheme = "https" if _option(command, "--tls-cert") else "http"
        return f"{scheme}://{_reached(_option(command, '--host'))}:{_option(command, '--port') or '8081'}/health"
    return None


def _reached(host: str) -> str:
    return "127.0.0.1" if host in _EVERYWHERE else host


def _option(command: Sequence[str], name: str) -> str:
    for at, word in enumerate(command):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and at + 1 < len(command):
            return command[at + 1]
    return ""


def main() -> None:
    """Ask the process of the container."""
    url = address(Path("/proc/1/cmdline").read_text(encoding="utf-8").split("\0"))
    if url is None:
        return
    unverified = ssl.create_default_context()
    unverified.check_hostname = (
        False  # the certificate is for the name that clients use; this asks within the container
    )
    unverified.verify_mode = ssl.CERT_NONE
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=unverified))
    try:
        opener.open(url, timeout=_TIMEOUT_S).close()
    except OSError as error:
        sys.exit(f"{url}: {error}")


if __name__ == "__main__":
    main()
