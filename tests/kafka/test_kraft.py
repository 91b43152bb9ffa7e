"""The parts of a KRaft cluster on one machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from meshport.errors import BrokerUnavailable
from meshport.local import kraft
from meshport.local.jars import ensure_jars, read_lock
from meshport.local.java import find_java
from meshport.local.kraft import FormattedDirectory, format_storage, free_ports, is_free, last_words, random_id


def test_cluster_id_is_never_read_as_an_option() -> None:
    """No id begins with a dash, which would fail one format in 64; all have Kafka's form and differ."""
    ids = {random_id() for _ in range(2_000)}
    assert len(ids) == 2_000
    assert all(re.fullmatch(r"\w[\w-]{21}", text) for text in ids)


def features(checkpoint: bytes) -> bytes:
    """The batches of a checkpoint without what differs from run to run: checksum and times (record batch, version 2)."""
    batches = b""
    while checkpoint:
        end = 12 + int.from_bytes(checkpoint[8:12])
        batch, checkpoint = checkpoint[:end], checkpoint[end:]
        batches += batch[:17] + batch[21:27] + batch[43:]
    return batches


def test_storage_is_formatted_as_kafkas_tool_does(jars: Path, tmp_path: Path) -> None:
    """The two files are those of `kafka-storage format` of the locked Kafka: same keys, same features of a new cluster."""
    format_storage(tmp_path / "ours", cluster := random_id(), 1)
    (tmp_path / "properties").write_text(
        f"process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:1\n"
        f"controller.listener.names=C\nlisteners=C://:1,PLAINTEXT://:2\nlog.dirs={tmp_path / 'theirs'}\n"
    )
    class_path = os.pathsep.join(map(str, ensure_jars(jars, read_lock())))
    tool = [str(find_java().executable), "-cp", class_path, "kafka.tools.StorageTool", "format", "-t", cluster, "-c"]
    subprocess.run([*tool, str(tmp_path / "properties")], check=True, capture_output=True)
    ours, theirs = (
        {file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("ours", "theirs")
    )
    assert ours.keys() == theirs.keys() == {"meta.properties", "bootstrap.checkpoint"}
    assert features(ours["bootstrap.checkpoint"]) == features(theirs["bootstrap.checkpoint"])
    facts = [
        dict(line.split("=") for line in files["meta.properties"].decode().splitlines() if line[0] != "#")
        for files in (ours, theirs)
    ]
    assert [len(each.pop("directory.id")) for each in facts] == [22, 22]
    assert facts[0] == facts[1] == {"version": "1", "cluster.id": cluster, "node.id": "1"}


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
