"""Decides how many processes the suite runs in, and which tests share one (`make test`, by pytest-xdist).

The tests of most files run in one process, in their order, so that its fixtures are made once; so do the files of a group.
The processes share a broker; each has its own database and mesh.
"""

from __future__ import annotations

import os
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # xdist has no types

__all__ = ["pytest_xdist_auto_num_workers", "pytest_xdist_make_scheduler"]

# Most tests on Kafka wait for a rebalance, a commit or a process: with two processes a core they leave it idle 40 % of the
# time. Those without Kafka use all of it either way. With three, on two cores of a third of the usual speed, the load was 12, and
# a handshake took seconds.
_PROCESSES_PER_CORE: Final = 2.5
_MOST_PROCESSES: Final = 8

# These share the mesh of one new user, and each continues where the one before ended.
_TOGETHER = {f"tests/e2e/test_{name}.py": "a newcomer's mesh" for name in ("newcomer", "processor", "survival")}
# These share a secured broker.
_TOGETHER |= {
    f"tests/{name}.py": "a secured broker"
    for name in ("kafka/test_secured", "secured/test_ports", "secured/test_processors")
}
# Each test of these runs tests in a process of its own: one after the other they would be the last to end.
_APART: Final = frozenset({"tests/registry/test_versions_apart.py"})


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """Assigns whole files to the processes, and tests of a few."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return nodeid if file in _APART else _TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processes for `-n auto`: five for two cores that this process may run on, at most eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(int(_PROCESSES_PER_CORE * cores), _MOST_PROCESSES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return the scheduler; pytest-xdist calls this once, in the controller."""
    return _ByFile(config, log)
