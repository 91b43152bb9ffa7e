"""git, as tests use it."""

from __future__ import annotations

import subprocess
from pathlib import Path

_IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", "-c", "gc.auto=0")


def git(root: Path, *arguments: str) -> str:
    """Run git with an identity of its own, whatever the machine's user has configured.

    Returns:
        What it wrote to stdout.
    """
    done = subprocess.run(["git", *_IDENTITY, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout
