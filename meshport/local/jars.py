r"""The jars of the embedded Apache Kafka: downloaded once, verified against a committed lock on every start.

`jars.lock.json` beside this module names every jar of the class path with its SHA-256 and size. A start with a full
cache reads and hashes the jars (46 MB, about 40 ms) and needs neither network nor jgo. Missing jars are downloaded by the
locked coordinates alone, so that no repository can add dependencies to the class path.

jgo by itself is not enough: on a checksum that does not match it only warns, and it writes straight to its cache, so an
interrupted download leaves half a jar. Hence each jar goes to a staging directory of its own process, is hashed there,
and is moved into the cache by one atomic rename. Two processes that start at once do no harm to each other.

To lock another version (maintainers; needs the network)::

    python -m meshport.local.jars lock \
        org.apache.kafka:kafka_2.13:4.3.1 org.apache.logging.log4j:log4j-slf4j-impl:2.25.4

Each root is resolved by itself. jgo reads every root's parent as a bill of materials for the others, and log4j's names
kafka-clients 3.9.1: resolved together, a 4.3.1 broker would get the clients of 3.9.1.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meshport.errors import BrokerUnavailable, JarRejected

if TYPE_CHECKING:
    from jgo.maven import MavenContext

__all__ = ["Jar", "JarLock", "JarsUnavailable", "Progress", "ensure_jars", "make_lock", "read_lock", "verify_jars"]

Progress = Callable[[str, int, int], None]
"""Called after each jar with: its coordinate, bytes downloaded so far, bytes in all."""

LOCK_FILE = Path(__file__).with_name("jars.lock.json")
DOWNLOADS_AT_ONCE = 8
STALE_STAGING_SECONDS = 3600  # the staging of a killed download; no download takes an hour
TIMEOUT_SECONDS = 30


class JarsUnavailable(BrokerUnavailable):
    """Raised when jars are not in the cache and cannot be downloaded; never for a jar that was refused."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One locked jar.

    Attributes:
        coordinate: `group:artifact:version`.
        sha256: lower-case hex digest of its bytes.
        size: its length in bytes.
    """

    coordinate: str
    sha256: str
    size: int

    @property
    def path(self) -> Path:
        """Its path below the cache, in the layout of a Maven repository."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


@dataclass(frozen=True, slots=True)
class JarLock:
    """The whole class path of one Kafka version.

    Attributes:
        roots: the coordinates that were resolved; the first is Kafka itself.
        jars: every jar, sorted by coordinate.
    """

    roots: tuple[str, ...]
    jars: tuple[Jar, ...]

    @property
    def version(self) -> str:
        """Kafka's version, e.g. `4.3.1`."""
        return self.roots[0].rpartition(":")[2]

    @property
    def directory(self) -> str:
        """Name of the lock's own folder in the cache: two locks of one Kafka version never share a folder."""
        digest = hashlib.sha256("".join(f"{jar.coordinate} {jar.sha256}\n" for jar in self.jars).encode())
        return f"kafka-{self.version}-{digest.hexdigest()[:8]}"

    def to_json(self) -> str:
        """The text of `jars.lock.json`."""
        jars = {jar.coordinate: {"sha256": jar.sha256, "size": jar.size} for jar in self.jars}
        return json.dumps({"roots": self.roots, "jars": jars}, indent=2) + "\n"


def read_lock(file: Path = LOCK_FILE) -> JarLock:
    """Read a lock.

    Args:
        file: the lock; by default the committed one.

    Returns:
        The lock, its jars in the order of the file.
    """
    text = json.loads(file.read_text(encoding="utf-8"))
    jars = tuple(Jar(coordinate, entry["sha256"], entry["size"]) for coordinate, entry in text["jars"].items())
    return JarLock(tuple(text["roots"]), jars)


def ensure_jars(
    cache_dir: Path,
    lock: JarLock,
    *,
    progress: Progress | None = None,
    repository: str | None = None,
) -> tuple[Path, ...]:
    """Download the locked jars that are missing in the cache, and verify all.

    Args:
        cache_dir: Meshport's cache directory of the user; the jars are in a folder of their own below it.
        lock: the jars, with their hashes.
        progress: called for each jar that is downloaded.
        repository: URL of a Maven repository to download from; jgo's default without it.

    Returns:
        The class path: the paths of all jars, in the order of the lock.

    Raises:
        JarRejected: a jar is not the locked one (it is deleted), or is in the folder without being in the lock.
        JarsUnavailable: jars are missing and could not be downloaded.
        BrokerUnavailable: jars are missing and jgo is not installed.
    """
    directory = cache_dir / "jars" / lock.directory
    missing = [jar for jar in lock.jars if not (directory / jar.path).is_file()]
    if missing:
        _download(missing, directory, progress, repository)
    return verify_jars(directory, lock)


def verify_jars(directory: Path, lock: JarLock) -> tuple[Path, ...]:
    """Check every jar of a folder against the lock.

    Args:
        directory: the folder of the lock's jars.
        lock: the jars, with their hashes.

    Returns:
        The paths of all jars, in the order of the lock.

    Raises:
        JarRejected: a jar has another SHA-256 (it is deleted), is missing, or is not in the lock.
    """
    paths = {directory / jar.path: jar for jar in lock.jars}
    for found in sorted(directory.rglob("*.jar")):
        if found not in paths:
            raise JarRejected(
                f"{found} is not in the lock of Kafka {lock.version}",
                file=str(found),
                hint=f"delete it, or the whole of {directory}",
            )
    for path, jar in paths.items():
        _verify(path, jar)
    return tuple(paths)


def make_lock(roots: Iterable[str]) -> JarLock:
    """Resolve the roots with jgo, and hash the jars that it finds.

    Args:
        roots: `group:artifact:version`, Kafka first.

    Returns:
        A lock of all compile and runtime jars.

    Raises:
        JarRejected: two versions of one artifact were resolved, or Kafka's own jars are of several versions.
    """
    roots = tuple(roots)
    found: dict[str, Jar] = {}
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = _maven(Path(folder), None)
        for root in roots:
            inputs, transitive = context.resolver.resolve([context.create_dependency(root)])
            for dependency in (*inputs, *transitive):
                if dependency.scope not in {None, "compile", "runtime"}:
                    continue
                artifact = dependency.artifact
                name, version = f"{artifact.groupId}:{artifact.artifactId}", artifact.version
                if versions.setdefault(name, version) != version:
                    raise JarRejected(f"two versions of {name} were resolved: {versions[name]} and {version}")
                path = artifact.resolve()
                found[f"{name}:{version}"] = Jar(f"{name}:{version}", _sha256(path), path.stat().st_size)
    kafkas = {
        jar.coordinate.rpartition(":")[2] for jar in found.values() if jar.coordinate.startswith("org.apache.kafka:")
    }
    if len(kafkas) != 1:
        raise JarRejected(f"Kafka's own jars are of several versions: {', '.join(sorted(kafkas))}")
    return JarLock(roots, tuple(found[coordinate] for coordinate in sorted(found)))


def _download(missing: list[Jar], directory: Path, progress: Progress | None, repository: str | None) -> None:
    try:
        from requests import RequestException  # noqa: PLC0415 - jgo's own client; both come with the extra
    except ModuleNotFoundError as error:
        raise BrokerUnavailable(
            f"{len(missing)} jars of Apache Kafka are not in {directory}, and jgo, which fetches them, is missing",
            hint='pip install "meshport[kafka]", or name a running broker with --kafka HOST:PORT',
        ) from error
    total = sum(jar.size for jar in missing)
    done = 0
    with _staging(directory.parent) as staging:
        context = _maven(staging, repository)
        with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
            fetches = {pool.submit(_fetch, context, jar, directory): jar for jar in missing}
            for fetch in as_completed(fetches):
                jar = fetches[fetch]
                try:
                    fetch.result()
                except (RequestException, RuntimeError) as error:  # jgo: RuntimeError when no repository has it
                    pool.shutdown(cancel_futures=True)
                    raise JarsUnavailable(
                        f"Apache Kafka's jars are not in the cache ({directory}) and could not be downloaded: "
                        f"{jar.coordinate}: {_innermost(error)}",
                        hint="connect to the network once, or name a running broker with --kafka HOST:PORT",
                    ) from error
                except JarRejected:
                    pool.shutdown(cancel_futures=True)
                    raise
                done += jar.size
                if progress:
                    progress(jar.coordinate, done, total)


def _fetch(context: MavenContext, jar: Jar, directory: Path) -> None:
    path = Path(context.create_dependency(jar.coordinate).artifact.resolve())
    _verify(path, jar)
    target = directory / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Yield a folder on the cache's file system, so that a rename into the cache is atomic."""
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(".staging-*"):
        if time.time() - left.stat().st_mtime > STALE_STAGING_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=parent) as folder:
        yield Path(folder)


def _verify(path: Path, jar: Jar) -> None:
    try:
        found = _sha256(path)
    except FileNotFoundError:
        raise JarRejected(
            f"{jar.coordinate} is locked, but {path} is missing",
            file=str(path),
            expected=jar.sha256,
            hint="start again to fetch it",
        ) from None
    if found != jar.sha256:
        path.unlink(missing_ok=True)
        raise JarRejected(
            f"{jar.coordinate} was refused: expected SHA-256 {jar.sha256}, found {found} in {path}",
            file=str(path),
            expected=jar.sha256,
            found=found,
            hint="the file was deleted and is fetched anew on the next start; where it is refused again, "
            "what your network delivers is not what was published",
        )


def _innermost(error: BaseException) -> BaseException:
    """Return the error of the operating system; requests wraps it in two layers that repeat the address."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _maven(cache: Path, repository: str | None) -> MavenContext:
    from jgo.maven import MavenContext  # noqa: PLC0415 - an optional extra, needed for a download only

    remotes = {"given": repository} if repository else None
    return MavenContext(repo_cache=cache, local_repos=[], remote_repos=remotes, timeout=TIMEOUT_SECONDS)


def _main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] != "lock":
        sys.stderr.write("usage: python -m meshport.local.jars lock KAFKA_COORDINATE [COORDINATE ...]\n")
        return 2
    lock = make_lock(arguments[1:])
    LOCK_FILE.write_text(lock.to_json(), encoding="utf-8")
    sys.stderr.write(f"{len(lock.jars)} jars of Kafka {lock.version} locked in {LOCK_FILE}\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
