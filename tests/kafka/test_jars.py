"""Only what is locked is run: the jars, their lock, and what happens without a network."""

from __future__ import annotations

import functools
import gc
import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshport.errors import BrokerUnavailable, JarRejected
from meshport.local.jars import JarLock, JarsUnavailable, ensure_jars, read_lock, verify_jars
from tests.waiting import PATIENCE_S

LOCK = read_lock()
FEW = JarLock(
    LOCK.roots, tuple(sorted(sorted(LOCK.jars, key=lambda jar: jar.size)[:4], key=lambda jar: jar.coordinate))
)
"""A lock of its four smallest jars, which are read and copied in no time."""
JAR = FEW.jars[0]


@pytest.fixture
def cache(jars: Path, tmp_path: Path) -> Path:
    """A cache of the test's own that holds the few jars, and that the test may spoil."""
    cache = tmp_path / "cache"
    for jar in FEW.jars:
        (cache / "jars" / FEW.directory / jar.path).parent.mkdir(parents=True)
        shutil.copyfile(jars / "jars" / LOCK.directory / jar.path, cache / "jars" / FEW.directory / jar.path)
    return cache


@pytest.fixture
def directory(cache: Path) -> Path:
    """The folder of the few jars in that cache."""
    return cache / "jars" / FEW.directory


@pytest.fixture
def repository(jars: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A Maven repository on the loopback that holds the few jars, and the folder that it serves, which a test may spoil."""
    folder = tmp_path / "repository"
    for jar in FEW.jars:
        (folder / jar.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / jar.path).symlink_to(jars / "jars" / LOCK.directory / jar.path)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=os.fspath(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def test_lock_holds_one_kafka_and_the_logging_binding() -> None:
    """Kafka's own jars are of one version (resolved together with log4j they would not be), and its log has a backend."""
    versions = {
        jar.coordinate.rpartition(":")[2] for jar in LOCK.jars if jar.coordinate.startswith("org.apache.kafka:")
    }
    assert versions == {LOCK.version} == {"4.3.1"}
    names = {jar.coordinate.split(":")[1] for jar in LOCK.jars}
    assert {"log4j-slf4j-impl", "log4j-core", "slf4j-api"} <= names
    assert len(names) == len(LOCK.jars)


def test_full_cache_needs_neither_network_nor_jgo(jars: Path) -> None:
    """A second start works with sockets forbidden and jgo not installed."""
    source = f"""
import socket, sys
def refuse(*_): raise AssertionError("a socket was opened")
socket.socket.connect = socket.getaddrinfo = refuse
sys.modules["jgo"] = sys.modules["requests"] = None
from pathlib import Path
from meshport.local.jars import ensure_jars, read_lock
print(len(ensure_jars(Path({os.fspath(jars)!r}), read_lock())))
"""
    answer = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert int(answer.stdout) == len(LOCK.jars)


def test_one_changed_byte_is_refused_named_and_deleted(directory: Path, cache: Path) -> None:
    """A jar that differs in one byte is never on a class path; the error names it and both digests."""
    path = directory / JAR.path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        JarRejected, match=rf"{JAR.coordinate} was refused: expected SHA-256 {JAR.sha256}, found [0-9a-f]"
    ):
        ensure_jars(cache, FEW)
    assert not path.exists()


def test_refused_jar_is_fetched_anew_on_the_next_start(
    directory: Path, cache: Path, repository: tuple[str, Path]
) -> None:
    """What was spoiled in the cache heals by itself, and only that jar is fetched."""
    (directory / JAR.path).write_bytes(b"spoiled")
    with pytest.raises(JarRejected):
        ensure_jars(cache, FEW)
    fetched: list[tuple[str, int, int]] = []
    ensure_jars(cache, FEW, repository=repository[0], progress=lambda *step: fetched.append(step))
    assert fetched == [(JAR.coordinate, JAR.size, JAR.size)]


def test_missing_jar_is_refused(directory: Path) -> None:
    """A class path with a hole is not run."""
    (directory / JAR.path).unlink()
    with pytest.raises(JarRejected, match=f"{JAR.coordinate} is locked, but .* is missing"):
        verify_jars(directory, FEW)


def test_jar_that_is_not_locked_is_refused(directory: Path, cache: Path) -> None:
    """A stranger among the jars stops the start, though it would not be on the class path."""
    (directory / "org" / "stranger.jar").write_bytes(b"PK")
    with pytest.raises(JarRejected, match=r"stranger\.jar is not in the lock of Kafka 4\.3\.1"):
        ensure_jars(cache, FEW)


def test_no_network_and_nothing_cached_says_what_to_do(closed_port: int, tmp_path: Path) -> None:
    """The first start offline fails with the reason and the two remedies."""
    with pytest.raises(JarsUnavailable, match="could not be downloaded") as raised:
        ensure_jars(tmp_path, FEW, repository=f"http://127.0.0.1:{closed_port}")
    assert raised.value.hint == "connect to the network once, or name a running broker with --kafka HOST:PORT"


def test_missing_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without jgo the error names the exact command."""
    monkeypatch.setitem(sys.modules, "requests", None)
    with pytest.raises(BrokerUnavailable, match="jgo, which fetches them, is missing") as raised:
        ensure_jars(tmp_path, FEW)
    assert not isinstance(raised.value, JarsUnavailable)
    assert 'pip install "meshport[kafka]"' in (raised.value.hint or "")


def test_download_is_verified_before_it_reaches_the_cache(repository: tuple[str, Path], tmp_path: Path) -> None:
    """A repository that delivers another jar is refused, and nothing of it is kept."""
    url, folder = repository
    (folder / JAR.path).unlink()
    (folder / JAR.path).write_bytes(b"another jar")
    with pytest.raises(JarRejected, match=f"{JAR.coordinate} was refused"):
        ensure_jars(tmp_path / "cache", FEW, repository=url)
    assert not (tmp_path / "cache" / "jars" / FEW.directory / JAR.path).exists()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # jgo does not close the response of a 404
def test_interrupted_download_goes_on_where_it_stopped(repository: tuple[str, Path], tmp_path: Path) -> None:
    """Jars that arrived are not fetched again, and half a jar never counts as one."""
    url, folder = repository
    last = FEW.jars[-1]
    aside = folder / "aside"
    (folder / last.path).rename(aside)
    with pytest.raises(JarsUnavailable, match=last.coordinate):
        ensure_jars(tmp_path / "cache", FEW, repository=url)
    gc.collect()  # of that answer, here, where its warning is expected
    arrived = len(list((tmp_path / "cache" / "jars" / FEW.directory).rglob("*.jar")))
    aside.rename(folder / last.path)
    fetched: list[str] = []
    assert len(
        ensure_jars(tmp_path / "cache", FEW, repository=url, progress=lambda what, *_: fetched.append(what))
    ) == len(FEW.jars)
    assert len(fetched) == len(FEW.jars) - arrived
    assert [entry.name for entry in (tmp_path / "cache" / "jars").iterdir()] == [FEW.directory]


def test_two_first_starts_at_once_do_no_harm(repository: tuple[str, Path], tmp_path: Path) -> None:
    """Two processes that fill one cache at the same time both end with a verified class path."""
    source = f"""
from pathlib import Path
from meshport.local.jars import ensure_jars, read_lock
lock = read_lock(Path({os.fspath(tmp_path / "lock.json")!r}))
print(len(ensure_jars(Path({os.fspath(tmp_path / "cache")!r}), lock, repository={repository[0]!r})))
"""
    (tmp_path / "lock.json").write_text(FEW.to_json())
    starts = [subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [int(start.communicate(timeout=PATIENCE_S)[0]) for start in starts] == [len(FEW.jars)] * 2


def test_progress_counts_bytes_to_the_end(repository: tuple[str, Path], tmp_path: Path) -> None:
    """Progress rises to the total, which is the sum of the locked sizes."""
    steps: list[tuple[int, int]] = []
    ensure_jars(tmp_path / "cache", FEW, repository=repository[0], progress=lambda _, *bytes_: steps.append(bytes_))
    total = sum(jar.size for jar in FEW.jars)
    assert {of for _, of in steps} == {total}
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    assert steps[-1] == (total, total)


def test_locks_of_different_jars_never_share_a_folder() -> None:
    """A changed lock of the same Kafka version gets a folder of its own, so old jars are no strangers in it."""
    assert JarLock(FEW.roots, FEW.jars[1:]).directory != FEW.directory
