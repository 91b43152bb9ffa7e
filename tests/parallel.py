"""Which tests run in one process, where the suite runs in several (`make test`: two, by pytest-xdist).

A file's tests run in one process, in their order, so that what a file shares is made once; so do files that share more
than that. Brokers, databases and the session's mesh each process has for itself.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # xdist has no types

__all__ = ["pytest_xdist_make_scheduler"]

# These share one mesh, a newcomer's, and each goes on from where the one before left it.
_TOGETHER = {f"tests/e2e/test_{name}.py": "a newcomer's mesh" for name in ("newcomer", "processor", "survival")}


class _ByFile(LoadScopeScheduling):  # type: ignore[misc]  # as above
    """Gives whole files to the processes."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _TOGETHER.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Asked by pytest-xdist once, in the process that starts the others."""
    return _ByFile(config, log)
