"""The process that makes judgements: it reads them from stdin and writes their results to stdout, as `judge_process` does.

It is run by its path and imports nothing but the standard library and what the judgements themselves need, so that it
starts in half a second and takes 40 MB. Its argument is the seconds of CPU time that one judgement may take; a longer one ends
the process by SIGPROF, whose default it is.
"""

from __future__ import annotations

import os
import pickle
import queue
import resource
import signal
import struct
import sys
import threading
from contextlib import suppress
from typing import Any, Final

_LENGTH: Final = struct.Struct("!I")


def _main() -> None:
    longest_s = float(sys.argv[1])
    os.nice(10)  # requests are answered first
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may write to the pipe
    judgements: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def receive() -> None:
        with suppress(EOFError, struct.error):
            while True:
                judgements.put(pickle.loads(requests.read(_LENGTH.unpack(requests.read(_LENGTH.size))[0])))  # noqa: S301 - from our own parent
        os._exit(0)  # the parent has ended: also while a judgement is being made

    threading.Thread(target=receive, daemon=True).start()
    while True:
        judgement = judgements.get()
        signal.setitimer(signal.ITIMER_PROF, longest_s)
        try:
            result, failed = judgement.run(), False
        except Exception as error:  # noqa: BLE001 - raised by the parent
            result, failed = error, True
        signal.setitimer(signal.ITIMER_PROF, 0)
        data = pickle.dumps((result, failed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
        answers.write(_LENGTH.pack(len(data)) + data)
        answers.flush()


if __name__ == "__main__":
    _main()
