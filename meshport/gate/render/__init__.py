"""Renderings of a run of the gate: pure functions from a `GateRun` to the text of one format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from meshport.gate.render import document, github, junit, sarif, text
from meshport.gate.run import GateRun

RENDERINGS: Final[Mapping[str, Callable[[GateRun], str]]] = MappingProxyType(
    {
        "text": text.render,
        "json": document.render,
        "github": github.render,
        "junit": junit.render,
        "sarif": sarif.render,
    }
)
"""Every rendering by its `--format`; each returns whole lines, without the last line's end."""

__all__ = ["RENDERINGS"]
