"""Prometheus' own checker of metrics and rules."""

from __future__ import annotations

import shutil

from tests.interop.tools import do_without


def promtool() -> str:
    """Return its path, or do without: Debian has it in the package `prometheus`."""
    return shutil.which("promtool") or do_without("there is no promtool on the path")
