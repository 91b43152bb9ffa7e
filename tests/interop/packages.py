"""Packages of npm that tests start, each set in a folder with its package-lock.json."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from tests.interop.tools import do_without

HERE: Final = Path(__file__).parent


def installed(npm: str, folder: str) -> Path:
    """Return the folder of some packages; the first call of a clone installs them as package-lock.json says."""
    packages = HERE / folder
    modules = packages / "node_modules"
    if not modules.is_dir():
        with tempfile.TemporaryDirectory(dir=packages, prefix="node_modules.") as copy:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(packages / name, copy)
            command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            got = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
            if got.returncode:
                do_without(f"npm does not get the packages of tests/interop/{folder}: {got.stderr.strip()}")
            with suppress(OSError):  # another process of the suite was first
                (Path(copy) / "node_modules").rename(modules)
    return modules
