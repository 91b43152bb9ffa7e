"""The AOT cache of the embedded broker: Kafka's classes, loaded and linked once and mapped by each later start (JEP 483, 514).

A broker with it is ready after half of the CPU time. The first start on a machine makes it: one more broker starts, records
what it loads, and writes the cache when it stops. There is one file for each Java, class path and set of options:

    cache_dir/aot/
      lock                 held by the process that makes a file; others start without it meanwhile
      <digest>.aot         about 65 MB; an empty one records that this Java wrote none

The cache only saves time. Where it cannot be made or read, brokers start without it; a JVM ignores a file that another
Java, class path or set of options made.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from meshport.errors import BrokerUnavailable
from meshport.local.java import Java

__all__ = ["aot_cache"]

OLDEST_JAVA = 25  # the first with -XX:AOTCacheOutput (JEP 514)
UNUSED_SECONDS = 30 * 24 * 3600
AGAIN_SECONDS = 24 * 3600  # until a cache is tried again that was not written
_STAGING = ".recording-"

_log = logging.getLogger(__name__)


def aot_cache(
    folder: Path, java: Java, options: Sequence[str], class_path: Iterable[Path], record: Callable[[Path], None]
) -> Path | None:
    """Return the cache for this Java, these options and this class path; make it where there is none.

    Args:
        folder: of all caches.
        java: the Java of the brokers.
        options: the JVM options that a cache depends on.
        class_path: the jars, in their order.
        record: runs a broker that writes the cache to the given path, and returns after the broker has ended.

    Returns:
        The cache; None where this Java has no such caches, another process makes it now, or it could not be made.
    """
    if java.major < OLDEST_JAVA:
        return None
    try:
        file = folder / f"{_digest(java, options, class_path)}.aot"
        if not _is_settled(file):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not _is_settled(file):
                    _make(file, record)
        if not file.stat().st_size:
            return None
    except BlockingIOError:
        return None  # another process makes it
    except (BrokerUnavailable, OSError) as error:  # TimeoutError, of a broker that does not stop, is an OSError
        _log.info("the embedded broker starts without an AOT cache: %s", error)
        return None
    with suppress(OSError):  # a folder that may only be read
        file.touch()  # it is in use
    return file


def _digest(java: Java, options: Sequence[str], class_path: Iterable[Path]) -> str:
    """Digest of what a JVM compares before it uses a cache: options; path, size and time of its own classes and of the jars."""
    files = (java.executable.resolve().parents[1] / "lib" / "modules", *class_path)
    states = ((str(file), (state := file.stat()).st_size, state.st_mtime_ns) for file in files)
    return hashlib.sha256(repr((tuple(options), *states)).encode()).hexdigest()[:16]


def _is_settled(file: Path) -> bool:
    """Whether nothing has to be made: there is a cache, or it was not written when it was last tried."""
    try:
        state = file.stat()
    except FileNotFoundError:
        return False
    return state.st_size > 0 or time.time() - state.st_mtime < AGAIN_SECONDS


def _make(file: Path, record: Callable[[Path], None]) -> None:
    for left in file.parent.glob(f"{_STAGING}*"):  # of a process that was killed: it held the lock
        shutil.rmtree(left, ignore_errors=True)
    for old in file.parent.glob("*.aot"):
        if time.time() - old.stat().st_mtime > UNUSED_SECONDS:
            old.unlink()
    with tempfile.TemporaryDirectory(prefix=_STAGING, dir=file.parent) as staging:
        made = Path(staging) / file.name
        record(made)
        made.touch()
        made.replace(file)
