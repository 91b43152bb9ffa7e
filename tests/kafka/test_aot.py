"""The AOT cache of the embedded broker: made once for each Java and class path, and never a reason for a start to fail."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from meshport.errors import BrokerUnavailable
from meshport.local.aot import AGAIN_SECONDS, OLDEST_JAVA, UNUSED_SECONDS, aot_cache
from meshport.local.embedded import AOT_SAFE, EmbeddedKafka
from meshport.local.java import Java, find_java

OPTIONS = ("-Xmx256m",)


class Recorder:
    """Stands for the broker that records: writes `content`, or raises `error`; counts its calls."""

    def __init__(self) -> None:
        self.calls = 0
        self.content = b"cache"
        self.error: Exception | None = None

    def __call__(self, output: Path) -> None:
        """Write the cache."""
        self.calls += 1
        if self.error is not None:
            raise self.error
        if self.content:
            output.write_bytes(self.content)


@pytest.fixture
def java(tmp_path: Path) -> Java:
    """The least of a Java 25: where its executable and its own classes are."""
    modules = tmp_path / "java" / "lib" / "modules"
    modules.parent.mkdir(parents=True)
    modules.write_bytes(b"classes")
    return Java(tmp_path / "java" / "bin" / "java", 25)


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    """A jar."""
    file = tmp_path / "kafka.jar"
    file.write_bytes(b"jar")
    return file


@pytest.fixture
def recorder() -> Recorder:
    """What a cache is recorded by."""
    return Recorder()


@pytest.fixture
def cache(tmp_path: Path, java: Java, jar: Path, recorder: Recorder) -> Callable[[], Path | None]:
    """Ask for the cache as each start of a broker does."""
    return lambda: aot_cache(tmp_path / "aot", java, OPTIONS, [jar], recorder)


def test_a_cache_is_made_once(cache: Callable[[], Path | None], recorder: Recorder) -> None:
    """The first start records, later ones use its file."""
    first = cache()
    assert first is not None
    assert first.read_bytes() == b"cache"
    assert cache() == first
    assert recorder.calls == 1


def test_each_java_class_path_and_set_of_options_has_its_own(
    cache: Callable[[], Path | None], tmp_path: Path, java: Java, jar: Path, recorder: Recorder
) -> None:
    """A jar that was fetched anew, other options, and another build of Java each need another cache."""
    found = {cache(), aot_cache(tmp_path / "aot", java, ("-Xmx1g",), [jar], recorder)}
    os.utime(jar, (1, 1))
    found.add(cache())
    (tmp_path / "java" / "lib" / "modules").write_bytes(b"other classes")
    found.add(cache())
    assert None not in found
    assert len(found) == recorder.calls == 4


def test_an_older_java_has_none(tmp_path: Path, java: Java, jar: Path, recorder: Recorder) -> None:
    """Java 24 cannot record and write a cache in one run; nothing is tried."""
    assert aot_cache(tmp_path / "aot", replace(java, major=24), OPTIONS, [jar], recorder) is None
    assert recorder.calls == 0


def test_only_one_process_makes_it(cache: Callable[[], Path | None], recorder: Recorder, tmp_path: Path) -> None:
    """While another process records, a start goes on without a cache, at once."""
    (tmp_path / "aot").mkdir()
    with (tmp_path / "aot" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert cache() is None
    assert recorder.calls == 0
    assert cache() is not None


@pytest.mark.parametrize("error", [BrokerUnavailable("no start"), TimeoutError("no stop"), OSError("disk full")])
def test_a_broker_that_fails_while_recording_is_tried_again(
    cache: Callable[[], Path | None], recorder: Recorder, tmp_path: Path, error: Exception
) -> None:
    """The start goes on without a cache, nothing is left of the attempt, and the next start tries again."""
    recorder.error = error
    assert cache() is None
    assert [file.name for file in (tmp_path / "aot").iterdir()] == ["lock"]
    recorder.error = None
    assert cache() is not None


def test_a_java_that_writes_none_is_not_asked_at_each_start(
    cache: Callable[[], Path | None], recorder: Recorder, tmp_path: Path
) -> None:
    """A run that ended without a cache is remembered for a day."""
    recorder.content = b""
    assert (cache(), cache(), recorder.calls) == (None, None, 1)
    (remembered,) = (tmp_path / "aot").glob("*.aot")
    os.utime(remembered, (past := time.time() - AGAIN_SECONDS - 60, past))
    recorder.content = b"cache"
    assert cache() == remembered


def test_what_is_left_is_removed(cache: Callable[[], Path | None], tmp_path: Path) -> None:
    """Making a cache removes the parts of one whose process was killed, and caches that no start has used for long."""
    folder = tmp_path / "aot"
    (folder / ".recording-killed").mkdir(parents=True)
    for name in ("unused.aot", "used.aot"):
        (folder / name).write_bytes(b"cache")
    os.utime(folder / "unused.aot", (past := time.time() - UNUSED_SECONDS - 60, past))
    made = cache()
    assert made is not None
    assert {file.name for file in folder.iterdir()} == {"lock", "used.aot", made.name}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, java: Java, jar: Path, recorder: Recorder) -> None:
    """Where no cache can be put, brokers start without one."""
    (tmp_path / "file").write_bytes(b"")
    assert aot_cache(tmp_path / "file" / "aot", java, OPTIONS, [jar], recorder) is None
    assert recorder.calls == 0


@pytest.mark.kafka
@pytest.mark.skipif(find_java(os.environ.get("JAVA_HOME")).major < OLDEST_JAVA, reason="this Java writes no AOT cache")
def test_a_broker_starts_with_the_cache_and_java_ignores_a_damaged_one(jars: Path, tmp_path: Path) -> None:
    """A broker has the cache; Java with a cache cut short, overwritten, empty or missing runs in silence."""
    with EmbeddedKafka(cache_dir=jars, java_home=os.environ.get("JAVA_HOME")) as kafka:
        command = Path(f"/proc/{kafka.pids[1]}/cmdline").read_bytes().decode().split("\0")
    (used,) = [word.removeprefix("-XX:AOTCache=") for word in command if word.startswith("-XX:AOTCache=")]
    whole = Path(used).read_bytes()
    middle = len(whole) // 2
    damaged = {
        "cut": whole[:middle],
        "overwritten": whole[:middle] + bytes(100_000) + whole[middle + 100_000 :],
        "empty": b"",
        "missing": None,
    }
    options = [word for word in command if word.startswith("-X") and word != f"-XX:AOTCache={used}"]
    assert set(AOT_SAFE) <= set(options)
    for name, content in damaged.items():
        file = tmp_path / name
        if content is not None:
            file.write_bytes(content)
        run = subprocess.run(
            [command[0], f"-XX:AOTCache={file}", *options, "-cp", command[command.index("-cp") + 1],
             "kafka.Kafka", "--version"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (run.returncode, run.stderr) == (0, ""), name
        file.unlink(missing_ok=True)
