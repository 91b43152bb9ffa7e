"""TODO."""

from __future__ import annotations

from typing import Final

from meshport.compat.rule import Rule

RULES: Final[tuple[Rule, ...]] = ()
