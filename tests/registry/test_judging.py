"""Judgements are made outside of the writing transaction, and no caller waits for the judgement of another one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Connection, text

from meshport.compat import Version
from meshport.compat.judgement import HistoryJudgement, SchemaReading
from meshport.errors import SchemaError
from meshport.product import Compatibility
from meshport_registry.errors import JudgementTooLong, StoreBusy
from meshport_registry.judge_process import JudgeProcess
from meshport_registry.judging import Judged, JudgeFirst, write_judged
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.registry.schemas import schema
from tests.repository import ROOT
from tests.waiting import PATIENCE_S, wait_for

LARGE: Final = 10**6


@dataclass(frozen=True)
class Waiting:
    """A judgement that waits until a file is written, and then returns its text."""

    file: Path
    size: int = LARGE

    def run(self) -> str:
        """Return the text of the file, which is a pipe."""
        return self.file.read_text(encoding="utf-8")


@dataclass(frozen=True)
class Endless:
    """A judgement that computes and never ends."""

    size: int = LARGE

    def run(self) -> None:
        """Use the CPU for ever."""
        while True:
            pass


@dataclass(frozen=True)
class Ending:
    """A judgement that ends its process."""

    size: int = LARGE

    def run(self) -> str:
        """End the process."""
        os._exit(7)


@pytest.fixture(autouse=True)
def tests_in_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process find the judgements above."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Return a pipe, from which a reader gets something only once it is written."""
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def store(database: str) -> Iterator[RegistryStore]:
    """Yield an open database."""
    opened = RegistryStore(database_url(database)).open()
    yield opened
    opened.close()


@pytest.fixture
def judges() -> Iterator[JudgeProcess]:
    """Yield the process."""
    process = JudgeProcess()
    yield process
    process.close()


def test_no_caller_waits_for_a_large_judgement(store: RegistryStore, pipe: Path) -> None:
    """While a large judgement is made, small ones, queries and writes are made too."""

    async def together() -> list[object]:
        large = asyncio.ensure_future(store.judge(Waiting(pipe)))
        done: list[object] = [
            (await store.judge(SchemaReading('"string"'))).text,
            await store.read(lambda c: c.execute(text("SELECT 1")).scalar()),
            await store.write(lambda c: c.execute(text("SELECT 2")).scalar()),
        ]
        assert not large.done()
        pipe.write_text("judged", encoding="utf-8")
        return [*done, await large]

    assert asyncio.run(together()) == ['"string"', 1, 2, "judged"]


def test_judgements_wait_in_the_order_of_their_size(judges: JudgeProcess, pipe: Path) -> None:
    """A smaller judgement goes before larger ones that came earlier."""
    first = judges.submit(Waiting(pipe))
    assert not first.done()
    order: list[int] = []
    later = [judges.submit(SchemaReading('"string"', named_size=size)) for size in (30, 20, 10)]
    for size, each in zip((30, 20, 10), later, strict=True):
        each.add_done_callback(lambda _, size=size: order.append(size))  # type: ignore[misc] # the size of this round
    pipe.write_text("go", encoding="utf-8")
    assert first.result(PATIENCE_S) == "go"
    assert [each.result(PATIENCE_S).text for each in later] == ['"string"'] * 3
    assert order == [10, 20, 30]


def test_a_process_that_ends_fails_one_judgement(judges: JudgeProcess) -> None:
    """A judgement whose process ends is refused for now, and the next one gets another process."""
    with pytest.raises(StoreBusy, match="has ended"):
        judges.submit(Ending()).result(PATIENCE_S)
    assert judges.submit(SchemaReading('"int"')).result(PATIENCE_S).text == '"int"'
    with pytest.raises(SchemaError, match="is no JSON"):
        judges.submit(SchemaReading("{")).result(PATIENCE_S)


def test_a_judgement_that_takes_too_long_is_ended(pipe: Path) -> None:
    """A judgement is given up after its CPU time, with its process; one that waits has used none, nor has the one after it."""
    judges = JudgeProcess(longest_s=0.2)
    try:
        with pytest.raises(JudgementTooLong, match=r"takes more than 0\.2 s of CPU time"):
            judges.submit(Endless()).result(PATIENCE_S)
        waiting = judges.submit(Waiting(pipe))
        pipe.write_text("go", encoding="utf-8")
        assert waiting.result(PATIENCE_S) == "go"
    finally:
        judges.close()


def test_too_many_judgements_are_refused(judges: JudgeProcess, pipe: Path) -> None:
    """The queue of large judgements is bounded; a judgement that waits when the service ends is cancelled."""
    first = judges.submit(Waiting(pipe))
    wait_for(first.running, "the process takes the first judgement")
    waiting = [judges.submit(Waiting(pipe)) for _ in range(64)]
    with pytest.raises(StoreBusy):
        judges.submit(Waiting(pipe))
    judges.close()
    assert all(each.cancelled() for each in waiting)


_PARENT: Final = """
import asyncio, sys, time
from pathlib import Path
from meshport_registry.judge_process import JudgeProcess
from tests.registry.test_judging import Waiting
judges = JudgeProcess()
future = judges.submit(Waiting(Path(sys.argv[1])))
while judges.pid is None or not future.running():
    time.sleep(0.01)
print(judges.pid, flush=True)
future.result()
"""


def test_the_process_ends_with_its_parent(pipe: Path) -> None:
    """A killed service leaves no process behind, also while a judgement is being made."""
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(pipe)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists(), "the process of judgements has ended")


def test_a_transaction_makes_no_large_judgement(store: RegistryStore) -> None:
    """A transaction makes a small judgement, asks for a large one, and asks again if its input has changed."""
    small = HistoryJudgement(schema("a"), (), Compatibility.BACKWARD)
    wide = schema(*(f"f{number}?" for number in range(500)))
    large = HistoryJudgement(wide, (Version(1, wide),), Compatibility.BACKWARD)
    assert Judged().result(small).compatible
    with pytest.raises(JudgeFirst) as asked:
        Judged().result(large)
    assert asked.value.judgement is large
    judged = Judged()
    judged.add(large, large.run())
    assert judged.result(HistoryJudgement(wide, (Version(1, wide),), Compatibility.BACKWARD)).compatible
    with pytest.raises(JudgeFirst):
        judged.result(HistoryJudgement(wide, (Version(2, wide),), Compatibility.BACKWARD))

    turns: list[int] = []

    def work(_: Connection, known: Judged) -> int:
        turns.append(len(turns))
        versions = tuple(Version(number, wide) for number in range(1, 1 + min(len(turns), 3)))
        known.result(HistoryJudgement(wide, versions, Compatibility.BACKWARD_TRANSITIVE))
        return len(versions)

    assert asyncio.run(write_judged(store, work)) == 3
    assert len(turns) == 4

    def never(_: Connection, known: Judged) -> None:
        turns.append(len(turns))
        known.result(HistoryJudgement(wide, (Version(len(turns), wide),), Compatibility.BACKWARD))

    with pytest.raises(StoreBusy, match="changes again and again"):
        asyncio.run(write_judged(store, never))
