"""Judgements of contracts: made outside of the writing transaction, and valid for the input that they name.

A judgement takes milliseconds for most contracts and seconds for the largest. There is one writer, one event loop and
one interpreter lock. Therefore a transaction makes no judgement of any size: it raises `JudgeFirst`, the judgement is
made outside, and the next transaction finds it, if its input has not changed until then. Large judgements are made in a
process of their own (`judge_process`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy import Connection

from meshport.compat.judgement import Judgement
from meshport.errors import MeshError
from meshport_registry.errors import StoreBusy

_T = TypeVar("_T")
# Characters of schemas that a transaction compares itself: about a millisecond.
_SIZE_IN_WRITER: Final = 8 * 1024
# Another change of the same subject or product comes first each time.
_ATTEMPTS: Final = 20


class JudgeFirst(MeshError):  # noqa: N818 - not an error of the caller
    """Raised by a transaction that needs a judgement which takes longer than a transaction may.

    Attributes:
        judgement: what to judge before the transaction is tried again.
    """

    def __init__(self, message: str, *, judgement: Judgement[Any]) -> None:
        super().__init__(message)
        self.judgement = judgement


class Judged:
    """The judgements that were made for one change so far."""

    def __init__(self) -> None:
        self._made: list[tuple[Judgement[Any], Any]] = []

    def add(self, judgement: Judgement[_T], result: _T) -> None:
        """Add a judgement with its result."""
        self._made.append((judgement, result))

    def result(self, judgement: Judgement[_T]) -> _T:
        """Return the result of a judgement; one that takes a millisecond is made here.

        Raises:
            JudgeFirst: it was not made, and takes longer.
        """
        for made, result in self._made:
            if made == judgement:
                known: _T = result
                return known
        if judgement.size > _SIZE_IN_WRITER:
            raise JudgeFirst("a judgement is to be made before the transaction", judgement=judgement)
        return judgement.run()


class JudgingStore(Protocol):
    """The part of the database that makes judgements and writes."""

    async def judge(self, judgement: Judgement[_T]) -> _T:
        """Return the result of a judgement, made outside of the event loop."""

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Run a write and return its result once the database has committed it."""


async def write_judged(
    store: JudgingStore, work: Callable[[Connection, Judged], _T], *, judged: Judged | None = None
) -> _T:
    """Run a write that needs judgements, which are made outside of the writing transaction.

    Args:
        store: the database.
        work: the write; it takes its judgements from the second argument.
        judged: the judgements that were made already.

    Raises:
        StoreBusy: other changes of the same subject or product come first, again and again.
    """
    known = judged or Judged()
    for _ in range(_ATTEMPTS):
        try:
            return await store.write(lambda connection: work(connection, known))
        except JudgeFirst as first:
            known.add(first.judgement, await store.judge(first.judgement))
    raise StoreBusy("what is to be changed changes again and again while it is judged", hint="try again in a moment")
