"""Errors of metrics."""

from __future__ import annotations

from meshport.errors.base import MeshError


class MetricsUnavailable(MeshError):  # noqa: N818 - names a state
    """Raised when metrics cannot be served where they were asked for."""
