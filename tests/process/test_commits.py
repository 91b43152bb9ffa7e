"""The offsets that faust commits, with its own consumer and with Meshport's."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faust
import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from meshport.errors import ProcessError
from meshport.process.engines.faust_commits import MeshApp, MeshTransport, OffsetTracker, TrackedConsumer, prove_commits

TP_ = TP("plays", 0)


@contextmanager
def app(folder: Path) -> Iterator[MeshApp]:
    """A faust app that is never started."""
    yield MeshApp("proof", broker="kafka://127.0.0.1:1", datadir=folder, web_enabled=False)


def test_faust_alone_commits_past_work_and_is_refused(tmp_path: Path) -> None:
    """The self-test refuses faust's own consumer, which commits past an event in progress (faust#606)."""

    async def prove() -> None:
        with app(tmp_path) as running, pytest.raises(ProcessError, match="would commit 2590 with 2585 still in work"):
            prove_commits(running, MeshTransport.__base__.Consumer)  # type: ignore[union-attr]  # faust's own

    asyncio.run(prove())


def test_the_tracked_consumer_never_does(tmp_path: Path) -> None:
    """The tracked consumer passes the same three states."""

    async def prove() -> None:
        with app(tmp_path) as running:
            prove_commits(running, TrackedConsumer)

    asyncio.run(prove())


@given(st.lists(st.integers(1, 3), min_size=1, max_size=20), st.randoms(), st.integers(0, 20))
def test_only_the_finished_prefix_is_committable(steps: list[int], random: object, finished: int) -> None:
    """In whatever order events finish, and with gaps between offsets, no offset after an unfinished event is committable."""
    offsets = [sum(steps[: number + 1]) for number in range(len(steps))]
    tracker = OffsetTracker()
    for offset in offsets:
        tracker.begin(offset)
    done = random.sample(offsets, min(finished, len(offsets)))  # type: ignore[attr-defined]  # hypothesis' Random
    for offset in done:
        tracker.finish(offset)
    left = [offset for offset in offsets if offset not in done]
    assert tracker.committable == (left[0] if left else offsets[-1] + 1)


def test_what_was_never_begun_is_not_taken_for_done() -> None:
    """An acknowledgement of an event that was never begun, as faust gives for one it skips, moves no offset."""
    tracker = OffsetTracker()
    tracker.finish(7)
    assert tracker.committable is None
    tracker.begin(3)
    tracker.finish(9)
    assert tracker.committable == 3


def test_a_failed_commit_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed commit faust takes the offset for committed (faust#316); the tracked consumer tries again."""

    async def commit() -> tuple[bool, object, object]:
        with app(tmp_path) as running:
            consumer = TrackedConsumer(MeshTransport(running.conf.broker_consumer, running), nothing, nothing, nothing)
            consumer._committed_offset[TP_] = 3

            async def refused(_: object) -> bool:
                return False

            monkeypatch.setattr(consumer, "assignment", lambda: {TP_})
            monkeypatch.setattr(consumer, "_commit", refused)
            monkeypatch.setattr(running.producer, "flush", nothing)
            did = await consumer._commit_offsets({TP_: 8})
            ours = consumer._committed_offset[TP_]
            await faust.transport.consumer.Consumer._commit_offsets(consumer, {TP_: 8})
            consumer._thread.thread_loop.close()
            return did, ours, consumer._committed_offset[TP_]

    assert asyncio.run(commit()) == (False, 3, 8)


async def nothing(*_: object) -> None:
    """Does nothing; the callback is not called."""
