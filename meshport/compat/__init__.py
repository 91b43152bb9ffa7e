"""The gate's engine: can these readers read what those writers wrote.

One engine for the command line, the registry and the library, so that CI and server never disagree. This first form
holds Avro's schema resolution and Confluent's seven levels.
"""

from meshport.compat.finding import Direction, Finding, Report
from meshport.compat.history import check_history
from meshport.compat.resolution import check

__all__ = ["Direction", "Finding", "Report", "check", "check_history"]
