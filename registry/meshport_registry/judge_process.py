"""A process that makes large judgements, so that neither the interpreter lock nor the memory of the service is theirs.

Judgements wait in the order of their size, so that a small one waits for at most one larger. One that takes too long is
killed with the process; the next one starts another. The process ends with its parent, which holds its input.
"""

from __future__ import annotations

import itertools
import os
import pickle
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, TypeVar

from meshport.compat.judgement import Judgement
from meshport_registry.errors import JudgementTooLong, StoreBusy

_T = TypeVar("_T")
LONGEST_S: Final = 30.0
"""Seconds of CPU time that one judgement may take. Contracts of 1,500 fields with 25 versions take less than one."""
_LONGEST_WAIT_S: Final = (
    600.0  # ends a hang; a busy machine takes long for 30 s of CPU time, and the verdict is the same
)
_WAITING: Final = 64
# Above it the process is replaced: what it keeps of the schemas that it has seen is of no use to the next ones.
_LARGEST_KB: Final = 256 * 1024
_LENGTH: Final = struct.Struct("!I")
_WORKER: Final = Path(__file__).with_name("judge_worker.py")


class JudgeProcess:
    """Makes judgements in a process, one at a time. The process starts with the first one.

    Args:
        longest_s: seconds of CPU time that one judgement may take.
    """

    def __init__(self, *, longest_s: float = LONGEST_S) -> None:
        self._longest_s = longest_s
        self._waiting: queue.PriorityQueue[tuple[float, int, Judgement[Any] | None, Future[Any]]] = (
            queue.PriorityQueue()
        )
        self._numbers = itertools.count()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._judge_all, name="registry-judge", daemon=True)
        self._started = False
        self._closing = threading.Event()

    @property
    def pid(self) -> int | None:
        """The id of the process, or None while there is none."""
        return self._process.pid if self._process else None

    def submit(self, judgement: Judgement[_T]) -> Future[_T]:
        """Return the future result of a judgement.

        Raises:
            StoreBusy: too many judgements wait already.
        """
        if self._waiting.qsize() >= _WAITING:
            raise StoreBusy(f"{_WAITING} large judgements wait already", hint="try again in a moment")
        if not self._started:
            self._started = True
            self._thread.start()
        future: Future[_T] = Future()
        self._waiting.put((judgement.size, next(self._numbers), judgement, future))
        return future

    def close(self) -> None:
        """End the process; judgements that wait are cancelled."""
        if self._started:
            self._waiting.put((-1, next(self._numbers), None, Future()))
            self._closing.set()
            if (process := self._process) is not None:
                process.kill()  # the thread, which may wait for it, does the rest
            self._thread.join()

    def _judge_all(self) -> None:
        while True:
            _, _, judgement, future = self._waiting.get()
            if judgement is None:
                break
            if future.set_running_or_notify_cancel():
                try:
                    result = self._judge(judgement)
                except Exception as error:  # noqa: BLE001 - raised where the judgement is awaited
                    future.set_exception(error)
                else:
                    future.set_result(result)
        self._end()
        with suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()[3].cancel()

    def _judge(self, judgement: Judgement[Any]) -> Any:
        process = self._process
        if process is None or process.poll() is not None:
            process = self._process = subprocess.Popen(
                [sys.executable, "-P", _WORKER, str(self._longest_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        if self._closing.is_set():
            raise StoreBusy("the service ends")
        assert process.stdin is not None  # noqa: S101 - both are pipes
        assert process.stdout is not None  # noqa: S101
        try:
            _send(process.stdin, judgement)
            answer = _receive(process.stdout, time.monotonic() + _LONGEST_WAIT_S)
        except (EOFError, BrokenPipeError) as error:
            self._end()
            if process.returncode == -signal.SIGPROF:  # its CPU time is used up
                raise _too_long(judgement, f"{self._longest_s:g} s of CPU time") from error
            raise StoreBusy("the process that judges has ended", hint="try again") from error
        except TimeoutError as error:
            self._end()
            raise _too_long(judgement, f"{_LONGEST_WAIT_S:g} s") from error
        result, failed, largest_kb = answer
        if largest_kb > _LARGEST_KB:
            self._end()
        if failed:
            raise result
        return result

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
            process.wait()


def _too_long(judgement: Judgement[Any], limit: str) -> JudgementTooLong:
    return JudgementTooLong(
        f"judging {judgement.size} characters of schemas takes more than {limit}",
        hint="a smaller schema, or a compatibility level that compares with fewer versions",
    )


def _send(pipe: IO[bytes], value: object) -> None:
    data = pickle.dumps(value)
    pipe.write(_LENGTH.pack(len(data)) + data)
    pipe.flush()


def _receive(pipe: IO[bytes], until: float) -> tuple[Any, bool, int]:
    """Return what the process has sent.

    Raises:
        TimeoutError: it has not sent it by the given time (monotonic).
        EOFError: it has ended.
    """
    size = _LENGTH.unpack(_read(pipe, _LENGTH.size, until))[0]
    answer: tuple[Any, bool, int] = pickle.loads(_read(pipe, size, until))  # noqa: S301 - from our own process
    return answer


def _read(pipe: IO[bytes], size: int, until: float) -> bytes:
    data, poll = bytearray(), select.poll()  # `select` takes no descriptor over 1023
    poll.register(pipe, select.POLLIN)
    while len(data) < size:
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError
        part = os.read(pipe.fileno(), size - len(data))
        if not part:
            raise EOFError
        data += part
    return bytes(data)
