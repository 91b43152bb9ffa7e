"""git, and the reference mesh in a repository of its own, as tests use them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]

_IDENTITY = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false", "-c", "gc.auto=0")


def git(root: Path, *arguments: str) -> str:
    """Run git with an identity of its own, whatever the machine's user has configured.

    Returns:
        What it wrote to stdout.
    """
    done = subprocess.run(["git", *_IDENTITY, *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


def commit_reference_mesh(root: Path) -> None:
    """Put the reference mesh into a folder, as the one commit of a repository's branch `main`."""
    for name in ("producers", "processors", "schemas"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    git(root, "init", "--initial-branch=main")
    git(root, "add", ".")
    git(root, "commit", "--message=the mesh as it is")
