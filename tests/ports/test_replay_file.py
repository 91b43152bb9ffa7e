"""A replay into a file: wherever it was interrupted, it continues without a gap or a repeated event."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from meshport.binding import Binding
from meshport.errors import ReplayError
from meshport.event import Event
from meshport.ports import replay_lines
from meshport.ports.replay import Bound, Offsets
from meshport.ports.replay_file import ReplayFile
from meshport.ports.replay_lines import ReplayLines
from tests.mesh_session import Mesh
from tests.ports.readings import BEGIN, fill

Write = Callable[..., int | None]


def line(event: Event) -> str:
    """An event as a line of JSON."""
    return json.dumps(event.as_dict(), default=str)


@pytest.fixture(scope="module")
def port(in_memory_mesh: Mesh) -> Binding:
    """A port with a hundred readings in all of its partitions."""
    binding = in_memory_mesh.product()
    fill(in_memory_mesh, binding.address, range(100))
    return binding


@pytest.fixture
def write(in_memory_mesh: Mesh, port: Binding, tmp_path: Path) -> Write:
    """Replay the port into a file, or continue; how many events were written, None where it was complete."""

    def replayed(
        name: str = "out.jsonl", *, asked: tuple[str, ...] = (), begin: Bound = None, address: Binding = port
    ) -> int | None:
        kept = ReplayFile(tmp_path / name, line)
        with kept.replay(address.address, in_memory_mesh.registry, asked, begin, None) as job:
            return None if job is None else kept.write(job)

    return replayed


def interrupted(file: Path, keep: bytes) -> None:
    """Leave a file and its note as a process does that was killed after it had written these bytes."""
    note = file.with_name(f"{file.name}.replay")
    note.write_text(note.read_text().replace('"complete": true', '"complete": false'))
    file.write_bytes(keep)


def events(file: Path) -> list[tuple[int, int, str, float]]:
    """What each line holds: partition, offset, the job's id and the reading."""
    found = [json.loads(each) for each in file.read_text().splitlines()]
    return sorted(
        (each["kafkapartition"], each["kafkaoffset"], each["replayid"], each["data"]["celsius"]) for each in found
    )


def test_a_killed_replay_continues_where_it_was(
    write: Write, in_memory_mesh: Mesh, port: Binding, tmp_path: Path
) -> None:
    """Cut anywhere, also within a line, a file is completed to the same events, of one job, up to the end of the first start."""
    file = tmp_path / "out.jsonl"
    assert write(begin=(BEGIN + timedelta(minutes=20), Offsets(1)), asked=("--from t",))
    whole, before = file.read_bytes(), events(file)
    assert {each[3] for each in before} <= {float(each) for each in range(20, 100)}
    fill(in_memory_mesh, port.address, [50])  # after the bounds were fixed
    for kept in (0, 100, len(whole) // 2, len(whole) - 1):
        interrupted(file, whole[:kept])
        missing = len(before) - whole[:kept].count(b"\n")
        assert write() == missing
        assert events(file) == before
    interrupted(file, whole)
    assert not write(asked=("--from t",)), "all events are there"
    assert events(file) == before


def test_a_stopped_replay_is_continued(in_memory_mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """A replay that its caller left in the middle is completed by the next one."""
    file = tmp_path / "out.jsonl"
    kept = ReplayFile(file, line)
    with kept.replay(port.address, in_memory_mesh.registry, (), None, None) as job:
        assert job is not None
        file.write_text("".join(f"{line(each)}\n" for each in islice(job.events(), 30)))
        total = job.range.total
    with kept.replay(port.address, in_memory_mesh.registry, (), None, None) as job:
        assert job is not None
        assert kept.write(job) == total - 30
    assert len({each[:2] for each in events(file)}) == len(events(file)) == total
    with kept.replay(port.address, in_memory_mesh.registry, (), None, None) as job:
        assert job is None


def test_a_file_of_something_else_is_refused(write: Write, in_memory_mesh: Mesh, tmp_path: Path) -> None:
    """A file without a note, of other bounds, of another port, or with foreign lines is never appended to."""
    other = in_memory_mesh.product()
    (tmp_path / "mine.jsonl").write_text("my notes\n")
    with pytest.raises(ReplayError, match=r"no replay wrote it: .*mine\.jsonl\.replay is missing"):
        write("mine.jsonl")
    write(asked=("--from a",))
    with pytest.raises(ReplayError, match=r"holds a replay of .* \(--from a\), not of .* \(--from b\)"):
        write(asked=("--from b",))
    with pytest.raises(ReplayError, match="not of"):
        write(address=other)
    interrupted(tmp_path / "out.jsonl", b"not an event\n")
    with pytest.raises(ReplayError, match=r"out\.jsonl:1 is no event of a replay") as refused:
        write()
    assert refused.value.hint == "give another file, or remove both and begin again"
    assert (tmp_path / "mine.jsonl").read_text() == "my notes\n"
    with pytest.raises(ReplayError, match="cannot be written"):
        write("nowhere/out.jsonl")


def test_a_long_file_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever blocks the file is read in, the positions are those after the last whole line of each partition."""
    file = tmp_path / "out.jsonl"
    written = [{"kafkapartition": n % 3, "kafkaoffset": n, "replayid": "a", "data": "x" * (n % 40)} for n in range(50)]
    lines = "".join(json.dumps(each) + "\n" for each in written).encode()
    for block in (1, 2, 7, 64, 200, 10_000):
        monkeypatch.setattr(replay_lines, "_BLOCK", block)
        for cut in (b"", b'{"kafkapartition"', b"\r"):
            file.write_bytes(lines + cut)
            found = ReplayLines(file, line, "again").positions("a", range(3))
            assert found == {0: 49, 1: 50, 2: 48}
            assert file.read_bytes() == lines
        with pytest.raises(ReplayError, match=r"jsonl:50 is an event of replay a, not b"):
            ReplayLines(file, line, "again").positions("b", range(3))
    file.write_bytes(b"cut")
    assert ReplayLines(file, line, "again").positions("a", range(3)) == {}
    assert file.read_bytes() == b""
