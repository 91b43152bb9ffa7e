"""A page's shell blocks, run as a reader would."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.running import environment
from tests.waiting import PATIENCE_S


def shell(script: str, folder: Path, **more: str) -> str:
    """Run a block in bash, with the environment's commands on the path; the first failure ends it.

    Args:
        script: the block.
        folder: where it is run.
        more: environment variables besides.

    Returns:
        What it wrote to stdout.
    """
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env=environment() | more,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
