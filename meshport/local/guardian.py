"""A guardian: a small process that stops a command as soon as its own parent has ended.

    parent ──pipe──> guardian ──> command (its own session)

The parent holds the writing end of a pipe and the guardian reads it. When the parent ends, however it ends, the kernel
closes the pipe and the guardian stops the command. When the guardian itself is killed, Linux kills the command
(PR_SET_PDEATHSIG); elsewhere the parent does so when it next polls the process. Both run in sessions of their own,
so that Ctrl-C in the terminal reaches the parent alone, which stops them in order.

The guardian is this file, run by its path with the standard library alone (`python -I -S guardian.py`): it imports
nothing of meshport and starts in less than 0.1 s. It is general: any command can be guarded. POSIX only.

The requests on the pipe are single bytes: `s` stop (SIGTERM, after the grace SIGKILL), `k` kill now. End of file means
that the parent has ended: the guardian stops the command and removes the temporary folders. Only the guardian signals the
command, and it does so before it has reaped it, so that a reused process id is never signalled.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["GuardedProcess", "guard"]

STOP, KILL = b"s", b"k"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGNALLED = 128  # a shell's convention: a command killed by signal n ends with 128 + n
# A killed process ends once its threads have left the kernel: behind a slow disk, on a busy machine, that took over ten seconds.
END_S = 120.0


class GuardedProcess:
    """A command that runs under a guardian; created by `guard`.

    Attributes:
        pid: process id of the command.
        guardian_pid: process id of its guardian.
    """

    def __init__(self, guardian: subprocess.Popen[bytes], pipe: int, pid: int, grace: float) -> None:
        self.pid = pid
        self.guardian_pid = guardian.pid
        self._guardian = guardian
        self._pipe: int | None = pipe
        self._grace = grace
        self._group_killed = False

    @property
    def running(self) -> bool:
        """Whether the command still runs."""
        return self.returncode is None

    @property
    def returncode(self) -> int | None:
        """The command's exit code, 128 + n where signal n ended it, None while it runs."""
        code = self._guardian.poll()
        return None if code is None else self._ended_with(code)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the command ends.

        Args:
            timeout: seconds; None waits for ever.

        Returns:
            Its exit code, as `returncode` gives it.

        Raises:
            TimeoutError: the command still runs after the timeout.
        """
        try:
            return self._ended_with(self._guardian.wait(timeout))
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} still runs after {timeout} s") from None

    def request_stop(self) -> None:
        """Ask for SIGTERM, and for SIGKILL after the grace, without waiting."""
        self._request(STOP)

    def stop(self) -> int:
        """Stop the command in order: SIGTERM, and SIGKILL after the grace.

        Returns:
            Its exit code.

        Raises:
            TimeoutError: it still runs `END_S` seconds after SIGKILL.
        """
        self._request(STOP)
        return self.wait(self._grace + END_S)

    def kill(self) -> int:
        """Kill the command and its process group at once.

        Returns:
            Its exit code.

        Raises:
            TimeoutError: it still runs `END_S` seconds later.
        """
        self._request(KILL)
        return self.wait(END_S)

    def _request(self, request: bytes) -> None:
        if self._pipe in _open_pipes:  # not in a forked child, and not after the end
            with contextlib.suppress(BrokenPipeError):  # it has ended by itself
                os.write(self._pipe, request)

    def _ended_with(self, code: int) -> int:
        pipe, self._pipe = self._pipe, None  # closed once: the descriptor may be another guardian's pipe from now on
        if pipe in _open_pipes:
            _open_pipes.discard(pipe)
            os.close(pipe)
        if code >= 0:
            return code
        if not self._group_killed:  # the guardian was killed; Linux has killed the command, but not its children
            self._group_killed = True
            _kill_group(self.pid)
        return SIGNALLED - code


def guard(
    command: Sequence[str | Path],
    *,
    output: Path,
    grace: float = 10.0,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    remove_if_orphaned: Sequence[Path] = (),
) -> GuardedProcess:
    """Run a command so that it cannot outlive this process.

    Args:
        command: program and arguments.
        output: file that its stdout and stderr are appended to.
        grace: seconds between SIGTERM and SIGKILL; 0 kills at once.
        env: its environment; this process's own by default.
        cwd: its working directory; this process's own by default.
        remove_if_orphaned: folders that the guardian removes when this process ended without stopping the command.

    Returns:
        The running command.

    Raises:
        OSError: the command could not be started.
    """
    options = [f"--grace={grace}", *(f"--remove={folder}" for folder in remove_if_orphaned)]
    arguments = [sys.executable, "-I", "-S", __file__, *options, "--", *map(str, command)]
    words_read, words_write = os.pipe()
    report_read, report_write = os.pipe()
    _open_pipes.add(words_write)
    try:
        with output.open("ab") as log:
            guardian = subprocess.Popen(
                arguments,
                stdin=words_read,
                stdout=report_write,
                stderr=log,
                env=None if env is None else dict(env),
                cwd=cwd,
                start_new_session=True,
            )
    finally:
        os.close(words_read)
        os.close(report_write)
    with os.fdopen(report_read, encoding="utf-8") as report:
        word, _, rest = report.readline().strip().partition(" ")
    if word != "pid":
        _open_pipes.discard(words_write)
        os.close(words_write)
        guardian.wait()
        raise OSError(f"{command[0]} could not be started: {rest or 'its guardian ended'}")
    return GuardedProcess(guardian, words_write, int(rest), grace)


_open_pipes: set[int] = set()


def _forget_pipes() -> None:
    """Close the inherited pipes in a forked child; else the guardians would wait for that child too."""
    for pipe in _open_pipes:
        os.close(pipe)
    _open_pipes.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pipes)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _death_signal() -> Callable[[], None] | None:
    """Return what the forked child runs before exec: it asks Linux for SIGKILL when the guardian dies. None elsewhere."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415 - imported by the guardian alone, before it forks

    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def ask() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # the guardian died before the request
            os._exit(SIGNALLED + signal.SIGKILL)

    return ask


class _Guardian:
    """The guardian's side: runs one command, and stops it on request, on end of file or on SIGTERM."""

    def __init__(self, command: list[str], grace: float, remove: list[str]) -> None:
        self._grace = grace
        self._remove = remove
        self._ended = threading.Event()
        self._orphaned = False
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            start_new_session=True,
            preexec_fn=_death_signal(),  # noqa: PLW1509 - no thread runs yet
        )

    def run(self) -> int:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(f"pid {self._child.pid}\n")
            sys.stdout.close()
        listener = threading.Thread(target=self._listen, daemon=True)
        listener.start()
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=self._stop, daemon=True).start())
        code = self._wait()
        if self._orphaned:
            for folder in self._remove:
                shutil.rmtree(folder, ignore_errors=True)
        return code if code >= 0 else SIGNALLED - code

    def _wait(self) -> int:
        if hasattr(os, "waitid"):  # not on macOS before Python 3.13
            # WNOWAIT keeps the zombie, hence the process id, until no thread signals it any more.
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._child.wait()
        _kill_group(self._child.pid)  # children that the command did not wait for
        self._ended.set()
        return self._child.wait()

    def _listen(self) -> None:
        while request := os.read(sys.stdin.fileno(), 1):
            if request == KILL:
                self._kill()
            else:
                threading.Thread(target=self._stop, daemon=True).start()
        self._orphaned = not self._ended.is_set()
        self._stop()

    def _stop(self) -> None:
        if self._grace > 0 and not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGTERM)
            self._ended.wait(self._grace)
        self._kill()

    def _kill(self) -> None:
        if not self._ended.is_set():
            _kill_group(self._child.pid)


def _main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--grace", type=float, required=True)
    parser.add_argument("--remove", action="append", default=[])
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    try:
        guardian = _Guardian(options.command, options.grace, options.remove)
    except OSError as error:
        sys.stdout.write(f"error {error}\n")
        return SIGNALLED - 1
    return guardian.run()


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
