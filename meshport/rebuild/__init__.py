"""Rebuilds of derived products from history: a new generation beside the live one, compared, and bound in its stead."""

from meshport.rebuild.alignment import Alignment
from meshport.rebuild.compare import compare
from meshport.rebuild.comparison import GenerationComparison, MatchCounts, Mismatch
from meshport.rebuild.copied import CopyReport, PortCopy
from meshport.rebuild.job import Rebuild, RebuildReport, Swap
from meshport.rebuild.measures import RebuildMeasures
from meshport.rebuild.retire import dependent_products, retire, unfinished_groups

__all__ = [
    "Alignment",
    "CopyReport",
    "GenerationComparison",
    "MatchCounts",
    "Mismatch",
    "PortCopy",
    "Rebuild",
    "RebuildMeasures",
    "RebuildReport",
    "Swap",
    "compare",
    "dependent_products",
    "retire",
    "unfinished_groups",
]
