"""Rebuilding a derived product from history: a new generation beside the live one, compared, and bound in its place."""

from meshport.rebuild.compare import Comparison, Sample, Tally, compare
from meshport.rebuild.cut import Cut
from meshport.rebuild.job import Rebuild, Report, Swap, counting_on, left_behind, retire

__all__ = [
    "Comparison",
    "Cut",
    "Rebuild",
    "Report",
    "Sample",
    "Swap",
    "Tally",
    "compare",
    "counting_on",
    "left_behind",
    "retire",
]
