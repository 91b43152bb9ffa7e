"""The parts of a KRaft cluster on one machine."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from meshport.errors import BrokerUnavailable
from meshport.local import kraft
from meshport.local.kraft import FormattedDirectory, free_ports, is_free, last_words, random_id


def test_cluster_id_is_never_read_as_an_option() -> None:
    """No id begins with a dash, which would fail one format in 64; all have Kafka's form and differ."""
    ids = {random_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch(r"\w[\w-]{21}", text) for text in ids)


def test_ports_are_free_different_and_not_the_taken_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that is in use or excluded is never chosen; too few free ports are an error."""
    first, second, third = free_ports(3, ())
    monkeypatch.setattr(kraft, "FREE_PORTS", (first, second, third))
    with socket.create_server(("127.0.0.1", first)):
        assert not is_free(first)
        assert free_ports(1, [second]) == (third,)
        with pytest.raises(BrokerUnavailable, match=r"no 3 free ports of 127\.0\.0\.1"):
            free_ports(3, ())
    assert free_ports(3, ()) == (first, second, third)


def test_last_words_begin_at_the_first_error(tmp_path: Path) -> None:
    """An error is shown with what follows it, although the orderly shutdown after it wrote a hundred lines more."""
    lines = [*["now INFO  before (X)"] * 50, "now ERROR it broke (X)", "cause", *["now INFO  after (X)"] * 100]
    (tmp_path / "server.log").write_text("\n".join(lines))
    said = last_words(tmp_path, "server.log", "console.log").splitlines()
    assert said[:2] == ["now ERROR it broke (X)", "cause"]
    assert len(said) == kraft.LAST_LINES


def test_last_words_come_from_the_console_where_the_log_has_no_error(tmp_path: Path) -> None:
    """The last lines are those of the console if the JVM did not start, and else the end of the first log."""
    (tmp_path / "server.log").write_text("one\ntwo\n")
    assert last_words(tmp_path, "server.log", "console.log") == "one\ntwo"
    (tmp_path / "console.log").write_text("Error: Could not create the Java Virtual Machine.\n")
    assert last_words(tmp_path, "server.log", "console.log") == "Error: Could not create the Java Virtual Machine."
    assert last_words(tmp_path / "nowhere", "server.log") == "(it wrote nothing)"


def test_mark_of_a_directory_survives_writing_and_reading(tmp_path: Path) -> None:
    """What was formatted is read as it was written, and a directory without the mark holds nothing."""
    assert FormattedDirectory.read(tmp_path) is None
    FormattedDirectory("id", 3, "4.3.1", (1, 2, 3)).write(tmp_path)
    kept = FormattedDirectory.read(tmp_path)
    assert kept is not None
    assert (kept.cluster_id, kept.brokers, kept.version, kept.ports) == ("id", 3, "4.3.1", (1, 2, 3))
    assert [file.name for file in tmp_path.iterdir()] == ["cluster.json"]
