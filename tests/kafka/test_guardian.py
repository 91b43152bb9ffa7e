"""No process outlives its parent, however parent, guardian and command end; with real processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from meshport.local.guardian import guard
from tests.kafka.processes import ended, python, words
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="the tests await the end of processes by pidfd")

SLEEPER = "import time; time.sleep(600)"

# Guards a sleeper, prints both process ids, then executes its second argument.
PARENT = f"""
import os, signal, sys, time
from pathlib import Path
from meshport.local.guardian import guard

folder = Path(sys.argv[1])
process = guard([sys.executable, "-c", {SLEEPER!r}], output=folder / "output", remove_if_orphaned=[folder / "data"])
print(process.pid, process.guardian_pid, flush=True)
exec(sys.argv[2])
"""

WAYS_TO_END = {
    "it is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "it is terminated": "os.kill(os.getpid(), signal.SIGTERM)",
    "it is interrupted": "signal.signal(signal.SIGINT, signal.default_int_handler); signal.raise_signal(signal.SIGINT)",
    "it raises": "raise RuntimeError",
    "it returns": "",
    "it exits without cleaning up": "os._exit(3)",
}


@pytest.mark.parametrize("way", WAYS_TO_END.values(), ids=WAYS_TO_END.keys())
def test_command_ends_with_its_parent(way: str, tmp_path: Path) -> None:
    """However the parent ends, command and guardian end, and the temporary folder is removed."""
    (tmp_path / "data").mkdir()
    with python(PARENT, tmp_path, way) as parent:
        command, guardian = map(int, words(parent))
        parent.wait()
        assert ended(guardian)
        assert ended(command)
    assert not (tmp_path / "data").exists()


def test_command_ends_with_its_guardian(tmp_path: Path) -> None:
    """A killed guardian takes the command along, and the parent sees that it was killed."""
    process = guard([sys.executable, "-c", SLEEPER], output=tmp_path / "output")
    os.kill(process.guardian_pid, signal.SIGKILL)
    assert ended(process.pid)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGKILL


def test_command_ends_when_parent_and_guardian_are_killed_together(tmp_path: Path) -> None:
    """Where guardian and parent are killed, the kernel ends the command."""
    with python(PARENT, tmp_path, "time.sleep(600)") as parent:
        command, guardian = map(int, words(parent))
        os.kill(guardian, signal.SIGSTOP)  # so that it cannot act between the two
        parent.kill()
        os.kill(guardian, signal.SIGKILL)
        assert ended(command)


def test_forked_child_of_the_parent_does_not_keep_the_command_alive(tmp_path: Path) -> None:
    """A child that the parent forked and that outlives it has not inherited the pipe."""
    way = "child = os.fork(); child and (print(child, flush=True), os.kill(os.getpid(), 9)); time.sleep(600)"
    with python(PARENT, tmp_path, way) as parent:
        command, _ = map(int, words(parent))
        (child,) = map(int, words(parent))
        try:
            assert ended(command)
            assert not ended(child, 0)
        finally:
            os.kill(child, signal.SIGKILL)


def test_interrupt_from_the_terminal_reaches_the_parent_alone(tmp_path: Path) -> None:
    """Command and guardian are in sessions of their own, so that the parent can stop things in order."""
    process = guard([sys.executable, "-c", SLEEPER], output=tmp_path / "output", grace=0)
    try:
        assert len({os.getsid(0), os.getsid(process.pid), os.getsid(process.guardian_pid)}) == 3
    finally:
        process.stop()


def test_stop_lets_the_command_finish(tmp_path: Path) -> None:
    """SIGTERM comes first: the command cleans up, its output is kept, and its exit code is returned."""
    source = "import signal, sys; signal.signal(15, lambda *_: (print('bye'), sys.exit(7))); print('up', flush=True)"
    output = tmp_path / "output"
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    source = f"{source}; open({str(fifo)!r}, 'w').close(); signal.pause()"
    process = guard([sys.executable, "-c", source], output=output)
    fifo.read_bytes()  # returns when the command has opened and closed it: its handler is set
    assert process.stop() == 7
    assert not process.running
    assert output.read_text() == "up\nbye\n"


def test_command_that_ignores_the_request_is_killed_after_the_grace(tmp_path: Path) -> None:
    """A deaf command does not survive stop."""
    fifo = tmp_path / "ready"
    os.mkfifo(fifo)
    source = f"import signal; signal.signal(15, signal.SIG_IGN); open({str(fifo)!r}, 'w').close(); signal.pause()"
    process = guard([sys.executable, "-c", source], output=tmp_path / "output", grace=0.2)
    fifo.read_bytes()
    assert process.stop() == 128 + signal.SIGKILL


def test_what_the_command_started_ends_with_it(tmp_path: Path) -> None:
    """Processes of the command's own are killed as well, also where the command itself ends by itself."""
    output = tmp_path / "output"
    source = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]).pid)"
    process = guard([sys.executable, "-c", source], output=output)
    assert process.wait(PATIENCE_S) == 0
    assert ended(int(output.read_text()))


def test_folder_is_kept_after_an_orderly_stop(tmp_path: Path) -> None:
    """Only an orphan's folder is removed: a parent that stops its command decides for itself."""
    (tmp_path / "data").mkdir()
    process = guard([sys.executable, "-c", SLEEPER], output=tmp_path / "output", remove_if_orphaned=[tmp_path / "data"])
    process.stop()
    assert (tmp_path / "data").is_dir()


def test_environment_and_directory_are_the_given_ones(tmp_path: Path) -> None:
    """The command sees exactly the environment and the working directory that it was given."""
    source = "import os; print(os.environ['MESH'], 'HOME' in os.environ, os.getcwd())"
    guard([sys.executable, "-c", source], output=tmp_path / "output", env={"MESH": "yes"}, cwd=tmp_path).wait(
        PATIENCE_S
    )
    assert (tmp_path / "output").read_text().split() == ["yes", "False", str(tmp_path)]


def test_ended_command_leaves_later_ones_alone(tmp_path: Path) -> None:
    """Asking an ended command about itself does not touch the pipe of a later one, which has its descriptor's number."""
    first = guard([sys.executable, "-c", ""], output=tmp_path / "output")
    first.wait(PATIENCE_S)
    second = guard([sys.executable, "-c", SLEEPER], output=tmp_path / "output", grace=0)
    try:
        assert first.returncode == 0
        first.kill()
        assert not ended(second.pid, 0.5)
    finally:
        second.stop()


def test_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    """A command that cannot be started is an error of the call, with the system's reason."""
    with pytest.raises(OSError, match=r"/no/such/program could not be started: .*No such file"):
        guard(["/no/such/program"], output=tmp_path / "output")
