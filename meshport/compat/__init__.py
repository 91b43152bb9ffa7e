"""The gate's engine: whether readers can read what writers write, and whether the promises around a schema are kept.

The command line, the registry and the library use this one engine, so that CI and server cannot disagree.
"""

from meshport.compat.case import Case, with_migrated
from meshport.compat.contract import Contract, Version
from meshport.compat.finding import Direction, Finding, Outcome, Part, ReaderVerdict, RollOut, Severity, State, Verdict
from meshport.compat.history import HistoryReport, check_history
from meshport.compat.judge import Past, judge_new, judge_port
from meshport.compat.rule import Rule, Scope
from meshport.compat.table import RULES

__all__ = [
    "RULES",
    "Case",
    "Contract",
    "Direction",
    "Finding",
    "Outcome",
    "Part",
    "Past",
    "ReaderVerdict",
    "HistoryReport",
    "RollOut",
    "Rule",
    "Scope",
    "Severity",
    "State",
    "Verdict",
    "Version",
    "check_history",
    "judge_new",
    "judge_port",
    "with_migrated",
]
