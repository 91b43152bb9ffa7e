"""The version of Meshport, for every package of it."""

from __future__ import annotations

__version__ = "0.2.0"
