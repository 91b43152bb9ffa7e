"""Decides which tests share a process when the suite runs in several (`make test`: two, by pytest-xdist).

The tests of a file run in one process, in their order, so that its fixtures are made once; so do the files of a group.
Each process has its own broker, database and mesh.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # xdist has no types

__all__ = ["pytest_xdist_make_scheduler"]

# These share the mesh of one new user, and each continues where the one before ended.
_TOGETHER = {f"tests/e2e/test_{name}.py": "a newcomer's mesh" for name in ("newcomer", "processor", "survival")}


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """Assigns whole files to the processes."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return the scheduler; pytest-xdist calls this once, in the controller."""
    return _ByFile(config, log)
