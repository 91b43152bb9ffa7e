"""Rebuilding a derived product from history: a new generation beside the live one, compared, and bound in its place."""

from meshport.rebuild.alignment import Alignment
from meshport.rebuild.compare import GenerationComparison, MatchCounts, Mismatch, compare
from meshport.rebuild.job import Rebuild, RebuildReport, Swap, dependent_products, retire, unfinished_groups

__all__ = [
    "GenerationComparison",
    "Alignment",
    "Rebuild",
    "RebuildReport",
    "Mismatch",
    "Swap",
    "MatchCounts",
    "compare",
    "dependent_products",
    "unfinished_groups",
    "retire",
]
