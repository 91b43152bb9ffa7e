"""Python programs of other houses that tests start, each in an environment of its own, so that the project's has none of theirs.

`tests/interop/python/<name>.txt` pins what an environment has. It is made once, and kept where `meshport` keeps what it fetches.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import platformdirs

from tests.interop.tools import do_without

_HERE: Final = Path(__file__).parent / "python"


def environment(name: str) -> Path:
    """Return the folder of the programs of an environment; the first call on a machine installs it."""
    requirements = _HERE / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = platformdirs.user_cache_path("meshport") / "peers" / f"{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete = folder / "complete"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another process of the suite may want it too
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(name, sys.executable, "-m", "venv", str(folder))
            install = ("-m", "pip", "install", "--quiet", "--no-deps", "--requirement", str(requirements))
            _run(name, str(folder / "bin/python"), *install)
            complete.touch()
    return folder / "bin"


def _run(name: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        do_without(f"{name} cannot be installed: {done.stderr.strip()}")
